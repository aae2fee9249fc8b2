"""What tests need of the machine: tried for real, and skipped by name without it."""

import importlib.util
import inspect
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from faults.fuse_disk import fuse_disk
from faults.mounts import loop_disk, small_disk


def _tried(what: str, trial: Callable[[Path], None]) -> pytest.MarkDecorator:
    """A mark that skips with the reason why a trial failed, or does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            trial(Path(folder))
        except OSError as err:
            return pytest.mark.skip(reason=f"needs {what}: {str(err).splitlines()[0]}")
    return pytest.mark.skipif(False, reason=what)


@cache
def power_cut(kind: str) -> pytest.MarkDecorator:
    """A file system of this kind, mounted and shut down as root."""

    def trial(folder: Path) -> None:
        with loop_disk(folder, kind) as disk:
            disk.cut()

    return _tried(f"a loop mount of {kind} and its shutdown (root, mkfs.{kind})", trial)


@cache
def tmpfs() -> pytest.MarkDecorator:
    """A disk in memory, mounted as root."""

    def trial(folder: Path) -> None:
        with small_disk(folder / "disk", "size=1m"):
            pass

    return _tried("a mount of tmpfs (root)", trial)


@cache
def fuse() -> pytest.MarkDecorator:
    """A disk served by a program of ours."""

    def trial(folder: Path) -> None:
        if importlib.util.find_spec("mfusepy") is None:
            message = "mfusepy is not installed"
            raise OSError(message)
        with fuse_disk(folder):
            pass

    return _tried("FUSE (/dev/fuse, apt: fuse3 libfuse2, pip: mfusepy)", trial)


def compiler() -> pytest.MarkDecorator:
    """A C compiler, and a loader that takes LD_PRELOAD."""
    found = shutil.which("gcc") and sys.platform == "linux"
    return pytest.mark.skipif(not found, reason="needs gcc and LD_PRELOAD of Linux")


def parameter(function: Callable[..., object], name: str) -> pytest.MarkDecorator:
    """A parameter that a function of the library may not have yet."""
    return pytest.mark.skipif(
        name not in inspect.signature(function).parameters,
        reason=f"{function.__qualname__} has no parameter {name!r}",
    )


def attribute(owner: type, name: str) -> pytest.MarkDecorator:
    """An attribute that a class of the library may not have yet."""
    return pytest.mark.skipif(
        not hasattr(owner, name), reason=f"{owner.__qualname__} has no {name!r}"
    )
