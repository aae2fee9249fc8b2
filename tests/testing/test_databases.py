"""A database for each example, and what is open opened anew."""

import gc
import time
from datetime import date
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storify import (
    ConflictError,
    CustomType,
    Database,
    Keep,
    Model,
    Ref,
    Storify,
    UnstorableError,
)
from storify.logger import Logger
from storify.testing import models, reopen, same, temp_db


class User(Model):
    """A declared model."""

    name: str
    age: int = 0


class Order(Model):
    """Another one, which refers to it."""

    user: Ref[User]


class UserV2(Model, keyname="__User__"):
    """What became of `User`."""

    name: str
    age: int = 0
    email: str = "none"


class Colour(Enum):
    """It is registered, not found in an annotation."""

    RED = 1


class Point:
    """It is stored by hooks."""

    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return isinstance(other, Point) and other.x == self.x

    __hash__ = None


engines = pytest.mark.parametrize("engine", ["file", "memory"])


# -- temp_db -----------------------------------------------------------------------


@engines
@given(user=models(User), key=st.text(max_size=3))
def test_each_example_has_a_database_of_its_own(engine, user, key):
    """It is empty, and what it holds can be read anew in the midst of the example."""
    with temp_db(User, engine=engine) as users:
        assert dict(users) == {}
        users[key] = user

        again = reopen(users)

        assert users.defunct
        assert again[key] is not user
        assert same(dict(again), {key: user})


@engines
def test_it_is_gone_after_the_block(engine):
    """Whatever was opened there is closed, and no file is left."""
    with temp_db(User, engine=engine) as first:
        first["u1"] = User("Ann")
        second = reopen(first)
        place = Path(second.root)
        assert place.is_dir() == (engine == "file")

    assert first.defunct
    assert second.defunct
    assert not place.exists()


def test_it_is_opened_as_asked_for():
    """Types, keys, its name and the options of a Storify."""
    with temp_db(User, key=date, name="users", keep=Keep(2), strict=True) as users:
        users[date(2026, 11, 24)] = User("Ann")
        again = reopen(users)
        assert dict(again) == {date(2026, 11, 24): User("Ann")}
        assert again.name == "users"
        assert again.backups.keep == Keep(2)
        with pytest.raises(TypeError):
            again[date(2026, 11, 25)] = "Bob"
    with temp_db((User, Order), engine="memory") as both:
        both.update(u1=User("Ann"), o1=Order(Ref("db", "u1")))
        assert reopen(both)["o1"].user() == User("Ann")
    with temp_db(types=[Colour], engine="memory") as untyped:
        untyped["a"] = Colour.RED
        assert reopen(untyped)["a"] is Colour.RED


@engines
def test_what_cannot_be_saved_at_its_end_is_an_error(engine):
    """As a program would find out; nothing stays open."""
    with pytest.raises(UnstorableError), temp_db(engine=engine) as db:
        db["a"] = object()

    assert db.defunct


@engines
def test_an_exception_leaves_the_block_as_it_was_raised(engine):
    """What is unsaved is dropped, also what could not be saved."""
    opened = []

    def fail():
        with temp_db(engine=engine) as db:
            opened.append(db)
            db["a"] = object()
            raise LookupError

    with pytest.raises(LookupError) as caught:
        fail()

    assert caught.value.__context__ is None
    assert opened[0].defunct


# -- reopen ------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["data", "memory://reopened"])
def test_a_storify_is_reopened_as_it_was(tmp_path, root):
    """Another object, with every class and option of the former one."""
    log = Logger()
    old = Storify(
        root if "://" in root else tmp_path / root,
        save_interval=None,
        log=log,
        models=[User],
        types=[Colour],
        strict=True,
        keep=Keep(3),
        sync="interval",
        sync_interval=7,
        journal=False,
        clock=time.perf_counter,
    )
    old.register_type(Point, lambda point: point.x, Point)
    old.register_type(date)  # stored already: no harm
    users = old.get_db("users", model=User)
    users["u1"] = User("Ann")
    old.get_db("orders", model=Order)["o1"] = Order(Ref("users", "u1"))
    old["other"].update(colour=Colour.RED, point=Point(3))

    with reopen(old) as new:
        assert users.defunct
        assert new is not old
        assert new._saving == old._saving
        assert (new.root, new.save_interval, new.log) == (old.root, None, log)
        assert new._strict
        assert new["users"]["u1"] == User("Ann")
        assert new["orders"]["o1"].user() == User("Ann")
        assert dict(new["other"]) == {"colour": Colour.RED, "point": Point(3)}
        assert {User, Order} <= set(new.models)


def test_options_of_a_reopened_storify_may_be_others(sf):
    """A later version of the program opens what an earlier one has saved."""
    sf.get_db("users", model=User)["u1"] = User("Ann", 30)

    with reopen(sf, models=[UserV2], save_interval=9) as later:
        assert later["users"]["u1"] == UserV2("Ann", 30, "none")
        assert later.save_interval == 9


def test_a_type_with_hooks_is_reopened_with_its_hooks(sf):
    """Also one that was given as an object, under another name."""
    hooks = CustomType(Point, lambda point: [point.x], lambda x: Point(*x), "P")
    with Storify(sf.root, save_interval=None, types=[hooks]) as old:
        old["db"]["a"] = Point(1)
        with reopen(old) as new:
            assert new["db"]["a"] == Point(1)


def test_a_database_is_reopened_from_the_disk(sf, make_storify, anywhere):
    """By its Storify, as what it was opened as; what others saved is there."""
    users = sf.get_db("users", model=User, key=int, strict=True)
    users[1] = ann = User("Ann")
    users.flush()
    with make_storify(anywhere).get_db("users", model=User, key=int) as theirs:
        theirs[2] = User("Bob")

    again = reopen(users)

    assert users.defunct
    assert again is not users
    assert dict(again) == {1: User("Ann"), 2: User("Bob")}
    assert again[1] is not ann
    assert again._source.use == users._source.use
    assert sf.databases == [again]


def test_a_database_that_was_closed_is_reopened(sf):
    """And one that was got by others since is closed first."""
    old = sf["db"]
    old["a"] = [1]
    old.close()
    assert dict(reopen(old)) == {"a": [1]}

    other = sf["db"]
    again = reopen(old)

    assert other.defunct
    assert again is not other
    assert dict(again) == {"a": [1]}


def test_a_list_and_a_database_to_read_are_reopened(sf):
    """As such."""
    log = sf.get_db("log", root=[])
    log.append("a")
    log = reopen(log)
    log.append("b")
    log.close()

    again = reopen(sf.get_db("log", readonly=True))

    assert list(again) == ["a", "b"]
    assert again.readonly


def test_what_cannot_be_saved_is_not_reopened(sf, make_storify, anywhere):
    """The error is that of a flush, and all is as it was."""
    db, theirs = sf["db"], make_storify(anywhere)["db"]
    theirs["a"] = 1
    theirs.flush()
    db["a"] = 2

    for what in (db, sf):
        with pytest.raises(ConflictError):
            reopen(what)

    assert not db.defunct
    assert db["a"] == 2
    db.close(discard=True)


def test_what_nothing_can_open_anew_is_refused(sf, tmp_path):
    """It says why, and closes nothing."""
    memory = Storify("memory://", save_interval=None)
    gone = Storify("memory://", save_interval=None).get_db("gone")
    gc.collect()
    alone = Database(path=tmp_path / "alone.mpack")
    by_path = sf.get_db_by_path(tmp_path / "by_path.mpack")
    memory["db"]["a"] = 1

    with pytest.raises(ValueError, match=r"cannot reopen .*live and die with it"):
        reopen(memory)
    for db in (gone, alone, by_path):
        with pytest.raises(ValueError, match=f"cannot reopen database '{db.name}'"):
            reopen(db)
        assert not db.defunct
        db.close()
    assert memory["db"]["a"] == 1
    memory.close()
