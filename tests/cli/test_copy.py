"""``storify copy``, ``storify postgres init`` and URLs in the place of paths."""

import pytest
from typer.testing import CliRunner

import pg_servers as servers
from storify import Storify, Unloaded
from storify.cli._app import app

RUN = CliRunner()


@pytest.fixture
def folder(tmp_path):
    """A folder with a database."""
    with Storify(tmp_path / "data", save_interval=None) as sf:
        sf["users"].update(a=1, b=2)
    return tmp_path / "data"


def test_a_folder_is_copied_to_a_server_and_back(folder, tmp_path):
    """It tells how many records; running it again is fine."""
    url, schema = servers.url(), servers.fresh_schema()

    for _ in range(2):
        done = RUN.invoke(app, ["copy", str(folder), url, "--schema", schema])
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout == "users: 2 records\n1 database copied and compared\n"
    back = str(tmp_path / "back")
    done = RUN.invoke(app, ["copy", url, back, "--schema", schema])

    assert done.exit_code == 0
    with Storify(back, save_interval=None) as sf:
        assert sf["users"].data == {"a": 1, "b": 2}


def test_what_cannot_be_copied_is_told(folder, tmp_path):
    """Nothing is made of a source that is not there, nor something overwritten."""
    done = RUN.invoke(app, ["copy", str(tmp_path / "none"), str(folder)])
    assert (done.exit_code, "no folder" in done.stderr) == (2, True)

    with Storify(tmp_path / "other", save_interval=None) as sf:
        sf["users"]["c"] = 1
    done = RUN.invoke(app, ["copy", str(folder), str(tmp_path / "other")])
    assert (done.exit_code, "of this name" in done.stderr) == (2, True)


def test_the_tables_are_made_or_printed_for_an_administrator():
    """Then a program whose role may not make them has them."""
    url, schema = servers.url(), servers.fresh_schema()

    printed = RUN.invoke(app, ["postgres", "init", "--print-sql", "--schema", schema])
    assert f'create schema if not exists "{schema}"' in printed.stdout
    assert RUN.invoke(app, ["postgres", "init"]).exit_code == 2
    assert RUN.invoke(app, ["postgres", "init", url, "--schema", schema]).exit_code == 0

    Storify(url, schema=schema, create_schema=False, save_interval=None).close()


def test_urls_stand_in_the_place_of_paths():
    """A password in one is not told."""
    url = servers.url().replace("postgres@", "postgres:s3cret@")
    with Storify(url, save_interval=None) as sf:
        sf["cli"]["a"] = 1

    done = RUN.invoke(app, ["check", url, url])

    assert (done.exit_code, done.stderr) == (0, "")
    assert "s3cret" not in done.output
    with Storify(url, save_interval=None) as sf:
        del sf["cli"]


def test_a_schema_on_the_server_is_checked_and_migrated(tmp_path, monkeypatch):
    """It holds what one folder holds; the others are left alone."""
    url, schema = servers.url(), servers.fresh_schema()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "boats.py").write_text(
        "from storify import Model\n\nclass Boat(Model):\n    name: str\n    oars: int = 2\n"
    )
    with Storify(url, schema=schema, save_interval=None) as sf:
        sf["boats"].update(a=Unloaded({"__Boat__": {"name": "a"}}))
    given = [url, "--models", "boats", "--schema", schema]

    done = [RUN.invoke(app, [verb, *given]) for verb in ("migrate", "check")]

    assert [each.exit_code for each in done] == [0, 0]
    assert "1 record rewritten" in done[0].stdout
    assert "1 record" in done[1].stdout


def test_another_store_is_imported_into_a_server(tmp_path, monkeypatch):
    """No folder is made that has the password in its name."""
    monkeypatch.chdir(tmp_path)
    url = servers.url().replace("postgres@", "postgres:s3cret@")
    (tmp_path / "db.json").write_text('{"boats": {"1": {"name": "a"}}}')

    done = RUN.invoke(app, ["import", "tinydb", "db.json", url])

    assert (done.exit_code, done.stdout) == (0, "boats: 1 record imported\n")
    assert [each.name for each in tmp_path.iterdir()] == ["db.json"]
    with Storify(url, save_interval=None) as sf:
        assert list(sf["boats"].values()) == [{"name": "a"}]
        del sf["boats"]


def test_a_missing_driver_is_one_line(folder, monkeypatch):
    """It says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)

    done = RUN.invoke(app, ["copy", str(folder), "postgresql://host/db"])

    assert done.exit_code == 2
    assert "storify[postgres]" in done.stderr
