"""What of a dict is to be saved: what was touched, compared with what is durable."""

from collections.abc import Mapping
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from storify.codec import Codec, without_collector
from storify.database.live.canonical import respell_all
from storify.database.live.data import Flush
from storify.database.session.changes import Pending, encode_quietly
from storify.database.session.keys import encode_keys
from storify.engine import Change

if not TYPE_CHECKING:
    from storify._typing import override
else:
    from typing_extensions import override

    from storify.database.session.dict_root import DictRoot

__all__ = ["CleanDict", "PendingDict", "compare"]

#: So many make no work for the collector.
_FEW = 64


class CleanDict(Pending):
    """Nothing to save."""

    is_empty = True

    def __init__(self, root: "DictRoot") -> None:
        super().__init__([], {}, {})
        self._root = root

    @override
    def stored(self, key: bytes) -> bytes | None:
        del key  # none changes, so none is asked for
        return None

    @override
    def entries(self) -> dict[bytes, bytes]:
        return self._root.durable()

    @override
    def is_newest(self) -> bool:
        return True  # there is nothing that another one could change

    @override
    def done(self) -> None:
        pass

    @override
    def drop(self) -> None:
        pass


class PendingDict(Pending):
    """What was touched, as placeholders in its slots."""

    def __init__(
        self,
        root: "DictRoot",
        flush: Flush,
        durable: dict[Any, bytes],
        changes: list[Change],
        contents: Mapping[bytes, bytes | None],
        keys: dict[bytes, Any],
    ) -> None:
        super().__init__(changes, contents, keys)
        self._root = root
        self._flush = flush
        self._durable = durable

    @override
    def stored(self, key: bytes) -> bytes | None:
        return self._root.live.durable(self.keys[self._root.spelling.own_key(key)])

    @override
    def entries(self) -> dict[bytes, bytes]:
        return self._root.entries(self.changes)

    @override
    def is_newest(self) -> bool:
        return self._flush.is_newest()

    @override
    def done(self) -> None:
        end = partial(self._root.live.end_flush, self._flush, self._durable)
        if len(self._durable) < _FEW:
            end()
        else:
            without_collector(end)
        self._root.committed(self.changes)

    @override
    def drop(self) -> None:
        self._root.live.abandon(self._flush)


def compare(root: "DictRoot", flush: Flush) -> PendingDict:
    """Encode what was touched and compare it with what is durable.

    Raises:
        UnstorableError: A value that could not be read back equal.
        RuntimeError: Another thread kept changing the data.
    """
    touched = flush.touched
    flush.form = root.codec.form
    blobs = encode_quietly(partial(root.codec.encode_items, touched))
    if flush.gone:
        return _compare_all(root, flush, blobs)
    for base in flush.bases.values():
        if base.blob is not None:
            return _compare_all(root, flush, blobs)
    return _compare_new(root, flush, blobs)


def _compare_new(
    root: "DictRoot", flush: Flush, blobs: dict[bytes, bytes]
) -> PendingDict:
    """All of it is new: no look at each, there may be very many."""
    changes: list[Change] = list(blobs.items())
    keys: dict[bytes, Any] = dict(zip(blobs, flush.touched, strict=True))
    durable = dict(zip(flush.touched, blobs.values(), strict=True))
    if root.over:
        changes[:0] = [(key, None) for key in root.over]
        keys.update(dict.fromkeys(root.over))
    return PendingDict(root, flush, durable, changes, blobs, keys)


def _compare_all(
    root: "DictRoot", flush: Flush, blobs: dict[bytes, bytes]
) -> PendingDict:
    touched = flush.touched
    gone: dict[bytes, Any] = {}
    if flush.deletions:
        gone = encode_keys(root.codec, {base.key: base for base in flush.deletions})
    set_again = touched.keys() & gone.values()
    changes: list[Change] = []
    held: dict[bytes, bytes | None] = {}
    if root.over or gone:
        changes += ((key, None) for key in (*root.over, *gone))
        held = {key: None for key in gone if key not in blobs}
    keys: dict[bytes, Any] = {**dict.fromkeys(root.over), **gone}
    durable: dict[Any, bytes] = {}
    other = _other_values(root.codec, flush, blobs)
    for (key_bytes, blob), key in zip(blobs.items(), touched, strict=True):
        if key_bytes not in other and key not in set_again:
            continue
        changes.append((key_bytes, blob))
        keys[key_bytes] = key
        durable[key] = blob
        # 1 and True are one key for a dict, but two for the file.
        if key_bytes in other or key_bytes not in gone:
            held[key_bytes] = blob
    pending = PendingDict(root, flush, durable, changes, held, keys)
    pending.deleted = set(gone.values())
    pending.moved = len(set_again)
    return pending


def _other_values(codec: Codec, flush: Flush, blobs: dict[bytes, bytes]) -> set[bytes]:
    """Return the keys whose values are not the durable ones."""
    base = flush.base
    other: set[bytes] = set()
    unsure: list[tuple[bytes, bytes, bytes]] = []
    for (key_bytes, blob), key in zip(blobs.items(), flush.touched, strict=True):
        stored = base(key)
        if stored == blob:
            continue
        if stored is None or flush.is_canonical(key):
            other.add(key_bytes)
        else:
            unsure.append((key_bytes, blob, stored))
    if not unsure:
        return other
    respelled = respell_all(codec, list(map(itemgetter(2), unsure)))
    for key_bytes, blob, stored in unsure:
        if respelled[stored] != blob:
            other.add(key_bytes)
    return other
