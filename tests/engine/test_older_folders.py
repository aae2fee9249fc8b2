"""Folders that were written before the index, as a killed program left them.

They hold ``small``, with backups; ``log``, a list; ``large``, with commits in its
journal; and ``mixed``, with keys of several types.
"""

import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storify import Model, Storify

FOLDERS = Path(__file__).parent / "files" / "before_the_index.tar.xz"


class User(Model):
    """As the class was."""

    name: str
    age: int = 0


@pytest.fixture
def folder(root):
    """A copy of the folders."""
    with tarfile.open(FOLDERS) as archive:
        archive.extractall(root, filter="data")
    return root


def open_all(folder, **options):
    """Open the folder as a new program would."""
    return Storify(folder, save_interval=None, models=[User], **options)


def large():
    """What is in the large database."""
    users = {f"k{n}": User("n" * 200, n) for n in range(6000)}
    users["k0"].age, users["k1"].age, users["k3"].age = -1, -2, -3
    del users["k2"]
    return {**users, "new": User("new", 1)}


@pytest.mark.parametrize("readonly", [False, True])
def test_nothing_of_them_is_lost(folder, readonly):
    """The first opening reads them whole, the second one by the index that it made."""
    for _ in range(2):
        sf = open_all(folder)
        dbs = {name: sf.get_db(name, readonly=readonly) for name in sf}

        assert dict(dbs["small"]) == {"a": User("ann", 2), "k0": 0, "k1": 1, "k2": 2}
        assert dbs["log"].data == [0, "x", User("bo", 2)]
        assert list(dbs["large"].items()) == list(large().items())
        assert dict(dbs["mixed"]) == {1: "one", "a": b"x", (1, 2): None}
        sf.close()


def test_their_past_is_there(folder):
    """Backups, and each commit of a journal."""
    sf = open_all(folder)
    small, big = sf["small"], sf["large"]

    assert len(small.backups.list) == 2
    assert dict(small.at(small.backups.list[0])) == {
        "a": User("ann", 1),
        "k0": 0,
        "k1": 1,
    }
    before = big.at(big.backups.list[0])
    assert (before["k1"].age, before["k3"].age, "k2" in before) == (-2, 3, False)
    assert big.at(datetime.now(UTC))["k3"].age == -3
    assert small.backups.verify() == big.backups.verify() == []
    sf.close()


def test_they_go_on(folder):
    """Commits, restores, and in the end nothing is left."""
    sf = open_all(folder)
    sf["large"]["k5"].age = -5
    sf["large"].flush()
    sf["log"].data.append(3)
    sf["log"].flush()
    sf["small"].backups.restore(sf["small"].backups.list[0])
    sf.close()

    sf = open_all(folder)
    assert sf["large"]["k5"].age == -5
    assert len(sf["large"]) == 6000
    assert sf["log"].data[-1] == 3
    assert sf["small"]["a"].age == 1
    for name in list(sf):
        sf[name].destroy(backups=True)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
