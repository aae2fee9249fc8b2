"""Network file systems are refused, unless the user insists; the mounts are faked."""

import os
from pathlib import Path

import pytest

from stand_ins import Log
from storify import Database, NetworkFilesystemError, Storify
from storify.database import _database
from storify.engine import catalogs
from storify.engine.file import paths
from storify.engine.file.paths import network_filesystem, require_local


def mounted(tmp_path: Path, *lines: tuple[object, str]) -> str:
    """A list of mounts: where, and of which kind."""
    path = tmp_path / "mountinfo"
    text = [
        f"{at} 1 0:{at} / {str(point).replace(' ', chr(92) + '040')} rw,relatime "
        f"shared:{at} - {kind} source rw\n"
        for at, (point, kind) in enumerate([("/", "ext4"), *lines], 1)
    ]
    path.write_text("".join(text))
    return str(path)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs"])
def test_a_network_file_system_is_known_by_its_kind(tmp_path, kind):
    """Also for a folder that is not there yet."""
    listed = mounted(tmp_path, (tmp_path / "net", kind))

    assert network_filesystem(str(tmp_path / "net"), listed) == kind
    assert network_filesystem(str(tmp_path / "net" / "a" / "b"), listed) == kind
    assert network_filesystem(str(tmp_path / "network"), listed) is None
    assert network_filesystem(str(tmp_path), listed) is None


@pytest.mark.parametrize(
    "kind", ["ext4", "9p", "overlay", "virtiofs", "tmpfs", "fuse.rclone", "fuse"]
)
def test_disks_of_one_machine_and_of_containers_are_used(tmp_path, kind):
    """The root of a container may be any of them."""
    listed = mounted(tmp_path, (tmp_path, kind), ("/elsewhere", "nfs"))

    assert network_filesystem(str(tmp_path / "data"), listed) is None


def test_the_innermost_mount_counts(tmp_path):
    """And the last one, of those at one place."""
    inner = tmp_path / "net" / "with space"
    listed = mounted(tmp_path, (tmp_path / "net", "nfs"), (inner, "ext4"))
    assert network_filesystem(str(inner / "data"), listed) is None
    assert network_filesystem(str(tmp_path / "net"), listed) == "nfs"

    listed = mounted(tmp_path, (inner, "ext4"), (inner, "cifs"))
    assert network_filesystem(str(inner / "data"), listed) == "cifs"


def test_a_link_is_followed(tmp_path):
    """It may lead from a local disk to another machine's."""
    (tmp_path / "net").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "net")
    listed = mounted(tmp_path, (tmp_path / "net", "nfs"))

    assert network_filesystem(str(tmp_path / "data" / "x"), listed) == "nfs"


def test_where_nothing_tells_nothing_is_refused(tmp_path):
    """Other systems have no such list, and a line may be cut."""
    listed = tmp_path / "cut"
    listed.write_text("1 2\n\n1 2 0:1 / /x - nfs y\n")

    require_local(str(tmp_path), str(tmp_path / "no"))
    require_local(str(tmp_path), str(listed))


def test_a_refused_folder_is_not_made(tmp_path, monkeypatch):
    """The error says what to do; who insists has it."""
    listed = mounted(tmp_path, (tmp_path / "net", "nfs4"))
    for module in (catalogs, _database):
        monkeypatch.setattr(
            module,
            "require_local",
            lambda directory: paths.require_local(directory, listed),
        )
    folder = tmp_path / "net" / "data"

    for refused in (
        lambda: Storify(folder, log=Log()),
        lambda: Database("users", root=folder, log=Log()),
        lambda: Database(path=folder / "users.mpack", log=Log()),
    ):
        with pytest.raises(
            NetworkFilesystemError, match=r"nfs4.*allow_network_filesystem"
        ):
            refused()
    assert not os.path.lexists(tmp_path / "net")

    with Storify(folder, log=Log(), allow_network_filesystem=True) as sf:
        sf.get_db("users")["a"] = 1
    assert (folder / "users.mpack").exists()
    with Database(
        path=folder / "users.mpack", log=Log(), allow_network_filesystem=True
    ) as db:
        assert db["a"] == 1
