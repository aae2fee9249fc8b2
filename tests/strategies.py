"""Hypothesis strategies for every value that the codec stores without being told."""

import datetime as dt
import ipaddress
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from pathlib import PosixPath, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

__all__ = ["hashables", "plain_trees", "scalars", "storable", "text"]

FACTORIES = (None, list, dict, set, int, str, float, tuple, bool, frozenset, bytes)


def text() -> st.SearchStrategy[str]:
    """Give strings, lone surrogates among them."""
    return st.one_of(st.text(), st.text(st.characters(codec=None), max_size=4))


def floats() -> st.SearchStrategy[float]:
    """Give any 64 bits as a float, NaN payloads among them."""
    bits = st.binary(min_size=8, max_size=8)
    return st.one_of(st.floats(), bits.map(lambda b: struct.unpack(">d", b)[0]))


def zones() -> st.SearchStrategy[dt.tzinfo]:
    """Give UTC, IANA zones, and fixed offsets with and without a name."""
    micros = st.integers(-86_399_999_999, 86_399_999_999)
    offsets = micros.map(lambda n: dt.timedelta(microseconds=n))
    keys = ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "UTC")
    return st.one_of(
        st.just(dt.UTC),
        st.sampled_from(keys).map(ZoneInfo),
        offsets.map(dt.timezone),
        st.builds(dt.timezone, offsets, text()),
    )


def _with_fold(times: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    zone = st.one_of(st.none(), zones())
    return st.builds(
        lambda time, tz, fold: time.replace(tzinfo=tz, fold=fold),
        times,
        zone,
        st.integers(0, 1),
    )


def addresses() -> st.SearchStrategy[Any]:
    """Give IP addresses, networks and interfaces, IPv6 scopes among them."""
    v4, v6 = st.ip_addresses(v=4), st.ip_addresses(v=6)
    scoped = v6.map(lambda a: ipaddress.IPv6Address(f"{a}%eth0"))
    with4 = st.tuples(v4.map(int), st.integers(0, 32))
    with6 = st.tuples(v6.map(int), st.integers(0, 128))
    return st.one_of(
        v4,
        v6,
        scoped,
        with4.map(ipaddress.IPv4Interface),
        with6.map(ipaddress.IPv6Interface),
        with4.map(lambda t: ipaddress.IPv4Network(t, strict=False)),
        with6.map(lambda t: ipaddress.IPv6Network(t, strict=False)),
    )


def paths() -> st.SearchStrategy[Any]:
    """Give the path classes that this system can make."""
    names = st.lists(st.text(st.sampled_from("ab. ü\udc80"), min_size=1), max_size=3)
    return st.one_of(
        names.map(lambda n: PurePosixPath(*n)),
        names.map(lambda n: PureWindowsPath("C:/", *n)),
        names.map(lambda n: PosixPath(*n)),
    )


def native() -> st.SearchStrategy[Any]:
    """Give the scalars that MessagePack has itself."""
    ints = st.integers(-(1 << 63), (1 << 64) - 1)
    return st.one_of(
        st.none(), st.booleans(), ints, st.floats(), st.text(), st.binary()
    )


def _hashable_scalars() -> st.SearchStrategy[Any]:
    return st.one_of(
        native(),
        st.integers(),
        st.integers(64, 300).map(lambda n: -(1 << n)),
        floats(),
        text(),
        st.decimals(),
        st.sampled_from(["sNaN", "-sNaN12", "-0", "0E-999999", "1E+999999"]).map(
            Decimal
        ),
        st.fractions(),
        st.complex_numbers(),
        st.uuids(),
        st.dates(),
        _with_fold(st.datetimes()),
        _with_fold(st.times()),
        st.timedeltas(),
        addresses(),
        paths(),
        st.just(...),
        st.builds(range, st.integers(), st.integers(), st.integers(1)),
    ).filter(_can_be_hashed)


def _can_be_hashed(value: object) -> bool:
    try:
        hash(value)
    except TypeError:  # a signalling NaN
        return False
    return True


def scalars() -> st.SearchStrategy[Any]:
    """Give every kind of value that holds no other."""
    return st.one_of(
        _hashable_scalars(),
        st.just(Decimal("sNaN")),
        st.binary().map(bytearray),
        st.builds(slice, st.none() | st.integers(), st.none() | st.text()),
    )


def hashables() -> st.SearchStrategy[Any]:
    """Give what can be a dict key or lie in a set, tuples and frozensets too."""
    return st.recursive(
        _hashable_scalars(),
        lambda items: (
            st.lists(items, max_size=3).map(tuple) | st.frozensets(items, max_size=3)
        ),
        max_leaves=4,
    )


def plain_trees(max_leaves: int = 20) -> st.SearchStrategy[Any]:
    """Give what MessagePack itself can hold: str keys, and no look-alikes."""
    keys = st.text().filter(lambda key: not key.startswith("__"))
    return st.recursive(
        native(),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
        ),
        max_leaves=max_leaves,
    )


def storable(max_leaves: int = 12) -> st.SearchStrategy[Any]:
    """Give trees of every type in the table, look-alikes of records among them."""
    keys = hashables()
    tags = st.sampled_from(["__A__", "__", "user", "__\ud800"])

    def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        lists = st.lists(inner, max_size=3)
        dicts = st.dictionaries(keys, inner, max_size=3)
        return st.one_of(
            lists,
            lists.map(tuple),
            dicts,
            st.sets(keys, max_size=4),
            st.builds(deque, lists, st.none() | st.integers(3, 9)),
            dicts.map(OrderedDict),
            dicts.map(_counter),
            st.builds(defaultdict, st.sampled_from(FACTORIES), dicts),
            st.builds(lambda key, value: {key: value}, tags, inner | dicts),
        )

    return st.recursive(
        scalars() | st.frozensets(keys, max_size=3), extend, max_leaves=max_leaves
    )


def _counter(items: dict[Any, Any]) -> Counter[Any]:
    counter: Counter[Any] = Counter()
    dict.update(counter, items)
    return counter
