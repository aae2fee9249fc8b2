"""What validators and ``Annotated`` say of a value, as bounds to draw within.

attrs has no public way to ask a validator what it wants, so its classes are told
by their names. A validator that is not known here still filters.
"""

import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast

import attrs
from hypothesis import strategies as st

__all__ = ["FREE", "Bounds", "of_metadata", "of_validator", "refusals"]

Check = Callable[[Any], bool]
Match = Literal["fullmatch", "match", "search"]


@dataclass(frozen=True, repr=False)
class Bounds:
    """What a value must be besides of its type.

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
        """Return what is within both."""
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
        """Tell whether *value* passes all checks."""
        return all(check(value) for check in self.checks)

    def within(self, strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        """Return what of *strategy* passes all checks."""
        return strategy.filter(self.admit) if self.checks else strategy


FREE: Final = Bounds()


class _Refusals(threading.local):
    """What was drawn last and is no example.

    Attributes:
        last: Which class and field refused it, and why; "" if nothing was refused.
        field: The field that is drawn now.
    """

    last = ""
    field = ""

    def note(self, where: str, err: Exception) -> None:
        """Note that the class or field *where* raised."""
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
        return Bounds(drawn=_any(extra))
    types: Any = sys.modules.get("annotated_types")
    if types is None:
        return FREE
    for name, read in _EXTRAS.items():
        if isinstance(extra, getattr(types, name, ())):
            return read(extra)
    return FREE


def _any(extra: Any) -> Any:
    return extra


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
