"""From another folder of storify, of release 0.0.11 or of today."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from storify._manager import Storify
from storify.database import Database
from storify.database._check import Progress
from storify.database._use import Use
from storify.importers._copy import put_all, read_all
from storify.importers._opening import opened

__all__ = ["import_storify"]


def import_storify(
    folder: str | os.PathLike[str],
    sf: Storify,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Copy the databases of another folder into *sf*; give how many records.

    Each is written whole or not at all, under its own name; one that is not open in
    *sf* is closed afterwards. Records become objects of the classes of *sf* and are
    stored as these store them now; what is unknown or does not fit is copied as it
    is. Backups are not copied. The folder may be in use, and is not changed.

    Args:
        folder: The folder of the databases.
        sf: Where they are copied to.
        overwrite: Replace the values of keys that are there already, and a list.
        progress: Called now and then with the numbers of records read and of all
            in the database at hand.

    Returns:
        The number of records, by the names of the databases.

    Raises:
        FileNotFoundError: There is no such folder.
        DatabaseLoadError: A database can be read neither from its file nor from a
            backup; those before it, by name, are copied.
        ValueError: A key is there already, or a list that is not empty.
        TypeError: One has a dict as its root and the other a list.
        The errors of `Database.transaction`: that database holds what it held.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(2, "no such folder", os.fspath(folder))
    saving, schema = sf._saving, sf._schema  # noqa: SLF001 - one stack
    schema.registry.register(*sf.models)
    catalog = saving.folder(folder, schema.codec, sf.log)
    counts: dict[str, int] = {}
    for name in catalog.names():
        engine = catalog.engine(name, readonly=True)
        use = Use(readonly=True)
        source: Database[Any, Any] = Database._over(  # noqa: SLF001 - one stack
            name, engine, schema, sf.models, None, use, saving
        )
        try:
            counts[name] = _copy(source, sf, overwrite=overwrite, progress=progress)
        finally:
            source.close(discard=True)
    return counts


def _copy(
    source: Database[Any, Any],
    sf: Storify,
    *,
    overwrite: bool,
    progress: Progress | None,
) -> int:
    is_list = isinstance(cast("Any", source.data), list)
    pairs: Iterable[tuple[Any, Any]]
    pairs = enumerate(source) if is_list else source.data.items()
    items = read_all(pairs, len(source), None, progress)
    with opened(sf, source.name, [] if is_list else None) as db:
        if is_list:
            return _put_list([*items.values()], db, overwrite=overwrite)
        return put_all(items, db, overwrite=overwrite)


def _put_list(items: list[Any], db: Database[Any, Any], *, overwrite: bool) -> int:
    with db.transaction():
        root: object = db.data
        if not isinstance(root, list):
            msg = (
                f"cannot import a list into database {db.name!r}: its root is a dict; "
                f"remove or rename that database first"
            )
            raise TypeError(msg)
        if root and not overwrite:
            msg = (
                f"cannot import a list into database {db.name!r}: it has items "
                f"already; pass overwrite=True to replace them"
            )
            raise ValueError(msg)
        root[:] = items
    return len(items)
