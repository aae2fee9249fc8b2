"""A typed web application: models are what FastAPI takes, checks and returns.

Run it with ``uvicorn web:app`` in this folder, and look at ``/docs``. The data are in
the folder ``notes``. With ``NOTES_TOKEN`` in the environment, ``/data/?token=…`` lets
those who know it look at them.
"""

import datetime as dt
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Body, FastAPI, HTTPException, Request

from storify import Database, Model, Storify
from storify.explorer import Session
from storify.web import application
from storify.web.safety import Keys


class Note(Model):
    """What somebody wrote."""

    text: str
    tags: list[str] = []
    written: dt.datetime | None = None
    _ip: str = ""  # neither stored nor sent, and no client can set it


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Open the database with the application, and save it at the end."""
    async with Storify(os.environ.get("NOTES", "notes")) as sf:
        app.state.notes = sf.get_db("notes", model=Note)
        token = os.environ.get("NOTES_TOKEN")
        with Session(sf) as session:
            if token:
                host = os.environ.get("NOTES_HOST", "localhost")
                app.mount("/data", application(session, Keys(token), (host,)))
            yield


app = FastAPI(lifespan=lifespan)
Taken = Annotated[Note, Body()]


def notes_of(request: Request) -> Database[Note]:
    """Return the database of the application."""
    notes: Database[Note] = request.app.state.notes
    return notes


@app.get("/notes")
def list_notes(request: Request, tag: str = "") -> dict[str, Note]:
    """All notes, or those with a tag."""
    found = notes_of(request).where(lambda note: not tag or tag in note.tags)
    return dict(found.items())


@app.get("/notes/{key}")
def get_note(request: Request, key: str) -> Note:
    """One note."""
    note = notes_of(request).get(key)
    if note is None:
        raise HTTPException(404, f"there is no note {key!r}")
    return note


@app.put("/notes/{key}")
async def put_note(request: Request, key: str, note: Taken) -> Note:
    """Save a note; it is durable before the answer is sent."""
    notes = notes_of(request)
    note.written = dt.datetime.now(dt.UTC)
    async with notes.atransaction():
        notes[key] = note
    return note
