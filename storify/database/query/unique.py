"""Refusing a second record with one value, before it is saved."""

from typing import Any, Generic, NoReturn, TypeVar

from storify.database.query.scan import Scan, path_of
from storify.database.query.tracking import Tracking
from storify.exceptions import DuplicateKeyError

__all__ = ["Unique"]

I = TypeVar("I")  # noqa: E741 - the type of an index's values


class Unique(Generic[I]):
    """The guard of a unique index.

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
        session = self._tracking.source._session  # noqa: SLF001 - one stack
        return isinstance(session.data, list)

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
