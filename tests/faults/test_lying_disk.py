"""A disk that fails a sync once, then claims success without the data.

That is what Linux file systems do, and what most databases got wrong ("Can
Applications Recover from fsync Failures?", ATC 2020).
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults import requires
from faults.fuse_disk import FuseDisk, fuse_disk
from faults.generations import NAME, SHAPES, Shape, backups_of, open_db, saved
from faults.sampling import sample
from stand_ins import Log
from storify import Database, StorifyError

pytestmark = [pytest.mark.crash, requires.fuse()]


@pytest.fixture
def disk(tmp_path) -> Iterator[FuseDisk]:
    """A disk that lies on demand."""
    with fuse_disk(tmp_path) as mounted:
        yield mounted


@contextmanager
def opened(folder: Path) -> Iterator[Database]:
    """Open a database, for a program that ends without saving."""
    sf, db = open_db(folder)
    with sf:
        yield db
        db.close(discard=True)


def grown(folder: Path, form: Shape, generations: int) -> None:
    """Make a database with some backups."""
    sf, db = open_db(folder)
    with sf:
        for generation in range(1, generations + 1):
            form.move(db, generation)
            db.flush()


def syncs_of_a_flush(disk: FuseDisk, form: Shape, generation: int) -> int:
    """Flush on the disk as it is; give how many syncs it took."""
    with opened(disk.root / "data") as db:
        form.move(db, generation)
        before = disk.syncs()
        db.flush()
        return disk.syncs() - before


@pytest.mark.parametrize("shape", ["tiny", "medium"])
@pytest.mark.parametrize("then", ["again", "at once"])
def test_a_failed_sync_is_never_acknowledged(disk, shape, then):
    """Flush raises or has saved; the next flush saves what a power cut then leaves."""
    form, data, generation = SHAPES[shape], disk.root / "data", 4
    grown(data, form, 3)
    syncs = syncs_of_a_flush(disk, form, generation)
    assert syncs

    for at in sample(range(1, syncs + 1), 6, shape, then):
        generation += 1
        disk.order(f"fsync {at}")
        with opened(data) as db:
            form.move(db, generation)
            done = True
            try:
                db.flush()
            except OSError as err:
                assert err.errno == errno.EIO  # noqa: PT017 - no error is fine too
                done = False
            if then == "again":
                db.flush()
                done = True
            disk.order("cut")

        found = saved(data, form)

        assert found in ({generation} if done else {generation - 1, generation}), at
        generation = found


def unreadable(disk: FuseDisk, form: Shape, what: str) -> tuple[int | None, list[str]]:
    """Open a database of which files cannot be read; give what is served, and warnings."""
    disk.order(f"read {what}")
    log = Log()
    try:
        sf, db = open_db(disk.root / "data", log=log)
    except (OSError, StorifyError):
        return None, log.warnings
    finally:
        disk.order("none")
    with sf:
        return form.generation(db.data), log.warnings


@pytest.mark.parametrize("shape", ["tiny", "medium"])
def test_a_file_that_cannot_be_read_is_replaced_by_a_backup(disk, shape):
    """The newest good state is served, and the log says that it is a backup."""
    form, data = SHAPES[shape], disk.root / "data"
    grown(data, form, 4)

    served, warnings = unreadable(disk, form, f"{NAME}.mpack")

    assert served in {3, 4}
    assert warnings
    assert saved(data, form) == served


def test_a_folder_of_which_nothing_can_be_read_is_left_as_it_is(disk):
    """Opening fails; when the disk reads again, all is there."""
    form, data = SHAPES["tiny"], disk.root / "data"
    grown(data, form, 4)

    served, _ = unreadable(disk, form, "*")

    assert served is None
    assert saved(data, form) == 4


def test_a_writer_that_repeats_a_failed_sync_is_caught(disk):
    """The control: the second sync succeeds, and the data are gone."""
    path = disk.root / "file"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(fd, b"acknowledged")
    disk.order("fsync 1")
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        os.fsync(fd)
    os.fsync(fd)
    os.close(fd)
    assert path.read_bytes() == b"acknowledged"

    disk.order("cut")

    assert path.read_bytes() == b""


def test_restore_points_survive_a_fold(disk):
    """Commits that were durable one by one stay restorable after a fold."""
    form, data = SHAPES["medium"], disk.root / "data"
    grown(data, form, 5)
    with opened(data) as db:
        db.flush(compact=True)
    disk.order("cut")

    sf, db = open_db(data)
    with sf:
        assert backups_of(db, form) == [4, 3, 2, 1]
