"""Bringing another writer's value into an object that the user may hold.

After a merge the stored value is newer than the live object. Replacing the
object would leave the user holding a copy that is never saved again, so the
object is given the new content in place, as deep as the two have one shape.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from storify.models import Model
from storify.models.state import UNKNOWN

__all__ = ["refresh"]


def refresh(old: object, new: object) -> object:
    """Give *old* the content of *new* and return it, or *new* if that cannot be.

    Only mutable containers and models of one exact type are refreshed;
    everything else is replaced, which nobody who holds it could have changed. So are
    frozen models that can be hashed, as references: one of them may be in other
    records as well, or in a set.
    """
    if old is new or type(old) is not type(new) or _is_constant(old):
        return new
    for base, way in _WAYS.items():
        if isinstance(old, base):
            return old if way(old, new) else new
    return new


def _is_constant(value: object) -> bool:
    """Whether it is a frozen model, all the way down."""
    made = getattr(type(value), "__attrs_props__", None)
    if made is None or not made.is_frozen:
        return False
    try:
        hash(value)
    except TypeError:
        return False
    return isinstance(value, Model)


def _model(old: Model, new: Model) -> bool:
    """Take the stored state; what is never stored (``_x``) stays the user's."""
    mine, theirs = old.__dict__, new.__dict__
    private = {name: value for name, value in mine.items() if not _stored(name)}
    merged = {
        # Copies of an object share the slot of unknown names: it is replaced.
        name: value if name == UNKNOWN else refresh(mine.get(name), value)
        for name, value in theirs.items()
        if _stored(name)
    }
    mine.clear()
    mine.update(private)
    mine.update(merged)
    return True


def _stored(name: str) -> bool:
    return name == UNKNOWN or not name.startswith("_")


def _dict(old: dict[Any, Any], new: dict[Any, Any]) -> bool:
    merged = {
        key: refresh(old[key], value) if key in old else value
        for key, value in new.items()
    }
    # Emptied first: a dict keeps the key that it has, and 1 is not True.
    old.clear()
    for key, value in merged.items():  # update() of a Counter would add
        old[key] = value  # noqa: PERF403 - the object stays
    return True


def _defaultdict(old: defaultdict[Any, Any], new: defaultdict[Any, Any]) -> bool:
    old.default_factory = new.default_factory
    return _dict(old, new)


def _list(old: list[Any], new: list[Any]) -> bool:
    common = [refresh(mine, theirs) for mine, theirs in zip(old, new, strict=False)]
    old[:] = common + new[len(common) :]
    return True


def _set(old: set[Any], new: set[Any]) -> bool:
    old.clear()
    old.update(new)
    return True


def _deque(old: deque[Any], new: deque[Any]) -> bool:
    if old.maxlen != new.maxlen:
        return False
    old.clear()
    old.extend(new)
    return True


def _bytearray(old: bytearray, new: bytearray) -> bool:
    old[:] = new
    return True


#: How the objects of a class take new content; False if this one cannot.
_WAYS: dict[type[Any], Callable[[Any, Any], bool]] = {
    Model: _model,
    defaultdict: _defaultdict,
    dict: _dict,
    list: _list,
    set: _set,
    deque: _deque,
    bytearray: _bytearray,
}
