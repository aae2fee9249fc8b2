"""Storify itself: change live objects, then flush."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from records import User, user
from storify import Database, Storify


class StorifyPeer:
    """A database of models, with the default settings.

    Args:
        settings: Keywords for `Storify`.
    """

    _db: Database[User]

    def __init__(self, **settings: Any) -> None:
        # Saving on a timer would fall into a measurement.
        self._settings = {"save_interval": None, **settings}

    def make(self, number: int) -> User:
        """Give the model."""
        return user(number)

    def open(self, folder: Path) -> None:
        """Open the database."""
        self._db = Storify(folder, **self._settings).get_db("users", model=User)

    def load(self, records: Iterable[tuple[str, User]]) -> None:
        """Update it and flush."""
        self._db.update(records)
        self._db.flush()

    def get(self, key: str) -> User:
        """Look it up."""
        return self._db[key]

    def read_all(self) -> dict[str, User]:
        """Take all items."""
        return dict(self._db.items())

    def change(self, keys: Sequence[str]) -> None:
        """Change the objects in place and flush."""
        for key in keys:
            self._db[key].age += 1
        self._db.flush()

    def close(self) -> None:
        """Close it, which flushes and folds."""
        self._db.close()
