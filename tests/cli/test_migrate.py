"""``storify migrate``: records are rewritten, and it is told what was done."""

import pytest

from cli.conftest import files
from storify import Storify


def stored(folder, name="users"):
    """What a file holds, with no class known."""
    with Storify(folder, save_interval=None) as sf:
        return {key: dict(value) for key, value in sf.get_db(name).items()}


def test_all_databases_of_a_folder_are_rewritten(run, fill, here):
    """It is told how many records, and which backup has the state before."""
    fill(u1=7, u2=8)
    fill(name="empty")
    before = stored(here / "data")

    result = run("migrate", "data", "--models", "shop")

    assert result.exit_code == 0
    empty, users = result.stdout.splitlines()
    assert empty == "empty: nothing to rewrite"
    assert users.startswith("users: 2 records rewritten; the state before is backup ")
    assert stored(here / "data")["u1"]["__User__"]["name"] == "ANN"
    with Storify(here / "data", save_interval=None) as sf:
        sf["users"].backups.restore(users.split()[-1])
    assert stored(here / "data") == before


def test_a_second_run_has_nothing_to_do(run, fill, here):
    """Nothing is written then."""
    fill(u1=7)
    run("migrate", "data", "-m", "shop")
    before = files(here)

    result = run("migrate", "data", "-m", "shop")

    assert result.exit_code == 0
    assert result.stdout == "users: nothing to rewrite\n"
    assert files(here) == before


def test_a_dry_run_only_counts(run, fill, here):
    """The files stay as they are."""
    fill(u1=7)
    before = files(here / "data")

    result = run("migrate", "data/users.mpack", "-m", "shop", "--dry-run")

    assert result.exit_code == 0
    assert result.stdout == "users: 1 record would be rewritten\n"
    assert files(here / "data") == before


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_what_stays_as_it_is_is_counted(run, fill, here, options):
    """A record that does not fit is no failure, but it is told."""
    fill(u1=7)
    (here / "nameless.py").write_text(
        "from storify import Model\n\nclass User(Model):\n    title: str\n"
    )

    result = run("migrate", "data", "-m", "nameless", *options)

    assert result.exit_code == 0
    assert "1 do not fit their classes" in result.stderr


def test_a_database_that_cannot_be_read_ends_with_2_after_the_others(run, fill, here):
    """The others are rewritten."""
    fill(u1=7)
    (here / "data" / "broken.mpack").write_bytes(b"\xc1")

    result = run("migrate", "data", "-m", "shop")

    assert result.exit_code == 2
    assert result.stdout.startswith("users: 1 record rewritten")
    assert "storify: cannot load " in result.stderr


@pytest.mark.parametrize("models", [[], ["--models", "json"]])
def test_without_models_there_is_nothing_to_go_by(run, fill, models):
    """It is refused: a folder without a change would look migrated."""
    fill(u1=7)

    result = run("migrate", "data", *models)

    assert result.exit_code == 2
    assert "no model classes: give --models" in result.stderr
