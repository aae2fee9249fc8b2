"""Settings and fixtures shared by all tests; ``sf`` is that of our own plugin."""

import gc
import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from faults.sampling import DEPTH

# A shell, or nohup, lets what runs in the background ignore these: tests strike with them.
for _name, _usual in [
    ("SIGINT", signal.default_int_handler),
    ("SIGHUP", signal.SIG_DFL),
]:
    _number = getattr(signal, _name, None)  # Windows has no SIGHUP
    if _number is not None and signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

# The machines are shared and noisy: a slow example is no failure.
noisy = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", noisy, max_examples=15)
# On a test server the same examples in each run: what fails there is of the change.
settings.register_profile("ci", noisy, derandomize=True, database=None, print_blob=True)
settings.register_profile("soak", noisy, max_examples=5_000)
settings.load_profile(DEPTH)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The folder for databases, that of ``sf``; it does not exist before."""
    yield tmp_path / "data"
    gc.collect()  # databases of this test are flushed before the next one starts


@pytest.fixture(autouse=True)
def _fresh_logger() -> Iterator[None]:
    """The default logger is as in a new process."""
    logger = logging.getLogger("storify")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    yield
    logger.handlers.clear()
