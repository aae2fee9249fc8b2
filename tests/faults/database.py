"""A small database to break: its states, its engine, its files.

A state is a number, its generation; a payload that is torn or a mix of two does
not parse.
"""

import os
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stand_ins import Log
from storify.engine import Commit, FileCatalog, FileEngine


def clock() -> Callable[[], datetime]:
    """A clock that moves a second at each look."""
    now = datetime(2026, 11, 23, 5, 41, tzinfo=UTC)

    def tick() -> datetime:
        nonlocal now
        now += timedelta(seconds=1)
        return now

    return tick


TICKS = clock()


def state(generation: int) -> bytes:
    """A payload that cannot be mistaken for a part or a mix of others."""
    body = b"%06d:" % generation * 40
    return b"%06d %08x " % (generation, zlib.crc32(body)) + body


def parse(payload: bytes) -> int:
    """The generation of a whole payload."""
    try:
        generation = int(payload[:6])
    except ValueError:
        generation = -1
    if generation < 0 or payload != state(generation):
        message = "torn"
        raise ValueError(message)
    return generation


def make_engine(folder: Path, name: str = "users", log: Log | None = None):
    """An engine as a new program would open it."""
    return FileEngine(
        folder / f"{name}.mpack", log=log or Log(), clock=TICKS, lock_timeout_s=20
    )


def make_catalog(folder: Path, log: Log | None = None) -> FileCatalog:
    """A catalog as a new program would open it."""
    return FileCatalog(folder, log=log or Log(), clock=TICKS, lock_timeout_s=20)


def commit(engine: FileEngine, generation: int):
    """Load and commit a generation."""
    loaded = engine.load(parse)
    base = None if loaded is None else loaded.version
    return engine.commit(Commit(base, {}, lambda: state(generation)))


def grow(folder: Path, generations: int) -> FileEngine:
    """A database that was committed a number of times."""
    engine = make_engine(folder)
    for generation in range(1, generations + 1):
        commit(engine, generation)
    return engine


def flip(path: Path, at: int = 30) -> None:
    """Change one byte as rot does: size and times stay."""
    before = path.stat()
    payload = bytearray(path.read_bytes())
    payload[at] ^= 1
    path.write_bytes(payload)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def main(folder: Path) -> Path:
    """The main file."""
    return folder / "users.mpack"


def backups(folder: Path) -> Path:
    """The folder of backups."""
    return folder / ".backups" / "users"


def generations(engine: FileEngine) -> list[int]:
    """What the backups hold, newest first."""
    return [parse(engine.read_backup(backup.id)) for backup in engine.backups()]


def everything(folder: Path) -> dict[str, bytes]:
    """All bytes in a folder, but the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def keep_times(path: Path, payload: bytes) -> None:
    """Write without a change of the time, as rot does."""
    before = path.stat()
    path.write_bytes(payload)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
