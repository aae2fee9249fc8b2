"""An application that counts its visits, and leaves it to Storify to save them.

It is copied into the folder that a server is started in. Each process counts under a
key of its own, so several of them lose no count to each other.
"""

import asyncio
import os
import sys
from functools import cache
from threading import Lock

from storify import Database, Storify

opening = Lock()


@cache
def open_visits() -> Database:
    """Open the database; nothing is saved before the end."""
    return Storify("data", save_interval=3600)["visits"]


def visits() -> Database:
    """Give the one database of this process."""
    with opening:
        return open_visits()


def count() -> bytes:
    """Count a visit; give the key, and how many there are under it."""
    db, me = visits(), str(os.getpid())
    with db.lock:
        db[me] = db.get(me, 0) + 1
        return f"{me} {db[me]}".encode()


def wsgi(environ, start_response):
    """Answer each request with the count."""
    answer = count()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


async def asgi(scope, receive, send):
    """Answer each request with the count; counted in a thread, as sync code is."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if opens_late():
        answer = await asyncio.to_thread(count)
    else:
        answer = count()
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def opens_late() -> bool:
    """Whether the database is opened by the first request, not by the import."""
    return os.environ["OPENS"] == "late"


if os.environ["OPENS"] == "at import":
    visits()

if "flask" in sys.modules:
    from flask import Flask

    flask_app = Flask(__name__)
    flask_app.wsgi_app = wsgi
