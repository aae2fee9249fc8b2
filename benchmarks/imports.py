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
TARGET_MS = 60.0
PLANNED = """
from storify import Model, Storify
class User(Model):
    name: str
    tags: list[str] = []
db = Storify("memory://").get_db("users", model=User)
db["ann"] = User("Ann")
db.flush()
"""


def interpreter_s(
    statement: str, environment: dict[str, str], folder: str
) -> float | None:
    """Give the seconds that an interpreter takes for *statement*; none if it fails."""
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
    """Give each statement's seconds over the bare interpreter, for each round.

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
    statements["attrs and msgpack alone"] = ("import attrs, msgpack", False)
    statements["cattrs alone"] = ("import cattrs", False)
    statements["storify, with a model declared and flushed in memory"] = (
        PLANNED,
        False,
    )
    times_s = measure(
        statements,
        chosen.legacy,
        rounds=3 if chosen.quick else 11,
    )
    rows = [
        [name, duration(statistics.median(values)), duration(min(values))]
        for name, values in times_s.items()
    ]
    storify_ms = [value * 1e3 for value in times_s["storify"]]
    Report(
        [Table("Import, over a bare interpreter", ["", "median", "least"], rows)],
        [
            Target(
                "import storify, over a bare interpreter", storify_ms, TARGET_MS, "ms"
            )
        ],
    ).publish(chosen.json)


if __name__ == "__main__":
    main()
