"""Checking values against shapes: do they conform, and if not, where.

"Conforms" means what a static type checker would accept: an int in a float
field, a bool in an int field and an object of a subclass all do.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

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
    describe,
)
from .options import class_of
from .state import items_of, pairs

__all__ = [
    "Check",
    "Misfit",
    "accepted_classes",
    "checker",
    "conforms",
    "misfits",
]

Check = Callable[[Any], bool]

# An annotation of an abstract class admits what cannot be looked into safely
# (iterators) or fast (range): only the items of these are checked.
LISTED = (list, tuple, set, frozenset, deque)


class Misfit(NamedTuple):
    """A value that does not conform to its annotation.

    Attributes:
        path: Where, relative to what was checked: ``$.address.city``.
        expected: The annotation.
        found: The type of the value; never the value.
    """

    path: str
    expected: str
    found: str


def accepted_classes(cls: type) -> tuple[type, ...]:
    """Give the classes whose objects type checkers take for a *cls*."""
    if cls is float:
        return (float, int)
    if cls is complex:
        return (complex, float, int)
    return (cls,)


def conforms(value: object, shape: Shape) -> bool:
    """Tell whether *value* conforms to *shape*; models are not looked into."""
    try:
        return checker(shape)(value)
    except RecursionError:
        return True  # a recursive alias, deeper than Python goes: not our verdict


def checker(shape: Shape) -> Check:  # noqa: PLR0911 -- one for each shape
    """Make the check of *shape*, once, to call it often."""
    match shape:
        case Anything():
            return lambda _: True
        case Instance(cls):
            accepted = accepted_classes(cls)
            return lambda value: isinstance(value, accepted)
        case Union(arms):
            checks = [checker(arm) for arm in arms]
            return lambda value: any(check(value) for check in checks)
        case OneOf(values):
            allowed = {(class_of(v), v) for v in values}
            return lambda value: _is_one_of(value, allowed)
        case Items(cls, item):
            return _items_checker(cls, item)
        case Tuple(items):
            return _tuple_checker([checker(item) for item in items])
        case Pairs(cls, key, value):
            return _pairs_checker(cls, key, value)
        case Record():
            return _record_checker(shape)
        case Later():
            return lambda value: _checker_of(shape)(value)  # noqa: PLW0108 -- made when needed: it contains itself


def _checker_of(shape: Later) -> Check:
    if "check" not in shape.memo:
        shape.memo["check"] = checker(shape.get())
    check: Check = shape.memo["check"]
    return check


def _is_one_of(value: Any, allowed: set[tuple[type, Any]]) -> bool:
    try:
        return (type(value), value) in allowed
    except TypeError:
        return False


def _items_checker(cls: type, item: Shape) -> Check:
    if isinstance(item, Anything):
        return lambda value: isinstance(value, cls)
    check = checker(item)

    def conform(value: Any) -> bool:
        if not isinstance(value, cls):
            return False
        if isinstance(value, str):
            return check("")
        return not isinstance(value, (*LISTED, dict)) or all(
            map(check, items_of(value))
        )

    return conform


def _tuple_checker(checks: list[Check]) -> Check:
    def conform(value: Any) -> bool:
        return (
            isinstance(value, tuple)
            and _length(value) == len(checks)
            and all(check(x) for check, x in zip(checks, items_of(value), strict=True))
        )

    return conform


def _pairs_checker(cls: type, key: Shape, value: Shape) -> Check:
    check_key, check_value = checker(key), checker(value)

    def conform(mapping: Any) -> bool:
        return isinstance(mapping, cls) and all(
            check_key(k) and check_value(v) for k, v in pairs(mapping)
        )

    return conform


def _record_checker(shape: Record) -> Check:
    checks = {name: checker(item) for name, item in shape.keys.items()}

    def conform(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and shape.required <= _keys(value)
            and all(name in checks and checks[name](x) for name, x in pairs(value))
        )

    return conform


# --- where it does not conform ----------------------------------------------------

_Part = tuple[str, Any, Shape]
Fields = Callable[[object, tuple[Any, ...]], Iterable[tuple[str, Any, Shape]] | None]
"""Gives (name, value, shape) of the fields of a model object, None for others."""

_ANYTHING = Anything()
_LEAVES = frozenset({type(None), bool, int, float, str, bytes})


def misfits(
    value: object, shape: Shape, fields: Fields, is_raw: Callable[[object], bool]
) -> Iterator[Misfit]:
    """Find all values inside *value* that do not conform, in order.

    Models are looked into wherever they stand, also where the annotation says
    ``Any``. It works a list off instead of calling itself: data may be deeper
    than Python's stack. What is shared is visited once, so cycles end.

    Args:
        value: What to check.
        shape: What it should be.
        fields: Tells the fields of model objects.
        is_raw: Tells records that could not be loaded.
    """
    todo: list[_Part] = [("$", value, shape)]
    seen: set[tuple[int, int]] = set()
    while todo:
        path, item, expected = todo.pop()
        while isinstance(expected, Later):
            expected = expected.get()
        if is_raw(item):
            yield Misfit(path, describe(expected), type(item).__name__)
            continue
        if type(item) not in _LEAVES:
            visit = (id(item), id(expected))
            if visit in seen:
                continue
            seen.add(visit)
        if isinstance(expected, Union):
            expected = _arm(item, expected)
        if not _fits_outside(item, expected):
            yield Misfit(path, describe(expected), type(item).__name__)
            expected = _ANYTHING  # look for models inside all the same
        todo.extend(reversed(list(_parts(path, item, expected, fields))))


def _arm(value: Any, union: Union) -> Shape:
    """Choose the arm to judge *value* by, or the union itself if none is near."""
    for arm in union.arms:
        if conforms(value, arm):
            return arm
    near = [arm for arm in union.arms if _fits_outside(value, arm)]
    return near[0] if len(near) == 1 else union


def _fits_outside(value: Any, shape: Shape) -> bool:
    """Tell whether *value* conforms as far as one sees without looking inside."""
    match shape:
        case Items() if isinstance(value, str):
            return conforms(value, shape)  # its items are not listed one by one
        case Items(cls) | Pairs(cls):
            return isinstance(value, cls)
        case Tuple(items):
            return isinstance(value, tuple) and _length(value) == len(items)
        case Record(_, keys, required):
            return isinstance(value, dict) and required <= _keys(value) <= keys.keys()
        case _:
            return conforms(value, shape)


def _length(value: Any) -> int:
    return len(value)


def _keys(value: Any) -> set[Any]:
    return set(value)


def _parts(path: str, value: Any, shape: Shape, fields: Fields) -> Iterator[_Part]:
    """List what is inside *value* and what each part should be."""
    args = shape.args if isinstance(shape, Instance) else ()
    inner = fields(value, args)
    if inner is not None:
        for name, item, expected in inner:
            yield f"{path}.{name}", item, expected
    elif isinstance(value, dict):
        for key, item in pairs(value):
            expected_key, expected = _pair(key, shape)
            yield f"{path}[{key!r}] (key)", key, expected_key
            yield f"{path}[{key!r}]", item, expected
    elif isinstance(value, LISTED):
        is_set = isinstance(value, (set, frozenset))
        for index, item in enumerate(items_of(value)):
            if isinstance(shape, Tuple):
                expected = shape.items[index]
            else:
                expected = shape.item if isinstance(shape, Items) else _ANYTHING
            # the items of a set have no place, and a value is never named
            where = "*" if is_set else index
            yield f"{path}[{where}]", item, expected


def _pair(key: Any, shape: Shape) -> tuple[Shape, Shape]:
    match shape:
        case Pairs(_, expected_key, expected):
            return expected_key, expected
        case Record(_, keys):
            return _ANYTHING, keys.get(key, _ANYTHING)
        case Items(_, item):
            return item, _ANYTHING
        case _:
            return _ANYTHING, _ANYTHING
