"""What a command tells, and how it ends.

Results go to the standard output; all else to the standard error, so that a result
can be read by a program.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeRemainingColumn as TimeColumn

from storify.exceptions import StorifyError

__all__ = [
    "FAILED",
    "FOUND",
    "Failure",
    "Stderr",
    "complain",
    "counted",
    "failures",
    "progress",
]

#: The exit codes of a command that found something, and of one that failed.
FOUND: Final = 1
FAILED: Final = 2

#: A bar for fewer records would be gone before it is seen.
_LARGE: Final = 20_000


class Failure(Exception):  # noqa: N818 - it ends the command, with its message
    """What was asked for cannot be done; the text says why and what to do."""


def complain(message: object) -> None:
    """Tell what is wrong, on the standard error."""
    typer.echo(f"storify: {message}", err=True)


def counted(count: int, noun: str) -> str:
    """Return ``1 record`` or ``2 records``."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


class Stderr:
    """A logger for `Storify` that tells warnings and errors, and no more."""

    def debug(self, msg: str) -> None:
        """Say nothing."""

    def info(self, msg: str) -> None:
        """Say nothing."""

    def warning(self, msg: str) -> None:
        """Tell what the owner of the data should know."""
        complain(msg)

    def error(self, msg: str) -> None:
        """Tell what failed."""
        complain(msg)

    def traceback(self, msg: str) -> None:
        """Tell what failed, in one line: what is raised is told besides."""
        complain(msg)


@contextmanager
def failures() -> Generator[None]:
    """End the command with a message instead of a traceback.

    Raises:
        typer.Exit: With the code 2, in the place of what is expected to go wrong.
    """
    try:
        yield
    except (Failure, StorifyError, OSError, ValueError) as error:
        complain(error)
        raise typer.Exit(FAILED) from error


@contextmanager
def progress(what: str) -> Generator[Callable[[int, int], object] | None]:
    """Show a bar on the standard error while records are worked through.

    It gives what is to be told how many are done, and None where nobody looks.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, visible=False)

        def tell(done: int, total: int) -> None:
            visible = total >= _LARGE
            bar.update(task, completed=done, total=total, visible=visible)

        yield tell
