"""Measure one peer in a process of its own: ``worker.py PEER PHASE FOLDER SIZE``.

``compare.py`` starts it and reads the JSON that it prints: a measure's name to its
value, in seconds or bytes. The collector runs as in any program. Phases:

load
    Make the records, then time filling a new store with them.
stream
    Fill a new store with records made on the way, untimed: too many to hold.
read
    Time opening and reading one record, opening and reading all, and reading
    random records when all was read; note how memory grows.
commit
    Time changes of one record and of a hundred, each committed, and closing.
sync
    Commit SIZE changes of one record each, for ``syncs.py`` to count.
"""

import gc
import json
import os
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from contents import Role, contents, key_of
from peers import Peer, find

SINGLES = 60
BATCHES = 7
BATCH_SIZE = 100
BATCH_LEAST = 3
READS = 5_000
LOOP_BUDGET_S = 1.0
"""A loop of repeated steps stops after this, when it did each a few times."""

Measures = dict[str, float]


def peak_bytes() -> int:
    """Give the most memory that this process had in use."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        # kB; on macOS bytes
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Give the seconds *action* takes, and what it gives."""
    gc.collect()
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def expect_typed(record: Any, number: int) -> None:
    """Check that the user of a peer has what went in, each value of its type."""
    fields = contents(number)
    typed = {"joined": datetime, "tags": list, "counts": dict, "score": float}
    if isinstance(record, dict):
        return  # the limit has no types
    for name, type_ in {**typed, "role": Role}.items():
        value = getattr(record, name)
        if value != fields[name] or not isinstance(value, type_):
            msg = f"{name} came back as {value!r}, not {fields[name]!r}"
            raise AssertionError(msg)
    if vars(record.address) != fields["address"]:
        msg = f"address came back as {record.address!r}"
        raise AssertionError(msg)


def touch(record: Any) -> None:
    """Read a field and a nested field, so that lazy stores load it."""
    if not isinstance(record, dict):
        _ = record.age, record.address.city


def load(peer: Peer, folder: Path, size: int) -> Measures:
    """Fill a new store; close it untimed."""
    records = [(key_of(number), peer.make(number)) for number in range(size)]

    def action() -> None:
        peer.open(folder)
        peer.load(records)

    elapsed_s, _ = timed(action)
    peer.close()
    return {"load": elapsed_s, "disk": disk_bytes(folder)}


def disk_bytes(folder: Path) -> int:
    """Give the size of all files."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)


def stream(peer: Peer, folder: Path, size: int) -> Measures:
    """Fill a new store with records that are made on the way."""
    peer.open(folder)
    peer.load((key_of(number), peer.make(number)) for number in range(size))
    peer.close()
    return {}


def read(peer: Peer, folder: Path, size: int) -> Measures:
    """Open twice; read one, all, and random ones."""
    number = size // 2
    gc.collect()
    before_bytes = peak_bytes()

    def open_one() -> Any:
        peer.open(folder)
        record = peer.get(key_of(number))
        touch(record)
        return record

    one_s, record = timed(open_one)
    one_bytes = peak_bytes() - before_bytes
    expect_typed(record, number)
    del record
    peer.close()

    def open_all() -> dict[str, Any]:
        peer.open(folder)
        records = peer.read_all()
        for record in records.values():
            touch(record)
        return records

    all_s, records = timed(open_all)
    all_bytes = peak_bytes() - before_bytes
    if len(records) != size:
        msg = f"read {len(records)} of {size} records"
        raise AssertionError(msg)
    expect_typed(records[key_of(0)], 0)
    del records
    measures = {
        "open one": one_s,
        "read all": all_s,
        "memory open": one_bytes,
        "memory all": all_bytes,
        "point read": point_read_s(peer, size),
    }
    peer.close()
    return measures


def point_read_s(peer: Peer, size: int) -> float:
    """Give the mean seconds of reading a random record that was read before."""
    rng = random.Random(size)  # noqa: S311 - no secret
    keys = [key_of(rng.randrange(size)) for _ in range(READS)]
    first_s, _ = timed(lambda: touch(peer.get(keys[0])))
    count = min(READS, max(BATCH_LEAST, int(LOOP_BUDGET_S / first_s)))
    keys = keys[:count]

    def action() -> None:
        for key in keys:
            touch(peer.get(key))

    warm_s, _ = timed(action)
    if warm_s < LOOP_BUDGET_S / 2:
        warm_s, _ = timed(action)
    return warm_s / count


def repeat(action: Callable[[list[str]], None], batches: list[list[str]]) -> float:
    """Give the median seconds of *action* over the *batches* there is time for."""
    times_s: list[float] = []
    gc.collect()
    for keys in batches:
        start = time.perf_counter()
        action(keys)
        times_s.append(time.perf_counter() - start)
        if sum(times_s) > LOOP_BUDGET_S and len(times_s) >= BATCH_LEAST:
            break
    return statistics.median(times_s)


def commit(peer: Peer, folder: Path, size: int) -> Measures:
    """Change other records each time, holding none of them."""
    peer.open(folder)
    # Other records each round, as a commit of a record that is in memory is cheaper.
    rng = random.Random(os.getpid())  # noqa: S311 - no secret
    size_wanted = SINGLES + BATCHES * BATCH_SIZE + 1
    numbers = rng.sample(range(size), min(size, size_wanted))
    keys = [key_of(number) for number in numbers]
    age_before = getattr(peer.get(keys[1]), "age", None)
    peer.change(keys[:1])  # the first change may set something up
    singles = [[key] for key in keys[1 : SINGLES + 1]]
    batched = keys[SINGLES + 1 :]
    batches = [
        batched[start : start + BATCH_SIZE]
        for start in range(0, len(batched) - BATCH_SIZE + 1, BATCH_SIZE)
    ]
    measures = {
        "commit": repeat(peer.change, singles),
        "commit 100": repeat(peer.change, batches),
    }
    measures["close"], _ = timed(peer.close)
    measures["disk after"] = disk_bytes(folder)
    if age_before is not None and size <= 10_000:  # noqa: PLR2004 - where it is cheap
        peer.open(folder)
        age = peer.get(keys[1]).age
        peer.close()
        if age != age_before + 1:
            msg = f"a committed change was lost: age {age}, not {age_before + 1}"
            raise AssertionError(msg)
    return measures


def sync(peer: Peer, folder: Path, size: int) -> Measures:
    """Commit *size* changes and close."""
    peer.open(folder)
    for number in range(size):
        peer.change([key_of(number)])
    peer.close()
    return {}


PHASES: dict[str, Callable[[Peer, Path, int], Measures]] = {
    "load": load,
    "stream": stream,
    "read": read,
    "commit": commit,
    "sync": sync,
}


def main() -> None:
    """Run one phase of one peer and print what was measured."""
    name, phase, folder, size = sys.argv[1:]
    try:
        peer = find(name).make()
    except ImportError as err:
        print(json.dumps({"missing": str(err)}))
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    measures: dict[str, Any] = dict(PHASES[phase](peer, Path(folder), int(size)))
    print(json.dumps(measures))


if __name__ == "__main__":
    main()
