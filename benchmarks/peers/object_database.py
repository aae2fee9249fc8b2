"""ZODB: persistent objects that know when they changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import transaction
import ZODB
import ZODB.FileStorage
from BTrees.OOBTree import OOBTree
from contents import Role, contents
from dataclass_records import Address
from persistent import Persistent


@dataclass(eq=False)
class User(Persistent):  # type: ignore[misc]
    """The benchmark's record; its address is stored within it."""

    name: str
    email: str
    age: int
    score: float
    active: bool
    joined: datetime
    role: Role
    tags: list[str]
    counts: dict[str, int]
    address: Address
    nickname: str | None = None


class ZodbPeer:
    """A B-tree of persistent objects in a file storage."""

    SAVEPOINT_EVERY = 10_000

    def __init__(self) -> None:
        self._database: Any = None
        self._connection: Any = None
        self._users: Any = None

    def make(self, number: int) -> User:
        """Give the persistent object."""
        fields = contents(number)
        fields["address"] = Address(**fields["address"])
        return User(**fields)

    def open(self, folder: Path) -> None:
        """Open storage, database and connection."""
        storage = ZODB.FileStorage.FileStorage(str(folder / "users.fs"))
        self._database = ZODB.DB(storage)
        self._connection = self._database.open()
        root = self._connection.root()
        if "users" not in root:
            root["users"] = OOBTree()
        self._users = root["users"]

    def load(self, records: Iterable[tuple[str, User]]) -> None:
        """Insert all in one transaction, with savepoints that bound its memory."""
        for number, (key, record) in enumerate(records, 1):
            self._users[key] = record
            if number % self.SAVEPOINT_EVERY == 0:
                transaction.savepoint(optimistic=True)
        transaction.commit()

    def get(self, key: str) -> User:
        """Look it up; it loads when an attribute is read."""
        record: User = self._users[key]
        return record

    def read_all(self) -> dict[str, User]:
        """Take all items."""
        return dict(self._users.items())

    def change(self, keys: Sequence[str]) -> None:
        """Change the objects in place and commit."""
        for key in keys:
            self._users[key].age += 1
        transaction.commit()

    def close(self) -> None:
        """Close all; this saves its index."""
        transaction.abort()
        self._connection.close()
        self._database.close()
