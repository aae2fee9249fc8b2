"""The state of a model's object: public attributes, unknown names, plain copies."""

import collections
import enum
import gc
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import wraps
from types import MappingProxyType
from typing import Any, TypeVar, cast

import attrs

from storify._python import computed_by
from storify.exceptions import ModelLoadError, UnstorableError

from .fields import default_of, options_of
from .options import class_options, is_classvar, is_model, own_annotations

_R = TypeVar("_R")
_UNASKED = object()

UNKNOWN = "_storify_unknown"
"""The slot in ``__dict__`` for stored names that the class does not declare.

With the values of those that can be no attributes, and the places of the others.

Its dict is never changed after it was made, so shallow copies may share it.
"""


class _Place(enum.Enum):
    """The place of the value of a name in the slot, if it is not there."""

    ATTRIBUTE = "an attribute, whose place among the stored names this is"


class Unloaded(dict[str, Any]):
    """A record kept as it was read: ``{keyname: fields}``, saved again unchanged.

    Attributes:
        error: Why it is no object; None if its class is just not known here.
    """

    error: ModelLoadError | None

    def __init__(
        self, record: dict[str, Any], error: ModelLoadError | None = None
    ) -> None:
        super().__init__(record)
        self.error = error


def _once_per_class(find: Callable[[type[Any]], _R]) -> Callable[[type[Any]], _R]:
    """Keep the answer in the class itself, which it must not keep alive."""
    name = f"__storify_{find.__name__}__"

    @wraps(find)
    def ask(cls: type[Any]) -> _R:
        found: Any = vars(cls).get(name, _UNASKED)
        if found is _UNASKED:
            found = find(cls)
            setattr(cls, name, found)
        return cast("_R", found)

    return ask


def extras(obj: object) -> Mapping[Any, Any]:
    """Return what is stored of *obj* though its class declares no such field, read-only.

    Public attributes of a declared model that are no fields, in their order, then
    stored names that can be no attributes. They are saved again. A hand-written class
    declares nothing: of one there are only the latter.
    """
    attributes = undeclared(obj)
    found = {
        name: attributes.pop(name, None) if value is _Place.ATTRIBUTE else value
        for name, value in vars(obj).get(UNKNOWN, {}).items()
        if value is not _Place.ATTRIBUTE or name in attributes
    }
    return MappingProxyType(found | attributes)


def unasked(obj: object) -> dict[Any, Any]:
    """Return what was loaded into *obj* though its class knows no such name."""
    state, cls = vars(obj), type(obj)
    kept: Mapping[Any, Any] = state.get(UNKNOWN, {})
    if not class_options(cls).attributes:
        return dict(aside(obj))  # a class without fields knows all names
    found: dict[Any, Any] = {}
    for name, value in kept.items():
        if value is not _Place.ATTRIBUTE:
            if name not in state:
                found[name] = value
        elif name in state and not hasattr(cls, name):
            found[name] = state[name]
    return found


def aside(obj: object) -> Mapping[Any, Any]:
    """Return the stored names that can be no attributes of *obj*."""
    kept: Mapping[Any, Any] = vars(obj).get(UNKNOWN, {})
    return {n: value for n, value in kept.items() if value is not _Place.ATTRIBUTE}


def undeclared(obj: object) -> dict[str, Any]:
    """Return the public attributes of a declared model that are no fields of it."""
    cls = type(obj)
    options = class_options(cls)
    if not options.declared:
        return {}
    names = {a.name for a in options.attributes} | computed_names(cls)
    return {
        name: value
        for name, value in vars(obj).items()
        if name not in names and not name.startswith("_")
    }


@_once_per_class
def computed_names(cls: type[Any]) -> frozenset[str]:
    """Return the names that descriptors like ``cached_property`` fill in."""
    return computed_by(cls)


def public(obj: object) -> dict[str, Any]:
    """Return the public attributes of *obj*, then its unknown stored names."""
    computed = computed_names(type(obj))
    fields: dict[str, Any] = {
        name: value
        for name, value in vars(obj).items()
        if not name.startswith("_") and name not in computed
    }
    for name, value in aside(obj).items():
        fields.setdefault(name, value)
    return fields


@_once_per_class
def _guarded_names(cls: type[Any]) -> frozenset[str]:
    """Return the class attributes that a stored name must not shadow.

    Methods, properties, class variables and CONSTANTS. Other plain values in a
    class body are the defaults of attributes, as in ``debug = False``.
    """
    guarded: set[str] = set()
    for base in reversed(cls.__mro__):
        hints = own_annotations(base)
        for name, value in vars(base).items():
            is_default = not callable(value) and not _is_descriptor(value)
            declared_on_class = name in hints and is_classvar(hints[name])
            if is_default and not declared_on_class and not name.isupper():
                guarded.discard(name)
            else:
                guarded.add(name)
    return frozenset(guarded)


def refuse_lost(obj: object) -> None:
    """Refuse to store public attributes of *obj* that would not come back.

    Raises:
        UnstorableError: There is one, with its path and the reason.
    """
    for name, why in refused(obj).items():
        msg = f"the attribute {name!r} of a {type(obj).__qualname__} is refused: {why}"
        raise UnstorableError(msg, f"$.{name}")


def refused(obj: object) -> dict[str, str]:
    """Return the public attributes of *obj* that would not come back, and why."""
    cls, state = type(obj), vars(obj)
    options = class_options(cls)
    names = undeclared(obj) if options.declared else state
    reasons = _reasons(cls)
    if options.extra == "forbid" and options.declared:
        own = "the class has no such field, and extra='forbid'"
        reasons = {**dict.fromkeys(names, own), **reasons}
    return {name: reasons[name] for name in reasons.keys() & names}


@_once_per_class
def _reasons(cls: type[Any]) -> dict[str, str]:
    """Tell which names an attribute of *cls* must not have, and why."""
    name = cls.__qualname__
    hides = f"it hides what {name} has under that name, so it would not come back"
    taken = f"that name is a field's key on disk, or was, in {name}"
    dropped = f"dropped= of {name} throws that name away at load"
    guarded = {n for n in _guarded_names(cls) if not n.startswith("_")}
    return {
        **dict.fromkeys(guarded - computed_names(cls), hides),
        **dict.fromkeys(names_of_fields(cls), taken),
        **dict.fromkeys(class_options(cls).dropped, dropped),
    }


@_once_per_class
def names_of_fields(cls: type[Any]) -> frozenset[str]:
    """Return all names of the fields of *cls*: their own, on disk, and earlier ones."""
    found: set[str] = set()
    for attribute in class_options(cls).attributes:
        options = options_of(attribute)
        found |= {attribute.name, options.key or attribute.name, *options.was}
    return frozenset(found)


def assign(obj: object, data: Mapping[Any, Any]) -> None:
    """Set attributes of *obj* that are no declared fields to the stored *data*.

    A name that starts with ``_``, is a class's own or has to do with a field never
    shadows it: such names are kept aside and saved again.
    """
    cls = type(obj)
    guarded, fields = _guarded_names(cls), names_of_fields(cls)
    state = vars(obj)
    places: dict[Any, Any] = {}
    for name, value in data.items():
        is_attribute = isinstance(name, str) and not name.startswith("_")
        if is_attribute and name not in guarded and name not in fields:
            state[name] = value
            places[name] = _Place.ATTRIBUTE
        else:
            places[name] = value
    if class_options(cls).declared:
        state[UNKNOWN] = places
    elif unknown := {n: x for n, x in places.items() if x is not _Place.ATTRIBUTE}:
        state[UNKNOWN] = unknown


def bare(cls: type) -> tuple[Any, dict[str, Any]]:
    """Make an object of *cls* with nothing in it, and give it and its state."""
    obj = cast("Any", object.__new__(cls))
    return obj, cast("dict[str, Any]", vars(obj))


def state_of(obj: object) -> dict[str, Any]:
    """Return the attributes of *obj*, live."""
    return vars(obj)


def _is_descriptor(value: object) -> bool:
    return hasattr(cast("Any", type(value)), "__get__")


def blank(cls: type) -> Any:
    """Make an empty object of *cls* to fill from stored data.

    ``cls()`` where ``__init__`` is hand-written and needs no arguments (the
    guide's classes), else without ``__init__`` and with the fields' defaults.
    """
    if not class_options(cls).declared and _needs_no_arguments(cls):
        return cls()
    obj, state = bare(cls)
    for attribute in getattr(cls, "__attrs_attrs__", ()):
        if attribute.default is not attrs.NOTHING:
            state[attribute.name] = default_of(attribute, obj)
    return obj


def adopt(old: type, new: type) -> None:
    """Make all objects of *old* objects of *new*, the same class defined again.

    Fields that are new get their defaults. Enums keep their members.
    """
    if issubclass(old, enum.Enum):
        return
    for obj in gc.get_objects():
        if type(obj) is old:
            with suppress(TypeError):  # its objects are laid out in another way
                object.__setattr__(obj, "__class__", new)
                _complete(obj)


def _complete(obj: object) -> None:
    if not is_model(obj):
        return
    for attribute in class_options(type(obj)).attributes:
        if attribute.name not in vars(obj) and attribute.default is not attrs.NOTHING:
            vars(obj)[attribute.name] = default_of(attribute, obj)


@_once_per_class
def _needs_no_arguments(cls: type) -> bool:
    try:
        inspect.signature(cls).bind()
    except (TypeError, ValueError):
        return False
    return True


def asdict(obj: object, *, json: bool = False) -> dict[str, Any]:
    """Return *obj* as a plain dict of its public attributes, all the way down.

    Nested models become dicts too; containers are copied; other values are the
    same objects.

    Args:
        obj: An object of a model class.
        json: Write what JSON does not have as `to_json` does: a datetime as its text,
            a set as a list.

    Raises:
        TypeError: *obj* is no model.
        UnstorableError: With *json*, a value has no form there; it carries the path.
    """
    if not is_model(obj):
        msg = f"asdict() takes a Model object, not {type(obj).__name__}"
        raise TypeError(msg)
    if json:
        from .jsonable import jsonable  # noqa: PLC0415 -- few programs need it

        return cast("dict[str, Any]", jsonable(obj))
    return _plain_model(obj)


def stored_fields(obj: object) -> dict[str, Any]:
    """Return the public attributes of *obj* that are stored, by name; values live."""
    cls = type(obj)
    state = vars(obj)
    unstored = {
        a.name for a in getattr(cls, "__attrs_attrs__", ()) if not options_of(a).stored
    } | computed_names(cls)
    fields = {
        name: value
        for name, value in state.items()
        if not name.startswith("_") and name not in unstored
    }
    for name, value in aside(obj).items():
        if isinstance(name, str) and not name.startswith("_"):
            fields.setdefault(name, value)
    return fields


def _plain_model(obj: object) -> dict[str, Any]:
    return {name: _plain(value) for name, value in stored_fields(obj).items()}


def pairs(mapping: Any) -> Iterable[tuple[Any, Any]]:
    """Return the items of a dict of which nothing else is known."""
    return cast("Iterable[tuple[Any, Any]]", mapping.items())


def holds_unloaded(value: Any) -> bool:
    """Tell whether *value*, of plain containers, is or holds an unloaded record."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, Unloaded):
            return True
        if isinstance(item, dict):
            pending += (each for _, each in pairs(item))
        elif type(item) in {list, tuple, collections.deque}:
            pending += items_of(item)
    return False


def is_lone_dict(data: Mapping[Any, Any]) -> bool:
    """Tell whether *data*, that no keyname introduced, may be a record itself.

    A dict in the place of an object is taken for its fields. But if all it holds is
    one dict, under a name that the class does not know, it may be a record of a
    newer class, whose keyname is not known here: it is not ours to take apart.
    """
    if len(data) != 1:
        return False
    (fields,) = data.values()
    return isinstance(fields, dict) or is_model(fields)


def items_of(collection: Any) -> Iterable[Any]:
    """Return the items of a collection of which nothing else is known."""
    return cast("Iterable[Any]", collection)


def _plain(value: Any) -> Any:
    if is_model(value):
        return _plain_model(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in pairs(value)}
    if type(value) in {list, tuple}:
        return type(value)(_plain(item) for item in items_of(value))
    return value
