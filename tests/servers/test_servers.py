"""Whatever server runs an application, and however it ends: no visit is lost silently.

Visitors come all the time, also while the server ends. What they were told is in the
folder afterwards; or the server said that it is not.
"""

import importlib.util
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from faults.sampling import DEPTH, sample
from servers.running import Running, Server, Visitors
from storify import Storify

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals"),
    pytest.mark.skipif(
        importlib.util.find_spec("gunicorn") is None, reason="needs the servers"
    ),
]

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs/how-to/web.md").read_text(encoding="utf-8")

HUP = signal.SIGHUP
GUNICORN = "gunicorn --graceful-timeout 10 --bind fd://{fd}"
ASGI = "-k uvicorn_worker.UvicornWorker app:asgi"

#: No reload: one uvicorn without a supervisor, hypercorn without workers, and waitress
#: know none. That of flask is no server of its own in this table: who watches the files
#: ends the application with SIGKILL, which nobody sees.
SERVERS = {
    "uvicorn": Server("uvicorn --fd {fd} app:asgi"),
    "uvicorn, 2 workers": Server("uvicorn --fd {fd} --workers 2 app:asgi", HUP),
    "uvicorn --reload": Server("uvicorn --fd {fd} --reload app:asgi", "file"),
    "gunicorn": Server(f"{GUNICORN} app:wsgi", HUP),
    "gunicorn, 2 workers": Server(f"{GUNICORN} -w 2 app:wsgi", HUP),
    "gunicorn, threads": Server(f"{GUNICORN} --threads 4 app:wsgi", HUP),
    "gunicorn --reload": Server(f"{GUNICORN} --reload app:wsgi", "file"),
    "gunicorn, uvicorn": Server(f"{GUNICORN} {ASGI}", HUP),
    "gunicorn, 2 uvicorn": Server(f"{GUNICORN} -w 2 {ASGI}", HUP),
    # No reload: what is loaded before the fork stays as it is.
    "gunicorn --preload": Server(f"{GUNICORN} --preload app:wsgi", inherits=True),
    "gunicorn --preload, uvicorn": Server(
        f"{GUNICORN} --preload {ASGI}", inherits=True
    ),
    "gunicorn --preload, post_fork": Server(
        f"{GUNICORN} --preload -c hooks.py app:wsgi"
    ),
    "hypercorn": Server("hypercorn --bind fd://{fd} app:asgi", HUP),
    "hypercorn, 2 workers": Server("hypercorn -b fd://{fd} -w 2 app:asgi", HUP),
    "hypercorn, no worker": Server("hypercorn -b fd://{fd} -w 0 app:asgi"),
    "hypercorn --reload": Server("hypercorn -b fd://{fd} --reload app:asgi", "file"),
    "flask run": Server("flask --app app:flask_app run --port 0"),
    "waitress": Server("waitress --host 127.0.0.1 --port 0 app:wsgi"),
}
ENDINGS = ["SIGTERM", "SIGTERM for all", "Ctrl-C", "reload"]
CELLS = [
    (name, ending)
    for name, server in SERVERS.items()
    for ending in ENDINGS
    if ending != "reload" or server.reload is not None
]
#: Who opens late does so in a thread of a request, where the server has them.
LATE = [
    (name, "SIGTERM for all") for name, server in SERVERS.items() if not server.inherits
]
if DEPTH == "quick":
    CELLS, LATE = sample(CELLS, 4, "servers"), sample(LATE, 1, "late")


@pytest.fixture
def ours(tmp_path):
    """A folder with our application."""
    for name in ("app.py", "hooks.py"):
        shutil.copy(HERE / name, tmp_path)
    return tmp_path


@pytest.fixture
def shown(tmp_path):
    """A folder with the applications of the page "In a web application"."""
    for name, text in re.findall(
        r'^```python title="(\S+)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def end(server: Running, visitors: Visitors, ending: str) -> None:
    """End the server in some way, and wait until all its processes have ended."""
    visitors.wait_for(20)
    if ending == "reload":
        visitors.wait_for_others(5, server.reload)
    if ending == "SIGTERM":
        server.process.send_signal(signal.SIGTERM)
    else:
        server.signal_all(signal.SIGINT if ending == "Ctrl-C" else signal.SIGTERM)
    server.end()


def lost(folder, noted, name="visits", *, is_told=False) -> dict[str, tuple[int, int]]:
    """Give what is saved and what was acknowledged, where that is more.

    What was put aside counts if the server told of it.
    """
    with Storify(folder / "data") as sf:
        db = sf[name]
        aside = [each for each in db.backups.list if each.endswith(".unsaved")]
        saved = dict(db)
        for each in aside if is_told else ():
            for key, count in db.at(each).items():
                saved[key] = max(saved.get(key, 0), count)
    return {
        key: (saved.get(key, 0), number)
        for key, number in noted.items()
        if saved.get(key, 0) < number
    }


def is_told(server: Running) -> bool:
    """Whether it says that a signal came inside of a block, and where the visits are.

    The handler of a signal cannot tell whether what a block has done belongs together.
    """
    return "ended inside of `with db.lock`; what can be stored is in" in server.output


@pytest.mark.parametrize(("name", "ending"), CELLS)
def test_no_visit_is_lost_silently(ours, name, ending):
    """The database is opened when the application is imported."""
    server = SERVERS[name]
    with (
        Running(server, ours, "at import") as running,
        Visitors(running) as visitors,
    ):
        end(running, visitors, ending)

    if server.inherits:
        assert "was opened before this process was forked" in running.output
    else:
        assert lost(ours, visitors.noted, is_told=is_told(running)) == {}, (
            running.output
        )


@pytest.mark.parametrize(("name", "ending"), LATE)
def test_no_visit_is_lost_silently_of_what_is_opened_late(ours, name, ending):
    """The first request opens the database, in whatever thread that is."""
    server = SERVERS[name]
    with Running(server, ours, "late") as running, Visitors(running) as visitors:
        end(running, visitors, ending)

    assert lost(ours, visitors.noted, is_told=is_told(running)) == {}, running.output


#: Two workers count in one database, if they can do so without a loss.
SHOWN = {
    "hits": Server("flask --app hits run --port 0"),
    "life": Server("uvicorn --fd {fd} --workers 2 life:app", HUP),
    "shop": Server(f"{GUNICORN} -w 2 shop:app", HUP),
    "shop, preloaded": Server(f"{GUNICORN} -w 2 --preload shop:app"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_the_page_shows_loses_nothing(shown, name):
    """It counts under one key, whatever number of workers there is."""
    with Running(SHOWN[name], shown) as running, Visitors(running) as visitors:
        end(running, visitors, "SIGTERM")

    assert lost(shown, visitors.noted, "counts") == {}, running.output
    assert list(visitors.noted) == ["visits"]
    assert visitors.noted["visits"] >= visitors.visits


def test_the_page_shows_the_table():
    """What is saved, what is warned of, and what there is not."""
    rows = re.findall(
        r"^\| (\S.*?) \| (\S.*?) \| (\S.*?) \| (\S.*?) \|$", PAGE, re.MULTILINE
    )
    table = {}
    for name, server in SERVERS.items():
        verdict = "a warning" if server.inherits else "saved"
        table[name] = (verdict, verdict, "none" if server.reload is None else verdict)

    assert {name: tuple(row) for name, *row in rows[1:]} == table
