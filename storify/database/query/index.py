"""`Index`: the records of a database by a computed value, kept current.

::

    records ──► Tracking ──► Buckets ──► Index: look-ups
                value of     keys by └─► Unique: no two records have one value
                each key     value

Nobody is told when a record is changed in place, so what may have been is looked at
again each time: all that is live, and what was noted since (`observers`). The rest is
as it was seen.
"""

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, cast

from storify._python import Defaults, TypeVar
from storify.database._source import Scan, name_record, path_of
from storify.database.live.data import Data
from storify.database.live.observers import Changed
from storify.database.live.slots import MISSING, Missing
from storify.database.query.query import Found, Query
from storify.exceptions import DuplicateKeyError, QueryError
from storify.threads import TurnLock

if TYPE_CHECKING:
    from storify.database._source import Source


I = TypeVar("I")  # noqa: E741 - the type of an index's values
V = TypeVar("V", default=Any)
K = TypeVar("K", default=str)


class Buckets(Generic[I]):
    """Keys by value and values by key; each key has one value or none."""

    def __init__(self) -> None:
        self._value_of: dict[Any, I] = {}
        # A key; or a dict of keys, in order, where there are more. No key is a dict.
        self._keys_of: dict[I, Any] = {}

    def __len__(self) -> int:
        return len(self._keys_of)

    def __iter__(self) -> Iterator[I]:
        return iter(self._keys_of)

    def __contains__(self, value: object) -> bool:
        return value in self._keys_of

    def value(self, key: Any) -> I | None:
        """Return the value of a key, None if it has none."""
        return self._value_of.get(key)

    def keys(self, value: I) -> list[Any]:
        """Return the keys that have a value, in the order in which they got it."""
        if value not in self._keys_of:
            return []
        found = self._keys_of[value]
        return list(cast("dict[Any, None]", found)) if type(found) is dict else [found]

    def put(self, key: Any, value: I | None) -> None:
        """Note the value of a key, in place of the one it had; None for none."""
        old = self._value_of.get(key)
        if (old is value or old == value) and (old is None or self._has(key, old)):
            return
        # In this order, so that whoever does it again after an interrupt ends it.
        if old is not None:
            self._take_out(key, old)
            self._value_of.pop(key, None)
        if value is not None:
            self._put_in(key, value)
            self._value_of[key] = value

    def _has(self, key: Any, value: I) -> bool:
        found = self._keys_of.get(value, MISSING)
        return key in found if type(found) is dict else found is key or found == key

    def _take_out(self, key: Any, value: I) -> None:
        if not self._has(key, value):
            return
        found = self._keys_of[value]
        if type(found) is not dict:
            self._keys_of.pop(value)
            return
        keys = cast("dict[Any, None]", found)
        keys.pop(key)
        if len(keys) == 1:
            self._keys_of[value] = next(iter(keys))

    def _put_in(self, key: Any, value: I) -> None:
        if self._has(key, value):
            return
        if value not in self._keys_of:
            self._keys_of[value] = key
            return
        found = self._keys_of[value]
        if type(found) is dict:
            found[key] = None
        else:
            self._keys_of[value] = {found: None, key: None}


class Tracking(Generic[I]):
    """The values of the records of a dict root, by key.

    Attributes:
        source: The database.
        lock: Held by who uses the buckets. Nothing that writes to the database is
            waited for meanwhile.
        buckets: The values, as of the last `catch_up`.

    Args:
        source: The database.
        key: Gives the value of a record, None for none.
    """

    def __init__(self, source: "Source", key: Callable[[Any], I | None]) -> None:
        self.source = source
        self.lock: TurnLock = TurnLock()
        self.buckets: Buckets[I] = Buckets()
        self._key = key
        #: The dict that was looked at, and the keys noted since; see `Watchers`.
        self._data: Data | None = None
        self._noted = Changed()

    def root(self) -> Data:
        """Return the root; it has keys.

        Raises:
            TypeError: It is a list.
            DatabaseClosedError: The database was closed.
        """
        root = self.source.root()
        if isinstance(root, Data):
            return root
        msg = (
            f"cannot index database {self.source.name!r}: its root is a list, which "
            f"has no keys to index"
        )
        raise TypeError(msg)

    def is_of(self, data: Data) -> bool:
        """Whether *data* is what was looked at, and all changes since are noted."""
        return data is self._data and not self._noted.is_over

    def catch_up(self, needed: Collection[Any] | None = None) -> Data:
        """Look at what may be other than it was; the lock is held.

        Args:
            needed: The keys of which it is an error if the function fails; None: all,
                and so is a record that cannot be read. The others are left out then,
                and looked at again the next time.
        """
        data = self.root()
        if not self.is_of(data):
            self._begin(data)
        changed, noted = data.changed(self._noted)
        self._look_at(data, changed, needed)
        # What was left out stays noted, and so is looked at again.
        self._noted.forget({key: noted[key] for key in noted if key not in changed})
        return data

    def _begin(self, data: Data) -> None:
        """Begin to look at a dict: all of it is to be looked at."""
        buckets, noted = Buckets[I](), Changed()
        data.watch(noted)
        noted.update((key, object()) for key in Scan(self.source, data).keys())  # noqa: SIM118 - it is no dict
        self.buckets, self._noted, self._data = buckets, noted, data

    def _look_at(
        self, data: Data, changed: dict[Any, None], needed: Collection[Any] | None
    ) -> None:
        """Note the values of records, and leave those in *changed* that have none."""
        scan = Scan(self.source, data)
        for key, _, record in scan.see(list(changed), strict=needed is None):
            try:
                value = self.value_of(key, record)
            except Exception:
                if needed is None or key in needed:
                    raise
                continue
            self.buckets.put(key, value)
            del changed[key]
        for key in list(changed):
            self.buckets.put(key, None)
            if key not in data:  # else it has no value for now
                del changed[key]

    def expect(self, key: Any, value: I) -> None:
        """Take it that a key will have a value, until it is looked at."""
        self._noted[key] = object()
        self.buckets.put(key, value)

    def value_of(self, key: Any, record: Any) -> I | None:
        """Return the value of a record.

        Raises:
            TypeError: It cannot be hashed.
            Exception: The function's own, with a note that names the record.
        """
        try:
            value = self._key(record)
        except Exception as error:
            name_record(error, key)
            raise
        try:
            hash(value)
        except TypeError as error:
            msg = (
                f"cannot index {path_of(key)} of database {self.source.name!r}: a "
                f"{type(value).__qualname__} cannot be hashed; let the function give "
                f"what can be, as a tuple"
            )
            raise TypeError(msg) from error
        return value

    def has(self, key: Any, record: Any, value: I) -> bool:
        """Whether a record has a value."""
        return self.value_of(key, record) == value


class Unique(Generic[I]):
    """The constraint of a unique index.

    Args:
        tracking: The values of the records.

    Raises:
        DuplicateKeyError: Two records have one value now.
    """

    def __init__(self, tracking: Tracking[I]) -> None:
        self._tracking = tracking
        for value in tracking.buckets:
            if len(keys := tracking.buckets.keys(value)) > 1:
                self._refuse("make a unique index of", keys[0], keys[1])

    def admit(self, key: Any, record: Any) -> None:
        """Raise if *record* must not be put under *key*, as far as it is known.

        Only what was seen, or put there through the database, is known without a
        look at all that is live; `check` looks.

        Raises:
            DuplicateKeyError: Another record has its value.
        """
        tracking = self._tracking
        if self._has_no_keys():
            return
        with tracking.lock:
            value = tracking.value_of(key, record)
            if value is None:
                return
            data = tracking.root()
            if not tracking.is_of(data):
                tracking.catch_up(())
            others = self._others(key, value)
            scan = Scan(tracking.source, data)
            for other, _, present in scan.see(others, strict=False):
                if tracking.has(other, present, value):
                    self._refuse(f"set {path_of(key)} of", other, key)
            tracking.expect(key, value)

    def check(self, keys: list[Any]) -> None:
        """Raise if what is under *keys* now must not be saved.

        What others committed is durable already, so it is no reason.

        Raises:
            DuplicateKeyError: One of them has the value of another record.
        """
        tracking = self._tracking
        if self._has_no_keys():
            return
        with tracking.lock:
            tracking.catch_up(frozenset(keys))
            for key in keys:
                value = tracking.buckets.value(key)
                for other in () if value is None else self._others(key, value):
                    self._refuse("save", other, key)

    def _has_no_keys(self) -> bool:
        return isinstance(self._tracking.source.session.data, list)

    def _others(self, key: Any, value: I) -> list[Any]:
        keys = self._tracking.buckets.keys(value)
        return [other for other in keys if other is not key and other != key]

    def _refuse(self, doing: str, one: Any, other: Any) -> NoReturn:
        msg = (
            f"cannot {doing} database {self._tracking.source.name!r}: {path_of(one)} "
            f"and {path_of(other)} have the same value in a unique index; change one "
            f"of them"
        )
        raise DuplicateKeyError(msg, (one, other))


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
        source: "Source",
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
            source.session.constraints.add(self._unique)

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
            return self._source.read(keys[0]) if keys else MISSING
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
            record = self._source.read(keys[0])
        except KeyError:
            return MISSING
        return record if self._tracking.has(keys[0], record, value) else MISSING
