"""A list as the root: eager, compared and saved as one value."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from storify.codec import Codec
from storify.database.live.canonical import same_value
from storify.database.live.ownership import Parts, changed, parts_of_all
from storify.database.live.refresh import refresh
from storify.database.live.savepoints import Undo
from storify.database.live.slots import MISSING
from storify.database.session.changes import (
    Pending,
    Refused,
    Side,
    Take,
    encode_quietly,
)
from storify.database.session.keys import LIST, contents
from storify.engine import Change, Snapshot
from storify.exceptions import UnstorableError

__all__ = ["ListRoot"]


class ListRoot:
    """A live list and the bytes that it was last saved as.

    Attributes:
        live: The list.

    Args:
        live: The list, used as it is.
        codec: Values to bytes and back.
        stored: Its durable bytes; None if there are none.
        over: The durable entries of a dict root that this one replaces.
    """

    def __init__(
        self,
        live: list[Any],
        codec: Codec,
        stored: bytes | None = None,
        over: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.live: list[Any] = live
        self._codec = codec
        self._stored = stored
        #: What of it we encoded last, and the `Codec.form` of then.
        self._own: tuple[bytes | None, object] = (None, None)
        self._over = dict(over or {})
        self._savepoints: list[tuple[list[Any], bytes]] = []
        #: That of the `Pending` that was begun last.
        self._mark = object()

    def replace(self, root: dict[Any, Any] | list[Any]) -> bool:
        """Take another list in its place; False for a dict."""
        if not isinstance(root, list):
            return False
        self.live = root
        return True

    def begin_flush(self) -> Pending:
        """Return what is to be saved."""
        # First of all: what a handler begins meanwhile makes this an old one.
        self._mark = mark = object()
        form = self._codec.form
        return _PendingList(self, mark, self._encode(), form)

    def begin_look(self) -> tuple[Pending, Refused]:
        """Return the items that can be saved, and those that cannot be stored."""
        try:
            return self.begin_flush(), {}
        except (UnstorableError, RuntimeError):
            form = self._codec.form
            items, refused = self._sift()
            blob = self._codec.encode(items)
            return _PendingList(self, object(), blob, form), refused

    def _sift(self) -> tuple[list[Any], Refused]:
        refused: Refused = {}
        items: list[Any] = []
        for at, item in enumerate(list(self.live)):
            try:
                self._codec.encode(item, f"$[{at}]")
            except (UnstorableError, RuntimeError) as error:
                refused[at] = error
            else:
                items.append(item)
        return items, refused

    def is_newest(self, mark: object) -> bool:
        """Whether what has this mark was begun last."""
        return self._mark is mark

    def _encode(self) -> bytes:
        encoded = encode_quietly(lambda: {LIST: self._codec.encode(self.live)})
        return encoded[LIST]

    def changes(self, blob: bytes) -> list[Change]:
        """What makes the durable state of *blob*."""
        if self._over:
            return [*((key, None) for key in self._over), (LIST, blob)]
        own, form = self._own
        if own is not None and own is self._stored and form == self._codec.form:
            same = own == blob  # there is no other spelling to look for
        else:
            same = same_value(self._codec, self._stored, blob)
        return [] if same else [(LIST, blob)]

    def committed(self, blob: bytes, form: object) -> None:
        """Take *blob* for durable, which was encoded in a form."""
        self._stored = blob
        self._own = blob, form
        self._over = {}

    def durable(self) -> dict[bytes, bytes]:
        """The durable entries."""
        if self._over:
            return self._over
        return {} if self._stored is None else {LIST: self._stored}

    def page_in(self, keys: Iterable[bytes]) -> None:
        """All is in memory."""

    def fill(self, later: Mapping[bytes, bytes] | None = None) -> None:
        """All is in memory."""

    def is_crowded(self) -> bool:
        """Say that it is not: a list is in memory as a whole."""
        return False

    def make_do(self) -> None:
        """Do nothing: a list is in memory as a whole."""

    def renew(self, pages: Snapshot) -> None:
        """Do nothing: a list is in memory as a whole."""

    def let_go(self) -> None:
        """Nothing is held: all is in memory."""

    def forget(self) -> None:
        """Nothing of it is durable any more."""
        self._stored = None
        self._over = {}

    def moved_much(self, pending: Pending) -> bool:
        """Nothing moves: there are no keys."""
        del pending
        return False

    def for_file(self, changes: list[Change]) -> list[Change]:
        """There are no keys to spell."""
        return changes

    def note_file(self, entries: Iterable[bytes]) -> None:
        """There are no keys to spell."""

    def spell(self, changes: list[Change]) -> list[Change]:
        """There are no keys to spell."""
        return changes

    def spell_entries(self, entries: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """There are no keys to spell."""
        return dict(entries)

    def conflicts(self, theirs: list[Change], pending: Pending) -> list[Any] | None:
        """``[]`` if both sides changed it, to different lists; else None."""
        if not pending.changes or not theirs:
            return None
        stored = contents(theirs).get(LIST)
        mine = pending.contents.get(LIST)
        return None if same_value(self._codec, stored, mine) else []

    def arrange(self, entries: Iterable[bytes], last: list[Any]) -> None:
        """There are no keys to arrange."""

    def merge(self, theirs: list[Change], pending: Pending, side: Side | None) -> Take:
        """Return what takes what another writer committed, or notes it as durable."""
        if not theirs:
            return _nothing
        stored = contents(theirs)[LIST]
        takes = stored is not None and (not pending.changes or side == "theirs")
        content = self._codec.decode_root(stored) if takes and stored else MISSING

        def take(*, careful: bool) -> None:
            del careful  # whoever holds the list may change it without a look at us
            if content is not MISSING:
                refresh(self.live, content)
            self._stored = stored
            self._over = {}

        return take

    def storable(self, report: Callable[[Exception], None]) -> dict[bytes, bytes]:
        """Encode the items that can be."""
        items, refused = self._sift()
        for error in refused.values():
            report(error)
        return {LIST: self._codec.encode(items)}

    # -- transactions ----------------------------------------------------------

    def mark(self) -> dict[None, Parts]:
        """Return what `changed_since` compares with."""
        return parts_of_all({None: self.live})

    def changed_since(self, mark: object) -> set[Any]:
        """Return None, which stands for the list, if it may have been changed since."""
        before = cast("dict[None, Parts]", mark)
        return set(changed({None: self.live}, before))

    def begin(self) -> None:
        """Make a savepoint."""
        self._savepoints.append((self.live, self._encode()))

    def release(self) -> None:
        """Forget the last savepoint."""
        self._savepoints.pop()

    def depth(self) -> int:
        """Count the savepoints."""
        return len(self._savepoints)

    def roll_back(self) -> Undo:
        """Return what returns to the last savepoint, in the list object of then."""
        point = self._savepoints[-1]
        live, blob = point
        same = live is self.live and self._encode_or_none() == blob
        content = MISSING if same else self._codec.decode_root(blob)

        def undo() -> None:
            self.live = live
            if content is not MISSING:
                refresh(live, content)
            self._savepoints.remove(point)

        return undo

    def _encode_or_none(self) -> bytes | None:
        try:
            return self._encode()
        except (UnstorableError, RuntimeError):
            return None


class _PendingList(Pending):
    def __init__(self, root: ListRoot, mark: object, blob: bytes, form: object) -> None:
        changes = root.changes(blob)
        held = {LIST: blob} if changes else {}
        super().__init__(changes, dict(held), dict.fromkeys(key for key, _ in changes))
        self._root = root
        self._mark = mark
        self._blob = blob
        self._form = form

    def stored(self, key: bytes) -> bytes | None:
        return self._root.durable().get(key)

    def entries(self) -> dict[bytes, bytes]:
        return {LIST: self._blob}

    def is_newest(self) -> bool:
        return self._root.is_newest(self._mark)

    def done(self) -> None:
        if self.changes:
            self._root.committed(self._blob, self._form)

    def drop(self) -> None:
        """Nothing was taken out of the list."""


def _nothing(*, careful: bool) -> None:
    """Nothing was committed by others."""
    del careful
