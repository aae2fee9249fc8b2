"""``storify check``: misfits are found and told, and nothing is changed."""

import json
import shutil

import pytest

from cli.conftest import files
from storify import Storify


def test_a_folder_that_fits_ends_with_0(run, fill):
    """The summary tells what was looked at."""
    fill(u1=7, u2=8)
    fill(name="more", u3=1)

    result = run("check", "data", "--models", "shop")

    assert result.exit_code == 0
    assert result.stdout == "3 records in 2 databases checked, 0 misfits\n"


def test_each_misfit_is_a_line(run, fill):
    """By database, path, kind and types; the value is not shown."""
    fill(u1="secret")

    result = run("check", "data", "--models", "shop")

    assert result.exit_code == 1
    assert result.stdout == (
        "users $['u1'].years: wrong type: expected int, found str\n"
        "1 record in 1 database checked, 1 misfit\n"
    )
    assert "secret" not in result.output


def test_json_is_one_document(run, fill):
    """For a program: what was checked and each misfit with all it has."""
    fill(u1="seven", u2=7)

    result = run("check", "data", "-m", "shop", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "checked": 2,
        "misfits": [
            {
                "database": "users",
                "path": "$['u1'].years",
                "kind": "wrong type",
                "expected": "int",
                "found": "str",
            }
        ],
    }


def test_quiet_is_the_exit_code_alone(run, fill):
    """The standard output stays empty."""
    fill(u1="seven")

    result = run("check", "data", "-m", "shop", "--quiet")

    assert result.exit_code == 1
    assert result.stdout == ""


def test_a_file_may_be_given_instead_of_a_folder(run, fill):
    """The other databases of its folder are not checked."""
    fill(u1=7)
    fill(name="more", u2="seven")

    result = run("check", "data/users.mpack", "-m", "shop")

    assert result.exit_code == 0
    assert "1 record in 1 database checked" in result.stdout


def test_a_file_of_another_name_is_checked_too(run, fill, here):
    """A copy that somebody made."""
    fill(u1="seven")
    (here / "data" / "users.mpack").rename(here / "a copy")

    result = run("check", "a copy", "-m", "shop")

    assert result.exit_code == 1
    assert result.stdout.startswith("a copy $['u1'].years: ")


def test_a_database_whose_name_is_not_portable_is_not_passed_over(run, fill, here):
    """As release 0.0.11 made some."""
    fill(u1="seven")
    (here / "data" / "users.mpack").rename(here / "data" / "user:1.mpack")
    shutil.rmtree(here / "data" / ".backups")

    result = run("check", "data", "-m", "shop")

    assert result.exit_code == 1
    assert result.stdout.startswith("user:1 $['u1'].years: ")


def test_several_paths_are_told_apart(run, fill):
    """A database is named with its folder."""
    fill("one", u1="seven")
    fill("two", u1="seven")

    result = run("check", "one", "two/users.mpack", "-m", "shop")

    assert result.exit_code == 1
    first, second, summary = result.stdout.splitlines()
    assert first.startswith("one/users $['u1']")
    assert second.startswith("two/users $['u1']")
    assert summary == "2 records in 2 databases checked, 2 misfits"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("users=User", 0),
        ("users=int", 1),
        ("users=User | int", 0),
        ("users=list[User]", 1),
    ],
)
def test_values_are_judged_by_the_type_that_is_given(run, fill, value, code):
    """It may be any annotation of what the models' modules know."""
    fill(u1=7)

    result = run("check", "data", "-m", "shop", "--values", value)

    assert result.exit_code == code, result.output


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("users", "write it as users=User"),
        ("users=", "write it as users=User"),
        ("=User", "write it as users=User"),
        ("users=Usr", "name 'Usr' is not defined"),
        ("users=1 +", "give a type"),
        ("usrs=User", "there is no database 'usrs'"),
    ],
)
def test_values_that_mean_nothing_end_with_2(run, fill, value, message):
    """A typing error is not a clean database."""
    fill(u1=7)

    result = run("check", "data", "-m", "shop", "--values", value)

    assert result.exit_code == 2
    assert message in result.stderr


def test_without_models_all_records_are_of_unknown_classes(run, fill):
    """That is told, and not taken for clean."""
    fill(u1=7)

    result = run("check", "data")

    assert result.exit_code == 1
    assert "users $['u1']: unregistered class: " in result.stdout


def test_a_list_as_the_root_is_checked(run, here):
    """Its items are the records."""
    with Storify(here / "data", save_interval=None) as sf:
        db = sf.get_db("log", root=[])
        db.append(1)
        db.append("two")

    result = run("check", "data", "--values", "log=int")

    assert result.exit_code == 1
    assert "log $[1]: wrong type: expected int, found str" in result.stdout


def test_an_empty_folder_is_clean(run, here):
    """There may be nothing yet, and the summary says so."""
    (here / "data").mkdir()

    result = run("check", "data", "-m", "shop")

    assert result.exit_code == 0
    assert result.stdout == "0 records in 0 databases checked, 0 misfits\n"


def test_nothing_on_the_disk_is_changed(run, fill, here):
    """No lock, no backup, no file of a database that is only referred to."""
    (here / "linked.py").write_text(
        "from storify import Model, Ref\n\n"
        "class Order(Model):\n    customer: 'Ref[Order]'\n"
    )
    fill(u1="seven")
    fill(name="gone", u1=1)
    run("check", "data", "-m", "linked")
    import linked  # noqa: PLC0415 - of this test's folder

    with Storify(here / "data", save_interval=None, models=[linked.Order]) as sf:
        sf["orders"]["o1"] = linked.Order(sf["gone"].ref("u1"))
        sf["orders"]["o2"] = linked.Order(sf["users"].ref("u2"))
        sf.remove_db("gone")
    before = files(here / "data")

    result = run("check", "data", "-m", "linked", "-m", "shop")

    assert result.exit_code == 1, result.output
    assert result.stdout.count("dangling ref") == 2
    assert files(here / "data") == before


def test_a_database_that_cannot_be_read_ends_with_2_after_the_others(run, fill, here):
    """What could be checked is told all the same."""
    fill(u1="seven")
    (here / "data" / "broken.mpack").write_bytes(b"\xc1")

    result = run("check", "data", "-m", "shop", "--json")

    assert result.exit_code == 2
    assert len(json.loads(result.stdout)["misfits"]) == 1
    assert result.stderr.startswith("storify: cannot load ")
    assert "Traceback" not in result.output


def test_a_path_that_is_not_there_ends_with_2(run):
    """Nothing is made in its place."""
    result = run("check", "data", "-m", "shop")

    assert result.exit_code == 2
    assert result.stderr == "storify: there is no file or folder 'data'\n"
