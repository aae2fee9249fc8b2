"""What importing a package costs over a bare interpreter, in new processes."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from peers import PEERS
from report import Report, Table, Target, arguments, duration

BARE = "pass"
BASE = "attrs and msgpack alone"
#: What of storify is compared with that, and how much more it may take.
RATIOS = {
    "storify": ("import storify", 1.5),
    "storify, its models": ("from storify import Model", 1.5),
    "storify, its models and databases": ("from storify import Model, Storify", None),
}
FIRST_RECORD_MS = 3.0
PLANNED = """
from storify import Model, Storify
class User(Model):
    name: str
    tags: list[str] = []
db = Storify("memory://").get_db("users", model=User)
db["ann"] = User("Ann")
db.flush()
"""

FIRST = """
import sys, time
from storify import Model, Storify
class User(Model):
    name: str
    tags: list[str] = []
db = Storify(sys.argv[1]).get_db("users", model=User)
if "ann" not in db:
    db["ann"] = User("Ann", ["a"])
    db.flush()
start = time.perf_counter()
db["ann"].tags.append("b")
print(time.perf_counter() - start)
"""


def first_record_ms(rounds: int) -> list[float]:
    """Return what the first record of a program takes, in new processes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", FIRST, folder]
        times_s = [
            float(subprocess.check_output(command, text=True))  # noqa: S603 - our own code
            for _ in range(rounds + 1)
        ]
    return [taken_s * 1e3 for taken_s in times_s[1:]]  # the first one wrote it


def interpreter_s(
    statement: str, environment: dict[str, str], folder: str
) -> float | None:
    """Return the seconds that an interpreter takes for *statement*; none if it fails."""
    start = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", statement],
        check=False,
        env=environment,
        cwd=folder,  # python -c looks for modules here first, so it is empty
        stderr=subprocess.DEVNULL,
    )
    return None if done.returncode else time.perf_counter() - start


def measure(
    statements: dict[str, tuple[str, bool]], legacy: Path | None, rounds: int
) -> dict[str, list[float]]:
    """Return each statement's seconds over the bare interpreter, for each round.

    Args:
        statements: What to run for each name, and whether it needs *legacy*.
        legacy: A folder that holds storify 0.0.11.
        rounds: How many, after one that compiles the modules.
    """
    # With compiled modules, wherever this runs, as an installed package has them.
    caches, empty = tempfile.mkdtemp(), tempfile.mkdtemp()
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": caches}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    times_s: dict[str, list[float]] = {name: [] for name in statements}
    for counted in [False, *[True] * rounds]:
        bare_s = interpreter_s(BARE, environment, empty)
        for name, (statement, old) in statements.items():
            path = {"PYTHONPATH": str(legacy)} if old else {}
            taken_s = interpreter_s(statement, {**environment, **path}, empty)
            if counted and taken_s and bare_s:
                times_s[name].append(taken_s - bare_s)
    shutil.rmtree(caches)
    shutil.rmtree(empty)
    return {name: values for name, values in times_s.items() if values}


def main() -> None:
    """Print what imports cost."""
    options = ArgumentParser(add_help=False)
    options.add_argument("--legacy", type=Path, help="a folder with storify 0.0.11")
    chosen = arguments(__doc__, [options])
    statements = {
        spec.name: (spec.statement, spec.legacy)
        for spec in PEERS
        if spec.statement and (chosen.legacy or not spec.legacy)
    }
    statements |= {name: (code, False) for name, (code, _) in RATIOS.items()}
    statements[BASE] = ("import attrs, msgpack", False)
    statements["cattrs alone"] = ("import cattrs", False)
    statements["storify, with a model declared and flushed in memory"] = (
        PLANNED,
        False,
    )
    rounds = 3 if chosen.quick else 11
    times_s = measure(statements, chosen.legacy, rounds)
    rows = [
        [name, duration(statistics.median(values)), duration(min(values))]
        for name, values in times_s.items()
    ]
    targets = [
        Target(
            f"{code} / import attrs, msgpack",
            [
                ours / base
                for ours, base in zip(times_s[name], times_s[BASE], strict=True)
            ],
            limit,
        )
        for name, (code, limit) in RATIOS.items()
    ]
    first = first_record_ms(rounds)
    targets.append(Target("first record of a program", first, FIRST_RECORD_MS, "ms"))
    table = Table("Import, over a bare interpreter", ["", "median", "least"], rows)
    Report([table], targets).publish(chosen.json)


if __name__ == "__main__":
    main()
