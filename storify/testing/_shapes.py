"""From annotations to strategies, one for each shape that `hints` knows.

The shapes are those that values are checked by at load and in a strict database, so
what is drawn is what conforms. The extras of ``Annotated``, which a check does not
look at, are kept beside the shape here.
"""

import collections
import dataclasses
import numbers
import os
import pathlib
import threading
from collections import abc
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, cast, get_origin

import attrs
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from storify.models.conform import conforms
from storify.models.hints import (
    Anything,
    Instance,
    Items,
    Later,
    OneOf,
    Pairs,
    Parser,
    Record,
    Shape,
    Tuple,
    Union,
    Unsupported,
    parts_of,
    text_of,
)
from storify.models.options import is_model_class

from ._scalars import (
    FREE,
    SCALARS,
    Bounds,
    as_counter,
    hashables,
    is_hashable,
    of_metadata,
    storable,
)

# --- how deep in records the value is that is drawn: recursive models must end --------
#
# What is drawn is decided by the level alone, so a failing example shrinks as others.


_LEVELS: Final = 3
_ENDLESS: Final = 30


class _Level(threading.local):
    value = 0


_level: Final = _Level()


@contextmanager
def deeper() -> Generator[None]:
    _level.value += 1
    try:
        yield
    finally:
        _level.value -= 1


def is_endless() -> bool:
    """Tell whether the value is so deep that each of its kind must hold another."""
    return _level.value > _ENDLESS


@st.composite
def one_level(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> Any:
    with deeper():
        return draw(inner)


@st.composite
def shallow(
    draw: st.DrawFn, full: st.SearchStrategy[Any], flat: st.SearchStrategy[Any]
) -> Any:
    """Return of *full*, or of *flat* where it is deep enough already."""
    return draw(flat if _level.value > _LEVELS else full)


@st.composite
def few(
    draw: st.DrawFn,
    least: int,
    most: int | None,
    make: Callable[[int, int | None], st.SearchStrategy[Any]],
) -> Any:
    """Return collections of records, smaller ones the deeper they are."""
    # its own level is 1 for what a field of the outermost record holds
    by_level = {0: most, 1: 3, 2: 1, 3: 1}
    caps = [n for n in (most, by_level.get(_level.value, 0)) if n is not None]
    return draw(make(least, max(least, min(caps)) if caps else None))


# --- shapes ---------------------------------------------------------------------------

Strategy = st.SearchStrategy[Any]
OfClass = Callable[[type, tuple[Any, ...], Bounds], Strategy]

_BUILT: Final[Mapping[type, type]] = {
    abc.Sequence: list,
    abc.MutableSequence: list,
    abc.Collection: list,
    abc.Iterable: list,
    abc.Reversible: list,
    abc.Container: list,
    abc.Set: frozenset,
    abc.MutableSet: set,
    abc.Mapping: dict,
    abc.MutableMapping: dict,
}
"""What is made where an abstract class is asked for."""

_SETS: Final[tuple[Any, ...]] = (set, frozenset)

_NUMBERS: Final[Mapping[type, tuple[type, ...]]] = {
    numbers.Number: (int, float, complex),
    numbers.Complex: (int, float, complex),
    numbers.Real: (int, float),
    numbers.Rational: (int,),
    numbers.Integral: (int,),
}


@dataclass(frozen=True)
class Bounded:
    """A shape with the extras of its ``Annotated``."""

    shape: Shape
    bounds: Bounds


class _Parser(Parser):
    """Keeps what `Parser` leaves out."""

    def parse(self, hint: Any, owner: type | None = None) -> Shape:
        shape = super().parse(hint, owner)
        if get_origin(hint) is Annotated:
            # no shape that others know; only `Shapes` meets it
            return cast("Shape", Bounded(shape, of_metadata(hint.__metadata__)))
        return shape


def parse(hint: Any, owner: type | None, where: str) -> Shape:
    """Return the shape of a resolved annotation, with bounds; *where* is for a message."""
    try:
        return _Parser().parse(hint, owner)
    except Unsupported as err:
        msg = f"cannot draw {where}: {text_of(hint)}: {err}; give a strategy for it"
        raise InvalidArgument(msg) from err


class Shapes:
    """Makes strategies of shapes; *of_class* those of a class that is no scalar."""

    def __init__(
        self, of_class: OfClass, *, odd: bool, tags: tuple[str, ...] = ()
    ) -> None:
        self._of_class = of_class
        self._odd = odd
        self._tags = tags

    def strategy(self, shape: Shape | Bounded, bounds: Bounds = FREE) -> Strategy:
        if isinstance(shape, Bounded):
            return self.strategy(shape.shape, shape.bounds & bounds)
        if bounds.drawn is not None:
            return bounds.within(bounds.drawn)
        if bounds.choices is not None:
            return bounds.within(_chosen(shape, bounds.choices))
        if bounds.either:
            rest = replace(bounds, either=())
            return st.one_of([self.strategy(shape, rest & b) for b in bounds.either])
        return bounds.within(self._free(shape, bounds))

    def _free(self, shape: Shape, bounds: Bounds) -> Strategy:  # noqa: PLR0911 -- one for each shape
        match shape:
            case Anything():
                return self._anything(bounds)
            case Instance(cls, args):
                return self._instance(cls, args, bounds)
            case Union(arms):
                return self._union(arms, bounds)
            case OneOf(values):
                return st.sampled_from(values)
            case Items(cls, item):
                return self._items(cls, item, bounds)
            case Tuple(items):
                return self._tuple(items, bounds)
            case Pairs(cls, key, value):
                return self._pairs(cls, key, value, bounds)
            case Record(_, keys, required):
                return self._record(keys, required)
            case Later():
                return self._later(shape)

    def _anything(self, bounds: Bounds) -> Strategy:
        if bounds.classes:
            arms = [Instance(cls) for cls in bounds.classes[0]]
            rest = replace(bounds, classes=bounds.classes[1:])
            return st.one_of([self.strategy(arm, rest) for arm in arms])
        if bounds.patterns or bounds.least or bounds.most or bounds.step:
            kinds = (str, bytes) if bounds.patterns else (int, float)
            return st.one_of([self._instance(cls, (), bounds) for cls in kinds])
        return storable(adversarial=self._odd, max_leaves=6, tags=self._tags)

    def _instance(self, cls: type, args: tuple[Any, ...], bounds: Bounds) -> Strategy:
        if cls in SCALARS:
            return SCALARS[cls](bounds, odd=self._odd)
        if cls in _NUMBERS:
            kinds = _NUMBERS[cls]
            return st.one_of([self._instance(kind, (), bounds) for kind in kinds])
        if cls is abc.Hashable:
            return hashables(adversarial=self._odd)
        if cls is abc.Sized:
            return self._instance(str, (), bounds) | st.lists(st.integers())
        if cls is os.PathLike:
            return self._instance(pathlib.PurePosixPath, (), bounds)
        return self._of_class(cls, args, bounds)

    def _union(self, arms: tuple[Shape, ...], bounds: Bounds) -> Strategy:
        full = st.one_of([self.strategy(arm, bounds) for arm in arms])
        flat = [arm for arm in arms if not _holds_records(arm)]
        if not flat or len(flat) == len(arms):
            return full
        return shallow(full, st.one_of([self.strategy(a, bounds) for a in flat]))

    def _items(self, cls: type, item: Shape, bounds: Bounds) -> Strategy:
        kind = cast("Any", _BUILT.get(cls, cls))
        items = self.strategy(item, bounds.items or FREE)
        least, most = bounds.min_len, bounds.max_len
        if kind in _SETS:
            sets = _sizes(st.sets, items.filter(is_hashable))
            return self._sized(item, least, most, sets).map(kind)
        found = self._sized(item, least, most, _sizes(st.lists, items))
        if self._odd:
            found |= found.filter(bool).map(lambda items: [*items, items[0]])
        if kind is collections.deque:
            maxlens = st.none() | st.integers(3, 9) if self._odd else st.none()
            return st.builds(_deque, found, maxlens)
        return found if kind is list else found.map(kind)

    def _sized(
        self,
        item: Shape,
        least: int,
        most: int | None,
        make: Callable[[int, int | None], Strategy],
    ) -> Strategy:
        return few(least, most, make) if _holds_records(item) else make(least, most)

    def _tuple(self, items: tuple[Shape, ...], bounds: Bounds) -> Strategy:
        inner = bounds.items or FREE
        return st.tuples(*(self.strategy(item, inner) for item in items))

    def _pairs(self, cls: type, key: Shape, value: Shape, bounds: Bounds) -> Strategy:
        kind = cast("Any", _BUILT.get(cls, cls))
        keys = self.strategy(key, bounds.items or FREE).filter(is_hashable)
        values = self.strategy(value, bounds.values or FREE)
        is_text = isinstance(key, Instance) and key.cls is str
        if self._odd and self._tags and is_text and not bounds.items:
            keys |= st.sampled_from(self._tags)
        make = _sizes(st.dictionaries, keys, values)
        found = self._sized(value, bounds.min_len, bounds.max_len, make)
        if kind is collections.defaultdict:
            factories = st.sampled_from((None, list, dict, int, str))
            return st.builds(_defaultdict, factories, found)
        if kind is dict:
            return found
        return found.map(as_counter if kind is collections.Counter else kind)

    def _record(self, keys: Mapping[str, Shape], required: frozenset[str]) -> Strategy:
        found = {name: self.strategy(shape) for name, shape in keys.items()}
        return st.fixed_dictionaries(
            {name: s for name, s in found.items() if name in required},
            optional={name: s for name, s in found.items() if name not in required},
        )

    def _later(self, shape: Later) -> Strategy:
        # it contains itself, so one strategy of it must do
        key = f"strategy {self._odd} {self._tags}"
        if key not in shape.memo:
            shape.memo[key] = st.deferred(lambda: one_level(self.strategy(shape.get())))
        found: Strategy = shape.memo[key]
        return found


# untyped, so that they take any items
_deque = cast("Any", collections.deque)
_defaultdict = cast("Any", collections.defaultdict)


def _sizes(
    make: Callable[..., Strategy], *parts: Strategy
) -> Callable[[int, int | None], Strategy]:
    """Make what gives the collections of a least and a largest size."""
    return lambda least, most: make(*parts, min_size=least, max_size=most)


def has_fields(cls: type[Any]) -> bool:
    """Tell of a class that is no model whether its objects are made of fields."""
    if tuple in cls.__mro__:
        return hasattr(cls, "_fields")
    return attrs.has(cls) or dataclasses.is_dataclass(cls)


def _chosen(shape: Shape, choices: tuple[Any, ...]) -> Strategy:
    fitting = [each for each in choices if conforms(each, _plain(shape))]
    return st.sampled_from(fitting or list(choices))


def _plain(shape: Shape | Bounded) -> Shape:
    """Return *shape* as others know it, as far as a choice is concerned."""
    if isinstance(shape, Bounded):
        return _plain(shape.shape)
    if isinstance(shape, Union):
        return Union(tuple(_plain(arm) for arm in shape.arms))
    return shape if isinstance(shape, (Instance, OneOf)) else Anything()


def _holds_records(shape: Shape | Bounded) -> bool:
    match shape:
        case Bounded(inner):
            return _holds_records(inner)
        case Instance(cls):
            return is_model_class(cls) or has_fields(cls)
        case Later():
            return True
        case _:
            return any(map(_holds_records, parts_of(shape)))
