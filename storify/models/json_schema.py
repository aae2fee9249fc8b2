"""Classes as JSON Schema, what `to_json` writes and `from_json` takes; and for pydantic.

FastAPI, which asks pydantic, takes, checks and returns models by it. Nothing of pydantic
is imported before it asks. What begins with an underscore is neither taken nor sent.
"""

import datetime as dt
import enum
from collections.abc import Mapping
from importlib import import_module
from types import NoneType
from typing import Any, Final
from uuid import UUID

import attrs

from .fields import options_of
from .hints import (
    Anything,
    Instance,
    Items,
    Later,
    OneOf,
    Pairs,
    Record,
    Shape,
    Tuple,
    Union,
)
from .jsonable import goes_by_value, jsonable, names_of, reader_of
from .options import class_of, class_options, is_model_class
from .registry import Registry

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_SCALARS: Final[Mapping[Any, Mapping[str, Any]]] = {
    NoneType: {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    str: {"type": "string"},
    # NaN and infinities are texts
    float: {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]},
    bytes: {"type": "string", "contentEncoding": "base64"},
    bytearray: {"type": "string", "contentEncoding": "base64"},
    dt.datetime: {"type": "string", "format": "date-time"},
    dt.date: {"type": "string", "format": "date"},
    dt.time: {"type": "string", "format": "time"},
    dt.timedelta: {"type": "string", "format": "duration"},
    UUID: {"type": "string", "format": "uuid"},
}


def json_schema(hint: Any, registry: Registry | None = None) -> dict[str, Any]:
    """Return the JSON Schema of a model class, or of any type that can be stored.

    Classes that stand in others are in ``$defs``.

    Args:
        hint: The class, or an annotation as ``list[User]``.
        registry: Knows the classes; one of its own unless given.

    Raises:
        ModelError: No value of it can be stored.
    """
    if registry is None:
        registry = Registry()
        registry.register_hint(hint)
    made = _Schema(registry)
    found = made.of(registry.shape_of(hint))
    return {
        "$schema": DIALECT,
        **found,
        **({"$defs": made.classes} if made.classes else {}),
    }


class _Schema:
    """Makes schemas, and keeps those of classes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.classes: dict[str, Any] = {}

    def of(self, shape: Shape) -> dict[str, Any]:  # noqa: PLR0911 - one for each shape
        match shape:
            case Anything():
                return {}
            case Later():
                return self.of(shape.get()) if shape.name not in self.classes else {}
            case Union(arms):
                return {"anyOf": [self.of(arm) for arm in arms]}
            case OneOf(values):
                return {"enum": [jsonable(value) for value in values]}
            case Items(cls, item):
                unique = (
                    {"uniqueItems": True} if issubclass(cls, (set, frozenset)) else {}
                )
                return {"type": "array", "items": self.of(item), **unique}
            case Tuple(items):
                count = len(items)
                return {
                    "type": "array",
                    "prefixItems": [self.of(item) for item in items],
                    "minItems": count,
                    "maxItems": count,
                }
            case Pairs(_, _, value):
                return {"type": "object", "additionalProperties": self.of(value)}
            case Record(name, keys, required):
                return self._named(name, keys, sorted(required))
            case Instance(cls, args):
                return self._instance(cls, args)

    def _instance(  # noqa: PLR0911 - one for each kind
        self, cls: Any, args: tuple[Any, ...]
    ) -> dict[str, Any]:
        if is_model_class(cls):
            shapes = self._registry.shapes_of_model(cls, args)
            attributes = {a.name: a for a in class_options(cls).attributes}
            fields = {
                name: shape
                for name, shape in shapes.items()
                if not name.startswith("_")
            }
            required = [
                name
                for name in fields
                if name in attributes
                and attributes[name].init
                and attributes[name].default is attrs.NOTHING
                and options_of(attributes[name]).stored
            ]
            return self._named(cls.__qualname__, fields, required, cls)
        if issubclass(cls, enum.Flag):
            return {"type": "integer"}  # several members at once are none of them
        if issubclass(cls, enum.Enum):
            by_value = goes_by_value(cls)
            return {"enum": [m.value if by_value else m.name for m in cls]}
        if names_of(cls) is not None or hasattr(cls, "_fields"):
            return self._named(
                cls.__qualname__, self._registry.shapes_of_plain(cls), [], cls
            )
        for kind, schema in _SCALARS.items():
            if issubclass(cls, kind):
                return dict(schema)
        if issubclass(cls, dict):
            return {"type": "object"}
        if issubclass(cls, (list, set, frozenset, tuple, range)) or cls is slice:
            return {"type": "array"}
        return {"type": "string"}

    def _named(
        self,
        name: str,
        fields: Mapping[str, Shape],
        required: list[str],
        cls: type | None = None,
    ) -> dict[str, Any]:
        if name not in self.classes:
            made: dict[str, Any] = {"title": name, "type": "object"}
            self.classes[name] = made  # before its fields: they may name it
            doc = (cls.__doc__ or "").strip() if cls is not None else ""
            if doc and not doc.startswith("Method generated"):
                made["description"] = doc.partition("\n")[0]
            made["properties"] = {
                field: self.of(shape) for field, shape in fields.items()
            }
            if required:
                made["required"] = required
            made["additionalProperties"] = False
        return {"$ref": f"#/$defs/{name}"}


# --- models as types of pydantic ------------------------------------------------------

_DEFS: Final = "#/$defs/"
_DEEP: Final = 8


def core_schema_of(cls: type[Any], source: Any) -> Any:
    """Return the core schema of a model.

    Args:
        cls: The class.
        source: The annotation, which may parametrise it.
    """
    core: Any = import_module("pydantic_core.core_schema")

    def validate(value: Any) -> Any:
        if isinstance(value, cls):
            return value
        return reader_of(source).read(value)  # a ValueError, as pydantic wants it

    return core.no_info_plain_validator_function(
        validate,
        serialization=core.plain_serializer_function_ser_schema(jsonable),
    )


def inlined(source: Any) -> dict[str, Any]:
    """Return the JSON Schema of a class without references, as it stands in others.

    A class inside itself is any object, some levels down.
    """
    whole = json_schema(source)
    defs = whole.get("$defs", {})

    def put(schema: Any, deep: int) -> Any:
        kind = class_of(schema)
        if kind is list:
            return [put(each, deep) for each in schema]
        if kind is not dict:
            return schema
        name = schema.get("$ref", "")
        if name.startswith(_DEFS):
            named = defs[name.removeprefix(_DEFS)]
            return put(named, deep - 1) if deep else {"type": "object"}
        return {key: put(value, deep) for key, value in schema.items()}

    made: dict[str, Any] = put(
        {k: v for k, v in whole.items() if k not in {"$schema", "$defs"}}, _DEEP
    )
    return made
