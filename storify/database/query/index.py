"""`Index`: the records of a database by a computed value, kept current.

What the values are is known to `tracking`, that there are no two is seen to by
`unique`; here is what is looked up.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Literal

from storify._typing import Defaults, TypeVar
from storify.database.live.slots import MISSING, Missing
from storify.database.query.query import Found, Query
from storify.database.query.scan import path_of
from storify.database.query.tracking import Tracking
from storify.database.query.unique import Unique
from storify.exceptions import QueryError

if TYPE_CHECKING:
    from storify.database._mapping import RootMapping

__all__ = ["Index"]

I = TypeVar("I")  # noqa: E741 - the type of an index's values
V = TypeVar("V", default=Any)
K = TypeVar("K", default=str)


class Index(Defaults, Generic[I, V, K]):
    """The records of a database by what a function gives for them.

    ::

        by_email = users.index(lambda u: u.email, unique=True)
        by_email["ann@example.org"].age += 1

    Each look-up sees all that was set, deleted or changed in place before it, and
    what a `flush`, a `reload` or the end of a transaction has brought in; what
    another program committed meanwhile is seen after the next of them.

    It costs the matches, and one call of the function for each record that is live
    (read or set since the last flush, or held by you) or was changed since the last
    look-up. `flush` and let go of records where that are many. A unique index does
    not look at the others if the one it knows of still has the value: while two
    records have one value, which no flush lets pass, it may give either.

    None is no value: records for which the function gives it are left out.

    Threads: look-ups wait for each other. The function runs meanwhile, so it should
    neither write to a database nor wait for another thread.
    """

    def __init__(
        self,
        source: "RootMapping[V, K]",
        key: Callable[[V], I | None],
        *,
        unique: bool,
    ) -> None:
        self._source = source
        self._tracking = tracking = Tracking(source, key)
        with tracking.lock:
            tracking.catch_up()
            self._unique = Unique(tracking) if unique else None
        if self._unique is not None:
            # It is held here alone: an index that nobody holds refuses nothing.
            source._session.guards.add(self._unique)  # noqa: SLF001 - one stack

    def __getitem__(self, value: I) -> V:
        """Return the one live record that has *value*.

        Raises:
            KeyError: There is none.
            QueryError: There is more than one.
        """
        record = self._find_one(value)
        if record is MISSING:
            raise KeyError(value)
        return record

    def get(self, value: I) -> V | None:
        """Return the one live record that has *value*, None if there is none.

        Raises:
            QueryError: There is more than one.
        """
        record = self._find_one(value)
        return None if record is MISSING else record

    def find(self, value: I) -> Query[V, K]:
        """Return the records that have *value*, as a `Query` that costs those alone.

        They come in the order in which they got the value. Each run of the query is
        a look-up of its own.
        """

        def has_it(key: Any, record: Any) -> bool:
            return self._tracking.has(key, record, value)

        return Query(self._source, Found(lambda: self.keys(value), has_it))

    def keys(self, value: I) -> list[K]:
        """Return the keys of the records that have *value*, as a new list."""
        with self._tracking.lock:
            data = self._tracking.catch_up()
            return [data.own_key(key) for key in self._tracking.buckets.keys(value)]

    def __contains__(self, value: object) -> bool:
        """Whether a record has *value*."""
        with self._tracking.lock:
            self._tracking.catch_up()
            return value in self._tracking.buckets

    def __iter__(self) -> Iterator[I]:
        """Iterate over the different values of now."""
        with self._tracking.lock:
            self._tracking.catch_up()
            return iter(list(self._tracking.buckets))

    def __len__(self) -> int:
        """Count the different values."""
        with self._tracking.lock:
            self._tracking.catch_up()
            return len(self._tracking.buckets)

    def __repr__(self) -> str:
        """Tell the database, never values."""
        unique = "index" if self._unique is None else "unique index"
        return f"<{unique} of database {self._source.name!r}>"

    def _find_one(self, value: I) -> V | Literal[Missing.MISSING]:
        if self._unique is not None:
            known = self._known(value)
            if known is not MISSING:
                return known
        keys = self.keys(value)
        if len(keys) > 1:
            msg = (
                f"cannot look up one record of database {self._source.name!r}: "
                f"{path_of(keys[0])} and {path_of(keys[1])} have the same value in an "
                f"index; use find()"
            )
            raise QueryError(msg)
        try:
            return self._source[keys[0]] if keys else MISSING
        except KeyError:
            return MISSING  # another thread deleted it meanwhile

    def _known(self, value: I) -> V | Literal[Missing.MISSING]:
        """Return the record that had *value* when last looked at, if it still has."""
        with self._tracking.lock:
            data = self._tracking.root()
            keys = (
                self._tracking.buckets.keys(value) if self._tracking.is_of(data) else []
            )
        if len(keys) != 1:
            return MISSING
        try:
            record = self._source[keys[0]]
        except KeyError:
            return MISSING
        return record if self._tracking.has(keys[0], record, value) else MISSING
