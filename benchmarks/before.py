"""What a flush of one record costs beside an earlier Storify, in the same run.

The earlier one is taken from the project's history, so this needs its git clone. Both
flush in processes of their own, by turns, and each round gives one ratio.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path

from report import Report, Table, Target, arguments, duration, ratio

#: The last commit in which a flush ran in the thread of the caller.
BEFORE = "c4c76dc7"
ROOT = Path(__file__).parent.parent
LIMIT = 1.15
FLUSHES = """
import statistics, sys, tempfile, time
from pathlib import Path
from storify import Storify
size, count = int(sys.argv[1]), int(sys.argv[2])
with tempfile.TemporaryDirectory(dir=sys.argv[3]) as folder:
    sf = Storify(Path(folder), save_interval=None)
    db = sf.get_db("users")
    for number in range(size):
        db[f"u{number}"] = {"name": f"User {number}", "age": number % 90, "tags": ["a"]}
    db.flush()
    times_s = []
    for number in range(count):
        db[f"u{number * 7 % size}"] = {"name": "New", "age": number, "tags": []}
        start = time.perf_counter()
        db.flush()
        times_s.append(time.perf_counter() - start)
    sf.close()
print(statistics.median(times_s))
"""


def source(commit: str, folder: Path) -> Path | None:
    """Give a folder with the package as it was in *commit*; none without its history."""
    packed = subprocess.run(  # noqa: S603 - the developer's own git
        ["git", "archive", commit, "storify"],  # noqa: S607 - as above
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    if packed.returncode:
        return None
    subprocess.run(  # noqa: S603 - our own code
        ["tar", "-x", "-C", str(folder)],  # noqa: S607 - as above
        input=packed.stdout,
        check=True,
    )
    return folder


def flush_s(package: Path, size: int, count: int, folder: str) -> float:
    """Give the median time of *count* flushes of one record of *size*."""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", FLUSHES, str(size), str(count), folder],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(package)},
    )
    return float(done.stdout)


def main() -> None:
    """Print what a flush costs now and what it cost."""
    options = ArgumentParser(add_help=False)
    options.add_argument("--folder", type=Path, help="where stores are made")
    chosen = arguments(__doc__, [options])
    rounds, count = (3, 200) if chosen.quick else (11, 600)
    rows: list[list[str]] = []
    targets: list[Target] = []
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        (Path(name) / "before").mkdir()
        before = source(BEFORE, Path(name) / "before")
        if before is None:
            print("no history here: nothing to compare with", file=sys.stderr)
            Report().publish(chosen.json)
            return
        for size in (1_000, 100_000):
            pairs = [
                (flush_s(before, size, count, name), flush_s(ROOT, size, count, name))
                for _ in range(rounds)
            ]
            ratios = [now / then for then, now in pairs]
            rows.append(
                [
                    f"{size:,} records",
                    duration(statistics.median(then for then, _ in pairs)),
                    duration(statistics.median(now for _, now in pairs)),
                    ratio(ratios),
                ]
            )
            targets.append(
                Target(f"a flush of one record of {size:,}, to before", ratios, LIMIT)
            )
    title = "A flush of one record, before and since it runs in a saver thread"
    note = f"Before: commit `{BEFORE}`."
    header = ["", "before", "now", "now / before"]
    Report([Table(title, header, rows, note)], targets).publish(chosen.json)


if __name__ == "__main__":
    main()
