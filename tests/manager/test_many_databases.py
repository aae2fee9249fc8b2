"""A folder of many databases: what it costs to use one does not grow with the others."""

import os
import sys
from collections import Counter

import msgpack
import pytest

from storify import DatabaseNameError, Storify
from storify.engine.file.paths import paths_of

MANY = 1000


@pytest.fixture
def folder(tmp_path):
    """A folder of many databases, which has stood for a while."""
    for number in range(MANY):
        write(tmp_path / f"user{number}.mpack", number)
    (tmp_path / ".backups").mkdir()
    age(tmp_path)
    return tmp_path


def write(path, number):
    """Write a database as another program does."""
    path.write_bytes(msgpack.packb({"number": number}))


def age(folder):
    """Let the last change of a folder be long ago."""
    for path in (folder, folder / ".backups"):
        os.utime(path, (1_000_000_000, 1_000_000_000))


@pytest.fixture
def listed(monkeypatch):
    """How often each folder was listed."""
    counts = Counter()
    listdir = os.listdir

    def count(path="."):
        counts[os.path.realpath(path)] += 1
        return listdir(path)

    monkeypatch.setattr(os, "listdir", count)
    return counts


def test_the_folder_is_not_listed_for_each_database_that_is_opened(folder, listed):
    """One look finds what crashed writers left of all of them."""
    with Storify(folder, save_interval=None) as sf:
        for number in range(100):
            assert sf[f"user{number}"]["number"] == number

        assert listed[str(folder)] <= 100 * 100 / MANY + 1


def test_what_crashed_writers_left_in_a_large_folder_is_removed(folder):
    """Of each database that is opened, also by later looks; a stranger's file stays."""
    left = [
        folder / f"{paths_of(str(folder / f'user{n}.mpack')).prefix}0.tmp"
        for n in range(3)
    ]
    for path in left[:2]:
        path.write_bytes(b"torn")
    with Storify(folder, save_interval=None) as sf:
        sf.get_db("user0")
        left[1].unlink()
        sf.get_db("user1")
        assert not any(path.exists() for path in left)
        left[2].write_bytes(b"torn")
        for number in range(20):
            sf.get_db(f"user{100 + number}")
        sf.get_db("user2")
        assert not left[2].exists()


def test_a_name_that_is_there_is_found_without_the_list(folder, listed):
    """By one look at the file."""
    with Storify(folder, save_interval=None) as sf:
        assert all(f"user{number}" in sf for number in range(20))
        assert sf.get_loaded_db("user3") is None
        assert not listed


def test_the_list_is_read_once_for_names_that_are_not_there(folder, listed):
    """As long as nothing in the folder changes."""
    with Storify(folder, save_interval=None) as sf:
        for number in range(20):
            assert f"nobody{number}" not in sf
            assert sf.get_loaded_db(f"nobody{number}") is None
            assert f"Zürich{number}" not in sf

    assert listed[str(folder)] == 1


@pytest.mark.parametrize("is_settled", [True, False])
def test_a_twin_is_seen_that_another_program_wrote_after_the_list_was_read(
    folder, is_settled
):
    """Also if the clock of the file system has not moved on since."""
    with Storify(folder, save_interval=None) as sf:
        if not is_settled:
            (folder / "new").touch()
        before = folder.stat()
        assert sf.get_loaded_db("Ann") is None
        write(folder / "ann.mpack", 1)
        if not is_settled:
            os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))

        with pytest.raises(DatabaseNameError, match="'ann'"):
            sf.get_db("Ann")


def test_opening_takes_no_step_for_each_database_that_is_open(folder):
    """The hundredth costs what the tenth does."""
    calls = 0

    def count(_frame, event, _arg):
        nonlocal calls
        calls += event == "call"

    counts = []
    with Storify(folder, save_interval=None, background=False) as sf:
        for number in range(100):
            calls = 0
            sys.setprofile(count)
            sf.get_db(f"user{number}")
            sys.setprofile(None)
            counts.append(calls)

    assert counts[99] <= counts[9] + 10
