"""A small database to break: its states, its engine, its files.

A state is a number, its generation, which each of its keys carries; a root that is
torn or a mix of two does not parse. One key moves from generation to generation,
one is long and changes at its end alone, one never changes.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from stand_ins import Log
from storify.codec import Codec
from storify.database.live.data import Data
from storify.engine import (
    Change,
    Commit,
    Engine,
    FileCatalog,
    FileEngine,
    Snapshot,
    Version,
    WholeSnapshot,
    entries_of,
)
from storify.engine.file import append, engine, index, log_index, past, snapshot

FORMAT = Codec()

#: Of the value that never changes; it makes a commit small beside the file.
BULK = 900
#: The sizes from which a file is journaled and a value spliced, in these tests.
JOURNALED_FROM = 1000
SPLICED_FROM = 100
#: The size of the stretches in which a file is walked through.
BLOCK_BYTES = 64
#: That of the stretches of a journal: each commit is one.
STRETCH_BYTES = 1


def clock() -> Callable[[], datetime]:
    """A clock that moves a second at each look."""
    now = datetime(2026, 11, 23, 5, 41, tzinfo=UTC)

    def tick() -> datetime:
        nonlocal now
        now += timedelta(seconds=1)
        return now

    return tick


TICKS = clock()


def content(generation: int) -> dict[str, Any]:
    """The data of a generation."""
    text = f"{generation:06}:"
    return {
        "generation": generation,
        "text": text * 3,
        "bulk": "".join(map("{:04}".format, range(BULK // 4))),
        "long": "x" * 2 * SPLICED_FROM + text,
        f"turn {generation % 3}": generation,
    }


def encoded(data: Mapping[Any, Any]) -> dict[bytes, bytes]:
    """The entries of a dict root."""
    return FORMAT.encode_items(data)


def state(generation: int) -> bytes:
    """A root that cannot be mistaken for a part or a mix of others."""
    return FORMAT.join(encoded(content(generation)))


def parse(payload: bytes) -> int:
    """The generation of a whole root."""
    root = FORMAT.decode_root(payload)
    generation = root.get("generation") if isinstance(root, dict) else None
    if type(generation) is not int or payload != state(generation):
        message = "torn"
        raise ValueError(message)
    return generation


def whole_of(snapshot: Snapshot) -> bytes:
    """A state as one root."""
    return FORMAT.join(entries_of(snapshot))


def generation_of(snapshot: Snapshot | None) -> int | None:
    """The generation of a state; None if there is no database."""
    return None if snapshot is None else parse(whole_of(snapshot))


def found(engine: Engine) -> int | None:
    """Open, and give the generation."""
    return generation_of(engine.open())


def changes(before: Mapping[bytes, bytes], generation: int) -> list[Change]:
    """What leads to a generation; each of its keys is set, but the bulk."""
    new = encoded(content(generation))
    bulk = FORMAT.encode("bulk")
    gone: list[Change] = [(key, None) for key in before if key not in new]
    moved: list[Change] = [
        (key, value)
        for key, value in new.items()
        if key != bulk or before.get(key) != value
    ]
    return gone + moved


def step(
    base: Version | None,
    before: Snapshot | int | None,
    generation: int,
    *,
    compact: bool = False,
) -> Commit:
    """A commit to a generation.

    Args:
        base: The version it goes on top of.
        before: What was loaded, or which generation that is.
        generation: The new one.
        compact: As in `Commit`.
    """
    if isinstance(before, int):
        entries = encoded(content(before))
    else:
        entries = entries_of(before)
    return Commit(
        base,
        changes(entries, generation),
        stored=entries.get,
        compact=compact,
        whole=lambda: encoded(content(generation)),
    )


def commit(engine: Engine, generation: int, *, compact: bool = False) -> Version:
    """Open and commit a generation."""
    loaded = engine.open()
    base = None if loaded is None else loaded.version
    return engine.commit(step(base, loaded, generation, compact=compact))


@contextmanager
def journaling(on: bool = True) -> Iterator[None]:
    """Let files of this size have a journal, or leave all as it is."""
    before = engine.JOURNALED_FROM_BYTES, append.DELTA_FROM_BYTES
    folded, stretch = engine.FOLDED_FROM_BYTES, log_index.STRETCH_BYTES
    if on:
        engine.JOURNALED_FROM_BYTES, engine.FOLDED_FROM_BYTES = JOURNALED_FROM, 0
        append.DELTA_FROM_BYTES = SPLICED_FROM
        log_index.STRETCH_BYTES = STRETCH_BYTES
    try:
        yield
    finally:
        engine.JOURNALED_FROM_BYTES, append.DELTA_FROM_BYTES = before
        engine.FOLDED_FROM_BYTES, log_index.STRETCH_BYTES = folded, stretch


@contextmanager
def paging(on: bool = True, cache_bytes: int | None = None) -> Iterator[None]:
    """Let files of any size and age be asked for single keys, or leave all as it is.

    With so much room in memory for what nobody holds, if it is given.
    """
    before = snapshot.PAGED_FROM_BYTES, index.RACY_NS, index.BLOCK_BYTES
    whole, paged = past.WHOLE_BYTES, Data.paged
    if cache_bytes is not None:
        Data.paged = lambda codec, pages, _: paged(codec, pages, cache_bytes)
    if on:
        snapshot.PAGED_FROM_BYTES, index.RACY_NS = 0, -(10**18)
        index.BLOCK_BYTES, past.WHOLE_BYTES = BLOCK_BYTES, 0
    try:
        yield
    finally:
        past.WHOLE_BYTES = whole
        snapshot.PAGED_FROM_BYTES, index.RACY_NS, index.BLOCK_BYTES = before
        if cache_bytes is not None:
            del Data.paged  # the one of its base is there again


@contextmanager
def alike() -> Iterator[None]:
    """Let a copy of a file look like the file, so that what is noted of it counts."""
    stamp, head_of = index._stamp, log_index._head_of

    def head(digest: str, journal: Any) -> bytes:
        file = SimpleNamespace(found=SimpleNamespace(inode=(0, 0)))
        return head_of(digest, file)

    index._stamp = lambda found: (found.size, found.mtime_ns, 0, 0, 0)
    log_index._head_of = head
    try:
        yield
    finally:
        index._stamp, log_index._head_of = stamp, head_of


@contextmanager
def without_syncs() -> Iterator[None]:
    """Let ``os`` do everything but wait for the disk."""
    before = os.fsync, os.fdatasync
    os.fsync = os.fdatasync = lambda _fd: None
    try:
        yield
    finally:
        os.fsync, os.fdatasync = before


def make_engine(
    folder: Path, name: str = "users", log: Log | None = None, **options: Any
) -> FileEngine:
    """An engine as a new program would open it."""
    options = {"clock": TICKS, "lock_timeout_s": 20, **options}
    path = folder / f"{name}.mpack"
    return FileEngine(path, root_format=FORMAT, log=log or Log(), **options)


def make_catalog(folder: Path, log: Log | None = None, **options: Any) -> FileCatalog:
    """A catalog as a new program would open it."""
    options = {"clock": TICKS, "lock_timeout_s": 20, **options}
    return FileCatalog(folder, root_format=FORMAT, log=log or Log(), **options)


def grow(folder: Path, generations: int, **options: Any) -> FileEngine:
    """A database that was committed a number of times."""
    engine = make_engine(folder, **options)
    for generation in range(1, generations + 1):
        commit(engine, generation)
    return engine


def flip(path: Path, at: int = 30) -> None:
    """Change one byte as rot does: size and times stay."""
    payload = bytearray(path.read_bytes())
    payload[at] ^= 1
    keep_times(path, bytes(payload))


def main(folder: Path) -> Path:
    """The main file."""
    return folder / "users.mpack"


def journal(folder: Path) -> Path:
    """Its journal."""
    return folder / "users.mpack.journal"


def backups(folder: Path) -> Path:
    """The folder of backups."""
    return folder / ".backups" / "users"


def present(engine: Engine) -> WholeSnapshot | None:
    """The present state, in memory; None if there is none."""
    snapshot = engine.open()
    if snapshot is None:
        return None
    return WholeSnapshot(snapshot.version, entries_of(snapshot))


def generations(engine: Engine) -> list[int]:
    """What the backups hold, newest first."""
    return [parse(whole_of(engine.state(backup.id))) for backup in engine.backups()]


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
