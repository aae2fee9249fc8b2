"""Whatever server runs an application, and however it ends: no visit is lost silently.

Visitors come all the time, also while the server ends. What they were told is in the
folder afterwards; or the server said that it is not.
"""

import importlib.util
import os
import signal

import pytest

from faults.sampling import sample
from servers.running import Running, Server, Visitors
from storify import Storify

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals"),
    pytest.mark.skipif(
        importlib.util.find_spec("gunicorn") is None, reason="needs the servers"
    ),
]

HUP = signal.SIGHUP
GUNICORN = "gunicorn --graceful-timeout 10 --bind fd://{fd}"
ASGI = "-k uvicorn_worker.UvicornWorker app:asgi"

#: No reload: one uvicorn without a supervisor, hypercorn without workers, and waitress
#: know none; of flask it is an option.
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
LATE = [(name, "SIGTERM") for name, server in SERVERS.items() if not server.inherits]


def end(server: Running, visitors: Visitors, ending: str) -> None:
    """End the server in some way, and wait until all its processes have ended."""
    visitors.wait_for(20)
    if ending == "reload":
        server.reload()
        visitors.wait_for(5, strangers=frozenset(visitors.noted))
    if ending == "Ctrl-C":
        server.signal_all(signal.SIGINT)
    elif ending == "SIGTERM for all":
        server.signal_all(signal.SIGTERM)
    else:
        server.process.send_signal(signal.SIGTERM)
    server.end()


def lost(folder, noted: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Give what is saved and what was acknowledged, where that is more."""
    with Storify(folder / "data") as sf:
        saved = dict(sf["visits"])
    return {
        key: (saved.get(key, 0), number)
        for key, number in noted.items()
        if saved.get(key, 0) < number
    }


@pytest.mark.parametrize(("name", "ending"), sample(CELLS, 8, "servers"))
def test_no_visit_is_lost_silently(tmp_path, name, ending):
    """The database is opened when the application is imported."""
    server = SERVERS[name]
    with (
        Running(server, tmp_path, "at import") as running,
        Visitors(running) as visitors,
    ):
        end(running, visitors, ending)

    if server.inherits:
        assert "was opened before this process was forked" in running.output
    else:
        assert lost(tmp_path, visitors.noted) == {}, running.output


@pytest.mark.parametrize(("name", "ending"), sample(LATE, 3, "late"))
def test_no_visit_is_lost_silently_of_what_is_opened_late(tmp_path, name, ending):
    """The first request opens the database, in whatever thread that is."""
    server = SERVERS[name]
    with Running(server, tmp_path, "late") as running, Visitors(running) as visitors:
        end(running, visitors, ending)

    assert lost(tmp_path, visitors.noted) == {}, running.output
