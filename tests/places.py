"""Where databases are: a folder, memory, a server; and what stands there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit, urlunsplit

import msgpack

import pg_servers as servers
from faults.database import FORMAT, whole_of
from stand_ins import Log
from storify.database.session import shutdown
from storify.engine import Commit, open_catalog
from storify.threads import finish_all

__all__ = ["PLACES", "open_place", "store", "stored", "version"]

PLACES = ["files", "memory", "server"]
"""The kinds of places."""


@contextmanager
def open_place(kind: str, folder: Path) -> Iterator[str]:
    """What a Storify is opened with: all of a kind, for whoever has it until the end.

    The folder is made by who writes there.
    """
    if kind == "files":
        yield str(folder)
    elif kind == "server":
        with _server_url() as url:
            yield url
    else:
        url = f"memory://{token_hex(6)}"
        keeper = open_catalog(url, Log(), root_format=FORMAT)
        yield url
        keeper.close()


#: One database of the server for all tests of a process: to make one takes longer than
#: most of them.
_shared: list[str] = []


@contextmanager
def _server_url() -> Iterator[str]:
    """The URL of an empty database; what is unsaved at the end is lost."""
    import psycopg  # noqa: PLC0415 - it may not be there

    if not _shared:
        _shared.append(_make_database())
    before = set(shutdown.open_sessions())
    yield _shared[0]
    finish_all(10.0)
    for session in set(shutdown.open_sessions()) - before:
        shutdown.forget(session)
    with psycopg.connect(_shared[0], autocommit=True) as connection:
        made = connection.execute("select to_regclass('storify.storify_lock')")
        if made.fetchone() != (None,):
            connection.execute(_EMPTY)


_EMPTY = "; ".join(
    f"delete from storify.storify_{name}"  # noqa: S608 - our own
    for name in ("database", "lock", "state", "entry", "change", "unsaved")
)


def _make_database() -> str:
    import psycopg  # noqa: PLC0415 - it may not be there

    url, name = servers.url(), f"places_{token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def stored(place: str | Path, name: str = "d") -> object:
    """What is committed, as any reader of MessagePack finds it; None if nothing is."""
    catalog = open_catalog(place, Log(), root_format=FORMAT)
    state = catalog.engine(name, readonly=True).open()
    plain = None if state is None else whole_of(state)
    catalog.close()
    return None if plain is None else msgpack.unpackb(plain, strict_map_key=False)


def version(place: str | Path, name: str = "d") -> object:
    """The state that is committed; each commit makes another one."""
    catalog = open_catalog(place, Log(), root_format=FORMAT)
    state = catalog.engine(name, readonly=True).open()
    catalog.close()
    return None if state is None else state.version


def store(place: str | Path, name: str, content: object) -> None:
    """Commit what another program has, in plain MessagePack, as a new database."""
    entries = FORMAT.split(msgpack.packb(content))
    catalog = open_catalog(place, Log(), root_format=FORMAT)
    catalog.create()
    catalog.engine(name).commit(Commit(None, list(entries.items())))
    catalog.close()
