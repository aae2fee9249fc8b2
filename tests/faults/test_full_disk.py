"""A disk that is full, for real: no blocks, no inodes, no larger files allowed."""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest

from faults import requires
from faults.generations import SHAPES, Shape, backups_of, open_db, saved
from faults.mounts import resize, small_disk
from faults.programs import run
from faults.sampling import runs

pytestmark = pytest.mark.crash

FULL = {errno.ENOSPC, errno.EDQUOT}
BLOCK = 4096

TRIES = 40


@contextmanager
def filled(disk: Path, free_bytes: int) -> Iterator[None]:
    """Fill a disk but for so many bytes, in whole blocks."""
    filler = disk / "filler"
    space = os.statvfs(disk)
    left = space.f_bavail * space.f_frsize - free_bytes
    with filler.open("wb") as file:
        file.write(bytes(max(left, 0) // BLOCK * BLOCK))
    try:
        yield
    finally:
        filler.unlink()


def flush_refused(db, shape: Shape, generation: int) -> bool:
    """Move to a generation and flush; whether the disk was too full for it."""
    shape.move(db, generation)
    try:
        db.flush()
    except OSError as err:
        assert err.errno in FULL  # noqa: PT017 - no error is fine too
        return True
    return False


@requires.tmpfs()
@pytest.mark.parametrize(("shape", "size"), [("small", 1), ("medium", 6)])
def test_a_disk_that_fills_up_keeps_the_old_state(tmp_path, shape, size):
    """Flush raises, old data and backups stay, and it saves again with more room."""
    form, disk = SHAPES[shape], tmp_path / "disk"
    with small_disk(disk, f"size={size}m"), ExitStack() as until_the_end:
        sf, db = open_db(disk / "data")
        until_the_end.enter_context(sf)
        with filled(disk, 0):
            assert flush_refused(db, form, 1)
        # The backups fill it, or else a file does.
        first = next((at for at in range(1, TRIES) if flush_refused(db, form, at)), 0)
        if not first:
            until_the_end.enter_context(filled(disk, 0))
            first = next(at for at in count(TRIES) if flush_refused(db, form, at))

        assert form.generation(db.data) == first
        assert saved(disk / "data", form) == first - 1
        assert flush_refused(db, form, first + 1)
        assert saved(disk / "data", form) == first - 1
        kept = backups_of(db, form)

        resize(disk, "size=64m")
        db.flush()

        assert saved(disk / "data", form) == first + 1
        assert set(backups_of(db, form)) >= set(kept[:4])


@requires.tmpfs()
@pytest.mark.parametrize("shape", ["tiny", "medium"])
def test_any_free_space_is_enough_or_refused(tmp_path, shape):
    """With little room the state is saved or the error raised, never neither."""
    form, disk = SHAPES[shape], tmp_path / "disk"
    refused = 0
    with small_disk(disk, "size=32m"):
        sf, db = open_db(disk / "data")
        with sf:
            form.move(db, 1)
            db.flush()
            form.move(db, 2)
            db.flush()
            free = 6 * BLOCK if shape == "tiny" else 2_000_000
            tries = runs(7, 60)
            for generation, part in enumerate(range(tries), start=3):
                with filled(disk, free * part // (tries - 1)):
                    full = flush_refused(db, form, generation)
                    found = saved(disk / "data", form)

                    assert found == generation - full
                    refused += full
                db.flush()
                assert saved(disk / "data", form) == generation
    assert 0 < refused < tries


@requires.tmpfs()
def test_a_disk_without_inodes_keeps_the_old_state(tmp_path):
    """The same where no file can be made any more."""
    form, disk = SHAPES["tiny"], tmp_path / "disk"
    with small_disk(disk, "size=8m,nr_inodes=40"):
        sf, db = open_db(disk / "data")
        with sf:
            form.move(db, 1)
            db.flush()
            spare = [
                disk / f"spare{number}" for number in range(os.statvfs(disk).f_ffree)
            ]
            for path in spare:
                path.touch()

            assert flush_refused(db, form, 2)

            assert saved(disk / "data", form) == 1
            for path in spare:
                path.unlink()
            db.flush()
            assert saved(disk / "data", form) == 2


@requires.tmpfs()
def test_a_disk_that_is_full_at_exit_costs_no_saved_state(tmp_path):
    """The end of the program cannot save: the log says so, the old state stays."""
    form, disk = SHAPES["tiny"], tmp_path / "disk"
    with small_disk(disk, "size=1m"):
        sf, db = open_db(disk / "data")
        form.move(db, 1)
        sf.close()
        with filled(disk, 0):
            lines = run(
                "ending", "return", disk / "data", env={"TMPDIR": str(tmp_path)}
            )

            assert saved(disk / "data", form) == 1
        assert lines == ["ready"]
        [aside] = tmp_path.glob("*.unsaved.mpack")
        sf, db = open_db(tmp_path / "other")
        with sf:
            assert form.generation(db.unpack(aside)) == 2


def test_a_limit_of_file_sizes_keeps_the_old_state(tmp_path):
    """RLIMIT_FSIZE makes a write fail half-way; the process goes on and saves later."""
    assert run("file_size_limit", tmp_path / "data") == [
        f"refused {errno.EFBIG}",
        "found 1",
        "found 2",
    ]
