"""From `shelve`: a dbm file, whose keys are text and whose values are pickles."""

import dbm
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from storify.database import Database
from storify.database.maintenance.check import Progress
from storify.importers._copy import Convert, naming, put_all, read_all

__all__ = ["import_shelve"]

V = TypeVar("V")


def import_shelve(
    path: str | os.PathLike[str],
    db: Database[V],
    *,
    decode: Callable[[bytes], Any],
    convert: Convert[str, Any, V] | None = None,
    keyencoding: str = "utf-8",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Copy a shelf into *db*; give how many records.

    Args:
        path: The name that the shelf is opened by, without the endings that some
            kinds of dbm add.
        db: A database with a dict as its root.
        decode: Gives the value for its bytes: ``pickle.loads``, which runs code of
            the file, so for a shelf that you trust only.
        convert: Gives what is stored for a key and a value.
        keyencoding: As it was given to `shelve.Shelf`.
        overwrite: Replace the values of keys that are there already.
        progress: Called now and then with the numbers of records read and of all.

    Raises:
        FileNotFoundError: There is no such shelf.
        ValueError: It is no dbm file, or of a kind that this Python cannot read.
        As `copy_items`.
    """
    location = os.fspath(path)
    kind = dbm.whichdb(location)
    if kind is None:
        raise FileNotFoundError(2, "no such shelf", location)
    if not kind:
        msg = f"cannot import {location!r}: it is no dbm file"
        raise ValueError(msg)
    try:
        encoded = _read(location)
    except (ImportError, *dbm.error) as error:
        msg = f"cannot import {location!r}, a file of {kind}: {error}"
        raise ValueError(msg) from error

    def pairs() -> Iterator[tuple[str, Any]]:
        for key, value in encoded.items():
            with naming(key):
                pair = key.decode(keyencoding), decode(value)
            yield pair

    items = read_all(pairs(), len(encoded), convert, progress)
    return put_all(items, db, overwrite=overwrite)


def _read(location: str) -> dict[bytes, bytes]:
    with dbm.open(location, "r") as file:
        return {key: file[key] for key in cast("list[bytes]", file.keys())}
