"""`Ref`: a typed reference to a record of the same or another database."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, Self, TypeVar, cast, overload

from storify.exceptions import DanglingRefError, ModelLoadError

from .base import Model
from .fields import field
from .hints import key_step
from .state import state_of

__all__ = ["Expected", "Home", "Ref"]

T_co = TypeVar("T_co", covariant=True)
D = TypeVar("D")


class Records(Protocol):
    """The records of one database, to look at: nobody gets them."""

    def __contains__(self, key: object, /) -> bool:
        """Tell whether there is a record of that key."""
        ...

    def peek(self, key: Any) -> Any:
        """Return a record that is there, decoded once more if it is not in memory.

        Raises:
            LookupError: There is none any more, or it cannot be decoded.
        """
        ...


class Home(Protocol):
    """Where references are looked up: the databases of one `Storify`."""

    def look_up(self, db: str, key: Any) -> Any:
        """Return the live record; opens its database if need be, never makes one.

        Raises:
            DanglingRefError: The databases are gone themselves.
            LookupError: There is no such database or key.
            ModelLoadError: The record does not fit its class.
        """
        ...

    def place(self) -> tuple[str, int] | None:
        """Tell where the databases are, to compare; None if they are gone."""
        ...

    def records(self, db: str) -> Records | None:
        """Return the records of a database to look at, None if it cannot be opened.

        Raises:
            DanglingRefError: The databases are gone themselves.
        """
        ...


class Expected:
    """What the annotation of a loaded reference says of the record behind it.

    Args:
        place: Where the annotation stands.
        judge: Says what a record should be, and what it is; None if it is that.
    """

    __slots__ = ("_judge", "_place")

    def __init__(
        self, place: str, judge: Callable[[Any], tuple[str, str] | None]
    ) -> None:
        self._place = place
        self._judge = judge

    def demand(self, db: str, key: Any, record: Any) -> None:
        """Raise unless the record is what it should be.

        Raises:
            ModelLoadError: It is not.
        """
        found = self._judge(record)
        if found is None:
            return
        path = f"${key_step(key)}"
        msg = (
            f"cannot follow the reference in {self._place} to {path} of database "
            f"{db!r}: expected {found[0]}, found {found[1]}"
        )
        raise ModelLoadError(msg, path)


class Ref(Model, Generic[T_co], frozen=True, keyname="__storify_ref__"):
    """A reference to a record, stored as the name of its database and its key.

    ::

        class Order(Model):
            customer: Ref[User]

        orders["o1"] = Order(users.ref("u1"))
        orders["o1"].customer().name

    A record that is put into another one by value is a part of it: two records that
    share one object come back with a copy each. Where both are to see one record,
    and its changes, they hold a reference to it.

    Get one by ``db.ref(key)``, or from a record that was loaded: these know the
    `Storify` that they are looked up in, and do not keep it alive. One that was made
    by hand, as ``Ref("users", "u1")``, or unpickled, can be stored but not followed;
    it can be once its record was loaded by a `Storify`. A database that was opened
    by its path alone has no others to look in.

    What ``T`` says of the record is checked when a reference is followed that was
    loaded where an annotation says it, as of a field; `db.check` tells where it is not
    so. One that was made just now does not know it, and gives what is there, if that is
    of the type of its own database.

    Two references to one record are equal, and have one hash. A record that is
    deleted, or a database that is renamed, leaves its references dangling.

    Attributes:
        db: The name of the database.
        key: The key of the record, of any hashable storable type; an index of a list
            database.
    """

    db: str
    key: Any
    _home: Home | None = field(default=None, init=False)
    _expected: Expected | None = field(default=None, init=False)

    @classmethod
    def _to(cls, db: str, key: Any, home: Home | None) -> Self:
        """Make a reference that is looked up in *home*."""
        made = cls(db, key)
        state_of(made)["_home"] = home
        return made

    def __call__(self) -> T_co:
        """Return the live record.

        Raises:
            DanglingRefError: There is none, or nobody knows where to look.
            ModelLoadError: The record does not fit its class, or is not what the
                annotation says that the reference was loaded at.
        """
        try:
            return self._look_up()
        except DanglingRefError:
            raise
        except LookupError as err:
            msg = (
                f"cannot follow the reference to key {self.key!r} of database "
                f"{self.db!r}: there is no such record; use get() where it may be gone"
            )
            raise DanglingRefError(msg) from err

    @overload
    def get(self) -> T_co | None: ...
    @overload
    def get(self, default: D) -> T_co | D: ...
    def get(self, default: Any = None) -> Any:
        """Return the live record, *default* if there is none.

        Raises:
            DanglingRefError: Nobody knows where to look.
            ModelLoadError: The record does not fit its class, or is not what the
                annotation says that the reference was loaded at.
        """
        try:
            return self._look_up()
        except DanglingRefError:
            raise
        except LookupError:
            return default

    def _look_up(self) -> T_co:
        if self._home is None:
            msg = (
                f"cannot follow the reference to key {self.key!r} of database "
                f"{self.db!r}: it was made by hand, or loaded without a Storify; get "
                f"it from db.ref(key)"
            )
            raise DanglingRefError(msg)
        record = self._home.look_up(self.db, self.key)
        if self._expected is not None:
            self._expected.demand(self.db, self.key, record)
        return cast("T_co", record)

    def __copy__(self) -> Self:
        """Return the reference itself: it never changes."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the reference itself: it never changes."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled; where to look is known in this process alone."""
        return {**state_of(self), "_home": None, "_expected": None}
