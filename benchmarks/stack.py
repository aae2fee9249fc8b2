"""The whole stack beside what the machine can do: the figures of the design.

The limit of each figure is what the same bytes cost without Storify: ``msgpack`` on
plain dicts, files, and syncing. Both sides run in this process in turn, except for
memory, where each has a process of its own.
"""

import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
from contents import key_of
from peers.storify_peer import StorifyPeer
from report import Report, Table, Target, arguments, size
from timing import Measured, compared, measure

from records import User, plain, user
from storify import Database, Storify

NAME = "users"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (1_000, 10_000)
FLAT_FROM = 10_000
LARGE = 100_000
MOST_WHOLE = 1.3
MOST_APPEND = 2.0
MOST_NOTHING_MS = 0.02
MOST_CLOSE_MS = 5.0
COMMIT_BUDGET_S = 30.0
LOOP_BUDGET_MS = 3_000.0

Store = Database[User]


def open_store(folder: Path) -> Store:
    """Open the database, without saving on a timer."""
    return Storify(folder, save_interval=None).get_db(NAME, model=User)


def discard(db: Any) -> None:
    """Close what an action opened; it holds no changes."""
    if isinstance(db, Database):
        db.close(discard=True)


def file_of(folder: Path) -> Path:
    """Give the file of the database in *folder*."""
    return folder / f"{NAME}.mpack"


def prepare(folder: Path, count: int) -> Path:
    """Give a folder with a database of *count* records, made if it is not there."""
    place = folder / str(count)
    if not file_of(place).exists():
        peer = StorifyPeer()
        peer.open(place)
        peer.load((key_of(number), user(number)) for number in range(count))
        peer.close()
    return place


class Log:
    """A file that is appended to: the least that keeping a change can cost."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self, payload: bytes) -> None:
        """Write and sync."""
        os.write(self._fd, payload)
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def seconds(action: Callable[[], object]) -> float:
    """Give the time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def repeated_ms(action: Callable[[], object], most: int) -> list[float]:
    """Give the milliseconds of *most* calls, or of what there is time for."""
    times_ms: list[float] = []
    while len(times_ms) < most and sum(times_ms) < LOOP_BUDGET_MS:
        times_ms.append(seconds(action) * 1e3)
    return times_ms


def change(db: Store, key: str) -> None:
    """Change one record in place and make it durable."""
    db[key].age += 1
    db.flush()


class Replaced:
    """A file that is written anew and renamed: the least that a whole file can cost."""

    def __init__(self, path: Path, source: Path) -> None:
        self._path = path
        self._payload = source.read_bytes()

    def replace(self) -> None:
        """Write, sync, rename, sync the folder."""
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(self._payload)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def commit_times(
    stores: dict[int, Store], log: Log, whole: Replaced, *, chunks: int, each: int
) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """Give, for each size, medians of commits and of the limit for the same bytes.

    Every step changes a record that was not changed before, holds none, and is
    followed by its limit: an append, or at the smallest size a file as a whole. The
    sizes take turns.

    Args:
        stores: The databases by their number of records.
        log: Where the limit is measured;
        whole: and for the smallest size.
        chunks: How many medians.
        each: Over how many commits each of them is.
    """
    commits: dict[int, list[float]] = {count: [] for count in stores}
    appends: dict[int, list[float]] = {count: [] for count in stores}
    start = time.monotonic()
    for chunk in range(chunks):
        ours: dict[int, list[float]] = {count: [] for count in stores}
        theirs: dict[int, list[float]] = {count: [] for count in stores}
        for step in range(each):
            for count, db in stores.items():
                number = (chunk * each + step + 1) * count // (chunks * each + 1)
                key = key_of(number)
                record = {key: {"__User__": plain(user(number))}}
                payload = msgpack.packb(record, datetime=True)
                ours[count].append(seconds(lambda db=db, key=key: change(db, key)))
                append = partial(log.append, payload)
                limit = whole.replace if count == min(stores) else append
                theirs[count].append(seconds(limit))
            if time.monotonic() - start > COMMIT_BUDGET_S:
                break
        for count in stores:
            commits[count].append(statistics.median(ours[count]))
            appends[count].append(statistics.median(theirs[count]))
        if time.monotonic() - start > COMMIT_BUDGET_S:
            break
    return commits, appends


def commits_and_flushes(
    data: Path, sizes: tuple[int, ...], *, quick: bool
) -> list[Target]:
    """Measure what a commit and an empty flush cost as the database grows."""
    stores = {count: open_store(prepare(data, count)) for count in sizes}
    log = Log(data / "log")
    whole = Replaced(data / "whole", file_of(data / str(sizes[0])))
    chunks, each = (3, 20) if quick else (7, 40)
    for db in stores.values():
        change(db, key_of(0))  # the first change may set something up
    commits, appends = commit_times(stores, log, whole, chunks=chunks, each=each)
    targets = [
        Target(
            f"one changed record, durable, of {count:,} / {limit}",
            [a / b for a, b in zip(commits[count], appends[count], strict=True)],
            most,
        )
        for count in sizes
        for limit, most in [
            ("write + fsync + rename + fsync folder", MOST_WHOLE)
            if count == sizes[0]
            else ("append + fdatasync", MOST_APPEND if count >= LARGE else None)
        ]
    ]
    if sizes[-1] > FLAT_FROM:
        pairs = zip(commits[sizes[-1]], commits[FLAT_FROM], strict=True)
        what = f"one changed record, durable, of {sizes[-1]:,} / of {FLAT_FROM:,}"
        targets.append(Target(f"{what} (flat is 1)", [a / b for a, b in pairs]))
    for count, db in stores.items():
        flushes = repeated_ms(db.flush, 3 if quick else 50)
        what = f"flush of {count:,}, nothing changed"
        targets.append(Target(what, flushes, MOST_NOTHING_MS, "ms"))
    for count, db in stores.items():
        took_ms = [seconds(db.close) * 1e3]
        most = MOST_CLOSE_MS if count == LARGE else None
        targets.append(Target(f"close after commits, {count:,}", took_ms, most, "ms"))
    log.close()
    return targets


def opening(place: Path, count: int, rounds: int) -> dict[str, Measured]:
    """Open and read one record; read the file and skip from value to value."""

    def skip_scan() -> None:
        data = file_of(place).read_bytes()
        unpacker = msgpack.Unpacker(max_buffer_size=len(data))
        unpacker.feed(data)
        for _ in range(unpacker.read_map_header()):
            unpacker.unpack()
            unpacker.skip()

    def open_one() -> Store:
        db = open_store(place)
        _ = db[key_of(count // 2)].age
        return db

    return measure(
        {"read + skip-scan of the file": skip_scan, "storify, open + one": open_one},
        rounds=rounds,
        after=discard,
    )


def reading(place: Path, rounds: int) -> dict[str, Measured]:
    """Open and read all typed; unpack the same file."""

    def unpack() -> object:
        return msgpack.unpackb(
            file_of(place).read_bytes(), timestamp=3, strict_map_key=False
        )

    kept: list[Any] = []  # the records, until the database that they are of is closed

    def read_all() -> Store:
        db = open_store(place)
        kept.append(dict(db.items()))
        return db

    def after(db: object) -> None:
        discard(db)
        kept.clear()

    return measure(
        {"msgpack.unpackb of the file": unpack, "storify, open + all": read_all},
        rounds=rounds,
        after=after,
    )


def flush_after_reading(place: Path, rounds: int) -> list[float]:
    """Give the milliseconds of an empty flush when every record was handed out."""
    db = open_store(place)
    held = dict(db.items())
    times_ms = repeated_ms(db.flush, rounds)
    del held
    db.close(discard=True)
    return times_ms


def resident_bytes() -> int:
    """Give the memory that this process has in use; needs Linux."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def print_growth(way: str, place: Path, count: int) -> None:
    """Print by how many bytes this process grows, for `growth` to read."""
    before_bytes = resident_bytes()
    kept: list[Any] = []
    if way == "unpackb":
        unpacked = msgpack.unpackb(
            file_of(place).read_bytes(), timestamp=3, strict_map_key=False
        )
        kept.append(unpacked)
    else:
        db = open_store(place)
        kept.append(db)
        kept.append(db[key_of(count // 2)] if way == "open" else dict(db.items()))
    print(resident_bytes() - before_bytes)


def growth(way: str, place: Path, count: int) -> int:
    """Measure `print_growth` in a process of its own."""
    command = [sys.executable, __file__, "--growth", way, str(place), str(count)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603 - our own code
    return int(done.stdout)


def memory(place: Path, count: int, rounds: int) -> tuple[Table, Target]:
    """Compare what is held after opening with what full decoding holds."""
    names = {
        "open": "storify, after open + one",
        "all": "storify, after all typed",
        "unpackb": "msgpack.unpackb of the file",
    }
    grown = {way: [growth(way, place, count) for _ in range(rounds)] for way in names}
    middle = {way: statistics.median(values) for way, values in grown.items()}
    rows = [
        [names[way], size(value), f"{value / middle['unpackb']:.2f}×"]  # noqa: RUF001 - times
        for way, value in middle.items()
    ]
    table = Table(f"Growth of memory, {count:,} records", ["", "median", "ratio"], rows)
    ratios = [a / b for a, b in zip(grown["open"], grown["unpackb"], strict=True)]
    return table, Target("memory after open / full decode by unpackb", ratios, 0.5)


def main() -> None:
    """Measure all, against the targets."""
    options = ArgumentParser(add_help=False)
    options.add_argument("--data", type=Path, help="where databases are, by size")
    chosen = arguments(__doc__, [options])
    sizes = QUICK_SIZES if chosen.quick else SIZES
    count = sizes[-1] if chosen.quick else 100_000
    rounds = 3 if chosen.quick else 5
    folder = Path(tempfile.mkdtemp(dir=chosen.data))
    data = chosen.data or folder
    place = prepare(data, count)
    # Before the commits below, which leave a journal to be read.
    opened = opening(place, count, rounds)
    read = reading(place, rounds)
    memory_table, memory_target = memory(place, count, rounds)
    after_ms = flush_after_reading(place, rounds)
    tables = [
        compared(f"{title}, {count:,} records", results, base=next(iter(results)))
        for title, results in (
            ("Open and read one", opened),
            ("Read all", read),
        )
    ]
    limits = (
        ("open + one typed read / reading and skip-scanning the file", opened, 1.5),
        ("open + all typed / msgpack.unpackb of the file", read, 2.5),
    )
    targets = commits_and_flushes(data, sizes, quick=chosen.quick)
    for what, results, limit in limits:
        base, ours = results.values()
        targets.append(Target(f"{what}, {count:,}", ours.over(base), limit))
    targets.append(memory_target)
    targets.append(
        Target(
            f"flush of {count:,}, nothing changed, all handed out", after_ms, None, "ms"
        )
    )
    Report([*tables, memory_table], targets).publish(chosen.json)
    shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--growth"]:
        print_growth(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
