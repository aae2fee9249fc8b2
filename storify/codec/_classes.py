"""How objects of a registered class are taken apart, and rebuilt without their code.

Neither ``__init__`` nor ``__new__`` of the class runs: what is stored is the
state, and running a constructor on it a second time could change or refuse it.
"""

import dataclasses
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import PurePath
from typing import Any, Final, Generic, TypeVar

from storify._attributes import beside
from storify.exceptions import ModelError, UnstorableError

__all__ = [
    "CustomType",
    "check_names",
    "describe",
    "full_name",
    "is_replaced",
    "refuse_others",
]

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class CustomType(Generic[T]):
    """How values of one class are written and read.

    Attributes:
        cls: The class; its subclasses are not included.
        encode: Gives a storable value that holds all of an object.
        decode: Builds the object from it. What it raises means that the stored
            value does not fit: it is then kept as it is.
        key: The tag in files, by default the class's ``__name__``.
    """

    cls: type[T]
    encode: Callable[[T], Any]
    decode: Callable[[Any], T]
    key: str = ""

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.cls.__name__)


def full_name(cls: type) -> str:
    """Name a class for a message."""
    return f"{cls.__module__}.{cls.__qualname__}"


def is_replaced(old: type, new: type) -> bool:
    """Tell whether *new* is *old* defined again, as in a notebook.

    It has the same name in the same module, where *old* has it no more.
    """
    if full_name(old) != full_name(new):
        return False
    found: Any = sys.modules.get(old.__module__)
    for name in old.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is not old


def check_names(fields: dict[str, Any], known: Iterable[str]) -> None:
    """Refuse fields that the class lacks: building it would lose them."""
    if fields.keys() - known:
        msg = "unknown fields"
        raise ValueError(msg)


def refuse_others(cls: type, names: Iterable[str]) -> None:
    """Refuse an object of *cls* that has attributes beside its fields.

    Raises:
        UnstorableError: There are *names*; they would not come back.
    """
    for name in names:
        msg = (
            f"a {full_name(cls)} has the attribute {name!r}, which is no field of it,"
            " so it would not come back; make it a field, begin its name with an"
            " underscore, or register CustomType(cls, encode, decode) in"
            " Storify(types=[...])"
        )
        raise UnstorableError(msg, f"$.{name}")


def describe(cls: type, key: str) -> CustomType[Any]:
    """Find out how *cls* is stored.

    Raises:
        ModelError: Nothing but a `CustomType` could say it.
    """
    if "__attrs_attrs__" in cls.__dict__:
        attributes = cls.__dict__["__attrs_attrs__"]
        return _record(cls, key, [attribute.name for attribute in attributes], {})
    if "__dataclass_fields__" in cls.__dict__:
        record: Any = cls
        fields = dataclasses.fields(record)
        makers: dict[str, Callable[[], Any]] = {}
        for field in fields:
            if field.default is not dataclasses.MISSING:
                makers[field.name] = partial(_same, field.default)
            elif field.default_factory is not dataclasses.MISSING:
                makers[field.name] = field.default_factory
        return _record(cls, key, [field.name for field in fields], makers)
    for base, (copy, build) in _BASES.items():
        if issubclass(cls, base):
            return _subclass(cls, key, base, copy, build)
    msg = (
        f"cannot register {full_name(cls)}: it is no enum, namedtuple, dataclass or"
        " subclass of a builtin; use CustomType(cls, encode, decode)"
    )
    raise ModelError(msg)


def _same(value: T) -> T:
    return value


def _record(
    cls: type, key: str, names: list[str], makers: dict[str, Callable[[], Any]]
) -> CustomType[Any]:
    """Store a class as ``{field: value}``, shallow, with its values live."""
    if not _is_plain(cls):
        msg = (
            f"cannot register {full_name(cls)}: it is a record and a subclass of a"
            " builtin at once; use CustomType(cls, encode, decode)"
        )
        raise ModelError(msg)
    known = frozenset(names)
    others = beside(cls, names)

    def encode(value: object) -> dict[str, Any]:
        refuse_others(cls, others(value))
        try:
            return {name: getattr(value, name) for name in names}
        except AttributeError as error:
            name = next((n for n in names if not hasattr(value, n)), error.name)
            msg = (
                f"a {full_name(cls)} lacks its field {name!r}, so it could not be"
                " loaded; set it, or delete the object"
            )
            raise UnstorableError(msg, f"$.{name}") from error

    def decode(fields: dict[str, Any]) -> object:
        check_names(fields, known)
        value: object = _object.__new__(cls)
        for name in names:
            item = fields[name] if name in fields else makers[name]()
            # Also for a frozen class, and past any property or validator.
            object.__setattr__(value, name, item)
        return value

    return CustomType(cls, encode, decode, key)


_object: Any = object


def _is_plain(cls: type) -> bool:
    """Tell whether ``object.__new__`` can make *cls*."""
    return not any(issubclass(cls, base) for base in (*_BASES, type, BaseException))


def _subclass(
    cls: type,
    key: str,
    base: type,
    copy: Callable[[Any], Any],
    build: Callable[[type, Any], Any],
) -> CustomType[Any]:
    """Store a subclass as a value of its base, and rebuild it past its own code."""
    slots = [name for k in cls.__mro__ for name in _slots(k, base)]
    stored: Any = str if base is PurePath else base
    try:
        is_rebuilt = type(build(cls, stored())) is cls
    except Exception:  # noqa: BLE001 - classes made in C refuse the way around them
        is_rebuilt = False
    if not is_rebuilt:
        msg = (
            f"cannot register {full_name(cls)}: it cannot be rebuilt from a"
            f" {stored.__name__}; use CustomType(cls, encode, decode)"
        )
        raise ModelError(msg)

    def encode(value: object) -> object:
        if getattr(value, "__dict__", None) or any(hasattr(value, n) for n in slots):
            msg = (
                f"a {full_name(cls)} with attributes of its own; register"
                " CustomType(cls, encode, decode) for it in Storify(types=[...])"
            )
            raise UnstorableError(msg)
        return copy(value)

    def decode(value: object) -> object:
        if type(value) is not stored:
            msg = f"not a value of {stored.__name__}"
            raise ValueError(msg)
        return build(cls, value)

    return CustomType(cls, encode, decode, key)


def _slots(cls: type, base: type) -> Iterable[str]:
    if issubclass(base, cls) or issubclass(cls, PurePath):
        return ()  # a path's slots are caches of its text
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


# Untyped, so that their methods apply to any items.
_counter: Any = Counter
_default: Any = defaultdict
_deque: Any = deque
_dict: Any = dict
_list: Any = list
_ordered: Any = OrderedDict
_set: Any = set


def _fill(base: Any, fill: Callable[[Any, Any], object]) -> Callable[..., Any]:
    def build(cls: type, value: Any) -> Any:
        made = base.__new__(cls)
        fill(made, value)
        return made

    return build


def _make(base: Any) -> Callable[..., Any]:
    def build(cls: type, value: Any) -> Any:
        return base.__new__(cls, value)

    return build


def _call(cls: type, value: Any) -> Any:
    return cls(value)


def _fill_default(made: Any, value: Any) -> None:
    _default.__init__(made, value.default_factory, value)


def _fill_deque(made: Any, value: Any) -> None:
    _deque.__init__(made, value, value.maxlen)


def _copy_counter(value: Any) -> Any:
    made = _counter()
    _dict.update(made, value)
    return made


_ALL: Final = slice(None)
_tuple: Any = tuple
# Base to (an exact copy in the base, an object of the subclass from it). The
# order matters: a subclass before its own base.
_BASES: Final[dict[type, tuple[Callable[[Any], Any], Callable[..., Any]]]] = {
    OrderedDict: (OrderedDict, _fill(_ordered, _ordered.update)),
    defaultdict: (
        lambda v: _default(v.default_factory, v),
        _fill(_default, _fill_default),
    ),
    Counter: (_copy_counter, _fill(_counter, _dict.update)),
    dict: (_dict.copy, _fill(_dict, _dict.update)),
    list: (_list.copy, _fill(_list, _list.extend)),
    tuple: (lambda v: _tuple.__getitem__(v, _ALL), _make(tuple)),
    set: (lambda v: _set().union(v), _fill(_set, _set.update)),
    frozenset: (frozenset[Any]().union, _make(frozenset)),
    deque: (lambda v: _deque(v, v.maxlen), _fill(_deque, _fill_deque)),
    str: (str.__str__, _make(str)),
    int: (int.__index__, _make(int)),
    float: (float.__float__, _make(float)),
    complex: (complex.__complex__, _make(complex)),
    bytes: (lambda v: bytes.__getitem__(v, _ALL), _make(bytes)),
    bytearray: (bytearray, _fill(bytearray, bytearray.extend)),
    # A path is made by its class alone; there is no state to go around it.
    PurePath: (str, _call),
}
