"""Settings and fixtures shared by all tests."""

import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from storify import Storify

# The machines are shared and noisy: a slow example is no failure.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "soak",
    max_examples=5_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder for databases that does not exist yet."""
    yield tmp_path / "data"
    gc.collect()  # databases of this test are flushed before the next one starts


@pytest.fixture
def sf(root: Path) -> Iterator[Storify]:
    """A Storify in an empty folder, without autosave."""
    with Storify(root, save_interval=None) as storify:
        yield storify


@pytest.fixture(autouse=True)
def _fresh_logger() -> Iterator[None]:
    """The default logger is as in a new process."""
    logger = logging.getLogger("storify")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    yield
    logger.handlers.clear()
