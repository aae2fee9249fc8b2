"""The engine on real file systems: modes, links, permissions, full disks, odd files."""

import errno
import os
import socket
from pathlib import Path

import pytest

from faults.database import (
    FORMAT,
    commit,
    found,
    generation_of,
    generations,
    grow,
    make_catalog,
    make_engine,
    state,
    step,
)
from faults.surroundings import NOBODY, as_root, mode
from stand_ins import Log
from storify.engine import FileEngine
from storify.engine.file import vfs
from storify.exceptions import DatabaseLoadError


def test_nothing_is_created_before_the_first_commit(tmp_path):
    """Not by a catalog, an engine, a load or a look."""
    catalog = make_catalog(tmp_path / "a" / "b")
    engine = catalog.engine("users")

    assert engine.load() is None
    assert not engine.changes_since(None)
    assert catalog.names() == []
    assert not catalog.exists("users")
    assert engine.backups() == []
    assert engine.writable()
    assert list(tmp_path.iterdir()) == []


def test_new_files_and_folders_are_private(tmp_path):
    """Whatever the umask says."""
    before = os.umask(0)
    try:
        engine = make_catalog(tmp_path / "a" / "b").engine("users")
        commit(engine, 1)
        commit(engine, 2)
        engine.save_unsaved(b"x")
    finally:
        os.umask(before)

    for path in (tmp_path / "a").rglob("*"):
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path
    assert mode(tmp_path / "a") == 0o700


def test_existing_modes_are_kept(tmp_path):
    """Of the file that is replaced and of the folders."""
    grow(tmp_path, 1)
    tmp_path.chmod(0o755)
    (tmp_path / "users.mpack").chmod(0o664)

    commit(make_engine(tmp_path), 2)

    assert mode(tmp_path / "users.mpack") == 0o664
    assert mode(tmp_path) == 0o755


@as_root
def test_the_owner_is_kept(tmp_path):
    """A commit by root does not take a user's file away."""
    grow(tmp_path, 1)
    os.chown(tmp_path / "users.mpack", NOBODY, NOBODY)

    commit(make_engine(tmp_path), 2)

    found = (tmp_path / "users.mpack").stat()
    assert (found.st_uid, found.st_gid) == (NOBODY, NOBODY)


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path):
    """All who reach the file share its lock and backups, by whatever path."""
    (tmp_path / "real").mkdir()
    (tmp_path / "root").mkdir()
    grow(tmp_path / "real", 1)
    link = tmp_path / "root" / "alias.mpack"
    link.symlink_to("../real/users.mpack")
    engine = make_catalog(tmp_path / "root").engine("alias")

    commit(engine, 2)

    assert link.is_symlink()
    assert found(make_engine(tmp_path / "real")) == 2
    assert len(make_engine(tmp_path / "real").backups()) == 1
    assert not (tmp_path / "root" / ".backups").exists()
    make_catalog(tmp_path / "root").rename("alias", "other")
    assert found(make_catalog(tmp_path / "root").engine("other")) == 2
    make_catalog(tmp_path / "root").remove("other")
    assert not (tmp_path / "root" / "other.mpack").is_symlink()
    assert make_engine(tmp_path / "real").load() is None


def test_planted_links_are_not_followed(tmp_path):
    """Lock, record and backups never write through a link."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    grow(tmp_path / "data", 2)
    folder = tmp_path / "data" / ".backups" / "users"
    newest = make_engine(tmp_path / "data").backups()[0]
    for name in (".sum", f"{newest.id}.mpack"):
        (folder / name).unlink()
        (folder / name).symlink_to(victim)

    with pytest.raises((DatabaseLoadError, OSError)):
        make_engine(tmp_path / "data").load()
    (folder / ".sum").unlink()
    commit(make_engine(tmp_path / "data"), 3)
    assert [b.id for b in make_engine(tmp_path / "data").backups()] != [newest.id]
    (folder / ".lock").unlink()
    (folder / ".lock").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links") as caught:
        commit(make_engine(tmp_path / "data"), 4)

    assert caught.value.errno == errno.ELOOP
    assert victim.read_bytes() == b"precious"


def fifo(path: Path) -> None:
    """A pipe, which a plain open waits for."""
    os.mkfifo(path)


def directory(path: Path) -> None:
    """A folder."""
    path.mkdir()


def unix_socket(path: Path) -> None:
    """A socket."""
    # The path of a socket is short; a relative one always is.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def looped_link(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path.name)


@pytest.mark.parametrize("plant", [fifo, directory, unix_socket, looped_link])
def test_something_else_in_place_of_the_file_is_an_error_at_once(tmp_path, plant):
    """No hang; nothing is replaced; set_aside puts it away."""
    path = tmp_path / "users.mpack"
    plant(path)
    engine = make_engine(tmp_path)

    with pytest.raises(DatabaseLoadError, match="not a regular file"):
        engine.load()
    with pytest.raises(OSError, match="not a regular file"):
        engine.commit(step(None, None, 1))
    with pytest.raises(OSError, match="not a regular file"):
        engine.destroy()
    assert os.path.lexists(path)
    assert engine.set_aside()
    assert not os.path.lexists(path)
    assert engine.load() is None
    for generation in range(1, 9):
        commit(engine, generation)


def test_a_fifo_as_lock_or_record_does_not_hang(tmp_path):
    """It is an error at once."""
    grow(tmp_path, 1)
    folder = tmp_path / ".backups" / "users"
    for name in (".sum", ".lock"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises((DatabaseLoadError, OSError)):
            make_engine(tmp_path).load()
        (folder / name).unlink()


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    """Nothing to load there, and a commit raises."""
    (tmp_path / "data").write_bytes(b"")
    engine = make_engine(tmp_path / "data")

    assert engine.load() is None
    with pytest.raises(OSError, match="Not a directory"):
        engine.commit(step(None, None, 1))


@pytest.mark.parametrize("code", sorted(vfs.NO_LINKS))
def test_a_file_system_without_links_gets_copies(tmp_path, monkeypatch, code):
    """Backups are made all the same."""

    class NoLinks:
        def __getattr__(self, name):
            return getattr(os, name)

        def link(self, _old, _new):
            raise OSError(code, "no links")

    monkeypatch.setattr(vfs, "os", NoLinks())
    engine = grow(tmp_path, 3)
    (tmp_path / "users.mpack").write_bytes(b"bad")
    loaded = engine.load()
    engine.destroy()

    assert generation_of(loaded) == 3
    assert generations(engine) == [3, 2, 1]
    assert len(list((tmp_path / ".backups/users").glob("*.corrupt"))) == 1


def test_an_owner_that_cannot_be_kept_does_not_stop_the_commit(tmp_path, monkeypatch):
    """Only root may give a file away."""
    grow(tmp_path, 1)
    calls = []

    class Other:
        def __getattr__(self, name):
            return getattr(os, name)

        def lstat(self, path):
            found = list(os.lstat(path))
            found[4] += 1
            times = {"st_mtime_ns": os.lstat(path).st_mtime_ns, "st_ctime_ns": 0}
            return os.stat_result(found, times)

        def fstat(self, fd):
            found = os.fstat(fd)
            if calls or found.st_size == 0:
                return found
            other = list(found)
            other[4] += 1
            times = {"st_mtime_ns": found.st_mtime_ns, "st_ctime_ns": 0}
            return os.stat_result(other, times)

        def fchown(self, _fd, uid, _gid):
            calls.append(uid)
            raise PermissionError(errno.EPERM, "not yours")

    monkeypatch.setattr(vfs, "os", Other())
    commit(make_engine(tmp_path), 2)
    monkeypatch.undo()

    assert calls
    assert found(make_engine(tmp_path)) == 2


def test_leftovers_of_a_crash_are_removed_strangers_are_not(tmp_path):
    """Only files of this database and of the pattern."""
    engine = grow(tmp_path, 1)
    prefix = engine._access.paths().prefix
    ours = [
        tmp_path / f"{prefix}0123.tmp",
        tmp_path / ".backups/users" / f"{prefix}0123.tmp",
    ]
    others = [
        tmp_path / ".storify-000000000000-0123.tmp",
        tmp_path / "mine.tmp",
        tmp_path / f"{prefix}0123",
    ]
    for path in [*ours, *others]:
        path.write_bytes(b"")

    make_engine(tmp_path).load()

    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in others)


def test_a_failed_cleanup_does_not_stop_the_load(tmp_path, monkeypatch):
    """It is logged and tried again by the next program."""
    engine = grow(tmp_path, 1)
    (tmp_path / f"{engine._access.paths().prefix}0123.tmp").write_bytes(b"")
    log = Log()

    def refuse(_path):
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(vfs, "remove", refuse)

    assert found(make_engine(tmp_path, log=log)) == 1
    assert "clean up" in log.warnings[0]


def test_the_longest_names_have_room_for_everything(tmp_path):
    """Temporary files and backups do not grow with the name."""
    catalog = make_catalog(tmp_path)
    engine = catalog.engine("x" * 200)
    for generation in (1, 2, 3):
        commit(engine, generation)
    catalog.rename("x" * 200, "y" * 200)
    by_path = FileEngine(tmp_path / ("z" * 255), root_format=FORMAT, log=Log())
    for generation in (1, 2):
        commit(by_path, generation)

    assert catalog.names() == ["y" * 200]
    assert len(by_path.backups()) == 1


def test_a_path_of_another_suffix_has_backups_of_its_own(tmp_path):
    """``users.mpack`` and ``users.bin`` do not mix."""
    grow(tmp_path, 2)
    other = FileEngine(tmp_path / "users.bin", root_format=FORMAT, log=Log())
    commit(other, 7)
    commit(other, 8)

    assert generations(other) == [7]
    assert len(make_engine(tmp_path).backups()) == 1


def test_backups_can_stand_elsewhere(tmp_path):
    """With lock and record; erasing them leaves strangers alone."""
    elsewhere = tmp_path / "elsewhere"
    engine = make_engine(tmp_path / "a", backups_directory=elsewhere)
    commit(engine, 1)
    commit(engine, 2)

    assert [path.name for path in (tmp_path / "a").iterdir()] == ["users.mpack"]
    assert len(engine.backups()) == 1
    (elsewhere / "mine").write_bytes(b"")
    engine.destroy(backups=True)
    assert {path.name for path in elsewhere.iterdir()} == {".lock", "mine"}
    (elsewhere / "mine").unlink()
    engine.destroy(backups=True)
    assert not elsewhere.exists()


def test_a_root_that_is_a_link_is_followed(tmp_path):
    """The folder it leads to is the root."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    commit(make_catalog(tmp_path / "link").engine("users"), 1)

    assert make_catalog(tmp_path / "real").names() == ["users"]


def test_names_that_storify_would_not_open_are_not_listed(tmp_path):
    """Hidden files, files of other kinds, and unsafe names."""
    for name in ("a.mpack", ".b.mpack", "c.txt", "d:.mpack", "e?.mpack"):
        (tmp_path / name).write_bytes(state(1))
    catalog = make_catalog(tmp_path)

    assert catalog.names() == ["a", "e?"]
    assert found(catalog.engine("e?")) == 1


def test_an_older_file_in_another_normal_form_can_be_opened(tmp_path):
    """By its exact name; a second one beside it is not made."""
    (tmp_path / "cafe\u0301.mpack").write_bytes(state(1))
    (tmp_path / "Users.mpack").write_bytes(state(2))
    (tmp_path / "users.mpack").write_bytes(state(3))
    catalog = make_catalog(tmp_path)

    assert catalog.exists("cafe\u0301")
    assert found(catalog.engine("cafe\u0301")) == 1
    assert found(catalog.engine("Users")) == 2
    assert found(catalog.engine("users")) == 3
