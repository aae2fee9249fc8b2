"""Two writers, one database: a three-way merge by key.

::

    base ──── mine ────┐
      │                ├── same key, other value on both sides: a conflict
      └───── theirs ───┘   else theirs are adopted in place, mine stay to commit

Everything is compared as bytes: a value is what its encoding is, so 1 is not
True and a NaN equals itself.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from storify.database._refresh import refresh

__all__ = ["Changes", "Live", "adopt", "changes_of", "conflicts"]

#: Key bytes to value bytes; None is a deleted key.
Changes = dict[bytes, bytes | None]


class Live(NamedTuple):
    """The live data at one moment.

    Attributes:
        entries: Key bytes to value bytes, in order.
        keys: The key itself for the bytes of each key, in order.
    """

    entries: dict[bytes, bytes]
    keys: dict[bytes, Any]


def changes_of(entries: Mapping[bytes, bytes], base: Mapping[bytes, bytes]) -> Changes:
    """Give what makes *entries* of *base*."""
    changes: Changes = {
        key: value for key, value in entries.items() if base.get(key) != value
    }
    changes.update((key, None) for key in base if key not in entries)
    return changes


def conflicts(mine: Changes, theirs: Changes) -> list[bytes]:
    """Give the keys that both sides changed, to different values."""
    return [key for key in mine if key in theirs and mine[key] != theirs[key]]


def adopt(
    data: dict[Any, Any],
    keys: dict[bytes, Any],
    theirs: Mapping[Any, Any],
    found: Mapping[bytes, Any],
    adopted: AbstractSet[bytes],
    *,
    ordered: bool,
) -> None:
    """Bring what another writer changed into the live *data*.

    Args:
        data: The live root, changed in place.
        keys: Its keys by their bytes; brought up to date.
        theirs: The other writer's root.
        found: Its keys by their bytes: a NaN is a key that only itself finds.
        adopted: The bytes of the keys to take over, or to delete.
        ordered: Take over the order of the keys as well.
    """
    # Deleted first: of two equal keys, as 1 and True, a dict keeps the old one.
    for encoded in adopted - found.keys():
        data.pop(keys.pop(encoded), None)
    for encoded, key in found.items():
        if encoded in adopted:
            held = keys.setdefault(encoded, key)
            data[held] = refresh(data.get(held), theirs[key])
    if ordered and list(keys) != list(found):
        _reorder(data, [keys[encoded] for encoded in found])


def _reorder(data: dict[Any, Any], keys: list[Any]) -> None:
    same = {key: data[key] for key in keys if key in data}
    data.clear()
    data.update(same)
