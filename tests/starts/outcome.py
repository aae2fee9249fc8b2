"""What became of a program that starts children, and of what it saved."""

from pathlib import Path
from typing import Any

from faults.programs import Program
from starts.children import NAME
from storify import Storify


def outcome(program: str, *arguments: object) -> tuple[list[str], list[str]]:
    """Run a program of this folder; give what it said, and what our log did.

    A child that is ready to be terminated is.
    """
    lines = []
    with Program(f"starts.{program}", *arguments) as running:
        for line in running.lines():
            if line == "ready":
                running.go()
            else:
                lines.append(line)
        code, _, errors = running.end()
    assert code == 0, errors
    ours = ("WARNING:", "ERROR:")
    return lines, [line for line in errors.splitlines() if line.startswith(ours)]


def content(folder: Path) -> dict[str, Any]:
    """What is saved."""
    with Storify(folder, save_interval=None) as sf:
        return dict(sf.get_db(NAME, readonly=True).items())


def is_about_fork(line: str) -> bool:
    """Whether a line of the log says that a child saves nothing of its parent's."""
    return f"database {NAME!r} was opened before this process was forked" in line
