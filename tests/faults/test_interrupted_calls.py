"""A real signal inside of a call, at any moment: nothing is lost, nothing left behind."""

import signal

import pytest

from faults.interrupted import WAYS
from faults.programs import run
from faults.sampling import runs

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals"),
]

#: How often in a soak: flushes of a small and of a large database, and the others.
TIMES = {"flush": 5000, "flush large": 5000}


@pytest.mark.parametrize("how", WAYS)
def test_a_signal_inside_of_a_call_costs_nothing(tmp_path, how):
    """The lock is free, no descriptor is left, and the next flush saves all."""
    times = runs(40, TIMES.get(how, 1000))

    *problems, end = run("interrupted", how, times, 0, tmp_path / "data")

    assert problems == []
    assert end.startswith("struck")
    assert int(end.split()[1]) > times // 10
