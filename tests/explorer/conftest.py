"""Folders with records, looked at with their classes and without."""

import datetime as dt
import enum
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from storify import Model, Ref, Storify
from storify.explorer import Session


class Kind(enum.Enum):
    """What somebody is."""

    GUEST = 1
    OWNER = 2


class Point(NamedTuple):
    """A place."""

    x: int
    y: int


class Address(Model):
    """Where somebody lives."""

    city: str
    street: str = ""


class User(Model):
    """Somebody."""

    name: str
    age: int = 0
    kind: Kind = Kind.GUEST
    price: Decimal = Decimal("1.10")
    tags: list[str] = []
    seen: dt.datetime | None = None
    home: Address | None = None
    at: Point | None = None
    friend: "Ref[User] | None" = None
    _hidden: str = "never"


#: The classes without which a session only sees what is stored.
MODELS = [User, Address]

NOON = dt.datetime(2026, 11, 28, 12, tzinfo=dt.timezone(dt.timedelta(hours=1)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three databases, one of them with an older state."""
    place = tmp_path / "data"
    with Storify(place, save_interval=None, models=MODELS) as sf:
        users = sf.get_db("users", model=User)
        users["u1"] = User("Ann", 31, Kind.OWNER, tags=["x", "y"], seen=NOON)
        users["u2"] = User("Ben", 20, home=Address("Paris"), at=Point(1, 2))
        users["u3"] = User("Cy", 40, home=Address("Rome"), friend=users.ref("u1"))
        users.flush()
        users["u1"].age = 32
        del users["u2"]
        users["u4"] = User("Dot")
        users.flush()
        log = sf.get_db("log", root=[])
        log.extend(["one", 2, {"three": 3}])
        odd = sf.get_db("odd")
        odd[7] = "seven"
        odd["7"] = "text"
        odd[1, 2] = {"\x1b[31m<b>": "\u202egnp"}
    return place


@pytest.fixture
def opened(folder: Path) -> Iterator[Callable[..., Session]]:
    """Opens sessions that are closed after the test."""
    made: list[Session] = []

    def opened(where: object = folder, **options: object) -> Session:
        made.append(Session(where, **options))
        return made[-1]

    yield opened
    for each in made:
        each.close()


@pytest.fixture
def session(opened: Callable[..., Session]) -> Session:
    """A session without the user's classes."""
    return opened()


@pytest.fixture
def typed(opened: Callable[..., Session]) -> Session:
    """A session with the user's classes, that may write."""
    return opened(models=MODELS, write=True)
