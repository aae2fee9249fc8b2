"""Where a machine's database is: a folder that survives crashes, or memory."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from storify._manager import Storify

from ._crash.faults import Fault, Killed, injected
from ._crash.power import Folder, read, write_folder

__all__ = ["FilePlace", "MemoryPlace", "Place"]

_numbers = count(1)


class Place(ABC):
    """Where a database is.

    Attributes:
        root: What a `Storify` is opened with.
        has_disk: Whether it makes disk calls, which can be the last.
    """

    root: str
    has_disk: bool

    @abstractmethod
    def survive(self) -> None:
        """Go on with what there is now, out of reach for all that is open."""

    @abstractmethod
    def remove(self) -> None:
        """Leave nothing behind."""

    @abstractmethod
    def kill(self, act: Callable[[], object], call: int, *, torn: bool) -> bool:
        """End the program in the midst of something.

        Args:
            act: What it does.
            call: The number of the disk call that it does not live to see.
            torn: Whether half of a write is done.

        Returns:
            Whether *act* was done before that.
        """


class FilePlace(Place):
    """A temporary folder; each life of the program has one of its own."""

    has_disk = True

    def __init__(self) -> None:
        self._home = TemporaryDirectory(prefix="storify-machine-")
        self._lives = count(1)
        self.root = self._next()

    def _next(self) -> str:
        # A link in the path would make others of the paths that the engine uses.
        return str(Path(self._home.name).resolve() / f"life-{next(self._lives)}")

    def survive(self) -> None:
        """Copy the folder: what the dead program has open cannot write there."""
        old, self.root = Path(self.root), self._next()
        left = read(old) if old.exists() else Folder()
        assert isinstance(left, Folder)  # noqa: S101 -- a Storify made it
        write_folder(left, Path(self.root))

    def remove(self) -> None:
        """Remove all folders."""
        self._home.cleanup()

    def kill(self, act: Callable[[], object], call: int, *, torn: bool) -> bool:
        """Let the disk fail from a call on, as for a program that is gone."""
        fault = Fault(call, "tear" if torn else "kill", within=self.root)
        with injected(fault):
            try:
                act()
            except Killed:
                return False
        return True


class MemoryPlace(Place):
    """Databases in memory, which live as long as this object."""

    has_disk = False

    def __init__(self) -> None:
        self.root = f"memory://storify-machine-{next(_numbers)}"
        self._keeper = Storify(self.root, save_interval=None)

    def survive(self) -> None:
        """Keep all: what was saved is there for the next one that opens it."""

    def remove(self) -> None:
        """Forget all; others may still hold it."""
        self._keeper.close()

    def kill(
        self,
        act: Callable[[], object],
        call: int,  # noqa: ARG002 -- there is none
        *,
        torn: bool,  # noqa: ARG002 -- as above
    ) -> bool:
        """Do it: no disk call can be the last."""
        act()
        return True
