"""The classes that a codec knows: the builtin ones and those that were registered.

A file holds a *key*, never an import path. It is looked up among the classes that
were registered; a key that is not there, or a value that does not fit its class,
stays the extension value or the list that it is in the file.
"""

import enum
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NoReturn

from msgpack import ExtType, Timestamp

from storify._attributes import beside
from storify.exceptions import DuplicateKeynameError, ModelError

from ._classes import (
    CustomType,
    check_names,
    describe,
    full_name,
    is_replaced,
    refuse_others,
)
from ._containers import (
    CONTAINER_DECODERS,
    CONTAINER_ENCODERS,
    FACTORIES,
    decode_defaultdict,
    encode_defaultdict,
)
from ._ext import MARKERS, Ext, ext, new_tuple
from ._reader import KeptKey
from ._scalars import SCALAR_DECODERS, SCALAR_ENCODERS

__all__ = ["TypeTable"]

Encoder = Callable[[Any], Any]

_CUSTOM: Final = MARKERS[Ext.CUSTOM]
_NAMEDTUPLE: Final = MARKERS[Ext.NAMEDTUPLE]
_ENUM: Final = Ext.ENUM
_NATIVE: Final = (type(None), bool, int, float, str, bytes, bytearray, list, dict)


class TypeTable:
    """Every class that the codec knows by itself, and the hooks that read them.

    Attributes:
        encoders: Exact class to shallow encoder; what it gives is packed further.
        singles: The same for those that give one extension value each time; what
            the user registered otherwise raises a KeyError.
        keys: Registered class to the key that files hold.
        hooked: Classes that are stored by hooks of the user's.

    Args:
        judge: Told of each object that is built of a registered class, but of enums.
    """

    def __init__(self, judge: Callable[[object], object]) -> None:
        self._judge = judge
        self.encoders: dict[type, Encoder] = {**SCALAR_ENCODERS, **CONTAINER_ENCODERS}
        self.singles: dict[type, Encoder] = {**SCALAR_ENCODERS}
        del self.singles[int]  # which the packer writes by itself, mostly
        self.keys: dict[type, str] = {}
        self.hooked: set[type] = set()
        self.encoders[defaultdict] = partial(encode_defaultdict, keys=self.keys)
        self._classes: dict[str, type] = {}
        self._members: dict[bytes, enum.Enum] = {}
        self._named: dict[str, Callable[[Any], object]] = {}
        #: Counts what is kept because it cannot be read here; atomic.
        self.count_kept: Callable[[], int] = itertools.count().__next__
        self._scalars = {**SCALAR_DECODERS, Ext.ENUM: self._decode_enum}
        #: Told of each object that is built of a registered class.
        self._watchers: tuple[Callable[[object], object], ...] = ()
        self._watching = threading.Lock()
        self._containers = {
            **CONTAINER_DECODERS,
            Ext.DEFAULTDICT: self._decode_defaultdict,
            Ext.NAMEDTUPLE: self._decode_named,
            Ext.CUSTOM: self._decode_named,
        }

    def register(
        self, type_: type | CustomType[Any], *, may_replace: bool = False
    ) -> None:
        """Learn a class; the same one twice is fine, and a later `CustomType` holds.

        Args:
            type_: The class.
            may_replace: Whether one of the same module and name as another is that one
                defined again, as in a notebook, and takes its place.

        Raises:
            DuplicateKeynameError: Another class has its key.
            ModelError: A class that needs a `CustomType` to say how it is stored.
        """
        custom = type_ if isinstance(type_, CustomType) else None
        cls: Any = type_ if custom is None else custom.cls
        key = cls.__name__ if custom is None else custom.key
        if custom is None and (cls in _NATIVE or cls in self.encoders):
            return  # it is stored already, perhaps by hooks of the user's
        if cls in _NATIVE or (cls in self.encoders and cls not in self.keys):
            msg = f"cannot register {full_name(cls)}: it is stored exactly already"
            raise ModelError(msg)
        described: CustomType[Any] | None = None
        if (
            custom is None
            and not issubclass(cls, enum.Enum)
            and not _is_namedtuple(cls)
        ):
            described = describe(cls, key)
        other = self._classes.get(key) or FACTORIES.get(key)
        is_again = may_replace and other is not None and is_replaced(other, cls)
        if other is not None and other is not cls and not is_again:
            msg = (
                f"type key {key!r} is claimed by both {full_name(other)} and"
                f" {full_name(cls)}; give one of them CustomType(..., key=...)"
            )
            raise DuplicateKeynameError(msg)
        if "\0" in key:
            msg = f"cannot register {full_name(cls)}: its key holds a NUL"
            raise ModelError(msg)
        if custom is not None:
            self._add_custom(custom)
            self.hooked.add(cls)
        elif issubclass(cls, enum.Enum):
            self._add_enum(cls, key)
        elif _is_namedtuple(cls):
            self._add_namedtuple(cls, key)
        elif described is not None:
            self._add_custom(described)
        self.keys[cls] = key
        self._classes[key] = cls

    def decode_ext(self, code: int, data: bytes) -> object:
        """Read an extension value: the ``ext_hook``.

        A marker stays a marker, for `decode_list` to see.
        """
        if code == _ENUM:  # the usual one in records: three calls less
            member = self._members.get(data)
            if member is not None:
                return member
        if not data and (marker := MARKERS.get(code)) is not None:
            return marker
        decoder = self._scalars.get(code)
        if decoder is None:
            self.count_kept()
            return ext(code, data)
        try:
            return decoder(data)
        except (MemoryError, RecursionError):
            raise
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is kept
            self.count_kept()
            return ext(code, data)

    def decode_list(self, items: list[Any]) -> object:
        """Build the container that a marker announces: the ``list_hook``."""
        if not items or type(first := items[0]) is not ExtType or first[1]:
            return items
        decoder = self._containers.get(first[0])
        if decoder is None:
            self.count_kept()
            return items
        try:
            return decoder(items)
        except (MemoryError, RecursionError):
            raise
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is kept
            self.count_kept()
            return items

    def kept(self, value: object) -> str | None:
        """Tell what kept *value* from being read.

        Returns:
            The key of its class, if that is not registered; "" for another reason;
            None for a value that was read.
        """
        if isinstance(value, KeptKey):
            return self.kept(value.tree) or ""
        if isinstance(value, Timestamp):
            return ""
        items: list[Any] = value if type(value) is list else [value]  # pyright: ignore[reportUnknownVariableType] # of any
        first = items[0] if items else None
        if type(first) is not ExtType or (items is value and first.data):
            return None
        key: object = ""
        if items is not value and first.code == Ext.ENUM:
            key = first.data.partition(b"\0")[0].decode("utf-8", "replace")
        elif len(items) > 1 and first.code in {Ext.NAMEDTUPLE, Ext.CUSTOM}:
            key = items[1]
        return key if isinstance(key, str) and key not in self._classes else ""

    # --- enums -----------------------------------------------------------------
    def _add_enum(self, cls: type[enum.Enum], key: str) -> None:
        tag = key.encode() + b"\0"
        if issubclass(cls, enum.Flag):
            encode = self.encoders[cls] = partial(_encode_flag, tag + b"=")
            self.singles[cls] = encode
            return
        written = {
            name: ext(Ext.ENUM, tag + b"." + name.encode("utf-8", "surrogatepass"))
            for name in cls.__members__
        }
        self._members |= {
            written[name].data: member for name, member in cls.__members__.items()
        }
        encode_member: Encoder = lambda member: written[  # noqa: E731 - typed
            member._name_
        ]  # five times as fast as .name
        self.encoders[cls] = self.singles[cls] = encode_member

    def _decode_enum(self, data: bytes) -> enum.Enum:
        key, _, rest = data.partition(b"\0")
        cls = self._classes[key.decode()]
        if rest[:1] != b"=" or not issubclass(cls, enum.Flag):
            msg = f"{cls.__name__} has no such member"
            raise ValueError(msg)
        value = int.from_bytes(rest[1:], "big", signed=True)
        flag = cls(value)
        if flag.value != value:  # a boundary that drops the bits it does not know
            msg = f"{cls.__name__} has no such flags"
            raise ValueError(msg)
        return flag

    # --- classes that hold something --------------------------------------------
    def _add_namedtuple(self, cls: Any, key: str) -> None:
        names: tuple[str, ...] = cls._fields
        defaults: dict[str, Any] = cls._field_defaults
        others = beside(cls, names)

        def encode(value: Any) -> list[Any]:
            refuse_others(cls, others(value))
            return [_NAMEDTUPLE, key, dict(zip(names, value, strict=True))]

        def decode(fields: dict[str, Any]) -> object:
            check_names(fields, names)
            values = [fields[n] if n in fields else defaults[n] for n in names]
            made: object = new_tuple(cls, values)
            return made

        self.encoders[cls] = encode
        self._named[key] = decode

    def _add_custom(self, custom: CustomType[Any]) -> None:
        key, inner = custom.key, custom.encode
        self.singles[custom.cls] = _refuse
        self.encoders[custom.cls] = lambda value: [_CUSTOM, key, inner(value)]
        self._named[key] = custom.decode

    def _decode_named(self, items: list[Any]) -> object:
        _, key, value = items
        made = self._named[key](value)
        self._judge(made)
        for note in self._watchers:
            note(made)
        return made

    @contextmanager
    def watch(self, note: Callable[[object], object]) -> Generator[None]:
        """Have *note* called with each object of a registered class, but of enums.

        With what any thread decodes meanwhile, also by way of trial.
        """
        with self._watching:
            self._watchers = (*self._watchers, note)
        try:
            yield
        finally:
            with self._watching:
                self._watchers = tuple(w for w in self._watchers if w is not note)

    def _decode_defaultdict(self, items: list[Any]) -> object:
        return decode_defaultdict(items, self._classes.__getitem__)


def _refuse(_: object) -> NoReturn:
    raise KeyError


def _is_namedtuple(cls: Any) -> bool:
    return "_fields" in dir(cls) and issubclass(cls, tuple)


def _encode_flag(tag: bytes, value: enum.Flag) -> ExtType:
    number: int = value.value
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return ext(Ext.ENUM, tag + number.to_bytes(size, "big", signed=True))
