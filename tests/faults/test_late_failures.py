"""A disk call that fails inside of a transaction or a restore, also after the commit.

Whether the commit came through is not known then. Memory is as before the call, and
the next flush or reload brings it and the file together, whatever is in the file.
"""

import errno
import itertools
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import pytest

from faults.database import journaling
from faults.sampling import sample
from stand_ins import Log
from storify import Database, Storify, StorifyError
from storify.engine.file import vfs
from storify.testing._disk import Fault, injected

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("_no_real_syncs")]

LIMIT = 400
BEFORE = {"n": 0, "list": [0], "bulk": "x" * 4000}
WITHIN = {"n": 1, "list": [0, 1], "new": 1, "bulk": "x" * 4000}


def opened(folder: Path) -> Database:
    """A database of this program, saved when it is told to."""
    return Storify(folder, save_interval=None, log=Log()).get_db("notes")


def prepared(folder: Path, earlier: dict | None = None) -> Database:
    """A database with the state before, and perhaps one that it had earlier."""
    db = opened(folder)
    for state in [earlier, BEFORE]:
        if state is not None:
            db.clear()
            db.update(deepcopy(state))
            db.flush()
    return db


class Act(NamedTuple):
    """What is done to a database, all or nothing.

    Attributes:
        name: What it is.
        do: Does it; afterwards the data are `WITHIN`.
        earlier: The state that the database had before `BEFORE`.
    """

    name: str
    do: Callable[[Database], object]
    earlier: dict | None = None


def change(db: Database) -> None:
    """Change three records together."""
    with db.transaction():
        db["n"] += 1
        db["list"].append(1)
        db["new"] = 1


def restore(db: Database) -> None:
    """Restore the state that was the first."""
    db.backups.restore(db.backups.list[-1])


ACTS = [Act("transaction", change), Act("restore", restore, WITHIN)]


def durable(folder: Path) -> dict:
    """What another program finds."""
    with Storify(folder, save_interval=None, log=Log()) as sf:
        return dict(sf.get_db("notes", readonly=True))


def calls(folder: Path, act: Act) -> int:
    """How many disk calls the change makes."""
    db = prepared(folder, act.earlier)
    with injected(Fault(LIMIT, "kill")) as fault:
        act.do(db)
    assert dict(db) == WITHIN
    return fault.count


def flush(db: Database) -> None:
    """Save, with nothing to save."""
    db.flush()


def flush_another(db: Database) -> None:
    """Save another record."""
    db["other"] = 2
    db.flush()


def change_again(db: Database) -> None:
    """Have another transaction."""
    with db.transaction():
        db["other"] = 2


#: What fails, and what the program does next.
AFTER = list(
    itertools.product(
        ["EIO", "ENOSPC"],
        [flush, Database.reload, flush_another, change_again, Database.close],
    )
)


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.name)
@pytest.mark.parametrize("journaled", [False, True], ids=["small", "journal"])
@pytest.mark.parametrize(("name", "then"), sample(AFTER, 4, "late failures"))
def test_after_a_late_failure_memory_and_file_come_together(
    tmp_path, act, journaled, name, then
):
    """At each disk call: all of the block or nothing, the same in both."""
    with journaling(journaled):
        late = 0
        for at in range(1, calls(tmp_path / "good", act) + 1):
            where = f"{name} at {at}"
            folder = tmp_path / str(at)
            db = prepared(folder, act.earlier)
            held = db["list"]
            failed = False
            with injected(Fault(at, getattr(errno, name))):
                try:
                    act.do(db)
                except (OSError, StorifyError):
                    failed = True

            if failed:
                assert dict(db) == BEFORE, where
                assert held == [0], where
            late += failed and durable(folder).get("n") == 1
            then(db)

            found = durable(folder)
            assert found.pop("other", 2) == 2
            assert found in ([BEFORE, WITHIN] if failed else [WITHIN]), where
            if not db.defunct:
                memory = dict(db)
                memory.pop("other", None)
                assert memory == found, where
                assert held is db["list"], where
                assert db.dirty() == set(), where
                db.close()
        # After the rename or the append: without those this tests nothing.
        assert late > 0


def test_what_is_in_place_when_the_folder_cannot_be_synced_is_adopted(
    tmp_path, monkeypatch
):
    """The new file has its name, and then the folder cannot be synced."""
    db = prepared(tmp_path)
    sync, fails = vfs.sync_directory, [True]

    def failing(path: str, *args: object) -> None:
        if Path(path) == tmp_path and fails:
            fails.clear()
            raise OSError(errno.EIO, "Input/output error")
        sync(path, *args)

    monkeypatch.setattr(vfs, "sync_directory", failing)
    with pytest.raises(OSError, match="Input/output"):
        change(db)
    assert (db["n"], durable(tmp_path)["n"]) == (0, 1)

    db.flush()

    assert dict(db) == durable(tmp_path) == WITHIN
