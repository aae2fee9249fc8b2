"""Putting the items of any mapping into a database, all of them or none.

The source is read whole before the database is locked: other writers wait for the
commit, not for a slow source.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol, TypeAlias, TypeVar, cast, overload

from storify._manager import Storify
from storify.database import Database
from storify.database.maintenance.check import Progress

__all__ = ["Convert", "Source", "copy_items", "naming", "opened", "put_all", "read_all"]

K = TypeVar("K")
S = TypeVar("S")
V = TypeVar("V")
S_co = TypeVar("S_co", covariant=True)

Convert: TypeAlias = Callable[[K, S], V]
"""Gives what is stored for a key and a value of the source."""

#: How many records are read between two calls of the progress.
_STEP = 1000


class Source(Protocol[K, S_co]):
    """What can be copied from: a dict, an open shelf, a `SqliteDict` and so on."""

    def keys(self) -> Iterable[K]:
        """Return the keys."""
        ...

    def __getitem__(self, key: K, /) -> S_co:
        """Return the value under *key*."""
        ...


@overload
def copy_items(
    source: Source[K, V],
    db: Database[V, K],
    *,
    convert: None = ...,
    overwrite: bool = ...,
    progress: Progress | None = ...,
) -> int: ...
@overload
def copy_items(
    source: Source[K, S],
    db: Database[V, K],
    *,
    convert: Convert[K, S, V],
    overwrite: bool = ...,
    progress: Progress | None = ...,
) -> int: ...
def copy_items(
    source: Source[Any, Any],
    db: Database[Any, Any],
    *,
    convert: Convert[Any, Any, Any] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Copy all items of an open mapping into *db*; give how many.

    Keys keep their types: those of a bare ``dbm`` file are bytes. Values are not
    copied in memory: what the source gives becomes the live value, as in an update.

    Args:
        source: A dict, an open shelf, a `SqliteDict`, a `diskcache.Index`: all that
            has ``keys()`` and ``[key]``.
        db: A database with a dict as its root.
        convert: Gives what is stored for a key and a value.
        overwrite: Replace the values of keys that are there already.
        progress: Called now and then with the numbers of records read and of all.

    Raises:
        ValueError: A key is there already.
        TypeError: The root of *db* is a list.
        UnstorableError: A value could not be read back equal.
        The errors of `Database.transaction`, of the source and of *convert*; a
        note tells the key. The database holds what it held in each case.
    """
    keys = list(source.keys())
    pairs = ((key, source[key]) for key in keys)
    items = read_all(pairs, len(keys), convert, progress)
    return put_all(items, db, overwrite=overwrite)


def read_all(
    pairs: Iterable[tuple[Any, Any]],
    total: int,
    convert: Convert[Any, Any, Any] | None,
    progress: Progress | None,
) -> dict[Any, Any]:
    """Read a source, converted.

    Args:
        pairs: Its keys and values; an error of theirs names its key itself.
        total: How many there are, for the progress.
        convert: As of `copy_items`.
        progress: As of `copy_items`.
    """
    items: dict[Any, Any] = {}
    for key, found in pairs:
        value = found
        if convert is not None:
            with naming(key):
                value = convert(key, found)
        items[key] = value
        if progress is not None and len(items) % _STEP == 0:
            progress(len(items), total)
    if progress is not None and len(items) % _STEP:
        progress(len(items), total)
    return items


@contextmanager
def naming(key: object) -> Generator[None]:
    """Add to an error of the caller's code which record it is about."""
    try:
        yield
    except Exception as error:
        error.add_note(f"the source's key is {key!r}")
        raise


def put_all(items: dict[Any, Any], db: Database[Any, Any], *, overwrite: bool) -> int:
    """Put *items* into *db* by one commit; give how many.

    Raises:
        ValueError: A key is there already.
        TypeError: The root of *db* is a list.
        The errors of `Database.transaction`: nothing was changed.
    """
    with db.transaction():
        root: object = db.data
        if isinstance(root, list):
            msg = (
                f"cannot import into database {db.name!r}: its root is a list; "
                f"import into one with a dict"
            )
            raise TypeError(msg)
        present = None if overwrite else next((key for key in items if key in db), None)
        if present is not None:
            msg = (
                f"cannot import into database {db.name!r}: it has the key "
                f"{present!r} already; pass overwrite=True to replace what is there"
            )
            raise ValueError(msg)
        for key, value in items.items():
            db[key] = value
    return len(items)


# --- opening the database that an import writes to, and leaving it as it was found ----


@contextmanager
def opened(
    sf: Storify,
    name: str,
    root: dict[Any, Any] | list[Any] | None = None,
    *,
    key: Any = None,
) -> Generator[Database[Any, Any]]:
    """Open a database; if it was not open, it is closed at the end.

    Who opens it then may choose its types.
    """
    was_open = sf.get_loaded_db(name) is not None
    # One with a list is a Database, too; only type checkers tell them apart.
    db = cast("Database[Any, Any]", sf.get_db(name, root, key=key))
    with nullcontext(db) if was_open else db:
        yield db
