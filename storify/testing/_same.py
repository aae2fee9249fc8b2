"""Exact comparison: equal, of the same types, to the bit, and where not.

``==`` takes 1 for True for 1.0, -0.0 for 0.0 and a time for the same moment in
another zone; NaN it takes for nothing. Here a value is taken apart into *facts*:
what lies where, of which class, and as text what it is. Two values are the same if
their facts are, also when one of them was loaded by another process.

What a model holds is its attributes, not what its ``_to_dict`` says of them: a
lossy one would hide what it loses.
"""

import dataclasses
import datetime as dt
import enum
import struct
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, cast
from zoneinfo import ZoneInfo

import attrs

from storify._python import beside, slots_of
from storify.exceptions import ModelLoadError
from storify.models import Model, Unloaded
from storify.models.fields import options_of
from storify.models.options import class_of, class_options
from storify.models.state import aside, items_of, public, state_of, undeclared

_SHOWN: Final = 200
_DEEPEST: Final = 10_000

MAIN: Final = "__storify_main__"
"""What the program that another process runs as ``__main__`` is called here."""

Part = tuple[str, Any]
"""How the path goes on, and what is there."""


class _Stored:
    """The result of a ``_to_dict`` of its own, asked when all else is told.

    One that changes its object would change what is told before.
    """

    def __init__(self, model: Model) -> None:
        self.model = model


class Fact(NamedTuple):
    """A fact about one part of a value.

    Attributes:
        path: Where it is, as ``$.address.city``.
        kind: The name of its class.
        text: What it is apart from its parts.
        value: The part itself, for a message.
    """

    path: str
    kind: str
    text: str
    value: object = None

    @property
    def shown(self) -> str:
        text = looks(self.value)
        if isinstance(self.value, Unloaded) and self.value.error is not None:
            text += f" (not loaded: {_reason(self.value.error)})"
        name = self.kind.rpartition(".")[2]
        return text if text.startswith(name) else f"{self.kind} {text}"


class Difference(NamedTuple):
    """The first place where two values differ.

    Attributes:
        path: The place, as ``$.address.city`` or ``$['a'][0]``.
        reason: What was expected there and what was found.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def same(a: object, b: object) -> bool:
    """Tell whether *b* is what *a* is, to the type and the bit, recursively.

    The order of dicts counts; the order of sets does not.
    """
    return difference(a, b) is None


def difference(a: object, b: object) -> Difference | None:
    """Return the first place where *b* is not what *a* is, None if they are the same.

    Args:
        a: What is expected.
        b: What was found.
    """
    return first_difference(facts(a), facts(b))


def first_difference(
    expected: Iterable[Fact], found: Iterable[Fact]
) -> Difference | None:
    for one, other in zip(expected, found, strict=True):
        # keys are parts, and names are in the text; the path shows sets in any order
        if (one.kind, one.text) != (other.kind, other.text):
            reason = f"expected {one.shown}, found {other.shown}"
            return Difference(one.path, reason)
    return None


def facts(value: object, *, unknown: bool = True) -> Iterator[Fact]:
    """Take *value* apart, outermost first; without *unknown* stored names if need be.

    It works a list off instead of calling itself: data may be deeper than
    Python's stack. What contains itself is a `ValueError`.
    """
    todo: list[tuple[str, Any, int]] = [("$", value, 0)]
    while todo:
        path, item, depth = todo.pop()
        if depth > _DEEPEST:
            msg = f"cannot compare {path[:_SHOWN]}: it contains itself"
            raise ValueError(msg)
        if isinstance(item, _Stored):
            item = item.model._to_dict()
        if isinstance(item, Model):
            text, parts = _model(item, unknown=unknown)
        else:
            text, parts = _apart(item)
        kind = _name(class_of(item))
        # with the number of parts, so that one that lacks the last differs here
        yield Fact(path, kind, f"{text}/{len(parts)}", item)
        todo += [(path + step, part, depth + 1) for step, part in reversed(parts)]


def _name(cls: type) -> str:
    if cls.__module__ == "builtins":
        return cls.__qualname__
    module = "__main__" if cls.__module__ == MAIN else cls.__module__
    return f"{module}.{cls.__qualname__}"


def _reason(error: ModelLoadError) -> str:
    said, cause = str(error), str(error.__cause__ or "")
    return said if said.endswith(cause) else f"{said}: {cause}"


def looks(item: object) -> str:
    """Return *item* as a message shows it, cut where it is long."""
    text = _repr(item)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _repr(item: Any) -> str:
    try:
        text = repr(item)
    except Exception as err:  # noqa: BLE001 -- the class's own code
        return f"<its repr raised {type(err).__name__}>"
    if " object at 0x" not in text:
        return text
    if isinstance(item, Model):
        fields = ", ".join(f"{n}={looks(x)}" for n, x in public(item).items())
        return f"{type(item).__qualname__}({fields})"
    if isinstance(item, (list, tuple)):
        return f"({', '.join(map(looks, items_of(item)))})"
    return text


def _apart(item: Any) -> tuple[str, list[Part]]:
    """Return what *item* is apart from its parts, and its parts."""
    for kind, open_ in _BY_KIND.items():
        if isinstance(item, kind):
            text, parts = open_(item)
            if kind is enum.Enum or not hasattr(item, "__dict__"):
                return text, parts
            more = beside(class_of(item), getattr(item, "_fields", ()))(item)
            others = [(f".{name}", getattr(item, name)) for name in more]
            return ",".join((text, *more)), [*parts, *others]
    names = _fields(class_of(item))
    if names is None and cast("Any", class_of(item).__repr__) is object.__repr__:
        names = _attributes(item)  # its repr would be its address
    if names is None:
        return _repr(item), []
    names = [*names, *beside(class_of(item), names)(item)]
    there = [name for name in names if hasattr(item, name)]
    return ",".join(there), [(f".{name}", getattr(item, name)) for name in there]


def _fields(cls: type[Any]) -> list[str] | None:
    if dataclasses.is_dataclass(cls):
        return [each.name for each in dataclasses.fields(cls)]
    if attrs.has(cls):
        return [each.name for each in attrs.fields(cls)]
    return None


def _attributes(item: Any) -> list[str]:
    names = dict.fromkeys(getattr(item, "__dict__", ()))
    return list(
        names | dict.fromkeys(n for b in class_of(item).__mro__ for n in slots_of(b))
    )


def _enum(item: enum.Enum) -> tuple[str, list[Part]]:
    is_flag = isinstance(item, enum.Flag)
    return (f"{item.value}" if is_flag else item.name), []


def _time(item: Any) -> tuple[str, list[Part]]:
    parts: list[Part] = [] if item.tzinfo is None else [(".tzinfo", item.tzinfo)]
    return f"{item.replace(tzinfo=None)!r} fold={item.fold}", parts


def _steps(item: Any) -> tuple[str, list[Part]]:
    return "", [(f".{p}", getattr(item, p)) for p in ("start", "stop", "step")]


def _set(item: Any) -> tuple[str, list[Part]]:
    def key(each: object) -> list[tuple[str, str]]:
        return [(fact.kind, fact.text) for fact in facts(each)]

    return "", [("[*]", each) for each in sorted(item, key=key)]


def _list(item: Any) -> tuple[str, list[Part]]:
    return "", [(f"[{i}]", each) for i, each in enumerate(item)]


def _tuple(item: Any) -> tuple[str, list[Part]]:
    names = getattr(item, "_fields", None)
    if names is None:
        return _list(item)
    return "", [(f".{n}", each) for n, each in zip(names, item, strict=True)]


def _dict(item: Any) -> tuple[str, list[Part]]:
    parts: list[Part] = []
    for key, each in item.items():
        where = f"[{looks(key)}]"
        parts += [(f"{where} (key)", key), (where, each)]
    return "", parts


def _model(item: Model, *, unknown: bool) -> tuple[str, list[Part]]:
    cls = class_of(item)
    options = class_options(cls)
    stored = [a.name for a in options.attributes if options_of(a).stored]
    unstored = {a.name for a in options.attributes}.difference(stored)
    state = state_of(item)
    values = {name: state[name] for name in stored if name in state}
    more = {n: x for n, x in public(item).items() if n in state and n not in unstored}
    kept = aside(item) if unknown else dict[Any, Any]()
    if not unknown:
        more = {n: x for n, x in more.items() if n not in undeclared(item)}
    values |= {name: more[name] for name in sorted(more, key=str)}
    # what is stored but no attribute is not the same as an attribute of that name
    values |= {f"{name} (no attribute)": kept[name] for name in sorted(kept, key=str)}
    parts: list[Part] = [(f".{name}", each) for name, each in values.items()]
    if cls._to_dict is not Model._to_dict:
        # what it makes of private attributes shows nowhere else
        parts.append(("._to_dict()", _Stored(item)))
    return ",".join(map(str, values)), parts


# A subclass before its base.
_BY_KIND: dict[type | tuple[type, ...], Callable[[Any], tuple[str, list[Part]]]] = {
    enum.Enum: _enum,
    float: lambda item: (struct.pack(">d", item).hex(), []),
    bool: lambda item: (repr(item), []),
    # the text of a large one in decimals is refused
    int: lambda item: (f"{int(item):#x}", []),
    str: lambda item: (str.__repr__(item), []),
    (bytes, bytearray): lambda item: (bytes(item).hex(), []),
    complex: lambda item: ("", [(".real", item.real), (".imag", item.imag)]),
    (dt.datetime, dt.time): _time,
    dt.timezone: lambda item: (repr(item.__getinitargs__()), []),
    ZoneInfo: lambda item: (item.key or "", []),
    (set, frozenset): _set,
    (range, slice): _steps,
    defaultdict: lambda item: (f"{item.default_factory!r}", _dict(item)[1]),
    deque: lambda item: (f"{item.maxlen}", _list(item)[1]),
    dict: _dict,
    tuple: _tuple,
    list: _list,
}
