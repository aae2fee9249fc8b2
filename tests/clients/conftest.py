"""Fixtures of the client programs: a folder that release 0.0.11 wrote."""

import shutil
from pathlib import Path

import pytest

#: What release 0.0.11 left of programs of these kinds, backups included.
FILES = Path(__file__).parent / "files"
LEGACY = Path(__file__).parent.parent / "legacy" / "files"


@pytest.fixture
def folder(tmp_path):
    """A copy of what release 0.0.11 wrote."""
    folder = tmp_path / "data"
    shutil.copytree(LEGACY, folder)
    shutil.copytree(FILES, folder, dirs_exist_ok=True)
    return folder
