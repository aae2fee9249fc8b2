"""A schema as data: what the classes of a program say about what is stored.

It is kept in a lock file under version control, and compared with the classes of
later (`schema_changes`)::

    {"format": 1,
     "models": {"__User__": {"version": 0, "migrations": 0, "was": [], "dropped": [],
                             "extra": "keep",
                             "fields": {"name": {"type": "str", "default": false}}}},
     "types": {"Color": {"kind": "enum", "members": ["BLUE", "RED"]}}}

Models stand under their keynames, fields under their names on disk. A hand-written
class has no fields here: what it stores is its own code's to say.
"""

import ast
import dataclasses
import enum
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from types import NoneType
from typing import Any, Final, Literal, NamedTuple, NotRequired, TypedDict, cast

import attrs
import cattrs

from .base import Model
from .conform import accepted_classes
from .fields import options_of
from .hints import (
    ITEMS,
    MORE_SCALARS,
    PAIRS,
    SCALARS,
    Anything,
    Instance,
    Items,
    Later,
    OneOf,
    Pairs,
    Parser,
    Record,
    Shape,
    Tuple,
    Union,
    arms_of,
    parts_of,
)
from .options import class_of, class_options, is_model_class
from .registry import Registry

__all__ = [
    "FieldLock",
    "ModelLock",
    "SchemaLock",
    "TypeLock",
    "describe",
    "dump",
    "load",
    "text_of_shape",
    "widens",
]


# --- the text of an annotation, in the words of the file: written, and compared -------
#
# A lock file holds annotations as text, ``list[__Address__] | None``. Models stand in
# it by their keynames, so that a class may be renamed, and the arms of a union in one
# order, so that the text changes only with the meaning.


_TOKEN: Final = re.compile(
    r"""\s*(b?'(?:[^'\\]|\\.)*' | b?"(?:[^"\\]|\\.)*" | [\w.-]+ | .)""", re.VERBOSE
)
_PLAIN_NAME: Final = re.compile(r"[\w.]+")
#: The classes of Python that stand in a text by their own names.
_CLASSES: Final = {
    **{cls.__name__: cls for cls in SCALARS | ITEMS | PAIRS},
    **{
        name: vars(import_module(module))[name]
        for module, names in MORE_SCALARS.items()
        for name in names
    },
}
_LITERAL: Final = "Literal"


# --- writing ----------------------------------------------------------------------


def _ignore(_: object) -> None:
    """The classes in the arguments of a generic class were met before."""


def argument(hint: Any) -> Shape:
    """Return the shape of an argument of a generic model, as in ``Box[int]``."""
    return Parser(_ignore, _ignore).parse(hint)


def text_of_shape(  # noqa: PLR0911 -- one for each shape
    shape: Shape, name_of: Callable[[type], str]
) -> str:
    """Return *shape* as text, with the names of classes that *name_of* gives."""

    def text(inner: Shape) -> str:
        return text_of_shape(inner, name_of)

    match shape:
        case Anything():
            return "Any"
        case Instance(cls, args):
            name = "None" if cls is NoneType else _quoted(name_of(cls))
            return _generic(name, [text(argument(arg)) for arg in args])
        case Union():
            arms = {text(arm) for arm in arms_of(shape)}
            return " | ".join(sorted(arms, key=lambda arm: (arm == "None", arm)))
        case OneOf(values):
            return _generic(_LITERAL, sorted(map(_literal, values)))
        case Items(cls, item):
            return _generic(name_of(cls), [text(item), *["..."] * (cls is tuple)])
        case Tuple(items):
            return _generic("tuple", list(map(text, items)) or ["()"])
        case Pairs(cls, key, value):
            return _generic(name_of(cls), [text(key), text(value)])
        case Record(name) | Later(name):
            return _quoted(name)


def _generic(name: str, args: list[str]) -> str:
    return f"{name}[{', '.join(args)}]" if args else name


def _literal(value: object) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    return repr(value)


def _quoted(name: str) -> str:
    """A keyname may be any text; one that is no name stands in quotes."""
    return name if _PLAIN_NAME.fullmatch(name) else repr(name)


# --- comparing --------------------------------------------------------------------


class _Arm(NamedTuple):
    """A class with its parameters, or one value of a ``Literal``."""

    name: str
    args: "tuple[frozenset[_Arm], ...]" = ()
    is_literal: bool = False


_Arms = frozenset[_Arm]


def widens(old: str, new: str, renamed: Mapping[str, str]) -> bool:
    """Tell whether each value of the type *old* is one of the type *new*, too.

    Both are texts by `text_of_shape`; in them a keyname and what it is *renamed* to are
    the same.

    Raises:
        ValueError: A text that this release does not write.
    """
    return _admits(_Reader(new, renamed).read(), _Reader(old, renamed).read())


def _admits(new: _Arms, old: _Arms) -> bool:
    return all(any(_takes(arm, each) for arm in new) for each in old)


def _takes(new: _Arm, old: _Arm) -> bool:
    if new.name == "Any" or new == old:
        return True
    if old.is_literal or new.is_literal:
        return not new.is_literal and _takes(new, _Arm(_class_of_literal(old.name)))
    return (
        (new.name == old.name or _is_taken_for(old.name, new.name))
        and len(new.args) == len(old.args)
        and all(map(_admits, new.args, old.args))
    )


def _is_taken_for(old: str, new: str) -> bool:
    """Tell whether an object of one class is taken for one of another."""
    if old not in _CLASSES or new not in _CLASSES:
        return False
    return issubclass(_CLASSES[old], accepted_classes(_CLASSES[new]))


def _class_of_literal(text: str) -> str:
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text.rpartition(".")[0]  # the member of an enum
    return "None" if value is None else type(value).__name__


class _Reader:
    """Reads a text of `text_of_shape`, by recursive descent."""

    def __init__(self, text: str, renamed: Mapping[str, str]) -> None:
        self._text = text
        self._renamed = renamed
        self._tokens: list[str] = [*_TOKEN.findall(text), ""]
        self._at = 0

    def read(self) -> _Arms:
        arms = self._union()
        if self._next():
            raise self._error()
        return arms

    def _next(self, *expected: str) -> str:
        token = self._tokens[self._at]
        if expected and token not in expected:
            raise self._error()
        self._at += bool(token)
        return token

    def _error(self) -> ValueError:
        msg = (
            f"cannot read the type {self._text!r} of a schema lock: this release "
            f"writes no such text; lock the schema anew"
        )
        return ValueError(msg)

    def _union(self) -> _Arms:
        arms = self._arm()
        while self._tokens[self._at] == "|":
            self._next()
            arms |= self._arm()
        return arms

    def _arm(self) -> _Arms:
        name = self._name()
        if self._tokens[self._at] != "[":
            return frozenset({_Arm(self._renamed.get(name, name))})
        if name == _LITERAL:
            return frozenset(_Arm(text, is_literal=True) for text in self._values())
        args = tuple(self._items(self._union))
        return frozenset({_Arm(self._renamed.get(name, name), args)})

    def _name(self) -> str:
        name = self._next()
        if name == "(":
            return name + self._next(")")
        if _PLAIN_NAME.fullmatch(name):
            return name
        if name[:1] in {"'", '"'}:
            return str(ast.literal_eval(name))
        raise self._error()

    def _values(self) -> list[str]:
        return list(self._items(self._next))

    def _items(self, read: Callable[[], Any]) -> Iterator[Any]:
        self._next("[")
        while True:
            yield read()
            if self._next(",", "]") == "]":
                return


# --- the classes as data --------------------------------------------------------------

FORMAT: Final = 1


class FieldLock(TypedDict):
    """One stored field; ``was`` and ``upgrade`` are there if they are used."""

    type: str
    default: bool
    was: NotRequired[list[str]]
    upgrade: NotRequired[bool]


class ModelLock(TypedDict):
    """One model class; ``migrations`` is how many steps it has."""

    version: int
    migrations: int
    was: list[str]
    dropped: list[str]
    extra: str
    fields: NotRequired[dict[str, FieldLock]]


class TypeLock(TypedDict):
    """A class that the fields of models name, and that is stored by names.

    An enum by those of its members, a flag by their values, a record (a dataclass, a
    named tuple, a ``TypedDict``) by its fields.
    """

    kind: Literal["enum", "flag", "record"]
    members: NotRequired[list[str]]
    values: NotRequired[dict[str, int]]
    fields: NotRequired[dict[str, FieldLock]]


class SchemaLock(TypedDict):
    """A whole schema."""

    format: int
    models: dict[str, ModelLock]
    types: dict[str, TypeLock]


def describe(classes: Iterable[type[Model]]) -> SchemaLock:
    """Describe model classes, and all that their annotations name.

    Raises:
        ModelError: A class cannot be a model, or names what is not defined.
    """
    registry = Registry(classes)
    found = _Description(registry._plain.shapes_of)  # noqa: SLF001 -- idem
    for entry in list(registry._by_class.values()):  # noqa: SLF001 -- same package
        entry.planned()  # now, annotations must be resolved
        if not _is_ours(entry.cls):
            found.add_model(entry.cls, entry.keyname, entry.shapes or {})
    return {"format": FORMAT, "models": found.models, "types": found.types}


_NO_FIELDS: Final[Mapping[str, FieldLock]] = {}


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


class _Description:
    """Collects the models, and the types that are met in their fields."""

    def __init__(self, shapes_of: Callable[[type], Mapping[str, Shape]]) -> None:
        self._shapes_of = shapes_of
        self.models: dict[str, ModelLock] = {}
        self.types: dict[str, TypeLock] = {}

    def add_model(self, cls: type, keyname: str, shapes: Mapping[str, Shape]) -> None:
        options = class_options(cls)
        model: ModelLock = {
            "version": options.version,
            "migrations": len(options.migrations),
            "was": sorted(options.was),
            "dropped": sorted(options.dropped),
            "extra": options.extra,
        }
        if options.declared:
            stored = [a for a in options.attributes if options_of(a).stored]
            model["fields"] = {
                options_of(a).key or a.name: self._field(a, shapes[a.name])
                for a in stored
            }
        self.models[keyname] = model

    def _field(self, attribute: "attrs.Attribute[Any]", shape: Shape) -> FieldLock:
        options = options_of(attribute)
        has_default = attribute.default is not attrs.NOTHING or not attribute.init
        made = _field(self._text(shape), default=has_default)
        if options.was:
            made["was"] = sorted(options.was)
        if options.upgrade is not None:
            made["upgrade"] = True
        return made

    def _text(self, shape: Shape) -> str:
        self._add_types(shape)
        return text_of_shape(shape, _name_of)

    def _add_types(self, shape: Shape) -> None:
        match shape:
            case Record(name, keys, required) if name not in self.types:
                fields: dict[str, FieldLock] = {}
                self.types[name] = {"kind": "record", "fields": fields}
                for key, inner in keys.items():
                    fields[key] = _field(self._text(inner), default=key not in required)
            case Instance(cls):
                self._add_type(cls)
            case OneOf(values):
                for value in values:
                    self._add_type(class_of(value))
            case _:
                pass  # a type within itself is described already
        arguments = shape.args if isinstance(shape, Instance) else ()
        for part in (*map(argument, arguments), *parts_of(shape)):
            self._add_types(part)

    def _add_type(self, cls: type) -> None:
        name = _name_of(cls)
        found = None if name in self.types else _type_lock(cls)
        if found is None:
            return
        self.types[name] = found
        shapes = self._shapes_of(cls)
        for key, field in found.get("fields", _NO_FIELDS).items():
            if key in shapes:
                field["type"] = self._text(shapes[key])


def _field(text: str, *, default: bool) -> FieldLock:
    return {"type": text, "default": default}


def _name_of(cls: type) -> str:
    """Return the name by which files know a class."""
    if is_model_class(cls) and not _is_ours(cls):
        return cast("type[Model]", cls)._keyname()
    return cls.__name__


def _type_lock(cls: type) -> TypeLock | None:
    """Describe a class that is stored by names; None for others."""
    if is_model_class(cls):
        return None
    if issubclass(cls, enum.Flag):
        values = {name: member.value for name, member in cls.__members__.items()}
        return {"kind": "flag", "values": values} if values else None
    if issubclass(cls, enum.Enum):
        members = sorted(cls.__members__)
        return {"kind": "enum", "members": members} if members else None
    defaults = _defaults(cls)
    if defaults is None:
        return None
    fields = {name: _field("Any", default=given) for name, given in defaults.items()}
    return {"kind": "record", "fields": fields}


def _defaults(record: Any) -> dict[str, bool] | None:
    """Return the fields of a record, and which may be missing when it is loaded."""
    if attrs.has(record):
        return {attribute.name: False for attribute in attrs.fields(record)}
    if dataclasses.is_dataclass(record):
        missing = dataclasses.MISSING
        return {
            each.name: (each.default, each.default_factory) != (missing, missing)
            for each in dataclasses.fields(record)
        }
    if tuple in record.__mro__ and hasattr(record, "_fields"):
        return {name: name in record._field_defaults for name in record._fields}
    return None


# --- the file ---------------------------------------------------------------------


def dump(lock: SchemaLock) -> str:
    """Return a schema as the text of a lock file: the same one each time."""
    return json.dumps(lock, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def load(text: str) -> SchemaLock:
    """Read the text of a lock file.

    Raises:
        ValueError: It is no lock file, or a newer release of storify wrote it.
    """
    what = "cannot read the schema lock"
    try:
        found: Any = json.loads(text)
        number: object = found["format"]
    except (ValueError, TypeError, LookupError) as error:
        msg = f"{what}: it is none; write one with: storify schema lock"
        raise ValueError(msg) from error
    if number != FORMAT:
        msg = f"{what}: it has format {number!r}, known is {FORMAT}; update storify"
        raise ValueError(msg)
    try:
        return cattrs.structure(found, SchemaLock)
    except cattrs.BaseValidationError as error:
        msg = f"{what}: it is not whole; write it anew with: storify schema lock"
        raise ValueError(msg) from error
