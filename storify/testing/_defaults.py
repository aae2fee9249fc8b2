"""Objects that are made with defaults share nothing that can be changed."""

import copy
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import attrs
from hypothesis import strategies as st

from storify.models import Model
from storify.models.fields import default_of
from storify.models.options import class_options, is_classvar, own_annotations
from storify.models.state import public, state_of

from ._models import models_with_defaults
from ._running import Failed, for_each
from ._same import facts
from ._written import Written

__all__ = ["check_defaults"]

_EXAMPLES: Final = 3
_MUTABLE: Final = (list, dict, set, bytearray, deque)

_DECLARED_HINT: Final = "its factory must make a new one each time"
_WRITTEN_HINT: Final = "make it in __init__, or declare it on the class"


def check_defaults(example: Model, call: str) -> None:
    """Make two objects like *example* with defaults; a change of one is none of both.

    What the constructor needs is what *example* has.

    Raises:
        AssertionError: They share something, or a default cannot be made.
    """
    __tracebackhide__ = True
    try:
        one, other = _with_defaults(example), _with_defaults(example)
    except Failed as err:
        raise AssertionError(err.text(call, example)) from err.__cause__
    if one is not None and other is not None:
        try:
            _check(one, other)
        except Failed as err:
            raise AssertionError(err.text(call, (one, other))) from err.__cause__
        return
    if class_options(type(example)).declared:
        return  # what it needs can be made by the user's strategies alone
    drawn = models_with_defaults(type(example))
    if drawn is not None:
        pairs = st.tuples(drawn, drawn)
        for_each(pairs, lambda pair: _check(*pair), examples=_EXAMPLES, call=call)


def _with_defaults(example: Model) -> Model | None:
    """Make an object with what the constructor needs, and no more.

    Returns:
        None where nothing is known of what it needs, or it does not take it.
    """
    cls = type(example)
    state = state_of(example)
    if class_options(cls).declared:
        attributes = [a for a in class_options(cls).attributes if a.init]
        needed = {
            str(a.alias): a.name for a in attributes if a.default is attrs.NOTHING
        }
    else:
        needed = {name: name for name in Written(cls).required}
    if not state.keys() >= set(needed.values()):
        return None
    try:
        return cls(**{n: copy.deepcopy(state[name]) for n, name in needed.items()})
    except Exception:  # noqa: BLE001 -- as its own validators may
        _check_factories(example)
        return None


def _check_factories(example: Model) -> None:
    """Raise if a default of the class of *example* cannot be made."""
    cls = type(example)
    for attribute in class_options(cls).attributes:
        if attribute.default is attrs.NOTHING:
            continue
        try:
            default_of(attribute, example)
        except Exception as err:
            problem = (
                f"the default of {cls.__qualname__}.{attribute.name} cannot be made: "
                f"{type(err).__name__}: {err}"
            )
            raise Failed(problem) from err


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
