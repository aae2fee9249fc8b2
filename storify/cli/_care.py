"""``verify``, ``salvage``, ``compact``: the files themselves."""

from typing import Any

import typer

from storify.cli._place import AsJson, DryRun, Rest, Where, looking, named, print_json
from storify.cli._shared import FAILED, FOUND, complain, counted
from storify.exceptions import StorifyError
from storify.explorer import Session, literal, salvage_text, size_text

__all__ = ["compact", "salvage", "verify"]


def _names(session: Session, rest: list[str] | None) -> list[str]:
    return [session.only] if session.only else list(rest or session.names())


def verify(where: Where, rest: Rest = None, *, as_json: AsJson = False) -> None:
    """Compare all that is kept with its checksums: WHERE [DB …]. Nothing is changed.

    Exit codes: 0 all is whole, 1 something is not, 2 it could not be read.

    Example: storify verify data
    """
    document: list[dict[str, Any]] = []
    failed = False
    with looking(where) as session:
        for name in _names(session, rest):
            try:
                problems = session.verify(name)
            except (StorifyError, OSError) as error:
                complain(error)
                failed = True
                continue
            document += [{"database": name, **each._asdict()} for each in problems]
            if not as_json:
                for each in problems:
                    typer.echo(f"{name}: {each.place}: {each.what}")
                typer.echo(f"{name}: {counted(len(problems), 'problem')}")
    if as_json:
        print_json(document)
    if failed:
        raise typer.Exit(FAILED)
    if document:
        raise typer.Exit(FOUND)


def salvage(
    where: Where, rest: Rest = None, *, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Save what is intact of a damaged database: WHERE [DB].

    For one that cannot be opened. The damaged file stays beside the backups.

    Exit codes: 0 nothing is lost, 1 records are, 2 it could not be done.

    Example: storify salvage data users
    """
    with looking(where, write=not dry_run) as session:
        (name,) = named(session, rest)
        if dry_run:
            typer.echo(f"{name}: {session.about(name).health}")
            return
        found = session.salvage(name)
        if as_json:
            print_json(
                {
                    "recovered": found.recovered,
                    "lost": [literal(key) for key in found.lost],
                    "unnamed": found.unnamed,
                    "older": [literal(key) for key in found.older],
                    "notes": list(found.notes),
                }
            )
        else:
            for key in found.lost:
                typer.echo(f"lost: {literal(key)}")
            typer.echo(f"{name}: {salvage_text(found)}")
    if found.lost_count:
        raise typer.Exit(FOUND)


def compact(where: Where, rest: Rest = None, *, as_json: AsJson = False) -> None:
    """Leave one whole file, without a journal: WHERE [DB …].

    Example: storify compact data users
    """
    document: list[dict[str, Any]] = []
    with looking(where, write=True) as session:
        for name in _names(session, rest):
            before, after = session.compact(name)
            document.append({"database": name, "before": before, "after": after})
            if not as_json:
                typer.echo(f"{name}: {size_text(before)} → {size_text(after)}")
    if as_json:
        print_json(document)
