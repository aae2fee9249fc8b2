"""Models as types of pydantic, so that FastAPI takes, checks and returns them.

Nothing of pydantic is imported before pydantic asks. A model is read from JSON as
`from_json` does and written as `to_json` does: what begins with an underscore is neither
taken nor sent.
"""

from importlib import import_module
from typing import Any, Final

from .json_schema import json_schema
from .jsonable import jsonable, reader_of
from .options import class_of

__all__ = ["core_schema_of", "inlined"]

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
