"""``storify schema``: the classes as data, kept in a file and compared with it."""

import json
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from storify.cli._shared import (
    FOUND,
    Failure,
    Models,
    counted,
    failures,
    load_classes,
    new_file,
)
from storify.models.json_schema import json_schema
from storify.models.schema_lock import Change, SchemaLock, compare, describe, dump, load

schema: typer.Typer = typer.Typer(no_args_is_help=True)

File: TypeAlias = Annotated[
    Path, typer.Option("--file", "-f", metavar="FILE", help="The lock file.")
]
_FILE = Path("storify.lock.json")
_LOCK = "storify schema lock"


@schema.callback()
def _schema() -> None:
    """Keep what is stored under control: lock the schema, check it in CI."""


@schema.command()
def show(*, models: Models = None) -> None:
    """Print the schema of the classes as JSON.

    Example: storify schema show --models shop.models
    """
    with failures():
        typer.echo(dump(_describe(models)), nl=False)


@schema.command("json")
def as_json(
    *,
    models: Models = None,
    name: Annotated[
        str, typer.Option("--class", metavar="CLASS", help="Only this class.")
    ] = "",
) -> None:
    """Print the classes as JSON Schema: what their JSON looks like.

    Example: storify schema json --models shop.models --class User
    """
    with failures():
        classes = [
            c for c in load_classes(models or ()).models if name in {"", c.__name__}
        ]
        if not classes:
            which = f"no class {name!r}" if name else "no model classes"
            msg = f"{which}: give --models, the module that defines them"
            raise Failure(msg)
        found = {cls.__qualname__: json_schema(cls) for cls in classes}
        document = found[classes[0].__qualname__] if name else found
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


@schema.command()
def lock(*, models: Models = None, file: File = _FILE) -> None:
    """Write the schema of the classes to the lock file. Commit that file.

    Example: storify schema lock --models shop.models
    """
    with failures():
        now = _describe(models)
        with new_file(file) as path:
            path.write_text(dump(now), encoding="utf-8", newline="\n")
    typer.echo(f"{file}: {counted(len(now['models']), 'model')} locked")


@schema.command()
def check(*, models: Models = None, file: File = _FILE) -> None:
    """Compare the classes with the lock file: do stored records follow?

    A change that records cannot follow fails: a field that was removed, renamed or
    retyped without was=, dropped=, upgrade= or a migration, one that was added without
    a default, and the like.

    Exit codes: 0 records follow, 1 some do not, 2 it could not be compared.

    Example: storify schema check --models shop.models
    """
    with failures():
        now = _describe(models)
        if not file.is_file():
            msg = f"there is no lock file {str(file)!r}; write it with: {_LOCK}"
            raise Failure(msg)
        changes = compare(load(file.read_text(encoding="utf-8")), now)
    breaking = [change for change in changes if change.breaking]
    notes = [change for change in changes if not change.breaking]
    _tell("breaks", breaking)
    _tell("note", notes)
    if breaking:
        typer.echo(
            f"{file}: {counted(len(breaking), 'change')} that stored records do not "
            f"follow; "
            f"if there are no such records, run {_LOCK}"
        )
        raise typer.Exit(FOUND)
    if notes:
        typer.echo(f"{file}: {counted(len(notes), 'compatible change')}; run {_LOCK}")
    else:
        typer.echo(f"{file}: nothing changed")


def _tell(word: str, changes: list[Change]) -> None:
    for change in changes:
        typer.echo(f"{word}: {change}")


def _describe(models: list[str] | None) -> SchemaLock:
    classes = load_classes(models or ())
    if not classes.models:
        msg = "no model classes: give --models, the module that defines them"
        raise Failure(msg)
    return describe(classes.models)
