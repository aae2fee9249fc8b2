"""The command line: its commands, and what all of them share."""

from typing import Annotated

import typer

from storify import __version__
from storify.cli._check import check
from storify.cli._import import importing
from storify.cli._migrate import migrate
from storify.cli._schema import schema

__all__ = ["app"]

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
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
    """Look after the data of storify: check, migrate, import, lock their schema."""


app.command()(check)
app.command()(migrate)
app.add_typer(schema, name="schema")
app.add_typer(importing, name="import")
