"""Fixtures of the engine's tests."""

from pathlib import Path

import pytest

from faults.database import grow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a database at generation 3 and backups of 2 and 1."""
    grow(tmp_path, 3)
    return tmp_path
