"""The memory that the past of a large database takes.

    python benchmarks/past.py [--quick]

A large database has a backup, commits in a journal, and a backup from before that.
Each row is a process that opens it, reads one record, and does one thing with the past;
what it had in memory at most is compared with what it had before that thing. It needs
Linux.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bounded import PART, Document, key, open_database
from report import Report, Table, Target, arguments, duration, size

from storify import Database
from storify.explorer import Session

#: Bytes of a record, and of all: few large ones, or many small ones.
SIZES = {"large records": (8_000, 200_000_000), "small records": (320, 50_000_000)}
QUICK_PART = 4
CHANGES = 200
#: More than reading the present takes, whose records are in the cache in the end.
MOST_BYTES = 20e6


def make(folder: Path, count: int, body: int) -> int:
    """Write that many documents, back them up and change some; return the size."""
    db = open_database(folder)
    for start in range(0, count, PART):
        for number in range(start, min(start + PART, count)):
            db[key(number)] = Document(
                f"Document {number}", f"{number:08}" * (body // 8)
            )
        db.flush()
    db.flush(compact=True)
    db.backups.purge()
    for edits in (1, 2):
        for number in range(0, count, count // CHANGES):
            db[key(number)].edits = edits
            if not number % 7:
                db.flush()
        db.flush(compact=edits == 1)
    db.close()
    return (folder / "documents.mpack").stat().st_size


def read_now(db: Database[Document]) -> int:
    """Read every record of the present, to compare with."""
    return sum(1 for _ in db.values())


def read_then(db: Database[Document]) -> int:
    """Read every record of the oldest state."""
    return sum(1 for _ in db.at(db.backups.last or "").values())


def read_at(db: Database[Document]) -> int:
    """Read every record of the state that is current now."""
    return sum(1 for _ in db.at(datetime.now(UTC)).values())


def restore_one(db: Database[Document]) -> int:
    """Restore one record."""
    return len(db.backups.restore(db.backups.last or "", [key(0)]))


def restore_all(db: Database[Document]) -> int:
    """Restore the oldest state."""
    return len(db.backups.restore(db.backups.last or ""))


def recover(db: Database[Document]) -> int:
    """Open the file again after a byte in it has rotted."""
    path = Path(db.path)
    db.close(discard=True)
    found = path.stat()
    with path.open("r+b") as file:
        file.seek(found.st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    return len(open_database(path.parent))


def compare(db: Database[Document]) -> int:
    """Compare the oldest state with the present."""
    return len(db.backups.diff(db.backups.last or "").changed)


def compare_outside(db: Database[Document]) -> int:
    """Compare them as the command line does."""
    with Session(Path(db.path).parent) as session:
        return session.diff(db.name, db.backups.last or "").changed


def back_up(db: Database[Document]) -> int:
    """Back up the present state, which is beside a journal."""
    return len(db.backups.backup() or "")


def verify(db: Database[Document]) -> int:
    """Look at all that is kept."""
    return 1 - len(db.backups.verify())


def count(db: Database[Document]) -> int:
    """List the backups."""
    return len(db.backups.list)


WORK: dict[str, Callable[[Database[Document]], int]] = {
    "read the present": read_now,
    "list the backups": count,
    "read the oldest state": read_then,
    "read the state at a time": read_at,
    "restore one record": restore_one,
    "compare with the oldest state": compare,
    "the same from outside": compare_outside,
    "verify all": verify,
    "back up": back_up,
    "restore the oldest state": restore_all,
    "recover a rotten file": recover,
}


def high_water() -> int:
    """The most memory that this process has had, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith("VmHWM:"))
    return int(found.split()[1]) << 10


def child(folder: Path, what: str) -> None:
    """Do one thing; print what came of it, how much memory it took, how long."""
    db = open_database(folder)
    _ = db[key(1)].title
    Path("/proc/self/clear_refs").write_text("5")  # what was so far counts no more
    before = high_water()
    start = time.perf_counter()
    found = WORK[what](db)
    took_s = time.perf_counter() - start
    more = high_water() - before
    db.close(discard=True)
    sys.stdout.write(json.dumps([found, more, took_s]))


def rows(folder: Path) -> list[tuple[str, int, int, float]]:
    """Do each thing in a process of its own."""
    found: list[tuple[str, int, int, float]] = []
    for what in WORK:
        done = subprocess.run(  # noqa: S603 - this file
            [sys.executable, __file__, "--child", folder, what],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        found.append((what, *json.loads(done.stdout)))
    return found


def main() -> None:
    """Try it, and report what happened."""
    chosen = arguments(__doc__)
    part = QUICK_PART if chosen.quick else 1
    tables: list[Table] = []
    targets: list[Target] = []
    for name, (body, wanted) in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            size_bytes = make(Path(folder), wanted // body // part, body)
            found = rows(Path(folder))
        title = f"The past of a database of {size(size_bytes)}, {name}"
        cells = [[each, size(more), duration(s)] for each, _, more, s in found]
        tables.append(Table(title, ["", "memory at most", "time"], cells))
        (_, _, present, _), *past = found
        most = max(0, *(more - present for _, _, more, _ in past))
        what = f"{size(size_bytes)}, {name}: memory for the past, beyond the present"
        targets.append(Target(what, [most / 1e6], MOST_BYTES / 1e6, "MB"))
    Report(tables, targets).publish(chosen.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3])
    else:
        main()
