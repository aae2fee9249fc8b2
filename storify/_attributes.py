"""What an object holds in its attributes: computed ones, slots, what is no field."""

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any, cast

__all__ = ["beside", "computed_by", "if_loaded", "slots_of"]


class _Nothing:
    """What stands for classes and marks of modules that nobody has loaded."""


def if_loaded(module: str, name: str) -> Any:
    """Return what a module has, or what nothing is: who has such a value has loaded it.

    So what a program does not use takes no time when it starts.
    """
    return getattr(sys.modules.get(module), name, _Nothing)


def computed_by(cls: type[Any]) -> frozenset[str]:
    """Return the names that descriptors like ``cached_property`` of *cls* fill in."""
    return frozenset(
        name
        for base in cls.__mro__
        for name, value in vars(base).items()
        if hasattr(cast("Any", type(value)), "__get__")
        and not callable(value)
        and not isinstance(value, (classmethod, staticmethod))
    )


def slots_of(cls: type[Any]) -> list[str]:
    """Return the slots that the class body of *cls* names, but for Python's own."""
    slots = vars(cls).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return [name for name in names if name not in {"__dict__", "__weakref__"}]


def beside(cls: type[Any], fields: Iterable[str]) -> Callable[[object], list[str]]:
    """Make what lists the public attributes of an object beside its *fields*.

    Args:
        cls: The exact class of the objects.
        fields: The names that are stored.
    """
    slots = [name for base in cls.__mro__ for name in slots_of(base)]
    fields = frozenset(fields)
    known = fields | computed_by(cls).difference(slots)
    lost = set(slots) - fields - _cached_in_slots(cls)
    lost = {name for name in lost if not name.startswith("_")}

    def find(obj: object) -> list[str]:
        state: dict[str, Any] = getattr(obj, "__dict__", {})
        if state.keys() <= known and not lost:
            return []
        found = [n for n in state if n not in known and not n.startswith("_")]
        return found + [name for name in sorted(lost) if hasattr(obj, name)]

    return find


def _cached_in_slots(cls: type[Any]) -> set[str]:
    """Return the cached properties that attrs turned into slots.

    They are nowhere but in the default of a parameter of its ``__getattr__``.
    """
    found: set[str] = set()
    for base in cls.__mro__:
        getter = vars(base).get("__getattr__")
        if "__attrs_attrs__" in vars(base) and inspect.isfunction(getter):
            parameters = inspect.signature(getter).parameters
            if "cached_properties" in parameters:
                found |= set(parameters["cached_properties"].default)
    return found
