"""A list as the root: eager, compared and saved as one value."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from storify._typing import override
from storify.codec import Codec
from storify.database.live.canonical import same_value
from storify.database.live.ownership import Parts, changed, parts_of_all
from storify.database.live.refresh import refresh
from storify.database.live.savepoints import Undo
from storify.database.live.slots import MISSING
from storify.database.session.changes import (
    Pending,
    Refused,
    Root,
    Side,
    Take,
    encode_quietly,
)
from storify.database.session.keys import LIST, contents
from storify.engine import Change, Snapshot
from storify.exceptions import UnstorableError

__all__ = ["ListRoot"]


class ListRoot(Root):
    """A live list and the bytes that it was last saved as.

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

    @override
    def replace(self, root: dict[Any, Any] | list[Any]) -> bool:
        if not isinstance(root, list):
            return False
        self.live = root
        return True

    @override
    def begin_flush(self) -> Pending:
        # First of all: what a handler begins meanwhile makes this an old one.
        self._mark = mark = object()
        form = self._codec.form
        return _PendingList(self, mark, self._encode(), form)

    @override
    def begin_look(self) -> tuple[Pending, Refused]:
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

    @override
    def durable(self) -> dict[bytes, bytes]:
        if self._over:
            return self._over
        return {} if self._stored is None else {LIST: self._stored}

    @override
    def page_in(self, keys: Iterable[bytes]) -> None:
        """All is in memory."""

    @override
    def fill(self, later: Mapping[bytes, bytes] | None = None) -> None:
        """All is in memory."""

    @override
    def is_crowded(self) -> bool:
        return False

    @override
    def make_do(self) -> None:
        """Do nothing: a list is in memory as a whole."""

    @override
    def renew(self, pages: Snapshot) -> None:
        """Do nothing: a list is in memory as a whole."""

    @override
    def let_go(self) -> None:
        """Nothing is held: all is in memory."""

    @override
    def forget(self) -> None:
        self._stored = None
        self._over = {}

    @override
    def moved_much(self, pending: Pending) -> bool:
        del pending
        return False

    @override
    def for_file(self, changes: list[Change]) -> list[Change]:
        return changes

    @override
    def note_file(self, entries: Iterable[bytes]) -> None:
        """There are no keys to spell."""

    @override
    def spell(self, changes: list[Change]) -> list[Change]:
        return changes

    @override
    def spell_entries(self, entries: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        return dict(entries)

    @override
    def conflicts(self, theirs: list[Change], pending: Pending) -> list[Any] | None:
        if not pending.changes or not theirs:
            return None
        stored = contents(theirs).get(LIST)
        mine = pending.contents.get(LIST)
        return None if same_value(self._codec, stored, mine) else []

    @override
    def arrange(self, entries: Iterable[bytes], last: list[Any]) -> None:
        """There are no keys to arrange."""

    @override
    def merge(self, theirs: list[Change], pending: Pending, side: Side | None) -> Take:
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

    @override
    def storable(self, report: Callable[[Exception], None]) -> dict[bytes, bytes]:
        items, refused = self._sift()
        for error in refused.values():
            report(error)
        return {LIST: self._codec.encode(items)}

    # -- transactions ----------------------------------------------------------

    @override
    def mark(self) -> dict[None, Parts]:
        return parts_of_all({None: self.live})

    @override
    def changed_since(self, mark: object) -> set[Any]:
        before = cast("dict[None, Parts]", mark)
        return set(changed({None: self.live}, before))

    @override
    def begin(self) -> None:
        self._savepoints.append((self.live, self._encode()))

    @override
    def release(self) -> None:
        self._savepoints.pop()

    @override
    def depth(self) -> int:
        return len(self._savepoints)

    @override
    def roll_back(self) -> Undo:
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
