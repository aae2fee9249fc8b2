"""Edits that are staged, looked at, and then written in one transaction.

A draft is made from what a record was when it was looked at. If somebody else changed
that record meanwhile, nothing is written and nothing is lost: the drafts stay, and the
error names the keys.
"""

import ast
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from storify.codec import Codec
from storify.database.session.keys import LIST
from storify.engine import Change as Written
from storify.engine import Commit, Engine
from storify.exceptions import ConflictError
from storify.explorer.states import Edit, edits
from storify.explorer.values import literal
from storify.models.jsonable import Reader
from storify.models.registry import Registry

__all__ = ["Draft", "commit_drafts", "parse_value"]


class Draft(NamedTuple):
    """An edit of one record that is not written yet.

    Attributes:
        name: The database.
        key: The key.
        before: What the record is; MISSING if there is none.
        after: What it is to be; MISSING if it is to be deleted.
        blob: The bytes of the key, or the index in a list.
        stored: The bytes of the record as it is.
        encoded: The bytes of what it is to be.
    """

    name: str
    key: Any
    before: Any
    after: Any
    blob: bytes | int
    stored: bytes | None
    encoded: bytes | None

    def edits(self) -> list[Edit]:
        """The places that differ."""
        return edits(self.before, self.after)


def parse_value(text: str, hint: Any, registry: Registry) -> Any:
    """Read what somebody wrote as a value of a type; as JSON where it is that.

    Args:
        text: What was written.
        hint: The annotation; `Any` if none is known.
        registry: Knows the classes.

    Raises:
        ModelLoadError: It is none of that type.
    """
    try:
        tree: Any = json.loads(text)
    except (ValueError, RecursionError):
        if hint is Any:
            try:
                return ast.literal_eval(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return text
        tree = text
    reader = Reader(hint, registry)
    try:
        return reader.read(tree)
    except ValueError:
        if tree is text or hint is Any:
            raise
        return reader.read(text)  # a text of digits is a number in JSON


def commit_drafts(drafts: Iterable[Draft], engine: Engine, codec: Codec) -> int:
    """Write the drafts of one database at once; give how many records changed.

    Raises:
        ConflictError: A record is no more what it was; nothing was written.
        The errors of `Engine.commit`: nothing was written.
    """
    listed = list(drafts)
    with engine.locked():
        snapshot = engine.open()
        version = None if snapshot is None else snapshot.version
        items = None
        if snapshot is not None and not snapshot.kind:
            whole = snapshot.get(LIST)
            items = None if whole is None else codec.items(whole)
        now = _now(listed, items, snapshot)
        changed = [each for each in listed if now[each.blob] != each.stored]
        if changed:
            keys = [each.key for each in changed]
            named = ", ".join(map(literal, keys[:5]))
            msg = (
                f"cannot save the drafts of database {listed[0].name!r}: somebody "
                f"changed {named} since; look at it again, then save or drop the drafts"
            )
            raise ConflictError(msg, keys)
        changes = (
            _changes(listed)
            if items is None
            else [(LIST, codec.join_items(_with(items, listed)))]
        )
        engine.commit(Commit(version, changes))
        engine.sync()
        if snapshot is not None:
            snapshot.close()
    return len(listed)


def _now(
    drafts: list[Draft], items: list[bytes] | None, snapshot: Any
) -> Mapping[bytes | int, bytes | None]:
    if items is not None:
        return {
            each.blob: items[each.blob]
            if isinstance(each.blob, int) and 0 <= each.blob < len(items)
            else None
            for each in drafts
        }
    return {
        each.blob: None if snapshot is None else snapshot.get(each.blob)
        for each in drafts
    }


def _changes(drafts: list[Draft]) -> list[Written]:
    return [
        (each.blob, each.encoded) for each in drafts if isinstance(each.blob, bytes)
    ]


def _with(items: list[bytes], drafts: list[Draft]) -> list[bytes]:
    """Return the items of a list after the drafts; one behind its end is added."""
    edited: dict[int, bytes | None] = {
        each.blob: each.encoded for each in drafts if isinstance(each.blob, int)
    }
    kept = [edited.get(index, item) for index, item in enumerate(items)]
    added = [edited[index] for index in sorted(edited) if index >= len(items)]
    return [each for each in (*kept, *added) if each is not None]
