"""Strategies for classes that are no models: enums, named tuples, dataclasses.

A strategy that the user registered with Hypothesis for a class goes before ours.
"""

import dataclasses
import enum
import inspect
import typing
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, cast

import attrs
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from _storify_hypothesis import is_registered
from storify.models.hints import subclasses

from ._bounds import Bounds, of_validator
from ._nesting import one_level
from ._scalars import SCALARS
from ._shapes import Shapes, has_fields, parse

__all__ = ["Kinds"]

Strategy = st.SearchStrategy[Any]
_CONTAINERS = (list, tuple, dict, set, frozenset)


class Kinds:
    """Makes the strategies of classes that are no models.

    Args:
        shapes: Makes what draws annotations.
        odd: Also what breaks stores.
    """

    def __init__(self, shapes: Callable[[], Shapes], *, odd: bool) -> None:
        self._shapes = shapes
        self._odd = odd
        #: One for each class with fields, or a recursive one would be made for ever.
        self._known: dict[type, Strategy] = {}

    def strategy(self, cls: type[Any], bounds: Bounds) -> Strategy:
        """Return objects of *cls*."""
        if is_registered(cls):
            return st.from_type(cls)
        if issubclass(cls, enum.Enum):
            return _enum(cls)
        if has_fields(cls):
            if cls not in self._known:
                self._known[cls] = st.deferred(lambda: one_level(self._of_fields(cls)))
            return self._known[cls]
        for base in cls.__mro__[1:]:
            if base in SCALARS:
                return SCALARS[base](bounds, odd=self._odd).map(cls)
            if base in _CONTAINERS:
                shape = parse(base, None, cls.__qualname__)
                return self._shapes().strategy(shape, bounds).map(cls)
        return self._below(cls)

    def _of_fields(self, cls: type[Any]) -> Strategy:
        if tuple in cls.__mro__:
            return self._built(cls, _hints_of(cls, cls._fields))
        if dataclasses.is_dataclass(cls):
            names = [f.name for f in dataclasses.fields(cls) if f.init]
            return self._built(cls, _hints_of(cls, names))
        return self._attrs(cls)

    def _built(self, cls: type, hints: Mapping[str, Any]) -> Strategy:
        shapes = self._shapes()
        return st.builds(
            cls,
            **{
                name: shapes.strategy(parse(hint, cls, f"{cls.__qualname__}.{name}"))
                for name, hint in hints.items()
            },
        )

    def _attrs(self, cls: type) -> Strategy:
        fields = [a for a in attrs.fields(cls) if a.init]
        hints = _hints_of(cls, [a.name for a in fields])
        shapes = self._shapes()
        found: dict[str, Strategy] = {}
        for attribute in fields:
            where = f"{cls.__qualname__}.{attribute.name}"
            shape = parse(hints[attribute.name], cls, where)
            bounds = of_validator(attribute.validator, attribute)
            found[attribute.alias] = shapes.strategy(shape, bounds)
        return st.builds(cls, **found)

    def _below(self, cls: type) -> Strategy:
        """Return objects of the subclasses of an abstract class or a mixin."""
        below = [sub for sub in subclasses(cls) if not inspect.isabstract(sub)]
        if not below:
            return st.from_type(cast("Any", cls))
        shapes = self._shapes()
        where = cls.__qualname__
        return st.one_of([shapes.strategy(parse(sub, None, where)) for sub in below])


def _enum(cls: type[enum.Enum]) -> Strategy:
    members: list[Any] = list(cls)
    if not members:
        msg = f"cannot draw a {cls.__qualname__}: it has no members"
        raise InvalidArgument(msg)
    if issubclass(cls, enum.Flag):
        none: Any = cls(0)
        sets = st.sets(st.sampled_from(members))
        return sets.map(lambda found: reduce(_both, found, none))
    return st.sampled_from(members)


def _both(one: Any, other: Any) -> Any:
    return one | other


def _hints_of(cls: type, names: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {name: hints.get(name, Any) for name in names}
