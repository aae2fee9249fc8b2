"""A dict as the root: the live one, over the durable state that it is based on.

::

    DictRoot ──► compare: what was touched, with what is durable ──► PendingDict
        └──────► DictMerge: what another writer committed, brought in key by key

Who flushes, merges and rolls back is the session; here is what that does to a dict.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, cast

from storify._typing import override
from storify.codec import Codec, without_collector
from storify.database.live.canonical import respell_all, same_value
from storify.database.live.data import Data, Flush
from storify.database.live.ownership import Parts, changed, parts_of_all
from storify.database.live.refresh import Refresher
from storify.database.live.savepoints import Undo
from storify.database.live.slots import MISSING
from storify.database.session.changes import (
    OvertakenError,
    Pending,
    Refused,
    Root,
    Side,
    Take,
    encode_quietly,
)
from storify.database.session.keys import Spelling, contents, decode_keys, encode_keys
from storify.engine import Change, Snapshot, apply
from storify.exceptions import UnstorableError

__all__ = ["DictRoot"]

#: A dict of so many keys is read whole to see whether keys moved to no effect,
_SMALL = 4096
#: and so is one of which this part moved.
_PART = 16
#: So many changes make no work for the collector.
_FEW = 64


class _Mark(NamedTuple):
    """What a dict was at one moment.

    Attributes:
        flush: What of it may have differed from what is durable.
        held: The parts of those values that somebody held.
    """

    flush: Flush
    held: dict[Any, Parts]


class DictRoot(Root):
    """A live dict, over bytes that are decoded when they are looked at.

    Attributes:
        live: The dict.
        codec: Values to bytes and back.
        over: The durable entries of a list root that this one replaces.
        spelling: How the file spells its keys.
    """

    def __init__(
        self,
        live: Data,
        codec: Codec,
        over: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.live: Data = live
        self.codec = codec
        self.over: dict[bytes, bytes] = dict(over or {})
        self.spelling: Spelling = Spelling(codec)

    @override
    def replace(self, root: dict[Any, Any] | list[Any]) -> bool:
        if not isinstance(root, dict):
            return False
        if root is not self.live:
            content = dict(root)
            self.live.clear()
            self.live.update(content)
        return True

    # -- saving ----------------------------------------------------------------

    @override
    def begin_flush(self) -> Pending:
        if not self.over and self.live.is_clean():
            return CleanDict(self)
        # Not to walk through what is made for very many records again and again.
        return without_collector(self._begin_flush)

    def _begin_flush(self) -> Pending:
        flush = self.live.begin_flush()
        try:
            return compare(self, flush)
        except BaseException:
            self.live.abandon(flush)
            raise

    @override
    def begin_look(self) -> tuple[Pending, Refused]:
        try:
            return self.begin_flush(), {}
        except (UnstorableError, RuntimeError):
            return without_collector(self._begin_look)

    def _begin_look(self) -> tuple[Pending, Refused]:
        flush = self.live.begin_flush()
        try:
            refused = self._refused(flush.touched)
            for key in refused:
                del flush.touched[key]
            return compare(self, flush), refused
        except BaseException:
            self.live.abandon(flush)
            raise

    def _refused(self, values: dict[Any, Any]) -> Refused:
        refused: Refused = {}
        for key, value in values.items():
            try:
                encode_quietly(partial(self.codec.encode_items, {key: value}))
            except (UnstorableError, RuntimeError) as error:
                refused[key] = error
        return refused

    @override
    def moved_much(self, pending: Pending) -> bool:
        moved, size = pending.moved, len(self.live)
        return bool(moved) and (size <= _SMALL or moved * _PART >= size)

    @override
    def durable(self) -> dict[bytes, bytes]:
        if self.over:
            return dict(self.over)
        stored = dict(self.live.stored_items())
        blobs = self.codec.encode_items(dict.fromkeys(stored))
        return dict(zip(blobs, stored.values(), strict=True))

    def entries(self, changes: list[Change]) -> dict[bytes, bytes]:
        """The whole root that a commit of *changes* leaves."""
        return apply(self.durable(), changes)

    def committed(self, changes: list[Change]) -> None:
        """The changes are in the file; there is nothing else to replace any more."""
        self.over = {}
        self.spelling.committed(changes)

    @override
    def page_in(self, keys: Iterable[bytes]) -> None:
        if not self.live.is_filled():
            for key in decode_keys(self.codec, keys):
                self.live.page_in(key)

    @override
    def fill(self, later: Mapping[bytes, bytes] | None = None) -> None:
        self.live.fill(later)

    @override
    def is_crowded(self) -> bool:
        return self.live.is_crowded()

    @override
    def make_do(self) -> None:
        self.live.make_do()

    @override
    def renew(self, pages: Snapshot) -> None:
        self.live.renew(pages)
        self.live.page_out()

    @override
    def let_go(self) -> None:
        self.live.let_go()

    @override
    def forget(self) -> None:
        self.live.fill()
        self.over = {}
        for key, _ in list(self.live.items()):  # live, so that it can be saved again
            self.live.rebase(key, None)
        for key, _ in list(self.live.stored_items()):
            self.live.rebase(key, None)

    # -- how the file spells its keys ------------------------------------------

    @override
    def for_file(self, changes: list[Change]) -> list[Change]:
        return self.spelling.for_file(changes)

    @override
    def note_file(self, entries: Iterable[bytes]) -> None:
        self.spelling.note_all(entries)

    @override
    def spell(self, changes: list[Change]) -> list[Change]:
        return self.spelling.spell(changes)

    @override
    def spell_entries(self, entries: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        return self.spelling.spell_entries(entries)

    # -- other writers ---------------------------------------------------------

    @override
    def conflicts(self, theirs: list[Change], pending: Pending) -> list[Any] | None:
        if not pending.contents:
            return None
        return self._merge(theirs, pending).conflicts() or None

    @override
    def merge(self, theirs: list[Change], pending: Pending, side: Side | None) -> Take:
        return self._merge(theirs, pending).prepare(side)

    def _merge(self, theirs: list[Change], pending: Pending) -> "DictMerge":
        return DictMerge(self.live, self.codec, theirs, pending)

    @override
    def arrange(self, entries: Iterable[bytes], last: list[Any]) -> None:
        self.live.fill()
        keys = map(self.live.own_key, decode_keys(self.codec, entries))
        self.live.reorder([*(key for key in keys if key not in last), *last])

    # -- the end, transactions -------------------------------------------------

    @override
    def storable(self, report: Callable[[Exception], None]) -> dict[bytes, bytes]:
        pending, refused = self.begin_look()
        changes = pending.changes
        for key, error in refused.items():
            report(error)
            if self.live.durable(key) is not None:
                changes.append((self.codec.encode_key(key), None))
        pending.drop()
        return self.entries(changes)

    @override
    def mark(self) -> _Mark:
        flush = self.live.mark()
        held = {key: flush.touched[key] for key in flush.held}
        return _Mark(flush, parts_of_all(held))

    @override
    def changed_since(self, mark: object) -> set[Any]:
        flush, held = cast("_Mark", mark)
        return {*self.live.touched_since(flush), *changed(flush.touched, held)}

    @override
    def begin(self) -> None:
        self.live.begin(None if self.live.is_clean() else self._encode)

    def _encode(self, items: dict[Any, Any]) -> dict[Any, bytes]:
        blobs = encode_quietly(lambda: self.codec.encode_items(items))
        return dict(zip(items, blobs.values(), strict=True))

    @override
    def depth(self) -> int:
        return self.live.depth()

    @override
    def release(self) -> None:
        self.live.commit()

    @override
    def roll_back(self) -> Undo:
        return self.live.rollback()


# -- what is to be saved --------------------------------------------------------------


class CleanDict(Pending):
    """Nothing to save."""

    is_empty = True

    def __init__(self, root: DictRoot) -> None:
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
        root: DictRoot,
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


def compare(root: DictRoot, flush: Flush) -> PendingDict:
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
    root: DictRoot, flush: Flush, blobs: dict[bytes, bytes]
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
    root: DictRoot, flush: Flush, blobs: dict[bytes, bytes]
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


# -- what others committed ------------------------------------------------------------


class DictMerge:
    """One merge of two sets of changes on one durable state.

    Args:
        live: The dict.
        codec: Values to bytes and back.
        theirs: What another writer committed, with keys spelled as we do.
        pending: What is changed here.
    """

    def __init__(
        self, live: Data, codec: Codec, theirs: list[Change], pending: Pending
    ) -> None:
        self._live = live
        self._codec = codec
        self._theirs = theirs
        self._pending = pending
        self._found = contents(theirs)
        self._keys = self._keys_found()
        self._twins = self._twins_found()

    def _keys_found(self) -> dict[bytes, Any]:
        """Return the keys for their bytes, my own objects where there are some."""
        live, found = self._live, self._found
        # What is not found by equality may hold a NaN, and be found by its bytes.
        decoded = (
            key if key in live else live.own_key(key)
            for key in decode_keys(self._codec, found)
        )
        return {**dict(zip(found, decoded, strict=True)), **self._pending.keys}

    def _twins_found(self) -> dict[bytes, Any]:
        """Return my keys that equal another one of theirs, as 1 and True do.

        One dict cannot have both, so they are a conflict, whatever they hold.
        """
        pending, keys = self._pending, self._keys
        new = {
            pending.keys[key]: key
            for key, value in pending.contents.items()
            if value is not None
        }
        return {
            key: pending.keys[new[keys[key]]]
            for key, value in self._found.items()
            if value is not None and new.get(keys[key], key) != key
        }

    def conflicts(self) -> list[Any]:
        """Return the keys that both sides changed, to different values."""
        mine, keys = self._pending.contents, self._keys
        both = [
            keys[key_bytes]
            for key_bytes, value in self._found.items()
            if self._live.durable(keys[key_bytes]) != value
            and key_bytes in mine
            and not same_value(self._codec, value, mine[key_bytes])
        ]
        return [*dict.fromkeys([*both, *self._twins.values()])]

    def prepare(self, side: Side | None) -> Take:
        """Decode what is to be brought into objects that are in use.

        Args:
            side: Whose value a key has that was changed on both sides.

        Returns:
            What takes the values that were committed.
        """
        live, mine, keys = self._live, self._pending.contents, self._keys
        news = {
            key_bytes: value
            for key_bytes, value in self._found.items()
            if key_bytes in self._twins or live.durable(keys[key_bytes]) != value
        }
        dropped = {
            key_bytes
            for key_bytes, value in news.items()
            if side == "theirs"
            and key_bytes in mine
            and not same_value(self._codec, value, mine[key_bytes])
        }
        contents = {
            key_bytes: MISSING
            if value is None
            else live.content_of(keys[key_bytes], value)
            for key_bytes, value in news.items()
            if (key_bytes in dropped or key_bytes not in mine)
            and (value is None or live.is_live(live.own_key(keys[key_bytes])))
        }
        return partial(self._take, side, news, dropped, contents)

    def _take(
        self,
        side: Side | None,
        news: Mapping[bytes, bytes | None],
        dropped: Collection[bytes],
        contents: Mapping[bytes, Any],
        *,
        careful: bool,
    ) -> list[Any] | None:
        live = self._live
        if careful and live.was_handed_out(self._keys[each] for each in contents):
            raise OvertakenError
        placed = self._placed()
        self._take_values(side, news, dropped, contents)
        reverted = [self._keys[key_bytes] for key_bytes in news if key_bytes in dropped]
        last = self._last(reverted)
        if any(key in self._pending.deleted and key in live for key in reverted):
            return last
        if any(placed.values()):
            live.fill()
            behind = [*map(live.own_key, placed), *last]
            known = set(behind)
            first = [key for key in live if key not in known]
            theirs_last = [key for key in behind if key in live and key not in last]
            live.reorder([*first, *theirs_last, *last])
        elif placed:
            live.move_last(last)
        return None

    def _take_values(
        self,
        side: Side | None,
        news: Mapping[bytes, bytes | None],
        dropped: Collection[bytes],
        contents: Mapping[bytes, Any],
    ) -> None:
        live, mine, keys = self._live, self._pending.contents, self._keys
        refresher = live.refresher(
            {keys[each] for each in news if each in dropped or each not in mine}
        )
        for key_bytes, value in news.items():
            key, content = keys[key_bytes], contents.get(key_bytes, MISSING)
            if key_bytes in self._twins:
                twin = self._twins[key_bytes]
                self._take_twin(key, value, twin, side, content, refresher)
            elif key_bytes not in mine:
                live.adopt(key, value, content, refresher)
            else:
                live.rebase(key, value)
                if key_bytes in dropped:
                    live.revert(key, content, refresher)

    def _take_twin(
        self,
        key: Any,
        value: bytes | None,
        mine: Any,
        side: Side | None,
        content: Any,
        refresher: Refresher,
    ) -> None:
        """Decide between a key of mine and another one that equals it."""
        kept = self._live.pop(mine, None)  # it is gone if it gave way to a delete
        self._live.adopt(key, value, content, refresher)
        if side == "mine":
            del self._live[key]
            self._live[mine] = kept

    def _placed(self) -> dict[Any, bool]:
        """Return the keys that stand last in the file now, in order.

        The value says whether a key stands elsewhere in the live dict.
        """
        live = self._live
        placed: dict[Any, bool] = {}
        deleted: set[Any] = set()
        for key_bytes, value in self._theirs:
            key = self._keys[key_bytes]
            if value is None:
                deleted.add(key)
                placed.pop(key, None)
            elif key in deleted or live.durable(key) is None:
                placed.setdefault(key, live.own_key(key) in live)
        return placed

    def _last(self, reverted: list[Any]) -> list[Any]:
        """Return the keys that my next commit will put last, in order."""
        live, pending = self._live, self._pending
        last = [
            pending.keys[key_bytes]
            for key_bytes, value in pending.changes
            if value is not None
            and (key := pending.keys[key_bytes]) in live
            and (live.durable(key) is None or key in pending.deleted)
            and key not in reverted
        ]
        # What they deleted and I keep was moved behind what is new here (`rebase`).
        among = set(last)
        again = {
            key: None
            for key_bytes, value in self._found.items()
            if value is None
            and (key := self._keys[key_bytes]) in among
            and key not in pending.deleted
        }
        return [*(key for key in last if key not in again), *again]
