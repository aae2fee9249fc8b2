"""Roots as bytes: key bytes to value bytes, in order.

Everything is compared as bytes: a value is what its encoding is, so 1 is not
True and a NaN equals itself.
"""

from collections.abc import Iterable

from storify.engine import Change

__all__ = ["LIST", "contents"]

#: The key of a list root, which is one value.
LIST = b""


def contents(changes: Iterable[Change]) -> dict[bytes, bytes | None]:
    """Return what each key has after *changes*; new keys in the order of the root."""
    found: dict[bytes, bytes | None] = {}
    for key, value in changes:
        if found.get(key, b"") is None:
            del found[key]  # set again: it goes last
        found[key] = value
    return found
