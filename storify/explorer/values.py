"""A view of values by their bytes, perhaps without their classes.

A record of a class that is not known here is shown as one that is: by its name and its
fields. Nothing is as long as the value: a text is cut, a tree is walked step by step,
and what a terminal or a reader could be misled by, as control and bidi characters, is
written as an escape.
"""

import ast
import datetime as dt
import enum
import re
from collections import deque
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from itertools import islice
from typing import Any, Final, NamedTuple

from storify.codec import KeptKey, unbuilt
from storify.models import Ref, Unloaded
from storify.models.hints import field_step, key_step
from storify.models.options import class_of, is_model
from storify.models.state import stored_fields

__all__ = [
    "MISSING",
    "Fields",
    "Part",
    "PathError",
    "Undecodable",
    "at_path",
    "cell",
    "count_parts",
    "fields_of",
    "is_set",
    "kind_of",
    "literal",
    "one_line",
    "parse_path",
    "parts_of",
    "printable",
    "replaced",
    "shown_name",
]

#: How deep the text of one line goes, and how many bits of a number it shows.
_DEEP: Final = 6
_BITS: Final = 512
_LISTED: Final = (list, tuple, set, frozenset, deque)


def _is(value: Any, *kinds: type[Any]) -> bool:
    """Tell whether a value is of a class, and type checkers nothing."""
    return isinstance(value, kinds)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_listed(value: Any) -> bool:
    return _is(value, *_LISTED) and class_of(value) is not Undecodable


def is_set(value: Any) -> bool:
    """Tell whether the items of a value have no places."""
    return isinstance(value, (set, frozenset))


class _Missing(enum.Enum):
    MISSING = "missing"


MISSING: Final = _Missing.MISSING
"""That there is no value."""


class PathError(ValueError):
    """A path that leads to nothing, or is none."""


class Undecodable(NamedTuple):
    """A record whose bytes stand for nothing here.

    Attributes:
        why: What the codec said.
        size_bytes: How long it is.
    """

    why: str
    size_bytes: int


class Fields(NamedTuple):
    """The parts of an object.

    Attributes:
        name: Its class.
        fields: The values by field, live.
        tag: What names the class on disk; an empty text if that is the value itself.
    """

    name: str
    fields: Mapping[Any, Any]
    tag: str = ""


class Part(NamedTuple):
    """Something in a value: the step that leads to it, as errors write it."""

    step: str
    value: Any


@lru_cache(maxsize=256)
def shown_name(keyname: str) -> str:
    """Return a keyname without what marks it: ``User`` for ``__User__``."""
    inner = keyname.removeprefix("__").removesuffix("__")
    return inner if inner and keyname.startswith("__") else keyname


def fields_of(value: Any) -> Fields | None:
    """Return the fields of an object, whether its class is known here or not."""
    if isinstance(value, Unloaded):
        ((keyname, fields),) = value.items()
        return (
            Fields(shown_name(keyname), fields, keyname) if _is_dict(fields) else None
        )
    if is_model(value):
        return Fields(type(value).__name__, stored_fields(value))
    kept = unbuilt(value)
    if kept is not None:
        if kept.member or not _is_dict(kept.content):
            return None
        return Fields(kept.name, kept.content)
    names = _names_in(class_of(value))
    if names is None:
        return None
    state = {name: getattr(value, name, MISSING) for name in names}
    return Fields(class_of(value).__name__, state)


def _names_in(cls: Any) -> list[str] | None:
    """Return the fields of a class that is stored by them; None of any other."""
    if cls is Undecodable:
        return None
    if hasattr(cls, "__attrs_attrs__"):
        return [each.name for each in cls.__attrs_attrs__]
    if hasattr(cls, "__dataclass_fields__"):
        return list(cls.__dataclass_fields__)
    return list(getattr(cls, "_fields", ())) or None


def kind_of(value: Any) -> str:
    """Return the name of the class of a value, known here or not."""
    if value is None or value is MISSING:
        return "nothing" if value is MISSING else "None"
    if isinstance(value, Undecodable):
        return "undecodable"
    found = fields_of(value)
    if found is not None:
        return found.name
    kept = unbuilt(value)
    return type(value).__name__ if kept is None else kept.name


def count_parts(value: Any) -> int | None:
    """Return how many parts a value has; None for one that has none."""
    found = fields_of(value)
    if found is not None:
        return len(found.fields)
    if isinstance(value, Undecodable) or unbuilt(value) is not None:
        return None
    return len(value) if _is_dict(value) or _is_listed(value) else None


def parts_of(value: Any) -> Iterator[Part]:
    """Iterate over what is in a value, a step at a time."""
    found = fields_of(value)
    if found is not None:
        for name, item in found.fields.items():
            yield Part(field_step(name), item)
    elif count_parts(value) is None:
        return
    elif _is_dict(value):
        for key, item in value.items():
            yield Part(key_step(key), item)
    else:
        unordered = is_set(value)
        for index, item in enumerate(value):
            yield Part("[*]" if unordered else f"[{index}]", item)


# --- paths, as in errors: ``.address.city``, ``['k']``, ``[0]`` -----------------------

_STEP: Final = re.compile(
    r"""\.?(?P<name>[^\W\d]\w*)
      | \[(?P<key>(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\]'"])*)\]""",
    re.VERBOSE,
)


@lru_cache(maxsize=256)
def parse_path(path: str) -> tuple[str, ...]:
    """Part a path into its steps; ``address.city`` is one, too.

    Raises:
        PathError: It is no path.
    """
    steps: list[str] = []
    at = 1 if path.startswith("$") else 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            msg = f"cannot read the path {path!r} from {path[at:]!r} on; write it as .address.city or ['k'][0]"
            raise PathError(msg)
        name = match["name"]
        steps.append(f"[{match['key']}]" if name is None else f".{name}")
        at = match.end()
    return tuple(steps)


@lru_cache(maxsize=256)
def _key_of(step: str) -> Any:
    """Return the key or name that a step is written with; MISSING if it is no literal."""
    if step.startswith("."):
        return step[1:]
    try:
        return ast.literal_eval(step[1:-1])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return MISSING


def _into(value: Any, step: str) -> Any:
    """Return the part of a value behind a step; MISSING if there is none."""
    key = _key_of(step)
    found = fields_of(value)
    mapping: Any = found.fields if found is not None else value
    if found is not None or _is_dict(value):
        try:
            if key in mapping:
                return mapping[key]
        except TypeError:  # a list is no key
            return MISSING
    elif _is_listed(value) and not is_set(value) and type(key) is int:
        return value[key] if -len(value) <= key < len(value) else MISSING
    return next((part.value for part in parts_of(value) if part.step == step), MISSING)


def at_path(value: Any, path: str) -> Any:
    """Return what a path leads to.

    Raises:
        PathError: It leads to nothing; the error names the first step that does.
    """
    done = "$"
    for step in parse_path(path):
        inner = _into(value, step)
        if inner is MISSING:
            there = ", ".join(part.step for part in islice(parts_of(value), 8))
            hint = f"; there is {there}" if there else ""
            msg = f"there is no {step} in {done}, a {kind_of(value)}{hint}"
            raise PathError(msg)
        value, done = inner, done + step
    return value


def replaced(value: Any, path: str, new: Any) -> Any:
    """Return *value* with what a path leads to replaced; *value* may be changed.

    A dict gets a key that it lacks, MISSING takes one away.

    Raises:
        PathError: The path leads to nothing that can be replaced.
    """
    steps = parse_path(path)
    if not steps:
        return new
    *way, last = steps
    holder = at_path(value, "".join(way))
    key = _key_of(last)
    if isinstance(holder, Unloaded):
        ((_, holder),) = holder.items()
    try:
        if _is_dict(holder) or (_is_list(holder) and type(key) is int):
            edit = partial(holder.__setitem__, key, new)
            if new is MISSING:
                edit = partial(holder.__delitem__, key)
        elif is_model(holder) and new is not MISSING and last.startswith("."):
            edit = partial(_assign, holder, key, new)
        else:
            msg = (
                f"cannot change {last} in a {kind_of(holder)}; set the value around it"
            )
            raise PathError(msg)
        edit()
    except (KeyError, IndexError) as error:
        msg = f"there is no {last} in ${''.join(way)}"
        raise PathError(msg) from error
    return value


def _assign(obj: Any, name: str, value: Any) -> None:
    """Set a field, also of a frozen object: it is a copy that nobody else has."""
    object.__setattr__(obj, name, value)


# --- text -----------------------------------------------------------------------------


def printable(text: str) -> str:
    """Return a text with all that is no visible character written as an escape."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(each: str) -> str:
    return repr(each)[1:-1] if ord(each) < 128 else f"\\u{{{ord(each):x}}}"  # noqa: PLR2004 - ASCII


def one_line(value: Any, width: int = 80) -> str:
    """Return a value as one line of at most *width* characters."""
    out = _Line(width)
    out.add(value, _DEEP)
    return out.text()


def cell(value: Any, width: int = 40) -> str:
    """Return a value for a table: a text without its quotes, nothing for no value."""
    if value is MISSING:
        return ""
    if isinstance(value, str):
        return _cut(printable(value[: width + 1]), width)
    return one_line(value, width)


def literal(key: Any) -> str:
    """Return a key as it is written in a path and on a command line."""
    return one_line(key, 200)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


class _Line:
    """A text that ends where it is long enough."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._parts: list[str] = []
        self._length = 0

    def full(self) -> bool:
        return self._length > self._width

    def put(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def text(self) -> str:
        return _cut("".join(self._parts), self._width)

    def add(self, value: Any, deep: int) -> None:
        """Add a value, as far as there is room for it."""
        if self.full():
            return
        if _is(value, Ref):
            self.put(f"→ {value.db}")
            self.put(key_step(value.key))
            return
        found = fields_of(value)
        if deep == 0 and count_parts(value):
            self.put("…")
        elif found is not None:
            self._many(
                f"{found.name}(", found.fields.items(), ")", deep, _pair_of_field
            )
        elif _is_dict(value) and not _is(value, Unloaded):
            self._many("{", value.items(), "}", deep, _pair_of_key)
        elif _is_listed(value) and unbuilt(value) is None:
            kind = class_of(value)
            start, end = _BRACKETS.get(kind, (f"{kind.__name__}([", "])"))
            self._many(start, ((None, each) for each in value), end, deep, None)
        else:
            self.put(_leaf(value, self._width))

    def _many(self, start: str, items: Any, end: str, deep: int, before: Any) -> None:
        self.put(printable(start))
        for number, (key, item) in enumerate(items):
            if self.full():
                return
            if number:
                self.put(", ")
            if before is not None:
                self.put(before(key, self._width))
            self.add(item, deep - 1)
        self.put(end)


_BRACKETS: Final[Mapping[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
}


def _pair_of_field(name: Any, width: int) -> str:
    return (printable(name[:width]) if isinstance(name, str) else repr(name)) + "="


def _pair_of_key(key: Any, width: int) -> str:
    return f"{one_line(key, width)}: "


def _leaf(value: Any, width: int) -> str:  # noqa: C901, PLR0911 - one for each kind
    """Return a value without parts as text, which may be longer than *width*."""
    kept = unbuilt(value)
    if kept is not None and not isinstance(value, KeptKey):
        if kept.member:
            return printable(f"{kept.name}.{kept.member}")
        return printable(kept.name) + f"({one_line(kept.content, width)})"
    match value:
        case enum.Enum():
            return f"{type(value).__name__}.{value.name}"
        case str():
            return printable(repr(value[: width + 1])) + (
                "…" if value[width + 1 :] else ""
            )
        case bytes() | bytearray() if len(value) > width:
            return f"{bytes(value[:width])!r}… {len(value):,} bytes"
        case int() if value.bit_length() > _BITS:
            return f"an int of {value.bit_length():,} bits"
        case dt.datetime():
            return value.isoformat(" ")
        case dt.date() | dt.time():
            return value.isoformat()
        case Undecodable():
            return f"undecodable: {printable(value.why)}, {value.size_bytes:,} bytes"
        case Unloaded() | KeptKey():
            return f"{type(value).__name__}(…)"
        case _:
            try:
                return printable(repr(value))
            except Exception:  # noqa: BLE001 - the class's own code ran
                return f"<{type(value).__name__}>"
