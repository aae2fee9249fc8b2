"""A class that is defined again, as in a notebook, takes the old one's place."""

import enum
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from storify import CheckError, Model, Storify


def cell(*, is_newer: bool = False) -> Any:
    """Define the classes of a notebook cell, under the same names each time."""

    class Role(enum.Enum):
        USER = 1

    @dataclass
    class Size:
        width: int

    class User(Model):
        n: int
        role: Role = Role.USER
        size: Size | None = None
        if is_newer:
            note: str = "n"

    class Team(Model):
        lead: User
        all: list[User] = []

    return SimpleNamespace(Role=Role, Size=Size, User=User, Team=Team)


@pytest.mark.parametrize("strict", [False, True])
def test_the_new_class_takes_the_place_of_the_old_one(strict):
    """Live objects become its own, records load as it, and its objects are taken."""
    old = cell()
    with Storify("memory://", strict=strict) as sf:
        users, teams = sf.get_db("u", model=old.User), sf.get_db("t", model=old.Team)
        users["a"] = ann = old.User(1, old.Role.USER, old.Size(2))
        teams["t"] = old.Team(ann, [ann])
        users.flush()
        new = cell()

        assert sf.get_db("u", model=new.User) is users
        users["b"] = new.User(2)
        teams["s"] = new.Team(new.User(3), [new.User(4, new.Role.USER, new.Size(1))])

        assert users["a"] is ann
        assert type(ann) is new.User
        sf.flush()
        users.load()
        teams.load()
        assert users["a"] == new.User(1, new.Role.USER, new.Size(2))
        assert type(teams["t"].all[0]) is new.User
        assert teams["t"].lead.role is new.Role.USER
        assert sf.check() == []


def test_a_new_object_is_enough():
    """The database need not be asked for again; new fields get their defaults."""
    old = cell()
    with Storify("memory://", strict=True) as sf:
        users = sf.get_db("u", model=old.User)
        users["a"] = old.User(1)
        new = cell(is_newer=True)

        users["b"] = new.User(2)

        assert users["a"].note == "n"
        users.flush()
        users.load()
        assert type(users["a"]) is new.User
        assert users["b"] == new.User(2)


def test_another_class_is_still_refused():
    """One of another name is no new definition."""
    old = cell()
    with Storify("memory://", strict=True) as sf:
        users = sf.get_db("u", model=old.User)

        with pytest.raises(ValueError, match="it is open as"):
            sf.get_db("u", model=old.Team)
        with pytest.raises(CheckError):
            users["a"] = old.Team(old.User(1))
        with pytest.raises(ValueError, match="it is open as"):
            sf.get_db("u", model=list[old.User])


def test_types_of_a_database_are_compared_inside():
    """Also a dict or union of classes that were defined again."""
    old, new = cell(), cell()
    with Storify("memory://") as sf:
        db = sf.get_db("u", model=dict[str, old.User | int])

        assert sf.get_db("u", model=dict[str, new.User | int]) is db
        with pytest.raises(ValueError, match="it is open as"):
            sf.get_db("u", model=dict[str, new.Team | int])
