"""The example of a web application does what it says."""

import importlib.util
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from storify import Storify

EXAMPLE = Path(__file__).parents[2] / "examples" / "web.py"


@pytest.fixture
def client(tmp_path, monkeypatch):
    """The application over an empty folder."""
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    spec = importlib.util.spec_from_file_location("web_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "web_example", module)
    spec.loader.exec_module(module)
    monkeypatch.setenv("NOTES_TOKEN", "a token that lasts")
    with TestClient(module.app, base_url="http://127.0.0.1") as client:
        yield client


def test_a_note_is_checked_saved_and_listed(client, tmp_path):
    """What a client may not set is refused."""
    made = client.put("/notes/n1", json={"text": "hello", "tags": ["x"]})
    wrong = client.put("/notes/n2", json={"text": 1})
    private = client.put("/notes/n2", json={"text": "x", "_ip": "1.2.3.4"})

    assert made.status_code == 200
    assert wrong.status_code == private.status_code == 422
    assert client.get("/notes", params={"tag": "x"}).json() == {"n1": made.json()}
    assert client.get("/notes/n2").status_code == 404
    assert set(made.json()) == {"text", "tags", "written"}
    with Storify(tmp_path / "notes") as sf:
        assert list(sf["notes"]) == ["n1"]


def test_the_data_are_looked_at_behind_a_token(client):
    """What was saved a moment ago; without the token nothing is told."""
    client.put("/notes/n1", json={"text": "hello"})

    refused = client.get("/data/db/notes")
    let_in = client.get("/data/db/notes?token=a token that lasts")

    assert refused.status_code == 403
    assert "hello" not in refused.text
    assert let_in.status_code == 200
    assert "hello" in let_in.text
    assert "read-only" in let_in.text
