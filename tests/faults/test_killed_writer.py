"""A writer is killed with SIGKILL at random moments, also while it opens."""

import itertools
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.programs import Program
from faults.sampling import runs, seeded

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL"),
]

#: Of the rounds, so many end while the database is being opened.
EARLY = 0.2


def violations(folder: Path, store: str, shape: str, rounds: int) -> Iterator[str]:
    """Kill a writer so often; give every broken promise."""
    chance = seeded(store, shape)
    allowed, opening_s = range(1), 0.0
    for number in range(rounds + 1):
        where = f"round {number} of {store} {shape}"
        reopen = chance.choice([0, 2, 7])
        with Program("writer", store, shape, folder, reopen) as program:
            program.line()
            early = 0 < number < rounds and chance.random() < EARLY
            if early:
                heard = []
                time.sleep(chance.random() * opening_s)
            else:
                heard, opening_s = opened(program)
                heard += listened(program, chance.randrange(12), chance.random())
            program.kill()
            _, rest, errors = program.end()
        if errors:
            yield f"{where}: {errors}"
            return
        generations = [int(line.split()[1]) for line in heard + rest]
        if not generations:
            continue
        if generations[0] not in allowed:
            yield f"{where}: found {generations[0]}, not in {allowed}"
        allowed = range(generations[-1], generations[-1] + 2)


def opened(program: Program) -> tuple[list[str], float]:
    """Hear what a writer found, and how long it took to open."""
    started_s = time.monotonic()
    found = program.line()
    return [found] if found else [], time.monotonic() - started_s


def listened(program: Program, count: int, part: float) -> list[str]:
    """Hear so many acknowledgements, and wait for a part of the next commit."""
    started_s = time.monotonic()
    heard = list(itertools.islice(program.lines(), count))
    time.sleep(part * (time.monotonic() - started_s) / max(count, 1))
    return heard


@pytest.mark.parametrize(
    ("store", "shape"),
    [("flush", "small"), ("autosave", "small"), ("flush", "large")],
)
def test_a_killed_writer_loses_nothing_acknowledged(tmp_path, store, shape):
    """The last acknowledged generation is there, or the one in flight, whole."""
    bad = violations(tmp_path / "data", store, shape, runs(3, 200))

    assert list(bad) == []


def test_a_writer_that_overwrites_is_caught(tmp_path):
    """The control: who writes over the only copy leaves it torn."""
    assert any(violations(tmp_path / "data", "inplace", "large", 60))
