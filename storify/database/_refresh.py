"""Bringing another writer's value into an object that the user may hold.

After a merge the stored value is newer than the live object. Replacing the
object would leave the user holding a copy that is never saved again, so the
object is given the new content in place, as deep as the two have one shape.
"""

from collections import deque
from typing import Any, cast

from storify.models import Model

__all__ = ["refresh"]


def refresh(old: object, new: object) -> object:
    """Give *old* the content of *new* and return it, or *new* if that cannot be.

    Only mutable containers and models of one exact type are refreshed;
    everything else is replaced, which nobody who holds it could have changed.
    """
    if old is new or type(old) is not type(new):
        return new
    if isinstance(old, Model):
        _refresh_dict(vars(old), vars(new))
    elif isinstance(old, dict):
        _refresh_dict(cast("dict[Any, Any]", old), cast("dict[Any, Any]", new))
    elif isinstance(old, list):
        _refresh_list(cast("list[Any]", old), cast("list[Any]", new))
    elif isinstance(old, set):
        _refresh_set(cast("set[Any]", old), cast("set[Any]", new))
    elif isinstance(old, deque):
        return _refresh_deque(cast("deque[Any]", old), cast("deque[Any]", new))
    elif isinstance(old, bytearray):
        old[:] = cast("bytearray", new)
    else:
        return new
    return old


def _refresh_dict(old: dict[Any, Any], new: dict[Any, Any]) -> None:
    merged = {
        key: refresh(old[key], value) if key in old else value
        for key, value in new.items()
    }
    if list(old) != list(merged):
        old.clear()
    old.update(merged)


def _refresh_list(old: list[Any], new: list[Any]) -> None:
    common = [refresh(mine, theirs) for mine, theirs in zip(old, new, strict=False)]
    old[:] = common + new[len(common) :]


def _refresh_set(old: set[Any], new: set[Any]) -> None:
    old.clear()
    old.update(new)


def _refresh_deque(old: deque[Any], new: deque[Any]) -> deque[Any]:
    if old.maxlen != new.maxlen:
        return new
    old.clear()
    old.extend(new)
    return old
