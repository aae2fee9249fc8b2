"""Small gaps of the contract: what is documented is there, and typed."""

import copy
import pickle
from datetime import UTC, datetime

import pytest

from storify import Model


class User(Model):
    """A model."""

    name: str


class Admin(User):
    """One more."""


class Order(Model):
    """Another one."""

    total: int


@pytest.fixture
def storify_options():
    """The classes that the program knows."""
    return {"models": [User, Admin, Order]}


def test_an_older_state_is_opened_by_its_id_as_by_its_time(sf):
    """All that `restore` takes, `at` takes."""
    db = sf.get_db("d")
    db["a"] = 1
    db.flush()
    db["a"] = 2
    db.flush()

    for which in db.backups.list:
        then = db.at(which)
        assert then["a"] in (1, 2)
        assert then.readonly
        assert which in then.path
    assert db.at(db.backups.list[-1])["a"] == 1
    assert db.at(datetime.now(UTC))["a"] == 2


@pytest.mark.parametrize("method", ["at", "diff", "restore"])
def test_what_is_no_older_state_is_refused(sf, method):
    """With what to pass instead."""
    db = sf.get_db("d")
    db.flush()
    look = db.at if method == "at" else getattr(db.backups, method)

    with pytest.raises(FileNotFoundError, match=r"no backup '2026-11-28'.*\.list"):
        look("2026-11-28")
    with pytest.raises(TypeError, match="aware datetime"):
        look(datetime.now(UTC).date())
    with pytest.raises(ValueError, match="time zone"):
        look(datetime.now(UTC).replace(tzinfo=None))


def test_a_query_gives_a_default_where_there_is_no_first(sf):
    """Also None, and never for a first that is false."""
    db = sf.get_db("d")
    nobody = User("nobody")

    assert db.where().first(nobody) is nobody
    assert db.where().first(default=None) is None
    db["a"] = 0
    assert db.where().first(5) == 0


def test_records_of_several_classes_are_kept(sf):
    """By a tuple, as `get_db` takes one."""
    db = sf.get_db("d")
    db.update(u=User("ann"), a=Admin("bo"), o=Order(3), n=5)

    assert list(db.of((User, Order)).keys()) == ["u", "a", "o"]
    assert list(db.where().of((Admin, Order)).keys()) == ["a", "o"]
    assert list(db.of((int, Order)).keys()) == ["o", "n"]
    assert repr(db.of((User, Order))).endswith("of(User, Order)>")
    for bad in ((), (User, 5)):
        with pytest.raises(TypeError, match="tuple of classes"):
            db.of(bad)


def test_a_folder_is_closed_without_saving(sf):
    """As a database is."""
    db = sf.get_db("d")
    db["a"] = object()

    sf.close(discard=True)

    assert db.defunct
    assert list(sf) == []


def test_no_type_is_no_model(sf):
    """The message says what to do."""
    with pytest.raises(TypeError, match="leave it out"):
        sf.get_db("d", model=())


def test_what_is_open_is_not_pickled_or_copied(sf):
    """The message says what to pass instead."""
    db = sf.get_db("d")
    for each, hint in ((sf, "folder"), (db, "content"), (db.lock, "process")):
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=hint):
                attempt(each)


def test_a_reference_gives_a_default(sf):
    """Where its record is gone."""
    users = sf.get_db("users", model=User)
    ref = users.ref("ann")
    nobody = User("nobody")

    assert ref.get(nobody) is nobody
    assert ref.get() is None
    users["ann"] = User("ann")
    assert ref.get(nobody) == User("ann")
