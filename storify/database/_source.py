"""An open database, as all that works on it sees it.

A `Database` is what the user holds; it, its queries and indexes, its backups, its check
and its migration work on one `Source`: the live root, with what its owner declared of
it. Only a typed database looks at what it gives: a record that does not fit its class
is an error when it is read, never silently a dict.

A `Scan` is one pass over its records, which hands out what is wanted of them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain, compress, islice, repeat
from operator import is_, itemgetter
from typing import Any, Final, cast

from storify.database._schema import Judge, Schema, Use
from storify.database.live.data import Data, Stored
from storify.database.live.slots import MISSING, Missing, storage
from storify.database.session.session import Session
from storify.exceptions import (
    DatabaseClosedError,
    DatabaseLoadError,
    DatabaseReadOnlyError,
    ModelLoadError,
)
from storify.models import Unloaded
from storify.models.hints import key_step


def path_of(key: object) -> str:
    return f"${key_step(key)}"


class Source:
    """An open database.

    Args:
        session: Its live root, and how it is saved.
        schema: The types that it knows.
        use: What its owner declared.

    Attributes:
        name: Its name, for messages.
        session: As given.
        schema: As given.
        use: As given; replaced when it is asked for with a type that it had not.
        judge: Knows the declared type of the values; None if there is none.
        defunct: Whether it was closed.
        destroyed: Whether its file is gone, too.
    """

    __slots__ = (
        "__weakref__",
        "defunct",
        "destroyed",
        "judge",
        "name",
        "schema",
        "session",
        "use",
    )

    def __init__(self, session: Session, schema: Schema, use: Use) -> None:
        self.name: str = session.name
        self.session: Session = session
        self.schema: Schema = schema
        self.defunct: bool = False
        self.destroyed: bool = False
        self.declare(use)

    def declare(self, use: Use) -> None:
        """Have loaded values judged by the type, and unknown classes refused."""
        self.use: Use = use
        hint = use.hint
        self.judge: Judge | None = None if hint is None else Judge(self.schema, hint)
        if self.judge is not None:
            self.session.expect(self.judge.quick_look)
        if self.judge is not None or use.strict:
            self.session.encoding = self.schema.registry.refusing

    # -- the root --------------------------------------------------------------

    def root(self) -> dict[Any, Any] | list[Any]:
        """Return the live root.

        Raises:
            DatabaseClosedError: The database was closed.
        """
        if self.defunct:
            what = "destroyed" if self.destroyed else "closed"
            msg = f"database {self.name!r} is {what}; get it anew to use it"
            raise DatabaseClosedError(msg)
        session = self.session
        if session.is_cut_off() and not session.lock.is_mine():
            with session.lock:
                session.finish_cut_off()
        return session.data

    def writable(self) -> dict[Any, Any] | list[Any]:
        """Return the live root, to be changed; wait for the transaction of another.

        Raises:
            DatabaseClosedError: The database was closed.
            DatabaseReadOnlyError: It was opened to be read.
        """
        root = self.root()
        if self.use.readonly:
            msg = (
                f"cannot change database {self.name!r}: it was opened read-only; "
                f"open it without readonly=True"
            )
            raise DatabaseReadOnlyError(msg)
        session = self.session
        if session.is_inherited and not session.was_told_of_fork:
            self._tell_of_fork()
        if session.wait_for_transaction():
            return self.root()  # it may be another one now, or closed
        return root

    def _tell_of_fork(self) -> None:
        if not self.session.in_transaction:
            self.session.log.warning(self.session.words_about_fork())

    def mapping(self, method: str, *, writable: bool = False) -> dict[Any, Any]:
        """Return the live root, as `root` and `writable` do.

        Raises:
            TypeError: It is a list, which has no such method.
        """
        root = self.writable() if writable else self.root()
        if isinstance(root, dict):
            return root
        msg = (
            f"cannot call {method}() of database {self.name!r}: its root is a list, "
            f"which has no such method"
        )
        raise TypeError(msg)

    def sequence(self, what: str, *, writable: bool = False) -> list[Any]:
        """Return the live root, as `root` and `writable` do.

        Raises:
            TypeError: It is a dict, with which *what* cannot be done.
        """
        root = self.writable() if writable else self.root()
        if isinstance(root, list):
            return root
        msg = (
            f"cannot {what} database {self.name!r}: its root is a dict; "
            f"a list root is made by get_db(name, root=[])"
        )
        raise TypeError(msg)

    # -- what may be given out -------------------------------------------------

    def read(self, key: Any) -> Any:
        """Return the live value under *key*; for a list root, at an index.

        Raises:
            KeyError, IndexError: There is none.
            ModelLoadError: It is not of the declared type.
        """
        root: Any = self.root()
        value = root[key]
        self.check_type(key, value, root)
        return value

    def pairs(self, *, backwards: bool = False) -> Iterator[tuple[Any, Any]]:
        """Iterate over the keys and live values of a dict root.

        Raises:
            ModelLoadError: One is not of the declared type.
        """
        root: Any = self.mapping("items")
        items, judge = root.items(), self.judge
        for key, value in reversed(items) if backwards else items:
            if judge is not None and (
                value.__class__ is not judge.cls or root.doubtful
            ):
                self.check_type(key, value, root)
            yield key, value

    def check_type(self, key: Any, value: Any, root: Any) -> None:
        """Raise unless *value* is of the declared type.

        Raises:
            ModelLoadError: It is not, with the first place.
        """
        if type(value) is Unloaded:
            raise self.load_error(key, value)
        if self.judge is None:
            return
        if key.__class__ is slice and isinstance(root, list):
            places = range(*key.indices(len(cast("Any", root))))
            for at, item in zip(places, value, strict=True):
                self.check_type(at, item, root)
            return
        keys: Any = getattr(root, "doubtful", ())  # a list has none
        if root.__class__ is list:
            is_doubtful = self.schema.registry.has_met_misfits
            is_doubtful = is_doubtful or not self.judge.fits(value)
        else:
            is_doubtful = bool(keys) and key in keys
        misfit = self.judge.misfit(value, is_doubtful=is_doubtful)
        if misfit is not None:
            path = path_of(key) + misfit.path.removeprefix("$")
            msg = (
                f"cannot load {path} of database {self.name!r}: expected "
                f"{misfit.expected}, found {misfit.found}; it is kept as it is and can "
                f"be read by db.raw({key!r})"
            )
            raise ModelLoadError(msg, path)
        if is_doubtful and keys:
            keys.discard(key)

    def load_error(self, key: object, value: object) -> ModelLoadError:
        """Return what says why a record is an `Unloaded`."""
        record = cast("Unloaded", value)
        cause = record.error
        path = path_of(key) + (cause.path.removeprefix("$") if cause else "")
        reason = cause or (
            f"the class of {next(iter(record), None)!r} is not registered, "
            f"pass it in models=[...]"
        )
        msg = (
            f"cannot load {path} of database {self.name!r}: {reason}; the record is "
            f"kept as it is and can be read by db.raw({key!r})"
        )
        error = (type(cause) if cause else ModelLoadError)(msg, path)
        error.__cause__ = cause
        return error

    def checked_items(self, root: Any) -> Iterator[Any]:
        """Iterate over the items of a list root.

        Raises:
            ModelLoadError: One is not of the declared type.
        """
        for at, value in enumerate(root):
            self.check_type(at, value, root)
            yield value

    # -- what may be put in ----------------------------------------------------

    def is_guarded(self) -> bool:
        """Whether `admit` may refuse anything."""
        return self.use.strict or bool(self.session.constraints.held)

    def admit(self, key: object, value: object) -> None:
        """Raise if *value* must not be put under *key*."""
        if self.use.strict:
            self.schema.check_record(key, value, self.use)
        if self.session.constraints.held:
            self.session.constraints.admit(key, value)

    def admit_item(self, at: int, value: object) -> None:
        """Raise if *value* must not be put at an index."""
        if self.use.strict:
            self.schema.check_record(at, value, self.use)


# --- one pass over the records --------------------------------------------------------
#
# A record is seen as a row: its key, what lay in its slot when it was looked at, and
# its value. As long as the slot is the same, so is the value.

Row = tuple[Any, Any, Any]
"""A key, what was in its slot, and the value."""

Test = Callable[[Any, Any], object]
"""Whether a key and its record are wanted."""

_get = storage.get

#: The types of what is no record, or may be none.
_ODD: Final = frozenset({Stored, Unloaded, Missing})

# How many records are looked at together: more each time, so that to find the first
# costs little.
_FIRST: Final = 16
_MOST: Final = 1024


def name_record(error: Exception, key: object) -> None:
    """Note in an error of the user's code which record it was given."""
    error.add_note(f"the record is {path_of(key)}")


class Scan:
    """The records of one root, of which keys may come and go meanwhile.

    Args:
        source: The database.
        root: Its root. A list is looked at as it is now, its indexes are the keys.
    """

    def __init__(self, source: Source, root: dict[Any, Any] | list[Any]) -> None:
        self._source = source
        self._data = dict(enumerate(root)) if isinstance(root, list) else root
        self._root = root
        self._judge = source.judge

    def keys(self) -> Iterator[Any]:
        """Iterate over the keys of now, in order."""
        if isinstance(self._data, Data):
            return map(itemgetter(0), chain.from_iterable(self._data.stream()))
        return iter(self._data)

    def glance(self, keys: Iterable[Any]) -> Iterator[Row]:
        """Return rows without values, for those of *keys* that are there."""
        return ((key, None, None) for key in keys if key in self._data)

    def see(self, keys: Iterable[Any], *, strict: bool = True) -> Iterator[Row]:
        """Look at those of *keys* that are there.

        Args:
            keys: The keys.
            strict: Whether a record that cannot be read is an error, or left out.

        Raises:
            DatabaseLoadError: A record cannot be decoded.
            ModelLoadError: In a typed database, a record does not fit its class.
        """
        size, rest = _FIRST, iter(keys)
        while batch := list(islice(rest, size)):
            slots = self._slots_of(batch)
            values = self._peek_all(batch, slots)
            rows = zip(batch, slots, values, strict=True)
            if self._are_surely_fit(values):
                yield from rows
            else:
                for row in rows:
                    if row[1] is not MISSING and (strict or self._is_fit(row)):
                        yield self._fitting(row)
            size = min(4 * size, _MOST)

    def _slots_of(self, keys: list[Any]) -> list[Any]:
        data = self._data
        slots: list[Any] = list(map(_get, repeat(data), keys, repeat(MISSING)))
        if isinstance(data, Data) and any(map(is_, slots, repeat(MISSING))):
            pairs = zip(keys, slots, strict=True)
            return [data.page_in(key) if at is MISSING else at for key, at in pairs]
        return slots

    def _peek_all(self, keys: list[Any], slots: list[Any]) -> list[Any]:
        data = self._data
        if not isinstance(data, Data):
            return slots
        before = data.count_misfits()
        values = data.peek_all(slots)
        is_odd = data.count_misfits() != before + 1
        if is_odd or data.fits is not None:
            decoded = [type(slot) is Stored for slot in slots]
            now = compress(keys, decoded), compress(values, decoded)
            data.doubt(*now, is_odd=is_odd)
        return values

    def _are_surely_fit(self, values: list[Any]) -> bool:
        kinds = set(map(type, values))
        if self._judge is None:
            return _ODD.isdisjoint(kinds)
        return kinds <= {self._judge.cls} and not getattr(self._data, "doubtful", True)

    def _is_fit(self, row: Row) -> bool:
        """Whether the record can be read."""
        try:
            self._fitting(row)
        except (DatabaseLoadError, ModelLoadError):
            return False
        return True

    def _fitting(self, row: Row) -> Row:
        """Return a row, or raise what reading the record raises."""
        key, slot, value = row
        if isinstance(value, Stored) and isinstance(self._data, Data):
            value = self._data.peek(key, slot)
        if self._judge is not None:
            self._source.check_type(key, value, self._root)
        return key, slot, value

    def see_again(
        self, seen: Collection[tuple[Any, Any]], tests: Collection[Test]
    ) -> Iterator[Row]:
        """Look at records once more; what is another now has to pass *tests*.

        Args:
            seen: Their keys, and what was in the slots.
            tests: What they passed.
        """
        was = dict(seen)
        for row in self.see(list(was)):
            if row[1] is was[row[0]] or _passes(row, tests):
                yield row

    def give(self, rows: Iterable[Row], tests: Collection[Test]) -> Iterator[Row]:
        """Hand out the live records that were seen.

        One that was deleted meanwhile is left out; what was set in its place has to
        pass *tests*.
        """
        data = self._data
        for row in rows:
            key, slot, value = row
            if slot is value:  # it was live
                is_same = _get(data, key, MISSING) is slot
            else:
                is_same = isinstance(data, Data) and data.hand_out(key, slot, value)
            if is_same:
                yield row
            elif (now := data.get(key, MISSING)) is not MISSING:
                new = self._fitting((key, now, now))
                if _passes(new, tests):
                    yield new


def _passes(row: Row, tests: Iterable[Test]) -> bool:
    key, _, value = row
    return all(test(key, value) for test in tests)
