"""``storify schema``: the lock file is written, and compared with the classes."""

import json
import os
import stat
from pathlib import Path

import pytest

from cli.conftest import SHOP
from storify.models.schema_lock import load


@pytest.fixture
def shop(here, run):
    """Changes the text of the module, which is then read anew."""
    count = iter(range(99))

    def change(*pairs):
        text = SHOP
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        path = here / f"shop{next(count)}.py"
        path.write_text(text)
        return path.name

    return change


def test_show_prints_what_lock_writes(run, here):
    """The default file stands in the current folder."""
    shown = run("schema", "show", "--models", "shop")
    locked = run("schema", "lock", "--models", "shop")

    assert shown.exit_code == locked.exit_code == 0
    assert locked.stdout == "storify.lock.json: 1 model locked\n"
    text = (here / "storify.lock.json").read_text()
    assert text == shown.stdout
    assert set(load(text)["models"]) == {"__User__"}
    assert set(load(text)["types"]) == {"Kind"}


def test_unchanged_classes_end_with_0(run):
    """And nothing is told but that."""
    run("schema", "lock", "-m", "shop", "--file", "my.json")

    result = run("schema", "check", "-m", "shop.py", "-f", "my.json")

    assert result.exit_code == 0
    assert result.stdout == "my.json: nothing changed\n"


def test_a_compatible_change_is_a_note(run, shop):
    """It ends with 0 and says how to lock it."""
    run("schema", "lock", "-m", "shop")
    name = shop(("    kind: Kind", '    email: str = ""\n    kind: Kind'))

    result = run("schema", "check", "-m", name)

    assert result.exit_code == 0
    assert result.stdout == (
        "note: __User__.email: is new\n"
        "storify.lock.json: 1 compatible change; run storify schema lock\n"
    )


def test_a_change_that_records_do_not_follow_ends_with_1(run, shop):
    """Each is told with what to do; the lock file stays."""
    run("schema", "lock", "-m", "shop")
    before = Path("storify.lock.json").read_bytes()
    name = shop(("years: int", "years: bytes"), ("GUEST", "VISITOR"))

    result = run("schema", "check", "-m", name)

    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("breaks: Kind.GUEST: is no member now; ")
    assert lines[1].startswith("breaks: __User__.years: int became bytes; ")
    assert lines[2] == "note: Kind.VISITOR: is new"
    assert "2 changes that stored records do not follow" in lines[3]
    assert Path("storify.lock.json").read_bytes() == before


def test_locking_anew_accepts_the_change(run, shop):
    """The file is replaced and keeps its mode."""
    run("schema", "lock", "-m", "shop")
    Path("storify.lock.json").chmod(0o640)
    name = shop(("years: int", "years: bytes"))

    assert run("schema", "lock", "-m", name).exit_code == 0

    assert run("schema", "check", "-m", name).exit_code == 0
    assert stat.S_IMODE(Path("storify.lock.json").stat().st_mode) == 0o640


def test_a_new_lock_file_can_be_read_by_others(run, here):
    """It is a file of the project, not a secret."""
    run("schema", "lock", "-m", "shop")

    umask = os.umask(0)
    os.umask(umask)
    mode = stat.S_IMODE((here / "storify.lock.json").stat().st_mode)
    assert mode == 0o666 & ~umask


def test_a_lock_that_cannot_be_written_leaves_the_old_one(run, here, monkeypatch):
    """And no other file."""
    run("schema", "lock", "-m", "shop")
    before = sorted(here.iterdir())
    text = (here / "storify.lock.json").read_text()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    result = run("schema", "lock", "-m", "shop")

    assert result.exit_code == 2
    assert "No space left" in result.stderr
    assert sorted(here.iterdir()) == before
    assert (here / "storify.lock.json").read_text() == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no lock file 'storify.lock.json'; write it with"),
        ("{", "cannot read the schema lock: it is none"),
        (json.dumps({"format": 99}), "it has format 99, known is 1; update storify"),
        ("\udcff", "storify: "),
    ],
)
def test_a_lock_file_that_cannot_be_read_ends_with_2(run, here, text, message):
    """CI fails, and says why."""
    if text is not None:
        path = here / "storify.lock.json"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))

    result = run("schema", "check", "-m", "shop")

    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("command", ["show", "lock", "check"])
def test_without_models_there_is_nothing_to_describe(run, here, command):
    """An empty lock would compare equal for ever."""
    result = run("schema", command)

    assert result.exit_code == 2
    assert "no model classes: give --models" in result.stderr
    assert not (here / "storify.lock.json").exists()


def test_json_schema_is_of_the_models_or_of_one(run, here):
    """As a validator reads it; a class that is not there is named."""
    every = json.loads(run("schema", "json", "-m", "shop").stdout)
    one = json.loads(run("schema", "json", "-m", "shop", "--class", "User").stdout)
    none = run("schema", "json", "-m", "shop", "--class", "Usr")

    assert every == {"User": one}
    assert one["$defs"]["User"]["required"] == ["name"]
    assert none.exit_code == 2
    assert "Usr" in none.stderr
