"""``storify check``: what is stored, compared with the types."""

import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Annotated, Any, NamedTuple

import typer

from storify import Misfit
from storify.cli._databases import Models, Named, Paths, find_databases
from storify.cli._models import load_classes, parse_values
from storify.cli._terminal import FAILED, FOUND, complain, counted, failures, progress
from storify.exceptions import StorifyError

__all__ = ["check"]


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
        named = find_databases(paths, classes, values=hints, readonly=True)
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


def _tell(found: _Found, databases: int) -> None:
    for label, misfit in found.misfits:
        typer.echo(misfit._replace(database=label))
    typer.echo(
        f"{counted(found.records, 'record')} in "
        f"{counted(databases - found.failed, 'database')} checked, "
        f"{counted(len(found.misfits), 'misfit')}"
    )
