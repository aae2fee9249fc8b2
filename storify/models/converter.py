"""What converts values faithfully or refuses them.

Stock cattrs coerces (``None`` to ``"None"``, ``"false"`` to True, 3.7 to 3). Here
every structure hook leaves a value that conforms alone, converts only what loses
nothing, and raises `CannotConvert` for all else: the caller then keeps the value
as it is. Hooks are made when the first value needs them, never before.

They have the form of cattrs' hooks, and `cattrs_hooks` registers them there. Nothing
here imports it: that takes longer than all else that a program does at its start.
"""

import collections
import enum
from collections import abc
from collections.abc import Callable
from functools import cache
from typing import Any, cast

from .conform import checker
from .hints import (
    Anything,
    Instance,
    Items,
    Later,
    OneOf,
    Pairs,
    Record,
    Shape,
    Tuple,
    Union,
)
from .options import class_of, is_model_class
from .state import items_of, pairs

__all__ = ["CannotConvert", "Conversions", "Hook"]

Hook = Callable[[Any, Any], Any]
"""A structure hook, as cattrs calls it: ``(value, annotation)``.

The annotation is None for the fields of a record whose keyname told the class.
"""

# What holds items in an order, and may become another of its kind.
_ORDERED = (list, tuple, collections.deque)

_BUILDERS: dict[type, type] = {
    list: list,
    tuple: tuple,
    collections.deque: collections.deque,
    set: set,
    frozenset: frozenset,
    abc.Set: frozenset,
    abc.MutableSet: set,
}


class CannotConvert(Exception):  # noqa: N818 -- a signal inside this package
    """A value that no hook turns into what is expected without loss."""


class Conversions:
    """The hooks of one registry for values that do not conform.

    Args:
        plan: Makes the structure hook of a model that has none yet: a class that
            was not needed so far, or a parametrised one such as ``Box[int]``.

    Attributes:
        hook_of_model: Gives the structure hook of a model.
    """

    def __init__(self, plan: Callable[[Any], Hook]) -> None:
        self.hook_of_model: Callable[[Any], Hook] = cache(plan)

    def hook_for(self, shape: Shape) -> Hook:
        """Make the hook that converts to *shape*."""
        match shape:
            case Instance(cls, args) if is_model_class(cls):
                return self.hook_of_model(cast("Any", cls)[args] if args else cls)
            case Union(arms):
                return _union_hook([(checker(a), self.hook_for(a)) for a in arms])
            case Later():
                return lambda value, hint: self.hook_for(shape.get())(value, hint)  # noqa: PLW0108 -- made when needed: it contains itself
            case Instance(cls):
                make = _instance_maker(cls)
            case Items(cls, item):
                make = _items_maker(cls, checker(item), self.hook_for(item))
            case Tuple(items):
                make = _tuple_maker([(checker(i), self.hook_for(i)) for i in items])
            case Pairs(cls, key, value):
                make = _pairs_maker(
                    cls,
                    (checker(key), self.hook_for(key)),
                    (checker(value), self.hook_for(value)),
                )
            case Anything() | OneOf() | Record():
                make = _refuse
        check = checker(shape)

        def hook(value: Any, _: Any) -> Any:
            return value if check(value) else make(value)

        return hook


_Check = Callable[[Any], bool]
_Part = tuple[_Check, Hook]


def _refuse(value: Any) -> Any:
    raise CannotConvert(type(value).__name__)


def _fit(value: Any, part: _Part) -> Any:
    check, hook = part
    return value if check(value) else hook(value, Any)


def _union_hook(arms: list[_Part]) -> Hook:
    """Convert by the only arm that can; two that can would be a guess."""

    def hook(value: Any, hint: Any) -> Any:
        if any(check(value) for check, _ in arms):
            return value
        found: list[Any] = []
        for _, convert in arms:
            try:
                found.append(convert(value, hint))
            except RecursionError:
                raise
            except Exception:  # noqa: BLE001, S112 -- this arm does not take it
                continue
        if len(found) != 1:
            return _refuse(value)
        return found[0]

    return hook


def _instance_maker(cls: type) -> Callable[[Any], Any]:
    if issubclass(cls, enum.Enum):
        return lambda value: _member(cls, value)
    if cls is bytearray:
        # MessagePack has one type for both, so a bytearray comes back as bytes
        return lambda value: (
            bytearray(value) if type(value) is bytes else _refuse(value)
        )
    return _refuse


def _member(cls: type[enum.Enum], value: Any) -> Any:
    """Return the member of *cls* whose value is *value*, of the very same type."""
    try:
        member = cls(value)
    except ValueError:
        return _refuse(value)
    # 1.0 and True find the member 1, and a _missing_ hook may find any
    if type(member.value) is not type(value) or member.value != value:
        return _refuse(value)
    return member


def _items_maker(cls: type, check: _Check, hook: Hook) -> Callable[[Any], Any]:
    part = check, hook

    def make(value: Any) -> Any:
        kind = class_of(value)
        build = _BUILDERS.get(cls, kind)
        wants_set = issubclass(build, (set, frozenset))
        if kind not in _ORDERED and not (wants_set and kind in {set, frozenset}):
            return _refuse(value)
        if kind is not build and isinstance(value, cls):
            build = kind  # it fits outside; only the items are to be converted
        items = [_fit(item, part) for item in items_of(value)]
        if build is collections.deque:
            made = cast("Any", build)(items, getattr(value, "maxlen", None))
        else:
            made = cast("Any", build)(items)
        if len(made) != len(items):
            return _refuse(value)  # doubles would be lost in a set
        return made

    return make


def _tuple_maker(parts: list[_Part]) -> Callable[[Any], Any]:
    def make(value: Any) -> Any:
        if type(value) not in _ORDERED or len(value) != len(parts):
            return _refuse(value)
        return tuple(_fit(item, part) for item, part in zip(value, parts, strict=True))

    return make


def _pairs_maker(cls: type, key: _Part, item: _Part) -> Callable[[Any], Any]:
    def make(value: Any) -> Any:
        is_plain = type(value) is dict
        if not isinstance(value, dict):
            return _refuse(value)
        fitted = [(_fit(k, key), _fit(v, item)) for k, v in pairs(value)]
        made = dict(fitted)
        if len(made) != len(fitted):
            return _refuse(value)
        if cls in {collections.OrderedDict, collections.Counter}:
            return cast("Any", cls)(made)
        # not into a defaultdict: its factory is nowhere in the data
        return made if issubclass(dict, cls) and is_plain else _refuse(value)

    return make
