"""What a run left behind: its files, what was promised, and a `Storify` over them."""

import logging
import os
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from storify._manager import Storify

__all__ = ["LOG", "Left"]

P = TypeVar("P")

#: It tells warnings: that a run which was cut off has left temporary files is no news.
LOG = logging.getLogger("storify.crashed")
LOG.setLevel(logging.WARNING)


class Left(Generic[P]):
    """What a run left behind that was ended, or struck, at one point.

    Args:
        kind: What the point is called, for messages.
        point: Where it happened.
        root: The folder with its files.
        home: The folder of its first `Storify`, seen from *root*.
        models: The classes that its databases knew.
    """

    def __init__(
        self,
        kind: str,
        point: P,
        root: "os.PathLike[str]",
        home: str | None,
        models: list[type[Any]],
    ) -> None:
        self.point = point
        self._kind = kind
        self._folder = os.fspath(root)
        self._home = home
        self._models = models
        self._reopened: list[_Survivor] = []

    def reopen(
        self, folder: str | os.PathLike[str] | None = None, **options: Any
    ) -> Storify:
        """Open what is on disk, as the next start of the program would.

        It is closed when the loop moves on.

        Args:
            folder: Inside of `root`; that of the first `Storify` that the scenario
                made unless given.
            options: Of `Storify`. *models* are the classes that the databases of
                the scenario knew unless given, *save_interval* is None, *log* the
                logger ``storify.crashed``. What was registered as a type must be
                given again.
        """
        inside = (self._home or "") if folder is None else os.fspath(folder)
        given: dict[str, Any] = {
            "models": self._models,
            "save_interval": None,
            "log": LOG,
        }
        sf = _Survivor(os.path.join(self._folder, inside), **{**given, **options})
        sf.left = self
        self._reopened.append(sf)
        return sf

    def close(self) -> None:
        """Close what was reopened; it is done for you.

        Raises:
            The errors of `Storify.close`.
        """
        while self._reopened:
            self._reopened.pop().close()

    def tell(self, error: BaseException) -> None:
        """Note in an exception where it was."""
        note = f"{self._kind}: {self.point}\nwhat it left: {self._folder}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)

    def __enter__(self) -> Self:
        """Return this object itself."""
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


class _Survivor(Storify):
    """A `Storify` that says at which point its block failed."""

    left: Left[Any]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Name the point in the exception, and close."""
        if error is not None:
            self.left.tell(error)
        super().__exit__(kind, error, traceback)
