"""What is in a value at one moment, to see later whether it was changed in place.

Nothing of the user's runs for that, as it would in encoding: a forked child looks at
what it inherited while the other threads, who may have locks of the user's, are gone.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from gc import get_referents
from itertools import compress
from operator import is_
from typing import Any, Final

from storify.database.live.ownership import UNKNOWN, Kinds

__all__ = ["Parts", "changed", "parts_of_all"]

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
