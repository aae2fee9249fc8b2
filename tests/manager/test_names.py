"""Names that are one for a person, or for a file system, and two for Python."""

import unicodedata

import msgpack
import pytest

from storify import DatabaseNameError, Storify

NFC, NFD = (unicodedata.normalize(form, "Zürich") for form in ("NFC", "NFD"))


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


def test_a_name_that_is_not_saved_yet_is_one_in_each_form(root):
    """Both spellings give one object."""
    with Storify(root, save_interval=None) as sf:
        assert sf[NFD] is sf[NFC]
        assert NFD in sf
        assert NFC in sf


def test_twins_by_case_are_refused_also_before_one_is_saved(root):
    """Some file systems would take them for one."""
    with Storify(root, save_interval=None) as sf:
        sf["Users"]["a"] = 1

        with pytest.raises(DatabaseNameError, match="'Users'"):
            sf["users"]

        assert "users" not in sf
        assert list(sf) == ["Users"]


def test_twins_that_another_program_wrote_are_both_there(root):
    """Where the file system keeps them apart."""
    root.mkdir()
    for name in ("Users", "users"):
        (root / f"{name}.mpack").write_bytes(msgpack.packb({"name": name}))
    with Storify(root, save_interval=None) as sf:
        assert [sf[name]["name"] for name in ("Users", "users")] == ["Users", "users"]


def test_a_database_may_be_renamed_by_case_alone(root):
    """Its backups move with it."""
    with Storify(root, save_interval=None) as sf:
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
