"""The verbs that show data, compare states and change single records."""

import json
import shutil
import subprocess
import sys

import pytest

from cli.conftest import OLD, files
from storify import Storify
from storify.cli._look import table


@pytest.fixture
def data(fill, here):
    """A folder of a database with an older state, and a list."""
    fill(u1=31, u2=20, u3=40)
    former: dict = {"__name__": "former"}
    exec(OLD, former)  # noqa: S102 - the program above
    user = former["User"]

    with Storify(here / "data", save_interval=None, models=[user]) as sf:
        users = sf.get_db("users")
        users["u1"].age = 32
        del users["u2"]
        users["u4"] = user("dot", 5)
        users.flush()
        sf.get_db("log", root=[]).extend(["one", {"n": 2}])
    return here / "data"


def lines(result, code=0):
    """What was printed; the exit code is as it should be."""
    assert result.exit_code == code, result.output
    return result.stdout.splitlines()


def test_ls_lists_databases(run, data):
    """With their sizes and health."""
    head, log, users, summary = lines(run("ls", "data"))

    assert head.split() == ["database", "records", "size", "written", "older", "health"]
    assert log.split()[:2] == ["log", "2"]
    assert users.split()[0:2] + users.split()[-2:] == ["users", "3", "1", "ok"]
    assert summary == "2 databases"


def test_a_typing_error_in_the_folder_is_an_error_and_makes_none(run, data, here):
    """Of every verb."""
    before = sorted(here.iterdir())

    for verb in ("ls", "show", "stats", "verify", "compact", "log"):
        result = run(verb, "dta", *(["users"] if verb in {"show", "log"} else []))
        assert result.exit_code == 2
        assert "there is no file or folder 'dta'; did you mean 'data'?" in result.stderr

    assert sorted(here.iterdir()) == before


def test_show_is_a_table(run, data):
    """Of a database in a folder, or of a file."""
    shown = [
        "_key  name  age",
        "u1    ann   32",
        "u3    ann   40",
        "u4    dot   5",
        "1-3 of 3 records",
    ]

    assert lines(run("show", "data", "users")) == shown
    assert lines(run("show", "data/users.mpack")) == shown


def test_show_goes_on_page_by_page(run, data):
    """And says how."""
    first = lines(run("show", "data", "users", "-n", 2))
    second = lines(run("show", "data", "users", "-n", 2, "--offset", 2))

    assert first[-1] == "1-2 of 3 records; go on with --offset 2"
    assert second[-1] == "3-3 of 3 records"


def test_show_sorts_and_chooses_columns(run, data):
    """A minus is backwards."""
    result = run("show", "data", "users", "--sort", "-age", "--columns", "age")

    assert lines(result)[:4] == ["_key  age", "u3    40", "u1    32", "u4    5"]


def test_show_goes_back_in_time(run, data):
    """By a time, or an id."""
    state = json.loads(run("log", "data", "users", "--json").stdout)[1]

    for which in (state["id"], state["time"]):
        assert lines(run("show", "data", "users", "--at", which))[-2].startswith("u3")
        assert len(lines(run("show", "data", "users", "--at", which))) == 5
    assert run("show", "data", "users", "--at", "yesterday").exit_code == 2


def test_json_is_what_a_program_reads(run, data):
    """Each record with its key and class."""
    document = json.loads(run("show", "data", "users", "-n", 1, "--json").stdout)

    assert document == [
        {
            "key": "u1",
            "token": "u1",
            "class": "User",
            "value": {"name": "ann", "age": 32},
        }
    ]


def test_get_is_a_tree_or_a_place_in_it(run, data):
    """With paths as errors write them."""
    assert lines(run("get", "data", "users", "u1")) == [
        "$ User, 2 parts",
        "  .name 'ann'",
        "  .age 32",
    ]
    assert lines(run("get", "data", "users", "u1", "age")) == ["$ 32"]
    assert lines(run("get", "data/log.mpack", 1, "['n']")) == ["$ 2"]
    assert json.loads(run("get", "data", "users", "u1", ".age", "--json").stdout) == 32


def test_what_is_not_there_is_said_by_its_path(run, data):
    """And what there is instead."""
    path = run("get", "data", "users", "u1", "agee")
    key = run("get", "data", "users", "u11")
    db = run("get", "data", "user", "u1")
    usage = run("get", "data", "users")

    assert (path.exit_code, key.exit_code, db.exit_code) == (2, 2, 2)
    assert "there is no .agee in $, a User; there is .name, .age" in path.stderr
    assert "did you mean 'u1'?" in key.stderr
    assert "did you mean 'users'?" in db.stderr
    assert "write WHERE DB KEY [PATH]" in usage.stderr


def test_find_filters(run, data):
    """The exit code tells whether there is one."""
    result = run("find", "data", "users", "age > 30 and name ~ ANN", "-m", "shop")
    none = run("find", "data", "users", "agee > 30")
    wrong = run("find", "data", "users", "age >")

    # the class of today renames the field and shouts
    assert none.exit_code == 1
    assert "no record has a field 'agee'" in none.stderr
    assert wrong.exit_code == 2
    assert "cannot read the filter" in wrong.stderr
    assert result.exit_code == 1
    found = run("find", "data", "users", "years > 30 and name ~ ann", "-m", "shop")
    assert len(lines(found)) == 3


def test_diff_tells_each_place(run, data):
    """The last state with the present one, unless others are named."""
    assert lines(run("diff", "data", "users"), 1) == [
        "~ 'u1'",
        "    $.age: 31 → 32",
        "+ 'u4'  User(name='dot', age=5)",
        "- 'u2'  User(name='ann', age=20)",
        "1 added, 1 removed, 1 changed",
    ]
    assert lines(run("diff", "data", "users", "now", "now"))[-1] == (
        "0 added, 0 removed, 0 changed"
    )
    document = json.loads(run("diff", "data", "users", "--json").stdout)
    assert document["records"][0]["edits"] == [
        {"path": "$.age", "before": 31, "after": 32}
    ]


def test_history_tells_what_a_record_was(run, data):
    """Newest first."""
    newest, oldest = lines(run("history", "data", "users", "u1"))

    assert newest.endswith("now  $.age: 31 → 32")
    assert oldest.endswith("User(name='ann', age=31)")


def test_restore_asks_first(run, data):
    """And does nothing without a yes."""
    before = files(data)
    state = json.loads(run("log", "data", "users", "--json").stdout)[1]["id"]

    assert run("restore", "data", "users", state).exit_code == 2
    assert run("restore", "data", "users", state, "--dry-run").exit_code == 0
    assert files(data) == before
    assert (
        lines(run("restore", "data", "users", state, "u2", "--yes"))[-1] == "restored"
    )
    assert lines(run("get", "data", "users", "u2", "age")) == ["$ 20"]
    assert lines(run("get", "data", "users", "u1", "age")) == ["$ 32"]


def test_one_place_is_restored(run, data):
    """The rest of the record stays as it is."""
    assert run("set", "data", "users", "u1", "eve", "-p", "name", "-y").exit_code == 0
    state = json.loads(run("log", "data", "users", "--json").stdout)[2]["id"]
    arguments = "restore", "data", "users", state, "u1", "--path", "age"

    assert lines(run(*arguments, "--dry-run")) == ["~ 'u1'", "    $.age: 32 → 31"]
    assert lines(run(*arguments, "--yes"))[-1] == "1 record written"
    assert lines(run("get", "data", "users", "u1"))[1:] == [
        "  .name 'eve'",
        "  .age 31",
    ]
    assert "write the keys" in run(*arguments[:4], "--path", "age").stderr
    assert "there is no .agee" in run(*arguments[:-1], "agee").stderr


def test_set_shows_what_changes_and_writes_it(run, data):
    """A dry run writes nothing."""
    arguments = "set", "data", "users", "u1", "33", "--path", "age"
    before = files(data)

    assert lines(run(*arguments, "--dry-run")) == ["~ 'u1'", "    $.age: 32 → 33"]
    assert run(*arguments).exit_code == 2  # nobody says yes
    assert files(data) == before
    assert lines(run(*arguments, "--yes"))[-1] == "1 record written"
    assert lines(run("get", "data", "users", "u1", "age")) == ["$ 33"]


def test_set_is_checked_by_the_class(run, data):
    """The path is told."""
    result = run(
        "set", "data", "users", "u1", "old", "-p", "years", "-m", "shop", "--yes"
    )

    assert result.exit_code == 2
    assert "expected int; found a text" in result.stderr


def test_set_makes_a_record_of_a_class(run, data):
    """From JSON."""
    value = '{"name": "Eve", "kind": 2}'
    result = run(
        "set", "data", "users", "u9", value, "--class", "User", "-m", "shop", "-y"
    )

    assert lines(result)[-1] == "1 record written"
    assert "kind=Kind.OWNER" in run("show", "data", "users", "-m", "shop").stdout or (
        "Kind.OWNER" in run("show", "data", "users", "-m", "shop").stdout
    )


def test_rm_removes_several_at_once(run, data):
    """In one commit."""
    result = run("rm", "data", "users", "u1", "u3", "--yes")

    assert lines(result)[-1] == "2 records written"
    assert lines(run("show", "data", "users"))[-1] == "1-1 of 1 record"
    assert len(lines(run("log", "data", "users"))) == 4


def test_stats_tells_what_is_large(run, data):
    """By class and field, and over the states."""
    text = run("stats", "data", "users").stdout

    assert "users: 3 records" in text
    assert ".name" in text
    document = json.loads(run("stats", "data", "--json").stdout)
    assert [each["database"]["name"] for each in document] == ["log", "users"]
    assert [each["records"] for each in document[1]["growth"]] == [3, 3]


def test_verify_salvage_and_compact_look_after_the_files(run, data):
    """And say what they did."""
    assert lines(run("verify", "data"))[-1] == "users: 0 problems"
    assert run("salvage", "data", "users").exit_code == 2  # it is intact
    assert "users" in run("compact", "data").stdout
    (data / "users.mpack").write_bytes(b"\x00damaged")
    assert run("verify", "data").exit_code == 1


def test_salvage_saves_what_is_whole(run, here):
    """Where nothing else does."""
    with Storify(here / "data", save_interval=None, keep=0) as sf:
        sf["d"].update({f"k{n}": "v" * 50 for n in range(200)})
    for each in sorted((here / "data" / ".backups").rglob("*"), reverse=True):
        if each.is_file():
            each.unlink()
    whole = (here / "data" / "d.mpack").read_bytes()
    (here / "data" / "d.mpack").write_bytes(whole[:5000])

    assert run("ls", "data").exit_code == 1
    result = run("salvage", "data", "d", "--json")

    assert result.exit_code in {0, 1}, result.output
    assert json.loads(result.stdout)["recovered"] > 50
    assert run("ls", "data").exit_code == 0


def test_values_that_are_hostile_do_not_reach_the_terminal(run, here):
    """Escapes and bidi characters are written out."""
    with Storify(here / "data", save_interval=None) as sf:
        sf["d"]["\x1b[31mkey"] = {"\u202efield": "\x07bell\nline"}

    for arguments in (("show", "data", "d"), ("get", "data", "d", "\x1b[31mkey")):
        text = run(*arguments).output
        assert all(each.isprintable() or each == "\n" for each in text)


def test_ten_thousand_unregistered_records_are_summed_up(run, fill):
    """By class, and all of them are in the document."""
    fill(**{f"u{n}": n for n in range(10_000)})

    result = run("check", "data")

    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) < 10
    assert "9,995 more as the last one: unregistered class" in result.stdout


def test_the_command_is_a_program(data, here):
    """Results on the standard output, all else on the standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "storify", "show", "data", "users", "--json"],
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )

    assert len(json.loads(done.stdout)) == 3
    assert done.stderr == ""


def test_databases_and_keys_are_completed(data, here):
    """As the shell asks for them."""
    from storify.cli._shared import _complete_rest, _complete_where  # noqa: PLC0415

    class Context:
        params = {"where": "data", "rest": []}

    assert _complete_rest(Context, "us") == ["users"]
    Context.params["rest"] = ["users"]
    assert _complete_rest(Context, "u") == ["u1", "u3", "u4"]
    assert "data/" in _complete_where("da")
    assert _complete_where("data/us") == ["data/users.mpack"]


def test_a_folder_of_one_database_needs_no_name(run, fill):
    """To be shown; of several one is to be named."""
    fill(u1=31)

    assert lines(run("show", "data"))[-1] == "1-1 of 1 record"
    assert (
        lines(run("show", "data", "--sort", "age", "--columns", "nothing"))[0]
        == "_key  nothing"
    )


def test_one_class_beside_another_is_a_column(run, here):
    """As fields alone do not tell them apart."""
    with Storify(here / "data", save_interval=None) as sf:
        sf["d"].update({"a": {"x": 1}, "b": 2})

    assert lines(run("show", "data", "d"))[0].split() == [
        "_key",
        "_class",
        "x",
        "_value",
    ]


def test_find_goes_on_and_counts_none(run, data):
    """With more of them, and with none."""
    assert lines(run("find", "data", "users", "age > 1", "-n", 1))[-1] == (
        "there are more; go on with --offset 1"
    )
    assert lines(run("find", "data", "users", "age > 100"), 1) == ["none found"]
    assert json.loads(run("find", "data", "users", "age > 100", "--json").stdout) == []


def test_history_tells_what_came_and_went(run, data):
    """Also to a program."""
    newest, oldest = lines(run("history", "data", "users", "u2"))
    document = json.loads(run("history", "data", "users", "u2", "--json").stdout)

    assert newest.endswith("now  removed")
    assert "User(name='ann', age=20)" in oldest
    assert [each["there"] for each in document] == [False, True]
    assert document[1]["value"] == {"name": "ann", "age": 20}


def test_diff_is_bounded_and_needs_another_state(run, data, here):
    """What is left out is counted."""
    assert lines(run("diff", "data", "users", "-n", 1), 1)[-2:] == [
        "… and 2 records more; see --limit",
        "1 added, 1 removed, 1 changed",
    ]
    alone = run("diff", "data", "log")
    assert alone.exit_code == 2
    assert "no older state to compare with" in alone.stderr
    added = json.loads(run("diff", "data", "users", "--json").stdout)["records"][1]
    assert added["edits"] == [{"path": "$", "after": {"name": "dot", "age": 5}}]


def test_a_database_that_cannot_be_read_is_told_by_the_exit_code(run, data):
    """And listed with why."""
    shutil.rmtree(data / ".backups" / "users")
    (data / "users.mpack").write_bytes(b"\xc1")

    listed = run("ls", "data")
    document = json.loads(run("ls", "data", "--json").stdout)

    assert listed.exit_code == 1
    assert "damaged: " in listed.stdout
    assert "storify: users: damaged: cannot load" in listed.stderr
    assert [each["records"] for each in document] == [2, None]


def test_a_large_tree_is_cut_by_parts_and_lines(run, here):
    """And a place in it is shown by its path."""
    with Storify(here / "data", save_interval=None) as sf:
        sf["d"]["a"] = {
            "x": list(range(500)),
            "y": [[[n, [n]]] * 60 for n in range(60)],
        }

    shown = lines(run("get", "data", "d", "a"))

    assert any("… and 400 more" in line for line in shown)
    assert shown[-1] == "… and more; name a place in it"
    assert lines(run("get", "data", "d", "a", "['x'][499]")) == ["$ 499"]


def test_a_narrow_terminal_names_the_columns_that_find_no_room(run, data, monkeypatch):
    """In a last line."""
    monkeypatch.setitem(table.__globals__, "width", lambda: 12)

    assert lines(run("show", "data", "users"))[-2:] == ["… and age", "1-3 of 3 records"]


def test_completion_offers_nothing_where_nothing_can_be_read(data, here):
    """And never fails."""
    from storify.cli._shared import _complete_rest, _complete_where  # noqa: PLC0415

    class Context:
        params = {"where": "nowhere", "rest": []}

    assert _complete_rest(Context, "u") == []
    assert _complete_where("nowhere/x") == []
    Context.params = {"where": "data/users.mpack", "rest": []}
    assert _complete_rest(Context, "u") == ["u1", "u3", "u4"]
    Context.params["rest"] = ["u1"]
    assert _complete_rest(Context, "u") == []


def test_a_question_is_answered(run, data, monkeypatch):
    """By yes; anything else writes nothing."""
    from typer.testing import CliRunner  # noqa: PLC0415

    from storify.cli._app import app  # noqa: PLC0415

    arguments = ["rm", "data", "users", "u1"]
    refused = CliRunner().invoke(app, arguments, input="n\n")
    agreed = CliRunner().invoke(app, arguments, input="y\n")

    assert refused.exit_code == 2
    assert "nothing was written" in refused.stderr
    assert agreed.exit_code == 0
    assert lines(run("show", "data", "users"))[-1] == "1-2 of 2 records"
