"""One damaged file of a database, whichever it is: nothing is lost, nothing silent.

Rot keeps size and time of a file; a copy or another program does not.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from faults import database
from faults.database import (
    backups,
    commit,
    entries_of,
    found,
    generation_of,
    grow,
    journal,
    keep_times,
    main,
    make_engine,
    parse,
    whole_of,
)
from faults.sampling import sample
from stand_ins import Log
from storify.engine.file import log, replay, state
from storify.engine.file.backups import BackupFolder
from storify.engine.file.state import Verdict
from storify.exceptions import CorruptionError, DatabaseLoadError

#: With a journal: two folds, and two frames after them.
LAST = 9

Damage = tuple[str, bytes]


def flipped(payload: bytes) -> Iterator[Damage]:
    """Each bit in turn."""
    for bit in range(8 * len(payload)):
        at, mask = bit // 8, 1 << bit % 8
        changed = bytes([payload[at] ^ mask])
        yield f"bit {bit}", payload[:at] + changed + payload[at + 1 :]


def zeroed(payload: bytes) -> Iterator[Damage]:
    """Each byte in turn."""
    for at in range(len(payload)):
        yield f"zero {at}", payload[:at] + b"\0" + payload[at + 1 :]


def cut(payload: bytes) -> Iterator[Damage]:
    """Each length."""
    for size in range(len(payload)):
        yield f"cut {size}", payload[:size]


def with_a_zeroed_tail(payload: bytes) -> Iterator[Damage]:
    """As a crash of another system leaves it; each length."""
    for at in range(len(payload)):
        yield f"tail {at}", payload[:at] + bytes(len(payload) - at)


def with_swapped_pages(payload: bytes, size: int = 64) -> Iterator[Damage]:
    """Two neighbours, and first and last."""
    pages = [payload[at : at + size] for at in range(0, len(payload), size)]
    for at in range(1, len(pages) - 1):
        swapped = [*pages[: at - 1], pages[at], pages[at - 1], *pages[at + 1 :]]
        yield f"page {at}", b"".join(swapped)


def lengthened(payload: bytes) -> Iterator[Damage]:
    """More at the end than was written."""
    yield "zeros", payload + bytes(100)
    yield "twice", payload + payload
    yield "garbage", payload + b"\x93\xce\x00" * 20


WAYS = [flipped, zeroed, cut, with_a_zeroed_tail, with_swapped_pages, lengthened]


def damages(path: Path, quick: int) -> list[Damage]:
    """Ways to damage a file, each other than what is there."""
    payload = path.read_bytes()
    some: list[Damage] = []
    for way in WAYS:
        every = [each for each in way(payload) if each[1] != payload]
        some += sample(every, quick, path.name[-20:], way.__name__)
    return some


def kind_of(path: Path) -> str:
    """Which file of a database it is."""
    if path.name.startswith("."):
        return path.name
    kind = "journal" if path.suffix == ".journal" else "main"
    return f"backup {kind}" if path.parent.name == "users" else kind


def files(folder: Path) -> dict[str, list[Path]]:
    """The files of a database by their kind."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock":
            kinds.setdefault(kind_of(path), []).append(path)
    return kinds


KINDS = ["main", "journal", ".mirror", ".sum", ".index", "backup main"]
KINDS += ["backup journal"]


@pytest.fixture
def grown(tmp_path: Path, journaled: bool) -> Path:
    """A folder with a database at generation 9, with all that belongs to it."""
    grow(tmp_path, LAST)
    return tmp_path


def rotten(folder: Path, kind: str, quick: int) -> Iterator[tuple[Path, str]]:
    """Damage one file of a kind in one way after the other, times kept."""
    for path in files(folder).get(kind, []):
        good = path.read_bytes()
        for name, bad in damages(path, quick):
            keep_times(path, bad)
            yield path, f"{kind} {name}"
            keep_times(path, good)


@pytest.mark.parametrize("kind", KINDS)
def test_one_rotten_file_costs_nothing(grown, kind):
    """The newest state is found exactly, and damage that mattered is told of."""
    several = len(files(grown).get(kind, [])) > 1
    for _, where in rotten(grown, kind, 2 if several else 12):
        log = Log()

        generation = found(make_engine(grown, log=log, readonly=True))

        assert generation == LAST, where
        if kind in {"main", "journal"}:
            assert log.warnings, where


@pytest.mark.parametrize("kind", KINDS)
def test_one_rotten_file_is_repaired(grown, kind, tmp_path_factory):
    """After the first load all is whole again, and commits go on."""
    several = len(files(grown).get(kind, [])) > 1
    for number, (_, where) in enumerate(rotten(grown, kind, 1 if several else 3)):
        folder = tmp_path_factory.mktemp("copy") / str(number)
        shutil.copytree(grown, folder)
        log, later = Log(), Log()

        assert found(make_engine(folder, log=log)) == LAST, where
        assert found(make_engine(folder, log=later)) == LAST, where
        assert later.warnings == [], where
        commit(make_engine(folder), 20)
        assert found(make_engine(folder)) == 20, where
        own = {"main", "journal", ".mirror", ".sum"}
        if kind in own:
            assert make_engine(folder).verify() == [], where
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["main", "journal", "backup main", "backup journal"])
def test_verify_finds_rot(grown, kind):
    """It names the file, and changes nothing."""
    newest = files(grown).get("backup journal", [])[-1:]
    for path, where in rotten(grown, kind, 2):
        problems = make_engine(grown).verify()

        # Which commits an older backup had is not known from elsewhere.
        short = kind == "backup journal" and log.scan(path.read_bytes()).whole
        if not short or [path] == newest:
            assert str(path) in {problem.place for problem in problems}, where


def test_verify_finds_lost_commits(grown):
    """Those between the last backup and the main file, without which it is alone."""
    (*_, newest) = files(grown)["backup journal"]
    newest.unlink()

    (problem,) = make_engine(grown).verify()

    assert problem.place == str(newest)
    assert "gone" in problem.what


def test_a_rotten_backup_is_refused(grown):
    """By its id, and by a time at which it would be the state."""
    engine = make_engine(grown)
    infos = engine.backups()
    states = {info.id: whole_of(engine.state(info.id)) for info in infos}
    for kind in ("backup main", "backup journal"):
        for _, where in rotten(grown, kind, 1):
            for info in infos:
                with suppress(CorruptionError, FileNotFoundError):
                    assert whole_of(engine.state(info.id)) == states[info.id], where
                with suppress(CorruptionError, FileNotFoundError):
                    assert whole_of(engine.state(info.time)) == states[info.id], where


def test_a_gap_in_the_past_is_no_older_state(grown, journaled):
    """Where the commits after a backup are lost, no other state is given."""
    engine = make_engine(grown)
    infos = {parse(whole_of(engine.state(info.id))): info for info in engine.backups()}
    (first, *_) = files(grown)["backup journal"]
    after = first.name.removesuffix(".journal")
    first.unlink()

    lost = 0
    for generation, info in infos.items():
        try:
            assert parse(whole_of(engine.state(info.time))) == generation
        except FileNotFoundError:
            lost += 1
            assert info.id > after
    assert lost == (5 if journaled else 0)


# With another time


def test_a_main_file_that_was_written_is_adopted_or_rebuilt(grown):
    """If it is whole it counts, with a warning; else the newest state does."""
    path, good = main(grown), main(grown).read_bytes()
    for name, bad in damages(path, 8):
        path.write_bytes(bad)
        os.utime(path, ns=(1, 1))
        log = Log()

        loaded = make_engine(grown, log=log, readonly=True).load()

        if loaded.recovered_from is None:
            assert any("another program" in line for line in log.warnings), name
            assert entries_of(loaded) == database.FORMAT.split(bad), name
            database.FORMAT.check(whole_of(loaded))
        else:
            assert generation_of(loaded) == LAST, name
            assert log.warnings, name
        path.write_bytes(good)


@pytest.mark.parametrize("kind", ["journal", ".mirror", ".sum", ".index"])
def test_any_other_file_that_was_written_costs_nothing(grown, kind):
    """Its own checksums count, not its time."""
    for path in files(grown).get(kind, []):
        good = path.read_bytes()
        for name, bad in damages(path, 4):
            path.write_bytes(bad)

            assert found(make_engine(grown, readonly=True)) == LAST, name
            path.write_bytes(good)


@pytest.mark.parametrize("kept", [True, False], ids=["times kept", "as it was"])
def test_an_older_file_that_was_put_back_is_noticed(tmp_path, journaled, kept):
    """Be it one file or another, of each generation before."""
    past: dict[int, dict[Path, tuple[bytes, int]]] = {}
    engine = make_engine(tmp_path)
    for generation in range(1, LAST + 1):
        commit(engine, generation)
        past[generation] = {
            path: (path.read_bytes(), path.stat().st_mtime_ns)
            for paths in files(tmp_path).values()
            for path in paths
        }
    present = past[LAST]
    for generation in range(1, LAST):
        for path, (old, mtime_ns) in past[generation].items():
            if path not in present or old == present[path][0]:
                continue
            where = f"{path.name} of {generation}"
            if kept:
                keep_times(path, old)
            else:
                path.write_bytes(old)
                os.utime(path, ns=(mtime_ns, mtime_ns))
            log = Log()

            loaded = make_engine(tmp_path, log=log, readonly=True).load()

            adopted = any("another program" in line for line in log.warnings)
            assert adopted or generation_of(loaded) == LAST, where
            if path == main(tmp_path):
                assert log.warnings, where
            path.write_bytes(present[path][0])
            os.utime(path, ns=(present[path][1], present[path][1]))


@pytest.mark.parametrize("name", ["main", "journal"])
def test_swapped_pages_of_a_disk_are_noticed(tmp_path, monkeypatch, journaled, name):
    """Pages of 4 KiB, in a file of several."""
    monkeypatch.setattr(database, "BULK", 20_000)
    monkeypatch.setattr(database, "JOURNALED_FROM", 15_000)
    with database.journaling(journaled):
        grow(tmp_path, 3)
        path = main(tmp_path) if name == "main" else journal(tmp_path)
        if not path.exists():
            pytest.skip("a small file has no journal")
        good = path.read_bytes()
        for where, bad in with_swapped_pages(good, 4096):
            keep_times(path, bad)
            log = Log()

            assert found(make_engine(tmp_path, log=log, readonly=True)) == 3, where
            assert log.warnings, where
            keep_times(path, good)


# Lost files


@pytest.mark.parametrize("kind", KINDS)
def test_one_lost_file_costs_nothing(grown, kind):
    """Whichever it is, the newest state is there."""
    for path in files(grown).get(kind, []):
        good, before = path.read_bytes(), path.stat()
        path.unlink()

        assert found(make_engine(grown, readonly=True)) == LAST, path
        path.write_bytes(good)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_journal_that_is_lost_twice_is_seen_by_nobody(tmp_path):
    """The limit of the promise: journal and mirror gone leave the older state."""
    with database.journaling():
        grow(tmp_path, 3)
        journal(tmp_path).unlink()
        (backups(tmp_path) / ".mirror").unlink()

        assert found(make_engine(tmp_path)) == 1


# Mutants: what these tests must catch


def silent(tmp_path: Path, kind: str) -> list[str]:
    """Damage one file of a kind; give what was neither healed nor told of."""
    missed = []
    for _, where in rotten(tmp_path, kind, 10):
        log = Log()
        try:
            generation = found(make_engine(tmp_path, log=log, readonly=True))
        except (DatabaseLoadError, ValueError):
            generation = None
        if generation != LAST or (kind in {"main", "journal"} and not log.warnings):
            missed.append(where)
    return missed


def without_checksums(monkeypatch) -> None:
    """A rotten main file passes."""
    real = state.judge

    def blind(seen, record):
        verdict, known, wrong = real(seen, record)
        seen_first = verdict is Verdict.CORRUPT
        return (Verdict.FIRST_SEEN if seen_first else verdict), known, wrong

    monkeypatch.setattr(state, "judge", blind)


def without_crcs(monkeypatch) -> None:
    """A rotten frame passes."""

    class Blind:
        @staticmethod
        def crc32(_data, _value=0):
            return 0

    monkeypatch.setattr(log, "zlib", Blind)


def without_a_mirror(monkeypatch) -> None:
    """A rotten frame is gone."""
    real = replay._read

    def read(path):
        return (b"", None) if path.endswith(".mirror") else real(path)

    monkeypatch.setattr(replay, "_read", read)


def without_commits_beside_backups(monkeypatch) -> None:
    """A rotten main file is an older one."""
    monkeypatch.setattr(BackupFolder, "frames", lambda _folder, _entry: ())


@pytest.mark.parametrize(
    ("mutant", "kind"),
    [
        (without_checksums, "main"),
        (without_crcs, "journal"),
        (without_a_mirror, "journal"),
        (without_commits_beside_backups, "main"),
    ],
)
def test_a_mutant_is_caught(tmp_path, monkeypatch, mutant, kind):
    """Without one of its checks the engine misses damage, and it is seen."""
    with database.journaling():
        if mutant is without_crcs:  # it writes none, either
            mutant(monkeypatch)
        grow(tmp_path, LAST)
        mutant(monkeypatch)

        assert silent(tmp_path, kind)
