"""A dict as the root: the live one, over the durable state that it is based on."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

from storify.codec import Codec, without_collector
from storify.database.live.data import Data, Flush
from storify.database.live.parts import Parts, changed, parts_of_all
from storify.database.live.savepoints import Undo
from storify.database.session.changes import (
    Pending,
    Refused,
    Side,
    Take,
    encode_quietly,
)
from storify.database.session.dict_changes import CleanDict, compare
from storify.database.session.dict_merge import DictMerge, arrange
from storify.database.session.keys import Spelling, decode_keys
from storify.engine import Change, Snapshot, apply
from storify.exceptions import UnstorableError

__all__ = ["DictRoot"]

#: A dict of so many keys is read whole to see whether keys moved to no effect,
_FEW = 4096
#: and so is one of which this part moved.
_PART = 16


class _Mark(NamedTuple):
    """What a dict was at one moment.

    Attributes:
        flush: What of it may have differed from what is durable.
        held: The parts of those values that somebody held.
    """

    flush: Flush
    held: dict[Any, Parts]


class DictRoot:
    """A live dict, over bytes that are decoded when they are looked at.

    Attributes:
        live: The dict.
        codec: Values to bytes and back.
        over: The durable entries of a list root that this one replaces.
        spelling: How the file spells its keys.

    Args:
        live: The dict.
        codec: Values to bytes and back.
        over: The durable entries of a list root that this one replaces.
    """

    def __init__(
        self,
        live: Data,
        codec: Codec,
        over: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.live = live
        self.codec = codec
        self.over: dict[bytes, bytes] = dict(over or {})
        self.spelling: Spelling = Spelling(codec)

    def replace(self, root: dict[Any, Any] | list[Any]) -> bool:
        """Take the content of another dict; False for a list."""
        if not isinstance(root, dict):
            return False
        if root is not self.live:
            content = dict(root)
            self.live.clear()
            self.live.update(content)
        return True

    # -- saving ----------------------------------------------------------------

    def begin_flush(self) -> Pending:
        """Return what is to be saved."""
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

    def begin_look(self) -> tuple[Pending, Refused]:
        """Return what can be saved, and what cannot be stored."""
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

    def moved_much(self, pending: Pending) -> bool:
        """Whether it is worth while to look which keys moved at all."""
        moved, size = pending.moved, len(self.live)
        return bool(moved) and (size <= _FEW or moved * _PART >= size)

    def _durable(self) -> dict[bytes, bytes]:
        stored = dict(self.live.stored_items())
        blobs = self.codec.encode_items(dict.fromkeys(stored))
        return dict(zip(blobs, stored.values(), strict=True))

    def durable(self) -> dict[bytes, bytes]:
        """The durable entries, in an order that they may have."""
        return dict(self.over) if self.over else self._durable()

    def entries(self, changes: list[Change]) -> dict[bytes, bytes]:
        """The whole root that a commit of *changes* leaves."""
        return apply(self.durable(), changes)

    def committed(self, changes: list[Change]) -> None:
        """The changes are in the file; there is nothing else to replace any more."""
        self.over = {}
        self.spelling.committed(changes)

    def page_in(self, keys: Iterable[bytes]) -> None:
        """Have some keys in memory, given as bytes; see `Slots.page_in`."""
        if not self.live.is_filled():
            for key in decode_keys(self.codec, keys):
                self.live.page_in(key)

    def fill(self, later: Mapping[bytes, bytes] | None = None) -> None:
        """Have all keys in memory; see `Slots.fill`."""
        self.live.fill(later)

    def is_crowded(self) -> bool:
        """Whether there is more in memory than there is room for."""
        return self.live.is_crowded()

    def make_do(self) -> None:
        """Have more room: nothing can be let go of for now."""
        self.live.make_do()

    def renew(self, pages: Snapshot) -> None:
        """Let go of what the present state can give again; see `Slots.page_out`."""
        self.live.renew(pages)
        self.live.page_out()

    def let_go(self) -> None:
        """Let go of the file; no key can be read any more."""
        self.live.let_go()

    def forget(self) -> None:
        """Nothing of it is durable any more."""
        self.live.fill()
        self.over = {}
        for key, _ in list(self.live.items()):  # live, so that it can be saved again
            self.live.rebase(key, None)
        for key, _ in list(self.live.stored_items()):
            self.live.rebase(key, None)

    # -- how the file spells its keys ------------------------------------------

    def for_file(self, changes: list[Change]) -> list[Change]:
        """Return changes with the keys that are in the file spelled as there."""
        return self.spelling.for_file(changes)

    def note_file(self, entries: Iterable[bytes]) -> None:
        """Look how the file spells all its keys."""
        self.spelling.note_all(entries)

    def spell(self, changes: list[Change]) -> list[Change]:
        """Return changes by another writer with keys spelled as we do."""
        return self.spelling.spell(changes)

    def spell_entries(self, entries: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return a root by another writer with keys spelled as we do."""
        return self.spelling.spell_entries(entries)

    # -- other writers ---------------------------------------------------------

    def conflicts(self, theirs: list[Change], pending: Pending) -> list[Any] | None:
        """The keys that both sides changed, to different values; None if none."""
        if not pending.contents:
            return None
        return self._merge(theirs, pending).conflicts() or None

    def merge(self, theirs: list[Change], pending: Pending, side: Side | None) -> Take:
        """Return what takes what was committed to keys that were not changed here.

        Args:
            theirs: What was committed.
            pending: What is changed here.
            side: Whose value a key has that was changed on both sides.

        """
        return self._merge(theirs, pending).prepare(side)

    def _merge(self, theirs: list[Change], pending: Pending) -> DictMerge:
        return DictMerge(self.live, self.codec, theirs, pending)

    def arrange(self, entries: Iterable[bytes], last: list[Any]) -> None:
        """Bring the keys into the order of the durable state, but some of them last."""
        arrange(self.live, self.codec, entries, last)

    # -- the end, transactions -------------------------------------------------

    def storable(self, report: Callable[[Exception], None]) -> dict[bytes, bytes]:
        """Return the whole root without what cannot be encoded."""
        pending, refused = self.begin_look()
        changes = pending.changes
        for key, error in refused.items():
            report(error)
            if self.live.durable(key) is not None:
                changes.append((self.codec.encode_key(key), None))
        pending.drop()
        return self.entries(changes)

    def mark(self) -> _Mark:
        """Return what `changed_since` compares with."""
        flush = self.live.mark()
        held = {key: flush.touched[key] for key in flush.held}
        return _Mark(flush, parts_of_all(held))

    def changed_since(self, mark: object) -> set[Any]:
        """Return the keys that were read, set or deleted since, or changed in place."""
        flush, held = cast("_Mark", mark)
        return {*self.live.touched_since(flush), *changed(flush.touched, held)}

    def begin(self) -> None:
        """Make a savepoint."""
        self.live.begin(None if self.live.is_clean() else self._encode)

    def _encode(self, items: dict[Any, Any]) -> dict[Any, bytes]:
        blobs = encode_quietly(lambda: self.codec.encode_items(items))
        return dict(zip(items, blobs.values(), strict=True))

    def depth(self) -> int:
        """Count the savepoints."""
        return self.live.depth()

    def release(self) -> None:
        """Forget the last savepoint."""
        self.live.commit()

    def roll_back(self) -> Undo:
        """Return what returns to the last savepoint; it runs no code of the user's."""
        return self.live.rollback()
