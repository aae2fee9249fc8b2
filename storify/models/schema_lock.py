"""A schema as data: what the classes of a program say about what is stored.

It is kept in a lock file under version control, and compared with the classes of
later (`schema_changes`)::

    {"format": 1,
     "models": {"__User__": {"version": 0, "migrations": 0, "was": [], "dropped": [],
                             "extra": "keep",
                             "fields": {"name": {"type": "str", "default": false}}}},
     "types": {"Color": {"kind": "enum", "members": ["BLUE", "RED"]}}}

Models stand under their keynames, fields under their names on disk. A hand-written
class has no fields here: what it stores is its own code's to say.
"""

import dataclasses
import enum
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, NotRequired, TypedDict, cast

import attrs
import cattrs

from .base import Model
from .fields import options_of
from .hints import Instance, Items, OneOf, Pairs, Record, Shape, Tuple, Union
from .options import class_of, class_options, is_model_class
from .registry import Registry
from .type_text import argument, text_of_shape

__all__ = [
    "FieldLock",
    "ModelLock",
    "SchemaLock",
    "TypeLock",
    "describe",
    "dump",
    "load",
]

FORMAT: Final = 1


class FieldLock(TypedDict):
    """One stored field; ``was`` and ``upgrade`` are there if they are used."""

    type: str
    default: bool
    was: NotRequired[list[str]]
    upgrade: NotRequired[bool]


class ModelLock(TypedDict):
    """One model class; ``migrations`` is how many steps it has."""

    version: int
    migrations: int
    was: list[str]
    dropped: list[str]
    extra: str
    fields: NotRequired[dict[str, FieldLock]]


class TypeLock(TypedDict):
    """A class that the fields of models name, and that is stored by names.

    An enum by those of its members, a flag by their values, a record (a dataclass, a
    named tuple, a ``TypedDict``) by its fields.
    """

    kind: Literal["enum", "flag", "record"]
    members: NotRequired[list[str]]
    values: NotRequired[dict[str, int]]
    fields: NotRequired[dict[str, FieldLock]]


class SchemaLock(TypedDict):
    """A whole schema."""

    format: int
    models: dict[str, ModelLock]
    types: dict[str, TypeLock]


def describe(classes: Iterable[type[Model]]) -> SchemaLock:
    """Describe model classes, and all that their annotations name.

    Raises:
        ModelError: A class cannot be a model, or names what is not defined.
    """
    registry = Registry(classes)
    found = _Description(registry._plain.shapes_of)  # noqa: SLF001 -- idem
    for entry in list(registry._by_class.values()):  # noqa: SLF001 -- same package
        entry.planned()  # now, annotations must be resolved
        if not _is_ours(entry.cls):
            found.add_model(entry.cls, entry.keyname, entry.shapes or {})
    return {"format": FORMAT, "models": found.models, "types": found.types}


_NO_FIELDS: Final[Mapping[str, FieldLock]] = {}


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


class _Description:
    """Collects the models, and the types that are met in their fields.

    Args:
        shapes_of: Gives what the fields of a plain class admit.
    """

    def __init__(self, shapes_of: Callable[[type], Mapping[str, Shape]]) -> None:
        self._shapes_of = shapes_of
        self.models: dict[str, ModelLock] = {}
        self.types: dict[str, TypeLock] = {}

    def add_model(self, cls: type, keyname: str, shapes: Mapping[str, Shape]) -> None:
        options = class_options(cls)
        model: ModelLock = {
            "version": options.version,
            "migrations": len(options.migrations),
            "was": sorted(options.was),
            "dropped": sorted(options.dropped),
            "extra": options.extra,
        }
        if options.declared:
            stored = [a for a in options.attributes if options_of(a).stored]
            model["fields"] = {
                options_of(a).key or a.name: self._field(a, shapes[a.name])
                for a in stored
            }
        self.models[keyname] = model

    def _field(self, attribute: "attrs.Attribute[Any]", shape: Shape) -> FieldLock:
        options = options_of(attribute)
        has_default = attribute.default is not attrs.NOTHING or not attribute.init
        made = _field(self._text(shape), default=has_default)
        if options.was:
            made["was"] = sorted(options.was)
        if options.upgrade is not None:
            made["upgrade"] = True
        return made

    def _text(self, shape: Shape) -> str:
        self._add_types(shape)
        return text_of_shape(shape, _name_of)

    def _add_types(self, shape: Shape) -> None:
        match shape:
            case Record(name, keys, required) if name not in self.types:
                fields: dict[str, FieldLock] = {}
                self.types[name] = {"kind": "record", "fields": fields}
                for key, inner in keys.items():
                    fields[key] = _field(self._text(inner), default=key not in required)
            case Instance(cls):
                self._add_type(cls)
            case OneOf(values):
                for value in values:
                    self._add_type(class_of(value))
            case _:
                pass  # a type within itself is described already
        for part in _parts(shape):
            self._add_types(part)

    def _add_type(self, cls: type) -> None:
        name = _name_of(cls)
        found = None if name in self.types else _type_lock(cls)
        if found is None:
            return
        self.types[name] = found
        shapes = self._shapes_of(cls)
        for key, field in found.get("fields", _NO_FIELDS).items():
            if key in shapes:
                field["type"] = self._text(shapes[key])


def _parts(shape: Shape) -> Iterable[Shape]:
    match shape:
        case Instance(_, args):
            return map(argument, args)
        case Union(parts) | Tuple(parts):
            return parts
        case Items(_, item):
            return (item,)
        case Pairs(_, key, value):
            return (key, value)
        case _:
            return ()


def _field(text: str, *, default: bool) -> FieldLock:
    return {"type": text, "default": default}


def _name_of(cls: type) -> str:
    """Return the name by which files know a class."""
    if is_model_class(cls) and not _is_ours(cls):
        return cast("type[Model]", cls)._keyname()
    return cls.__name__


def _type_lock(cls: type) -> TypeLock | None:
    """Describe a class that is stored by names; None for others."""
    if is_model_class(cls):
        return None
    if issubclass(cls, enum.Flag):
        values = {name: member.value for name, member in cls.__members__.items()}
        return {"kind": "flag", "values": values} if values else None
    if issubclass(cls, enum.Enum):
        members = sorted(cls.__members__)
        return {"kind": "enum", "members": members} if members else None
    defaults = _defaults(cls)
    if defaults is None:
        return None
    fields = {name: _field("Any", default=given) for name, given in defaults.items()}
    return {"kind": "record", "fields": fields}


def _defaults(record: Any) -> dict[str, bool] | None:
    """Return the fields of a record, and which may be missing when it is loaded."""
    if attrs.has(record):
        return {attribute.name: False for attribute in attrs.fields(record)}
    if dataclasses.is_dataclass(record):
        missing = dataclasses.MISSING
        return {
            each.name: (each.default, each.default_factory) != (missing, missing)
            for each in dataclasses.fields(record)
        }
    if tuple in record.__mro__ and hasattr(record, "_fields"):
        return {name: name in record._field_defaults for name in record._fields}
    return None


# --- the file ---------------------------------------------------------------------


def dump(lock: SchemaLock) -> str:
    """Return a schema as the text of a lock file: the same one each time."""
    return json.dumps(lock, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def load(text: str) -> SchemaLock:
    """Read the text of a lock file.

    Raises:
        ValueError: It is no lock file, or a newer release of storify wrote it.
    """
    what = "cannot read the schema lock"
    try:
        found: Any = json.loads(text)
        number: object = found["format"]
    except (ValueError, TypeError, LookupError) as error:
        msg = f"{what}: it is none; write one with: storify schema lock"
        raise ValueError(msg) from error
    if number != FORMAT:
        msg = f"{what}: it has format {number!r}, known is {FORMAT}; update storify"
        raise ValueError(msg)
    try:
        return cattrs.structure(found, SchemaLock)
    except cattrs.BaseValidationError as error:
        msg = f"{what}: it is not whole; write it anew with: storify schema lock"
        raise ValueError(msg) from error
