"""Where a value can stand: what is written for it and how it is read back."""

import types
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from kinds import KINDS, Kind

from storify import Model


def _holder(name: str, hint: Any) -> type[Model]:
    """Make a model class with one field ``value`` of type *hint*."""
    return types.new_class(
        name,
        (Model,),
        {"keyname": name},
        lambda body: body.update(__annotations__={"value": hint}, __module__=__name__),
    )


Anything = _holder("Anything", Any)
HOLDERS = {
    kind.name: _holder(f"Holder{index}", kind.hint) for index, kind in enumerate(KINDS)
}


def is_hashable(value: Any) -> bool:
    """Whether *value* can be in a set and a key of a dict."""
    if isinstance(value, slice) or not isinstance(value, Hashable):
        return False  # a slice hashes only since Python 3.12
    try:
        hash(value)
    except TypeError:
        return False
    return True


#: Position -> (put the value in, get it out).
POSITIONS: dict[str, tuple[Callable[[Kind], Any], Callable[[Any], Any]]] = {
    "alone": (lambda kind: kind.value, lambda found: found),
    "in a typed field": (
        lambda kind: HOLDERS[kind.name](kind.value),
        lambda found: found.value,
    ),
    "in an untyped field": (
        lambda kind: Anything(kind.value),
        lambda found: found.value,
    ),
    "in a list": (lambda kind: [0, kind.value], lambda found: found[1]),
    "in a tuple": (lambda kind: (kind.value, 0), lambda found: found[0]),
    "in a dict": (lambda kind: {"k": {"v": kind.value}}, lambda found: found["k"]["v"]),
    "in a set": (lambda kind: {kind.value}, lambda found: next(iter(found))),
    "as a key": (lambda kind: {kind.value: 0}, lambda found: next(iter(found))),
}
NEEDS_HASH = {"in a set", "as a key"}


def cases() -> Iterator[tuple[Kind, str]]:
    """Give every kind in every position that it can have."""
    for kind in KINDS:
        for position in POSITIONS:
            if position not in NEEDS_HASH or is_hashable(kind.value):
                yield kind, position
