"""``storify copy``, ``storify postgres init`` and URLs in the place of paths."""

import pytest
from typer.testing import CliRunner

import pg_servers as servers
from storify import Storify
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


def test_a_missing_driver_is_one_line(folder, monkeypatch):
    """It says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)

    done = RUN.invoke(app, ["copy", str(folder), "postgresql://host/db"])

    assert done.exit_code == 2
    assert "storify[postgres]" in done.stderr
