"""A record as a line: its key, its class, its fields; and what a format cannot hold."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from storify.codec import Codec, unbuilt
from storify.exceptions import (
    LocatedError,
    ModelLoadError,
    StorifyError,
    UnstorableError,
)
from storify.models.hints import ANYTHING, Shape, field_step, key_step
from storify.models.jsonable import Reader, jsonable
from storify.models.options import class_of, is_model
from storify.models.registry import Registry
from storify.models.state import Unloaded, stored_fields

__all__ = [
    "CLASS",
    "KEY",
    "VALUE",
    "CannotHoldError",
    "Classes",
    "Line",
    "Losses",
    "Pairs",
    "Told",
    "checked",
    "dumps",
    "is_utf8",
    "pair_of",
]

KEY: Final = "_key"
CLASS: Final = "_class"
VALUE: Final = "_value"
_OURS: Final = frozenset({KEY, CLASS, VALUE})
_SHOWN: Final = 5

Pairs = Callable[[], Iterable[tuple[Any, Any]]]
"""Begins to iterate over keys and records; called once for each pass."""

Told = Callable[[int, int], object] | None


class CannotHoldError(LocatedError, TypeError):
    """A format cannot hold a value, so nothing was written.

    Attributes:
        path: The first place.
        losses: How often each cause was met.
    """

    def __init__(self, message: str, path: str, losses: Mapping[str, int]) -> None:
        super().__init__(message, path)
        self.losses: dict[str, int] = dict(losses)


class Losses:
    """Values that a format cannot hold: refused, or counted.

    Args:
        target: The name of the format.
        lossy: Whether to go on.
    """

    def __init__(self, target: str, *, lossy: bool = False) -> None:
        self.target = target
        self.lossy = lossy
        self.causes: Counter[str] = Counter()
        self._first: list[str] = []
        self._path = "$"

    def note(self, path: str, why: str) -> None:
        """Note a place and the cause."""
        if not self.causes:
            self._path = path
        self.causes[why] += 1
        if len(self._first) < _SHOWN:
            self._first.append(f"{path}: {why}")

    def refuse(self) -> None:
        """Raise if something was noted and nothing may be lost.

        Raises:
            CannotHoldError: As said; the error names the first places.
        """
        count = sum(self.causes.values())
        if not count or self.lossy:
            return
        first = "; ".join(self._first)
        more = (
            f"; and {count - len(self._first)} more" if count > len(self._first) else ""
        )
        msg = (
            f"cannot write {self.target}, which does not hold {first}{more}; "
            f"lossy goes on and counts"
        )
        raise CannotHoldError(msg, self._path, self.causes)


class Line(NamedTuple):
    """A record.

    Attributes:
        key: The key.
        keyname: What its class is stored as; an empty text if it is of none.
        fields: Its fields; None if it has none.
        value: The record.
    """

    key: Any
    keyname: str
    fields: Mapping[str, Any] | None
    value: Any

    @property
    def path(self) -> str:
        """Its place, for messages."""
        return f"${key_step(self.key)}"

    def cells(self) -> Iterator[tuple[str, Any, str]]:
        """Iterate over columns, what stands in them, and where that is."""
        yield KEY, self.key, self.path
        if self.keyname:
            yield CLASS, self.keyname, self.path
        if self.fields is None:
            yield VALUE, self.value, self.path
        else:
            for name, value in self.fields.items():
                yield str(name), value, self.path + field_step(name)

    def held(self, hold: "Hold", *, lossy: bool = False) -> dict[str, Any]:
        """Return what a format holds of each cell; if *lossy*, else a text of it.

        Raises:
            UnstorableError: It cannot hold one.
        """
        found: dict[str, Any] = {}
        for name, value, where in self.cells():
            try:
                found[name] = hold(name, value, where)
            except UnstorableError:
                if not lossy:
                    raise
                text = str(value)
                found[name] = text if is_utf8(text) else ascii(text)
        return found


Hold = Callable[[str, Any, str], Any]
"""Makes what a format holds of a column, a value, and its place."""


def is_utf8(text: str) -> bool:
    """Tell whether a text has no lone surrogate, which few others can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def dumps(tree: Any, indent: int | None = None) -> str:
    """Return a tree as JSON, readable as far as UTF-8 has it."""
    made = json.dumps(tree, ensure_ascii=False, allow_nan=False, indent=indent)
    return made if is_utf8(made) else json.dumps(tree, allow_nan=False, indent=indent)


class Classes:
    """The facts that classes add to lines.

    Args:
        registry: Knows them.
        codec: Tells whether what came back is the same.
    """

    def __init__(self, registry: Registry, codec: Codec) -> None:
        self.registry = registry
        self.codec = codec
        self._readers: dict[Any, Reader] = {}

    def reader(self, hint: Any) -> Reader:
        """Return the reader of a type."""
        if hint not in self._readers:
            self._readers[hint] = Reader(hint, self.registry)
        return self._readers[hint]

    def shapes(self, keyname: str) -> Mapping[str, Shape]:
        """Return what the fields of a class admit, in their order; empty if not known."""
        cls = self.registry.class_named(keyname) if keyname else None
        return {} if cls is None else self.registry.shapes_of_model(cls, ())

    def shapes_of(self, cls: type) -> Mapping[str, Shape]:
        """Return what the fields of a class admit; of a plain class as well."""
        if not hasattr(cls, "__storify__"):
            return self.registry.shapes_of_plain(cls)
        return self.registry.shapes_of_model(cls, ())

    def shape(self, keyname: str, field: str) -> Shape:
        """Return what a field admits; anything if its class is not known."""
        return self.shapes(keyname).get(field, ANYTHING)

    def line(self, key: Any, value: Any) -> Line:
        """Part a record into its fields."""
        if isinstance(value, Unloaded):
            ((keyname, fields),) = value.items()
            return Line(key, keyname, fields, value)
        if is_model(value):
            wrapper = self.registry.unstructure(value) or {}
            keyname = next(iter(wrapper), "")
            return Line(key, keyname, stored_fields(value), value)
        if class_of(value) is dict:
            names = set(value)
            if all(class_of(name) is str for name in names) and not names & _OURS:
                return Line(key, "", value, value)
        return Line(key, "", None, value)

    def tree(self, value: Any, path: str) -> Any:
        """Return a value as JSON has it, exactly.

        Raises:
            UnstorableError: It has no form there.
        """
        return jsonable(value, path, exact=True, ask=_ask)

    def record(self, keyname: str, fields: dict[str, Any], path: str, cls: Any) -> Any:
        """Make a record of fields that are trees of JSON.

        Args:
            keyname: What its class is stored as; may be empty.
            fields: The fields.
            path: Where it stands, for errors.
            cls: The class of what says none; None: a dict.

        Raises:
            ModelLoadError: The fields do not fit the class, or it is not known.
        """
        found = self.registry.class_named(keyname) if keyname else cls
        if keyname and found is None:
            msg = f"{path}: its class {keyname!r} is not known here; give its module as models"
            raise ModelLoadError(msg, path)
        if found is None:
            return fields
        return self.reader(found).read(fields, path, keep_unknown=True)

    def same(self, one: Any, other: Any) -> bool:
        """Tell whether two values are stored as the same bytes."""
        try:
            return self.codec.encode(one, "$.v") == self.codec.encode(other, "$.v")
        except (StorifyError, RuntimeError):
            return False

    def differing(self, line: Line, back: Any) -> Iterator[str]:
        """Name the fields in which what came back differs."""
        if self.same(line.value, back):
            return
        fields = self.line(line.key, back).fields
        if line.fields is None or fields is None:
            yield ""
            return
        found = False
        for name, value in line.fields.items():
            if name not in fields or not self.same(value, fields[name]):
                found = True
                yield name
        if not found:
            yield ""


def _ask(value: Any) -> Any:
    if isinstance(value, Unloaded):
        return NotImplemented
    kept = unbuilt(value)
    if kept is None:
        return NotImplemented
    if kept.member:
        return kept.member
    if class_of(kept.content) is dict:
        return jsonable(kept.content, exact=True, ask=_ask)
    return NotImplemented


Back = Callable[[Line], dict[str, Any]]
"""Writes a line in memory and reads it back, as an object of JSON."""


def checked(
    pairs: Pairs, classes: Classes, back: Back, losses: Losses, told: Told, total: int
) -> int:
    """Look at all lines before one is written; give how many there are.

    Raises:
        CannotHoldError: One of them would not come back.
    """
    count = 0
    for key, value in pairs():
        line = classes.line(key, value)
        # Without its class it is read as the dict of its fields, which says nothing.
        is_known = not line.keyname or bool(classes.shapes(line.keyname))
        try:
            tree = back(line)
            got_key, got = pair_of(tree, classes, 1) if is_known else (tree[KEY], value)
        except (UnstorableError, ModelLoadError) as error:
            losses.note(_in(line, error.path), _why(error))
        else:
            if not classes.same(key, got_key):
                losses.note(line.path, f"a key of type {type(key).__name__}")
            for name in classes.differing(line, got) if is_known else ():
                item = (
                    line.value if not name or line.fields is None else line.fields[name]
                )
                where = line.path + (field_step(name) if name else "")
                losses.note(where, f"a value of type {type(item).__name__}")
        count += 1
        if told is not None and count % 1000 == 0:
            told(count, max(total, count))
    losses.refuse()
    return count


def _in(line: Line, path: str) -> str:
    return path if path.startswith(line.path) else line.path + path.removeprefix("$")


def _why(error: LocatedError) -> str:
    """Return the cause without the place, so that the same ones are counted as one."""
    text = str(error)
    return text.partition(" as JSON: ")[2] or text.partition(": ")[2] or text


def pair_of(
    tree: Any, classes: Classes, number: int, cls: Any = None, key: str = ""
) -> tuple[Any, Any]:
    """Return the key and record of an object of JSON.

    Raises:
        ModelLoadError: It is none, or does not fit its class.
    """
    path = f"line {number}"
    if class_of(tree) is not dict:
        msg = f"{path}: expected an object, found another value"
        raise ModelLoadError(msg, path)
    fields: dict[str, Any] = dict(tree)
    found = _key_in(fields, key, number)
    path = f"line {number}, $[{found!r}]"
    keyname = fields.pop(CLASS, "") or ""
    if VALUE in fields and len(fields) == 1:
        value = fields[VALUE]
        return found, value if cls is None else classes.reader(cls).read(value, path)
    return found, classes.record(str(keyname), fields, path, cls)


def _key_in(fields: dict[str, Any], key: str, number: int) -> Any:
    """Take the key out of fields; one that is a field of its own stays."""
    if KEY in fields:
        found = fields.pop(KEY)
        if isinstance(found, (list, dict)):
            msg = f"line {number}: a list or an object cannot be a key"
            raise ModelLoadError(msg, "$")
        return found
    if not key:
        return number
    if key not in fields:
        msg = f"line {number}: there is no {key!r} to be the key"
        raise ModelLoadError(msg, "$")
    return fields[key]
