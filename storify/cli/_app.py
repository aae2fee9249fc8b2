"""The command line: ``storify check``, ``storify migrate``, and the groups of others."""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

import typer

from storify import Misfit, __version__
from storify.cli._care import compact, salvage, verify
from storify.cli._export import FORMATS, export, import_format
from storify.cli._faces import explore, serve
from storify.cli._import import importing
from storify.cli._look import find, get, ls, show, stats
from storify.cli._schema import schema
from storify.cli._shared import (
    FAILED,
    FOUND,
    Failure,
    Models,
    Named,
    Paths,
    Schema,
    complain,
    counted,
    failures,
    find_databases,
    load_classes,
    open_place,
    parse_values,
    progress,
)
from storify.cli._time import diff, history, log, remove_keys, restore, write_key
from storify.exceptions import StorifyError

__all__ = ["app"]


class _Found(NamedTuple):
    """What was found: how many records were looked at, the misfits, and failures."""

    records: int
    misfits: list[tuple[str, Misfit]]
    failed: int


def check(
    paths: Paths,
    *,
    models: Models = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--values",
            metavar="NAME=TYPE",
            help="The type of the values of a database, as users=User.",
        ),
    ] = None,
    schema: Schema = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but what fails.")
    ] = False,
) -> None:
    """Compare what is stored with the types. Nothing is changed.

    Each record is judged by the class of its keyname, with --values also by what its
    database is to hold. A misfit is told by its place and its type; no value is shown.

    Exit codes: 0 all fits, 1 something does not, 2 it could not be checked.

    Example: storify check data --models shop.models --values users=User
    """
    with failures():
        classes = load_classes(models or ())
        hints = parse_values(values or (), classes.names)
        named = find_databases(
            paths, classes, values=hints, schema=schema, readonly=True
        )
        found = _check_all(named)
    if as_json:
        typer.echo(json.dumps(_document(found), indent=2, ensure_ascii=False))
    elif not quiet:
        _tell(found, len(named))
    if found.failed:
        raise typer.Exit(FAILED)
    if found.misfits:
        raise typer.Exit(FOUND)


def _check_all(named: Iterable[Named]) -> _Found:
    records = failed = 0
    misfits: list[tuple[str, Misfit]] = []
    for each in named:
        try:
            with closing(each.open()) as db, progress(each.label) as tell:
                misfits += [(each.label, misfit) for misfit in db.check(tell)]
                records += len(db)
        except (StorifyError, OSError) as error:
            # The others are checked all the same.
            complain(error)
            failed += 1
    return _Found(records, misfits, failed)


def _document(found: _Found) -> Mapping[str, Any]:
    return {
        "checked": found.records,
        "misfits": [
            {
                "database": label,
                "path": misfit.path,
                "kind": misfit.kind,
                "expected": misfit.expected,
                "found": misfit.found,
            }
            for label, misfit in found.misfits
        ],
    }


#: So many misfits that are alike are listed; all are in the document of ``--json``.
_LISTED: Final = 5
_STEP: Final = re.compile(r"\[[^\[\]]*\]")


def _like(label: str, misfit: Misfit) -> tuple[str, ...]:
    """Return what misfits have in common that differ by their records alone."""
    place = _STEP.sub("[]", misfit.path)
    return label, place, misfit.kind, misfit.expected, misfit.found


def _tell(found: _Found, databases: int) -> None:
    alike: dict[tuple[str, ...], list[Misfit]] = {}
    for label, misfit in found.misfits:
        alike.setdefault(_like(label, misfit), []).append(
            misfit._replace(database=label)
        )
    for misfits in alike.values():
        for misfit in misfits[:_LISTED]:
            typer.echo(misfit)
        if len(misfits) > _LISTED:
            first = misfits[0]
            typer.echo(
                f"{first.database}: {len(misfits) - _LISTED:,} more as the last one: "
                f"{first.kind}: expected {first.expected}, found {first.found}"
            )
    typer.echo(
        f"{counted(found.records, 'record')} in "
        f"{counted(databases - found.failed, 'database')} checked, "
        f"{counted(len(found.misfits), 'misfit')}"
    )


# --- ``storify migrate``: what is stored, rewritten in the present form ---------------


def migrate(
    paths: Paths,
    *,
    models: Models = None,
    schema: Schema = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count; write nothing.")
    ] = False,
) -> None:
    """Rewrite records of older versions in the form of the present classes.

    One database after the other is rewritten, each as a whole or not at all, so what
    was interrupted is finished by running it again. The state before stays in the
    backups. Records that do not fit their classes stay as they are, and are counted.

    Exit codes: 0 done, 2 a database could not be rewritten.

    Example: storify migrate data --models shop.models --dry-run
    """
    with failures():
        classes = load_classes(models or ())
        if not classes.models:
            msg = "no model classes: give --models, the module that defines them"
            raise Failure(msg)
        named = find_databases(paths, classes, schema=schema, readonly=dry_run)
        done = [_migrate(each, dry_run=dry_run) for each in named]
    if not all(done):
        raise typer.Exit(FAILED)


def _migrate(named: Named, *, dry_run: bool) -> bool:
    """Rewrite one database, tell how many records, and give whether it could be."""
    try:
        with closing(named.open()) as db, progress(named.label) as tell:
            count = db.migrate(tell, dry_run=dry_run)
            before = db.backups.latest
    except (StorifyError, OSError) as error:
        # The others are rewritten all the same.
        complain(error)
        return False
    if dry_run:
        typer.echo(f"{named.label}: {counted(count, 'record')} would be rewritten")
    elif count:
        typer.echo(
            f"{named.label}: {counted(count, 'record')} rewritten; "
            f"the state before is backup {before}"
        )
    else:
        typer.echo(f"{named.label}: nothing to rewrite")
    return True


# --- ``storify copy``: between folders and servers, and the tables on a server --------

Place: TypeAlias = Annotated[
    str, typer.Argument(metavar="PLACE", help="A folder, or the URL of a server.")
]


def copy(source: Place, target: Place, *, schema: Schema = None) -> None:
    """Copy all databases with their order and backups, and compare them at the end.

    The source is not changed. What was interrupted is finished by running it again.

    Exit codes: 0 all is copied, 2 it is not.

    Example: storify copy data postgresql://user@host/db
    """
    with failures():
        if "://" not in source and not Path(source).is_dir():
            msg = f"there is no folder {source!r}"
            raise Failure(msg)
        one, other = (open_place(each, schema) for each in (source, target))
        with one, other, progress("copying") as tell:
            counts = one.copy_to(other, tell)
    for name, count in counts.items():
        typer.echo(f"{name}: {counted(count, 'record')}")
    typer.echo(f"{counted(len(counts), 'database')} copied and compared")


postgres: typer.Typer = typer.Typer(
    no_args_is_help=True, help="The tables on a PostgreSQL server."
)


@postgres.callback()
def _postgres() -> None:
    """Look after the tables on a PostgreSQL server."""


@postgres.command()
def init(
    url: Annotated[str | None, typer.Argument(metavar="URL")] = None,
    *,
    schema: Schema = None,
    print_sql: Annotated[
        bool, typer.Option("--print-sql", help="Print the statements; run nothing.")
    ] = False,
) -> None:
    """Make the tables, for programs whose role may not: ``create_schema=False``.

    Exit codes: 0 they are there, 2 they could not be made.
    """
    with failures():
        if print_sql:
            from storify.engine.postgres.tables import SCHEMA, Tables  # noqa: PLC0415 - it needs the driver

            typer.echo(Tables(schema or SCHEMA).make)
            return
        if url is None:
            msg = "give the URL of the server, or --print-sql"
            raise Failure(msg)
        open_place(url, schema).close()


# --- the command line -----------------------------------------------------------------

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,  # what stands in brackets in a help text is no markup
    pretty_exceptions_enable=False,  # which show the values of variables
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"storify {__version__}")
        raise typer.Exit


@app.callback()
def _storify(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Look into the data of storify, find and compare them, move and look after them."""


for _look in (ls, show, get, find, log, diff, history, stats):
    app.command()(_look)
app.command("set")(write_key)
app.command("rm")(remove_keys)
for _care in (serve, explore, restore, export, verify, salvage, compact):
    app.command()(_care)
app.command()(check)
app.command()(migrate)
app.command()(copy)
app.add_typer(postgres, name="postgres")
app.add_typer(schema, name="schema")
for _format in (*FORMATS, "sqlite"):
    importing.command(_format)(import_format(_format))
app.add_typer(importing, name="import")
