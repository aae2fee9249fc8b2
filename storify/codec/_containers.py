"""Containers that MessagePack lacks, as arrays led by a marker and back.

Encoders are shallow: they give ``[marker, live item, ...]`` and the packer goes
on into the items. Decoders get the array with its items decoded already; what
they raise means "cannot be built here", and the caller keeps the list.
"""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, Final

from storify.exceptions import UnstorableError

from ._ext import MARKERS, Ext

__all__ = [
    "CONTAINER_DECODERS",
    "CONTAINER_ENCODERS",
    "FACTORIES",
    "encode_defaultdict",
    "sort_plainly",
]

_TUPLE: Final = MARKERS[Ext.TUPLE]
_DEQUE: Final = MARKERS[Ext.DEQUE]
_RANGE: Final = MARKERS[Ext.RANGE]
_SLICE: Final = MARKERS[Ext.SLICE]
_ORDERED_DICT: Final = MARKERS[Ext.ORDERED_DICT]
_DEFAULTDICT: Final = MARKERS[Ext.DEFAULTDICT]
_COUNTER: Final = MARKERS[Ext.COUNTER]

# What a defaultdict may call; a name in a file never leads to any other code.
FACTORIES: Final[dict[str, type]] = {
    kind.__name__: kind
    for kind in (list, dict, set, int, str, float, tuple, bool, frozenset, bytes)
}
_FACTORY_NAMES: Final = {kind: name for name, kind in FACTORIES.items()}

# Types that sort totally among themselves, in an order that a reader expects.
_SORTABLE: Final = ({int}, {str}, {bytes})


_dict: Any = dict  # untyped, so that update() takes a Counter of anything


def sort_plainly(items: set[Any] | frozenset[Any]) -> list[Any] | None:
    """Sort items of one simple type; None if their order must be made otherwise."""
    kinds = set(map(type, items))
    if len(items) < 2 or kinds in _SORTABLE:  # noqa: PLR2004 - one item has no order
        return sorted(items)
    return None


def _encode_tuple(value: tuple[Any, ...]) -> list[Any]:
    return [_TUPLE, *value]


def _decode_tuple(items: list[Any]) -> tuple[Any, ...]:
    return tuple(items[1:])


def _decode_set(items: list[Any]) -> set[Any]:
    value = set(items[1:])
    _check(len(value) == len(items) - 1)
    return value


def _decode_frozenset(items: list[Any]) -> frozenset[Any]:
    value = frozenset(items[1:])
    _check(len(value) == len(items) - 1)
    return value


def _encode_deque(value: deque[Any]) -> list[Any]:
    return [_DEQUE, value.maxlen, *value]


def _decode_deque(items: list[Any]) -> deque[Any]:
    _, maxlen, *rest = items
    # A shorter maxlen would drop items without a word.
    _check(maxlen is None or (type(maxlen) is int and maxlen >= len(rest)))
    return deque(rest, maxlen)


def _encode_range(value: range) -> list[Any]:
    return [_RANGE, value.start, value.stop, value.step]


def _decode_range(items: list[Any]) -> range:
    _, start, stop, step = items
    _check(type(start) is type(stop) is type(step) is int)
    return range(start, stop, step)


def _encode_slice(value: slice) -> list[Any]:
    return [_SLICE, value.start, value.stop, value.step]


def _decode_slice(items: list[Any]) -> slice:
    _, start, stop, step = items
    return slice(start, stop, step)


def _encode_ordered_dict(value: OrderedDict[Any, Any]) -> list[Any]:
    return [_ORDERED_DICT, dict(value)]


def _decode_ordered_dict(items: list[Any]) -> OrderedDict[Any, Any]:
    return OrderedDict(_only_dict(items[1:]))


def _encode_counter(value: Counter[Any]) -> list[Any]:
    return [_COUNTER, dict(value)]


def _decode_counter(items: list[Any]) -> Counter[Any]:
    value: Counter[Any] = Counter()
    # Not Counter(mapping): it adds, so it would change counts that are no numbers.
    _dict.update(value, _only_dict(items[1:]))
    return value


def encode_defaultdict(
    value: defaultdict[Any, Any], keys: dict[type, str]
) -> list[Any]:
    """Write a defaultdict with its factory's name: a builtin's or one of *keys*."""
    factory = value.default_factory
    # `in` a dict of classes needs a hashable factory; any other is refused below.
    name = None
    if factory is not None:
        if isinstance(factory, type):
            name = _FACTORY_NAMES.get(factory) or keys.get(factory)
        if name is None:
            msg = (
                "a defaultdict whose factory is not None, a builtin such as list,"
                " or a class given as Storify(types=[...])"
            )
            raise UnstorableError(msg)
    return [_DEFAULTDICT, name, dict(value)]


def decode_defaultdict(
    items: list[Any], classes: Callable[[str], type]
) -> defaultdict[Any, Any]:
    """Rebuild a defaultdict; *classes* finds the class of a registered key."""
    _, name, *rest = items
    if name is None:
        return defaultdict(None, _only_dict(rest))
    return defaultdict(FACTORIES.get(name) or classes(name), _only_dict(rest))


def _decode_escaped(items: list[Any]) -> dict[Any, Any]:
    _, key, value = items
    _check(type(key) is str)
    return {key: value}


def _only_dict(items: list[Any]) -> dict[Any, Any]:
    (value,) = items
    _check(type(value) is dict)
    return value  # type: ignore[no-any-return] # _check raised for any other


def _check(condition: object) -> None:
    if not condition:
        msg = "not a container that the encoder writes"
        raise ValueError(msg)


# Sets are not here: sorting what they hold may need the codec itself.
CONTAINER_ENCODERS: Final[dict[type, Callable[[Any], list[Any]]]] = {
    tuple: _encode_tuple,
    deque: _encode_deque,
    range: _encode_range,
    slice: _encode_slice,
    OrderedDict: _encode_ordered_dict,
    Counter: _encode_counter,
}

CONTAINER_DECODERS: Final[dict[int, Callable[[list[Any]], object]]] = {
    Ext.TUPLE: _decode_tuple,
    Ext.SET: _decode_set,
    Ext.FROZENSET: _decode_frozenset,
    Ext.DEQUE: _decode_deque,
    Ext.RANGE: _decode_range,
    Ext.SLICE: _decode_slice,
    Ext.ORDERED_DICT: _decode_ordered_dict,
    Ext.COUNTER: _decode_counter,
    Ext.ESCAPED: _decode_escaped,
}
