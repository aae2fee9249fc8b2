"""The engine where it may not write, or where there is no room."""

import errno
import os
import resource
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from faults.database import (
    commit,
    found,
    generation_of,
    grow,
    make_engine,
    parse,
    state,
    step,
    whole_of,
)
from faults.process import run
from faults.surroundings import as_root, mode, mounts, small_disk
from stand_ins import Log
from storify.engine.file import vfs

READONLY = """
import os, sys
from pathlib import Path
from stand_ins import Log
from faults.database import commit, found, generation_of, make_catalog, make_engine
from storify.exceptions import StorifyError
folder = Path(sys.argv[1])
os.setgid(65534); os.setuid(65534)
log = Log()
engine = make_engine(folder, log=log)
loaded = engine.load()
print(generation_of(loaded), engine.writable(), bool(loaded.recovered_from))
try:
    commit(engine, 9)
except PermissionError as err:
    print("refused")
print(make_catalog(folder).names(), make_engine(folder, "nothing").load())
"""


def open_to_nobody(path: Path) -> None:
    """Let another user come down to the folder, and read all in it."""
    for folder in [path, *path.parents]:
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(mode(folder) | 0o055)


@as_root
@pytest.mark.parametrize("case", ["good", "no lock", "damaged", "renaming"])
def test_a_folder_that_may_only_be_read_can_be_loaded(case):
    """Only the commit raises; a damaged file is served from a backup."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grow(folder, 3)
        if case == "no lock":
            (folder / ".backups/users/.lock").unlink()
        if case == "damaged":
            (folder / "users.mpack").write_bytes(b"bad")
        if case == "renaming":
            (folder / ".backups/.rename").write_text('{"old": "a", "new": "b"}')
        for path in [*folder.rglob("*"), folder]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        open_to_nobody(folder)
        before = sorted(folder.rglob("*"))

        printed = run(READONLY, folder).split("\n")

        damaged = case == "damaged"
        assert printed[0] == ("3 False True" if damaged else "3 False False")
        assert printed[1] == "refused"
        assert printed[2] == "['users'] None"
        assert sorted(folder.rglob("*")) == before


@as_root
def test_an_unsaved_state_goes_to_the_temporary_folder_if_need_be():
    """It is private there as well."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        open_to_nobody(folder)
        script = (
            READONLY.partition("log =")[0]
            + "print(make_engine(folder).save_unsaved(b'x'))"
        )

        where = Path(run(script, folder).strip())

        assert where.parent == Path(tempfile.gettempdir())
        assert where.read_bytes() == b"x"
        assert mode(where) == 0o600
        where.unlink()


def test_the_temporary_folder_is_that_of_the_standard_library(tmp_path, monkeypatch):
    """Named by the environment, if it is there, or else a usual one; or as set."""
    usual = tempfile.gettempdir()
    monkeypatch.setattr(tempfile, "tempdir", "/set")

    assert vfs.temporary_folder() == "/set"

    monkeypatch.delitem(sys.modules, "tempfile")
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)

    assert vfs.temporary_folder() == usual

    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    monkeypatch.setenv("TMP", str(tmp_path))

    assert vfs.temporary_folder() == str(tmp_path)


def test_a_readonly_engine_creates_nothing(tmp_path):
    """Not even a lock; an unsaved state goes elsewhere."""
    (tmp_path / "users.mpack").write_bytes(state(1))
    engine = make_engine(tmp_path, readonly=True)

    assert found(engine) == 1
    where = Path(engine.save_unsaved(b"x"))

    assert [path.name for path in tmp_path.iterdir()] == ["users.mpack"]
    assert where.read_bytes() == b"x"
    where.unlink()


@mounts
def test_a_full_disk_raises_and_keeps_the_old_state(tmp_path):
    """At any size that does not fit; with space, the same commit succeeds."""
    with small_disk(tmp_path):
        engine = grow(tmp_path, 4)
        version = engine.load().version
        filler = tmp_path / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(2 << 20))
        for _ in range(8):
            with pytest.raises(OSError, match="No space"):
                engine.commit(step(version, 4, 5))
            assert found(make_engine(tmp_path)) == 4
        filler.unlink()
        for spare in range(0, 40_000, 4096):
            filler.write_bytes(bytes(max(0, free(tmp_path) - spare)))
            with suppress(OSError):
                version = engine.commit(step(version, 4, 5))
            assert found(make_engine(tmp_path)) in {4, 5}
            filler.unlink()
        commit(engine, 6)

        assert found(make_engine(tmp_path)) == 6
        for backup in engine.backups():
            parse(whole_of(engine.state(backup.id)))


def free(path: Path) -> int:
    """Bytes that fit on the disk."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


LIMITED = """
import resource, signal, sys
from pathlib import Path
from faults.database import make_engine, step
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
engine = make_engine(Path(sys.argv[1]))
version = engine.load().version
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
for _ in range(8):
    try:
        engine.commit(step(version, 3, 4))
    except OSError as err:
        print(err.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (10**9, resource.RLIM_INFINITY))
engine.commit(step(version, 3, 4))
"""


def test_a_limit_of_the_file_size_raises_and_keeps_the_old_state(tmp_path):
    """Eight times; without the limit the same commit succeeds."""
    assert resource.RLIMIT_FSIZE
    grow(tmp_path, 3)

    printed = run(LIMITED, tmp_path).split()

    assert printed == [str(errno.EFBIG)] * 8
    assert found(make_engine(tmp_path)) == 4
    assert len(make_engine(tmp_path).backups()) == 3
    assert not list(tmp_path.glob(".storify*"))


def test_a_file_that_may_not_be_written_is_neither_replaced_nor_repaired(
    folder, monkeypatch
):
    """Though its folder would allow both; the backup is served."""
    path = folder / "users.mpack"
    path.write_bytes(b"bad")
    real = os.access
    monkeypatch.setattr(os, "access", lambda at, way: at != str(path) and real(at, way))
    log = Log()
    engine = make_engine(folder, log=log)

    loaded = engine.load()

    assert generation_of(loaded) == 3
    assert any("cannot repair" in line for line in log.warnings)
    assert not engine.writable()
    path.write_bytes(state(3))
    loaded = engine.load()
    with pytest.raises(PermissionError, match="read-only") as caught:
        engine.commit(step(loaded.version, 3, 4))
    assert caught.value.filename == str(path)
    assert path.read_bytes() == state(3)
    assert len(engine.backups()) == 2
    assert not list(folder.rglob("*.corrupt"))
