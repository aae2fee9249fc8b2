"""Strategies for values of no particular type: all that the codec can store."""

from collections import Counter, OrderedDict, defaultdict, deque
from functools import lru_cache
from typing import Any, Final, cast

from hypothesis import strategies as st

from ._scalars import hashable_scalars, scalars, text

__all__ = ["hashables", "plain_trees", "storable"]

Strategy = st.SearchStrategy[Any]

_FACTORIES: Final = (
    *(None, list, dict, set, int, str, float, tuple, bool, frozenset, bytes),
)
_DEEP: Final = 100


def storable(
    *, adversarial: bool = False, max_leaves: int = 12, tags: tuple[str, ...] = ()
) -> Strategy:
    """Return trees of every type that is stored without being told of.

    Args:
        adversarial: Also what breaks stores: NaN, -0.0, folds and odd zones, ints
            about the edges of 64 bits, lone surrogates, empty and NUL keys, dicts
            that look like records, references that are shared, deep nesting.
        max_leaves: About how many values without parts there are in one tree.
        tags: Further keynames for what looks like records.
    """
    return _trees(adversarial, max_leaves, tags)


@lru_cache(maxsize=256)
def _trees(adversarial: bool, max_leaves: int, tags: tuple[str, ...]) -> Strategy:
    # once for all fields: to make it costs as much as to draw from it a few times
    keys = hashables(adversarial=adversarial)
    alike = st.sampled_from(("__A__", "__", "user", "__\ud800", *tags))

    def extend(inner: Strategy) -> Strategy:
        lists = st.lists(inner, max_size=3)
        dicts = st.dictionaries(keys, inner, max_size=3)
        plain: tuple[Strategy, ...] = (
            lists,
            lists.map(tuple),
            dicts,
            st.sets(keys, max_size=4),
            st.builds(_deque, lists, st.none() | st.integers(3, 9)),
            dicts.map(OrderedDict),
            dicts.map(_counter).filter(_has_repr),
            st.builds(_defaultdict, st.sampled_from(_FACTORIES), dicts),
        )
        if not adversarial:
            return st.one_of(plain)
        return st.one_of(
            *plain,
            st.builds(_record_like, alike, inner | dicts),
            inner.map(_twice),
            st.builds(_nested, inner, st.integers(1, _DEEP), st.booleans()),
        )

    leaves = scalars(odd=adversarial) | st.frozensets(keys, max_size=3)
    return st.recursive(leaves, extend, max_leaves=max_leaves)


def hashables(*, adversarial: bool = False) -> Strategy:
    """Return what can be a dict key or lie in a set, tuples and frozensets too."""
    return _hashables(adversarial)


@lru_cache
def _hashables(adversarial: bool) -> Strategy:
    return st.recursive(
        hashable_scalars(odd=adversarial),
        lambda items: (
            st.lists(items, max_size=3).map(tuple) | st.frozensets(items, max_size=3)
        ),
        max_leaves=4,
    )


def plain_trees(max_leaves: int = 20) -> Strategy:
    """Return what MessagePack itself can hold: str keys, and no look-alikes."""
    ints = st.integers(-(1 << 63), (1 << 64) - 1)
    native = st.one_of(
        st.none(), st.booleans(), ints, st.floats(), text(odd=False), st.binary()
    )
    keys = st.text().filter(lambda key: not key.startswith("__"))
    return st.recursive(
        native,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
        ),
        max_leaves=max_leaves,
    )


# untyped, so that they take any items
_dict = cast("Any", dict)
_deque = cast("Any", deque)
_defaultdict = cast("Any", defaultdict)


def _counter(items: Any) -> Any:
    counter = cast("Any", Counter)()
    _dict.update(counter, items)  # its own would count
    return counter


def _has_repr(counter: Any) -> bool:
    """Tell whether it can be shown, as in a failure: it sorts its counts for that."""
    try:
        repr(counter)
    except ArithmeticError:  # one is a signalling NaN
        return False
    return True


def _record_like(key: str, value: Any) -> Any:
    return {key: value}


def _twice(shared: Any) -> Any:
    return [shared, {"again": shared}]


def _nested(value: Any, levels: int, in_dicts: bool) -> Any:
    for _ in range(levels):
        value = {"in": value} if in_dicts else [value]
    return value
