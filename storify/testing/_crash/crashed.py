"""What a crash left: the files, what was promised, and a `Storify` over them."""

from pathlib import Path
from typing import Any

from storify.testing._crash.left import Left
from storify.testing._crash.plan import Point
from storify.testing._crash.run import Report

__all__ = ["Crashed"]


class Crashed(Left[Point]):
    """What one crash point left behind.

    As a context manager it closes what was reopened, and an exception that leaves
    the block gets a note that names the point; so does one that leaves
    ``with crashed.reopen() as sf:``.

    Attributes:
        point: Where and how the run ended; ``str()`` of it is one line.
        root: The folder with the files that survived. It is another one than the
            scenario got, and is removed when the loop moves on.
        done: What the scenario had given to ``done(...)`` before that, in order.
        error: What the scenario raised after its disk call had failed; None if it
            dealt with that, and for a program that was killed.
        completed: Whether the scenario returned.
    """

    def __init__(self, point: Point, root: Path, report: Report) -> None:
        super().__init__("crash point", point, root, report.home, report.models)
        self.root = root
        self.done: list[Any] = list(report.done)
        self.error: Exception | None = report.error
        self.completed: bool = report.completed

    def __repr__(self) -> str:
        """Tell the point, what was done and what was raised."""
        raised = "" if self.error is None else f", error={self.error!r}"
        return f"<Crashed {self.point}; done={self.done!r}{raised}>"
