"""SQLite by hand: a table of keys and JSON texts, and the standard library."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from dataclass_records import User, from_tree, to_tree, user

PUT = "INSERT OR REPLACE INTO users VALUES (?, ?)"


class SqlitePeer:
    """What many write instead of taking a library.

    Args:
        journal_mode: SQLite's setting; none leaves its default, a rollback journal
            with ``synchronous=FULL``.
    """

    _connection: sqlite3.Connection

    def __init__(self, journal_mode: str | None = None) -> None:
        self._journal_mode = journal_mode

    def make(self, number: int) -> User:
        """Give the dataclass."""
        return user(number)

    def open(self, folder: Path) -> None:
        """Connect and create the table."""
        self._connection = sqlite3.connect(folder / "users.sqlite")
        if self._journal_mode:
            self._connection.execute(f"PRAGMA journal_mode={self._journal_mode}")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS users (key TEXT PRIMARY KEY, value TEXT)"
        )

    def load(self, records: Iterable[tuple[str, User]]) -> None:
        """Insert all in one transaction."""
        with self._connection:
            self._connection.executemany(
                PUT, ((key, json.dumps(to_tree(record))) for key, record in records)
            )

    def get(self, key: str) -> User:
        """Select one."""
        (text,) = self._connection.execute(
            "SELECT value FROM users WHERE key = ?", (key,)
        ).fetchone()
        return from_tree(json.loads(text))

    def read_all(self) -> dict[str, User]:
        """Select all."""
        rows = self._connection.execute("SELECT key, value FROM users")
        return {key: from_tree(json.loads(text)) for key, text in rows}

    def change(self, keys: Sequence[str]) -> None:
        """Read, change, replace in a transaction."""
        with self._connection:
            for key in keys:
                record = self.get(key)
                record.age += 1
                self._connection.execute(PUT, (key, json.dumps(to_tree(record))))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
