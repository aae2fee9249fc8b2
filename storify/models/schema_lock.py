"""A schema as data: what the classes of a program say about what is stored.

It is kept in a lock file under version control, and compared with the classes of
later (`compare`)::

    {"format": 1,
     "models": {"__User__": {"version": 0, "migrations": 0, "was": [], "dropped": [],
                             "extra": "keep",
                             "fields": {"name": {"type": "str", "default": false}}}},
     "types": {"Color": {"kind": "enum", "members": ["BLUE", "RED"]}}}

Models stand under their keynames, fields under their names on disk. A hand-written
class has no fields here: what it stores is its own code's to say.

A change *breaks* if records that were stored by the locked classes, or by those
before them, do not load into the present ones as what they were. Of a class whose
version was raised, and whose migrations lead up to it, the fields may change in any
way: what becomes of old records is said there.
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


def _argument(hint: Any) -> Shape:
    """Return the shape of an argument of a generic model, as in ``Box[int]``."""
    return Parser().parse(hint)  # its classes were met before


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
            return _generic(name, [text(_argument(arg)) for arg in args])
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
    found = _Description(registry.shapes_of_plain)
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
        for part in (*map(_argument, arguments), *parts_of(shape)):
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


# --- what became of a schema since it was locked --------------------------------------


class Change(NamedTuple):
    """One difference between two schemas.

    Attributes:
        keyname: The model, or the type that a field names.
        field: The field, by its name on disk; None for the whole class.
        what: What happened.
        breaking: Whether stored records do not follow.
        advice: What to do; empty if nothing is to be done.
    """

    keyname: str
    field: str | None
    what: str
    breaking: bool = False
    advice: str = ""

    def __str__(self) -> str:
        """Return it as one line."""
        where = self.keyname if self.field is None else f"{self.keyname}.{self.field}"
        return f"{where}: {self.what}" + (f"; {self.advice}" if self.advice else "")


def _breaks(keyname: str, field: str | None, what: str, advice: str) -> Change:
    return Change(keyname, field, what, breaking=True, advice=advice)


_MIGRATE: Final = "or raise version= and write a migration"
_OLD_NAME: Final = f"records may still have that name: put it back, {_MIGRATE}"


def compare(locked: SchemaLock, now: SchemaLock) -> list[Change]:
    """List the changes from a locked schema to the present one, by keyname.

    Raises:
        ValueError: A type of *locked* cannot be read.
    """
    renamed = {
        old: keyname for keyname, model in now["models"].items() for old in model["was"]
    }
    changes: list[Change] = []
    for keyname, old in locked["models"].items():
        name = keyname if keyname in now["models"] else renamed.get(keyname)
        if name is None:
            advice = f"keep the class, or give was={keyname!r} to the one in its place"
            gone = "no class has this keyname"
            changes.append(_breaks(keyname, None, gone, advice))
            continue
        if name != keyname:
            changes.append(Change(keyname, None, f"is {name} now"))
        changes += _Models(name, old, now["models"][name], renamed).changes()
        changes += _former(name, old, {*now["models"], *renamed})
    known = {renamed.get(keyname, keyname) for keyname in locked["models"]}
    for keyname in now["models"].keys() - known - locked["models"].keys():
        changes.append(Change(keyname, None, "is new"))
    for name in locked["types"].keys() & now["types"].keys():
        changes += _types(name, locked["types"][name], now["types"][name], renamed)
    return sorted(changes, key=lambda each: (each.keyname, each.field or "", each.what))


def _former(name: str, old: ModelLock, known: set[str]) -> Iterator[Change]:
    advice = "put it back: records may still be stored under that keyname"
    for former in old["was"]:
        if former not in known:
            yield _breaks(name, None, f"was={former!r} is gone", advice)


class _Models:
    """Compares two states of one model class."""

    def __init__(
        self, name: str, old: ModelLock, now: ModelLock, renamed: Mapping[str, str]
    ) -> None:
        self._name = name
        self._old = old
        self._now = now
        self._renamed = renamed
        is_higher = now["version"] > old["version"]
        self._is_migrated = is_higher and now["migrations"] == now["version"]

    def changes(self) -> Iterator[Change]:
        old, now = self._old, self._now
        yield from self._versions()
        if now["extra"] != old["extra"]:
            what = f"extra= is {now['extra']!r} now"
            if now["extra"] == "forbid":
                advice = "records with names that the class lacks do not load any more"
                yield _breaks(self._name, None, what, advice)
            else:
                yield Change(self._name, None, what)
        if ("fields" in old) != ("fields" in now):
            what = (
                "declares its fields now" if "fields" in now else "is hand-written now"
            )
            advice = "run storify check on what is stored"
            yield Change(self._name, None, what, advice=advice)
            return
        for change in self._fields():
            if self._is_migrated:
                yield change._replace(breaking=False, advice="")
            else:
                yield change

    def _versions(self) -> Iterator[Change]:
        before, after = self._old["version"], self._now["version"]
        if after < before:
            what = f"version {after} is lower than {before}, that of stored records"
            advice = "they are kept raw and do not load; put the version back"
            yield _breaks(self._name, None, what, advice)
        elif after > before:
            yield Change(self._name, None, f"version {before} is {after} now")
        if self._now["migrations"] < self._old["migrations"]:
            advice = "put them back: records of any version may be stored"
            yield _breaks(self._name, None, "migrations are gone", advice)

    def _fields(self) -> Iterator[Change]:
        old = self._old.get("fields", _NO_FIELDS)
        now = self._now.get("fields", _NO_FIELDS)
        names = {
            former: name
            for name, field in now.items()
            for former in field.get("was", ())
        }
        dropped = set(self._now["dropped"])
        taken: set[str] = set()
        for name, field in old.items():
            present = name if name in now else names.get(name)
            if present is not None:
                taken.add(present)
                if present != name:
                    yield Change(self._name, name, f"is {present} now")
                yield from self._field(present, field, now[present])
            elif name in dropped:
                yield Change(self._name, name, "was dropped")
            else:
                advice = f"give was={name!r} to the field in its place, or dropped={name!r} to the class"
                yield _breaks(self._name, name, "was removed", advice)
            for former in field.get("was", ()):
                if former not in {*now, *names, *dropped}:
                    yield _breaks(
                        self._name, name, f"was={former!r} is gone", _OLD_NAME
                    )
        for name in sorted(self._old["dropped"]):
            if name not in dropped:
                yield _breaks(self._name, name, f"dropped={name!r} is gone", _OLD_NAME)
        for name in now.keys() - taken:
            yield _added(self._name, name, now[name], "give it a default", _MIGRATE)

    def _field(self, name: str, old: FieldLock, now: FieldLock) -> Iterator[Change]:
        upgraded = now.get("upgrade", False)
        yield from _retyped(
            self._name, name, old, now, self._renamed, upgraded=upgraded
        )
        if old["default"] and not now["default"]:
            advice = f"records may lack the field: put the default back, {_MIGRATE}"
            yield _breaks(self._name, name, "its default is gone", advice)
        elif now["default"] and not old["default"]:
            yield Change(self._name, name, "has a default now")
        if old.get("upgrade") and not upgraded:
            advice = f"records may hold the former type: put it back, {_MIGRATE}"
            yield _breaks(self._name, name, "its upgrade= is gone", advice)
        for former in sorted({*now.get("was", ())} - {*old.get("was", ())}):
            if former not in self._old.get("fields", _NO_FIELDS):
                yield Change(self._name, name, f"reads {former!r}, too")


def _added(owner: str, name: str, field: FieldLock, *advice: str) -> Change:
    if field["default"]:
        return Change(owner, name, "is new")
    lack = f"stored records lack it: {', '.join(advice)}"
    return _breaks(owner, name, "is new and has no default", lack)


def _retyped(
    owner: str,
    name: str,
    old: FieldLock,
    now: FieldLock,
    renamed: Mapping[str, str],
    *,
    upgraded: bool,
) -> Iterator[Change]:
    before, after = old["type"], now["type"]
    if widens(before, after, renamed):
        if not widens(after, before, renamed):
            yield Change(owner, name, f"takes {after} now, beyond {before}")
        return
    what = f"{before} became {after}"
    if upgraded:
        yield Change(owner, name, what)
    else:
        advice = f"keep the former type in a union, give upgrade=, {_MIGRATE}"
        yield _breaks(owner, name, what, advice)


# --- what the fields name ---------------------------------------------------------


def _types(
    name: str, old: TypeLock, now: TypeLock, renamed: Mapping[str, str]
) -> Iterator[Change]:
    if old["kind"] != now["kind"]:
        what = f"was stored as {old['kind']}, is stored as {now['kind']}"
        advice = "give the new class another name"
        yield _breaks(name, None, what, advice)
        return
    yield from _members(name, old.get("members", ()), now.get("members", ()))
    yield from _values(name, old.get("values", {}), now.get("values", {}))
    before, after = old.get("fields", _NO_FIELDS), now.get("fields", _NO_FIELDS)
    for field in before.keys() - after.keys():
        advice = "records that have it do not load any more: put it back"
        yield _breaks(name, field, "was removed", advice)
    for field in after.keys() - before.keys():
        yield _added(name, field, after[field], "give it a default")
    for field in before.keys() & after.keys():
        yield from _retyped(
            name, field, before[field], after[field], renamed, upgraded=False
        )
        if before[field]["default"] and not after[field]["default"]:
            advice = "stored ones may lack it: put it back"
            yield _breaks(name, field, "its default is gone", advice)


def _members(name: str, old: Iterable[str], now: Iterable[str]) -> Iterator[Change]:
    """Compare enums, of which members are stored by their names."""
    before, after = set(old), set(now)
    for member in before - after:
        advice = "it is stored by its name: keep it, as an alias of another if need be"
        yield _breaks(name, member, "is no member now", advice)
    for member in after - before:
        yield Change(name, member, "is new")


def _values(
    name: str, old: Mapping[str, int], now: Mapping[str, int]
) -> Iterator[Change]:
    """Compare flags, which are stored by their values."""
    for member, value in old.items():
        if value not in now.values():
            advice = "it is stored by its value: keep that"
            yield _breaks(name, member, f"no flag is {value}", advice)
        elif now.get(member, value) != value:
            advice = "stored flags mean something else now: keep the values"
            yield _breaks(name, member, "is another value", advice)
        elif member not in now:
            yield Change(name, member, "has another name now")
    for member in now.keys() - old.keys():
        if now[member] not in old.values():
            yield Change(name, member, "is new")
