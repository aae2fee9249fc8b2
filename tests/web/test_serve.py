"""The pages show what is there, to whoever has the token, and nothing breaks out."""

import html
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from starlette.testclient import TestClient

from explorer.conftest import MODELS, User, folder, opened, session, typed  # noqa: F401 - fixtures
from storify import Storify
from storify.web import application
from storify.web.safety import COOKIE, Keys

HOST = "http://127.0.0.1"


def client_of(place, *, write=False):
    """A browser that was let in."""
    place.write = write
    keys = Keys()
    client = TestClient(application(place, keys), base_url=HOST)
    assert client.get("/", params={"token": keys.token}).status_code == 200
    return client


@pytest.fixture
def client(typed):  # noqa: F811 - the fixture
    """A browser on a session that only looks."""
    return client_of(typed)


@pytest.fixture
def writer(typed):  # noqa: F811 - the fixture
    """A browser on a session that writes."""
    return client_of(typed, write=True)


def text_of(response):
    """What somebody reads on a page."""
    assert response.status_code == 200, response.text
    return html.unescape(re.sub(r"<[^>]*>", " ", response.text))


def post(client, to, **form):
    """Send a form as its page would."""
    csrf = re.search(
        rf'action="{re.escape(to)}".*?name="csrf" value="(\w+)"',
        form.pop("page"),
        re.DOTALL,
    )
    return client.post(to, data={"csrf": csrf[1], **form}, headers={"origin": HOST})


def test_every_page_can_be_opened_by_its_links(client):
    """From the first one on, within the place."""
    todo, seen = ["/"], set()
    while todo:
        path = todo.pop()
        if path in seen or len(seen) > 200:
            continue
        seen.add(path)
        response = client.get(path)
        assert response.status_code == 200, path
        if response.headers["content-type"].startswith("text/html"):
            todo += map(html.unescape, re.findall(r'href="([^"]+)"', response.text))

    pages = {path.partition("?")[0] for path in seen}
    assert {
        f"/db/users{page}"
        for page in (
            "",
            "/record",
            "/log",
            "/diff",
            "/history",
            "/misfits",
            "/sizes",
            "/export",
        )
    } <= pages


def test_pages_show_what_is_there(client):
    """Databases, records, one of them, its past, what changed."""
    assert "users" in text_of(client.get("/"))
    assert "Ann" in text_of(client.get("/db/users"))
    assert "Ann" not in text_of(client.get("/db/users?where=name+=+Cy"))
    record = text_of(client.get("/db/users/record?key=u3"))
    assert ".city" in record
    assert "→ users['u1']" in record
    assert "$.age 31 32" in " ".join(
        text_of(client.get("/db/users/diff?old=" + _older(client))).split()
    )
    assert "age=31" in text_of(client.get("/db/users/history?key=u1"))
    assert "3 records" in text_of(client.get("/db/users/sizes"))


def _older(client):
    return re.search(r"at=([\w.-]+)", client.get("/db/users/log").text)[1]


def test_a_state_is_shown_as_it_was(client):
    """By the address."""
    shown = text_of(client.get(f"/db/users?at={_older(client)}"))

    assert "Ben" in shown
    assert "Dot" not in shown


def test_what_is_shown_can_be_had_as_a_file(client, folder):  # noqa: F811 - the fixture
    """All of it, as ``storify import`` reads it."""
    with Storify(folder, save_interval=None, models=MODELS) as sf:
        sf["users"].update({f"k{n}": User(f"=n{n}", n) for n in range(100)})
    assert client.get("/db/users/export?to=jsonl&where=age+>+98").text.count("\n") == 1
    rows = client.get("/db/users/export?to=csv").text.splitlines()
    assert rows[0].startswith("_key,_class,name,age")
    assert len(rows) == 104
    assert rows[-1].startswith('k99,__User__,"""=n99""",99')
    assert client.get("/db/users/export?where=age+>").status_code == 400


def test_what_is_not_there_is_a_page_that_says_so(client):
    """With a status, and what is near."""
    assert client.get("/db/user").status_code == 404
    assert "did you mean 'users'" in html.unescape(client.get("/db/user").text)
    assert client.get("/db/users/record?key=u11").status_code == 404
    assert client.get("/db/users?where=age+>").status_code == 400
    assert client.get("/db/users?offset=x&start=-1").status_code == 200
    assert client.get("/style.css/../../app.py").status_code == 404
    assert client.get("/db/..%2f..%2fetc%2fpasswd").status_code == 404


def test_nobody_is_let_in_without_the_token(typed):  # noqa: F811 - the fixture
    """It opens once, and the cookie is kept from scripts and other pages."""
    keys = Keys()
    app = application(typed, keys)
    stranger = TestClient(app, base_url=HOST)

    assert stranger.get("/").status_code == 403
    assert stranger.get("/?token=guessed").status_code == 403
    let_in = TestClient(app, base_url=HOST).get(
        f"/db/users?at=now&token={keys.token}", follow_redirects=False
    )
    assert let_in.headers["location"] == "/db/users?at=now"
    cookie = let_in.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert (
        TestClient(app, base_url=HOST).get(f"/?token={keys.token}").status_code == 403
    )
    stranger.cookies.set(COOKIE, "guessed")
    assert stranger.get("/").status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", ""]
)
def test_another_name_for_this_machine_is_refused(client, host):
    """As after DNS rebinding."""
    assert client.get("/", headers={"host": host}).status_code == 421


def test_no_page_may_run_anything(client):
    """By its headers, and it has no script."""
    for path in ("/", "/db/users", "/db/users/record?key=u1", "/nothing"):
        response = client.get(path)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "<script" not in response.text
        assert " style=" not in response.text
        assert " onclick" not in response.text


def test_who_looks_cannot_write(client):
    """There is no form, and one that was made by hand is refused."""
    assert '<form method="post"' not in client.get("/db/users/record?key=u1").text
    response = client.post(
        "/db/users/record",
        data={"key": "u1", "value": "1", "path": "age", "csrf": ""},
        headers={"origin": HOST},
    )

    assert response.status_code == 403


def test_a_form_needs_its_token_and_our_origin(writer):
    """Else it is of another page."""
    page = writer.get("/db/users/record?key=u1").text
    form = {"key": "u1", "path": "age", "value": "5", "do": "set"}
    csrf = re.search(r'name="csrf" value="(\w+)"', page)[1]

    for headers, token in [
        ({"origin": "http://evil.example"}, csrf),
        ({"origin": "null"}, csrf),
        ({}, csrf),
        ({"origin": HOST}, ""),
        ({"origin": HOST}, Keys().form_token("/db/users/record")),
    ]:
        response = writer.post(
            "/db/users/record", data={**form, "csrf": token}, headers=headers
        )
        assert response.status_code == 403, headers


def test_an_edit_is_a_draft_then_saved(writer, folder):  # noqa: F811 - the fixture
    """What changes is shown before."""
    page = writer.get("/db/users/record?key=u1").text
    staged = post(
        writer,
        "/db/users/record",
        page=page,
        key="u1",
        path=".age",
        value="77",
        do="set",
    )
    assert "$.age 32 77" in " ".join(text_of(staged).split())
    with Storify(folder, save_interval=None, models=MODELS) as sf:
        assert sf["users"]["u1"].age == 32

    post(writer, "/drafts", page=staged.text, do="save")

    with Storify(folder, save_interval=None, models=MODELS) as sf:
        assert sf["users"]["u1"].age == 77


def test_a_draft_that_does_not_fit_is_told_by_its_place(writer):
    """And is none."""
    page = writer.get("/db/users/record?key=u1").text
    response = post(
        writer,
        "/db/users/record",
        page=page,
        key="u1",
        path="age",
        value="old",
        do="set",
    )

    assert response.status_code == 400
    assert "expected int; found a text" in response.text
    assert "0 drafts" in text_of(writer.get("/drafts"))


def test_a_draft_of_what_somebody_changed_is_a_conflict(writer, folder):  # noqa: F811 - the fixture
    """It stays, to be looked at."""
    page = writer.get("/db/users/record?key=u1").text
    staged = post(
        writer, "/db/users/record", page=page, key="u1", path="age", value="1", do="set"
    )
    with Storify(folder, save_interval=None, models=MODELS) as sf:
        sf["users"]["u1"].age = 99

    response = post(writer, "/drafts", page=staged.text, do="save")

    assert response.status_code == 409
    assert "1 draft" in text_of(writer.get("/drafts"))


def test_a_state_is_restored(writer):
    """After a look at what changes by it."""
    page = writer.get("/db/users/diff?new=" + _older(writer)).text

    shown = post(writer, "/db/users/restore", page=page, state=_older(writer))

    assert shown.status_code == 200
    assert "Ben" in text_of(writer.get("/db/users"))


def test_one_record_is_restored(writer):
    """From the page that shows it as it was."""
    older = _older(writer)
    page = writer.get(f"/db/users/record?key=u2&at={older}").text

    post(writer, "/db/users/restore", page=page, state=older, key="u2")

    shown = text_of(writer.get("/db/users"))
    assert "Ben" in shown
    assert "Dot" in shown


def test_one_place_is_restored_as_a_draft(writer):
    """The rest of the record stays as it is."""
    older = _older(writer)
    page = writer.get(f"/db/users/record?key=u1&at={older}").text

    staged = post(
        writer, "/db/users/restore", page=page, state=older, key="u1", path="$.age"
    )

    assert "$.age 32 31" in " ".join(text_of(staged).split())


def test_a_record_is_added_and_one_removed(writer):
    """Of a class, if one is named."""
    page = writer.get("/db/users").text
    added = {"key": "u9", "value": '{"name": "Eve"}', "class": "User", "do": "set"}
    shown = post(writer, "/db/users/record", page=page, **added)
    assert "User(name='Eve'" in text_of(shown)
    page = writer.get("/db/users/record?key=u1").text
    shown = post(writer, "/db/users/record", page=page, key="u1", do="delete")
    assert "2 drafts" in text_of(shown)

    post(writer, "/drafts", page=shown.text, do="save")

    shown = text_of(writer.get("/db/users"))
    assert "Eve" in shown
    assert "Ann" not in shown


def damaged(folder):  # noqa: F811 - the fixture's name
    """A database of which no whole state is left."""
    with Storify(folder, save_interval=None, keep=0) as sf:
        sf["broken"].update({f"k{n}": "v" * 50 for n in range(200)})
    shutil.rmtree(folder / ".backups" / "broken", ignore_errors=True)
    path = folder / "broken.mpack"
    path.write_bytes(path.read_bytes()[:5000])


def test_what_is_intact_of_a_damaged_database_is_saved(writer, folder):  # noqa: F811 - the fixture
    """Beside others that are shown all the same."""
    damaged(folder)
    assert "damaged: " in text_of(writer.get("/"))
    assert writer.get("/db/broken").status_code == 400
    page = writer.get("/db/broken/misfits")
    assert "damaged" in text_of(page)

    saved = post(writer, "/db/broken/salvage", page=page.text)

    assert re.search(r"\d\d records saved", text_of(saved))
    assert "k0" in text_of(writer.get("/db/broken"))


def test_it_may_be_mounted_in_another_application(typed):  # noqa: F811 - the fixture
    """Its links and forms lead into it."""
    from starlette.applications import Starlette  # noqa: PLC0415 - of this test
    from starlette.routing import Mount  # noqa: PLC0415 - of this test

    keys = Keys("a token that lasts")
    app = Starlette(routes=[Mount("/data", application(typed, keys))])
    client = TestClient(app, base_url=HOST)

    page = client.get("/data/", params={"token": keys.token})

    assert 'href="/data/db/users"' in page.text
    record = client.get("/data/db/users/record?key=u1").text
    shown = post(
        client,
        "/data/db/users/record",
        page=record,
        key="u1",
        path="age",
        value="3",
        do="set",
    )
    assert "1 draft" in text_of(shown)


def test_the_command_serves_this_machine_alone(folder):  # noqa: F811 - the fixture
    """And prints the address with its token; another address needs one that lasts."""
    refused = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-m", "storify", "serve", str(folder), "--host", "0.0.0.0"],  # noqa: S104 - to be refused
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "give --token" in refused.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-m", "storify", "serve", str(folder), "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            address = server.stdout.readline().strip()
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            page = _asked(opener, address)
        finally:
            server.terminate()
    assert b"3 databases" in page


def _asked(opener, address):
    for _ in range(200):
        try:
            with opener.open(address, timeout=10) as answer:
                return answer.read()
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.05)  # until it listens
    raise AssertionError
