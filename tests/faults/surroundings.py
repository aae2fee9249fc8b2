"""Other users and small disks: what a test needs root for is skipped by name."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = os.geteuid() == 0
NOBODY = 65534
MOUNT, UMOUNT = shutil.which("mount") or "", shutil.which("umount") or ""

as_root = pytest.mark.skipif(not ROOT, reason="needs root: acts as another user")
mounts = pytest.mark.skipif(not (ROOT and MOUNT), reason="needs root: mounts a tmpfs")


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """Mount a disk of 1 MB on a folder."""
    mounted = subprocess.run(  # noqa: S603 - mounts on our own folder
        [MOUNT, "-t", "tmpfs", "-o", "size=1m", "tmpfs", path],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        yield
    finally:
        subprocess.run([UMOUNT, path], check=True)  # noqa: S603 - idem
