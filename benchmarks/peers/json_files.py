"""Stores that keep one JSON file and write all of it for each change."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from contents import key_of, number_of
from dataclass_records import User, from_tree, to_tree, user


class TinyPeer:
    """TinyDB, with documents found by ``doc_id``: a search by field is linear.

    Args:
        caching: Whether its ``CachingMiddleware`` keeps the parsed file; else each
            operation reads the file again.
    """

    def __init__(self, *, caching: bool = False) -> None:
        import tinydb  # noqa: PLC0415 - each peer imports its own store
        import tinydb.middlewares  # noqa: PLC0415
        import tinydb.operations  # noqa: PLC0415
        import tinydb.storages  # noqa: PLC0415
        import tinydb.table  # noqa: PLC0415

        self._tinydb: Any = tinydb
        self._caching = caching
        self._db: Any = None

    def make(self, number: int) -> User:
        """Give the dataclass."""
        return user(number)

    def open(self, folder: Path) -> None:
        """Open the file."""
        storage = self._tinydb.storages.JSONStorage
        if self._caching:
            storage = self._tinydb.middlewares.CachingMiddleware(storage)
        self._db = self._tinydb.TinyDB(folder / "users.json", storage=storage)

    def _commit(self) -> None:
        if self._caching:
            self._db.storage.flush()

    def load(self, records: Iterable[tuple[str, User]]) -> None:
        """Insert all at once."""
        document = self._tinydb.table.Document
        self._db.insert_multiple(
            document(to_tree(record), doc_id=number_of(key)) for key, record in records
        )
        self._commit()

    def get(self, key: str) -> User:
        """Get one by its id."""
        return from_tree(self._db.get(doc_id=number_of(key)))

    def read_all(self) -> dict[str, User]:
        """Take all documents."""
        return {key_of(tree.doc_id): from_tree(tree) for tree in self._db}

    def change(self, keys: Sequence[str]) -> None:
        """Update with its own operation, in one write."""
        increment = self._tinydb.operations.increment("age")
        self._db.update(increment, doc_ids=[number_of(key) for key in keys])
        self._commit()

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class PicklePeer:
    """pickledb: a dict, written by orjson to a new file that replaces the old one."""

    def __init__(self) -> None:
        import pickledb  # noqa: PLC0415 - each peer imports its own store

        self._open = pickledb.PickleDB
        self._db: Any = None

    def make(self, number: int) -> User:
        """Give the dataclass."""
        return user(number)

    def open(self, folder: Path) -> None:
        """Load the file."""
        self._db = self._open(str(folder / "users.json"))
        self._db.load()

    def load(self, records: Iterable[tuple[str, User]]) -> None:
        """Set all in one event loop, and save."""

        async def fill() -> None:
            for key, record in records:
                await self._db.set(key, to_tree(record))
            await self._db.save()

        asyncio.run(fill())

    def get(self, key: str) -> User:
        """Get one; outside of an event loop the package starts one for it."""
        return from_tree(self._db.get(key))

    def read_all(self) -> dict[str, User]:
        """Get all in one event loop."""

        async def collect() -> dict[str, User]:
            keys = await self._db.all()
            return {key: from_tree(await self._db.get(key)) for key in keys}

        return asyncio.run(collect())

    def change(self, keys: Sequence[str]) -> None:
        """Read, change, set, save in one event loop."""

        async def commit() -> None:
            for key in keys:
                record = from_tree(await self._db.get(key))
                record.age += 1
                await self._db.set(key, to_tree(record))
            await self._db.save()

        asyncio.run(commit())

    def close(self) -> None:
        """Forget it: all is saved."""
        self._db = None
