"""A program that forks children, each of which saves by the database it inherits.

``python -m faults.forker FOLDER CHILDREN COUNT``
"""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

from faults.generations import open_db
from storify import Database


def in_child(db: Database[Any, Any], number: int, count: int) -> int:
    """Fork a child that saves keys of its own; give its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        for step in range(count):
            db[f"{number}-{step}"] = step
            db.flush()
        code = 0
    finally:
        os._exit(code)


def main(folder: str, children: str, count: str) -> None:
    """Fork them all, save beside them, and close at last."""
    sf, db = open_db(Path(folder))
    db["parent"] = 0
    db.flush()
    pids = [in_child(db, number, int(count)) for number in range(int(children))]
    db["parent"] = 1
    db.flush()
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    sf.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
