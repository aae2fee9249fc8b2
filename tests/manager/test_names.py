"""Names that are one for a person, or for a file system, and two for Python."""

import logging
import unicodedata

import msgpack
import pytest

from storify import DatabaseNameError, Storify

NFC, NFD = (unicodedata.normalize(form, "Zürich") for form in ("NFC", "NFD"))


@pytest.mark.files("another program has named the files")
@pytest.mark.parametrize("on_disk", [NFC, NFD], ids=["NFC", "NFD"])
@pytest.mark.parametrize("asked", [NFC, NFD], ids=["asked NFC", "asked NFD"])
def test_a_name_is_found_in_each_normal_form(root, on_disk, asked):
    """As it is typed, whatever system wrote the file, as macOS writes NFD."""
    root.mkdir()
    (root / f"{on_disk}.mpack").write_bytes(msgpack.packb({"a": 1}))
    with Storify(root, save_interval=None) as sf:
        assert asked in sf
        assert list(sf) == [NFC]
        assert sf[asked]["a"] == 1
        assert sf[NFC] is sf[NFD]
        assert asked in sf
        assert list(sf) == [NFC]
        sf[asked]["b"] = 2

    assert [path.name for path in root.glob("*.mpack")] == [f"{on_disk}.mpack"]
    with Storify(root, save_interval=None) as sf:
        sf.rename_db(asked, "x")
        assert dict(sf["x"]) == {"a": 1, "b": 2}


def test_a_name_that_is_not_saved_yet_is_one_in_each_form(anywhere):
    """Both spellings give one object."""
    with Storify(anywhere, save_interval=None) as sf:
        assert sf[NFD] is sf[NFC]
        assert NFD in sf
        assert NFC in sf


def test_twins_by_case_are_refused_also_before_one_is_saved(anywhere):
    """Some file systems would take them for one."""
    with Storify(anywhere, save_interval=None) as sf:
        sf["Users"]["a"] = 1

        with pytest.raises(DatabaseNameError, match="'Users'"):
            sf["users"]

        assert "users" not in sf
        assert list(sf) == ["Users"]


@pytest.mark.files("another program has named the files")
def test_twins_that_another_program_wrote_are_both_there(root):
    """Where the file system keeps them apart."""
    root.mkdir()
    for name in ("Users", "users"):
        (root / f"{name}.mpack").write_bytes(msgpack.packb({"name": name}))
    with Storify(root, save_interval=None) as sf:
        assert [sf[name]["name"] for name in ("Users", "users")] == ["Users", "users"]


ODD_NAMES = [".hidden", "CON", "a.", "user:1"]


@pytest.fixture
def old_folder(root):
    """Databases of an older release, of which one has a name of today."""
    root.mkdir()
    for name in (*ODD_NAMES, "users"):
        (root / f"{name}.mpack").write_bytes(msgpack.packb({"a": 1}))
    return root


@pytest.mark.files("another program has named the files")
@pytest.mark.parametrize("look", [list, len, Storify.migrate], ids=["list", "len", ""])
def test_files_that_no_name_leads_to_are_told_of_once(old_folder, caplog, look):
    """Each, and by whatever goes through the names first."""
    with Storify(old_folder, save_interval=None, log=logging.getLogger("s")) as sf:
        look(sf)
        assert list(sf) == ["users"]
        (old_folder / "new:1.mpack").write_bytes(b"\x80")
        assert list(sf) == ["users"]

    told, later = (record.message for record in caplog.records)
    assert all(repr(name) in told for name in ODD_NAMES)
    assert "get_db_by_path" in told
    assert "'new:1'" in later
    assert "'CON'" not in later


@pytest.mark.files("another program has named the files")
def test_files_that_no_name_leads_to_are_checked(old_folder):
    """The name is a misfit, and the records are judged as all others."""
    with Storify(old_folder, save_interval=None) as sf:
        found = [tuple(each) for each in sf.check(types={"user:1": str})]

    assert found == [
        *(
            ("$", "bad name", "a portable name", repr(name), name)
            for name in sorted(ODD_NAMES)
        ),
        ("$['a']", "wrong type", "str", "int", "user:1"),
    ]


@pytest.mark.files("another program has named the files")
def test_an_open_database_that_no_name_leads_to_is_checked_as_it_is(old_folder):
    """One that was got by its path, to be saved with the others."""
    with Storify(old_folder, save_interval=None) as sf:
        db = sf.get_db_by_path(old_folder / "user:1.mpack")
        sf.databases.append(db)
        db["a"] = "text"

        assert "users" in list(sf)
        found = [each.kind for each in sf.check(types={"user:1": str})]
        assert found == ["bad name"] * len(ODD_NAMES)


@pytest.mark.files("another program has named the files")
def test_what_cannot_be_opened_is_a_misfit_and_the_others_are_checked(root):
    """As what cannot be loaded is."""
    root.mkdir()
    (root / "folder.mpack").mkdir()
    (root / "link.mpack").symlink_to("nowhere.mpack")
    (root / "torn.mpack").write_bytes(b"\xc1")
    (root / "users.mpack").write_bytes(msgpack.packb({"a": 1}))

    with Storify(root, save_interval=None) as sf:
        found = [(each.database, each.kind) for each in sf.check(types={"users": str})]

    assert found == [
        ("folder", "unreadable"),
        ("link", "unreadable"),
        ("torn", "unreadable"),
        ("users", "wrong type"),
    ]


def test_a_database_may_be_renamed_by_case_alone(anywhere):
    """Its backups move with it."""
    with Storify(anywhere, save_interval=None) as sf:
        for value in (1, 2):
            sf["users"]["a"] = value
            sf.flush()
        sf["users"].close()

        sf.rename_db("users", "Users")

        assert list(sf) == ["Users"]
        assert sf["Users"]["a"] == 2
        assert len(sf["Users"].backups.list) == 1
        sf["Users"].close()
        with pytest.raises(DatabaseNameError):
            sf.rename_db("Users", "a/b")
