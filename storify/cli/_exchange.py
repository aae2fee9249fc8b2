"""``export`` and ``import``: records in the formats of others, and from their stores."""

import json
import shlex
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from storify.cli._look import At
from storify.cli._shared import (
    FOUND,
    DryRun,
    Failure,
    Models,
    Rest,
    Where,
    complain,
    counted,
    failures,
    load_classes,
    looking,
    named,
    new_file,
    open_place,
    progress,
)
from storify.explorer import NOW
from storify.explorer.export import Format, write_records
from storify.importers import (
    copy_folder,
    copy_items,
    import_shelve,
    import_sqlitedict,
    import_tinydb,
    portable,
)
from storify.tables import arrow, sqlite, text
from storify.tables.lines import Classes, Losses

Out: TypeAlias = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="The file; else standard output."),
]
Lossy: TypeAlias = Annotated[
    bool,
    typer.Option("--lossy", help="Go on where the format cannot hold a value; count."),
]


def export(
    where: Where,
    rest: Rest = None,
    *,
    to: Annotated[Format, typer.Option("--to", help="The format.")] = Format.JSONL,
    out: Out = None,
    filtered: Annotated[
        str, typer.Option("--where", metavar="FILTER", help="Only these, as of find.")
    ] = "",
    at: At = NOW,
    lossy: Lossy = False,
    models: Models = None,
) -> None:
    """Write records in another format: WHERE [DB].

    What the format cannot hold is told by its place before anything is written. With
    --models, types come from the annotations, and each record is read back to see.

    Example: storify export data users --to csv -o users.csv
    """
    with looking(where, models) as session:
        (name,) = named(session, rest)
        if out is None and not to.is_text:
            msg = f"{to} is no text: add -o FILE"
            raise Failure(msg)
        losses = Losses(to.value, lossy=lossy)
        with progress(name) as tell:
            write = partial(
                write_records,
                session,
                name,
                losses=losses,
                where=filtered,
                state=at,
                told=tell,
            )
            count = _export(write, to, out)
    lost = sum(losses.causes.values())
    for why, times in losses.causes.most_common():
        complain(f"not held as it is: {counted(times, 'value')}: {why}")
    if out is not None:
        left = f", {counted(lost, 'value')} not held as they are" if lost else ""
        typer.echo(f"{out}: {counted(count, 'record')} written{left}")


def _export(write: Callable[..., int], to: Format, out: Path | None) -> int:
    if out is None:
        return write(out=sys.stdout)
    if to is Format.SQLITE:
        return write(out=out)  # a table more of a file that may be there
    with new_file(out) as path:
        if not to.is_text:
            return write(out=path)
        with path.open("w", encoding="utf-8", newline="") as file:
            return write(out=file)


# --- ``import``: what was exported, or another program wrote --------------------------

Source: TypeAlias = Annotated[
    Path, typer.Argument(metavar="SOURCE", help="What to import; it is not changed.")
]
Folder: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="FOLDER", help="The folder to fill, or the URL of a server."
    ),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace records that are there already.")
]
_Read = Callable[[Path, Classes, Any, str, ExitStack], Iterable[tuple[Any, Any]]]


def _lines(read: Any) -> _Read:
    def begin(
        source: Path, classes: Classes, cls: Any, key: str, stack: ExitStack
    ) -> Iterable[tuple[Any, Any]]:
        file = stack.enter_context(source.open(encoding="utf-8-sig", newline=""))
        found: Iterable[tuple[Any, Any]] = read(file, classes, cls, key)
        return found

    return begin


FORMATS: dict[str, _Read] = {
    "jsonl": _lines(text.read_jsonl),
    "json": _lines(text.read_json),
    "csv": _lines(text.read_csv),
    "parquet": lambda source, classes, cls, key, _: arrow.read_parquet(
        source, classes, cls, key
    ),
}


def import_format(kind: str) -> Callable[..., None]:
    """Make the command that imports one format."""

    def run(
        source: Source,
        folder: Folder,
        *,
        name: Annotated[
            str | None,
            typer.Option("--name", metavar="NAME", help="The database."),
        ] = None,
        cls: Annotated[
            str,
            typer.Option("--class", metavar="CLASS", help="The class of the records."),
        ] = "",
        key: Annotated[
            str,
            typer.Option("--key", metavar="FIELD", help="The field that is the key."),
        ] = "",
        table: Annotated[
            str, typer.Option("--table", metavar="TABLE", help="The table of SQLite.")
        ] = "",
        models: Models = None,
        overwrite: Overwrite = False,
        dry_run: DryRun = False,
    ) -> None:
        with failures():
            classes = load_classes(models or ())
            found = _class_named(cls, classes.models)
            name = name or table or source.name.partition(".")[0]
            if not source.is_file():
                raise FileNotFoundError(2, "no such file", str(source))
            with ExitStack() as stack:
                where = "memory://" if dry_run else folder
                sf = stack.enter_context(open_place(where, classes=classes))
                schema = sf._schema  # noqa: SLF001 - two halves of one command
                known = Classes(schema.registry, schema.codec)
                pairs = (
                    sqlite.read_sqlite(source, table or name, known, found, key)
                    if kind == "sqlite"
                    else FORMATS[kind](source, known, found, key, stack)
                )
                items: dict[Any, Any] = {}
                for each, value in pairs:
                    if each in items:
                        msg = f"the key {each!r} is there twice in {str(source)!r}"
                        raise Failure(msg)
                    items[each] = value
                count = copy_items(items, sf.get_db(name), overwrite=overwrite)
        done = "would be imported" if dry_run else "imported"
        typer.echo(f"{name}: {counted(count, 'record')} {done}")

    run.__doc__ = f"""Import records of {kind} into one database, all of them or none.

    Each must fit its class: the one of its _class, or --class. Without one it is a dict.

    Example: storify import {kind} people.{kind} data --class User --models shop.models
    """
    return run


def _class_named(name: str, models: list[type[Any]]) -> type[Any] | None:
    if not name:
        return None
    found = next((cls for cls in models if cls.__name__ == name), None)
    if found is None:
        listed = ", ".join(cls.__name__ for cls in models) or "none; give --models"
        msg = f"there is no class {name!r} among the models: {listed}"
        raise Failure(msg)
    return found


# --- ``import``: the data of other stores ---------------------------------------------

importing: typer.Typer = typer.Typer(no_args_is_help=True)
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
