"""`database_machine`: whatever is done to a database, it equals a dict.

Hypothesis draws programs of changes, flushes, crashes and the like, runs each on a
real `Database` and on a dict, and compares both after each step.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Generic, Literal, TypeVar, overload

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from storify.database import Database
from storify.exceptions import ConflictError
from storify.models import Model

from ._changes import (
    GONE,
    Again,
    Change,
    Edit,
    Remove,
    Write,
    edits,
    looks_at,
    value_of,
    with_keys,
)
from ._same import same
from ._stage import Keep, Opened, Stage, Writer, agree

A = TypeVar("A", bound=Model)
B = TypeVar("B", bound=Model)
C = TypeVar("C", bound=Model)
D = TypeVar("D", bound=Model)
V = TypeVar("V")

#: A flush of a small database makes about so many disk calls.
_CALLS: Final = 40


class _Undone(Exception):  # noqa: N818 -- it leaves a block, and is no error
    """Leaves a transaction."""


def _expect_conflict(
    opened: Opened[Any], act: Callable[[], object], keys: set[Any]
) -> None:
    """See that something is refused, and changes nothing."""
    found = None
    try:
        act()
    except ConflictError as error:
        found = set(error.keys)
    agree("keys in conflict", keys, found)
    opened.compare()


def _drawn(
    draw: "Callable[[DatabaseMachine[Any]], st.SearchStrategy[Any]]",
) -> st.SearchStrategy[Any]:
    """Return what a running machine says is to be drawn."""
    return st.runner().flatmap(draw)


_KEY: Final = _drawn(lambda self: self.keys)
_VALUE: Final = _drawn(lambda self: self.values)
_WRITER: Final = _drawn(lambda self: st.sampled_from(self._writers))
_LIVE_KEY: Final = _drawn(lambda self: st.sampled_from(list(self.expected)))
_ITEMS: Final = _drawn(lambda self: st.dictionaries(self.keys, self.values, max_size=2))
_FIRST_ITEMS: Final = _drawn(
    lambda self: st.dictionaries(
        self.keys, self.values, max_size=2 if self.at_random else 0
    )
)
_EDIT: Final = _drawn(lambda self: edits(self.expected, self.values, self._fits))
_LOOK: Final = _drawn(lambda self: looks_at(self.expected))
_HELD_EDIT: Final = _drawn(lambda self: self._held_edits())
_SECONDS: Final = _drawn(lambda self: self._changes("second"))
_SIDE: Final[st.SearchStrategy[Keep]] = st.sampled_from(["mine", "theirs", None])
_HAS_KEYS: Final = precondition(lambda self: self.at_random and self.expected)
_HOLDS: Final = precondition(lambda self: self.at_random and self._held)
_AT_RANDOM: Final = precondition(lambda self: self.at_random)
_IS_UNSAVED: Final = precondition(
    lambda self: self._opened["first"].expected.is_touched
)
#: What rules of yours did is saved, and must be there after a crash as well.
_MAY_CRASH: Final = precondition(
    lambda self: not self.at_random or self._opened["first"].expected.is_touched
)


class DatabaseMachine(Stage[V], Generic[V]):
    """A state machine over a real database; made by `database_machine` or derived.

    ::

        class Users(DatabaseMachine[User]):
            classes = (User,)

            @invariant()
            def nobody_is_minus_one(self):
                assert all(user.age != -1 for user in self.db.values())

        TestUsers = Users.TestCase

    Rules of yours may change ``self.db`` by your own code; they end with
    ``self.accept()``. Or they call rules that are there, as ``self.put(key, user)``.
    A `ConflictError` may meet them where they flush, unless *second_writer* is false.

    Attributes:
        classes: The model classes of the records; none: any values.
        values: What records are drawn from; `models` of *classes* unless given.
        keys: What keys are drawn from, few enough that they meet again. They must
            be equal to themselves, as NaN is not.
        other_keys: Those of the second writer, *keys* unless given. None of them may
            be equal to one of *keys* and of another type, as True is to 1.
        engine: Whether the database is in files, in memory or on a PostgreSQL server.
        url: Of that server; that of the fixture ``pg_sf`` unless given.
        second_writer: Whether another instance of the database changes it, too.
        at_random: Whether records are put, changed and deleted at random. If not,
            what is in the database comes from your rules alone.
        place: The folder or URL of the database.
    """

    # -- changes ---------------------------------------------------------------

    @initialize(items=_FIRST_ITEMS)
    def begin_with(self, items: dict[Any, Any]) -> None:
        """Have something saved from the start."""
        if items:
            self.update(items)
            self.flush("first", compact=False, keep=None)

    @_AT_RANDOM
    @rule(key=_KEY, value=_VALUE)
    def put(self, key: Any, value: Any) -> None:
        """Set a key."""
        self._do(Write({key: value}))

    @_AT_RANDOM
    @rule(items=_ITEMS)
    def update(self, items: dict[Any, Any]) -> None:
        """Set several keys."""
        self._do(Write(items))

    @_HAS_KEYS
    @rule(key=_KEY, of=_LIVE_KEY)
    def put_again(self, key: Any, of: Any) -> None:
        """Put a live value under another key, too."""
        self._do(Again(key, of))

    @_HAS_KEYS
    @rule(key=_LIVE_KEY)
    def delete(self, key: Any) -> None:
        """Delete a key."""
        self._do(Remove(key))

    @_HAS_KEYS
    @rule(key=_LIVE_KEY)
    def pop(self, key: Any) -> None:
        """Take a value out."""
        self._do(Remove(key, "pop"))

    @_HAS_KEYS
    @rule(key=_LIVE_KEY)
    def move_to_end(self, key: Any) -> None:
        """Take a value out and put it in again."""
        self._do(Remove(key, "move"))

    @_HAS_KEYS
    @rule(edit=_EDIT)
    def change(self, edit: Edit) -> None:
        """Change a live value in place: a field, or something at any depth."""
        self._do(edit)

    @_HAS_KEYS
    @rule(edit=_EDIT)
    def change_and_flush(self, edit: Edit) -> None:
        """Change a live value in place, which is perhaps all that there is to save."""
        self._do(edit)
        self.flush("first", compact=False, keep="mine")

    @rule(key=_KEY)
    def read(self, key: Any) -> None:
        """Read one value."""
        expected = value_of(self.expected, key)
        agree(f"db.get({key!r})", expected, self.db.get(key, GONE))

    @_HAS_KEYS
    @rule(part=_LOOK)
    def hold(self, part: Edit) -> None:
        """Keep a live value, or a part of it: it stays the one in the database."""
        self._opened["first"].hold(part)

    @_HOLDS
    @rule(edit=_HELD_EDIT)
    def change_held(self, edit: Edit) -> None:
        """Change what is held, as a program does that does not ask for it again."""
        self._opened["first"].change_held(edit)

    @_HAS_KEYS
    @rule(edit=_EDIT)
    def flush_and_change_held(self, edit: Edit) -> None:
        """Hold a live value, or a part of it, while it is saved, and change it then."""
        first = self._opened["first"]
        first.hold(edit)
        self.flush("first", compact=False, keep="mine")
        if edit.key in first.held:
            first.change_held(edit)

    @precondition(lambda self: self.expected)
    @rule()
    def read_all(self) -> None:
        """Read all values."""
        self._opened["first"].compare()

    @precondition(lambda self: self.second_writer and self.at_random)
    @rule(change=_SECONDS)
    def change_in_second(self, change: Change) -> None:
        """Let the second writer change something, which is in its memory alone."""
        self._opened["second"].do(change)

    @precondition(lambda self: self.second_writer and self.at_random)
    @rule(change=_SECONDS)
    def change_and_flush_in_second(self, change: Change) -> None:
        """Let the second writer save a change: what is changed here meets it."""
        self._opened["second"].do(change)
        self.flush("second", compact=False, keep="mine")

    # -- saving ----------------------------------------------------------------

    @rule(writer=_WRITER, compact=st.booleans(), keep=_SIDE)
    def flush(self, writer: Writer, compact: bool, keep: Keep) -> None:
        """Save what a writer has; on a conflict nothing changes until it is solved."""
        opened = self._opened[writer]
        conflicts = self._conflicts(writer)
        if conflicts:
            _expect_conflict(opened, opened.db.flush, conflicts)
            if keep is None:
                return
            self.reload(writer, keep)
        opened.db.flush(compact=compact)
        self._commit(opened)
        agree("dirty() after a flush", set[Any](), opened.db.dirty())

    @precondition(lambda self: self.second_writer)
    @rule(writer=_WRITER, keep=_SIDE)
    def reload(self, writer: Writer, keep: Keep) -> None:
        """Adopt what the other writer saved; what is changed here stays unsaved."""
        opened, conflicts = self._opened[writer], self._conflicts(writer)
        if conflicts and keep is None:
            _expect_conflict(opened, opened.db.reload, conflicts)
        else:
            theirs = conflicts if keep == "theirs" else set[Any]()
            self._adopt(opened, keep, theirs)

    @_IS_UNSAVED
    @rule()
    def load(self) -> None:
        """Go back to what was saved last."""
        first = self._opened["first"]
        first.db.load()
        first.held.clear()
        if self._durable.state is not None:
            first.expected.settle(self._durable.state)

    @precondition(lambda self: self.expected)
    @rule()
    def reopen(self) -> None:
        """Close the database, which saves it, and open it anew."""
        self._settle()
        first = self._opened["first"]
        order = list(first.db)
        first.db.close()
        self._commit(first, order)
        self._opened["first"] = Opened(self.open_db(), self._durable.state)

    @rule(data=st.data(), fails=st.booleans(), inner_fails=st.booleans())
    def transaction(self, data: st.DataObject, fails: bool, inner_fails: bool) -> None:
        """Change several records at once, or none of them; with a savepoint inside."""
        self._settle()
        first, db = self._opened["first"], self.db
        with suppress(_Undone), db.transaction():
            self._commit(first)
            before = first.expected.copy()
            self._do_some(data)
            middle = first.expected.copy()
            with suppress(_Undone), db.transaction():
                self._do_some(data)
                if inner_fails:
                    first.expected = middle
                    raise _Undone
            if inner_fails:
                first.held.clear()  # what cannot go back in place is replaced
            if inner_fails or fails:
                first.compare()  # makes all live, which would hide what a commit loses
            if fails:
                first.expected = before
                raise _Undone
        if fails:
            first.held.clear()
        else:
            self._commit(first)
        agree("dirty() after a transaction", set[Any](), db.dirty())

    @precondition(lambda self: self._durable.past)
    @rule(data=st.data(), some=st.booleans())
    def restore(self, data: st.DataObject, some: bool) -> None:
        """Make an older state the present one, or some keys of it."""
        backups = self.db.backups
        if not backups.list:
            return  # nothing was written by what was done since
        self._settle()
        first = self._opened["first"]
        which = data.draw(st.sampled_from(backups.list), "backup")
        then = self._saved_before(which)
        here = [*dict.fromkeys([*then, *self._merged(first)])]
        # Rules of yours keep several records in step, which some of them would break.
        some = some and self.at_random and bool(here)
        keys = (
            data.draw(st.lists(st.sampled_from(here), max_size=2), "keys")
            if some
            else None
        )
        self._commit(first)
        target = then if keys is None else with_keys(self._durable.state, then, keys)
        backups.restore(which, keys)
        first.held.clear()
        self._durable.commit(target)
        first.expected.settle(target)

    # -- the end of a program --------------------------------------------------

    @_MAY_CRASH
    @rule()
    def crash(self) -> None:
        """End the program without a flush: what was saved last is there."""
        self._start_again()

    @precondition(lambda self: self._place.has_disk)
    @_IS_UNSAVED
    @rule(call=st.integers(1, _CALLS), torn=st.booleans())
    def crash_in_flush(self, call: int, torn: bool) -> None:
        """End the program at a disk call of a flush: all of it is there, or nothing."""
        self._settle()
        first = self._opened["first"]
        old, new = self._durable.state, self._merged(first)
        survived = self._place.kill(first.db.flush, call, torn=torn)
        self._start_again()
        found = dict(self.db.data)
        if survived or not same(found, old or {}):
            agree("db after a crash in a flush", new, found)
            self._durable.commit(new)
        for opened in self._opened.values():
            opened.expected.rebase(self._durable.state)


@overload
def database_machine(
    cls: type[A],
    /,
    *,
    open: Callable[[str], Database[A, Any]] | None = ...,
    value: st.SearchStrategy[A] | None = ...,
    keys: st.SearchStrategy[Any] | None = ...,
    engine: Literal["file", "memory", "postgres"] = ...,
    url: str | None = ...,
) -> type[DatabaseMachine[A]]: ...
@overload
def database_machine(
    cls: type[A],
    second: type[B],
    /,
    *,
    open: Callable[[str], Database[Any, Any]] | None = ...,
    value: st.SearchStrategy[A | B] | None = ...,
    keys: st.SearchStrategy[Any] | None = ...,
    engine: Literal["file", "memory", "postgres"] = ...,
    url: str | None = ...,
) -> type[DatabaseMachine[A | B]]: ...
@overload
def database_machine(
    *classes: type[Model],
    open: Callable[[str], Database[Any, Any]] | None = ...,
    value: st.SearchStrategy[Any] | None = ...,
    keys: st.SearchStrategy[Any] | None = ...,
    engine: Literal["file", "memory", "postgres"] = ...,
    url: str | None = ...,
) -> type[DatabaseMachine[Any]]: ...
def database_machine(
    *classes: type[Model],
    open: Callable[[str], Database[Any, Any]] | None = None,  # noqa: A002 -- it reads well
    value: st.SearchStrategy[Any] | None = None,
    keys: st.SearchStrategy[Any] | None = None,
    engine: Literal["file", "memory", "postgres"] = "file",
    url: str | None = None,
) -> type[DatabaseMachine[Any]]:
    """Make a state machine over a real database of some classes.

    ::

        TestUsers = database_machine(User, Order).TestCase

    That is a whole test: Hypothesis puts, deletes and changes records, flushes,
    reopens, crashes, lets a second writer change the same database, rolls back and
    restores, and compares with a dict after each step. What fails is printed as the
    shortest program that fails. ``TestUsers.settings`` says how many programs there
    are, and how long they get.

    For rules and invariants of yours, derive from what this gives, or better, for
    type checkers, from `DatabaseMachine`.

    Args:
        *classes: What the records are of; without any, they are any values.
        open: Opens the database in a folder (or ``memory://`` URL), anew each time.
            A `Storify` with *classes* is made unless given.
        value: What records are drawn from; `models` of *classes* unless given.
        keys: What keys are drawn from; see `DatabaseMachine`.
        engine: Whether the database is in files, in memory or on a PostgreSQL server,
            in a schema of its own.
        url: Of that server, which it means; that of the fixture ``pg_sf`` unless given.

    Raises:
        ValueError: *open* is given for a server: it would not know the schema.
    """
    engine = "postgres" if url is not None else engine
    if open is not None and engine == "postgres":
        msg = "open= is for folders: derive from DatabaseMachine, and override open_db"
        raise ValueError(msg)
    given: dict[str, Any] = {"classes": classes, "engine": engine, "url": url}
    if value is not None:
        given["values"] = value
    if keys is not None:
        given["keys"] = keys
    if open is not None:

        def open_db(self: DatabaseMachine[Any]) -> Database[Any, Any]:
            return open(self.place)

        given["open_db"] = open_db
    name = "".join(cls.__name__ for cls in classes) + "Machine"
    return type(name, (DatabaseMachine,), given)
