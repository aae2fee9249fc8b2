"""``storify migrate``: what is stored, rewritten in the present form."""

from contextlib import closing
from typing import Annotated

import typer

from storify.cli._databases import Models, Named, Paths, find_databases
from storify.cli._models import load_classes
from storify.cli._terminal import FAILED, Failure, complain, counted, failures, progress
from storify.exceptions import StorifyError

__all__ = ["migrate"]


def migrate(
    paths: Paths,
    *,
    models: Models = None,
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
        named = find_databases(paths, classes, readonly=dry_run)
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
