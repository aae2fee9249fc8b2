"""Ownership: values that nobody else can change need not be looked at again.

A value that was handed out may be changed at any time by whoever holds it, or
holds anything mutable inside it. If nobody does, the next access goes through the
dict again, so until then the value is what was saved.

That is decided by counting references, level by level: in a tree that only we
hold, every object that can hold others has one owner, its parent. One more
reference to any of them, be it a variable, an iterator, a bound method, a frame or
another record, and the whole value counts as held. So does what this module does
not know. A wrong "held" costs an encode at each flush; a wrong "free" would lose a
change, so every doubt is "held".

Threads: what another thread holds is counted as well. A level is counted before
its children are asked for, so that what is held only below this level is found
further down, wherever it was moved meanwhile; and what is found free can only be
reached through the dict again.

What is in a value at one moment (`Parts`) tells later whether it was changed in place.
Nothing of the user's runs for that, as it would in encoding: a forked child looks at
what it inherited while the other threads, who may have locks of the user's, are gone.
"""

import sys
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from enum import Enum
from functools import partial
from gc import get_referents
from itertools import compress
from operator import is_
from sys import getrefcount
from types import EllipsisType, GetSetDescriptorType, NoneType
from typing import Any, Final, cast

import attrs

from storify._python import if_loaded
from storify.codec import is_late_scalar
from storify.database._schema import StorifyResolver
from storify.models import Expected, Model, Ref

__all__ = [
    "RELIABLE",
    "UNKNOWN",
    "Kinds",
    "Parts",
    "changed",
    "held_at_sight",
    "held_elsewhere",
    "parts_of_all",
]


RELIABLE: Final = (
    sys.implementation.name == "cpython" and "free-threading" not in sys.version
)
"""Whether a reference count says who holds an object. Elsewhere all are held."""

# How many values are looked at together; if one of them is held, one by one.
_BATCH: Final = 64
# And where only each itself is: what the nearest memory has room for.
_MANY: Final = 512

# What a type is. The first is false, so that `compress` leaves it out.
_LEAF: Final = 0
_CONTAINER: Final = 1
_INLINE: Final = 2
UNKNOWN: Final = 3

_LEAVES: Final = (
    *(str, int, float, bool, complex, bytes, NoneType, EllipsisType, range),
    *(datetime, date, time, timedelta, timezone),
    type,  # an object refers to its class, which is not part of it
    # which references share, and none stores
    StorifyResolver,
    Expected,
)
_CONTAINERS: Final = frozenset(
    {
        *(dict, list, tuple, set, frozenset, bytearray, slice),
        *(deque, OrderedDict, defaultdict, Counter),
    }
)
_IMMUTABLE: Final = (tuple, frozenset)
_MAY_BE_CONSTANT: Final = frozenset({*_IMMUTABLE, Ref})
#: Of these there are no weak references.
_NEVER_WEAK: Final = frozenset({dict, list, tuple, bytearray, slice})

# Flags of a type object: made by a class statement, as far as one can see, and
# one whose references the collector can follow.
_HEAP_TYPE: Final = 1 << 9
_HAS_REFERENTS: Final = 1 << 14
# Objects hold their attributes themselves, and a dict of them where one was asked
# for, to which they do not admit (since Python 3.13).
_INLINE_VALUES: Final = 1 << 2


_BUILTIN: Final[dict[type, int]] = {
    **dict.fromkeys(_LEAVES, _LEAF),
    **dict.fromkeys(_CONTAINERS, _CONTAINER),
}

#: What types are, by their ids: a reference that keeps no class, and what it was found
#: from. A class whose bases are assigned is looked at again.
_known: dict[int, tuple[weakref.ref[type], tuple[type, ...], int]] = {}


class Kinds(dict[type, int]):
    """The kinds of types, for one call: a lasting table would keep classes.

    Attributes:
        unknown: Those that this module does not know.
        inline: Those whose objects hold their attributes themselves.
        seen: Those of all that was looked at.
        depth: In how many others something lay at most.
    """

    def __init__(self) -> None:
        super().__init__(_BUILTIN)
        self.unknown: set[type] = set()
        self.inline: set[type] = set()
        self.seen: set[type] = set()
        self.depth: int = 0

    def __missing__(self, kind: type) -> int:
        known = _known.get(id(kind))
        bases = kind.__mro__[1:]
        if known is not None and known[0]() is kind and known[1] == bases:
            found = known[2]
        else:
            found = _kind_of(kind)
            # Dropped with the class, by C alone.
            ref = weakref.ref(kind, partial(_known.pop, id(kind)))
            _known[id(kind)] = ref, bases, found
        if found == UNKNOWN:
            self.unknown.add(kind)
        if found == _INLINE:
            self.inline.add(kind)
        self[kind] = found
        return found


def _kind_of(kind: type) -> int:
    record = cast("Any", kind)
    if issubclass(kind, type):
        return _LEAF  # as `type`
    if issubclass(kind, Enum):
        return _LEAF  # stored by name
    if is_late_scalar(record) or kind is if_loaded("zoneinfo", "ZoneInfo"):
        return _LEAF  # not loaded for its own sake
    is_record = (
        issubclass(kind, Model)
        or hasattr(record, "__dataclass_fields__")
        or attrs.has(record)
        or (issubclass(kind, tuple) and hasattr(record, "_fields"))
    )
    if not is_record or not all(map(_is_transparent, kind.__mro__)):
        return UNKNOWN
    return _INLINE if kind.__flags__ & _INLINE_VALUES else _CONTAINER


def _is_transparent(base: type) -> bool:
    """Whether all that objects hold because of this class can be followed."""
    if base is object or base in _CONTAINERS:
        return True
    if type(vars(base).get("__dict__")) not in (NoneType, GetSetDescriptorType):
        return False  # it says that its objects hold something else than they do
    flags = base.__flags__
    return bool(flags & _HEAP_TYPE) and bool(
        flags & _HAS_REFERENTS or base.__basicsize__ == object.__basicsize__
    )


def _count(objects: Sequence[object]) -> list[int]:
    # In one call of C, so no other thread runs in between.
    return list(map(getrefcount, objects))


def _count_of_owned() -> int:
    """Measure the count of an object with one owner, in a list of ours as well."""
    owner = [[object()]]
    (count,) = _count(get_referents(owner))
    return count


_OWNED: Final = _count_of_owned()


def held_elsewhere(
    values: Sequence[object], owners: int = 1, kinds: Kinds | None = None
) -> set[int]:
    """Return the positions of the values that somebody else can change.

    Args:
        values: What was handed out.
        owners: How many references to each of them the caller knows of, the one in
            *values* included.
        kinds: Told what is in the values, if none of them is held.
    """
    if not RELIABLE:
        return set(range(len(values)))
    kinds = Kinds() if kinds is None else kinds
    types = list(map(type, values))
    kinds.seen.update(types)
    found = list(map(kinds.__getitem__, types))
    counts = _count(values)
    weak = list(map(weakref.getweakrefcount, values))
    expected = _OWNED - 2 + owners
    some_constant = not _MAY_BE_CONSTANT.isdisjoint(types)
    held: set[int] = set()
    rest: list[int] = []
    for at, kind in enumerate(found):
        if kind == _LEAF:
            continue
        if kind != UNKNOWN and counts[at] == expected and not weak[at]:
            rest.append(at)
        elif not some_constant or not _is_constant(values[at], kinds):
            held.add(at)
    for start in range(0, len(rest), _BATCH):
        batch = rest[start : start + _BATCH]
        if not _is_free_below([values[at] for at in batch], kinds):
            held.update(at for at in batch if not _is_free_below([values[at]], kinds))
    return held


def held_at_sight(values: Sequence[object], owners: int) -> list[bool]:
    """Tell of each value whether there are more references to it than *owners*.

    Of what is in it nothing is said, nor of what nobody can change.
    """
    if not RELIABLE:
        return [False] * len(values)
    kinds = Kinds()
    found: list[bool] = []
    for start in range(0, len(values), _MANY):
        some = values[start : start + _MANY]  # one more reference to each
        types = list(map(type, some))
        mutable = {
            kind
            for kind in set(types) - _MAY_BE_CONSTANT
            if kinds[kind] not in (_LEAF, UNKNOWN)
        }
        pairs = zip(types, _count(some), strict=True)
        found += [n >= _OWNED + owners and kind in mutable for kind, n in pairs]
    return found


def _is_constant(value: object, kinds: Kinds) -> bool:
    """Whether nobody can change this, as the one empty tuple of the whole program."""
    if type(value) is Ref:  # one of them may be in many records
        return kinds[type(value.key)] == _LEAF
    if type(value) not in _IMMUTABLE:
        return False
    parts = cast("tuple[Any, ...]", value)
    return all(kinds[kind] == _LEAF for kind in map(type, parts))


def _is_free_below(level: list[Any], kinds: Kinds) -> bool:
    """Tell whether nothing below these objects, of which all are free, is held."""
    depth = 0
    while not kinds.inline or _own_their_dicts(level, kinds):
        level, types = _containers_in(level, kinds)
        depth += 1
        if not level:
            kinds.depth = max(kinds.depth, depth)
            return True
        if not kinds.unknown.isdisjoint(types):
            return False
        counts = _count(level)
        if counts.count(_OWNED) != len(counts) and not all(
            count == _OWNED or _is_constant(each, kinds)
            for each, count in zip(level, counts, strict=True)
        ):
            return False
        if not types <= _NEVER_WEAK and any(map(weakref.getweakrefcount, level)):
            return False
    return False


def _containers_in(level: list[Any], kinds: Kinds) -> tuple[list[Any], set[type]]:
    """Return what these objects hold that can hold others, and of what types it is."""
    # Not `list[Any]()`: that takes twenty times as long as this.
    found: list[Any] = []
    holders: set[type] = set()
    for start in range(0, len(level), _MANY):
        inner = get_referents(*level[start : start + _MANY])
        types = set(map(type, inner))
        kinds.seen |= types
        here = set(filter(kinds.__getitem__, types))
        holders |= here
        if len(here) == len(types):
            found += inner
        elif here:
            found += compress(inner, map(here.__contains__, map(type, inner)))
    return found, holders


def _own_their_dicts(level: list[Any], kinds: Kinds) -> bool:
    """Tell whether nobody holds the dicts of these objects that they do not refer to."""
    if kinds.inline.isdisjoint(map(type, level)):
        return True
    dicts: list[Any] = [vars(each) for each in level if type(each) in kinds.inline]
    return set(_count(dicts)) == {_OWNED}


#: All that is in a value, at any depth; None if that is much, or cannot be seen.
Parts = list[Any] | None

#: How many parts are looked at.
_MOST: Final = 10_000
#: What they hold is not among their referents, or not in its order.
_OPAQUE: Final = frozenset({bytearray, OrderedDict})


def parts_of_all(values: Mapping[Any, Any], most: int = _MOST) -> dict[Any, Parts]:
    """Return the parts of values, by their keys.

    Args:
        values: The values.
        most: How many parts are given in all.
    """
    found: dict[Any, Parts] = {}
    for key, value in values.items():
        parts = found[key] = _parts_of(value, most)
        most -= len(parts or ())
    return found


def changed(values: Mapping[Any, Any], before: Mapping[Any, Parts]) -> Iterable[Any]:
    """Return the keys of the values that are, or may be, not as they were.

    Args:
        values: The values.
        before: Their parts of then.
    """
    for key, old in before.items():
        new = None if old is None else _parts_of(values[key], len(old))
        if old is None or new is None or not _are_same(old, new):
            yield key


def _are_same(old: list[Any], new: list[Any]) -> bool:
    return len(old) == len(new) and all(map(is_, old, new))


def _parts_of(value: Any, most: int) -> Parts:
    kinds = Kinds()
    parts, level, seen = [value], [value], {id(value)}
    while level:
        types = set(map(type, level))
        if not _OPAQUE.isdisjoint(types) or UNKNOWN in map(kinds.__getitem__, types):
            return None
        inner = get_referents(*level)
        parts += inner
        if len(parts) > most:
            return None
        containers = compress(inner, map(kinds.__getitem__, map(type, inner)))
        level = list({id(e): e for e in containers if id(e) not in seen}.values())
        seen.update(map(id, level))
    return parts
