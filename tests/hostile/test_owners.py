"""Several users of one folder: whose the files are, and who may open them."""

import errno
import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.process import run
from faults.surroundings import as_root, mode
from storify import Storify

#: Users and a group that need not be known by a name.
APP, OTHER, GROUP = 41001, 41002, 41009

AS = """
import os, sys
from pathlib import Path
from storify import Storify
with Storify("memory://", save_interval=None) as warm:  # what is imported when needed
    warm["x"]["a"] = [1]
    warm.flush(); warm.check(); warm["x"].reload()
os.umask({umask})
os.setgroups({groups}); os.setgid({gid}); os.setuid({uid})
sf = Storify(Path(sys.argv[1]), save_interval=None{options})
"""


def by(uid, script, folder, *, groups=(), umask=0o022, options=""):
    """Run a script as a user, with `sf` over the folder."""
    head = AS.format(
        uid=uid, gid=uid, groups=list(groups), umask=umask, options=options
    )
    return run(head + script, folder).strip()


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that everybody can reach."""
    # pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        data = Path(name) / "data"
        data.mkdir()
        yield data


def owners(folder):
    """Who owns what is in a folder, itself included."""
    return {path.stat().st_uid for path in [folder, *folder.rglob("*")]}


SET = "db = sf['x']; db[{0!r}] = 1; db.flush(); print(len(db)); sf.close()"
LARGE = "sf['x'].update({f'{i}': 'x' * 100 for i in range(20_000)}); "


@as_root
@pytest.mark.parametrize("size", ["small", "large"])
def test_what_root_changes_is_the_owners_still(folder, size):
    """Also the files beside, the journal and new databases in the owner's folder."""
    os.chown(folder, APP, APP)
    folder.chmod(0o700)
    large = LARGE if size == "large" else ""
    by(APP, large + SET.format("a"), folder)

    with Storify(folder, save_interval=None) as sf:
        for turn in range(3):
            sf["x"]["fix"] = turn
            sf["new"]["fix"] = turn
            sf.flush()
        os.sync()
        assert owners(folder) == {APP}

    assert owners(folder) == {APP}
    assert by(APP, SET.format("b") + "; print(sf['new']['fix'])", folder).endswith("2")
    for path in folder.rglob("*"):
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path


@as_root
def test_that_root_reads_a_copied_file_changes_nothing_for_its_owner(folder):
    """What is made beside it is the owner's."""
    os.chown(folder, APP, APP)
    by(APP, SET.format("a"), folder)
    for path in sorted(folder.rglob(".backups/**/*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / ".backups").rmdir()

    with Storify(folder, save_interval=None) as sf:
        assert sf["x"]["a"] == 1

    assert owners(folder) == {APP}
    assert by(APP, SET.format("b"), folder) == "2"


@as_root
@pytest.mark.parametrize("umask", [0o002, 0o022])
def test_a_group_folder_is_for_the_group(folder, umask):
    """All that is made in it may be changed by each of its members."""
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2770)
    for turn in range(3):
        for uid in (APP, OTHER):
            count = by(
                uid, SET.format(f"{uid} {turn}"), folder, groups=[GROUP], umask=umask
            )
    assert count == "6"

    by(APP, LARGE + SET.format("a"), folder, groups=[GROUP])
    by(OTHER, SET.format("b"), folder, groups=[GROUP])
    by(APP, SET.format("c") + "; sf.rename_db('x', 'y')", folder, groups=[GROUP])
    by(
        OTHER,
        "print(len(sf['y'])); sf['y']['z'] = 1; sf.close()",
        folder,
        groups=[GROUP],
    )
    for path in folder.rglob("*"):
        found = path.stat()
        assert found.st_gid == GROUP, path
        wanted = 0o770 if path.is_dir() else 0o660
        assert stat.S_IMODE(found.st_mode) & 0o777 == wanted, path


@as_root
def test_a_folder_inside_of_a_group_folder_is_the_groups(folder):
    """As every program makes it there."""
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2770)

    for uid in (APP, OTHER):
        count = by(uid, SET.format(f"{uid}"), folder / "sub" / "data", groups=[GROUP])

    assert count == "2"


@as_root
@pytest.mark.parametrize("options", ["", ", journal=False"])
def test_who_may_read_the_file_needs_nothing_else(folder, options):
    """The files beside it may be closed; the folder may not be written."""
    folder.chmod(0o755)
    with Storify(folder, save_interval=None) as sf:
        for value in range(3):
            sf["x"]["a"] = value
            sf["x"].flush()
    (folder / "x.mpack").chmod(0o644)
    (folder / ".backups").chmod(0o700)
    (folder / ".backups" / "x").chmod(0o700)

    script = (
        "print(sf.get_db('x', readonly=True)['a']); print(sf.check(), list(sf)); "
        "db = sf['x']"
        if not options
        else "db = sf['x']; print(db['a'])"
    )
    printed = by(OTHER, script + "; db.reload()", folder, options=options)

    assert printed.startswith("2")


@as_root
def test_who_may_not_write_is_told_which_database_and_file(folder):
    """And that it is a matter of permission."""
    folder.chmod(0o755)
    with Storify(folder, save_interval=None) as sf:
        sf["x"]["a"] = 1
    (folder / "x.mpack").chmod(0o644)

    printed = by(
        OTHER,
        "db = sf['x']; db['a'] = 2\n"
        "try: db.flush()\n"
        "except PermissionError as err: print(err)\n"
        "db.close(discard=True)",
        folder,
    )

    assert "'x'" in printed
    assert str(folder) in printed


TRY = """
for readonly in (True, False):
    try:
        with sf.get_db('x', readonly=readonly) as db:
            if not readonly:
                db['b'] = 2
        print('saved')
    except PermissionError as err:
        print(err)
        if not readonly and sf.get_loaded_db('x'):
            sf['x'].close(discard=True)
"""


@as_root
@pytest.mark.parametrize(
    ("what", "folder_mode"),
    [
        ("x/.sum", 0o755),
        ("x/.lock", 0o2775),
        ("x", 0o755),
        ("", 0o2775),
        ("../x.mpack", 0o755),
    ],
)
def test_what_an_older_release_left_to_root_is_given_back_by_a_command(
    folder, what, folder_mode
):
    """The error has it; the database can be read all the same."""
    os.chown(folder, APP, GROUP)
    folder.chmod(folder_mode)
    by(APP, SET.format("a"), folder, groups=[GROUP])
    left = folder / ".backups" / what
    os.chown(left, 0, 0)
    left.chmod(0o700 if left.is_dir() else 0o600)

    read, refused = by(APP, TRY, folder, groups=[GROUP]).splitlines()

    assert (read == "saved") == (what != "../x.mpack")
    assert "it belongs to user 0" in refused
    command = re.search(r"by: (.*): '", refused)[1]
    done = subprocess.run(command.replace("sudo ", ""), shell=True, check=False)  # noqa: S602 - ours
    assert done.returncode == 0
    assert by(APP, TRY, folder, groups=[GROUP]).splitlines() == ["saved", "saved"]
    if folder_mode & stat.S_IWGRP:
        assert by(OTHER, TRY, folder, groups=[GROUP]).splitlines() == ["saved", "saved"]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENOSPC, "No space left"),
        (errno.EBUSY, "mount its folder"),
        (errno.EXDEV, "mount its folder"),
        (errno.EACCES, "may write the folder"),
    ],
)
def test_what_the_system_refuses_names_database_and_file(
    tmp_path, monkeypatch, code, hint
):
    """With what to do where that is not plain; the class and number are the same."""
    db = Storify(tmp_path, save_interval=None)["users"]
    db["a"] = 1
    db.flush()
    db["a"] = 2

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr("storify.engine.file.vfs.os.replace", refuse)
        with pytest.raises(OSError, match=hint) as caught:
            db.flush()

    assert type(caught.value) is type(OSError(code, ""))
    assert caught.value.errno == code
    assert caught.value.filename.startswith(str(tmp_path))
    assert "database 'users'" in str(caught.value)
    db.close()
