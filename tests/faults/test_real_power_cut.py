"""Real file systems lose their power at random moments, under a running writer.

The shutdown call of ext4 and xfs is what a power cut is: from then on nothing
reaches the disk. Each round starts a new process on what the last cut left.
"""

import itertools
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import requires
from faults.mounts import LoopDisk, loop_disk
from faults.programs import Program
from faults.sampling import runs, seeded
from faults.writer import INTERVAL_S
from storify import Storify

pytestmark = pytest.mark.crash

FILE_SYSTEMS = [
    pytest.param("ext4", marks=requires.power_cut("ext4")),
    pytest.param("xfs", marks=requires.power_cut("xfs")),
]

#: What may be lost of commits that are synced at intervals: a slow machine may
#: be late by this much.
BOUND_S = INTERVAL_S + 2.0

#: So many lines are no longer those that a writer had said before the cut.
LATE = 1_000

#: Each so many rounds the database is made anew.
LIFE = 5


class History:
    """What a writer acknowledged, and when.

    Args:
        found: What was there when it started.
    """

    def __init__(self, found: int) -> None:
        self.acks = [(found, 0.0)]

    def add(self, line: str) -> None:
        """Note what it said."""
        word, generation, at_s = line.split()
        assert word == "kept"
        self.acks.append((int(generation), float(at_s)))

    def allowed(self, until_s: float) -> range:
        """What may be found: what was kept until then, or any later one.

        A program runs on after the cut, as it would not in reality. What it says
        then counts for nothing: a sync of xfs may succeed for lack of anything
        that could be written still. But each may be there, as the one in flight.
        """
        safe = [generation for generation, at_s in self.acks if at_s <= until_s]
        return range(safe[-1], self.acks[-1][0] + 2)


def violations(
    tmp_path: Path, kind: str, store: str, shape: str, rounds: int
) -> Iterator[str]:
    """Cut the power so often; give every broken promise."""
    chance = seeded(kind, store, shape)
    bound_s = BOUND_S if store in {"interval", "late"} else 0
    with loop_disk(tmp_path, kind) as disk:
        allowed = range(1)
        for number in itertools.count():
            data = disk.root / f"data{number // LIFE}"
            if number % LIFE == 0:
                shutil.rmtree(disk.root / f"data{number // LIFE - 1}", True)
                allowed = range(1)
            where = f"round {number} of {store} {shape} on {kind}"
            reopen = chance.choice([0, 2, 7])
            with Program("writer", store, shape, data, reopen) as program:
                program.line()
                found = program.line().removeprefix("found ")
                if not found:
                    yield f"{where}: cannot be opened: {program.end()[2]}"
                    return
                if int(found) not in allowed:
                    yield f"{where}: found {found}, not in {allowed}"
                if number == rounds:
                    return
                history = History(int(found))
                if bound_s:
                    listen_on(program, history, bound_s * (0.5 + chance.random()))
                else:
                    listen(program, history, chance.randrange(12), chance.random())
                allowed, broken = cut(disk, program, history, bound_s)
            if broken:
                yield f"{where}: {broken}"


def listen(program: Program, history: History, count: int, part: float) -> None:
    """Hear so many acknowledgements, and wait for a part of the next commit."""
    started_s = time.monotonic()
    for line in itertools.islice(program.lines(), count):
        history.add(line)
    time.sleep(part * (time.monotonic() - started_s) / max(count, 1))


def listen_on(program: Program, history: History, for_s: float) -> None:
    """Hear acknowledgements for a time."""
    end_s = time.monotonic() + for_s
    for line in program.lines():
        history.add(line)
        if time.monotonic() >= end_s:
            return


def cut(
    disk: LoopDisk, program: Program, history: History, bound_s: float
) -> tuple[range, str]:
    """Cut the power under the writer; give what may be found now, and its errors."""
    cut_at_s = time.monotonic()
    disk.cut()
    late = list(itertools.islice(program.lines(), LATE))
    if len(late) == LATE:
        program.kill()
    _, _, errors = program.end()
    for line in late:
        if not line.startswith("refused"):
            history.add(line)
    disk.unmount()
    disk.mount()
    broken = "it goes on without a disk" if len(late) == LATE else errors
    return history.allowed(cut_at_s - bound_s), broken


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
@pytest.mark.parametrize("shape", ["small", "large"])
def test_a_power_cut_loses_nothing_acknowledged(tmp_path, kind, shape):
    """The last acknowledged generation is there, or the one in flight, whole."""
    bad = violations(tmp_path, kind, "flush", shape, runs(2, 100))

    assert list(bad) == []


@requires.parameter(Storify, "sync_interval")
@pytest.mark.parametrize("kind", FILE_SYSTEMS)
@pytest.mark.parametrize("shape", ["small", "large"])
def test_a_power_cut_between_syncs_loses_only_the_last_moments(tmp_path, kind, shape):
    """With ``sync="interval"`` whole generations go, the latest, of an interval."""
    bad = violations(tmp_path, kind, "interval", shape, runs(1, 8))

    assert list(bad) == []


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
@pytest.mark.parametrize("store", ["atomic", "late"])
def test_the_reference_survives(tmp_path, kind, store):
    """The control: a writer that is known to be right passes."""
    rounds = runs(1, 20) if store == "atomic" else runs(1, 5)

    assert list(violations(tmp_path, kind, store, "small", rounds)) == []


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_a_writer_without_sync_is_caught(tmp_path, kind):
    """The control: what is not synced is lost, and the test sees it."""
    assert any(violations(tmp_path, kind, "nofsync", "small", 20))
