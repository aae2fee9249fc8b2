"""A typed catalogue of the Python packages installed here.

``python examples/packages.py FOLDER`` reads the real metadata of every
installed distribution into typed models and saves them; ``… FOLDER --report``
opens the file again and answers questions from it.
"""

import re
import sys
from datetime import UTC, datetime
from enum import Enum
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath

from storify import Database, Model, Storify, field


class Kind(Enum):
    """What a package is made of."""

    PURE = "pure Python"
    COMPILED = "with compiled parts"


class File(Model, frozen=True):
    """One installed file."""

    path: PurePosixPath
    size_bytes: int | None = None
    sha256: str | None = None


class Package(Model):
    """One installed distribution."""

    name: str
    version: tuple[int | str, ...]
    kind: Kind
    read_at: datetime
    summary: str | None = None
    requires: set[str] = field(factory=set)
    files: list[File] = []

    @property
    def size_bytes(self) -> int:
        """The size of all files whose size is recorded."""
        return sum(file.size_bytes or 0 for file in self.files)


def open_packages(folder: Path) -> Database[Package]:
    """Open the catalogue: type checkers know its values are packages."""
    return Storify(folder).get_db("packages", model=Package)


def read(distribution: Distribution, now: datetime) -> Package:
    """Read the metadata of one distribution."""
    files = [
        File(
            PurePosixPath(file.as_posix()),
            file.size,
            file.hash.value if file.hash else None,
        )
        for file in distribution.files or []
    ]
    metadata = distribution.metadata
    compiled = any(file.path.suffix in {".so", ".pyd", ".dylib"} for file in files)
    return Package(
        name=distribution.name,
        version=tuple(
            int(part) if part.isdigit() else part
            for part in distribution.version.split(".")
        ),
        kind=Kind.COMPILED if compiled else Kind.PURE,
        read_at=now,
        summary=metadata["Summary"] if "Summary" in metadata else None,  # noqa: SIM401 - it has no typed get
        requires={
            re.split(r"[^\w.-]", each)[0] for each in distribution.requires or []
        },
        files=files,
    )


def write(folder: Path) -> None:
    """Read what is installed into the catalogue."""
    packages = open_packages(folder)
    now = datetime.now(UTC)
    for distribution in distributions():
        packages[distribution.name] = read(distribution, now)
    packages.close()
    size_bytes = (folder / "packages.mpack").stat().st_size
    print(f"  saved {folder.name}/packages.mpack: {size_bytes:,} bytes")


def report(folder: Path) -> None:
    """Answer from the file alone."""
    packages = open_packages(folder)
    files = sum(len(package.files) for package in packages.values())
    print(f"  {len(packages)} packages with {files:,} files; the largest:")
    largest = sorted(packages.values(), key=lambda each: -each.size_bytes)
    for package in largest[:5]:
        version = ".".join(str(part) for part in package.version)
        print(
            f"    {package.name:24} {version:12} {package.size_bytes:>12,} bytes"
            f"  {package.kind.value}"
        )
    first = largest[0]
    print("  one record, with the types it was declared with:")
    for name in ("version", "kind", "read_at", "requires"):
        value = getattr(first, name)
        print(f"    {name:9} {type(value).__name__:9} {str(value)[:60]}")
    print(f"    {'files[0]':9} {type(first.files[0]).__name__:9} {first.files[0].path}")


if __name__ == "__main__":
    (report if "--report" in sys.argv else write)(Path(sys.argv[1]))
