"""Values and shapes: do they conform, and what converts those that do not.

"Conforms" means what a static type checker would accept: an int in a float
field, a bool in an int field and an object of a subclass all do.

Stock cattrs coerces (``None`` to ``"None"``, ``"false"`` to True, 3.7 to 3). Here
every structure hook leaves a value that conforms alone, converts only what loses
nothing, and raises `CannotConvert` for all else: the caller then keeps the value
as it is. Hooks are made when the first value needs them, never before. They have the
form of cattrs' hooks, and `cattrs_hooks` registers them there.
"""

import collections
import enum
from collections import abc, deque
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar, cast

from .base import Ref
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
    parts_of,
)
from .options import class_of, is_model_class
from .state import items_of, pairs

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
        each = todo.pop()
        if isinstance(each, Instance):
            yield each
        elif not isinstance(each, Later):
            todo += parts_of(each)
        elif id(each.memo) not in seen:
            seen.add(id(each.memo))
            todo.append(each.get())


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


# --- converting faithfully, or refusing -----------------------------------------------

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


_Part = tuple[Check, Hook]


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


def _items_maker(cls: type, check: Check, hook: Hook) -> Callable[[Any], Any]:
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
