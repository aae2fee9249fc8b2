"""The explorer in the terminal is used by keyboard alone, also in 80 columns."""

import asyncio

import pytest
from textual.widgets import DataTable, OptionList, Static, Tree

from explorer.conftest import MODELS, folder, opened, session, typed  # noqa: F401 - fixtures
from storify import Storify
from storify.explorer import Session
from storify.explorer.export import Format
from storify.terminal import Explorer
from web.test_serve import damaged


def driven(session, journey):  # noqa: F811 - the fixture's name
    """Run the application with a journey that presses keys."""

    async def run():
        app = Explorer(session)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            await journey(app, pilot)

    asyncio.run(run())


def said(app):
    """The last line."""
    return str(app.query_one("#said", Static).render())


def shown(app):
    """The table as texts."""
    table = app.query_one("#records", DataTable)
    return [
        [str(each) for each in table.get_row_at(row)] for row in range(table.row_count)
    ]


def listed(app):
    """The lines of the list on top."""
    lines = app.screen.query_one(OptionList)
    return [str(lines.get_option_at_index(n).prompt) for n in range(lines.option_count)]


async def choose(pilot, number):
    """Take one of a list."""
    await pilot.press(*["down"] * number, "enter")
    await pilot.pause()


async def to_users(app, pilot):
    """Open the third database."""
    app.query_one("#names", OptionList).focus()
    await choose(pilot, 2)


async def typed_in(pilot, text):
    """Type a line over what is there."""
    await pilot.press("home", "shift+end", "delete")
    for each in text:
        await pilot.press(
            {
                " ": "space",
                ">": "greater_than_sign",
                "/": "slash",
                ".": "full_stop",
                "_": "underscore",
            }.get(each, each)
        )
    await pilot.press("enter")
    await pilot.pause()


def test_databases_and_records_are_shown(typed):  # noqa: F811 - the fixture
    """The first database at once, others by enter."""

    async def journey(app, pilot):
        assert [row[0] for row in shown(app)] == ["0", "1", "2"]
        await to_users(app, pilot)
        assert [row[1] for row in shown(app)] == ["Ann", "Cy", "Dot"]
        assert said(app) == "users: 1-3 of 3"

    driven(typed, journey)


def test_records_are_filtered_and_sorted(typed):  # noqa: F811 - the fixture
    """And a filter that cannot be read is said."""

    async def journey(app, pilot):
        await to_users(app, pilot)
        await pilot.press("slash")
        await pilot.pause()
        await typed_in(pilot, "age > 31")
        assert [row[1] for row in shown(app)] == ["Ann", "Cy"]
        await pilot.press("slash")
        await pilot.pause()
        await typed_in(pilot, "age >")
        assert "cannot read the filter" in said(app)
        await pilot.press("slash")
        await pilot.pause()
        await typed_in(pilot, "")
        await pilot.press("s")
        await pilot.pause()
        await choose(pilot, 2)
        assert [row[1] for row in shown(app)] == ["Dot", "Ann", "Cy"]

    driven(typed, journey)


def test_one_record_is_a_tree_and_a_reference_is_followed(typed):  # noqa: F811 - the fixture
    """Escape goes back."""

    async def journey(app, pilot):
        await to_users(app, pilot)
        await pilot.press("down", "enter")
        await pilot.pause()
        tree = app.screen.query_one(Tree)
        labels = [str(node.label) for node in tree.root.children]
        assert labels[0] == ".name 'Cy'"
        assert ".friend → users['u1']" in labels
        await pilot.press(*["down"] * (labels.index(".friend → users['u1']") + 1), "g")
        await pilot.pause()
        labels = [str(node.label) for node in app.screen.query_one(Tree).root.children]
        assert labels[0] == ".name 'Ann'"
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.screen_stack) == 1

    driven(typed, journey)


def test_time_goes_back_and_forth(typed):  # noqa: F811 - the fixture
    """A state, what changed since, the history of a record."""

    async def journey(app, pilot):
        await to_users(app, pilot)
        await pilot.press("t")
        await pilot.pause()
        await choose(pilot, 1)
        assert [row[1] for row in shown(app)] == ["Ann", "Ben", "Cy"]
        assert "as of" in said(app)
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert [row[1] for row in shown(app)] == ["Ann", "Cy", "Dot"]
        await pilot.press("d")
        await pilot.pause()
        await choose(pilot, 1)
        assert "    $.age: 31 → 32" in listed(app)
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("h")
        await pilot.pause()
        assert app.screen.query_one("#choices", OptionList).option_count == 2
        await choose(pilot, 1)
        labels = [str(node.label) for node in app.screen.query_one(Tree).root.children]
        assert ".age 31" in labels
        await pilot.press("down", "down", "r")
        await pilot.pause()
        assert said(app) == "draft: ~ 'u1'; $.age: 32 → 31; ctrl+s saves  [1 draft]"
        app.session.drop(app.session.drafts()[0])
        await pilot.press("h")
        await pilot.pause()
        await choose(pilot, 1)
        await pilot.press("r")
        await pilot.pause()
        assert "$.age: 32 → 31" in listed(app)[1]
        await pilot.press("y")
        await pilot.pause()
        assert said(app) == "restored: 0 added, 0 removed, 1 changed"
        assert [row[2] for row in shown(app)] == ["31", "40", "0"]
        await pilot.press("left_square_bracket", "left_square_bracket")
        await pilot.pause()
        assert [row[1] for row in shown(app)] == ["Ann", "Ben", "Cy"]

    driven(typed, journey)


def test_misfits_and_sizes_are_shown(opened):  # noqa: F811 - the fixture
    """Without the classes, that they are unknown."""

    async def journey(app, pilot):
        await to_users(app, pilot)
        await pilot.press("c")
        await pilot.pause()
        assert any("$['u1']: unregistered class" in line for line in listed(app))
        await pilot.press("enter")
        await pilot.pause()
        assert str(app.screen.query_one(Tree).root.label) == "$ User, 9 parts"
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("i")
        await pilot.pause()
        assert listed(app)[0].startswith("User: 3 records")
        assert "3 records" in listed(app)[-1]

    driven(opened(), journey)


def test_an_edit_is_a_draft_then_saved(typed, folder):  # noqa: F811 - the fixtures
    """It is checked, told and written by ctrl+s."""

    async def edit(app, pilot, value):
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("down", "down", "e")
        await pilot.pause()
        await typed_in(pilot, value)

    async def journey(app, pilot):
        await to_users(app, pilot)
        await edit(app, pilot, "old")
        assert "expected int" in said(app)
        await edit(app, pilot, "55")
        await pilot.press("v")
        await pilot.pause()
        assert listed(app) == ["users ~ 'u1'; $.age: 32 → 55"]
        await pilot.press("enter")
        await pilot.pause()
        assert said(app) == "dropped"
        await edit(app, pilot, "77")
        assert "$.age: 32 → 77" in said(app)
        assert "[1 draft]" in said(app)
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert said(app) == "1 record saved"
        await pilot.press("x", "ctrl+s")
        await pilot.pause()
        assert [row[1] for row in shown(app)] == ["Cy", "Dot"]
        await pilot.press("r")
        await pilot.pause()
        await choose(pilot, 1)
        assert "+ 'u1'" in listed(app)[0]
        await pilot.press("y")
        await pilot.pause()
        assert [row[2] for row in shown(app)] == ["77", "40", "0"]

    driven(typed, journey)
    with Storify(folder, save_interval=None, models=MODELS) as sf:
        assert sf["users"]["u1"].age == 77


def test_a_record_is_added(typed):  # noqa: F811 - the fixture
    """By its key and a value."""

    async def journey(app, pilot):
        await to_users(app, pilot)
        await pilot.press("a")
        await pilot.pause()
        await typed_in(pilot, "u9")
        await typed_in(pilot, "7")
        assert said(app).startswith("draft: + 'u9'  7; ctrl+s saves")
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert shown(app)[-1][0] == "u9"

    driven(typed, journey)


def test_what_is_intact_of_a_damaged_database_is_saved(typed, folder):  # noqa: F811 - the fixtures
    """And nothing of another one is shown for it meanwhile."""
    damaged(folder)

    async def journey(app, pilot):
        await pilot.press("b")
        await pilot.pause()
        await typed_in(pilot, "broken")
        assert "cannot load" in said(app)
        assert shown(app) == []
        await pilot.press("x", "c")
        await pilot.pause()
        assert "cannot load" in listed(app)[0]
        await pilot.press("y")
        await pilot.pause()
        assert "records saved" in said(app)
        assert shown(app)[0][0] == "k0"

    driven(typed, journey)


def test_who_looks_cannot_write(opened):  # noqa: F811 - the fixture
    """And is told how."""

    async def journey(app, pilot):
        await to_users(app, pilot)
        await pilot.press("x")
        await pilot.pause()
        assert "start with --write" in said(app)

    driven(opened(), journey)


@pytest.mark.parametrize("kind", list(Format))
def test_what_is_shown_is_exported(typed, tmp_path, monkeypatch, kind):  # noqa: F811 - the fixture
    """In the format of the file's ending, as far as the filter lets it through."""
    monkeypatch.chdir(tmp_path)

    async def journey(app, pilot):
        await to_users(app, pilot)
        app.where = "age > 31"
        await pilot.press("o")
        await pilot.pause()
        await typed_in(pilot, "out.pdf")
        assert "it ends with none of" in said(app)
        await pilot.press("o")
        await pilot.pause()
        await typed_in(pilot, f"out.{kind}")
        assert said(app) == (
            f"out.{kind}: 2 records"
            + (", 1 not held as they are" if kind is Format.PARQUET else "")
        )

    driven(typed, journey)
    assert (tmp_path / f"out.{kind}").stat().st_size > 100


def test_a_database_is_found_by_its_name(typed):  # noqa: F811 - the fixture
    """And the list tells of each what is known at a glance."""

    async def journey(app, pilot):
        await pilot.press("b")
        await pilot.pause()
        await typed_in(pilot, "use")
        assert [row[1] for row in shown(app)] == ["Ann", "Cy", "Dot"]
        await pilot.press("b")
        await pilot.pause()
        await typed_in(pilot, "nothing")
        assert said(app) == "0 of 0 databases; b looks for one"
        await pilot.press("b")
        await pilot.pause()
        await typed_in(pilot, "")
        app.query_one("#names", OptionList).focus()
        await pilot.press("down")
        await pilot.pause()
        assert said(app).startswith("odd: 3 records, ")
        assert said(app).endswith(", 0 older, ok")

    driven(typed, journey)


def test_an_empty_folder_is_shown(tmp_path):
    """There is nothing, and nothing fails."""

    async def journey(app, pilot):
        await pilot.press("n", "enter", "h", "x")
        await pilot.pause()

    with Session(tmp_path) as session:  # noqa: F811 - another one
        driven(session, journey)
