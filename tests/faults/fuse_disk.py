"""A disk that lies on demand, mounted; the orders are those of `fuse_server`."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.mounts import unmount
from faults.programs import Program


class FuseDisk:
    """A mounted disk, and what it is told to do.

    Args:
        root: Where it is mounted.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def order(self, what: str) -> None:
        """Tell it what to do from now on."""
        os.setxattr(self.root, "user.fault", what.encode())

    def syncs(self) -> int:
        """How many syncs there were."""
        return int(os.getxattr(self.root, "user.syncs"))


@contextmanager
def fuse_disk(folder: Path) -> Iterator[FuseDisk]:
    """Mount a disk for the length of a block.

    Raises:
        OSError: It cannot be mounted here.
    """
    backing, root = folder / "backing", folder / "mounted"
    backing.mkdir()
    root.mkdir()
    with Program("fuse_server", backing, root) as program:
        if program.line() != "ready":
            raise OSError(program.end()[2].strip().splitlines()[-1])
        try:
            yield FuseDisk(root)
        finally:
            gc.collect()  # what holds a file open keeps the server from its end
            unmount(root)
            program.end()
