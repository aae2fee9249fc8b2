"""Fixtures of the engine's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.database import grow, journaling, without_syncs


@pytest.fixture(autouse=True)
def _no_real_syncs() -> Iterator[None]:
    """The disk is not waited for: no test here cuts the power."""
    with without_syncs():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a database at generation 3 and backups of 2 and 1."""
    grow(tmp_path, 3)
    return tmp_path


@pytest.fixture(params=[False, True], ids=["small", "journal"])
def journaled(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Files are written whole, or those of these tests have a journal."""
    with journaling(request.param):
        yield request.param
