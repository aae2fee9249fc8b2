"""Stores whose values are bytes, filled with pickled dataclasses.

Pickle is the fastest way to typed records in Python and checks nothing; a file
from someone else can run any code.
"""

import os
import pickle
import shelve
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dataclass_records import User, user

__all__ = [
    "DiskcachePeer",
    "LmdbPeer",
    "ShelvePeer",
    "SqliteDictPeer",
    "SyncedShelvePeer",
]


class ShelvePeer:
    """The standard library's shelf, on the dbm that this Python has."""

    _shelf: "shelve.Shelf[User]"

    def __init__(self) -> None:
        self._folder = Path()

    def make(self, number: int) -> User:
        """Give the dataclass."""
        return user(number)

    def open(self, folder: Path) -> None:
        """Open the shelf."""
        self._folder = folder
        self._shelf = shelve.open(str(folder / "users"))  # noqa: S301, SIM115 - our own file, closed in close()

    def load(self, records: Iterable[tuple[str, User]]) -> None:
        """Update and sync, as far as it does."""
        self._shelf.update(records)
        self._shelf.sync()

    def get(self, key: str) -> User:
        """Unpickle one."""
        return self._shelf[key]

    def read_all(self) -> dict[str, User]:
        """Unpickle all."""
        return dict(self._shelf.items())

    def change(self, keys: Sequence[str]) -> None:
        """Read, change, set, sync."""
        for key in keys:
            record = self._shelf[key]
            record.age += 1
            self._shelf[key] = record
        self._shelf.sync()

    def close(self) -> None:
        """Close it."""
        self._shelf.close()


class SyncedShelvePeer(ShelvePeer):
    """The shelf, with its files synced after each commit.

    Even so a crash can tear it: dbm.dumb overwrites its files in place.
    """

    def change(self, keys: Sequence[str]) -> None:
        """Change, then sync each file."""
        super().change(keys)
        for path in self._folder.iterdir():
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)


class SqliteDictPeer:
    """A dict in a table, which a thread of its own writes.

    Args:
        synchronous: SQLite's setting. The package has no option for it and turns
            syncing off, so that it is set again on its connection.
    """

    def __init__(self, synchronous: str | None = None) -> None:
        import sqlitedict  # noqa: PLC0415 - each peer imports its own store

        self._open = sqlitedict.SqliteDict
        self._synchronous = synchronous
        self._dict: Any = None

    def make(self, number: int) -> User:
        """Give the dataclass."""
        return user(number)

    def open(self, folder: Path) -> None:
        """Open the table."""
        self._dict = self._open(str(folder / "users.sqlite"))
        if self._synchronous:
            self._dict.conn.execute(f"PRAGMA synchronous={self._synchronous}")

    def load(self, records: Iterable[tuple[str, User]]) -> None:
        """Update and commit."""
        self._dict.update(records)
        self._dict.commit()

    def get(self, key: str) -> User:
        """Select and unpickle one."""
        record: User = self._dict[key]
        return record

    def read_all(self) -> dict[str, User]:
        """Select and unpickle all."""
        return dict(self._dict.items())

    def change(self, keys: Sequence[str]) -> None:
        """Read, change, set, commit."""
        for key in keys:
            record = self._dict[key]
            record.age += 1
            self._dict[key] = record
        self._dict.commit()

    def close(self) -> None:
        """Close it."""
        self._dict.close()


class DiskcachePeer:
    """diskcache's persistent dict, ``Index``, which never evicts.

    Args:
        settings: Settings of its cache.
    """

    def __init__(self, **settings: Any) -> None:
        import diskcache  # noqa: PLC0415 - each peer imports its own store

        self._diskcache = diskcache
        self._settings = settings
        self._index: Any = None

    def make(self, number: int) -> User:
        """Give the dataclass."""
        return user(number)

    def open(self, folder: Path) -> None:
        """Open the index."""
        cache = self._diskcache.Cache(
            str(folder), eviction_policy="none", **self._settings
        )
        self._index = self._diskcache.Index.fromcache(cache)

    def load(self, records: Iterable[tuple[str, User]]) -> None:
        """Set one by one in a transaction."""
        with self._index.transact():
            for key, record in records:
                self._index[key] = record

    def get(self, key: str) -> User:
        """Select and unpickle one."""
        record: User = self._index[key]
        return record

    def read_all(self) -> dict[str, User]:
        """Select and unpickle one by one, as its items() does."""
        return dict(self._index.items())

    def change(self, keys: Sequence[str]) -> None:
        """Read, change, set in a transaction."""
        with self._index.transact():
            for key in keys:
                record = self._index[key]
                record.age += 1
                self._index[key] = record

    def close(self) -> None:
        """Close its connection."""
        self._index.cache.close()


class LmdbPeer:
    """A memory-mapped B-tree of bytes, with its default ``sync=True``."""

    MAP_SIZE_BYTES = 1 << 34

    def __init__(self) -> None:
        import lmdb  # noqa: PLC0415 - each peer imports its own store

        self._lmdb = lmdb
        self._environment: Any = None

    def make(self, number: int) -> User:
        """Give the dataclass."""
        return user(number)

    def open(self, folder: Path) -> None:
        """Open the environment."""
        self._environment = self._lmdb.open(str(folder), map_size=self.MAP_SIZE_BYTES)

    def load(self, records: Iterable[tuple[str, User]]) -> None:
        """Put all in one transaction."""
        with self._environment.begin(write=True) as transaction:
            for key, record in records:
                transaction.put(key.encode(), pickle.dumps(record, -1))

    def get(self, key: str) -> User:
        """Unpickle one."""
        with self._environment.begin(buffers=True) as transaction:
            record: User = pickle.loads(transaction.get(key.encode()))  # noqa: S301 - our own file
            return record

    def read_all(self) -> dict[str, User]:
        """Walk a cursor and unpickle all."""
        with self._environment.begin() as transaction:
            return {
                key.decode(): pickle.loads(value)  # noqa: S301 - our own file
                for key, value in transaction.cursor()
            }

    def change(self, keys: Sequence[str]) -> None:
        """Read, change, put in a transaction."""
        with self._environment.begin(write=True) as transaction:
            for key in keys:
                name = key.encode()
                record = pickle.loads(transaction.get(name))  # noqa: S301 - our own file
                record.age += 1
                transaction.put(name, pickle.dumps(record, -1))

    def close(self) -> None:
        """Close the environment."""
        self._environment.close()
