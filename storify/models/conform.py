"""Checking values against shapes: do they conform, and if not, where.

"Conforms" means what a static type checker would accept: an int in a float
field, a bool in an int field and an object of a subclass all do.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

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
from .ref import Ref
from .state import Unloaded, items_of, pairs

__all__ = [
    "Check",
    "Findings",
    "Inspect",
    "Misfit",
    "MisfitKind",
    "Part",
    "accepted_classes",
    "checker",
    "conforms",
    "field_step",
    "is_told_by_class",
    "key_step",
    "misfits",
]

Check = Callable[[Any], bool]

# An annotation of an abstract class admits what cannot be looked into safely
# (iterators) or fast (range): only the items of these are checked.
LISTED = (list, tuple, set, frozenset, deque)


MisfitKind = Literal[
    "missing",
    "unknown",
    "wrong type",
    "unregistered class",
    "newer version",
    "dangling ref",
    "unreadable",
    "unloadable",
]
"""What is wrong with a value.

* ``"missing"``: a field that has no default is not there.
* ``"unknown"``: a stored name that the class does not know.
* ``"wrong type"``: a value does not conform to its annotation.
* ``"unregistered class"``: a record or value of a class that is not known here.
* ``"newer version"``: a record of a newer version than the class.
* ``"dangling ref"``: a reference to a record that is not there.
* ``"unreadable"``: bytes that stand for nothing here.
* ``"unloadable"``: code of the class, or a migration, failed.
"""


class Misfit(NamedTuple):
    """A place where stored data do not fit their types.

    Attributes:
        path: Where: ``$['u1'].address.city``. ``*`` is an item of a set.
        kind: What is wrong.
        expected: The annotation, or what else should be there.
        found: A type, a keyname or a version; never the value.
        database: The name of the database, if one was checked.
    """

    path: str
    kind: MisfitKind
    expected: str
    found: str
    database: str = ""

    def __str__(self) -> str:
        """Give one line for people, as ``storify check`` prints it."""
        where = f"{self.database} {self.path}".lstrip()
        return f"{where}: {self.kind}: expected {self.expected}, found {self.found}"


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


class Part(NamedTuple):
    """Something in a value: the step that leads to it, and what it should be."""

    step: str
    value: Any
    shape: Shape


class Findings(NamedTuple):
    """What somebody who knows classes finds out about one value.

    Attributes:
        misfits: With paths that start at the value.
        parts: What is in it.
        is_object: Whether it is what it should be an object of; else its own type
            says nothing, as that of a record that could not be loaded.
    """

    misfits: Sequence[Misfit]
    parts: Sequence[Part]
    is_object: bool = True


Inspect = Callable[[Any, Shape], Findings | None]
"""Tells about a value and what it should be; None for plain data."""

_ANYTHING = Anything()
_LEAVES = frozenset({type(None), bool, int, float, str, bytes})


def misfits(value: object, shape: Shape, inspect: Inspect) -> Iterator[Misfit]:
    """Find all that is wrong inside *value*, in order.

    Models are looked into wherever they stand, also where the annotation says
    ``Any``. It works a list off instead of calling itself: data may be deeper
    than Python's stack. What is shared is visited once, so cycles end.

    Args:
        value: What to check.
        shape: What it should be.
        inspect: Knows models.
    """
    todo = [Part("$", value, shape)]
    seen: dict[tuple[int, int], Part] = {}
    while todo:
        part = todo.pop()
        path, item, expected = part
        while isinstance(expected, Later):
            expected = expected.get()
        findings = None
        if type(item) not in _LEAVES:
            visit = (id(item), id(expected))
            if visit in seen:
                continue
            seen[visit] = part  # it lives on, so that nothing else gets its id
            if isinstance(expected, Union) and not isinstance(item, Unloaded):
                expected = _arm(item, expected)
            findings = inspect(item, expected)
        elif isinstance(expected, Union):
            expected = _arm(item, expected)
        if (findings is None or findings.is_object) and not _fits_outside(
            item, expected
        ):
            found = type(item).__name__
            yield Misfit(path, "wrong type", describe(expected), found)
            expected = _ANYTHING  # look for models inside all the same
        if findings is None:
            inside: Sequence[Part] = list(_parts(item, expected))
        else:
            inside = findings.parts
            for misfit in findings.misfits:
                yield misfit._replace(path=path + misfit.path)
        todo.extend(
            Part(path + step, inner, shape)
            for step, inner, shape in reversed(inside)
            if not _is_settled(inner, shape)
        )


def _is_settled(value: Any, shape: Shape) -> bool:
    """Tell of a leaf at once that it conforms, as most do."""
    kind = class_of(value)
    return kind in _LEAVES and (
        shape.__class__ is Anything
        or (isinstance(shape, Instance) and shape.cls is kind)
    )


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


def _parts(value: Any, shape: Shape) -> Iterator[Part]:
    """List what is inside *value* and what each part should be."""
    if isinstance(value, dict):
        for key, item in pairs(value):
            expected_key, expected = _pair(key, shape)
            if _is_settled(key, expected_key) and _is_settled(item, expected):
                continue
            step = key_step(key)
            yield Part(f"{step} (key)", key, expected_key)
            yield Part(step, item, expected)
    elif isinstance(value, LISTED):
        is_set = isinstance(value, (set, frozenset))
        for index, item in enumerate(items_of(value)):
            if isinstance(shape, Tuple):
                expected = shape.items[index]
            else:
                expected = shape.item if isinstance(shape, Items) else _ANYTHING
            # the items of a set have no place, and a value is never named
            where = "*" if is_set else index
            yield Part(f"[{where}]", item, expected)


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


def key_step(key: object) -> str:
    """Write the step to the value of *key*: a key is part of a place, no secret."""
    try:
        return f"[{key!r}]"
    except Exception:  # noqa: BLE001 -- a repr may fail, as that of a huge int does
        return f"[<{type(key).__qualname__}>]"


def field_step(name: object) -> str:
    """Write the step to a field, whose stored name may be anything."""
    if isinstance(name, str) and name.isidentifier():
        return f".{name}"
    return key_step(name)


# --- what needs no walk -----------------------------------------------------------


def is_told_by_class(shape: Shape) -> bool:
    """Tell whether `checker` and the classes of models say all about *shape*.

    It is not so where a generic model is parametrised: its class does not know what
    the items of ``Box[int]`` are. What a `Ref` refers to is not in it.
    """
    todo: list[Shape] = [shape]
    seen: set[int] = set()
    while todo:
        match todo.pop():
            case Instance(cls, args) if args and cls is not Ref:
                return False
            case Union(arms) | Tuple(arms):
                todo += arms
            case Items(_, item):
                todo.append(item)
            case Pairs(_, key, value):
                todo += key, value
            case Record(_, keys):
                todo += keys.values()
            case Later() as later if id(later.memo) not in seen:
                seen.add(id(later.memo))
                todo.append(later.get())
            case _:
                pass
    return True
