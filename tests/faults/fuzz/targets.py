"""What a fuzzer calls with arbitrary bytes, and what must hold whatever they are.

A target returns if all is as it should be; what it raises is a finding. Nothing
is waited for: a fuzzer runs a target some thousand times a second.
"""

import os
import shutil
import struct
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from faults.database import (
    FORMAT,
    entries_of,
    journal,
    main,
    make_engine,
    state,
    step,
    whole_of,
    without_syncs,
)
from stand_ins import Log
from storify.codec import DecodeError
from storify.engine.file.log import commit_frame, head_frame
from storify.engine.moment import Moment
from storify.exceptions import CorruptionError, DatabaseLoadError

__all__ = ["TARGETS", "load", "read_journal", "sealed_journal"]

#: What a load may take beside five times the file.
SPARE_BYTES = 8 << 20
BASE = sha256(state(1)).hexdigest()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - only where it is faster


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder, in memory if there is one."""
    where = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    path = Path(tempfile.mkdtemp(prefix="storify-fuzz-", dir=where))
    try:
        with without_syncs():
            yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def bounded(size: int) -> Iterator[None]:
    """Take no more memory than a file of *size* bytes may cost."""
    began = not tracemalloc.is_tracing()
    if began:
        tracemalloc.start(1)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
        taken = peak - before
        assert taken <= 5 * size + SPARE_BYTES, f"{taken} bytes for {size}"
    finally:
        if began:
            tracemalloc.stop()


def load(data: bytes) -> None:
    """A main file of any bytes loads and decodes, or is refused and stays."""
    with folder() as path, bounded(len(data)):
        main(path).write_bytes(data)
        try:
            loaded = make_engine(path).load()
        except CorruptionError:
            assert main(path).read_bytes() == data
        else:
            assert loaded is not None
            FORMAT.decode_root(whole_of(loaded))
            again = make_engine(path).load()
            assert again is not None
            assert again.version == loaded.version
        saved = make_engine(path).salvage()
        assert saved is not None
        FORMAT.split(FORMAT.join(saved.entries))


def read_journal(data: bytes) -> None:
    """Behind a good main file any bytes as its journal leave a state that decodes."""
    with folder() as path, bounded(len(data)):
        _behind(path, data)
        log = Log()
        loaded = make_engine(path, log=log).load()
        assert loaded is not None
        FORMAT.decode_root(FORMAT.join(entries_of(loaded)))
        _goes_on(path)


def sealed_journal(data: bytes) -> None:
    """Frames of any ops, with the right checksums, never break the engine.

    Their values are trusted, so the engine need not decode them.
    """
    frames, at, seq = [head_frame(BASE)], 0, 1
    while at + 2 <= len(data):
        size, step_by = data[at], data[at + 1]
        body = data[at + 2 : at + 2 + size]
        frames.append(_sealed(seq, body, step_by))
        seq += 1 + (step_by & 1)
        at += 2 + size
    raw = b"".join(frames)
    with folder() as path, bounded(len(raw)):
        _behind(path, raw)
        try:
            loaded = make_engine(path).load()
            assert loaded is not None
            FORMAT.decode_root(FORMAT.join(entries_of(loaded)))
        except (DatabaseLoadError, DecodeError):
            return
        _goes_on(path)


def _sealed(seq: int, body: bytes, flags: int) -> bytes:
    """A frame of any body, as `commit_frame` would have written it."""
    prefix = bytes.fromhex(BASE[:16]) + struct.pack(">QB", 1000 + seq, flags >> 1 & 7)
    body = prefix + body
    moment = Moment(EPOCH, EPOCH)
    frame = bytearray(
        commit_frame(BASE, seq, moment, (), durable=True, after_sync=True)[:25] + body
    )
    frame[21:25] = len(body).to_bytes(4, "big")
    frame[2:6] = zlib.crc32(frame[6:]).to_bytes(4, "big")
    return bytes(frame)


def _behind(path: Path, raw: bytes) -> None:
    make_engine(path).commit(step(None, None, 1))
    journal(path).write_bytes(raw)


def _goes_on(path: Path) -> None:
    """Load, commit and load once more, as a program would."""
    engine = make_engine(path, log=Log())
    loaded = engine.load()
    assert loaded is not None
    before = entries_of(loaded)
    engine.commit(step(loaded.version, loaded, 2))
    after = entries_of(make_engine(path).load())
    assert {**before, **FORMAT.split(state(2))}.items() >= after.items()
    os.stat(main(path))  # noqa: PTH116 - it is there still


TARGETS: dict[str, Callable[[bytes], None]] = {
    "load": load,
    "journal": read_journal,
    "sealed": sealed_journal,
}
