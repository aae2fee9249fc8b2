"""A place of databases is looked at as it is, and nothing is changed by it."""

import datetime as dt
import subprocess
import sys

import pytest

from explorer.conftest import MODELS, User
from storify import ConflictError, Storify
from storify.exceptions import CheckError, ModelLoadError
from storify.explorer import (
    MISSING,
    NotThereError,
    PathError,
    ReadOnlyError,
    Session,
    columns_of,
    key_token,
    kind_of,
    one_line,
    tree_of,
)


def files(folder):
    """Everything in a folder, with its times."""
    return {
        each: (each.read_bytes(), each.stat().st_mtime_ns)
        for each in folder.rglob("*")
        if each.is_file()
    }


def test_databases_are_told_of_at_a_glance(session):
    """With records, bytes, when they were written, older states, health."""
    users = session.about("users")

    assert [each.name for each in session.databases()] == ["log", "odd", "users"]
    assert (users.records, users.older, users.health) == (3, 1, "ok")
    assert users.size_bytes > 0
    assert dt.datetime.now(dt.UTC) - users.written < dt.timedelta(minutes=5)


def test_looking_changes_nothing_on_disk(folder, opened):
    """Whatever is asked, no file comes or goes."""
    before = files(folder)
    session = opened()

    for name in session.names():
        session.page(name, sort="name")
        session.misfits(name)
        session.verify(name)
        session.stats(name)
        for state in session.states(name):
            session.page(name, state=state.id)
    session.history("users", "u1")
    session.restore("users", session.states("users")[1].id, dry_run=True)
    session.stage("users", "u1", "9", "age")

    assert files(folder) == before


def test_a_record_shows_the_same_with_its_class_and_without(session, typed):
    """But for the enum's and the named tuple's own spelling."""
    for key in ("u1", "u3", "u4"):
        bare, full = session.row("users", key).value, typed.row("users", key).value

        assert kind_of(bare) == kind_of(full) == "User"
        assert one_line(bare, 500) == one_line(full, 500)
        assert tree_of(bare) | {"kind": 0} == tree_of(full) | {"kind": 0}


def test_private_attributes_are_never_shown(typed):
    """They are not stored."""
    assert "_hidden" not in tree_of(typed.row("users", "u1").value)


@pytest.mark.parametrize(
    ("text", "found"),
    [("7", "seven"), ("'7'", "text"), ("(1, 2)", "dict"), ("(1,2)", "dict")],
)
def test_a_key_is_found_by_what_somebody_writes(session, text, found):
    """A literal first, then a text."""
    value = session.row("odd", text).value

    assert value == found or kind_of(value) == found


def test_each_key_is_found_by_its_token(session):
    """Whatever its type: links and command lines use it."""
    for name in ("odd", "users", "log"):
        for row in session.page(name)[0].rows:
            assert session.row(name, key_token(row)).key == row.key


def test_what_is_not_there_is_said_with_what_is_near(session, folder):
    """A typing error makes no folder."""
    with pytest.raises(NotThereError, match="did you mean 'users'"):
        session.page("user")
    with pytest.raises(NotThereError, match="did you mean 'u1'"):
        session.row("users", "u11")
    with pytest.raises(NotThereError, match="did you mean 'data'"):
        Session(folder.parent / "dat")
    assert [each.name for each in folder.parent.iterdir()] == ["data"]


def test_a_page_goes_on_where_the_last_one_ended(session):
    """Also in a list, and from the start again."""
    first, _ = session.page("log", limit=2)
    second, _ = session.page("log", offset=2, limit=2)
    again, _ = session.page("log", limit=2)

    assert [row.value for row in first.rows] == ["one", 2]
    assert first.more
    assert [row.key for row in second.rows] == [2]
    assert not second.more
    assert again == first


def test_a_page_is_bounded_by_bytes(tmp_path):
    """A record that is larger than a page is one by itself."""
    with Storify(tmp_path, save_interval=None) as sf:
        sf["big"].update({str(n): "x" * 700_000 for n in range(3)})
    with Session(tmp_path) as session:
        page, _ = session.page("big", limit=100)

        assert len(page.rows) == 1
        assert page.more


def test_columns_are_the_fields_and_what_has_none_is_a_value(session):
    """In the order in which they come."""
    users, _ = session.page("users")
    log, _ = session.page("log")

    assert columns_of(users.rows)[:3] == ["name", "age", "kind"]
    assert columns_of(log.rows) == ["_value", "three"]


def test_records_are_sorted_by_a_field(session):
    """Those that lack it come last, in both directions."""

    def names(**options):
        page, _ = session.page("users", **options)
        return [row.value["__User__"]["name"] for row in page.rows]

    assert names(sort="age") == ["Dot", "Ann", "Cy"]
    assert names(sort="age", reverse=True) == ["Cy", "Ann", "Dot"]
    assert names(sort="home.city")[0] == "Cy"
    assert names(sort="home.city", reverse=True)[0] == "Cy"
    assert names(sort="age", offset=1, limit=1) == ["Ann"]


def test_a_state_is_found_by_id_time_and_word(session):
    """And what is older than all says so."""
    older = session.states("users")[1]

    assert session.state_id("users", older.id) == older.id
    assert session.state_id("users", older.id.partition("-")[0]) == older.id
    assert session.state_id("users", older.time.isoformat()) == older.id
    assert session.state_id("users", "now") == "now"
    assert session.state_id("users", "today") == "now"
    with pytest.raises(NotThereError, match="the oldest is of"):
        session.state_id("users", "yesterday")
    with pytest.raises(NotThereError, match="no state 'x'"):
        session.state_id("users", "x")


def test_two_states_are_compared_place_by_place(session):
    """What came, what went and what is another."""
    found = session.diff("users", session.states("users")[1].id)

    assert (found.added, found.removed, found.changed) == (1, 1, 1)
    changed = {change.key: change for change in found.changes}
    assert changed["u1"].edits() == [("$.age", 31, 32)]
    assert changed["u2"].kind == "removed"
    assert changed["u4"].before is MISSING


def test_a_key_has_a_history(session):
    """One moment for each state that changed it, the newest first."""
    ages = [each.value["__User__"]["age"] for each in session.history("users", "u1")]
    gone = session.history("users", "u2")

    assert ages == [32, 31]
    assert [each.value is MISSING for each in gone] == [True, False]


def test_a_state_is_restored_whole(typed):
    """The state before joins the older ones."""
    older = typed.states("users")[1].id

    found = typed.restore("users", older)

    assert (found.added, found.removed, found.changed) == (1, 1, 1)
    page, _ = typed.page("users")
    assert [row.key for row in page.rows] == ["u1", "u2", "u3"]
    assert len(typed.states("users")) == 3


def test_keys_are_restored_by_themselves(typed):
    """A key that was not there then goes."""
    older = typed.states("users")[1].id

    typed.restore("users", older, ["u2", "u4"])

    page, _ = typed.page("users")
    assert {row.key: row.value.age for row in page.rows} == {
        "u1": 32,
        "u2": 20,
        "u3": 40,
    }


def test_who_looks_cannot_write(session):
    """Not by a draft, nor by a restore."""
    session.stage("users", "u1", "9", "age")

    with pytest.raises(ReadOnlyError):
        session.apply()
    with pytest.raises(ReadOnlyError):
        session.restore("users", session.states("users")[1].id)
    with pytest.raises(ReadOnlyError):
        session.compact("users")


def test_drafts_are_written_at_once(typed, folder):
    """Edits of one record add up; what they change is told before."""
    first = typed.stage("users", "u1", "41", "age")
    draft = typed.stage("users", "u1", "Anna", ".name")
    typed.stage("users", "u3", "Oslo", "home.city")
    typed.stage_delete("users", "u4")

    assert [edit.path for edit in first.edits()] == ["$.age"]
    assert {edit.path for edit in draft.edits()} == {"$.age", "$.name"}
    assert typed.apply() == 3
    assert typed.drafts() == []
    with Storify(folder, save_interval=None, models=MODELS) as sf:
        users = sf.get_db("users", model=User)
        assert (users["u1"].name, users["u1"].age) == ("Anna", 41)
        assert users["u3"].home.city == "Oslo"
        assert "u4" not in users


def test_a_record_of_an_unknown_class_is_edited_too(opened, folder):
    """It stays of its class."""
    session = opened(write=True)
    session.stage("users", "u1", "50", "age")
    session.apply()

    with Storify(folder, save_interval=None, models=MODELS) as sf:
        assert sf.get_db("users", model=User)["u1"].age == 50


@pytest.mark.parametrize(
    ("path", "text", "error"),
    [
        ("age", "old", ModelLoadError),
        ("home.city", "7", None),
        ("home", "7", ModelLoadError),
        ("nme", "x", CheckError),
        ("name.x", "x", PathError),
        ("seen", "2026-01-01T00:00:00+00:00", None),
        ("seen", "soon", ModelLoadError),
        ("kind", "2", None),
        ("kind", "3", ModelLoadError),
        ("tags[0]", "z", None),
        ("tags[9]", "z", PathError),
    ],
)
def test_a_draft_must_fit_the_class(typed, path, text, error):
    """Else it is refused by its place, and nothing is staged."""
    if error is None:
        typed.stage("users", "u3" if path.startswith("home") else "u1", text, path)
        assert typed.apply() == 1
    else:
        with pytest.raises(error):
            typed.stage("users", "u3" if path.startswith("home") else "u1", text, path)
        assert typed.drafts() == []


def test_a_draft_of_a_record_that_somebody_changed_is_refused(typed, folder):
    """Nothing is written and the draft stays."""
    typed.stage("users", "u1", "41", "age")
    with Storify(folder, save_interval=None, models=MODELS) as sf:
        sf.get_db("users", model=User)["u1"].age = 99

    with pytest.raises(ConflictError) as caught:
        typed.apply()

    assert caught.value.keys == ("u1",)
    assert len(typed.drafts()) == 1
    assert typed.row("users", "u1").value.age == 99


def test_what_is_saved_here_prunes_no_older_state(typed, folder):
    """How many are kept is the owner's to say."""
    with Storify(folder, save_interval=None, models=MODELS, keep=50) as sf:
        for age in range(10):
            sf.get_db("users", model=User)["u1"].age = age
            sf.flush()
    count = len(typed.states("users"))

    typed.stage("users", "u1", "41", "age")
    typed.apply()

    assert len(typed.states("users")) == count + 1


def test_items_of_a_list_are_edited_and_added(typed, folder):
    """The others stay where they are."""
    typed.stage("log", "1", "22")
    typed.stage("log", "3", '"four"')
    typed.stage_delete("log", "0")
    typed.apply()

    with Storify(folder, save_interval=None) as sf:
        assert sf.get_db("log", root=[]).data == [22, {"three": 3}, "four"]


def test_what_somebody_commits_meanwhile_is_seen(session, folder):
    """A session shows what is durable now."""
    assert session.about("users").records == 3
    with Storify(folder, save_interval=None, models=MODELS) as sf:
        sf.get_db("users", model=User)["u9"] = User("New")

    assert session.about("users").records == 4
    assert session.row("users", "u9").key == "u9"


def test_a_writer_never_waits_for_a_session(folder, opened):
    """Another process commits while pages are open."""
    session = opened()
    session.page("users", limit=1)
    code = (
        "import sys; from storify import Storify\n"
        "with Storify(sys.argv[1], save_interval=None) as sf: sf['users']['n'] = 1"
    )

    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, timeout=60)  # noqa: S603 - ours

    assert session.row("users", "n").value == 1


def test_one_file_is_a_place_too(opened, folder):
    """Also under another name, and only it."""
    (folder / "log.mpack").rename(folder / "a copy")

    assert opened(folder / "a copy").names() == ["a copy"]
    assert opened(folder / "users.mpack").names() == ["users"]
    assert opened(folder / "a copy").about("a copy").records == 3


def test_databases_in_memory_are_looked_at_through_their_storify():
    """The state that was flushed."""
    sf = Storify("memory://", models=MODELS)
    users = sf.get_db("users", model=User)
    users["u1"] = User("Ann", 1)
    users.flush()
    users["u1"].age = 2
    users.flush()

    with Session(sf, write=True) as session:
        assert session.about("users").records == 1
        assert len(session.history("users", "u1")) == 2
        session.stage("users", "u1", "3", "age")
        session.apply()
    users.reload()
    assert users["u1"].age == 3
    sf.close()


def test_a_damaged_database_is_told_of_and_the_others_are_shown(folder, opened):
    """Its health says why."""
    (folder / "odd.mpack").write_bytes(b"no root")
    for each in (folder / ".backups" / "odd").iterdir():
        if each.is_file():
            each.unlink()

    found = {each.name: each for each in opened().databases()}

    assert found["odd"].records is None
    assert found["odd"].health.startswith("damaged: ")
    assert found["users"].health == "ok"


def test_a_reference_is_followed(typed):
    """And one that leads nowhere is not."""
    friend = typed.row("users", "u3").value.friend

    assert typed.follow(friend) == ("users", "u1")
    assert typed.follow(type(friend)("users", "nobody")) is None
    assert typed.follow(type(friend)("nowhere", "u1")) is None


def test_sizes_are_told_by_class_and_field(typed):
    """And the states grow or shrink."""
    found = typed.stats("users")

    assert [(each.name, each.records) for each in found.classes] == [("User", 3)]
    assert set(found.classes[0].fields) >= {"name", "age", "tags"}
    assert [records for _, records, _ in found.growth] == [3, 3]


def test_a_record_is_a_tree_in_a_notebook(session, typed):
    """With the same steps as a path, with its class and without it; nothing gets out."""
    for opened in (session, typed):
        shown = opened.row("users", "u1")._repr_html_()

        assert shown.startswith("<details open><summary><code>$[&#x27;u1&#x27;]</code>")
        assert "<code>.name</code>" in shown
        assert "<code>[0]</code>" in shown

    with Storify("memory://hostile", save_interval=None) as sf:
        sf["d"]["<b>"] = {
            "<script>": ["\x1b[2J", {"deep": [[[["<i>"]]]]}],
            "n": range(3),
        }
        sf["d"]["wide"] = list(range(1000))
        sf.flush()
        with Session(sf) as opened:
            hostile = opened.row("d", "<b>")._repr_html_()
            wide = opened.row("d", "wide")._repr_html_()

    assert not [each for each in ("<script>", "<i>", "<b>", "\x1b") if each in hostile]
    assert wide.endswith("<li>… and 800 more</li></ul></details>")


def test_sizes_and_growth_are_pictures_in_a_notebook(session):
    """A bar for each class, field and state, with what it stands for as a text."""
    drawn = session.stats("users")._repr_html_()

    assert "<th>User</th><td>3 records</td>" in drawn
    assert "<code>.name</code>" in drawn
    assert drawn.count("<rect") == 1 + 9 + 2 + 2
    assert "Records of 2 states: from 3 records to 3 records" in drawn
    assert "<svg" in drawn
    assert "figure" not in session.stats("odd")._repr_html_()  # it has one state


def test_a_state_has_those_beside_it(session):
    """What is put aside has none."""
    ids = [each.id for each in session.states("users")]

    older, now, newer = session.around("users", "now")
    assert (older.id, now.id, newer) == (ids[1], "now", None)
    older, found, newer = session.around("users", ids[1])
    assert (older, found.id, newer.id) == (None, ids[1], "now")


def test_a_long_key_has_a_short_token_that_finds_it(tmp_path, opened):
    """For links; in between others."""
    long = "k" * 1_000_000
    with Storify(tmp_path, save_interval=None) as sf:
        sf["d"].update({"a": 1, long: 2, "#": 3, f"#{'0' * 32}": 4})
    session = opened(tmp_path)

    page, _ = session.page("d")
    tokens = [key_token(row) for row in page.rows]

    assert max(map(len, tokens)) < 40
    assert [session.row("d", each).value for each in tokens] == [1, 2, 3, 4]


def test_a_look_that_takes_too_long_gives_up(tmp_path, opened):
    """And tells after how many records."""
    with Storify(tmp_path, save_interval=None) as sf:
        sf["d"].update({f"k{n}": n for n in range(3000)})
    session = opened(tmp_path)

    page, _ = session.page("d", sort="_key", seconds=0)
    stats = session.stats("d", seconds=0)
    _, looked_at = session.misfits("d", seconds=0)

    assert page.cut
    assert page.total is None
    assert 0 < page.looked_at < 3000
    assert 0 < stats.looked_at < 3000
    assert 0 < looked_at < 3000
    assert session.misfits("d")[1] is None


def test_an_export_is_of_one_state(tmp_path, opened):
    """Also if somebody writes between its looks."""
    with Storify(tmp_path, save_interval=None) as sf:
        sf["d"].update({"a": 1, "b": 2})
    session = opened(tmp_path)

    with session.pairs("d") as (pairs, total):
        before = list(pairs())
        with Storify(tmp_path, save_interval=None) as sf:
            sf["d"]["c"] = 3
        session.page("d")
        assert list(pairs()) == before == [("a", 1), ("b", 2)]
        assert total == 2


def test_a_record_is_restored_whatever_else_has_changed(tmp_path, opened):
    """However much that is, and the others stay as they are."""
    with Storify(tmp_path, save_interval=None) as sf:
        db = sf.get_db("d", root={f"k{n}": 0 for n in range(1500)})
        db.flush()
        db.update(dict.fromkeys(db, 1))
    session = opened(tmp_path, write=True)

    found = session.restore("d", session.states("d")[1].id, ["k1400"])

    assert [(each.key, each.before, each.after) for each in found.changes] == [
        ("k1400", 1, 0)
    ]
    assert (found.added, found.removed, found.changed) == (0, 0, 1)
    with Storify(tmp_path, save_interval=None) as sf:
        assert [sf["d"][key] for key in ("k1400", "k1", "k1499")] == [0, 1, 1]
