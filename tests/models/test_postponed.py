"""Annotations that are strings, as under the future import, mean the same."""
# ruff: noqa: D101 -- the classes are the examples

from __future__ import annotations

import sys
import types
import typing as ty
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from typing import Annotated, Literal, NamedTuple, NotRequired, Required, TypedDict

import attrs
import pytest
from typing_extensions import ReadOnly

from storify import CheckError, Model, Storify
from storify.testing import same


class Colour(Enum):
    RED = 1


class Role(Enum):
    ADMIN = 1


class Sent(Model):
    when: int


@dataclass
class Envelope:
    state: Sent
    inner: Envelope | None = None
    later: Later | None = None
    code: ty.Callable[[], int] | None = None
    noted: list[Colour] = field(default_factory=list)


class Pen(NamedTuple):
    colour: Colour


@attrs.define
class Case:
    pen: Pen


class Mail(Model):
    envelope: Envelope
    case: Case


class Later(Model):
    role: Literal[Role.ADMIN]


class Options(TypedDict):
    name: str
    size: NotRequired[int]
    color: Annotated[NotRequired[ReadOnly[int]], "of the text"]


class More(Options, total=False):
    key: ReadOnly[Required[int]]
    lock: int


class Job(Model):
    options: More
    LIMIT: ty.ClassVar[int] = 10
    _: KW_ONLY
    n: int = 0


def test_classes_in_the_annotations_of_plain_classes_are_followed():
    """Those of dataclasses, attrs classes and named tuples, also of the registered."""
    envelope = Envelope(
        Sent(1), Envelope(Sent(2)), Later(Role.ADMIN), None, [Colour.RED]
    )
    mail = Mail(envelope, Case(Pen(Colour.RED)))

    with Storify("memory://", strict=True) as sf:
        db = sf.get_db("m", model=Mail)
        db["k"] = mail
        db.flush()
        db.load()
        assert same(db["k"], mail)
    with Storify("memory://", types=[Envelope, Case]) as sf:
        sf["m"]["k"] = [envelope, Case(Pen(Colour.RED))]
        sf["m"].flush()
        sf["m"].load()
        assert same(sf["m"]["k"], [envelope, Case(Pen(Colour.RED))])


POSTPONED = """\
from __future__ import annotations
from dataclasses import dataclass
from storify import Model

@dataclass
class Holder:
    item: PostponedItem

class Record(Model):
    holder: Holder
"""


def test_a_class_that_is_defined_later_is_found(monkeypatch):
    """When the first record is stored."""
    module = types.ModuleType("postponed_names")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    space = vars(module)
    exec(POSTPONED, space)  # noqa: S102 -- a module whose names come one by one
    with Storify("memory://") as sf:
        db = sf.get_db("r", model=space["Record"])
        exec("class PostponedItem(Model):\n    a: int\n", space)  # noqa: S102 -- idem
        record = space["Record"](space["Holder"](space["PostponedItem"](1)))

        db["k"] = record
        db.flush()
        db.load()

        assert same(db["k"], record)


@pytest.mark.parametrize(
    ("options", "fits"),
    [
        ({"name": "x", "key": 1}, True),
        ({"name": "x", "key": 1, "size": 2, "color": 3, "lock": 4}, True),
        ({"name": "x"}, False),
        ({"key": 1}, False),
    ],
)
def test_required_keys_of_a_typed_dict_are_what_the_annotations_say(options, fits):
    """Python's own __required_keys__ does not look into strings."""
    db = Storify("memory://", strict=True).get_db("jobs", model=Job)

    if fits:
        db["k"] = Job(options)
        assert db.check() == []
    else:
        with pytest.raises(CheckError, match="found nothing"):
            db["k"] = Job(options)
    db.close(discard=True)


def test_the_words_of_a_class_body_are_understood():
    """ClassVar under another name is no field; what is behind KW_ONLY a keyword."""
    assert repr(Job({"name": "x", "key": 1}, n=5)).endswith(", n=5)")
    with pytest.raises(TypeError):
        Job({"name": "x", "key": 1}, 5)
