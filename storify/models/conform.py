"""Checking values against shapes: do they conform.

"Conforms" means what a static type checker would accept: an int in a float
field, a bool in an int field and an object of a subclass all do.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

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
from .options import class_of
from .ref import Ref
from .state import items_of, pairs

__all__ = [
    "LISTED",
    "Check",
    "Inside",
    "accepted_classes",
    "checker",
    "classes_in",
    "conforms",
    "fits_outside",
    "is_told_by_class",
    "is_told_outside",
    "outer_classes",
    "says_more",
    "says_open",
]

Check = Callable[[Any], bool]
Inside = Callable[[type, tuple[Any, ...]], Check]
"""Makes the check of what is in objects of a parametrised model, as ``Box[int]``."""

# An annotation of an abstract class admits what cannot be looked into safely
# (iterators) or fast (range): only the items of these are checked.
LISTED = (list, tuple, set, frozenset, deque)


def accepted_classes(cls: type) -> tuple[type, ...]:
    """Return the classes whose objects type checkers take for a *cls*."""
    if cls is float:
        return (float, int)
    if cls is complex:
        return (complex, float, int)
    return (cls,)


def conforms(value: object, shape: Shape) -> bool:
    """Tell whether *value* conforms to *shape*; objects are not looked into."""
    try:
        return checker(shape)(value)
    except RecursionError:
        return True  # a recursive alias, deeper than Python goes: not our verdict


def checker(  # noqa: C901, PLR0911 -- one for each shape
    shape: Shape, inside: Inside | None = None
) -> Check:
    """Make the check of *shape*, once, to call it often.

    Objects are not looked into, but those of parametrised models if it is told how.
    """
    match shape:
        case Anything():
            return lambda _: True
        case Instance(cls, args) if inside is not None and says_more(cls, args):
            check_inside = inside(cls, args)
            return lambda value: isinstance(value, cls) and check_inside(value)
        case Instance(cls):
            accepted = accepted_classes(cls)
            return lambda value: isinstance(value, accepted)
        case Union(arms):
            checks = [checker(arm, inside) for arm in arms]
            return lambda value: any(check(value) for check in checks)
        case OneOf(values):
            allowed = {(class_of(v), v) for v in values}
            return lambda value: _is_one_of(value, allowed)
        case Items(cls, item):
            return _items_checker(cls, item, inside)
        case Tuple(items):
            return _tuple_checker([checker(item, inside) for item in items])
        case Pairs(cls, key, value):
            return _pairs_checker(cls, checker(key, inside), checker(value, inside))
        case Record():
            return _record_checker(shape, inside)
        case Later():  # its check is made when it is needed: it contains itself
            return lambda value: _checker_of(shape, inside)(value)  # noqa: PLW0108 -- as said


def _checker_of(shape: Later, inside: Inside | None) -> Check:
    kind = "check" if inside is None else "check inside"
    if kind not in shape.memo:
        shape.memo[kind] = checker(shape.get(), inside)
    check: Check = shape.memo[kind]
    return check


def _is_one_of(value: Any, allowed: set[tuple[type, Any]]) -> bool:
    try:
        return (type(value), value) in allowed
    except TypeError:
        return False


def _items_checker(cls: type, item: Shape, inside: Inside | None) -> Check:
    if isinstance(item, Anything):
        return lambda value: isinstance(value, cls)
    check = checker(item, inside)

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


def _pairs_checker(cls: type, check_key: Check, check_value: Check) -> Check:
    def conform(mapping: Any) -> bool:
        return isinstance(mapping, cls) and all(
            check_key(k) and check_value(v) for k, v in pairs(mapping)
        )

    return conform


def _record_checker(shape: Record, inside: Inside | None) -> Check:
    checks = {name: checker(item, inside) for name, item in shape.keys.items()}

    def conform(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and shape.required <= _keys(value)
            and all(name in checks and checks[name](x) for name, x in pairs(value))
        )

    return conform


def fits_outside(value: Any, shape: Shape) -> bool:
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


def outer_classes(shape: Shape) -> tuple[type, ...] | None:
    """Return the classes whose objects may be of *shape*; None if classes do not tell."""
    match shape:
        case Instance(cls):
            return accepted_classes(cls)
        case Items(cls) | Pairs(cls):
            return (cls,)
        case Tuple():
            return (tuple,)
        case Record():
            return (dict,)
        case Union(arms):
            found = [outer_classes(arm) for arm in arms]
            known = [classes for classes in found if classes is not None]
            if len(known) == len(found):
                return tuple(cls for classes in known for cls in classes)
        case _:
            pass
    return None


def _length(value: Any) -> int:
    return len(value)


def _keys(value: Any) -> set[Any]:
    return set(value)


def is_told_by_class(shape: Shape, *, behind_refs: bool = False) -> bool:
    """Tell whether `checker` and the classes of objects say all about *shape*.

    It is not so where a generic model is parametrised: its class does not know what
    the items of ``Box[int]`` are. What a `Ref` refers to is not in it; whether it
    counts all the same, *behind_refs* says.
    """
    return not any(
        named.args and (behind_refs or named.cls is not Ref)
        for named in classes_in(shape)
    )


def classes_in(shape: Shape) -> Iterator[Instance]:
    """The classes that a shape names, at any depth; what they hold is not looked at."""
    todo: list[Shape] = [shape]
    seen: set[int] = set()
    while todo:
        match todo.pop():
            case Instance() as named:
                yield named
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


def is_told_outside(shape: Shape) -> bool:
    """Tell whether `outer_classes` says all about *shape* but what objects hold."""
    match shape:
        case Anything():
            return True
        case Instance(cls, args):
            return not says_more(cls, args)
        case Union(arms):
            return all(map(is_told_outside, arms))
        case Items(_, item):
            return isinstance(item, Anything)
        case Pairs(_, key, value):
            return isinstance(key, Anything) and isinstance(value, Anything)
        case _:
            return False


def says_more(cls: type, args: tuple[Any, ...]) -> bool:
    """Tell whether *args* say of an object of *cls* what its class does not.

    Those of a `Ref` speak of another record, and a bare type variable of nothing.
    """
    parameters: Any = getattr(cls, "__parameters__", ())
    return cls is not Ref and args != parameters and not says_open(args)


def says_open(args: tuple[Any, ...]) -> bool:
    """Tell whether *args* are of anything."""
    return all(map(_is_open, args))


def _is_open(arg: Any) -> bool:
    if isinstance(arg, TypeVar):
        return arg.__bound__ is None and not arg.__constraints__
    return arg is Any
