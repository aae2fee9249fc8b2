"""Bringing another writer's value into an object that the user may hold.

After a merge the stored value is newer than the live object. Replacing the
object would leave the user holding a copy that is never saved again, so the
object is given the new content in place, as deep as the two have one shape.

What stands in two places here are two values in the file, and each may have another
content by now. So no object is given content twice, nor if a value holds it that is
to stay as it is: in the other place stands what was read.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from storify.models import Model
from storify.models.state import UNKNOWN

__all__ = ["Refresher", "refresh"]

_Part = Callable[[object, object], object]

_LEAVES: Final = frozenset({type(None), bool, int, float, str, bytes})


def refresh(old: object, new: object) -> object:
    """Fill one value with another content, as `Refresher.refresh` does."""
    return Refresher(lambda: ([old], [])).refresh(old, new)


class Refresher:
    """The filling of values of one root with their content, and nothing twice.

    Args:
        values: Gives the values that may be refreshed and those that are to stay as
            they are; it is called when the first is refreshed.
    """

    def __init__(
        self, values: Callable[[], tuple[Iterable[object], Iterable[object]]]
    ) -> None:
        self._values = values
        #: What is not given content any more, by id; holding it keeps the id its own.
        self._settled: dict[int, object] = {}
        #: Values, which are given content as no part of another one.
        self._whole: dict[int, object] | None = None

    def refresh(self, old: object, new: object) -> object:
        """Return *old* the content of *new* and return it, or *new* if that cannot be.

        Only mutable containers and models of one exact type are refreshed;
        everything else is replaced, which nobody who holds it could have changed. So
        are frozen models that can be hashed, as references: one of them may be in
        other records as well, or in a set.
        """
        if self._whole is None:
            values, others = self._values()
            self._whole = {id(value): value for value in values}
            self._settled = _holders(others)
        return self._fill(old, new)

    def _part(self, old: object, new: object) -> object:
        return new if id(old) in (self._whole or {}) else self._fill(old, new)

    def _fill(self, old: object, new: object) -> object:
        if old is new or type(old) is not type(new) or _is_constant(old):
            return new
        for base, way in _WAYS.items():
            if not isinstance(old, base):
                continue
            if id(old) in self._settled:
                return new
            self._settled[id(old)] = old
            return old if way(self._part, old, new) else new
        return new


def _holders(values: Iterable[object]) -> dict[int, object]:
    """Return all that holds something in *values*, by id."""
    found: dict[int, object] = {}
    rest: list[Any] = list(values)
    while rest:
        value = rest.pop()
        if type(value) in _LEAVES or id(value) in found:
            continue
        found[id(value)] = value
        if isinstance(value, Model):
            rest += vars(value).values()
        elif isinstance(value, dict):
            rest += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            rest += value
    return found


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


def _model(part: _Part, old: Model, new: Model) -> bool:
    """Take the stored state; what is never stored (``_x``) stays the user's."""
    mine, theirs = old.__dict__, new.__dict__
    private = {name: value for name, value in mine.items() if not _stored(name)}
    merged = {
        # Copies of an object share the slot of unknown names: it is replaced.
        name: value if name == UNKNOWN else part(mine.get(name), value)
        for name, value in theirs.items()
        if _stored(name)
    }
    mine.clear()
    mine.update(private)
    mine.update(merged)
    return True


def _stored(name: str) -> bool:
    return name == UNKNOWN or not name.startswith("_")


def _dict(part: _Part, old: dict[Any, Any], new: dict[Any, Any]) -> bool:
    merged = {
        key: part(old[key], value) if key in old else value
        for key, value in new.items()
    }
    # Emptied first: a dict keeps the key that it has, and 1 is not True.
    old.clear()
    for key, value in merged.items():  # update() of a Counter would add
        old[key] = value  # noqa: PERF403 - the object stays
    return True


def _defaultdict(
    part: _Part, old: defaultdict[Any, Any], new: defaultdict[Any, Any]
) -> bool:
    old.default_factory = new.default_factory
    return _dict(part, old, new)


def _list(part: _Part, old: list[Any], new: list[Any]) -> bool:
    common = [part(mine, theirs) for mine, theirs in zip(old, new, strict=False)]
    old[:] = common + new[len(common) :]
    return True


def _set(_: _Part, old: set[Any], new: set[Any]) -> bool:
    old.clear()
    old.update(new)
    return True


def _deque(_: _Part, old: deque[Any], new: deque[Any]) -> bool:
    if old.maxlen != new.maxlen:
        return False
    old.clear()
    old.extend(new)
    return True


def _bytearray(_: _Part, old: bytearray, new: bytearray) -> bool:
    old[:] = new
    return True


#: How the objects of a class take new content; False if this one cannot.
_WAYS: dict[type[Any], Callable[[_Part, Any, Any], bool]] = {
    Model: _model,
    defaultdict: _defaultdict,
    dict: _dict,
    list: _list,
    set: _set,
    deque: _deque,
    bytearray: _bytearray,
}
