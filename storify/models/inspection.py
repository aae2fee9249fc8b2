"""What is wrong with one record: what its class does not take, or does not find.

`walk` goes through values and knows annotations; here it is told about objects of
models and of other classes, records that could not be loaded, and what the codec
could not read.
"""

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from storify._attributes import beside
from storify.exceptions import ModelLoadError, NewerVersionError

from .conform import conforms, fits_outside, is_told_by_class
from .evolution import VERSION_KEY
from .fields import options_of
from .hints import Anything, Instance, Items, Shape, Tuple, describe, text_of
from .misfit import Misfit, field_step
from .options import class_of, class_options, is_model
from .plain import fields_of
from .ref import Ref
from .state import Unloaded, pairs, public, refused, state_of, unasked
from .walk import Findings, Part, name_beside

if TYPE_CHECKING:
    from .registry import Entry

__all__ = ["Examined", "Inspection", "Kept", "Lead", "Leads", "unstored"]

Kept = Callable[[object], str | None]
"""Tells of a value that the codec could not read: the key of the class that is not
registered, or "" for another reason; None for any other value."""


class Lead(enum.Enum):
    """Where a reference leads, if not to a record."""

    NOWHERE = enum.auto()
    UNKNOWN = enum.auto()


Leads = Callable[[Ref[Any]], Any]
"""Gives the record behind a reference; a `Lead` if there is none to look at."""


class Examined(NamedTuple):
    """What a class makes of stored fields, without an object.

    Attributes:
        fields: What it takes, as (name, value, shape); values are converted.
        missing: The names and shapes of required fields that are not there.
        unknown: The stored names that it does not know, with their values.
    """

    fields: Sequence[tuple[Any, Any, Shape]]
    missing: Sequence[tuple[str, Shape]]
    unknown: Mapping[Any, Any]


_ANYTHING = Anything()
_NOTHING = "nothing"


class Inspection:
    """Tells `walk.misfits` about the values of one walk, as its ``Inspect``.

    Args:
        entries: The registered classes by their keynames.
        shapes_of: Gives what the fields of a model class admit.
        plain_shapes_of: The same of a plain class; nothing for any other class.
        kept: Knows what the codec could not read.
        leads: Knows where references lead.
        parse: Gives the shape of an annotation; anything, if none can be given.
    """

    def __init__(
        self,
        entries: "Mapping[str, Entry | None]",
        shapes_of: Callable[[type, tuple[Any, ...]], Mapping[str, Shape]],
        plain_shapes_of: Callable[[type], Mapping[str, Shape]],
        kept: Kept,
        leads: Leads,
        parse: Callable[[Any], Shape],
    ) -> None:
        self._entries = entries
        self._shapes_of = shapes_of
        self._plain_shapes_of = plain_shapes_of
        # Within one walk they are the same ones, or it would not end in a cycle.
        self._plain: dict[type, Mapping[str, Shape]] = {}
        self._beside: dict[type, Callable[[object], list[str]]] = {}
        self._kept = kept
        self._leads = leads
        self._parse = parse

    def __call__(self, value: Any, shape: Shape) -> Findings | None:
        """Tell about *value*; None for plain data."""
        if isinstance(value, Unloaded):
            return self._record(value, shape)
        if is_model(value):
            return self._object(value, shape)
        key = self._kept(value)
        if key is not None:
            kind = type(value).__name__
            misfit = (
                Misfit("", "unregistered class", describe(shape), key)
                if key
                else Misfit("", "unreadable", describe(shape), kind)
            )
            return Findings([misfit], [], is_object=False)
        return self._plain_object(value, shape)

    # Objects

    def _object(self, obj: Any, shape: Shape) -> Findings:
        cls: type = class_of(obj)
        shapes = self._shapes_of(cls, _arguments(cls, shape))
        misfits = [_unknown(cls, *pair) for pair in _not_former(cls, unasked(obj))]
        misfits += _unstorable(cls, refused(obj))
        if issubclass(cls, Ref):
            misfits += self._lead(obj, shape)
        parts = [
            Part(field_step(name), item, shapes.get(name, _ANYTHING))
            for name, item in _fields_of(obj, shapes).items()
        ]
        return Findings(misfits, parts)

    def _lead(self, ref: Ref[Any], shape: Shape) -> Iterable[Misfit]:
        record = self._leads(ref)
        if record is Lead.NOWHERE:
            expected = f"a record of database {ref.db!r}"
            yield Misfit("", "dangling ref", expected, _NOTHING)
        elif record is not Lead.UNKNOWN:
            for hint in _arguments(Ref, shape):
                if not conforms(record, self._parse(hint)):
                    found = f"Ref[{name_beside(record, text_of(hint))}]"
                    yield Misfit("", "wrong ref", describe(shape), found)

    def _plain_object(self, obj: Any, shape: Shape) -> Findings | None:
        cls = class_of(obj)
        if cls not in self._plain:
            self._plain[cls] = self._plain_shapes_of(cls)
            self._beside[cls] = beside(cls, self._plain[cls])
        shapes = self._plain[cls]
        if not shapes:
            return None
        lost = _unstorable(cls, self._beside[cls](obj))
        parts = [
            Part(field_step(name), item, shapes[name])
            for name, item in fields_of(obj, shapes)
        ]
        if isinstance(obj, tuple):
            parts = [*parts, *_items_beyond(parts, obj, shape)]
        return Findings(lost, parts)

    # Records

    def _record(self, record: Unloaded, shape: Shape) -> Findings | None:
        fields: Any = record.get(next(iter(record), ""))
        if len(record) != 1 or class_of(fields) is not dict:
            return None  # it was changed since, and is a dict like others
        keyname = next(iter(record))
        entry = self._entries.get(keyname)
        if record.error is None or entry is None:
            misfit = Misfit("", "unregistered class", describe(shape), keyname)
            return Findings([misfit], _raw_parts(fields), is_object=False)
        name = entry.cls.__qualname__
        if isinstance(record.error, NewerVersionError):
            known = f"{name} of version {class_options(entry.cls).version}"
            found = f"version {fields.get(VERSION_KEY)}"
            misfit = Misfit("", "newer version", known, found)
            return Findings([misfit], _raw_parts(fields), is_object=False)
        return _examine(entry, fields, record.error)


def _arguments(cls: type, shape: Shape) -> tuple[Any, ...]:
    """Return what *shape* puts in the place of the type variables of *cls*."""
    if isinstance(shape, Instance) and issubclass(cls, shape.cls):
        return shape.args
    return ()


def _examine(entry: "Entry", fields: Any, error: ModelLoadError) -> Findings:
    """Tell what keeps *fields* from being an object, as far as it can be told."""
    cls = entry.cls
    try:
        found = entry.planned().examine(fields)
    except Exception:  # noqa: BLE001 -- code of the user's, as at load
        found = Examined(_raw_fields(fields), (), {})
    misfits = [
        Misfit(field_step(name), "missing", describe(shape), _NOTHING)
        for name, shape in found.missing
    ]
    unknown = [_unknown(cls, *pair) for pair in _not_former(cls, found.unknown)]
    misfits += unknown
    forbidden = unknown and class_options(cls).extra == "forbid"
    if not found.missing and not forbidden:
        cause = type(error.__cause__ or error).__name__
        path = error.path.removeprefix("$")
        misfits.insert(0, Misfit(path, "unloadable", cls.__qualname__, cause))
    inside = (*found.fields, *_raw_fields(found.unknown))
    parts = [Part(field_step(name), *rest) for name, *rest in inside]
    return Findings(misfits, parts, is_object=False)


def _not_former(cls: type, names: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """List stored names and values, without earlier names of fields of *cls*.

    One of those stands beside the new name when an older program saved the record.
    """
    if not names:
        return []
    former = {old for a in class_options(cls).attributes for old in options_of(a).was}
    return [(name, item) for name, item in pairs(names) if name not in former]


def _unknown(cls: type, name: object, value: object) -> Misfit:
    found = "record" if isinstance(value, Unloaded) else type(value).__name__
    expected = f"no such field of {cls.__qualname__}"
    return Misfit(field_step(name), "unknown", expected, found)


def _unstorable(cls: type, names: Iterable[str]) -> list[Misfit]:
    return [
        Misfit(f".{n}", "unstorable", f"no such attribute of {cls.__qualname__}", n)
        for n in names
    ]


def _raw_fields(fields: Any) -> list[tuple[Any, Any, Shape]]:
    return [(name, item, _ANYTHING) for name, item in pairs(fields)]


def _raw_parts(fields: Any) -> list[Part]:
    return [Part(field_step(name), *rest) for name, *rest in _raw_fields(fields)]


def _items_beyond(fields: Sequence[Part], obj: Any, shape: Shape) -> Iterator[Part]:
    """List the items of a named tuple of which *shape* says more than its class."""
    if not isinstance(shape, (Items, Tuple)) or not fits_outside(obj, shape):
        return
    for index, (_, item, own) in enumerate(fields):
        expected = shape.items[index] if isinstance(shape, Tuple) else shape.item
        is_told = conforms(item, expected) and is_told_by_class(expected)
        if not is_told and conforms(item, own):
            yield Part(f"[{index}]", item, expected)


def _fields_of(obj: object, shapes: Mapping[str, Shape]) -> dict[Any, Any]:
    """Return the stored fields of *obj*: declared ones first, then what was added."""
    if not class_options(type(obj)).declared:
        return public(obj)
    state = state_of(obj)
    values: dict[Any, Any] = {name: state[name] for name in shapes if name in state}
    if len(values) == len(state):
        return values
    not_stored = unstored(type(obj))
    for name, item in public(obj).items():
        if name not in values and name not in not_stored:
            values[name] = item
    return values


def unstored(cls: type) -> set[str]:
    """Return the names of the fields of *cls* that are not stored."""
    attributes = class_options(cls).attributes
    return {a.name for a in attributes if not options_of(a).stored}
