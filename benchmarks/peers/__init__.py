"""The stores that are compared: one `Spec` a row, one module a kind of store."""

import importlib

from peers.protocol import Peer, Spec

__all__ = ["BASE", "LIMIT", "PEERS", "Peer", "Spec", "find"]

BASE = "storify"
"""The row that ratios are against."""

LIMIT = "limit: msgpack and a file"
"""The row of what the machine can do."""


def default_dbm() -> str:
    """Name the module that ``shelve`` uses in this Python: the first that is there."""
    for name in ("dbm.sqlite3", "dbm.gnu", "dbm.ndbm"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        return name
    return "dbm.dumb"


PEERS = (
    Spec(
        BASE,
        "storify_peer",
        "StorifyPeer",
        "models; checked against the annotations",
        "syncs",
        "import storify",
    ),
    Spec(
        "storify 0.0.11",
        "legacy",
        "LegacyPeer",
        "hand-written models; date and enum converted by hand",
        "does not sync",
        "import storify",
        legacy=True,
    ),
    Spec(
        "shelve",
        "pickles",
        "ShelvePeer",
        f"a dataclass, pickled, on {default_dbm()}",
        "dbm.dumb does not sync, dbm.gnu does",
        "import shelve",
    ),
    Spec(
        "shelve, files synced by hand",
        "pickles",
        "SyncedShelvePeer",
        "a dataclass, pickled",
        "syncs",
        variant_of="shelve",
    ),
    Spec(
        "sqlitedict",
        "pickles",
        "SqliteDictPeer",
        "a dataclass, pickled",
        "does not sync: sets synchronous=OFF",
        "import sqlitedict",
        ("sqlitedict",),
    ),
    Spec(
        "sqlitedict, synchronous=FULL",
        "pickles",
        "SqliteDictPeer",
        "a dataclass, pickled",
        "syncs",
        options={"synchronous": "FULL"},
        variant_of="sqlitedict",
    ),
    Spec(
        "diskcache",
        "pickles",
        "DiskcachePeer",
        "a dataclass, pickled, in a diskcache.Index",
        "does not sync: WAL with synchronous=NORMAL",
        "import diskcache",
        ("diskcache",),
    ),
    Spec(
        "diskcache, synchronous=FULL",
        "pickles",
        "DiskcachePeer",
        "a dataclass, pickled, in a diskcache.Index",
        "syncs",
        options={"sqlite_synchronous": 2},
        variant_of="diskcache",
    ),
    Spec(
        "lmdb",
        "pickles",
        "LmdbPeer",
        "a dataclass, pickled by hand",
        "syncs",
        "import lmdb",
        ("lmdb",),
    ),
    Spec(
        "ZODB",
        "object_database",
        "ZodbPeer",
        "a Persistent class in an OOBTree",
        "syncs",
        "import ZODB, ZODB.FileStorage, BTrees.OOBTree",
        ("ZODB",),
    ),
    Spec(
        "sqlite3 + json",
        "sql",
        "SqlitePeer",
        "a dataclass, to and from JSON text by hand",
        "syncs",
        "import sqlite3, json",
    ),
    Spec(
        "sqlite3 + json, WAL",
        "sql",
        "SqlitePeer",
        "a dataclass, to and from JSON text by hand",
        "syncs: synchronous=FULL is the default",
        options={"journal_mode": "WAL"},
        variant_of="sqlite3 + json",
    ),
    Spec(
        "SQLModel",
        "sqlmodels",
        "SqlModelPeer",
        "a table model: a column a field, the address in three",
        "syncs",
        "import sqlmodel",
        ("sqlmodel", "SQLAlchemy"),
    ),
    Spec(
        "TinyDB",
        "json_files",
        "TinyPeer",
        "a dataclass, to and from dicts by hand; each operation reads the file",
        "syncs",
        "import tinydb",
        ("tinydb",),
    ),
    Spec(
        "TinyDB, CachingMiddleware",
        "json_files",
        "TinyPeer",
        "a dataclass, to and from dicts by hand, found by doc_id",
        "syncs when its storage is flushed",
        options={"caching": True},
    ),
    Spec(
        "pickledb",
        "json_files",
        "PicklePeer",
        "a dataclass, to and from dicts by hand; each call starts an event loop",
        "does not sync",
        "import pickledb",
        ("pickledb",),
    ),
    Spec(
        LIMIT,
        "limit",
        "LimitPeer",
        "none: plain dicts (a change appends the record to a log)",
        "syncs",
        "import msgpack",
        ("msgpack",),
    ),
)


def find(name: str) -> Spec:
    """Give the row called *name*."""
    return next(spec for spec in PEERS if spec.name == name)
