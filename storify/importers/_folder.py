"""From another folder of storify, of release 0.0.11 or of today."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from storify._manager import Storify
from storify.database import Database
from storify.database._schema import Use
from storify.database.maintenance.check import Progress
from storify.engine import FileCatalog
from storify.engine.file.paths import BACKUPS, SUFFIX
from storify.engine.names import check_new_name
from storify.exceptions import DatabaseNameError
from storify.importers._copy import opened, put_all, read_all

__all__ = ["copy_folder", "import_storify", "portable"]


def import_storify(
    folder: str | os.PathLike[str],
    sf: Storify,
    *,
    names: Mapping[str, str | None] = MappingProxyType({}),
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
        names: Other names for some, or None to leave one out: ``{"user:1": "user-1"}``.
            One in a folder inside is named with that: ``"players/ann"``.
        overwrite: Replace the values of keys that are there already, and a list.
        progress: Called now and then with the numbers of records read and of all
            in the database at hand.

    Returns:
        The number of records, by the names of the databases.

    Raises:
        DatabaseNameError: The names of some are not portable, or are one with another
            for some file systems, and *names* has no other; the others are copied.
        FileNotFoundError: There is no such folder, or no database of a name in *names*.
        DatabaseLoadError: A database can be read neither from its file nor from a
            backup; those before it, by name, are copied.
        ValueError: A key is there already, or a list that is not empty.
        TypeError: One has a dict as its root and the other a list.
        The errors of `Database.transaction`: that database holds what it held.
    """
    copied, left = copy_folder(
        folder, sf, names=names, overwrite=overwrite, progress=progress
    )
    if left:
        first = next(iter(left))
        which = "; ".join(left.values())
        msg = (
            f"{len(left)} databases of {os.fspath(folder)!r} were not imported, "
            f"{len(copied)} were: {which}; import them with "
            f"names={{{first!r}: {portable(first)!r}, …}}, or None to leave one out, "
            f"and overwrite=True if the others are copied again"
        )
        raise DatabaseNameError(msg)
    return copied


def copy_folder(
    folder: str | os.PathLike[str],
    sf: Storify,
    *,
    names: Mapping[str, str | None],
    overwrite: bool,
    progress: Progress | None,
) -> tuple[dict[str, int], dict[str, str]]:
    """Copy what can be copied; as `import_storify`.

    Returns:
        The number of records, by the new names; and what is wrong with the names of
        those that could not be taken.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(2, "no such folder", os.fspath(folder))
    saving, schema = sf._saving, sf._schema  # noqa: SLF001 - one stack
    schema.registry.register(*sf.models)
    paths = _databases(folder, saving.folder(folder, schema.codec, sf.log))
    for name in names:
        if name not in paths:
            raise FileNotFoundError(2, f"no database {name!r}", os.fspath(folder))
    counts: dict[str, int] = {}
    left: dict[str, str] = {}
    for name, path in paths.items():
        target = names.get(name, name)
        if target is None:
            continue
        try:
            sf.get_loaded_db(target)  # whether it can have this name
        except DatabaseNameError as error:
            left[name] = str(error)
            continue
        engine = saving.file(path, schema.codec, sf.log, readonly=True)
        use = Use(readonly=True)
        source: Database[Any, Any] = Database._over(  # noqa: SLF001 - one stack
            target, engine, schema, sf.models, None, use, saving
        )
        try:
            counts[target] = _copy(source, sf, overwrite=overwrite, progress=progress)
        finally:
            source.close(discard=True)
    return counts, left


def _databases(folder: str | os.PathLike[str], catalog: FileCatalog) -> dict[str, str]:
    """The database files of a folder and those inside, by name."""
    root = os.path.realpath(folder)
    # Also those whose file is lost and will be rebuilt.
    paths = {name: str(Path(root, name + SUFFIX)) for name in catalog.names()}
    for directory, inside, files in os.walk(root):
        inside[:] = sorted(each for each in inside if each != BACKUPS)
        for file in sorted(files):
            path = str(Path(directory, file))
            if file.endswith(SUFFIX) and path not in paths.values():
                name = os.path.relpath(path, root).removesuffix(SUFFIX)
                paths[name.replace(os.sep, "/")] = path
    return dict(sorted(paths.items()))


def portable(name: str) -> str:
    """Return a name that is like another one and may be a database's."""
    plain = re.sub(r"[^\w .-]+", "-", name).strip(" .-") or "db"
    try:
        return check_new_name(plain, [])
    except DatabaseNameError:
        return check_new_name(f"db-{plain[:150]}", [])


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
