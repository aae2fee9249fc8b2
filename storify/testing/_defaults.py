"""Objects that are made with defaults share nothing that can be changed."""

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import attrs
from hypothesis import strategies as st

from storify.models import Model
from storify.models.options import class_options, is_classvar, own_annotations
from storify.models.state import public

from ._models import models_with_defaults
from ._running import Failed, for_each
from ._same import facts

__all__ = ["check_defaults"]

_MUTABLE: Final = (list, dict, set, bytearray, deque)
_EXAMPLES: Final = 3

_DECLARED_HINT: Final = "its factory must make a new one each time"
_WRITTEN_HINT: Final = "make it in __init__, or declare it on the class"


def check_defaults(cls: type[Model], call: str) -> None:
    """Make two objects of *cls* with defaults; a change of one is none of the other.

    Raises:
        AssertionError: They share something.
    """
    __tracebackhide__ = True
    made = models_with_defaults(cls)
    if made is None:
        return  # nothing is known of what its constructor needs
    for_each(
        st.tuples(made, made),
        lambda pair: _check(*pair),
        examples=_EXAMPLES,
        call=call,
    )


def _check(one: Model, other: Model) -> None:
    theirs = {id(value) for _, value in _changeable(other)}
    shared = [path for path, value in _changeable(one) if id(value) in theirs]
    if not shared:
        return
    kind = type(one).__qualname__
    problem = (
        f"two {kind} objects made with defaults share {kind}{shared[0][1:]}: a change "
        f"of one changes the other"
    )
    declared = class_options(type(one)).declared
    hint = _DECLARED_HINT if declared else _WRITTEN_HINT
    raise Failed(problem, ("hint", hint))


def _changeable(obj: Model) -> Iterator[tuple[str, Any]]:
    cls = type(obj)
    for fact in facts(obj):
        if _can_change(fact.value):
            yield fact.path, fact.value
    if class_options(cls).declared:
        return
    # a hand-written class may leave an attribute to its class body
    for base in cls.__mro__:
        hints = own_annotations(base)
        for name, value in vars(base).items():
            is_default = not name.startswith("_") and name not in public(obj)
            on_class = name.isupper() or is_classvar(hints.get(name, ""))
            if isinstance(value, _MUTABLE) and is_default and not on_class:
                yield f"$.{name}", value


def _can_change(value: object) -> bool:
    if isinstance(value, Model):
        return not attrs.has(type(value)) or type(value).__hash__ is None
    return isinstance(value, _MUTABLE)
