"""Values as trees of JSON, for whoever reads what a face prints; never an error."""

from typing import Any

from storify.codec import unbuilt
from storify.exceptions import UnstorableError
from storify.explorer.reading import Row, key_token
from storify.explorer.values import (
    MISSING,
    Undecodable,
    fields_of,
    kind_of,
    one_line,
)
from storify.models import Unloaded
from storify.models.jsonable import jsonable

__all__ = ["tree_of", "tree_of_row"]

_WIDE = 1000


def _ask(value: Any) -> Any:
    if value is MISSING:
        return None
    if isinstance(value, Undecodable):
        return one_line(value, _WIDE)
    found = fields_of(value)
    kept = unbuilt(value)
    if found is not None and (kept is not None or isinstance(value, Unloaded)):
        return tree_of(found.fields)
    if kept is not None:
        return kept.member or one_line(value, _WIDE)
    return NotImplemented


def tree_of(value: Any) -> Any:
    """Return a value as a tree of JSON; what has no form there as a text."""
    try:
        return jsonable(value, ask=_ask)
    except (UnstorableError, RecursionError):
        return one_line(value, _WIDE)


def tree_of_row(row: Row) -> dict[str, Any]:
    """Return a record with its key and class as a tree of JSON."""
    return {
        "key": tree_of(row.key),
        "token": key_token(row),
        "class": kind_of(row.value),
        "value": tree_of(row.value),
    }
