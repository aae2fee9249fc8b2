"""Which databases a `Storify` has open: each one once, whoever asks at the same time.

Threads that open one database at the same moment both read it; the first to note what
it opened gives it to all. So nobody waits for anybody, and an interrupt on the way
leaves nothing behind.
"""

import weakref
from collections import deque
from functools import partial
from itertools import compress
from operator import call, is_
from typing import Any

from storify.database import Database
from storify.engine.names import collation_key

__all__ = ["Opened"]

_Db = Database[Any, Any]


class Opened:
    """The open databases, as long as somebody has them."""

    def __init__(self) -> None:
        #: By the name that they were got by: they are found without the disk.
        self._by_name: dict[str, weakref.ref[_Db]] = {}
        self._by_path: dict[str, weakref.ref[_Db]] = {}
        #: By what some file systems make of the name.
        self._by_key: dict[str, weakref.ref[_Db]] = {}

    def by_name(self, name: str) -> _Db | None:
        """Return the open database that was got by this name."""
        return _living(self._by_name.get(name))

    def at(self, path: str) -> _Db | None:
        """Return the open database at a path."""
        return _living(self._by_path.get(path))

    def like(self, name: str) -> _Db | None:
        """Return the open database whose name some file systems take for this one."""
        return _living(self._by_key.get(collation_key(name)))

    def put(self, name: str, db: _Db) -> _Db:
        """Note a database, or return the one that is open at its path already."""
        mine = weakref.ref(db)
        there = self._by_path.setdefault(db.path, mine)
        while there is not mine:
            other = _living(there)
            if other is not None:
                self._by_name[name] = there
                return other
            # One that is closed gives way to the first who comes, in one step.
            put = partial(self._by_path.__setitem__, db.path, mine)
            now = map(self._by_path.get, (db.path,))
            deque(map(call, compress((put,), map(is_, now, (there,)))), 0)
            there = self._by_path[db.path]
        self._by_name[name] = mine
        self._by_key[collation_key(name)] = mine
        return db


def _living(ref: "weakref.ref[_Db] | None") -> _Db | None:
    db = None if ref is None else ref()
    return None if db is None or db.defunct else db
