"""``export``, and ``import`` of what it writes: records in the formats of others."""

import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from storify.cli._look import At
from storify.cli._place import DryRun, Rest, Where, looking, named
from storify.cli._shared import (
    Failure,
    Models,
    complain,
    counted,
    failures,
    load_classes,
    open_place,
    progress,
)
from storify.explorer import NOW
from storify.explorer.export import Format, write_records
from storify.importers._copy import put_all
from storify.tables import arrow, sqlite, text
from storify.tables.lines import Classes, Losses

__all__ = ["FORMATS", "export", "import_format"]


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
    with _new_file(out) as path:
        if not to.is_text:
            return write(out=path)
        with path.open("w", encoding="utf-8", newline="") as file:
            return write(out=file)


@contextmanager
def _new_file(out: Path) -> Generator[Path]:
    """Make a file that takes the place of *out* when all is in it."""
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    os.close(handle)
    made = Path(name)
    try:
        yield made
        umask = os.umask(0)
        os.umask(umask)
        made.chmod(0o666 & ~umask)
        made.replace(out)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


# --- ``import``: what was exported, or another program wrote --------------------------

Source: TypeAlias = Annotated[
    Path, typer.Argument(metavar="SOURCE", help="What to import; it is not changed.")
]
Folder: TypeAlias = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The folder of databases to fill.")
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


def _parquet(
    source: Path, classes: Classes, cls: Any, key: str, _stack: ExitStack
) -> Iterable[tuple[Any, Any]]:
    return arrow.read_parquet(source, classes, cls, key)


FORMATS: dict[str, _Read] = {
    "jsonl": _lines(text.read_jsonl),
    "json": _lines(text.read_json),
    "csv": _lines(text.read_csv),
    "parquet": _parquet,
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
        overwrite: Annotated[
            bool,
            typer.Option("--overwrite", help="Replace records that are there already."),
        ] = False,
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
                count = put_all(items, sf.get_db(name), overwrite=overwrite)
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
