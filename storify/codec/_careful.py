"""Writing value by value, for what one call of the C packer cannot settle.

It is asked for look-alikes of records, strings with lone surrogates, bytearrays,
and whenever something could not be written: it knows the path. It gives the same
bytes as the packer for all else. It is iterative, because data may nest as deep
as half of Python's recursion limit, and 55 to 90 times slower than the packer.
"""

import enum
import sys
from _thread import LockType
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from msgpack import ExtType, Packer, Timestamp

from storify.exceptions import ModelError, UnstorableError

from ._classes import describe
from ._containers import sort_plainly
from ._ext import MARKERS, Ext
from ._frames import MAX_DEPTH, array_header, map_header
from ._paths import Path, key_step, render, short
from ._scalars import encode_bytearray, encode_int, encode_text

__all__ = ["SETS", "CarefulEncoder", "refusal"]

SETS: Final[dict[type, int]] = {set: Ext.SET, frozenset: Ext.FROZENSET}

_SCALARS: Final[frozenset[type]] = frozenset(
    {type(None), bool, int, float, str, bytes, bytearray, ExtType, Timestamp}
)
_RECORDS: Final = frozenset({Ext.NAMEDTUPLE, Ext.CUSTOM})
_ESCAPED: Final = MARKERS[Ext.ESCAPED]
# The first item of a tuple stands behind its marker; a deque has maxlen too.
_FIRST_ITEM: Final = {Ext.TUPLE: 1, Ext.DEQUE: 2}

_Child = tuple[str, object]


class _Frame:
    """A container being written: what is still to come, and the parts so far."""

    __slots__ = ("children", "head", "is_sorted", "owner", "parts", "path")

    def __init__(
        self, owner: object, path: Path | str, head: bytes, children: Iterable[_Child]
    ) -> None:
        self.owner = owner  # keeps it alive, so that its id stays its own
        self.path = path
        self.head = head
        self.children = iter(children)
        self.parts: list[bytes] = []
        self.is_sorted = False

    def close(self) -> bytes:
        if self.is_sorted:
            self.parts[1:] = sorted(self.parts[1:])  # the marker stays first
        return self.head + b"".join(self.parts)


class CarefulEncoder:
    """Encodes one value after the other, by hand.

    Args:
        encoders: Exact class to shallow encoder.
        unstructure: Gives the wrapper of a record, or None.
        is_tag: Tells whether a key would make a one-key dict look like a record.
    """

    def __init__(
        self,
        encoders: dict[type, Callable[[Any], Any]],
        unstructure: Callable[[object], dict[str, Any] | None],
        is_tag: Callable[[object], bool],
    ) -> None:
        self._encoders = encoders
        self._unstructure = unstructure
        self._is_tag = is_tag

    def encode(self, value: object, path: str, room: int = MAX_DEPTH) -> bytes:
        """Encode *value*, which may nest *room* containers.

        Raises:
            UnstorableError: With the path, which begins with *path*.
        """
        pack = Packer(strict_types=True).pack  # not shared: sets call encode() inside
        frames: list[_Frame] = []
        open_ids: set[int] = set()
        made = self._open(value, path, pack)
        while True:
            if isinstance(made, _Frame):
                if id(made.owner) in open_ids:
                    msg = "the value contains itself; store a key in its place"
                    raise _error(msg, made.path)
                if len(frames) == room:
                    msg = f"more than {MAX_DEPTH} containers in one another; nest less"
                    raise _error(msg, made.path)
                frames.append(made)
                open_ids.add(id(made.owner))
            elif frames:
                frames[-1].parts.append(made)
            else:
                return made
            frame = frames[-1]
            child = next(frame.children, None)
            if child is None:
                made = frame.close()
                frames.pop()
                open_ids.discard(id(frame.owner))
            else:
                step, item = child
                made = self._open(
                    item, (frame.path, step) if step else frame.path, pack
                )

    def sort(self, items: set[Any] | frozenset[Any]) -> list[Any]:
        """Sort any storable items, so that equal sets are equal bytes."""
        plain = sort_plainly(items)
        if plain is not None:
            return plain
        return sorted(items, key=lambda item: self.encode(item, "$"))

    def _open(
        self, value: Any, path: Path | str, pack: Callable[[object], bytes]
    ) -> bytes | _Frame:
        """Return the bytes of a scalar, or the frame of a container."""
        kind = _type_of(value)
        if kind in _SCALARS:
            return pack(_as_scalar(value))
        if kind is dict:
            return self._open_dict(value, path, key_step)
        if kind is _Fields:
            return self._open_dict(value.fields, path, _field_step)
        if kind is list:
            # A copy, so that the header holds whatever other threads do.
            items = list(value)
            steps = ((f"[{index}]", item) for index, item in enumerate(items))
            return _Frame(value, path, array_header(len(items)), steps)
        if kind in SETS:
            return self._open_set(value, path)
        return self._open_other(value, path, pack)

    def _open_dict(
        self, value: dict[Any, Any], path: Path | str, step: Callable[[object], str]
    ) -> _Frame:
        pairs = list(value.items())
        if len(pairs) == 1:
            ((key, item),) = pairs
            if self._is_tag(key) and self._is_map(item):
                escaped: list[_Child] = [("", _ESCAPED), ("", key), (step(key), item)]
                return _Frame(value, path, array_header(len(escaped)), escaped)
        children = ((step(pair[0]), part) for pair in pairs for part in pair)
        return _Frame(value, path, map_header(len(pairs)), children)

    def _is_map(self, value: object) -> bool:
        """Tell whether *value* is read back as a dict, or as a record from one."""
        if isinstance(value, dict):
            return True
        kind = type(value)
        if kind is list or kind in _SCALARS or kind in self._encoders:
            return False
        return self._unstructure(value) is not None

    def _open_set(self, value: set[Any] | frozenset[Any], path: Path | str) -> _Frame:
        plain = sort_plainly(value)
        children: list[_Child] = [("", MARKERS[SETS[type(value)]])]
        children += [("{...}", item) for item in (value if plain is None else plain)]
        frame = _Frame(value, path, array_header(len(children)), children)
        frame.is_sorted = plain is None
        return frame

    def _open_other(
        self, value: Any, path: Path | str, pack: Callable[[object], bytes]
    ) -> bytes | _Frame:
        kind = _type_of(value)
        encoder = self._encoders.get(kind)
        if encoder is None:
            return self._open_record(value, path)
        made = _ask(encoder, value, path)
        if made.__class__ is not list:
            return self._open(made, path, pack)
        children = list(_name_children(value, made))
        return _Frame(value, path, array_header(len(made)), children)

    def _open_record(self, value: object, path: Path | str) -> _Frame:
        wrapper = _ask(self._unstructure, value, path)
        if wrapper is None:
            raise _error(refusal(value), path)
        ((key, fields),) = wrapper.items()
        children: list[_Child] = [("", key), ("", _as_fields(fields))]
        return _Frame(value, path, map_header(1), children)


def _ask(open_: Callable[[Any], Any], value: object, path: Path | str) -> Any:
    """Take an object apart; what its own code raises names the place."""
    try:
        return open_(value)
    except UnstorableError as error:
        raise _error(str(error), (path, error.path.removeprefix("$"))) from error
    except Exception as error:
        error.add_note(f"while storing {short(render(path))}")
        raise


def _type_of(value: object) -> type:
    return type(value)


def _as_scalar(value: Any) -> Any:
    """Return *value*, or the extension value that stands for it."""
    if type(value) is str and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return encode_text(value)
    elif type(value) is int and not -(1 << 63) <= value < 1 << 64:
        return encode_int(value)
    elif type(value) is bytearray:
        return encode_bytearray(value)
    return value


class _Fields:
    """A dict whose keys are attributes of an object, for the path's sake."""

    __slots__ = ("fields",)

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields


def _as_fields(value: object) -> object:
    return _Fields(value) if type(value) is dict else value  # pyright: ignore[reportUnknownArgumentType] # of any keys


def _field_step(key: object) -> str:
    return f".{key}" if type(key) is str else key_step(key)


def _name_children(owner: object, made: list[Any]) -> Iterator[_Child]:
    """Say how the path goes on to each item of an array led by a marker."""
    code = made[0].code if made and type(made[0]) is ExtType else None
    first = None if code is None else _FIRST_ITEM.get(code)
    for index, item in enumerate(made):
        if first is not None and index >= first:
            yield f"[{index - first}]", item
        elif code in _RECORDS and not isinstance(owner, dict):
            yield "", _as_fields(item)
        else:
            yield "", item


def refusal(value: object) -> str:
    """Say why *value* is not stored, and what to do about it."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind is memoryview:
        return "a memoryview would be read back as bytes; store bytes(view)"
    if isinstance(value, (type, *_CODE)) or hasattr(kind, "__next__"):
        return f"a {name} is no data; store what it is made from"
    base = next((base for base in kind.__mro__ if base in _SUBCLASSED), None)
    types = f"Storify(types=[{kind.__name__}])" if _is_registrable(kind) else ""
    custom = f"Storify(types=[CustomType({kind.__name__}, encode, decode)])"
    if base is not None:
        return (
            f"a {name} would be read back as {base.__name__}; pass the class as"
            f" {types or custom}, or store {base.__name__}(value)"
        )
    if types:
        remedy = (
            f"make its class a Model, or pass it as {types} or as a CustomType of it"
        )
    elif hasattr(value, "dtype") and hasattr(value, "tolist"):
        remedy = f"store value.tolist(), or pass {custom}"
    elif (
        kind.__flags__ & _HEAP_TYPE
        and kind.__module__.partition(".")[0] not in _FOREIGN
    ):
        remedy = f"make its class a Model, or pass {custom}"
    else:
        remedy = f"pass {custom}, or store what it is made from"
    return f"nothing says how a {name} is stored; {remedy}"


def _is_registrable(cls: type[Any]) -> bool:
    """Tell whether the class alone says how its objects are stored."""
    if issubclass(cls, enum.Enum) or hasattr(cls, "_fields"):
        return True
    try:
        describe(cls, cls.__name__)
    except ModelError:
        return False
    return True


_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class statement made it, mostly
_FOREIGN: Final = sys.stdlib_module_names - {"__main__"}


_CODE: Final = (FunctionType, BuiltinFunctionType, MethodType, ModuleType, LockType)


def _error(message: str, path: Path | str) -> UnstorableError:
    where = render(path)
    return UnstorableError(f"cannot store {short(where)}: {message}", where)


_SUBCLASSED: Final = (
    *(str, int, float, complex, bytes, bytearray, list, tuple, dict),
    *(set, frozenset),
)
