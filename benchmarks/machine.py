"""Facts about the machine that a page of figures has to state."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

__all__ = ["cpu_count", "facts", "file_system", "versions"]


def cpu_count() -> int:
    """Give how many CPUs this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def file_system(folder: Path) -> str:
    """Name the type of the file system that *folder* is on, where Linux tells."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    points = {Path(fields[1]): fields[2] for fields in map(str.split, mounts)}
    folder = folder.resolve()
    return next(points[path] for path in (folder, *folder.parents) if path in points)


def facts(folder: Path) -> dict[str, str]:
    """Give what the figures depend on, for files in *folder*."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "CPUs": str(cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "file system": file_system(folder),
        "Python": platform.python_version(),
    }


def versions(distributions: list[str]) -> str:
    """List the installed ones of *distributions* with their versions."""
    found = []
    for name in distributions:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
