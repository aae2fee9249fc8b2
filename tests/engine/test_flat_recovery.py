"""A large database is restored and recovered without being in memory whole."""

import shutil
import tracemalloc

import pytest

from faults.database import main
from stand_ins import Log
from storify import Storify
from storify.explorer import Session

MEBIBYTE = 1 << 20
RECORDS = 3000
RECORD = "x" * 8000
LIMIT = 9 * MEBIBYTE


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a database of 24 MB: a backup with a journal beside it, and main."""
    folder = tmp_path_factory.mktemp("large") / "data"
    with Storify(folder, save_interval=None, log=Log()) as sf:
        db = sf.get_db("users", root={f"k{n}": RECORD for n in range(RECORDS)})
        db.flush(compact=True)
        for number in range(5):
            db[f"k{number}"] = number
            db.flush(compact=number == 3)
        assert main(folder).stat().st_size > 22 * MEBIBYTE
    return folder


@pytest.fixture
def large(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "data", copy_function=shutil.copy2)


def peak_of(work):
    """The most memory that something takes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_state_is_restored(large):
    """All of it, as it was."""
    sf = Storify(large, save_interval=None, log=Log(), cache_bytes=MEBIBYTE)
    db = sf.get_db("users")
    before = db.backups.list[0]

    def restore():
        assert db.backups.restore(db.backups.last) == {f"k{n}" for n in range(5)}

    assert peak_of(restore) < LIMIT
    assert all(db[f"k{n}"] == RECORD for n in range(6))
    assert db.backups.diff(before)
    db.close()


def test_a_state_is_restored_from_outside(large):
    """As the command line does."""
    Storify(large, save_interval=None, log=Log()).get_db("users").close()
    with Session(large, write=True) as session:
        oldest = session.states("users")[-1].id

        def restore():
            assert session.restore("users", oldest).changed == 5

        assert peak_of(restore) < LIMIT
    db = Storify(large, save_interval=None, log=Log()).get_db("users")
    assert all(db[f"k{n}"] == RECORD for n in range(6))
    db.close()
