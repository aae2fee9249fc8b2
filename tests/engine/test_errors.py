"""What the system refuses is told with what to do about it."""

import errno
import os
from pathlib import Path
from typing import NamedTuple

import pytest

from storify.engine.file import vfs
from storify.engine.file.errors import explain
from storify.engine.file.paths import paths_of


class Owner(NamedTuple):
    """Who has a file, and who may write it."""

    uid: int
    gid: int
    mode: int


def refused(place, path, owners, monkeypatch):
    """What is said of a file that user 1000 may not write."""
    monkeypatch.setattr(vfs, "owner_of", owners.get)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    explain(error, place)
    return str(error)


@pytest.mark.parametrize("mode", [0o755, 0o775])
@pytest.mark.parametrize("whose", ["file", "folder", "all folders"])
def test_what_is_in_the_way_and_another_users_is_given_back(
    tmp_path, monkeypatch, whose, mode
):
    """The command gives back the file, or all that lies beside it."""
    place = paths_of(str(tmp_path / "users.mpack"))
    path, above = place.lock, str(Path(place.backups).parent)
    theirs = {"file": path, "folder": place.backups, "all folders": above}[whose]
    owners = {str(tmp_path): Owner(1000, 50, mode), theirs: Owner(0, 0, 0o600)}

    said = refused(place, path, owners, monkeypatch)

    whole = above if whose == "all folders" else place.backups
    assert "belongs to user 0" in said
    assert f"sudo chown -R 1000:50 {whole}" in said
    assert (f"sudo chmod -R g+rwX {whole}" in said) == (mode == 0o775)
    assert "'users'" in said


def test_what_is_ones_own_needs_another_remedy(tmp_path, monkeypatch):
    """Nor is anything given back where nobody is known."""
    place = paths_of(str(tmp_path / "users.mpack"))
    mine = {str(tmp_path): Owner(1000, 50, 0o755), place.main: Owner(1000, 50, 0o400)}

    for owners in (mine, {}):
        said = refused(place, place.main, owners, monkeypatch)
        assert "chown" not in said
        assert "may write the folder" in said


def test_a_temporary_file_stands_for_the_database(tmp_path):
    """Its name would say nothing; one of no file is of the database."""
    place = paths_of(str(tmp_path / "users.mpack"))
    for path in (None, str(Path(place.directory, place.prefix + "abc.tmp"))):
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        explain(error, place)
        assert error.filename == place.main
        assert "database 'users'" in str(error)
