"""What a function gives for each record of a database, kept current.

Nobody is told when a record is changed in place, so what may have been is looked at
again each time: all that is live, and what was noted since (`_watching`). The rest is
as it was seen.
"""

import os
import threading
import weakref
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from storify.database._buckets import Buckets
from storify.database._data import Data
from storify.database._scan import Scan, name_record, path_of
from storify.database._watching import Changed

if TYPE_CHECKING:
    from storify.database._mapping import RootMapping

__all__ = ["Tracking"]

I = TypeVar("I")  # noqa: E741 - the type of an index's values

_all: "weakref.WeakSet[Tracking[Any]]" = weakref.WeakSet()


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
        self.lock = threading.RLock()
        self.buckets: Buckets[I] = Buckets()
        self._key = key
        #: The dict that was looked at, and the keys noted since; see `Watchers`.
        self._data: Data | None = None
        self._noted = Changed()
        _all.add(self)

    def root(self) -> Data:
        """Give the root; it has keys.

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
        if data is self._data:
            changed = data.take_changed(self._noted)
        else:
            self.buckets, self._noted, self._data = Buckets(), data.watch(), data
            changed = dict.fromkeys(Scan(self.source, data).keys())
        try:
            self._look_at(data, changed, needed)
        except BaseException:
            self._noted.update(changed)
            raise
        return data

    def _look_at(
        self, data: Data, changed: dict[Any, None], needed: Collection[Any] | None
    ) -> None:
        """Note the values of records, which are taken out of *changed*."""
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
        for key in changed:
            self.buckets.put(key, None)
            if key in data:  # it has no value for now
                self._noted[key] = None

    def expect(self, key: Any, value: I) -> None:
        """Take it that a key will have a value, until it is looked at."""
        self.buckets.put(key, value)
        self._noted[key] = None

    def value_of(self, key: Any, record: Any) -> I | None:
        """Give the value of a record.

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

    def after_fork(self) -> None:
        """Forget, in a forked child, what a thread of the parent was looking at."""
        self.lock = threading.RLock()
        self._data = None


def _free_locks() -> None:
    """Free the locks in a forked child: a thread of the parent may hold them."""
    for each in list(_all):
        each.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_free_locks)
