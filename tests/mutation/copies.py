"""Copies of the library with a fault in them, and what the kit makes of each."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mutation.planted import Fault

__all__ = ["ROOT", "Finding", "findings", "library", "plant", "with_fault"]

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent

#: Longer than all tools take, on a machine that has other things to do.
PATIENCE_S = 600

_PARTS = ("storify", "_storify_hypothesis.py", "storify_pytest.py")


class Finding(NamedTuple):
    """What a tool said.

    Attributes:
        tool: Its name.
        said: What is wrong; None if it found nothing.
    """

    tool: str
    said: str | None


def library(folder: Path) -> Path:
    """Copy the library into an empty folder, which is to be on the path."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in _PARTS:
        part = ROOT / name
        if part.is_dir():
            shutil.copytree(part, folder / name, ignore=ignore)
        else:
            shutil.copy2(part, folder / name)
    return folder


def with_fault(fault: Fault, folder: Path) -> tuple[Path, str]:
    """Give the file of a library that a fault is for, and what is to be in it.

    Raises:
        AssertionError: What is to be replaced is not there, or more than once.
    """
    path = folder / "storify" / fault.path
    text = path.read_text(encoding="utf-8")
    count = text.count(fault.old)
    if count != 1:
        msg = f"{fault.what}: {fault.old!r} stands {count} times in {fault.path}"
        raise AssertionError(msg)
    return path, text.replace(fault.old, fault.new)


def plant(fault: Fault, folder: Path) -> None:
    """Put a fault into a copy, as `with_fault` says."""
    path, text = with_fault(fault, folder)
    path.write_text(text, encoding="utf-8")


def findings(
    tools: Iterable[str], folder: Path, *, to_the_end: bool = False
) -> list[Finding]:
    """Run tools in a new interpreter on the copy in *folder*, one after the other.

    Args:
        tools: Names, as of `kit.TOOLS`.
        folder: The copy.
        to_the_end: Go on after the first tool that finds something.

    Raises:
        AssertionError: A tool broke down, which is no finding.
    """
    found: list[Finding] = []
    for tool in tools:
        found.append(Finding(tool, _run(tool, folder)))
        if found[-1].said is not None and not to_the_end:
            break
    return found


def _run(tool: str, folder: Path) -> str | None:
    # without coverage: it would be that of a copy
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("COV_", "COVERAGE_"))
    }
    path = os.pathsep.join(map(str, (folder, TESTS)))
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "mutation.kit", tool],
        cwd=folder,
        env={**inherited, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode:
        msg = f"{tool} broke down: {done.stderr}"
        raise AssertionError(msg)
    module, said = done.stdout.splitlines()
    if not Path(module).is_relative_to(folder.resolve()):
        msg = f"{tool} was run on {module}, not on the copy"
        raise AssertionError(msg)
    answer: str | None = json.loads(said)
    return answer
