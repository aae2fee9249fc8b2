"""``storify import``: the data of other stores, copied into a folder of databases."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from storify.cli._shared import (
    FOUND,
    Failure,
    Models,
    complain,
    counted,
    failures,
    load_classes,
    open_place,
    progress,
)
from storify.importers import (
    import_shelve,
    import_sqlitedict,
    import_tinydb,
)
from storify.importers._folder import copy_folder, portable

__all__ = ["importing"]

importing: typer.Typer = typer.Typer(no_args_is_help=True)

Source: TypeAlias = Annotated[
    Path, typer.Argument(metavar="SOURCE", help="What to import; it is not changed.")
]
Folder: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="FOLDER", help="The folder to fill, or the URL of a server."
    ),
]
Name: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="The database; named like the source if not given.",
    ),
]
Unpickle: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--unpickle",
        help="Load its pickles, which runs code of the file: only for files of your own.",
    ),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace records that are there already.")
]


@importing.callback()
def _import() -> None:
    """Copy the data of another store into a folder of databases."""


@importing.command()
def shelve(
    source: Source,
    folder: Folder,
    *,
    name: Name = None,
    unpickle: Unpickle = False,
    models: Models = None,
    overwrite: Overwrite = False,
) -> None:
    """Import a shelf of Python's shelve module into one database.

    Example: storify import shelve users.db data --unpickle --models shop.models
    """
    with failures():
        classes = load_classes(models or ())
        decode = _unpickler(source, unpickle=unpickle)
        name = name or source.name.partition(".")[0]
        with open_place(folder, classes=classes) as sf, progress(name) as tell:
            count = import_shelve(
                source,
                sf.get_db(name),
                decode=decode,
                overwrite=overwrite,
                progress=tell,
            )
    _tell(name, count)


@importing.command()
def sqlitedict(
    source: Source,
    folder: Folder,
    *,
    name: Name = None,
    table: Annotated[
        str, typer.Option("--table", metavar="TABLE", help="The table of the file.")
    ] = "unnamed",
    unpickle: Unpickle = False,
    from_json: Annotated[
        bool, typer.Option("--json", help="The values are JSON, not pickles.")
    ] = False,
    models: Models = None,
    overwrite: Overwrite = False,
) -> None:
    """Import a table of sqlitedict into one database.

    Example: storify import sqlitedict cache.sqlite data --table users --unpickle
    """
    with failures():
        classes = load_classes(models or ())
        decode = json.loads if from_json else _unpickler(source, unpickle=unpickle)
        name = name or (source.stem if table == "unnamed" else table)
        with open_place(folder, classes=classes) as sf, progress(name) as tell:
            count = import_sqlitedict(
                source,
                sf.get_db(name),
                decode=decode,
                table=table,
                overwrite=overwrite,
                progress=tell,
            )
    _tell(name, count)


@importing.command()
def tinydb(source: Source, folder: Folder, *, overwrite: Overwrite = False) -> None:
    """Import each table of a TinyDB into a database of its name.

    Example: storify import tinydb db.json data
    """
    with failures():
        classes = load_classes(())
        with open_place(folder, classes=classes) as sf, progress(source.name) as tell:
            counts = import_tinydb(source, sf, overwrite=overwrite, progress=tell)
    for name, count in counts.items():
        _tell(name, count)


@importing.command("storify")
def storify_folder(
    source: Source,
    folder: Folder,
    *,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            "--rename",
            metavar="OLD=NEW",
            help="Another name for a database; OLD= leaves it out. May be repeated.",
        ),
    ] = None,
    models: Models = None,
    overwrite: Overwrite = False,
) -> None:
    """Import the databases of another folder, also of storify 0.0.11.

    Those whose names cannot be kept are named, and the exit code is 1.

    Example: storify import storify old-data data --models shop.models
    """
    with failures():
        classes = load_classes(models or ())
        names = dict(map(_parted, rename or ()))
        with open_place(folder, classes=classes) as sf, progress(source.name) as tell:
            counts, left = copy_folder(
                source, sf, names=names, overwrite=overwrite, progress=tell
            )
    for name, count in counts.items():
        _tell(name, count)
    for name, reason in left.items():
        option = shlex.quote(f"{name}={portable(name)}")
        complain(f"not imported: {reason}; or add --rename {option}")
    if left:
        raise typer.Exit(FOUND)


def _parted(rename: str) -> tuple[str, str | None]:
    """Part OLD=NEW; the new name is the part behind the last ``=``."""
    old, sign, new = rename.rpartition("=")
    if not sign or not old:
        msg = f"cannot rename {rename!r}: write OLD=NEW"
        raise Failure(msg)
    return old, new or None


def _tell(name: str, count: int) -> None:
    typer.echo(f"{name}: {counted(count, 'record')} imported")


def _unpickler(source: Path, *, unpickle: bool) -> Callable[[bytes], Any]:
    """Return what loads the pickles of a file whose owner said so."""
    if not unpickle:
        msg = (
            f"cannot import {str(source)!r}: it holds pickles, and loading them runs "
            f"code of the file; if it is your own, add --unpickle"
        )
        raise Failure(msg)
    import pickle  # noqa: PLC0415, TID251 - the user asked for it, of that file

    def decode(blob: bytes) -> Any:
        try:
            return pickle.loads(blob)  # noqa: S301 - as above
        except Exception as error:  # code of the file ran
            msg = (
                f"cannot unpickle a record of {str(source)!r}: "
                f"{type(error).__name__}: {error}; its classes must be importable "
                f"from here"
            )
            raise Failure(msg) from error

    return decode
