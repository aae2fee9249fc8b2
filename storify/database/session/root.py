"""A root: live data over the bytes that they were last saved as.

::

    Root ──► compare: what was touched, with what is durable ──► Pending

The live data of every root are the slots of a dict. A list root has one entry, as in
the file: its key is None, whose bytes are ``b""``, and its value is the list that the
user holds; so a list is loaded, compared, merged and rolled back as any value is.

Who flushes, merges and rolls back is the session; here is what that does to a root.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property, partial
from itertools import islice
from operator import itemgetter
from typing import Any, Final, NamedTuple, cast

from storify._python import override
from storify.codec import Codec
from storify.database.live.data import Data, Flush
from storify.database.live.ownership import Parts, changed, parts_of_all
from storify.database.live.refresh import Incoming
from storify.database.live.savepoints import Savepoints, Undo
from storify.database.session.keys import LIST, CanonicalKeys, decode_keys, encode_keys
from storify.engine import (
    Change,
    Changes,
    Snapshot,
    Version,
    WholeSnapshot,
    apply,
    entries_of,
)
from storify.exceptions import UnstorableError
from storify.threads import without_collector

__all__ = ["Pending", "Refused", "Root"]

#: Why values cannot be stored, by their keys; of a list by their indexes.
Refused = dict[Any, Exception]

#: How often encoding starts anew because another thread changed a value meanwhile.
_RACES: Final = 5
#: A dict of so many keys is read whole to see whether keys moved to no effect,
_SMALL: Final = 4096
#: and so is one of which this part moved.
_PART: Final = 16
#: So many changes make no work for the collector,
_FEW: Final = 64
#: So many keys are encoded at a time.
_MANY: Final = 256


class _Mark(NamedTuple):
    """The state of a root at one moment.

    Attributes:
        flush: What of it may have differed from what is durable.
        held: The parts of those values that somebody held.
    """

    flush: Flush
    held: dict[Any, Parts]


class _ListCodec(Codec):
    """A codec as another one is, to whose keys the one of a list root belongs.

    Args:
        codec: The other one, with which it shares all that it knows.
    """

    def __init__(self, codec: Codec) -> None:
        self.__dict__ = codec.__dict__

    @override
    def encode_key(self, key: object) -> bytes:
        return LIST if key is None else super().encode_key(key)

    @override
    def encode_items(
        self, data: Mapping[Any, Any], *, is_plain: bool = False
    ) -> dict[bytes, bytes]:
        return {LIST: self.encode(data[None], is_plain=is_plain)}

    @override
    def decode_keys(self, blobs: Any) -> list[Any]:
        return [None for _ in blobs]


class Root:
    """Live data over the bytes that they were last saved as.

    Args:
        slots: The live values: of a dict root the dict that the user holds.
        codec: Values to bytes and back.
        over: The durable entries of a root of the other kind that this one replaces.
        is_list: Whether the root is a list.

    Attributes:
        slots: As given.
        codec: Values to bytes and back.
        incoming: Brings into them what others committed.
        savepoints: Theirs.
        over: As given; empty once it is replaced.
        is_list: As given.
        canonical_keys: The keys that have other bytes in the file.
    """

    def __init__(
        self,
        slots: Data,
        codec: Codec,
        over: Mapping[bytes, bytes] | None = None,
        *,
        is_list: bool = False,
    ) -> None:
        self.slots: Data = slots
        self.incoming: Incoming = Incoming(slots)
        self.savepoints: Savepoints = Savepoints(slots)
        self.codec: Codec = codec
        self.over: dict[bytes, bytes] = dict(over or {})
        self.is_list: bool = is_list
        self.canonical_keys: CanonicalKeys = CanonicalKeys(codec)

    @classmethod
    def made(
        cls,
        initial: dict[Any, Any] | list[Any],
        codec: Codec,
        cache_bytes: int,
        over: Mapping[bytes, bytes] | None = None,
    ) -> "Root":
        """Make a root that is not durable yet.

        Args:
            initial: Its content; a list is used as it is.
            codec: Values to bytes and back.
            cache_bytes: As of `opened`, once it is durable.
            over: The durable entries of a root of the other kind, to be replaced.
        """
        if isinstance(initial, list):
            codec = _ListCodec(codec)
            return cls(Data(codec, {None: initial}), codec, over, is_list=True)
        nothing = WholeSnapshot(Version(""), {}, kind="str")
        slots = Data.paged(codec, nothing, cache_bytes)
        slots.update(initial)
        return cls(slots, codec, over)

    @classmethod
    def opened(cls, snapshot: Snapshot, codec: Codec, cache_bytes: int) -> "Root":
        """Make a root of a durable state.

        Args:
            snapshot: The state.
            codec: Values to bytes and back.
            cache_bytes: How much of what nobody holds stays in memory, encoded, if it
                is asked for single keys.

        Raises:
            ValueError: It cannot be read here.
        """
        if snapshot.kind:
            return cls(Data.paged(codec, snapshot, cache_bytes), codec)
        entries = entries_of(snapshot)
        is_list = LIST in entries
        codec = _ListCodec(codec) if is_list else codec
        root = cls(Data.opened(codec, entries), codec, is_list=is_list)
        root.note_file(entries)
        if is_list:
            slot, items = root.slots.page_in(None), root.content_of(None, entries[LIST])
            root.slots.make_live(None, slot, items)
        return root

    @property
    def live(self) -> Any:
        """The live root, which the user holds."""
        return self.slots[None] if self.is_list else self.slots

    def replace(self, root: dict[Any, Any] | list[Any]) -> bool:
        """Take other content of the same kind; False for the other kind."""
        if isinstance(root, list) is not self.is_list:
            return False
        if self.is_list:
            self.slots[None] = root
        elif root is not self.slots:
            content = dict(cast("dict[Any, Any]", root))
            self.slots.clear()
            self.slots.update(content)
        return True

    # -- saving ----------------------------------------------------------------

    def begin_flush(self) -> "Pending":
        """Return what is to be saved, to be ended with ``done`` if it was.

        Raises:
            UnstorableError: A value that could not be read back equal.
            RuntimeError: Another thread kept changing the data.
        """
        if not (self.over or self.slots.live or self.slots.gone):
            return NOTHING
        # Not to walk through what is made for very many records again and again.
        return without_collector(self._begin_flush)

    def _begin_flush(self) -> "Pending":
        flush = self.slots.begin_flush()
        try:
            return _compare(self, flush)
        except BaseException:
            self.slots.abandon(flush)
            raise

    def begin_look(self) -> "tuple[Pending, Refused]":
        """Return the same without what cannot be stored, and that: only to look at it.

        Raises:
            RuntimeError: Another thread kept changing the data.
        """
        try:
            return self.begin_flush(), {}
        except (UnstorableError, RuntimeError):
            return without_collector(self._begin_look)

    def _begin_look(self) -> "tuple[Pending, Refused]":
        flush = self.slots.begin_flush()
        try:
            refused = self._refused(flush.touched)
            return _compare(self, flush), refused
        except BaseException:
            self.slots.abandon(flush)
            raise

    def _refused(self, values: dict[Any, Any]) -> Refused:
        """Take what cannot be stored out of *values*; of a list out of a copy of it."""
        items: dict[Any, Any] = values
        if self.is_list:
            items = dict(enumerate(cast("list[Any]", values[None])))
        refused: Refused = {}
        for key, value in list(items.items()):
            try:
                if self.is_list:
                    self.codec.encode(value, f"$[{key}]")
                else:
                    encode_quietly(self.codec, {key: value})
            except (UnstorableError, RuntimeError) as error:
                refused[key] = error
                del items[key]
        if self.is_list:
            values[None] = list(items.values())
        return refused

    def moved_much(self, pending: "Pending") -> bool:
        """Whether it is worth while to look which of the keys moved to no effect."""
        size = len(self.slots)
        return size <= _SMALL or pending.moved * _PART >= size

    def durable(self) -> dict[bytes, bytes]:
        """The durable entries, in an order that they may have."""
        return dict(self.over) or dict(self.each_durable())

    def each_durable(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over them, unless a root of the other kind is to be replaced."""
        stored = self.slots.stored_items()
        while some := dict(islice(stored, _MANY)):
            yield from zip(encode_keys(self.codec, some), some.values(), strict=True)

    def entries(self, changes: Changes) -> dict[bytes, bytes]:
        """The whole root that a commit of *changes* leaves."""
        return apply(self.durable(), changes)

    def page_in(self, keys: Iterable[bytes]) -> None:
        """Have some keys in memory, given as bytes; see `Slots.page_in`."""
        if not self.slots.is_filled():
            for key in decode_keys(self.codec, keys):
                self.slots.page_in(key)

    def fill(self, later: Mapping[bytes, bytes] | None = None) -> None:
        """Have all keys in memory; see `Slots.fill`."""
        self.slots.fill(later)

    def make_do(self) -> None:
        """Have more room: nothing can be let go of for now."""
        self.slots.make_do()

    def renew(self, pages: Snapshot) -> None:
        """Let go of what the present state can give again; see `Slots.page_out`."""
        self.slots.renew(pages)
        self.slots.page_out()

    def let_go(self) -> None:
        """Let go of what it takes from the system; no key can be read any more."""
        self.slots.let_go()

    def forget(self) -> None:
        """Nothing is durable any more: all is to be saved again."""
        self.slots.fill()
        self.over = {}
        for key, _ in list(self.slots.items()):  # live, so that it can be saved again
            self.incoming.rebase(key, None)
        for key, _ in list(self.slots.stored_items()):
            self.incoming.rebase(key, None)

    # -- canonical keys --------------------------------------------------------

    def for_file(self, changes: Changes) -> Changes:
        """Return changes with keys in the bytes that they have in the file."""
        return self.canonical_keys.for_file(changes)

    def note_file(self, entries: Iterable[bytes]) -> None:
        """Look for keys that have other bytes in the file."""
        self.canonical_keys.note_all(entries)

    def canonical(self, changes: list[Change]) -> list[Change]:
        """Return changes by another writer with canonical keys."""
        return self.canonical_keys.canonical(changes)

    def canonical_entries(self, entries: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return a root by another writer with canonical keys."""
        return self.canonical_keys.canonical_entries(entries)

    # -- other writers ---------------------------------------------------------

    def content_of(self, key: Any, blob: bytes) -> Any:
        """Decode what is to be brought into a value; see `Incoming.content_of`.

        Raises:
            ValueError: A list root cannot be read here: there is no next access to it.
        """
        if self.is_list:
            return self.codec.decode_root(blob)
        return self.incoming.content_of(key, blob)

    def arrange(self, entries: Iterable[bytes], last: list[Any]) -> None:
        """Bring the keys into the order of the durable state, but some of them last."""
        slots = self.slots
        slots.fill()
        keys = map(slots.own_key, decode_keys(self.codec, entries))
        self.incoming.reorder([*(key for key in keys if key not in last), *last])

    # -- the end, transactions -------------------------------------------------

    def storable(self, report: Callable[[Exception], None]) -> dict[bytes, bytes]:
        """Return the whole root without what cannot be encoded."""
        pending, refused = self.begin_look()
        changes = list(pending.changes)
        for key, error in refused.items():
            report(error)
            if not self.is_list and self.slots.durable(key) is not None:
                changes.append((self.codec.encode_key(key), None))
        pending.drop()
        return self.entries(changes)

    def mark(self) -> object:
        """Return what `changed_since` compares with; it runs no code of the user's."""
        flush = self.slots.mark()
        held = {k: value for k, value in flush.touched.items() if flush.is_held(k)}
        return _Mark(flush, parts_of_all(held))

    def changed_since(self, mark: object) -> set[Any]:
        """Return the keys whose values may have been changed, set or deleted since."""
        flush, held = cast("_Mark", mark)
        return {*self.slots.touched_since(flush), *changed(flush.touched, held)}

    def begin(self) -> None:
        """Make a savepoint."""
        self.savepoints.begin(None if self.slots.is_clean() else self._encode)

    def _encode(self, items: dict[Any, Any]) -> dict[Any, bytes]:
        blobs = encode_quietly(self.codec, items)
        return dict(zip(items, blobs.values(), strict=True))

    def depth(self) -> int:
        """Count the savepoints."""
        return self.savepoints.depth()

    def release(self) -> None:
        """Forget the last savepoint."""
        self.savepoints.commit()

    def roll_back(self) -> Undo:
        """Return what returns to the last savepoint; it runs no code of the user's."""
        return self.savepoints.rollback()


# -- what is to be saved --------------------------------------------------------------


_New = tuple[Collection[Any], Collection[bytes]]


class Pending:
    """The changes of a root at one moment; ended by at most one of `done` and `drop`.

    What was touched stands as placeholders in its slots. One that is ended by neither,
    as its program was interrupted, leaves no trace: all is to be saved still.

    Attributes:
        changes: For the engine, in order.
        contents: Key bytes to what they hold, for keys that hold something else
            than the durable state; a key that only moved is not among them.
        keys: The keys for the bytes of `changes`; None for a list root. Made when it is
            asked for.
        deleted: The durable keys that were deleted, and perhaps set again.
        moved: How many of them were set again.
        is_empty: Whether nothing was touched at all.
    """

    is_empty = False

    def __init__(
        self,
        root: Root,
        flush: Flush,
        changes: Changes,
        contents: Mapping[bytes, bytes | None],
        keys: Callable[[], dict[bytes, Any]],
        new: _New = ((), ()),
    ) -> None:
        self.changes = changes
        self.contents = contents
        self.deleted: set[Any] = set()
        self.moved = 0
        self._root = root
        self._flush = flush
        self._make_keys = keys
        #: Keys and their new values: those to no effect included, which may be taken
        #: out of `changes`.
        self._new = new

    @cached_property
    def keys(self) -> dict[bytes, Any]:  # noqa: D102 - above
        return self._make_keys()

    def stored(self, key: bytes) -> bytes | None:
        """The durable value under the bytes of a key that is to change."""
        return self._root.slots.durable(
            self.keys[self._root.canonical_keys.own_key(key)]
        )

    def is_newest(self) -> bool:
        """Whether none was made since, as in the handler of a signal."""
        return self._root.slots.flush is self._flush

    def done(self) -> None:
        """The changes were committed: they are the durable state now."""
        end = partial(self._root.slots.end_flush, self._flush, *self._new)
        if len(self._new[0]) < _FEW:
            end()
        else:
            without_collector(end)
        root = self._root
        root.over = {}
        if root.canonical_keys.in_file:
            root.canonical_keys.committed(self.changes)

    def drop(self) -> None:
        """Nothing is committed: all is pending still."""
        self._root.slots.abandon(self._flush)


class _Nothing(Pending):
    """Nothing to save, whatever the root: nothing is to be done for it."""

    is_empty = True

    def __init__(self) -> None:
        none: Any = None  # no root and no flush is asked for anything
        super().__init__(none, none, (), {}, dict)

    @override
    def is_newest(self) -> bool:
        return True

    @override
    def done(self) -> None:
        """Nothing was touched."""

    @override
    def drop(self) -> None:
        """Nothing was touched."""


#: What every root gives of which nothing was touched.
NOTHING: Final = _Nothing()


def _compare(root: Root, flush: Flush) -> Pending:
    """Encode what was touched and compare it with what is durable.

    Raises:
        UnstorableError: A value that could not be read back equal.
        RuntimeError: Another thread kept changing the data.
    """
    codec, touched = root.codec, flush.touched
    flush.form = codec.form
    blobs = encode_quietly(codec, touched, is_plain=flush.is_plain)
    if flush.is_plain and not flush.is_undisturbed():
        blobs = encode_quietly(codec, touched)  # who got it may have changed it
    return (_compare_new if flush.is_new else _compare_all)(root, flush, blobs)


def _compare_new(root: Root, flush: Flush, blobs: dict[bytes, bytes]) -> Pending:
    """All of it is new: no look at each, there may be very many."""
    touched, over = list(flush.touched), dict.fromkeys(root.over)
    changes: Changes = blobs.items()
    if over:
        changes = [*over.items(), *changes]

    def keys() -> dict[bytes, Any]:
        return {**over, **dict(zip(blobs, touched, strict=True))}

    return Pending(root, flush, changes, blobs, keys, (touched, blobs.values()))


def _compare_all(root: Root, flush: Flush, blobs: dict[bytes, bytes]) -> Pending:
    touched = flush.touched
    gone: dict[bytes, Any] = {}
    if flush.deletions:
        gone = encode_keys(root.codec, {base.key: base for base in flush.deletions})
    set_again = touched.keys() & gone.values()
    changes: list[Change] = []
    new: tuple[list[Any], list[bytes]] = [], []
    held: dict[bytes, bytes | None] = {}
    if root.over or gone:
        changes += ((key, None) for key in (*root.over, *gone))
        held = {key: None for key in gone if key not in blobs}
    keys: dict[bytes, Any] = {**dict.fromkeys(root.over), **gone}
    other = _other_values(root.codec, flush, blobs)
    for (key_bytes, blob), key in zip(blobs.items(), touched, strict=True):
        if key_bytes not in other and key not in set_again:
            continue
        changes.append((key_bytes, blob))
        new[0].append(key)
        new[1].append(blob)
        keys[key_bytes] = key
        # 1 and True are one key for a dict, but two for the file.
        if key_bytes in other or key_bytes not in gone:
            held[key_bytes] = blob
    pending = Pending(root, flush, changes, held, lambda: keys, new)
    pending.deleted = set(gone.values())
    pending.moved = len(set_again)
    return pending


def _other_values(codec: Codec, flush: Flush, blobs: dict[bytes, bytes]) -> set[bytes]:
    """Return the keys whose values are not the durable ones."""
    other: set[bytes] = set()
    unsure: list[tuple[bytes, bytes, bytes]] = []
    for (key_bytes, blob), key in zip(blobs.items(), flush.touched, strict=True):
        base = flush.bases[key]
        stored = base.blob
        if stored == blob:
            continue
        if stored is None or base.form == flush.form:
            other.add(key_bytes)
        else:
            unsure.append((key_bytes, blob, stored))
    if not unsure:
        return other
    canonical = codec.canonical_values(list(map(itemgetter(2), unsure)))
    for (key_bytes, blob, _), ours in zip(unsure, canonical, strict=True):
        if ours != blob:
            other.add(key_bytes)
    return other


def encode_quietly(
    codec: Codec, items: Mapping[Any, Any], *, is_plain: bool = False
) -> dict[bytes, bytes]:
    """Encode what other threads may be changing; see `Codec.encode_items`.

    Raises:
        UnstorableError: A value that could not be read back equal.
        RuntimeError: Another thread kept changing the data.
    """
    for attempt in range(_RACES):
        try:
            return codec.encode_items(items, is_plain=is_plain)
        except RuntimeError:
            if attempt == _RACES - 1:
                raise
    raise AssertionError  # pragma: no cover - the loop returns or raises
