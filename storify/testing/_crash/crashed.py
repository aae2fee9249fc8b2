"""What a crash left: the files, what was promised, and a `Storify` over them."""

import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from storify._manager import Storify
from storify.testing._crash.plan import Point
from storify.testing._crash.run import Report

__all__ = ["Crashed"]

#: It tells warnings: that a crash has left temporary files is no news here.
_LOG = logging.getLogger("storify.crashed")
_LOG.setLevel(logging.WARNING)


class Crashed:
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
        self.point = point
        self.root = root
        self.done: list[Any] = list(report.done)
        self.error: Exception | None = report.error
        self.completed: bool = report.completed
        self._home = report.home
        self._models = report.models
        self._opened: list[_Survivor] = []

    def reopen(
        self, folder: str | os.PathLike[str] | None = None, **options: Any
    ) -> Storify:
        """Open what survived, as the next start of the program would.

        It is closed when the loop moves on.

        Args:
            folder: Inside of `root`; that of the first `Storify` that the scenario
                made unless given.
            options: Of `Storify`. *models* are the classes that the databases of
                the scenario knew unless given, *save_interval* is None, *log* the
                logger ``storify.crashed``. What was registered as a type must be
                given again.
        """
        inside = (self._home or "") if folder is None else folder
        given: dict[str, Any] = {
            "models": self._models,
            "save_interval": None,
            "log": _LOG,
        }
        sf = _Survivor(self.root / inside, **{**given, **options})
        sf.crashed = self
        self._opened.append(sf)
        return sf

    def close(self) -> None:
        """Close what was reopened; it is done for you.

        Raises:
            The errors of `Storify.close`.
        """
        while self._opened:
            self._opened.pop().close()

    def tell(self, error: BaseException) -> None:
        """Note in an exception where the run had ended."""
        note = f"crash point: {self.point}\nwhat it left: {self.root}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)

    def __enter__(self) -> Self:
        """Give this object itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what was reopened; name the point in the exception."""
        if error is None:
            self.close()
            return
        self.tell(error)
        try:
            self.close()
        except Exception as late:  # noqa: BLE001 - the first error is the one to see
            error.add_note(f"closing what was reopened failed, too: {late!r}")

    def __repr__(self) -> str:
        """Tell the point, what was done and what was raised."""
        raised = "" if self.error is None else f", error={self.error!r}"
        return f"<Crashed {self.point}; done={self.done!r}{raised}>"


class _Survivor(Storify):
    """A `Storify` that says at which crash point its block failed."""

    crashed: Crashed

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Name the point in the exception, and close."""
        if error is not None:
            self.crashed.tell(error)
        super().__exit__(kind, error, traceback)
