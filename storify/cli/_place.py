"""The place that a command looks at, and what its arguments name in it."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from storify.cli._shared import Failure, Stderr, failures, load_classes
from storify.explorer import Session
from storify.tables.lines import dumps

__all__ = [
    "AsJson",
    "DryRun",
    "Rest",
    "Where",
    "Yes",
    "asked",
    "looking",
    "named",
    "print_json",
    "print_lines",
]


def _complete_where(incomplete: str) -> list[str]:
    """Offer folders, and files of databases."""
    folder, _, begun = incomplete.rpartition("/")
    try:
        there = sorted(Path(folder or ("/" if "/" in incomplete else ".")).iterdir())
        return [
            str(each) + "/" * each.is_dir()
            for each in there
            if each.name.startswith(begun)
            and (each.suffix == ".mpack" or (each.is_dir() and each.name[0] != "."))
        ]
    except OSError:
        return []


def _complete_rest(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer databases, then keys, as far as they can be read."""
    where = ctx.params.get("where")
    given = [str(each) for each in ctx.params.get("rest") or ()]
    try:
        with Session(str(where)) as session:
            if session.only is not None:
                given.insert(0, session.only)
            if not given:
                return [n for n in session.names() if n.startswith(incomplete)]
            if len(given) == 1:
                page, _ = session.page(given[0], limit=500)
                keys = [str(row.key) for row in page.rows]
                return [key for key in keys if key.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a completion never fails
        return []
    return []


Where: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="WHERE",
        help="A folder of databases, one .mpack file, or a URL.",
        autocompletion=_complete_where,
    ),
]
Rest: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="[DB] …", autocompletion=_complete_rest),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON document.")
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Only tell what would change.")
]
Yes: TypeAlias = Annotated[
    bool, typer.Option("--yes", "-y", help="Write without asking.")
]


@contextmanager
def looking(
    where: str, models: list[str] | None = None, *, write: bool = False
) -> Generator[Session]:
    """Open a place; what goes wrong ends the command with a message."""
    with failures():
        classes = load_classes(models or ())
        with Session(
            where,
            models=classes.models,
            types=classes.types,
            write=write,
            log=Stderr(),
        ) as session:
            yield session


def named(
    session: Session,
    rest: list[str] | None,
    *names: str,
    optional: int = 0,
) -> list[str]:
    """Part what follows WHERE: the database, unless the place is one, and *names*.

    Args:
        session: The place.
        rest: What was given.
        names: What is wanted behind the database, in capitals, for the error.
        optional: How many of the last may be left out; they are empty texts then.

    Raises:
        Failure: There is too little or too much.
    """
    given = list(rest or ())
    wanted = list(names)
    if session.only is not None:
        given.insert(0, session.only)
    else:
        wanted.insert(0, "DB")
    least = 1 + len(names) - optional
    if len(given) < least or len(given) > 1 + len(names):
        listed = ", ".join(session.names()[:8])
        shape = " ".join(
            f"[{name}]" if len(wanted) - index <= optional else name
            for index, name in enumerate(wanted)
        )
        there = f"; databases here: {listed}" if session.only is None and listed else ""
        msg = f"write WHERE {shape}{there}"
        raise Failure(msg)
    return given + [""] * (1 + len(names) - len(given))


def asked(question: str, *, yes: bool) -> None:
    """Ask before something is written; where nobody can answer, it is refused.

    Raises:
        Failure: The answer is no.
    """
    if yes:
        return
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        msg = "nothing was written; add --yes to write without a question"
        raise Failure(msg)


def print_json(document: Any) -> None:
    """Print a document for a program."""
    typer.echo(dumps(document, indent=2))


def print_lines(lines: list[str]) -> None:
    """Print lines for a person."""
    for line in lines:
        typer.echo(line)
