"""File systems of our own: small ones, and ones whose power can be cut.

Everything is mounted below a folder of the test and unmounted when it ends.
"""

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Nothing more reaches the disk, not even the file system's own journal.
SHUT_DOWN, NO_LOG_FLUSH = 0x8004587D, 2

# The least that mkfs takes; the files are sparse.
IMAGE_SIZES = {"ext4": "400M", "xfs": "400M"}


def command(*words: object) -> None:
    """Run a command of the system.

    Raises:
        OSError: It is not there or did not work.
    """
    program = shutil.which(str(words[0]))
    if program is None:
        message = f"{words[0]} is not installed"
        raise FileNotFoundError(message)
    done = subprocess.run(  # noqa: S603 - on our own files
        [program, *map(str, words[1:])], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OSError(done.stderr.strip() or f"{words[0]} failed")


def unmount(folder: Path) -> None:
    """Unmount what may be in use still, by a program that hangs for one."""
    try:
        command("umount", folder)
    except OSError:
        command("umount", "--lazy", folder)


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """Mount a disk in memory, of a size such as ``size=1m``, on a folder."""
    folder.mkdir(exist_ok=True)
    command("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)
    try:
        yield
    finally:
        unmount(folder)


def resize(folder: Path, options: str) -> None:
    """Give a disk in memory another size."""
    command("mount", "-o", f"remount,{options}", folder)


class LoopDisk:
    """A file system in a file, whose power can be cut.

    Args:
        folder: For the file and the mount.
        kind: ``ext4`` or ``xfs``.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self.root = folder / "mounted"
        self._image = folder / "image"
        self._mounted = False
        self.root.mkdir()
        command("truncate", "-s", IMAGE_SIZES[kind], self._image)
        command(f"mkfs.{kind}", "-q", self._image)

    def mount(self) -> None:
        """Mount it; after a cut this replays the file system's journal."""
        command("mount", "-o", "loop", self._image, self.root)
        self._mounted = True

    def cut(self) -> None:
        """Cut the power: what has not been synced may be lost."""
        fd = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUT_DOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def unmount(self) -> None:
        """Unmount it; nothing is written after a cut."""
        if self._mounted:
            unmount(self.root)
            self._mounted = False


@contextmanager
def loop_disk(folder: Path, kind: str) -> Iterator[LoopDisk]:
    """Make a disk, mounted, that is gone after the block."""
    disk = LoopDisk(folder, kind)
    try:
        disk.mount()
        yield disk
    finally:
        disk.unmount()
        disk._image.unlink()
