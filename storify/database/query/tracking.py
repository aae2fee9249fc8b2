"""What a function gives for each record of a database, kept current.

Nobody is told when a record is changed in place, so what may have been is looked at
again each time: all that is live, and what was noted since (`observers`). The rest is
as it was seen.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from storify.database.live.data import Data
from storify.database.live.observers import Changed
from storify.database.query.buckets import Buckets
from storify.database.query.scan import Scan, name_record, path_of
from storify.threads import TurnLock

if TYPE_CHECKING:
    from storify.database._mapping import RootMapping

__all__ = ["Tracking"]

I = TypeVar("I")  # noqa: E741 - the type of an index's values


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

    def __init__(
        self, source: "RootMapping[Any, Any]", key: Callable[[Any], I | None]
    ) -> None:
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
        root = self.source._root()  # noqa: SLF001 - one stack
        if isinstance(root, Data):
            return root
        msg = (
            f"cannot index database {self.source.name!r}: its root is a list, which "
            f"has no keys to index"
        )
        raise TypeError(msg)

    def is_of(self, data: Data) -> bool:
        """Whether *data* is what was looked at."""
        return data is self._data

    def catch_up(self, needed: Collection[Any] | None = None) -> Data:
        """Look at what may be other than it was; the lock is held.

        Args:
            needed: The keys of which it is an error if the function fails; None: all,
                and so is a record that cannot be read. The others are left out then,
                and looked at again the next time.
        """
        data = self.root()
        if data is not self._data:
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
