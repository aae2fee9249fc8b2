"""A session looks at the databases of a server as at those of a folder."""

import pytest

import pg_servers as servers
from explorer.conftest import MODELS, User
from storify import Storify
from storify.explorer import Session


@pytest.fixture
def place():
    """A Storify on a server, with one database."""
    options = {"schema": servers.fresh_schema()} if servers.url() else {}
    with Storify(servers.url(), save_interval=None, models=MODELS, **options) as sf:
        users = sf.get_db("users", model=User)
        users["u1"] = User("Ann", 31)
        users.flush()
        users["u1"].age = 32
        users.flush()
        yield sf


def test_records_states_and_edits_of_a_server(place):
    """Through the Storify that has it open."""
    with Session(place, write=True) as session:
        assert session.about("users").records == 1
        assert [each.value.age for each in session.history("users", "u1")] == [32, 31]
        session.stage("users", "u1", "33", "age")
        session.apply()
        assert session.row("users", "u1").value.age == 33
        assert session.where.startswith("postgresql://")
