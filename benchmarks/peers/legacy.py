"""Storify 0.0.11, the release before this one, as its guide shows it.

It stores what msgpack stores, so that the model converts its date and its enum.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from contents import Role, contents

import storify
from storify.model import Model


class Address(Model):
    """A nested model, written by hand."""

    def __init__(self, street: str = "", city: str = "", zip_code: str = "") -> None:
        self.street = street
        self.city = city
        self.zip_code = zip_code


class User(Model):
    """The benchmark's record; 0.0.11 calls the class without arguments."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def _to_dict(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "joined": self.joined.isoformat(),
            "role": self.role.value,
        }

    def _from_dict(self, data: dict[str, Any]) -> "User":
        self.__dict__.update(data)
        self.joined = datetime.fromisoformat(data["joined"])
        self.role = Role(data["role"])
        return self


class Silent:
    """A logger that says nothing: 0.0.11 warns at each flush."""

    def __getattr__(self, name: str) -> Any:
        return lambda _message: None


class LegacyPeer:
    """A database of models."""

    def __init__(self) -> None:
        if hasattr(storify, "Model"):
            msg = "storify 0.0.11 is not the storify on the path"
            raise ImportError(msg)
        self._db: Any = None

    def make(self, number: int) -> User:
        """Give the model."""
        fields = contents(number)
        fields["address"] = Address(**fields["address"])
        return User(**fields)

    def open(self, folder: Path) -> None:
        """Open the database, which loads all of it."""
        sf = storify.Storify(str(folder), log=Silent(), models=[User, Address])
        self._db = sf.get_db("users")

    def load(self, records: Iterable[tuple[str, User]]) -> None:
        """Set one by one and flush: it has no ``update``."""
        for key, record in records:
            self._db[key] = record
        self._db.flush()

    def get(self, key: str) -> User:
        """Look it up."""
        record: User = self._db[key]
        return record

    def read_all(self) -> dict[str, User]:
        """Take all: they are in memory."""
        return {key: self._db[key] for key in self._db}

    def change(self, keys: Sequence[str]) -> None:
        """Change the objects in place and flush."""
        for key in keys:
            self._db[key].age += 1
        self._db.flush()

    def close(self) -> None:
        """Close it, which flushes."""
        self._db.close()
