"""Strategies for all that the codec stores: values without parts, and trees of them.

Those without parts are one for each class, within the bounds that validators and
``Annotated`` draw. attrs has no public way to ask a validator what it wants, so its
classes are told by their names. A validator that is not known here still filters.

*odd* adds what breaks stores: NaN with a payload, -0.0, the edges of 64 bits, lone
surrogates, NUL, text that looks like a keyname, folds and zones that nobody has.
"""

import datetime as dt
import ipaddress
import math
import pathlib
import re
import struct
import sys
import threading
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs
from hypothesis import strategies as st

Check = Callable[[Any], bool]
Match = Literal["fullmatch", "match", "search"]


@dataclass(frozen=True, repr=False)
class Bounds:
    """The bounds of a value besides its type.

    Attributes:
        least: The lower bound, with whether it is itself excluded.
        most: The upper bound, likewise.
        step: What an int is a multiple of.
        min_len: The least number of items or characters.
        max_len: The largest, None for any.
        patterns: Regular expressions, with how they are applied.
        choices: The only values there are, None for any.
        classes: Of each of these tuples, the value is an object of a class.
        zone: As of ``annotated_types.Timezone``, in a tuple; () if nothing is said.
        items: What holds for each item, or for each key of a mapping.
        values: What holds for each value of a mapping.
        either: At least one of these holds.
        checks: Whatever else is to hold.
        drawn: What the user draws it from.
    """

    least: tuple[Any, bool] | None = None
    most: tuple[Any, bool] | None = None
    step: Any = None
    min_len: int = 0
    max_len: int | None = None
    patterns: tuple[tuple["re.Pattern[Any]", Match], ...] = ()
    choices: tuple[Any, ...] | None = None
    classes: tuple[tuple[type, ...], ...] = ()
    zone: tuple[Any, ...] = ()
    items: "Bounds | None" = None
    values: "Bounds | None" = None
    either: "tuple[Bounds, ...]" = ()
    checks: tuple[Check, ...] = ()
    drawn: st.SearchStrategy[Any] | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return "Bounds(...)"  # Hypothesis shows what filters

    def __and__(self, other: "Bounds") -> "Bounds":
        return Bounds(
            least=_tighter(self.least, other.least, lambda a, b: bool(a > b)),
            most=_tighter(self.most, other.most, lambda a, b: bool(a < b)),
            step=self.step or other.step,
            min_len=max(self.min_len, other.min_len),
            max_len=min(
                (n for n in (self.max_len, other.max_len) if n is not None),
                default=None,
            ),
            patterns=self.patterns + other.patterns,
            choices=_in_both(self.choices, other.choices),
            classes=self.classes + other.classes,
            zone=self.zone or other.zone,
            items=_both(self.items, other.items),
            values=_both(self.values, other.values),
            # of two alternatives the second only filters: its checks are kept
            either=self.either or other.either,
            checks=self.checks + other.checks,
            drawn=other.drawn if self.drawn is None else self.drawn,
        )

    def admit(self, value: Any) -> bool:
        return all(check(value) for check in self.checks)

    def within(self, strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return strategy.filter(self.admit) if self.checks else strategy


FREE: Final = Bounds()


class _Refusals(threading.local):
    """The last values drawn that are no examples.

    Attributes:
        last: Which class and field refused it, and why; "" if nothing was refused.
        field: The field that is drawn now.
    """

    last = ""
    field = ""

    def note(self, where: str, err: Exception) -> None:
        self.last = f"the last was refused by {where}: {type(err).__name__}: {err}"


refusals: Final = _Refusals()

_Limit = tuple[Any, bool] | None


def _tighter(one: _Limit, other: _Limit, beats: Callable[[Any, Any], bool]) -> _Limit:
    if one is None or other is None:
        return one or other
    if one[0] == other[0]:
        return one[0], one[1] or other[1]
    return one if beats(one[0], other[0]) else other


def _in_both(
    one: tuple[Any, ...] | None, other: tuple[Any, ...] | None
) -> tuple[Any, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    return tuple(each for each in one if each in other)


def _both(one: Bounds | None, other: Bounds | None) -> Bounds | None:
    if one is None or other is None:
        return one or other
    return one & other


# --- attrs' validators --------------------------------------------------------------


def of_validator(
    validator: Any, attribute: "attrs.Attribute[Any]", owner: str = ""
) -> Bounds:
    """Return the bounds that an attrs validator draws; *owner* is for messages."""
    if validator is None:
        return FREE
    read = _VALIDATORS.get(type(validator).__name__)
    known = FREE if read is None else read(validator, attribute)

    def check(value: Any) -> bool:
        try:
            validator(None, attribute, value)
        except AttributeError:
            return True  # it looks at other fields, which are not there yet
        except Exception as err:  # noqa: BLE001 -- whatever it raises, it does not pass
            where = f"{owner}.{attribute.name}".lstrip(".")
            refusals.note(where, err)
            return False
        return True

    return replace(known, checks=(*known.checks, check))


def _all_of(validators: Iterable[Any], attribute: "attrs.Attribute[Any]") -> Bounds:
    bounds = FREE
    for each in validators:
        bounds &= _unchecked(each, attribute)
    return bounds


def _unchecked(validator: Any, attribute: "attrs.Attribute[Any]") -> Bounds:
    """Return bounds without the check of a validator that another one contains.

    It is checked by the one around it, which may also let None pass.
    """
    return replace(of_validator(validator, attribute), checks=())


def _number(validator: Any, _: Any) -> Bounds:
    limit = (validator.bound, validator.compare_op in {">", "<"})
    is_lower = validator.compare_op in {">", ">="}
    return Bounds(least=limit) if is_lower else Bounds(most=limit)


def _one_of(validator: Any, _: Any) -> Bounds:
    options = validator.options
    if isinstance(options, str):
        options = {
            options[i:j] for i in range(len(options)) for j in range(len(options) + 1)
        }
    found = list(options)
    if isinstance(options, (set, frozenset)):
        found.sort(key=repr)  # each run draws the same
    return Bounds(choices=tuple(found))


def _deep_mapping(validator: Any, attribute: Any) -> Bounds:
    outer = _unchecked(validator.mapping_validator, attribute)
    return replace(
        outer,
        items=of_validator(validator.key_validator, attribute),
        values=of_validator(validator.value_validator, attribute),
    )


def _instance(validator: Any, _: Any) -> Bounds:
    cls = validator.type
    several = cast("Any", cls if isinstance(cls, tuple) else (cls,))
    return Bounds(classes=(several,))


_VALIDATORS: dict[str, Callable[[Any, Any], Bounds]] = {
    "_AndValidator": lambda v, a: _all_of(v._validators, a),
    "_OrValidator": lambda v, a: Bounds(
        either=tuple(of_validator(each, a) for each in v.validators)
    ),
    "_OptionalValidator": lambda v, a: _unchecked(v.validator, a),
    "_NumberValidator": _number,
    "_InValidator": _one_of,
    "_MatchesReValidator": lambda v, _: Bounds(
        patterns=((v.pattern, v.match_func.__name__),)
    ),
    "_MinLengthValidator": lambda v, _: Bounds(min_len=v.min_length),
    "_MaxLengthValidator": lambda v, _: Bounds(max_len=v.max_length),
    "_InstanceOfValidator": _instance,
    "_DeepIterable": lambda v, a: replace(
        _unchecked(v.iterable_validator, a), items=of_validator(v.member_validator, a)
    ),
    "_DeepMapping": _deep_mapping,
}


# --- Annotated ----------------------------------------------------------------------


def of_metadata(metadata: Iterable[Any]) -> Bounds:
    """Return the bounds that the extras of an ``Annotated`` draw.

    Those of the package annotated_types count, and a strategy; others say nothing.
    """
    bounds = FREE
    for each in _flat(metadata):
        bounds &= _of_one(each)
    return bounds


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for each in metadata:
        if getattr(each, "__is_annotated_types_grouped_metadata__", False):
            yield from _flat(each)
        else:
            yield each


def _of_one(extra: Any) -> Bounds:
    if isinstance(extra, st.SearchStrategy):
        return Bounds(drawn=cast("Any", extra))
    types: Any = sys.modules.get("annotated_types")
    if types is None:
        return FREE
    for name, read in _EXTRAS.items():
        if isinstance(extra, getattr(types, name, ())):
            return read(extra)
    return FREE


def _if_set(check: Check) -> tuple[Check]:
    """Make a check that lets None pass: it is in the annotation or it is not."""

    def pass_(value: Any) -> bool:
        try:
            return value is None or bool(check(value))
        except TypeError:
            return False  # as a naive time and one with a zone

    return (pass_,)


_EXTRAS: dict[str, Callable[[Any], Bounds]] = {
    "Gt": lambda e: Bounds(least=(e.gt, True), checks=_if_set(lambda v: v > e.gt)),
    "Ge": lambda e: Bounds(least=(e.ge, False), checks=_if_set(lambda v: v >= e.ge)),
    "Lt": lambda e: Bounds(most=(e.lt, True), checks=_if_set(lambda v: v < e.lt)),
    "Le": lambda e: Bounds(most=(e.le, False), checks=_if_set(lambda v: v <= e.le)),
    "MinLen": lambda e: Bounds(
        min_len=e.min_length, checks=_if_set(lambda v: len(v) >= e.min_length)
    ),
    "MaxLen": lambda e: Bounds(
        max_len=e.max_length, checks=_if_set(lambda v: len(v) <= e.max_length)
    ),
    "MultipleOf": lambda e: Bounds(
        step=e.multiple_of, checks=_if_set(lambda v: v % e.multiple_of == 0)
    ),
    "Predicate": lambda e: Bounds(checks=_if_set(e.func)),
    "Timezone": lambda e: Bounds(zone=(e.tz,)),
}


Strategy = st.SearchStrategy[Any]

_EDGES: Final = tuple(
    edge + step for edge in (-(2**63), 0, 2**63, 2**64) for step in (-1, 0, 1)
)
_ODD_NAN: Final[float] = struct.unpack(">d", bytes.fromhex("7ff8000000000abc"))[0]
_ODD_FLOATS: Final = (-0.0, math.nan, _ODD_NAN, -math.inf, 5e-324)
LOOK_ALIKES: Final = ("", "\0", "__", "__A__", "__storify_ref__", "_v", "\ud800")


# --- numbers --------------------------------------------------------------------------


def integers(bounds: Bounds, *, odd: bool) -> Strategy:
    """Return ints, if odd those about the edges of 64 bits and large ones more often."""
    least, most = _whole(bounds.least, 1), _whole(bounds.most, -1)
    if isinstance(bounds.step, int):
        step = bounds.step
        low = None if least is None else -(-least // step)
        high = None if most is None else most // step
        return st.integers(low, high).map(lambda n: n * step)
    plain = st.integers(least, most)
    edges = [
        n
        for n in (*_EDGES, 10**50, -(10**50))
        if (least is None or n >= least) and (most is None or n <= most)
    ]
    return plain | st.sampled_from(edges) if odd and edges else plain


def _whole(limit: tuple[Any, bool] | None, inward: int) -> int | None:
    if limit is None or (isinstance(limit[0], float) and not math.isfinite(limit[0])):
        return None
    bound, is_open = limit
    whole: int = math.ceil(bound) if inward > 0 else math.floor(bound)
    return whole + inward if is_open and whole == bound else whole


def floats(bounds: Bounds, *, odd: bool) -> Strategy:
    """Return floats; if odd any 64 bits, and ints, which are floats to type checkers."""
    if bounds.least is None and bounds.most is None:
        if not odd:
            return st.floats(allow_nan=False)
        bits = st.binary(min_size=8, max_size=8)
        any_bits = bits.map(lambda b: struct.unpack(">d", b)[0])
        special = st.sampled_from(_ODD_FLOATS)
        return st.one_of(st.floats(), any_bits, special, st.integers(-9, 9))
    least, least_open = _float(bounds.least)
    most, most_open = _float(bounds.most)
    return st.floats(
        least,
        most,
        allow_nan=False,
        exclude_min=least_open,
        exclude_max=most_open,
    )


def _float(limit: tuple[Any, bool] | None) -> tuple[float | None, bool]:
    if limit is None:
        return None, False
    bound = float(limit[0])
    # rounded, it may lie outside; then the check of the bound itself filters
    return bound, limit[1] and bound == limit[0]


def decimals(bounds: Bounds, *, odd: bool) -> Strategy:
    """Return decimals; if odd also NaN of both kinds and those of many zeros."""
    least, most = _bound(bounds.least), _bound(bounds.most)
    if least is not None or most is not None:
        return st.decimals(least, most, allow_nan=False, allow_infinity=False)
    plain = st.decimals(allow_nan=odd)
    odd_ones = ("sNaN", "-sNaN12", "-0", "0E-999999", "1E+999999", "1.10")
    return plain | st.sampled_from(odd_ones).map(Decimal) if odd else plain


def _bound(limit: tuple[Any, bool] | None) -> Any:
    return None if limit is None else limit[0]


def fractions(bounds: Bounds, *, odd: bool) -> Strategy:  # noqa: ARG001 -- as all
    return st.fractions(_bound(bounds.least), _bound(bounds.most))


def complexes(_: Bounds, *, odd: bool) -> Strategy:
    """Return complex numbers; if odd with parts that are -0.0, NaN or infinite."""
    if not odd:
        return st.complex_numbers(allow_nan=False)
    # -0.0 also by itself: it is all that shows a sign that is lost
    part = st.floats() | st.just(-0.0) | st.sampled_from(_ODD_FLOATS)
    return st.builds(complex, part, part)


# --- text and bytes -------------------------------------------------------------------


def text(bounds: Bounds = FREE, *, odd: bool) -> Strategy:
    """Return strings; if odd with lone surrogates, NUL, and like keynames."""
    sizes: dict[str, Any] = {"min_size": bounds.min_len, "max_size": bounds.max_len}
    patterns = [p for p in bounds.patterns if isinstance(p[0].pattern, str)]
    if patterns:
        return _matching(patterns[0])
    plain = st.text(**sizes)
    if not odd:
        return plain
    odd_ones = [each for each in LOOK_ALIKES if _fits(each, bounds)]
    surrogates = st.text(st.characters(codec=None), **sizes)
    return st.one_of(plain, surrogates, *[st.sampled_from(odd_ones)] * bool(odd_ones))


def _fits(value: Any, bounds: Bounds) -> bool:
    longest = len(value) if bounds.max_len is None else bounds.max_len
    return bounds.min_len <= len(value) <= longest


def _matching(pattern: tuple["re.Pattern[Any]", str]) -> Strategy:
    regex, how = pattern
    if how == "match":
        regex = re.compile(rf"\A(?:{regex.pattern})", regex.flags)
    return st.from_regex(regex, fullmatch=how == "fullmatch")


def binaries(bounds: Bounds, *, odd: bool) -> Strategy:
    """Return bytes; if odd also those of an escape and of a record."""
    patterns = [p for p in bounds.patterns if isinstance(p[0].pattern, bytes)]
    if patterns:
        return _matching(patterns[0])
    plain = st.binary(min_size=bounds.min_len, max_size=bounds.max_len)
    odd_ones = [
        each for each in (b"\x81\xa5__A__", b"\xc7\x00\x1a") if _fits(each, bounds)
    ]
    return plain | st.sampled_from(odd_ones) if odd and odd_ones else plain


# --- times ----------------------------------------------------------------------------


@lru_cache
def _zone_names() -> tuple[str, ...]:
    names = ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "UTC")
    return tuple(name for name in names if _is_known(name))


def _is_known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except ZoneInfoNotFoundError:
        return False  # a system without a time zone database
    return True


def zones(*, odd: bool) -> Strategy:
    """Return UTC, IANA zones and offsets; if odd those of microseconds, and named."""
    named = (
        st.sampled_from(_zone_names()).map(ZoneInfo) if _zone_names() else st.nothing()
    )
    quarters = st.integers(-56, 56).map(lambda n: dt.timedelta(minutes=15 * n))
    plain = st.one_of(st.just(dt.UTC), quarters.map(dt.timezone), named)
    if not odd:
        return plain
    micros = st.integers(-86_399_999_999, 86_399_999_999)
    offsets = micros.map(lambda n: dt.timedelta(microseconds=n))
    with_names = st.builds(dt.timezone, offsets, text(odd=True))
    return st.one_of(plain, offsets.map(dt.timezone), with_names)


def _zones_of(bounds: Bounds, *, odd: bool) -> Strategy:
    limit = _bound(bounds.least) or _bound(bounds.most)
    if limit is not None and bounds.zone == ():
        return st.just(limit.tzinfo)  # others cannot be compared with it
    match bounds.zone:
        case ():
            return st.none() | zones(odd=odd)
        case (None | dt.tzinfo() as zone,):
            return st.just(zone)
        case (str() as name,):
            return st.just(ZoneInfo(name))
        case _:
            return zones(odd=odd)


def _with_zones(plain: Strategy, bounds: Bounds, *, odd: bool) -> Strategy:
    zone = _zones_of(bounds, odd=odd)
    folds = st.integers(0, 1) if odd else st.just(0)
    return st.builds(
        _in_zone,
        plain,
        zone,
        folds,
    )


def _in_zone(time: Any, zone: dt.tzinfo | None, fold: int) -> Any:
    return time.replace(tzinfo=zone, fold=fold)


def datetimes(bounds: Bounds, *, odd: bool) -> Strategy:
    """Return datetimes, naive and aware; if odd with folds and odd zones."""
    least, most = _naive(bounds.least), _naive(bounds.most)
    plain = st.datetimes(least or dt.datetime.min, most or dt.datetime.max)  # noqa: DTZ901 -- the zone is added
    return _with_zones(plain, bounds, odd=odd)


def times(bounds: Bounds, *, odd: bool) -> Strategy:
    """Return times of the day, as `datetimes`."""
    least, most = _naive(bounds.least), _naive(bounds.most)
    plain = st.times(least or dt.time.min, most or dt.time.max)
    return _with_zones(plain, bounds, odd=odd)


def _naive(limit: tuple[Any, bool] | None) -> Any:
    return None if limit is None else limit[0].replace(tzinfo=None)


def dates(bounds: Bounds, *, odd: bool) -> Strategy:  # noqa: ARG001 -- as all
    least, most = _bound(bounds.least), _bound(bounds.most)
    return st.dates(least or dt.date.min, most or dt.date.max)


def timedeltas(bounds: Bounds, *, odd: bool) -> Strategy:  # noqa: ARG001 -- as all
    least, most = _bound(bounds.least), _bound(bounds.most)
    lowest = dt.timedelta.min if least is None else least
    return st.timedeltas(lowest, dt.timedelta.max if most is None else most)


# --- names and addresses --------------------------------------------------------------


def paths(cls: type[pathlib.PurePath], start: str = "") -> Callable[..., Strategy]:
    def give(_: Bounds, *, odd: bool) -> Strategy:
        letters = "ab. ü\udc80" if odd else "ab. ü"
        names = st.lists(st.text(letters, min_size=1), max_size=3)
        return names.map(lambda found: cls(*([start] if start else []), *found))

    return give


def _networks(bits: int, make: Callable[[Any], Any]) -> Callable[..., Strategy]:
    def give(_: Bounds, *, odd: bool) -> Strategy:  # noqa: ARG001 -- as all
        return st.tuples(st.integers(0, 2**bits - 1), st.integers(0, bits)).map(make)

    return give


def _scoped(_: Bounds, *, odd: bool) -> Strategy:
    plain = st.ip_addresses(v=6)
    scoped = plain.map(lambda a: ipaddress.IPv6Address(f"{a}%eth0"))
    return plain | scoped if odd else plain


def _just(strategy: Callable[[], Strategy]) -> Callable[..., Strategy]:
    def give(_: Bounds, *, odd: bool) -> Strategy:  # noqa: ARG001 -- as all
        return strategy()

    return give


def _mapped(
    of: Callable[..., Strategy], make: Callable[[Any], Any]
) -> Callable[..., Strategy]:
    def give(bounds: Bounds, *, odd: bool) -> Strategy:
        return of(bounds, odd=odd).map(make)

    return give


def _ranges(_: Bounds, *, odd: bool) -> Strategy:
    ends = integers(FREE, odd=odd)
    return st.builds(range, ends, ends, st.integers(1) | st.integers(max_value=-1))


def _slices(_: Bounds, *, odd: bool) -> Strategy:
    ends = st.none() | integers(FREE, odd=odd)
    return st.builds(slice, ends, ends, st.none() | text(odd=odd) if odd else ends)


SCALARS: Final[dict[type, Callable[..., Strategy]]] = {
    type(None): _just(st.none),
    bool: _just(st.booleans),
    int: integers,
    float: floats,
    complex: complexes,
    str: text,
    bytes: binaries,
    bytearray: _mapped(binaries, bytearray),
    dt.datetime: datetimes,
    dt.date: dates,
    dt.time: times,
    dt.timedelta: timedeltas,
    Decimal: decimals,
    Fraction: fractions,
    uuid.UUID: _just(st.uuids),
    type(...): _just(lambda: st.just(...)),
    range: _ranges,
    slice: _slices,
    pathlib.PurePosixPath: paths(pathlib.PurePosixPath),
    pathlib.PureWindowsPath: paths(pathlib.PureWindowsPath, "C:/"),
    pathlib.PurePath: paths(pathlib.PurePath),
    pathlib.Path: paths(pathlib.Path),
    type(pathlib.Path()): paths(pathlib.Path),
    ipaddress.IPv4Address: _just(lambda: st.ip_addresses(v=4)),
    ipaddress.IPv6Address: _scoped,
    ipaddress.IPv4Interface: _networks(32, ipaddress.IPv4Interface),
    ipaddress.IPv6Interface: _networks(128, ipaddress.IPv6Interface),
    ipaddress.IPv4Network: _networks(
        32, lambda pair: ipaddress.IPv4Network(pair, strict=False)
    ),
    ipaddress.IPv6Network: _networks(
        128, lambda pair: ipaddress.IPv6Network(pair, strict=False)
    ),
}
"""The classes without parts that the codec stores by itself, with their values."""


def is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return not isinstance(value, slice)  # which can only since Python 3.12


def scalars(*, odd: bool) -> Strategy:
    """Return every kind of value that holds no other."""
    return st.one_of([give(FREE, odd=odd) for give in SCALARS.values()])


def hashable_scalars(*, odd: bool) -> Strategy:
    """Return those of `scalars` that can be keys."""
    kinds = [give for cls, give in SCALARS.items() if cls not in {bytearray, slice}]
    found = st.one_of([give(FREE, odd=odd) for give in kinds])
    return found.filter(is_hashable) if odd else found


# --- strategies for values of no particular type: all that the codec can store --------

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
            dicts.map(as_counter).filter(_has_repr),
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


def as_counter(items: Any) -> Any:
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
