"""A hostile place neither breaks out of a face nor keeps it waiting; all is bounded."""

import asyncio
import html
import json
import re
import shutil
import time

import pytest
from starlette.testclient import TestClient
from textual.widgets import DataTable, OptionList, Static, Tree
from typer.testing import CliRunner

from explorer.hostile import TEXTS, fill, is_tame, many
from storify.cli._app import app as command
from storify.explorer import Session, key_token
from storify.terminal import Explorer
from storify.web import application
from storify.web.safety import Keys

#: A machine may be slow; what hangs takes for ever.
PATIENT_S = 60
HOST = "http://127.0.0.1"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A database for each kind of attack."""
    folder = tmp_path_factory.mktemp("hostile")
    fill(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A hundred thousand databases."""
    folder = tmp_path_factory.mktemp("crowd")
    many(folder, 100_000)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _in_time():
    start = time.monotonic()
    yield
    assert time.monotonic() - start < PATIENT_S


NAMES = [*TEXTS, "deep", "long", "wide", "broad", "classes"]


def run(*arguments):
    """What a command prints."""
    result = CliRunner().invoke(command, list(map(str, arguments)))
    assert result.exit_code in {0, 1}, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_command_line_prints_tame_and_bounded_text(place, name):
    """Of all verbs that look."""
    with Session(place) as session:
        page, _ = session.page(name, limit=2)
        tokens = list(map(key_token, page.rows))

    printed = [
        run("show", place, name),
        run("stats", place, name),
        run("log", place, name),
        run("find", place, name, "n = 1"),
        run("find", place, name, "_value ~ nothing"),
        *(run("get", place, name, each) for each in tokens),
        *(run("history", place, name, each) for each in tokens),
    ]

    for text in printed:
        assert is_tame(text)
        assert len(text) < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_json_whatever_is_in_it(place, name):
    """For a program, in ASCII if need be."""
    document = json.loads(run("show", place, name, "--json", "-n", 2))

    assert len(document) in {1, 2}


@pytest.mark.parametrize("name", NAMES)
def test_pages_are_tame_and_bounded(place, name):
    """All that a database's pages lead to."""
    with Session(place) as session:
        keys = Keys()
        client = TestClient(application(session, keys), base_url=HOST)
        todo = [f"/db/{name}"]
        todo[0] += f"?token={keys.token}"
        seen = set()
        while todo and len(seen) < 15:
            path = todo.pop()
            if path in seen or "/export" in path:
                continue
            seen.add(path)
            response = client.get(path)
            assert response.status_code == 200, path[:200]
            assert len(path) < 3000
            assert len(response.content) < 4_000_000
            text = response.text
            assert is_tame(text)
            for tag in re.findall(r"<\s*(\w+)", text):
                assert tag not in {"script", "img", "iframe", "object", "style"}
            assert (
                "{{ 7 * 7 }}" in html.unescape(text)
                or name != "template"
                or ("49" not in text)
            )
            todo += [
                each
                for each in map(html.unescape, re.findall(r'href="([^"]+)"', text))
                if each.startswith("/db/")
            ]


@pytest.mark.parametrize("name", NAMES)
def test_the_terminal_is_shown_tame_and_bounded_text(place, name):
    """The table, one record opened to its depth, its history, sizes, misfits."""

    async def journey(app, pilot):
        app.open(name)
        await pilot.pause()
        table = app.query_one("#records", DataTable)
        cells = [
            str(each)
            for row in range(table.row_count)
            for each in table.get_row_at(row)
        ]
        assert cells
        assert all(is_tame(each) and len(each) <= 40 for each in cells)
        heads = [str(each.label) for each in table.columns.values()]
        assert all(is_tame(each) and len(each) <= 40 for each in heads)
        app.query_one("#records").focus()
        await pilot.press("enter")
        await pilot.pause()
        tree = app.screen.query_one(Tree)
        for _ in range(12):
            await pilot.press("down", "enter")
        await pilot.pause()
        labels = [str(node.label) for node in _nodes(tree.root)]
        assert len(labels) < 20_000
        assert all(is_tame(each) and len(each) < 500 for each in labels)
        await pilot.press("escape")
        for key in ("h", "c", "i", "t", "v"):
            await pilot.press(key)
            await pilot.pause()
            shown = app.screen.query_one(OptionList)
            lines = [str(each.prompt) for each in shown.options]
            assert all(is_tame(each) and len(each) < 2000 for each in lines)
            await pilot.press("escape")
            await pilot.pause()
        assert is_tame(str(app.query_one("#said", Static).render()))

    driven(place, journey)


def _nodes(node):
    yield node
    for each in node.children:
        yield from _nodes(each)


def driven(folder, journey):
    """Run the terminal's application with a journey."""

    async def run():
        with Session(folder) as session:
            app = Explorer(session)
            async with app.run_test(size=(80, 24)) as pilot:
                await pilot.pause()
                await journey(app, pilot)

    asyncio.run(run())


@pytest.mark.deep("it makes as many")
def test_a_hundred_thousand_databases_are_listed_by_the_command(crowd):
    """As many as are asked for; one of them is found at once."""
    listed = run("ls", crowd, "-n", 50).splitlines()

    assert len(listed) == 52
    assert listed[-1] == "50 databases and 99,950 more"
    assert "1-1 of 1 record" in run("show", crowd, "d77777")


@pytest.mark.deep("it makes as many")
def test_a_hundred_thousand_databases_are_pages_in_the_browser(crowd):
    """And one of them is a page."""
    with Session(crowd) as session:
        keys = Keys()
        client = TestClient(application(session, keys), base_url=HOST)
        first = client.get("/", params={"token": keys.token})
        later = client.get("/", params={"offset": 99_900})

        assert "100000 databases" in first.text
        assert first.text.count("<tr>") == 201
        assert later.text.count("<tr>") == 101
        assert client.get("/db/d77777").status_code == 200


@pytest.mark.deep("it makes as many")
def test_a_hundred_thousand_databases_are_looked_through_in_the_terminal(crowd):
    """A thousand of them are listed, others are found by their names."""

    async def journey(app, pilot):
        assert app.query_one("#names", OptionList).option_count == 1000
        said = app.query_one("#said", Static)
        assert "1,000 of 100,000 databases" in str(said.render())
        await pilot.press("b", *"77777", "enter")
        await pilot.pause()
        assert app.names == ["d77777"]
        assert str(said.render()) == "d77777: 1-1 of 1"

    driven(crowd, journey)
