"""What was acknowledged survives a power cut, and the test sees when it does not."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from faults import database
from faults.database import (
    alike,
    commit,
    flip,
    found,
    generations,
    grow,
    journaling,
    main,
    make_catalog,
    make_engine,
    paging,
    state,
    step,
)
from faults.sampling import fewer, runs, sample
from stand_ins import Log
from storify.engine.file import (
    append,
    checkpoint,
    engine,
    log_index,
    replay,
    snapshot,
    vfs,
)
from storify.engine.file.manifest import read_manifest, write_manifest
from storify.exceptions import StorifyError
from storify.testing._disk import Model, Recorder, recorded, write_folder

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("_no_real_syncs")]

#: What the log may say after a crash without damage.
HARMLESS = ("cut off", "damaged part of the journal is kept")

Work = Callable[[Path, Recorder], object]


def two_commits(folder: Path, recorder: Recorder, first: int = 4) -> None:
    """Commit two generations."""
    for generation in (first, first + 1):
        commit(make_engine(folder), generation)
        recorder.log.append(("ack", generation))


def two_by_one(folder: Path, recorder: Recorder) -> None:
    """Commit two generations by one engine, which remembers the first."""
    engine = make_engine(folder)
    for generation in (4, 5):
        commit(engine, generation)
        recorder.log.append(("ack", generation))


def ten_commits(folder: Path, recorder: Recorder) -> None:
    """Commit from the first generation on; with a journal two are folds."""
    engine = make_engine(folder)
    for generation in range(1, 11):
        commit(engine, generation)
        recorder.log.append(("ack", generation))


def commit_and_close(folder: Path, recorder: Recorder) -> None:
    """Commit a generation, close, go on and fold."""
    engine = make_engine(folder)
    commit(engine, 4)
    recorder.log.append(("ack", 4))
    engine.close()
    commit(engine, 5)
    recorder.log.append(("ack", 5))
    commit(engine, 6, compact=True)
    recorder.log.append(("ack", 6))


def there_and_back(folder: Path, recorder: Recorder) -> None:
    """Come back to the content of the main file, with frames in between."""
    engine = make_engine(folder)
    for generation in (4, 5):
        commit(engine, generation)
        recorder.log.append(("ack", generation))
    commit(engine, 1, compact=True)
    recorder.log.append(("ack", 1))
    commit(engine, 6)
    recorder.log.append(("ack", 6))


def one_destroy(folder: Path, recorder: Recorder) -> None:
    """Destroy the database."""
    make_engine(folder).destroy()
    recorder.log.append(("ack", None))


def destroy_and_anew(folder: Path, recorder: Recorder) -> None:
    """Destroy the database and make one that begins like it."""
    one_destroy(folder, recorder)
    commit(make_engine(folder), 1)
    recorder.log.append(("ack", 1))


def unsynced_commits(folder: Path, recorder: Recorder) -> None:
    """Commit without syncs, with one sync and a close among them."""
    engine = make_engine(folder, sync="interval")
    for generation in range(4, 12):
        commit(engine, generation)
        recorder.log.append(("ack", generation))
        if generation == 7:
            engine.sync()
            recorder.log.append(("sync", 7))
    engine.close()
    recorder.log.append(("sync", 11))


def synced_once(folder: Path, recorder: Recorder) -> None:
    """Commit without syncs by one engine, with a sync before the last one."""
    engine = make_engine(folder, sync="interval")
    commit(engine, 2)
    recorder.log.append(("ack", 2))
    for generation in range(3, 7):
        base = engine._known.version
        engine.commit(step(base, generation - 1, generation))
        recorder.log.append(("ack", generation))
        if generation == 5:
            engine.sync()
            recorder.log.append(("sync", generation))


@dataclass
class Promise:
    """Which generations may be found at a moment.

    Attributes:
        durable: The oldest of them.
        states: What was and will be committed, in order.
        interval: Whether an acknowledged commit may be lost before a sync.
    """

    durable: int | None
    states: list[int | None]
    interval: bool

    def __post_init__(self) -> None:
        self.newest = 0

    def hear(self, entry: tuple[object, ...]) -> None:
        """Go on past an entry of the log."""
        if entry[0] == "ack":
            self.newest += 1
            if not self.interval:
                self.durable = self.states[self.newest]
        elif entry[0] == "sync":
            self.durable = self.states[self.newest]

    def allowed(self) -> set[int | None]:
        """The generations."""
        oldest = max(
            at for at in range(self.newest + 1) if self.states[at] == self.durable
        )
        return set(self.states[oldest : self.newest + 2])


def recording(folder: Path, work: Work, *, lies: bool = False) -> tuple[Model, list]:
    """Do *work* on a disk that remembers."""
    model, recorder = Model(folder), Recorder(lies)
    with recorded(recorder):
        work(folder, recorder)
    return model, recorder.log


#: More changes than any work makes.
EVERY = 10_000


def violations(
    tmp_path: Path,
    work: Work,
    start: int | None = 3,
    *,
    lies: bool = False,
    interval: bool = False,
    deeper: int = 0,
    moments: int = 20,
) -> Iterator[str]:
    """Cut the power after each change of *work*; give every broken promise.

    Args:
        tmp_path: Where to work.
        work: What is cut off.
        start: The generation before.
        lies: Whether the disk syncs nothing.
        interval: Whether the engine syncs only when told.
        deeper: At how many moments a quick run cuts off the recovery as well.
        moments: After how many changes a quick run cuts the power.
    """
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    if start and not main(folder).exists():
        grow(folder, start, sync="interval" if interval else "commit")
    model, log = recording(folder, work, lies=lies)
    acks = [entry[1] for entry in log if entry[0] == "ack"]
    # Before `work` all was there: what was unsynced then is taken as synced.
    promise = Promise(start, [start, *acks], interval)
    tried = sample(range(len(log)), moments, work.__name__, start)
    deep = sample(tried, deeper) if deeper else []
    for number, entry in enumerate(log):
        model.play(entry)
        promise.hear(entry)
        if number not in tried:
            continue
        for which, outcome in enumerate(model.outcomes(number, runs(1, 12))):
            place = tmp_path / f"{number}-{which}"
            where = f"after {number} {entry[0]}, case {which}"
            allowed = promise.allowed()
            if number in deep and which % 4 == 1:
                write_folder(outcome, place)
                yield from cut_again(place, allowed, where)
                shutil.rmtree(place)
            write_folder(outcome, place)
            if wrong := check(place, allowed, where, interval=interval):
                yield wrong
            shutil.rmtree(place)


def cut_again(place: Path, allowed: set[int | None], where: str) -> Iterator[str]:
    """Cut the power again, while a load repairs what the first cut has left."""
    seen: list[int | None] = []

    def load(folder: Path, _: Recorder) -> None:
        seen.append(found(make_engine(folder)))

    copy = place.with_name(place.name + "-once")
    shutil.copytree(place, copy)
    model, log = recording(copy, load)
    shutil.rmtree(copy)
    for number, entry in enumerate(log):
        model.play(entry)
        for which, outcome in enumerate(model.outcomes(number, runs(1, 6))):
            write_folder(outcome, copy)
            # What a load has shown is not taken back.
            again = f"{where}, again after {number} {entry[0]}, case {which}"
            if wrong := check(copy, allowed, again):
                yield wrong
            shutil.rmtree(copy)


def check(
    place: Path, allowed: set[int | None], where: str, *, interval: bool = False
) -> str | None:
    """What is wrong with a state after a power cut."""
    log = Log()
    try:
        generation = found(make_engine(place, log=log))
    except (OSError, StorifyError, ValueError) as err:
        return f"{where}: {err}"
    if generation not in allowed:
        return f"{where}: found {generation}, not one of {allowed}"
    # A mirror may have more than a journal of which neither was synced.
    harmless = (*HARMLESS, "none is lost") if interval else HARMLESS
    needless = [
        line for line in log.warnings if not any(part in line for part in harmless)
    ]
    if needless:
        return f"{where}: needless warning {needless}"
    try:
        commit(make_engine(place), 99)
        if found(make_engine(place)) != 99:
            return f"{where}: the next commit is not there"
    except (OSError, StorifyError, ValueError) as err:
        return f"{where}: the next commit: {err}"
    return None


@pytest.mark.parametrize("journaled", [False, True], ids=["small", "journal"])
@pytest.mark.parametrize("start", [0, 3])
def test_a_power_cut_keeps_what_was_acknowledged(tmp_path, start, journaled):
    """At each moment of two commits the disk holds the last state or the next."""
    with journaling(journaled):
        bad = violations(
            tmp_path,
            lambda *to: two_commits(*to, first=start + 1),
            start or None,
        )

        assert list(bad) == []


@pytest.mark.parametrize("work", [ten_commits, there_and_back, commit_and_close])
def test_a_power_cut_keeps_the_small_commits_of_one_engine(tmp_path, work):
    """Whatever it leaves of the record, which no commit but the first has synced."""
    start = None if work is ten_commits else 3

    bad = violations(tmp_path, work, start, deeper=1, moments=fewer(30, 60))

    assert list(bad) == []


@pytest.mark.parametrize("paged", [False, True], ids=["whole", "by block"])
@pytest.mark.parametrize("work", [ten_commits, there_and_back, commit_and_close])
def test_a_power_cut_keeps_a_journal_through_its_folds(tmp_path, work, paged):
    """First and later frames, folds by size and when told, in memory and by block."""
    with journaling(), paging(paged):
        start = None if work is ten_commits else 3
        bad = violations(tmp_path, work, start)

        assert list(bad) == []


def reopened_by_index(tmp_path, monkeypatch, work, *, interval=False) -> list[str]:
    """Every broken promise; what the disk holds is asked for single keys, by the indexes."""
    opened: list[str] = []
    real = log_index.open_log

    def counting(*arguments):
        log = real(*arguments)
        if log is not None and any(each.file for each in log._stretches):
            opened.append("by the index of a log")
        return log

    monkeypatch.setattr(snapshot, "open_log", counting)
    # What was patched is as it was before the sizes of other tests return.
    with journaling(), paging(), alike(), monkeypatch.context() as patch:
        if interval:
            # Of more than one commit, so that there may be a hole before the last one;
            # and without differences, which an opening would read.
            patch.setattr(database, "BULK", 4000)
            patch.setattr(engine, "JOURNALED_FROM_BYTES", 4000)
            patch.setattr(append, "DELTA_FROM_BYTES", 1 << 20)
            patch.setattr(log_index, "STRETCH_BYTES", 800)
            patch.setitem(globals(), "runs", lambda *_: 40)
        start = 1 if interval else 3
        found = violations(tmp_path, work, start, interval=interval, moments=EVERY)
        bad = list(found)
    assert len(opened) > 100
    return bad


@pytest.mark.parametrize("work", [two_commits, there_and_back, commit_and_close])
def test_a_power_cut_keeps_what_the_index_of_a_log_gives(tmp_path, monkeypatch, work):
    """It is never synced: each outcome has some of it, or none."""
    assert reopened_by_index(tmp_path, monkeypatch, work) == []


def test_a_power_cut_keeps_what_the_index_gives_of_synced_commits(
    tmp_path, monkeypatch
):
    """It names none that may have a hole."""
    bad = reopened_by_index(tmp_path, monkeypatch, synced_once, interval=True)

    assert bad == []


@pytest.mark.parametrize("journaled", [False, True], ids=["small", "journal"])
def test_a_power_cut_in_a_recovery_keeps_what_was_acknowledged(tmp_path, journaled):
    """The recovery from a power cut is cut off, at each of its changes."""
    with journaling(journaled):
        bad = violations(tmp_path, two_commits, deeper=2)

        assert list(bad) == []


@pytest.mark.parametrize("journaled", [False, True], ids=["small", "journal"])
def test_a_power_cut_in_the_repair_of_a_damaged_file_loses_nothing(tmp_path, journaled):
    """The file is rebuilt exactly, then or at the next load."""
    with journaling(journaled):
        folder = tmp_path / "data"
        grow(folder, 9)
        flip(main(folder))

        assert list(cut_again(folder, {9}, "rot")) != []  # it warns of the damage
        bad = [
            wrong
            for wrong in cut_again(folder, {9}, "rot")
            if "needless warning" not in wrong
        ]

        assert bad == []


def test_a_power_cut_while_an_edit_is_brought_in_loses_neither(tmp_path):
    """What another program wrote is there, and what it took the place of a backup."""
    with journaling():
        folder, place = tmp_path / "data", tmp_path / "cut"
        grow(folder, 3)
        main(folder).write_bytes(state(12))
        model, log = recording(folder, lambda *_: make_engine(folder).load())
        for number, entry in enumerate(log):
            model.play(entry)
            for which, outcome in enumerate(model.outcomes(number, runs(1, 12))):
                write_folder(outcome, place)
                engine = make_engine(place)

                assert found(engine) == 12, (number, entry, which)
                assert generations(engine) == [3, 2, 1], (number, entry, which)
                assert engine.verify() == [], (number, entry, which)
                shutil.rmtree(place)
        assert len(log) > 10


@pytest.mark.parametrize("journaled", [False, True], ids=["small", "journal"])
@pytest.mark.parametrize("work", [one_destroy, destroy_and_anew])
def test_a_power_cut_in_destroy_keeps_all_or_nothing(tmp_path, work, journaled):
    """The database is there, or gone; never lost and never back after it is gone."""
    with journaling(journaled):
        bad = violations(tmp_path, work)

        assert list(bad) == []


@pytest.mark.parametrize("journaled", [False, True], ids=["small", "journal"])
def test_without_a_sync_a_power_cut_keeps_a_prefix_of_the_commits(tmp_path, journaled):
    """With ``sync="interval"``: never a mix, and all up to the last `sync`."""
    with journaling(journaled):
        bad = violations(tmp_path, unsynced_commits, interval=True)

        assert list(bad) == []


@pytest.mark.parametrize("journaled", [False, True], ids=["small", "journal"])
def test_a_power_cut_in_rename_keeps_the_database_under_one_name(tmp_path, journaled):
    """The data are found under exactly one of the names, with their backups."""
    with journaling(journaled):
        folder = tmp_path / "data"
        grow(folder, 3)
        model, log = recording(
            folder, lambda *_: make_catalog(folder).rename("users", "people")
        )

        for number, entry in enumerate(log):
            model.play(entry)
            for which, outcome in enumerate(model.outcomes(number)):
                place = tmp_path / f"{number}-{which}"
                write_folder(outcome, place)
                catalog = make_catalog(place)
                (name,) = catalog.names()
                engine = catalog.engine(name)

                assert found(engine) == 3, (number, which, name)
                assert generations(engine) == [2, 1], (number, which, name)
                shutil.rmtree(place)


# Mutants: what the simulator must catch


def test_a_disk_without_fsync_is_caught(tmp_path):
    """The control: the simulator finds an engine whose syncs do nothing."""
    bad = violations(tmp_path, two_commits, lies=True, moments=EVERY)

    assert any(bad)


def skip_files(monkeypatch) -> None:
    """Bytes are renamed into place before they are on disk."""
    real = vfs._sync

    def skip(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            real(fd)

    monkeypatch.setattr(vfs, "_sync", skip)


def skip_folders(monkeypatch) -> None:
    """The rename is not made durable."""
    monkeypatch.setattr(vfs, "sync_directory", lambda _path: None)


def sync_too_late(monkeypatch) -> None:
    """Rename first, then sync the file."""
    real_sync, real_put = vfs._sync, vfs.put_in_place

    def put_then_sync(temporary, path):
        real_put(temporary, path)
        fd = vfs.os.open(path, os.O_RDONLY)
        real_sync(fd)
        vfs.os.close(fd)

    skip_files(monkeypatch)
    monkeypatch.setattr(vfs, "put_in_place", put_then_sync)


def skip_frames(monkeypatch) -> None:
    """A frame is not synced."""
    monkeypatch.setattr(vfs, "_sync_data", lambda _fd: None)


def skip_bases(monkeypatch) -> None:
    """A journal counts for whatever main file there is."""
    real = replay.scan

    def scan(payload, base=None, *, after=0):
        seen = (
            real(payload, None, after=after)
            if not after
            else real(payload, base, after=after)
        )
        if seen.head is not None and base is not None and not after:
            return seen._replace(head=seen.head._replace(base=base))
        return seen

    monkeypatch.setattr(replay, "scan", scan)


def note_ahead(monkeypatch) -> None:
    """A record names a file that is not there yet, and no other; it is synced."""
    real = vfs.put_in_place

    def put(temporary, path):
        if path.endswith(".mpack"):
            record = Path(path).parent / ".backups/users/.sum"
            current = read_manifest(str(record))
            payload, found = vfs.read_bytes(temporary)
            digest = sha256(payload).hexdigest()
            after = current.current._replace(
                size=found.size, mtime_ns=found.mtime_ns, sha256=digest
            )
            write_manifest(str(record), current._replace(current=after), ".storify-x")
        real(temporary, path)

    monkeypatch.setattr(vfs, "put_in_place", put)


def leave_the_time(monkeypatch) -> None:
    """A file is not sealed, and its record is not synced all the same."""
    monkeypatch.setattr(vfs, "_set_time", lambda _fd, _time: None)
    monkeypatch.setattr(checkpoint, "_tells_by_itself", lambda _now, _new: True)


def seal_too_late(monkeypatch) -> None:
    """The time is set when the bytes are synced, and is not."""
    real = vfs._set_time
    late: list[object] = []

    def later(fd, time_ns):
        late.append(time_ns)

    def put(temporary, path):
        if late:
            fd = vfs.os.open(temporary, os.O_WRONLY)
            real(fd, late.pop())
            vfs.os.close(fd)
        vfs.os.replace(temporary, path)

    monkeypatch.setattr(vfs, "_set_time", later)
    monkeypatch.setattr(vfs, "put_in_place", put)
    monkeypatch.setattr(checkpoint, "_tells_by_itself", lambda _now, _new: True)


def overwrite(monkeypatch) -> None:
    """Write into the main file instead of a new one."""

    def put(temporary, path):
        payload = Path(temporary).read_bytes()
        fd = vfs.os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        vfs.os.write(fd, payload)
        vfs.os.fsync(fd)
        vfs.os.close(fd)
        vfs.os.unlink(temporary)

    monkeypatch.setattr(vfs, "put_in_place", put)


def forget_durably(monkeypatch) -> None:
    """A journal whose base is there again is removed without a sync."""
    monkeypatch.setattr(checkpoint.Held, "forget_journal", checkpoint.Held.drop_journal)


@pytest.mark.parametrize(
    ("mutant", "work", "journaled"),
    [
        (skip_files, two_commits, False),
        (skip_folders, two_commits, False),
        (sync_too_late, two_commits, False),
        (skip_files, two_by_one, False),
        (skip_folders, two_by_one, False),
        (sync_too_late, two_by_one, False),
        (note_ahead, two_by_one, False),
        (leave_the_time, two_by_one, False),
        (seal_too_late, two_by_one, False),
        (skip_frames, two_commits, True),
        (skip_folders, ten_commits, True),
        (skip_files, ten_commits, True),
        (skip_bases, ten_commits, True),
        (forget_durably, there_and_back, True),
    ],
)
def test_a_mutant_is_caught(tmp_path, monkeypatch, mutant, work, journaled):
    """An engine without one of its steps breaks the promise, and it is seen."""
    with journaling(journaled):
        start = None if work is ten_commits else 3
        if start:
            (tmp_path / "data").mkdir()
            grow(tmp_path / "data", start)
        mutant(monkeypatch)

        assert any(violations(tmp_path, work, start, moments=EVERY))
