"""Hypothesis strategies for model classes.

`model_classes` makes classes with all kinds of fields: plain and nested types,
defaults, aliases, names on disk, private and unstored fields, inheritance, generics,
unions and hand-written classes.
"""

import datetime as dt
import enum
import itertools
from collections import deque
from dataclasses import dataclass
from typing import Any, Generic, Literal, NewType, TypeVar
from uuid import UUID

from hypothesis import strategies as st

from storify.models import Model, field

T = TypeVar("T")
UserId = NewType("UserId", int)

_counter = itertools.count()


class Colour(enum.Enum):
    """An enum for fields."""

    RED = "r"
    BLUE = 2


class Leaf(Model):
    """A small nested model."""

    n: int = 0
    label: str | None = None


class SubLeaf(Leaf):
    """A subclass, for fields that are annotated with its base."""

    extra: float = 0.5


class Other(Model, frozen=True):
    """Another model, for unions."""

    code: str


class Box(Model, Generic[T]):
    """A generic model."""

    item: T
    more: list[T] = []


class Plain(Model):
    """A hand-written model; unlike most, with an ``==`` to compare by."""

    def __init__(self, a: str | None = None, b: int = 0):
        self.a = a
        self.b = b

    def __eq__(self, other):
        return type(other) is Plain and vars(other) == vars(self)

    def __hash__(self):
        return hash(repr(self.a))


@dataclass(frozen=True)
class Kind:
    """A kind of field: its annotation and the values it takes."""

    hint: Any
    values: st.SearchStrategy[Any]


_ints = st.integers(-(2**63), 2**64 - 1)
_text = st.text(st.characters(codec="utf-8"), max_size=8)
_leaves = st.builds(Leaf, n=_ints, label=st.none() | _text)
_subleaves = st.builds(SubLeaf, n=_ints, label=_text, extra=st.floats(allow_nan=False))
_others = st.builds(Other, code=_text)
_plains = st.builds(Plain, a=st.none() | _text, b=_ints)

SCALARS = [
    Kind(int, _ints),
    Kind(str, _text),
    Kind(float, st.floats(allow_nan=False)),
    Kind(bool, st.booleans()),
    Kind(bytes, st.binary(max_size=8)),
    Kind(str | None, st.none() | _text),
    Kind(dt.datetime, st.datetimes()),
    Kind(dt.date, st.dates()),
    Kind(UUID, st.uuids()),
    Kind(Colour, st.sampled_from(Colour)),
    Kind(UserId, _ints),
    Kind(Literal["a", 1], st.sampled_from(["a", 1])),
    Kind(Leaf, _leaves | _subleaves),
    Kind(Leaf | Other | None, st.none() | _leaves | _others),
    Kind(Plain, _plains),
    Kind(Any, st.none() | _ints | _text | _leaves | st.lists(_text, max_size=2)),
]


def _containers(kind: Kind) -> list[Kind]:
    hint, values = kind.hint, kind.values
    lists = st.lists(values, max_size=3)
    return [
        Kind(list[hint], lists),
        Kind(tuple[hint, ...], lists.map(tuple)),
        Kind(tuple[hint, int], st.tuples(values, _ints)),
        Kind(dict[str, hint], st.dictionaries(_text, values, max_size=3)),
        Kind(deque[hint], lists.map(deque)),
        Kind(list[hint] | None, st.none() | lists),
        Kind(dict[str, list[hint]], st.dictionaries(_text, lists, max_size=2)),
        Kind(Box[hint], st.builds(Box, item=values, more=lists)),
    ]


def kinds() -> st.SearchStrategy[Kind]:
    """Kinds of fields: scalars, models, unions, and containers of them."""
    scalars = st.sampled_from(SCALARS)
    return scalars | scalars.flatmap(lambda kind: st.sampled_from(_containers(kind)))


@dataclass(frozen=True)
class Made:
    """A made class and the strategies for the parameters of its ``__init__``."""

    cls: type[Model]
    parameters: dict[str, st.SearchStrategy[Any]]


@st.composite
def model_classes(draw, base: Made | None = None) -> Made:
    """Make a declared class, or a subclass of *base*, with some fields."""
    annotations: dict[str, Any] = {}
    body: dict[str, Any] = {"__module__": __name__, "__annotations__": annotations}
    parameters = dict(base.parameters) if base else {}
    for i, kind in enumerate(draw(st.lists(kinds(), min_size=1, max_size=5))):
        name = f"{'sub' if base else 'f'}{i}"
        options: dict[str, Any] = {"kw_only": True}
        form = draw(st.sampled_from(["plain", "default", "alias", "key", "private"]))
        if form in {"default", "private"}:
            options["default"] = draw(kind.values)
        if form == "private":
            name = f"_{name}"
        if form == "alias":
            options["alias"] = f"{name}_given"
        if form == "key":
            options["key"] = f"{name} on disk"
        annotations[name] = kind.hint
        body[name] = field(**options)
        if form != "private":
            parameters[options.get("alias", name)] = kind.values
    bases = (base.cls,) if base else (Model,)
    options = {"version": draw(st.sampled_from([None, 2]))}
    cls = type(f"Made{next(_counter)}", bases, body, **options)
    return Made(cls, parameters)


def made_classes() -> st.SearchStrategy[Made]:
    """Classes, and subclasses of such classes."""
    return model_classes() | model_classes().flatmap(model_classes)
