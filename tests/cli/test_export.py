"""Records leave in other formats and come back, through the command line."""

import csv
import json
import sqlite3

import pytest

from cli.conftest import files


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "sqlite"])
def test_what_is_exported_is_imported_again(run, fill, here, kind):
    """With its classes, from each format."""
    fill(u1=1, u2=2)
    out = here / f"users.{kind}"

    done = run("export", "data", "users", "--to", kind, "-o", out, "-m", "shop")
    back = run("import", kind, out, "copy", "-m", "shop", "--name", "users")

    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}: 2 records written\n"
    assert back.stdout == "users: 2 records imported\n", back.output
    one, two = (
        run("show", where, "users", "-m", "shop", "--json").stdout
        for where in ("data", "copy")
    )
    assert json.loads(one) == json.loads(two)


def test_standard_output_is_what_others_read(run, fill):
    """A line a record."""
    fill(u1=1, u2=2)

    lines = run("export", "data", "users").stdout.splitlines()
    table = run("export", "data", "users", "--to", "csv", "--where", "age > 1").stdout

    assert json.loads(lines[0]) == {
        "_key": "u1",
        "_class": "__User__",
        "name": "ann",
        "age": 1,
    }
    assert list(csv.reader(table.splitlines()))[1:] == [["u2", "__User__", "ann", "2"]]


def test_sqlite_is_a_table_for_others(run, fill, here):
    """With types."""
    fill(u1=1)

    run("export", "data", "users", "--to", "sqlite", "-o", here / "out.db")

    with sqlite3.connect(here / "out.db") as db:
        assert db.execute("SELECT age + 1 FROM users").fetchall() == [(2,)]
    db.close()


def test_what_cannot_be_held_is_refused_before_a_file_is_there(run, fill, here):
    """Lossy writes and counts."""
    fill(u1={1, 2}, u2=3)
    arguments = "export", "data", "users", "--to", "csv", "-o", here / "users.csv"

    refused = run(*arguments)

    assert refused.exit_code == 2
    assert "$['u1'].age: a set" in refused.stderr
    assert [each.name for each in here.glob("*users.csv*")] == []
    lossy = run(*arguments, "--lossy")
    assert lossy.exit_code == 0
    assert "2 records written, 1 value not held" in lossy.stdout
    assert "1 value: a set" in lossy.stderr


def test_an_import_fits_its_class_or_writes_nothing(run, here):
    """The line and the place are told."""
    (here / "u.csv").write_text("id,name,years\na,Ann,3\nb,Ben,old\n")
    arguments = "import", "csv", "u.csv", "data", "--class", "User", "-m", "shop"

    wrong = run(*arguments, "--key", "name")

    assert wrong.exit_code == 2
    assert "line 2, $['Ann'].id: expected nothing" in wrong.stderr or (
        "line 3, $['Ben'].years: expected int" in wrong.stderr
    )


def test_a_dry_run_imports_nothing(run, here):
    """And says what it would."""
    (here / "u.jsonl").write_text('{"name": "Ann"}\n')
    before = files(here)

    result = run("import", "jsonl", "u.jsonl", "data", "--key", "name", "--dry-run")

    assert result.stdout == "u: 1 record would be imported\n", result.output
    assert files(here) == before
    assert not (here / "data").exists()


def test_an_import_goes_to_a_url_too(run, here):
    """As of other stores: no folder is named like it."""
    (here / "u.jsonl").write_text('{"_key": "u1", "name": "ann"}\n')

    result = run("import", "jsonl", "u.jsonl", "memory://imported")

    assert result.stdout == "u: 1 record imported\n", result.output
    assert not (here / "memory:").exists()


def test_a_table_without_classes_is_imported_as_dicts(run, here):
    """Numbered unless a field is the key."""
    (here / "u.csv").write_text("name,years\nAnn,3\n")

    assert run("import", "csv", "u.csv", "data").exit_code == 0
    document = json.loads(run("get", "data", "u", "2", "--json").stdout)
    assert document["value"] == {"name": "Ann", "years": 3}


def test_what_cannot_be_imported_is_said(run, here):
    """A key twice, a class that is not there, a file that is not."""
    (here / "twice.jsonl").write_text('{"_key": "a", "x": 1}\n{"_key": "a", "x": 2}\n')

    twice = run("import", "jsonl", "twice.jsonl", "new")
    unknown = run("import", "jsonl", "twice.jsonl", "new", "--class", "User")
    nothing = run("import", "csv", "nothing.csv", "new")

    assert (twice.exit_code, unknown.exit_code, nothing.exit_code) == (2, 2, 2)
    assert "the key 'a' is there twice in 'twice.jsonl'" in twice.stderr
    assert (
        "there is no class 'User' among the models: none; give --models"
        in unknown.stderr
    )
    assert "nothing.csv" in nothing.stderr


def test_a_format_that_is_no_text_needs_a_file(run, here):
    """The standard output is for texts."""
    from storify import Storify  # noqa: PLC0415

    with Storify(here / "data", save_interval=None) as sf:
        sf["d"]["a"] = {"x": 1}

    result = run("export", "data", "d", "--to", "sqlite")

    assert result.exit_code == 2
    assert "sqlite is no text: add -o FILE" in result.stderr


def test_a_file_that_cannot_be_written_leaves_nothing(run, here, monkeypatch):
    """Not even half of it."""
    from storify import Storify  # noqa: PLC0415

    with Storify(here / "data", save_interval=None) as sf:
        sf["d"]["a"] = {"x": (1, {2})}
    before = sorted(here.iterdir())

    result = run("export", "data", "d", "--to", "csv", "-o", "out.csv")

    assert result.exit_code == 2
    assert sorted(here.iterdir()) == before
