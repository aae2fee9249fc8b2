"""Exact equality: ``==`` takes 1 for True for 1.0, and -0.0 for 0.0."""

import datetime as dt
import struct
from collections import defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from storify import Model

__all__ = ["same"]


def same(a: Any, b: Any) -> bool:
    """Tell whether *b* is what *a* is, to the type and the bit, recursively."""
    if type(a) is not type(b):
        return False
    for kind, compare in _BY_KIND.items():
        if isinstance(a, kind):
            return compare(a, b)
    return bool(a == b)


def _same_float(a: float, b: float) -> bool:
    return struct.pack(">d", a) == struct.pack(">d", b)


def _same_complex(a: complex, b: complex) -> bool:
    return _same_float(a.real, b.real) and _same_float(a.imag, b.imag)


def _same_decimal(a: Decimal, b: Decimal) -> bool:
    return a.as_tuple() == b.as_tuple()


def _same_time(a: Any, b: Any) -> bool:
    plain = a.replace(tzinfo=None) == b.replace(tzinfo=None)
    return plain and a.fold == b.fold and _same_zone(a.tzinfo, b.tzinfo)


def _same_steps(a: Any, b: Any) -> bool:
    return all(same(getattr(a, p), getattr(b, p)) for p in ("start", "stop", "step"))


def _same_set(a: Any, b: Any) -> bool:
    return sorted(map(_sort_key, a)) == sorted(map(_sort_key, b))


def _same_dict(a: dict[Any, Any], b: dict[Any, Any]) -> bool:
    return _same_items(list(a.items()), list(b.items()))


def _same_defaultdict(a: Any, b: Any) -> bool:
    return a.default_factory is b.default_factory and _same_dict(a, b)


def _same_deque(a: Any, b: Any) -> bool:
    return a.maxlen == b.maxlen and _same_items(list(a), list(b))


def _same_items(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(map(same, a, b))


def _same_model(a: Model, b: Model) -> bool:
    return _same_dict(a._to_dict(), b._to_dict())


def _sort_key(item: Any) -> tuple[str, str]:
    if isinstance(item, (frozenset, tuple)):
        inner = map(_sort_key, item)
        listed = sorted(inner) if isinstance(item, frozenset) else list(inner)
        return type(item).__qualname__, repr(listed)
    if isinstance(item, float):
        return "float", struct.pack(">d", item).hex()
    return type(item).__qualname__, repr(item)


def _same_zone(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, dt.timezone):
        return a.__reduce__() == b.__reduce__()
    if isinstance(a, ZoneInfo):
        return a.key == b.key
    return a is b


# A subclass before its base.
_BY_KIND: dict[type | tuple[type, ...], Callable[[Any, Any], bool]] = {
    Model: _same_model,
    float: _same_float,
    complex: _same_complex,
    Decimal: _same_decimal,
    (dt.datetime, dt.time): _same_time,
    (set, frozenset): _same_set,
    (range, slice): _same_steps,
    defaultdict: _same_defaultdict,
    deque: _same_deque,
    dict: _same_dict,
    (list, tuple): lambda a, b: _same_items(list(a), list(b)),
}
