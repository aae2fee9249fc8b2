"""A database four times as large as the memory that a process may have.

    python benchmarks/bounded.py [--quick]

A process that may reserve so many bytes and not more (``RLIMIT_AS``) opens it beside a
log that is nearly as long as logs get, reads every record, changes some and flushes
them, for which the log is folded; another one looks whether they are there.
What it cannot do stands in the table as it failed. It needs Linux.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import Report, Table, Target, arguments, duration, size

from storify import Database, Model, Storify

LIMIT_BYTES = 192_000_000
QUICK_LIMIT_BYTES = 128_000_000
TIMES = 4
#: A program that has little memory says so.
CACHE_BYTES = 8_000_000
BODY = 8_000
CHANGES = 1_000
PART = 1_000
#: A log of 64 MiB is folded, so the changes are more than what is left of that.
LOG_BYTES = 60 << 20


class Document(Model):
    """One of very many."""

    title: str
    body: str
    edits: int = 0


def open_database(folder: Path) -> Database[Document]:
    """The database, without saving on a timer."""
    sf = Storify(folder, save_interval=None, cache_bytes=CACHE_BYTES)
    return sf.get_db("documents", model=Document)


def key(number: int) -> str:
    """The key of a document."""
    return f"document{number:08}"


def make(folder: Path, count: int) -> int:
    """Write that many documents, and return the size of their file."""
    db = open_database(folder)
    for start in range(0, count, PART):
        for number in range(start, min(start + PART, count)):
            db[key(number)] = Document(
                f"Document {number}", f"{number:08}" * (BODY // 8)
            )
        db.flush()
    db.close()
    return (folder / "documents.mpack").stat().st_size


def lengthen_log(folder: Path, count: int) -> int:
    """Change documents until the log is long, and return its size."""
    db = open_database(folder)
    path = folder / "documents.mpack.journal"
    db.flush(compact=True)
    least = min(LOG_BYTES, (folder / "documents.mpack").stat().st_size * 45 // 100)
    number = size_bytes = 0
    while size_bytes < least:
        db[key(number % count)].title += "!"
        number += 7
        if not number % 700:
            db.flush()
            size_bytes = path.stat().st_size
    db.close()
    return size_bytes


def child(folder: Path, count: int, limit: int) -> None:
    """Read all and change some within the limit; print how far it came, and why."""
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    read, error = 0, ""
    is_flushed = False
    try:
        db = open_database(folder)
        for record in db.values():
            read += len(record.body) == BODY
        for number in range(CHANGES):
            db[key(number * count // CHANGES)].edits += 1
        db.flush()
        is_flushed = True
    except BaseException as cause:  # noqa: BLE001 - it is what is to be told
        error = type(cause).__name__
        del cause
    sys.stdout.write(json.dumps([read, is_flushed, error]))
    sys.stdout.flush()
    os._exit(0)


def within(folder: Path, count: int, limit: int) -> tuple[int, bool, str, float]:
    """How many records a bounded process read, whether it flushed, why not, seconds."""
    start = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - this file
        [sys.executable, __file__, "--child", folder, str(count), str(limit)],
        stdout=subprocess.PIPE,
        check=False,
        text=True,
        # Else the C library reserves 64 MB of addresses for each thread and uses none.
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    )
    took_s = time.perf_counter() - start
    if done.returncode:
        return 0, False, f"its process died ({done.returncode})", took_s
    read, is_flushed, error = json.loads(done.stdout)
    return read, is_flushed, error, took_s


def changed(folder: Path, count: int) -> int:
    """How many of the changes are in the database."""
    db = open_database(folder)
    found = sum(db[key(n * count // CHANGES)].edits for n in range(CHANGES))
    db.close(discard=True)
    return found


def main() -> None:
    """Try it, and report what happened."""
    chosen = arguments(__doc__)
    limit = QUICK_LIMIT_BYTES if chosen.quick else LIMIT_BYTES
    count = limit * TIMES // BODY
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size_bytes = make(folder, count)
        log_bytes = lengthen_log(folder, count)
        read, is_flushed, error, took_s = within(folder, count, limit)
        found = changed(folder, count)
    what = f"{size(size_bytes)} + a log of {size(log_bytes)} in {size(limit)}"
    row = [
        what,
        f"{read:,} of {count:,}",
        f"{found:,} of {CHANGES:,}" if is_flushed else f"none: {error}",
        duration(took_s),
    ]
    head = ["", "records read", "changes flushed", "time"]
    table = Table("A database larger than memory", head, [row])
    missing = float(count - read + CHANGES - found)
    target = Target(f"{what}: records not read or not saved", [missing], 0, "")
    Report([table], [target]).publish(chosen.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    main()
