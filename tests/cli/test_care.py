"""``verify``, ``salvage`` and ``compact`` look after files, and say what they did."""

import json
import shutil

import pytest

from cli.conftest import files
from storify import Storify


@pytest.fixture
def data(here):
    """Two databases; one is damaged beyond its backups, a record of it lost."""
    with Storify(here / "data", save_interval=None, keep=0) as sf:
        sf["whole"].update({f"k{n}": n for n in range(10)})
        sf["broken"].update({f"k{n}": "v" * 50 for n in range(200)})
    shutil.rmtree(here / "data" / ".backups" / "broken", ignore_errors=True)
    path = here / "data" / "broken.mpack"
    path.write_bytes(path.read_bytes()[:5000])
    return here / "data"


def test_verify_tells_each_problem_by_its_place(run, data):
    """Of the databases that are named, or of all."""
    before = files(data)

    whole = run("verify", data, "whole")
    every = run("verify", data)
    document = run("verify", data, "--json")
    file = run("verify", data / "whole.mpack")

    assert whole.exit_code == file.exit_code == 0
    assert whole.stdout == "whole: 0 problems\n"
    assert every.exit_code == document.exit_code == 1
    assert every.stdout.splitlines()[-1] == "whole: 0 problems"
    problems = json.loads(document.stdout)
    assert {each["database"] for each in problems} == {"broken"}
    assert all(each["place"] and each["what"] for each in problems)
    assert files(data) == before


def test_verify_goes_on_behind_a_database_that_is_not_there(run, data):
    """And fails at the end."""
    result = run("verify", data, "nothing", "whole")

    assert result.exit_code == 2
    assert "there is no database 'nothing'" in result.stderr
    assert "whole: 0 problems" in result.stdout


def test_salvage_tells_first_what_is_wrong(run, data):
    """A dry run changes nothing."""
    before = files(data)

    result = run("salvage", data, "broken", "--dry-run")

    assert result.exit_code == 0
    assert result.stdout.startswith("broken: damaged: ")
    assert files(data) == before


def test_salvage_saves_what_is_intact(run, data):
    """Lost records are counted, and the exit code tells that there are some."""
    result = run("salvage", data, "broken")

    assert result.exit_code == 1
    last = result.stdout.splitlines()[-1]
    assert last.startswith("broken: ")
    assert " records saved, " in last
    assert run("show", data, "broken", "-n", 1).exit_code == 0
    assert run("salvage", data, "whole").exit_code == 2  # it is intact


def test_compact_leaves_one_file(run, data):
    """Its sizes before and after are told, also to a program."""
    with Storify(data, save_interval=None) as sf:
        for number in range(5):
            sf["whole"]["k0"] = number
            sf["whole"].flush()

    text = run("compact", data, "whole")
    document = json.loads(run("compact", data / "whole.mpack", "--json").stdout)

    assert text.stdout.startswith("whole: ")
    assert " → " in text.stdout
    assert document == [
        {
            "database": "whole",
            "before": document[0]["after"],
            "after": document[0]["after"],
        }
    ]
    assert not (data / "whole.mpack.journal").exists()
    assert run("show", data, "whole").exit_code == 0
