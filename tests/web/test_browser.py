"""Journeys in a real browser: what somebody sees who opens ``storify serve``."""

import json
import re
import shutil
import signal
import subprocess
import sys

import pytest

import explorer.conftest as people
from explorer.conftest import MODELS, User, folder  # noqa: F401 - a fixture
from storify import Storify

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed"
)
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
expect = sync_api.expect


@pytest.fixture(scope="module")
def browser():
    """One browser; each test has a profile of its own in it."""
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def serve(folder):  # noqa: F811 - the fixture
    """Starts the command, and gives the address that it prints."""
    started = []

    def serve(*options, where=folder):
        command = [sys.executable, "-m", "storify", "serve", str(where), "--port", "0"]
        server = subprocess.Popen(  # noqa: S603 - ours
            [*command, "--models", people.__file__, *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(server)
        return server.stdout.readline().strip()

    yield serve
    for server in started:
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
        server.stdout.close()


@pytest.fixture
def visit(browser):
    """Opens an address in a new profile."""
    profiles = []

    def visit(address, **options):
        profiles.append(browser.new_context(**options))
        page = profiles[-1].new_page()
        page.set_default_timeout(10_000)
        page.goto(address)
        return page

    yield visit
    for each in profiles:
        each.close()


def column(page, number):
    """A column of the table that is shown, to wait for."""
    return expect(page.locator(f"tbody tr td:nth-child({number})"))


def link(page, name):
    """A link by its text."""
    return page.get_by_role("link", name=name, exact=True)


def test_the_printed_address_opens_once(serve, visit):
    """Then the cookie does, and the token is gone from the address."""
    address = serve()

    page = visit(address)
    stranger = visit(address)

    expect(page.get_by_role("heading", level=1)).to_have_text("3 databases")
    column(page, 1).to_have_text(["log", "odd", "users"])
    column(page, 2).to_have_text(["3", "3", "3"])
    assert "token" not in page.url
    expect(stranger.locator("body")).to_contain_text("the token was used")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("3 databases")


def test_a_table_is_paged_through(serve, visit, folder):  # noqa: F811 - the fixture
    """Forth and back."""
    with Storify(folder, save_interval=None, models=MODELS) as sf:
        sf["many"].update({f"k{n:03}": User(f"n{n}", n) for n in range(120)})
    page = visit(serve())

    link(page, "many").click()

    expect(page.locator("main")).to_contain_text("1-50 of 120.")
    link(page, "Next").click()
    expect(page.locator("main")).to_contain_text("51-100 of 120.")
    link(page, "Next").click()
    expect(page.locator("main")).to_contain_text("101-120 of 120.")
    expect(page.locator("tbody a").last).to_have_text("k119")
    expect(link(page, "Next")).to_have_count(0)
    link(page, "Back").click()
    expect(page.locator("tbody a").first).to_have_text("k050")


def test_records_are_filtered_and_sorted(serve, visit):
    """By a line to type, and by the head of a column; the address can be shared."""
    page = visit(serve())
    link(page, "users").click()

    page.get_by_label("Filter").fill("age > 10 and name ~ a")
    page.get_by_role("button", name="Show").click()

    column(page, 2).to_have_text(["Ann"])
    page.get_by_label("Filter").fill("")
    page.keyboard.press("Enter")
    link(page, "age").click()
    column(page, 2).to_have_text(["Dot", "Ann", "Cy"])
    link(page, "age").click()
    column(page, 2).to_have_text(["Cy", "Ann", "Dot"])
    shared = page.url
    page.get_by_label("Filter").fill("age >")
    page.keyboard.press("Enter")
    expect(page.locator(".error")).to_contain_text("cannot read the filter 'age >'")
    page.goto(shared)
    column(page, 2).to_have_text(["Cy", "Ann", "Dot"])


def test_a_record_is_a_tree_and_a_reference_leads_on(serve, visit):
    """Parts are folded and opened without a script."""
    page = visit(serve())
    link(page, "users").click()
    link(page, "u3").click()

    tree = page.locator(".tree")

    expect(tree).to_contain_text(".name 'Cy' str")
    expect(tree).to_contain_text(".city 'Rome' str")
    tree.get_by_text("Address, 2 parts").click()
    expect(tree.get_by_text("'Rome'")).to_be_hidden()
    link(page, "→ users['u1']").click()
    expect(page.locator(".tree")).to_contain_text(".name 'Ann' str")
    assert page.url.endswith("/db/users/record?key=u1")


def test_time_goes_back_and_two_states_are_compared(serve, visit):
    """The database as it was, step by step, and what lies between."""
    page = visit(serve())
    link(page, "users").click()

    link(page, "Older").click()

    column(page, 2).to_have_text(["Ann", "Ben", "Cy"])
    expect(page.get_by_role("heading", level=1)).to_contain_text("as of")
    link(page, "u2").click()
    expect(page.locator(".tree")).to_contain_text("'Ben'")
    link(page, "users").click()
    link(page, "States").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    rows.nth(1).get_by_label("from").check()
    rows.nth(0).get_by_label("to").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "1 added, 1 removed, 1 changed"
    )
    expect(page.locator("tbody tr").first).to_have_text(
        re.compile(r"\$\.age\s*31\s*32")
    )
    expect(page.locator("main")).to_contain_text("- 'u2'")


def test_a_state_is_restored(serve, visit, folder):  # noqa: F811 - the fixture
    """After a look at what it changes."""
    page = visit(serve("--write"))
    link(page, "users").click()
    link(page, "States").click()

    link(page, "Restore …").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "1 added, 1 removed, 1 changed"
    )
    page.get_by_role("button", name="Restore this state").click()

    expect(page.locator("tbody tr")).to_have_count(3)
    link(page, "users").click()
    column(page, 2).to_have_text(["Ann", "Ben", "Cy"])
    with Storify(folder, save_interval=None, models=MODELS) as sf:
        assert sf["users"]["u1"].age == 31
        assert "u4" not in sf["users"]


def test_an_edit_is_a_draft_and_a_conflict_loses_nothing(serve, visit, folder):  # noqa: F811 - the fixture
    """What does not fit is refused, what somebody else changed is told."""
    page = visit(serve("--write"))
    link(page, "users").click()
    link(page, "u1").click()

    page.get_by_label("Place").fill(".age")
    page.get_by_label("Value").fill("old")
    page.get_by_role("button", name="Stage the edit").click()
    expect(page.locator(".error")).to_contain_text("expected int; found a text")
    page.go_back()
    page.get_by_label("Place").fill(".age")
    page.get_by_label("Value").fill("77")
    page.get_by_role("button", name="Stage the edit").click()
    expect(page.locator("tbody tr")).to_have_text(re.compile(r"\$\.age\s*32\s*77"))
    with Storify(folder, save_interval=None, models=MODELS) as sf:
        sf["users"]["u1"].age = 99
    page.get_by_role("button", name="Save all").click()
    expect(page.locator(".error")).to_contain_text("somebody changed 'u1' since")
    link(page, "1 draft").click()
    page.get_by_role("button", name="Drop all").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("0 drafts")
    with Storify(folder, save_interval=None, models=MODELS) as sf:
        assert sf["users"]["u1"].age == 99


def test_misfits_lead_to_their_records(serve, visit, folder):  # noqa: F811 - the fixture
    """By the place that does not fit."""
    with Storify(folder, save_interval=None, models=MODELS) as sf:
        sf["users"]["u1"].__dict__["age"] = "many"
        sf["users"].flush()
    page = visit(serve())
    link(page, "users").click()

    link(page, "Misfits").click()

    expect(page.get_by_role("heading", level=1)).to_have_text(
        "1 misfit, 0 damaged files"
    )
    column(page, 2).to_have_text(["wrong type"])
    link(page, "$['u1'].age").click()
    expect(page.locator(".tree")).to_contain_text(".age 'many' str")


def test_a_hostile_value_does_nothing(serve, visit, folder):  # noqa: F811 - the fixture
    """It is a text in each place where it stands, and asks nobody for anything."""
    evil = """<img src=x onerror="document.title='owned'"><script>alert(1)</script>"""
    with Storify(folder, save_interval=None) as sf:
        sf["evil"][evil] = {evil: evil, "\u202eflow": "\x1b[31m"}
    page = visit(serve())
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    link(page, "evil").click()

    column(page, 1).to_contain_text(["<img src=x"])
    page.locator("tbody a").click()
    expect(page.locator(".tree")).to_contain_text("<script>alert(1)</script>")
    expect(page.locator("main img, main script")).to_have_count(0)
    for tab, last in [
        ("History", "history"),
        ("Sizes", "sizes"),
        ("Misfits", "misfits"),
        ("States", "log"),
    ]:
        link(page, tab).click()
        page.wait_for_url(f"**/evil/{last}*")
        assert page.title() != "owned"
        expect(page.locator("main img, main script")).to_have_count(0)
    pages = {url.partition("?")[0].rpartition("/")[2] for url in asked}
    assert pages == {
        "evil",
        "record",
        "history",
        "sizes",
        "misfits",
        "log",
        "style.css",
    }


def test_what_is_shown_is_downloaded(serve, visit):
    """With the filter that is set."""
    page = visit(serve())
    link(page, "users").click()
    page.get_by_label("Filter").fill("age > 31")
    page.keyboard.press("Enter")

    with page.expect_download() as lines:
        link(page, "jsonl").click()
    with page.expect_download() as table:
        link(page, "csv").click()

    assert lines.value.suggested_filename == "users.jsonl"
    assert table.value.suggested_filename == "users.csv"
    text = lines.value.path().read_text()
    assert [json.loads(each)["_key"] for each in text.splitlines()] == ["u1", "u3"]
    assert len(table.value.path().read_text().splitlines()) == 3


def test_everything_works_without_javascript(serve, visit):
    """Forms, folded parts and drafts."""
    page = visit(serve("--write"), java_script_enabled=False)
    link(page, "users").click()

    page.get_by_label("Filter").fill("age > 35")
    page.get_by_role("button", name="Show").click()
    link(page, "u3").click()
    page.locator("summary", has_text="Address").click()
    expect(page.get_by_text("'Rome'")).to_be_hidden()
    page.get_by_label("Place").fill("home.city")
    page.get_by_label("Value").fill("Milan")
    page.get_by_role("button", name="Stage the edit").click()
    page.get_by_role("button", name="Save all").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("0 drafts")
    page.goto(f"{page.url.removesuffix('/drafts')}/db/users/record?key=u3")
    expect(page.locator(".tree")).to_contain_text(".city 'Milan' str")


def test_everything_is_reached_by_the_keyboard(serve, visit):
    """With a visible focus all the way."""
    page = visit(serve())

    def to(text):
        for _ in range(60):
            page.keyboard.press("Tab")
            focus = page.locator(":focus")
            if focus.count() and text in (
                focus.inner_text(),
                focus.get_attribute("name"),
            ):
                style = focus.evaluate("each => getComputedStyle(each).outlineStyle")
                assert style == "solid"
                return
        raise AssertionError(text)

    to("users")
    page.keyboard.press("Enter")
    page.wait_for_url("**/db/users")
    to("where")
    page.keyboard.type("age > 35")
    page.keyboard.press("Enter")
    page.wait_for_url("**where=**")
    column(page, 2).to_have_text(["Cy"])
    to("u3")
    page.keyboard.press("Enter")
    page.wait_for_url("**/record**")
    to(".home Address, 2 parts")
    page.keyboard.press("Enter")
    expect(page.get_by_text("'Rome'")).to_be_hidden()
    to("→ users['u1']")
    page.keyboard.press("Enter")
    page.wait_for_url("**key=u1")
    expect(page.locator(".tree")).to_contain_text("'Ann'")
