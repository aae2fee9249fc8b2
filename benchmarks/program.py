"""A whole program: it opens 1,000 records, reads one, changes one and exits.

    python benchmarks/program.py [--quick]

The same is done with the `sqlite3` of the standard library and JSON by hand. What an
interpreter takes that does nothing is part of both.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import Report, Table, Target, arguments, duration, ratio

MOST_RATIO = 2.0
COUNT = 1_000
WITH_STORIFY = """
import sys
from storify import Model, Storify
class User(Model):
    name: str
    age: int
    tags: list[str] = []
db = Storify(sys.argv[1]).get_db("users", model=User)
if not db:
    db.update({f"u{n}": User(f"User {n}", n, ["a"]) for n in range(int(sys.argv[2]))})
if not db["u500"].name:
    raise LookupError
db["u501"].age += 1
"""
WITH_SQLITE = """
import json, sqlite3, sys
base = sqlite3.connect(sys.argv[1] + "/users.sqlite")
base.execute("CREATE TABLE IF NOT EXISTS users (key TEXT PRIMARY KEY, value TEXT)")
if base.execute("SELECT count(*) FROM users").fetchone() == (0,):
    with base:
        base.executemany("INSERT INTO users VALUES (?, ?)", [
            (f"u{n}", json.dumps({"name": f"User {n}", "age": n, "tags": ["a"]}))
            for n in range(int(sys.argv[2]))
        ])
def read(key):
    sought = "SELECT value FROM users WHERE key = ?"
    (text,) = base.execute(sought, (key,)).fetchone()
    return json.loads(text)
if not read("u500")["name"]:
    raise LookupError
with base:
    user = read("u501")
    user["age"] += 1
    changed = "UPDATE users SET value = ? WHERE key = 'u501'"
    base.execute(changed, (json.dumps(user),))
base.close()
"""
PROGRAMS = {
    "storify": WITH_STORIFY,
    "sqlite3 + json": WITH_SQLITE,
    "import storify, models and databases, alone": "from storify import Model, Storify",
    "import attrs, msgpack alone": "import attrs, msgpack",
    "a bare interpreter": "pass",
}


def main() -> None:
    """Run both by turns, in new processes."""
    chosen = arguments(__doc__)
    times_s: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    caches = tempfile.mkdtemp()
    # With compiled modules, wherever this runs, as an installed package has them.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": caches}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name:
        for counted in [False, *[True] * (5 if chosen.quick else 21)]:
            for what, code in PROGRAMS.items():
                folder = Path(name, str(list(PROGRAMS).index(what)))
                folder.mkdir(exist_ok=True)
                start = time.perf_counter()
                subprocess.run(  # noqa: S603 - our own code
                    [sys.executable, "-c", code, folder, str(COUNT)],
                    check=True,
                    cwd=folder,
                    env=environment,
                )
                if counted:
                    times_s[what].append(time.perf_counter() - start)
    shutil.rmtree(caches)
    ours, theirs = (times_s[what] for what in ("storify", "sqlite3 + json"))
    ratios = {
        what: [a / b for a, b in zip(each, theirs, strict=True)]
        for what, each in times_s.items()
    }
    rows = [
        [what, duration(statistics.median(each)), ratio(ratios[what])]
        for what, each in times_s.items()
    ]
    what = f"a program: open {COUNT:,}, read one, change one, exit"
    Report(
        [Table(what.capitalize(), ["", "median", "ratio"], rows)],
        [
            Target(f"{what} / on sqlite3", ratios["storify"], MOST_RATIO),
            Target(what, [each * 1e3 for each in ours], None, "ms"),
        ],
    ).publish(chosen.json)


if __name__ == "__main__":
    main()
