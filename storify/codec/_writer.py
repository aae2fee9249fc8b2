"""Values to bytes: by the C packer and checks of what it made, or by hand.

The packer asks ``default`` for each object that it does not know. After that its
bytes are scanned, at the speed of memory, for what it cannot tell apart:

* a plain dict that looks like a record: the tags in the bytes are counted and
  compared with the records that were written;
* a bytearray or memoryview, which it writes as bytes: looked for in the values
  whose bytes hold one that can begin binary data;
* a list that another thread changed while ``default`` ran;
* too deep nesting, which the reader would refuse.

What that cannot settle is written value by value, with the path at hand.
"""

import enum
import re
import sys
from _thread import LockType
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, compress, repeat
from operator import is_
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final, cast

from msgpack import ExtType, Packer, Timestamp

from storify.exceptions import ModelError, UnstorableError

from ._builtin import (
    MARKERS,
    SCALAR_ENCODERS,
    Ext,
    encode_bytearray,
    encode_int,
    encode_text,
    sort_plainly,
)
from ._frames import (
    MAX_DEPTH,
    array_header,
    check_joined,
    is_deep,
    map_header,
)
from ._types import describe

# --- by the packer -------------------------------------------------------------
#
# A writer may be used by one call at a time; the codec keeps a pool of them.

_BUFFERS: Final[frozenset[type]] = frozenset({bytearray, memoryview})
_HOLDERS: Final[frozenset[type]] = frozenset({dict, list})
# Looked for as numbers: `b"\x81" in` costs ten times as much.
_ONE_KEY: Final = 0x81
_BIN_8: Final = 0xC4
_BIN_16: Final = 0xC5
_BIN_32: Final = 0xC6
_NATIVE: Final = {type(None), bool, int, float, str, bytes, ExtType, Timestamp}
_SCALARS: Final = _NATIVE | SCALAR_ENCODERS.keys()
#: What the walk for buffers needs no encoder for.
_PLAIN: Final = _SCALARS | _HOLDERS

Encoder = Callable[[Any], Any]
Unstructure = Callable[[Any], dict[str, Any] | None]


def _nothing(_: object) -> None:
    return None


def holds_buffer(
    roots: Iterable[object],
    lower: Callable[[object], object] = _nothing,
    *,
    is_native: bool = False,
) -> bool:
    """Tell whether a bytearray or memoryview lies anywhere in *roots*.

    Level by level at C speed: 0.05-0.2 us a value, where a walk in Python
    takes ten times as long. Only exact dicts and lists are gone into: an object
    of another kind leads to its class, and from there to everything. *lower*
    gives what is written for such an object; *is_native* says that there is none, in
    keys neither.
    """
    items: Sequence[object] = list(roots)
    kinds = set(map(type, items))
    while not kinds <= _SCALARS:
        if kinds & _BUFFERS:
            return True
        if not kinds <= _PLAIN:
            items = [item for item in items if type(item) not in _SCALARS]
            items = [i if type(i) in _HOLDERS else lower(i) for i in items]
            kinds = set(map(type, items))
        lists, dicts = _of_kind(list, items, kinds), _of_kind(dict, items, kinds)
        # Many dicts have the same few keys, and nothing but a text is equal to one.
        keys = () if is_native and _has_text_keys(dicts) else dicts
        kinds = set(map(type, _inside(lists, dicts, keys)))
        # The lowest level is the largest; there is no need to hold it.
        items = [] if kinds <= _SCALARS else list(_inside(lists, dicts, keys))
    return False


def _has_text_keys(dicts: Sequence[dict[object, object]]) -> bool:
    return {str}.issuperset(map(type, set[object]().union(*dicts)))


def _inside(
    lists: Sequence[list[object]],
    dicts: Sequence[dict[object, object]],
    keys: Iterable[Iterable[object]],
) -> Iterator[object]:
    """Iterate over items, *keys* and values of exact lists and dicts, all of it in C.

    Not gc.get_referents(): since Python 3.13 it skips what an object's own
    ``__dict__`` holds.
    """
    values_of: Callable[[Any], Iterable[object]] = cast("Any", dict).values
    return chain(
        chain.from_iterable(lists),
        chain.from_iterable(keys),
        chain.from_iterable(map(values_of, dicts)),
    )


def _of_kind(kind: type, items: Sequence[Any], kinds: set[type]) -> Sequence[Any]:
    """Return the items of a type, of which *kinds* are there."""
    if kind not in kinds:
        return ()
    if len(kinds) == 1:
        return items
    return list(compress(items, map(is_, map(type, items), repeat(kind))))


# What follows the key of a wrapper: a map, or an array that is read as a dict.
_TAG_TAIL: Final = (
    rb"(?=[\x80-\x8f\xde\xdf]|[\x90-\x9f]\xc7\x00|\xdc..\xc7\x00|\xdd.{4}\xc7\x00)"
)


# Patterns are compiled when first needed, and kept short: one that tells all of this
# by itself takes a program 5 ms, which is more than all else that it does at its start.
@cache
def _key_pattern(header: bytes) -> re.Pattern[bytes]:
    """Match *header* where a text of any length follows.

    One for each header, as a pattern that begins with a choice is five times slower.
    """
    return re.compile(re.escape(header) + rb"(?=[\xa0-\xbf\xd9-\xdb])", re.DOTALL)


@cache
def _tail_pattern() -> re.Pattern[bytes]:
    return re.compile(_TAG_TAIL, re.DOTALL)


# A map of one pair, as msgpack writes it and as others may.
_HEADERS: Final = (b"\x81", b"\xde\x00\x01", b"\xdf\x00\x00\x00\x01")
# A text whose length is in its first byte.
_SHORT_TEXT: Final = 0xA0
# How most maps begin.
_MAPS: Final = frozenset(bytes((head,)) for head in range(0x80, 0x90))
_LONG_TEXT: Final = 0xD9


def find_wrappers(payload: bytes) -> Iterator[int]:
    """Return where a map begins that may be a wrapper of any key, in any form.

    It may also be other bytes that look so, as some in floats and texts do.
    """
    for header in _HEADERS:
        if payload.find(header) >= 0:
            for match in _key_pattern(header).finditer(payload):
                at = match.end()
                head = payload[at]
                if head >= _LONG_TEXT or _is_map(payload, at + 1 + head - _SHORT_TEXT):
                    yield match.start()


def _is_map(payload: bytes, at: int) -> bool:
    """Tell whether a map, or an array that is read as a dict, begins there."""
    return (
        payload[at : at + 1] in _MAPS or _tail_pattern().match(payload, at) is not None
    )


def rough_tag_pattern(packed_keys: Iterable[bytes]) -> re.Pattern[bytes]:
    """Match wherever `tag_pattern` does, and where no map follows the key.

    It is compiled in a tenth of the time.
    """
    known = b"".join(b"|" + re.escape(key) for key in packed_keys)
    heads = rb"(?:[\xa2-\xbf]|\xd9.|\xda..|\xdb.{4})__"
    return re.compile(rb"\x81(?=%s%s)" % (heads, known), re.DOTALL)


def tag_pattern(packed_keys: Iterable[bytes]) -> re.Pattern[bytes]:
    """Match where a one-key map begins whose key is a tag: ``__...`` or one of these.

    The shorter tags are matched to their end, to see that a map follows. That
    the longer ones are not only makes for a few look-alikes too many.
    """
    short = (rb"\x%x__.{%d}" % (0xA0 | size, size - 2) for size in range(2, 32))
    known = map(re.escape, packed_keys)
    tags = b"|".join(key + _TAG_TAIL for key in (*short, *known))
    return re.compile(rb"\x81(?:%s|(?:\xd9.|\xda..|\xdb.{4})__)" % tags, re.DOTALL)


class Writer:
    """Packs values and vouches for the bytes. What it is given is live, as of `Codec`.

    Attributes:
        was_asked: Whether the packer met anything that it does not write by itself.
    """

    def __init__(
        self,
        encoders: Mapping[type, Encoder],
        find: Callable[[type], Encoder | None],
        wraps: Mapping[type, Unstructure],
        unstructure: Unstructure,
    ) -> None:
        self._records = 0
        self.was_asked: bool = False
        encoder_of, wrap_of = encoders.get, wraps.get

        # Each call here is a tenth of what a small record costs. So the records
        # are only counted: to keep what is made for them costs a third more.
        def default(value: object) -> object:
            kind = type(value)
            encoder = encoder_of(kind)
            if encoder is not None:
                self.was_asked = True
                return encoder(value)
            wrap = wrap_of(kind)
            if wrap is None:
                if (encoder := find(kind)) is not None:
                    self.was_asked = True
                    return encoder(value)
                wrap = unstructure
            wrapper = wrap(value)
            if wrapper is None:
                msg = "unknown type"  # the careful encoder says it with the path
                raise UnstorableError(msg)
            self._records += 1
            self.was_asked = True
            return wrapper

        self._lower = default
        # Without strict_types, a subclass would silently become its base.
        self.pack = Packer(strict_types=True, default=default).pack
        # For trees all of whose datetimes are in UTC: it would shift any other.
        native = Packer(strict_types=True, default=default, datetime=True)
        self.pack_lowered = native.pack

    def reset(self) -> None:
        """Forget what was packed, before the next call."""
        self._records = 0
        self.was_asked = False

    def looks_plain(self, blob: bytes) -> bool:
        """Tell at once that one small value needs none of the checks of `doubt`."""
        return (
            not self.was_asked
            and len(blob) < MAX_DEPTH
            and _ONE_KEY not in blob
            and _BIN_8 not in blob
            and _BIN_16 not in blob
            and _BIN_32 not in blob
        )

    def doubt(
        self,
        values: Sequence[object],
        blobs: Sequence[bytes],
        room: int,
        holds_only: Callable[[bytes, int], bool],
        *,
        is_plain: bool,
    ) -> Iterable[int]:
        """Return the indices of the *blobs* that may not read back as their *values*.

        *room* is how deep each may be. *holds_only* tells whether so many records begin in
        some bytes, and nothing else that looks like one. *is_plain* tells that there is
        no buffer in them, and nothing too deep.

        Raises:
            RuntimeError: Another thread changed a list meanwhile; try again.
        """
        joined = b"".join(blobs)
        if self.was_asked and not check_joined(joined, blobs):
            msg = "list changed size during iteration"
            raise RuntimeError(msg)
        may_hold = self._records > 0 or _ONE_KEY in joined
        if may_hold and not holds_only(joined, self._records):
            return range(len(blobs))
        doubtful: list[int] = []
        if is_plain:
            return doubtful
        # Written out: a generator would cost more than the search.
        if _BIN_8 in joined or _BIN_16 in joined or _BIN_32 in joined:
            doubtful = [
                index
                for index, blob in enumerate(blobs)
                if _BIN_8 in blob or _BIN_16 in blob or _BIN_32 in blob
            ]
            if not holds_buffer(
                (values[index] for index in doubtful),
                self._lower,
                is_native=not self.was_asked,
            ):
                doubtful = []  # mostly a byte inside a float
        if max(map(len, blobs)) > room:
            sizes = enumerate(blobs)
            doubtful += [i for i, b in sizes if len(b) > room and is_deep(b, room)]
        return doubtful


# --- where a value is, as error messages show it: ``$['a'][0].age`` ------------

Path = tuple["Path | str", str]
"""A parent (or the path of the whole value) and the step from there."""

_KEY_CHARS: Final = 60
_SHOWN_CHARS: Final = 200


def key_step(key: object) -> str:
    """Show a dict key; a key tells where a value is, so it is not kept secret."""
    try:
        text = repr(key)
    except Exception:  # noqa: BLE001 - a repr may fail, as that of a huge int does
        text = f"<{type(key).__qualname__}>"
    if len(text) > _KEY_CHARS:
        text = text[: _KEY_CHARS - 3] + "..."
    return f"[{text}]"


def render(path: Path | str) -> str:
    """Write a path out, root first."""
    steps: list[str] = []
    while not isinstance(path, str):
        path, step = path
        steps.append(step)
    steps.append(path)
    return "".join(reversed(steps))


def short(path: str) -> str:
    """Cut the middle out of a path that nobody would read to its end."""
    if len(path) <= _SHOWN_CHARS:
        return path
    return f"{path[: _SHOWN_CHARS // 2]} ... {path[-_SHOWN_CHARS // 2 :]}"


# --- by hand -------------------------------------------------------------------
#
# It is asked for look-alikes of records, strings with lone surrogates, bytearrays,
# and whenever something could not be written: it knows the path. It gives the same
# bytes as the packer for all else. It is iterative, because data may nest as deep
# as half of Python's recursion limit, and 55 to 90 times slower than the packer.

SETS: Final[dict[type, int]] = {set: Ext.SET, frozenset: Ext.FROZENSET}

#: What the packer takes, or an extension value that stands for it.
_PACKED: Final = frozenset({*_NATIVE, bytearray})
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

    *is_tag* tells whether a key would make a one-key dict look like a record.
    """

    def __init__(
        self,
        find: Callable[[type], Encoder | None],
        unstructure: Callable[[object], dict[str, Any] | None],
        is_tag: Callable[[object], bool],
    ) -> None:
        self._find = find
        self._unstructure = unstructure
        self._is_tag = is_tag

    def encode(self, value: object, path: str, room: int = MAX_DEPTH) -> bytes:
        """Encode *value*, which stands at *path* and may nest *room* containers."""
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
        if kind in _PACKED:
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
        if kind is list or kind in _PACKED or self._find(kind):
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
        encoder = self._find(kind)
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
