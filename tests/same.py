"""Exact equality: ``==`` takes 1 for True for 1.0, and -0.0 for 0.0."""

import datetime as dt
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

__all__ = ["same"]


def same(a: Any, b: Any) -> bool:
    """Tell whether *b* is what *a* is, to the type and the bit, recursively."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack(">d", a) == struct.pack(">d", b)
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, (dt.datetime, dt.time)):
        plain = a.replace(tzinfo=None) == b.replace(tzinfo=None)
        return plain and a.fold == b.fold and _same_zone(a.tzinfo, b.tzinfo)
    if isinstance(a, (set, frozenset)):
        return _same_items(sorted(map(_sort_key, a)), sorted(map(_sort_key, b)))
    if isinstance(a, (range, slice)):
        parts = ("start", "stop", "step")
        return all(same(getattr(a, p), getattr(b, p)) for p in parts)
    if isinstance(a, defaultdict) and a.default_factory is not b.default_factory:
        return False
    if isinstance(a, deque) and a.maxlen != b.maxlen:
        return False
    if isinstance(a, (dict, OrderedDict, Counter)):
        return _same_items(list(a.items()), list(b.items()))
    if isinstance(a, (list, tuple, deque)):
        return _same_items(list(a), list(b))
    return bool(a == b)


def _same_items(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(map(same, a, b))


def _sort_key(item: Any) -> tuple[str, str]:
    if isinstance(item, (frozenset, tuple)):
        inner = map(_sort_key, item)
        listed = sorted(inner) if isinstance(item, frozenset) else list(inner)
        return type(item).__qualname__, repr(listed)
    if isinstance(item, float):
        return "float", struct.pack(">d", item).hex()
    return type(item).__qualname__, repr(item)


def _same_zone(a: dt.tzinfo | None, b: dt.tzinfo | None) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, dt.timezone):
        return a.__getinitargs__() == b.__getinitargs__()  # type: ignore[attr-defined, union-attr]
    if isinstance(a, ZoneInfo):
        return a.key == b.key  # type: ignore[union-attr]
    return a is b
