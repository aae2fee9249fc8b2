"""The options of a model class, checked when it is made, and how its records follow it.

The version of a record lies in its fields as ``"_v"``, written only when it is
above 0, so an unversioned model keeps the bytes of the original package. Steps
lead from each version to the next; a record newer than the class is not guessed
at: it is kept raw.
"""

import builtins
import enum
import inspect
import re
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    ClassVar,
    ForwardRef,
    Literal,
    NamedTuple,
    NewType,
    NoReturn,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

import attrs

from storify._python import if_loaded, slots_of
from storify.exceptions import (
    MigrationError,
    ModelError,
    ModelLoadError,
    NewerVersionError,
)

from .fields import options_of

# --- versions and migrations ----------------------------------------------------------

VERSION_KEY = "_v"

Fields = dict[str, Any]
Migration = Callable[[Fields], Fields | None]
Step: TypeAlias = "staticmethod[[Fields], Fields | None]"

_MARK = "__storify_migration__"


def migration(version: int) -> Callable[[Migration], Step]:
    """Mark a function of a model class as the step *version* -> *version* + 1.

    The function takes the stored fields (a copy, nested models already built)
    and gives the new ones, or changes them in place and gives None. It needs no
    ``self``; a ``@staticmethod`` above or below the decorator is fine too, and
    spares mypy's remark on the missing ``self``.

    Raises:
        ModelError: A negative version.
    """
    if version < 0:
        msg = f"migration({version}): versions start at 0"
        raise ModelError(msg)

    def mark(function: Migration) -> Step:
        plain = _function(function)
        setattr(plain, _MARK, version)
        return staticmethod(plain)

    return mark


def _function(value: Any) -> Any:
    while isinstance(value, staticmethod):
        value = value.__func__
    return value


def migrations_in(cls: type) -> dict[int, Migration]:
    """Return the steps of *cls*, also inherited ones.

    A subclass replaces a step of its base as it would any attribute, by the name.

    Raises:
        ModelError: There are two steps from one version. Of a class and its base,
            either would be left out, and with it what changed in some records.
    """
    named: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        named |= vars(base)
    steps: dict[int, Migration] = {}
    names: dict[int, str] = {}
    for name, value in named.items():
        plain = _function(value)
        version = getattr(plain, _MARK, None)
        if not isinstance(version, int):
            continue
        if version in steps:
            msg = (
                f"{cls.__qualname__} has two migrations from version {version}: "
                f"{names[version]} and {name}; make one of them, which replaces an "
                "inherited one by having its name"
            )
            raise ModelError(msg)
        steps[version], names[version] = plain, name
    return steps


class History:
    """The versions of one class, ``{version: step to the next}``: brings records to today.

    Raises:
        ModelError: The steps have a gap, or go beyond *version*.
    """

    def __init__(self, name: str, version: int, steps: Mapping[int, Migration]) -> None:
        self.name = name
        self.version = version
        self.steps = steps
        if steps and set(steps) != set(range(version)):
            missing = sorted(set(range(version)) - set(steps))
            problem = (
                f"there is no migration from version {missing[0]}"
                if missing
                else f"migration({max(steps)}) leads beyond it"
            )
            msg = (
                f"{name} has version={version}, but {problem}; the steps must "
                "chain from 0 to the class's version"
            )
            raise ModelError(msg)

    def upgrade(self, fields: Fields) -> Fields:
        """Return *fields* at the present version and without the version's key.

        *fields* is left as it was, also when a step fails.

        Raises:
            NewerVersionError: The record is newer than the class.
            ModelLoadError: A step failed, caused by a `MigrationError`.
        """
        stored = fields.get(VERSION_KEY, 0)
        if type(stored) is not int or stored < 0:
            return fields  # not written by us: an unknown name like others
        if stored > self.version:
            msg = (
                f"a stored {self.name} has version {stored}, this class knows "
                f"version {self.version}; update the program"
            )
            raise NewerVersionError(msg)
        if VERSION_KEY not in fields and (stored == self.version or not self.steps):
            return fields
        fields = {k: v for k, v in fields.items() if k != VERSION_KEY}
        if stored < self.version and self.steps:
            fields = copy_plain(fields)  # a failing step must not spoil the raw record
            for version in range(stored, self.version):
                fields = self._step(version, fields)
        return fields

    def _step(self, version: int, fields: Fields) -> Fields:
        where = f"{self.name}: the migration from version {version}"
        try:
            result: Any = self.steps[version](fields)
        except Exception as err:  # noqa: BLE001 -- the user's code
            # the text of the user's exception may hold stored values
            cause = MigrationError(f"{where} raised {type(err).__name__}")
            cause.__cause__ = err
            raise ModelLoadError(str(cause)) from cause
        if result is None:
            return fields
        if not isinstance(result, dict):
            cause = MigrationError(f"{where} gave {type(result).__name__}, not a dict")
            raise ModelLoadError(str(cause)) from cause
        return cast("Fields", result)


def copy_plain(value: Any) -> Any:
    """Copy plain containers all the way down, and nothing else.

    Nested models are shared: copying them at each level of a deep record would
    cost the square of its size.
    """
    kind = cast("object", type(value))
    if kind is dict:
        return {key: copy_plain(item) for key, item in value.items()}
    if kind is list:
        return [copy_plain(item) for item in value]
    return set(value) if kind is set else value


# --- the options ----------------------------------------------------------------------

EXTRA = ("keep", "forbid")
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: the class statement made it
_UNIONS = (Union, types.UnionType)
# an annotation in a string: a dotted name, and what it has in brackets
_HEAD = r"\s*([\w.]+)\s*(?:\[(.*)\])?\s*"
_CLASSVARS = frozenset({"ClassVar", "typing.ClassVar", "t.ClassVar"})


class ClassOptions(NamedTuple):  # made in a seventh of a dataclass's time
    """The options of one model class, in ``cls.__storify__``.

    Attributes:
        keyname: What ``_keyname()`` gives unless it is overridden.
        was: Earlier keynames, still read.
        version: The schema version; written as ``_v`` when above 0.
        extra: Whether unknown names are kept or refused.
        dropped: Retired names, read and thrown away.
        declared: Whether attrs made the class.
        attributes: The attrs fields as attrs made them, of a declared class.
        migrations: The steps between versions.
        scope: Types that were visible in the function that made the class.
    """

    keyname: str
    was: tuple[str, ...] = ()
    version: int = 0
    extra: Literal["keep", "forbid"] = "keep"
    dropped: frozenset[str] = frozenset()
    declared: bool = False
    attributes: "tuple[attrs.Attribute[Any], ...]" = ()
    migrations: Mapping[int, Migration] = types.MappingProxyType({})
    scope: Mapping[str, Any] = types.MappingProxyType({})


class _Definitions:
    """Counts the model classes made, so that a search knows when to look again."""

    count = 0


definitions: _Definitions = _Definitions()


def class_options(cls: type) -> ClassOptions:
    """Return the options of a model class."""
    found: ClassOptions = vars(cls)["__storify__"]
    return found


def class_of(value: object) -> type[Any]:
    """Return the class of a value of which nothing else is known."""
    return type(value)


def is_model_class(cls: object) -> bool:
    """Tell whether *cls* is a subclass of Model."""
    return isinstance(cls, type) and hasattr(cls, "__storify__")


def is_model(obj: object) -> bool:
    """Tell whether *obj* is an object of a Model class."""
    return hasattr(type(obj), "__storify__")


def read_options(
    cls: type,
    *,
    keyname: str | None,
    was: str | Sequence[str],
    version: int | None,
    extra: Literal["keep", "forbid"] | None,
    dropped: str | Iterable[str],
) -> ClassOptions:
    """Check the class line's own options and complete them from the bases.

    Raises:
        ModelError: An option that makes no sense, or a class that cannot work.
    """
    _refuse_remade(cls)
    _refuse_bases(cls)
    bases = [class_options(b) for b in cls.__mro__[1:] if "__storify__" in vars(b)]
    names = (was,) if isinstance(was, str) else tuple(was)
    for name in cast("tuple[object, ...]", (keyname, *names)):
        if name is not None and (not isinstance(name, str) or not name):
            msg = f"class {cls.__qualname__}: a keyname must be a str that is not empty"
            raise ModelError(msg)
    if version is None:
        version = bases[0].version
    if type(version) is not int or version < 0:
        msg = f"class {cls.__qualname__}: version= must be an int from 0"
        raise ModelError(msg)
    if extra is None:
        extra = bases[0].extra
    if extra not in EXTRA:
        msg = f"class {cls.__qualname__}: extra= must be one of {', '.join(EXTRA)}"
        raise ModelError(msg)
    retired = {dropped} if isinstance(dropped, str) else set(dropped)
    return ClassOptions(
        keyname=keyname or f"__{cls.__name__}__",
        was=names,
        version=version,
        extra=extra,
        dropped=frozenset(retired).union(*(base.dropped for base in bases)),
        migrations=migrations_in(cls),
        declared=_is_declared(cls),
        scope=_enclosing_types(cls),
    )


def check_names(cls: type, options: ClassOptions) -> None:
    """Refuse fields of *cls* that would meet under one name on disk.

    Raises:
        ModelError: The name is used twice, or is the version's.
    """
    owners: dict[str, str] = {}
    for attribute in options.attributes:
        ours = options_of(attribute)
        if not ours.stored:
            continue
        for key in (ours.key or attribute.name, *ours.was):
            if key == VERSION_KEY:
                msg = f"{cls.__qualname__}.{attribute.name}: {key!r} holds the version"
                raise ModelError(msg)
            other = owners.setdefault(key, attribute.name)
            if other != attribute.name:
                msg = (
                    f"{cls.__qualname__}: the fields {other} and {attribute.name} "
                    f"share the name {key!r} on disk; change key= or was="
                )
                raise ModelError(msg)


def refuse_decorator(cls: type) -> NoReturn:
    """Raise for a class that is decorated.

    Raises:
        ModelError: Always.
    """
    msg = (
        f"{cls.__qualname__} is a Model: do not decorate it with attrs or dataclass; "
        f"give the options in the class line, as class {cls.__name__}(Model, "
        f"frozen=True)"
    )
    raise ModelError(msg)


def _refuse_remade(cls: type) -> None:
    """Refuse a copy of a class that a decorator makes, and slots that hide data."""
    body = vars(cls)
    if "__attrs_attrs__" in body or "__dataclass_fields__" in body:
        refuse_decorator(cls)
    if slots_of(cls):
        msg = f"{cls.__qualname__} is a Model: __slots__ would hide its data; drop them"
        raise ModelError(msg)


def _refuse_bases(cls: type) -> None:
    """Refuse bases that hold data which are in no attribute of an object's dict."""
    for base in cls.__mro__[1:-1]:
        if "__storify__" not in vars(base) and (why := _holds_data(base)):
            msg = (
                f"{cls.__qualname__} is a Model, and its base {base.__qualname__} {why}"
            )
            raise ModelError(msg)


def _holds_data(base: type[Any]) -> str:
    """Say what is wrong with *base* as a base of a model; "" if nothing is."""
    if issubclass(base, enum.Enum):
        return "is an enum: its members are never loaded; keep one in a field"
    if _is_builtin(base):
        return (
            "is built in: its data are in no field and would be lost; keep a value of "
            "it in a field"
        )
    if "__dataclass_fields__" in vars(base):
        return (
            "is a dataclass, whose fields a Model does not take; make it a Model, or "
            "a plain class without the decorator"
        )
    if slots_of(base):
        remedy = "say attrs.define(slots=False)" if attrs.has(base) else "drop them"
        return f"has __slots__, which would hide its data; {remedy} there"
    return ""


def _is_builtin(cls: type) -> bool:
    """Tell whether *cls* is made in C, so that its objects may hold anything."""
    makes = vars(cls).get("__new__")
    return not cls.__flags__ & _HEAP_TYPE or isinstance(makes, types.BuiltinMethodType)


def settle_annotations(cls: type) -> frozenset[str]:
    """Have ClassVar and KW_ONLY taken for what they are, under any name.

    attrs looks at the text of an annotation; type checkers resolve the names. So
    the annotations of the class body are replaced by what attrs understands.

    Returns:
        The names of the fields that stand behind ``_: KW_ONLY``.

    Raises:
        ModelError: KW_ONLY stands there twice.
    """
    hints = own_annotations(cls)
    has_text = any(isinstance(hint, str) for hint in hints.values())
    scope: Mapping[str, Any] = _names_in_sight(cls) if has_text else {}
    settled: dict[str, Any] = {}
    behind: list[str] | None = None
    for name, hint in hints.items():
        meant, inner = _form_of(hint, scope)
        if meant is if_loaded("dataclasses", "KW_ONLY"):
            if behind is not None:
                msg = f"{cls.__qualname__}.{name}: KW_ONLY stands there twice"
                raise ModelError(msg)
            behind = []
            continue
        if meant is ClassVar:
            settled[name] = ClassVar if inner is None else ClassVar[inner]
            continue
        if behind is not None:
            behind.append(name)
        settled[name] = hint
    if settled != hints:
        cls.__annotations__ = settled
    return frozenset(behind or ())


def check_body(cls: type) -> None:
    """Refuse what in the body of a declared *cls* does not mean what it says.

    Raises:
        ModelError: A field that hides its type, or a ``__post_init__``.
    """
    if hasattr(cls, "__post_init__"):
        msg = (
            f"{cls.__qualname__}.__post_init__ is for dataclasses and never called; "
            "name it __attrs_post_init__"
        )
        raise ModelError(msg)
    for name, hint in own_annotations(cls).items():
        if not isinstance(hint, str) and _hides_its_type(cls, name, hint):
            msg = (
                f"{cls.__qualname__}.{name}: the field hides its type: when the "
                f"annotation was read, {name!r} meant the default already; write the "
                "annotation in quotes, or import the type under another name"
            )
            raise ModelError(msg)


def _hides_its_type(cls: type, name: str, hint: object) -> bool:
    """Tell whether the default stands where an annotation should have a type.

    As in ``date: date | None = None``: Python sets the name before it reads the
    annotation, and then it means None.
    """
    default: object = vars(cls).get(name, attrs.NOTHING)
    if hint is None or hint is types.NoneType:
        return default is None
    arms = get_args(hint) if get_origin(hint) in _UNIONS else (hint,)
    parts = [*arms, *(part for arm in arms for part in _parts(arm))]
    if default is not None:
        is_type = isinstance(default, type) or default is attrs.NOTHING
        return not is_type and any(part is default for part in parts)
    nested = (part for arm in arms for part in _parts(arm))
    has_none = any(part is None or part is types.NoneType for part in nested)
    # such a None may be meant, unless there is a type with the name of the field
    return has_none and _is_type_like(_names_in_sight(cls).get(name))


def _parts(hint: object) -> Iterator[object]:
    """Return what stands in an annotation, at any depth."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return
    for part in args[:1] if origin is Annotated else args:
        yield part
        yield from _parts(part)


def _names_in_sight(cls: type) -> Mapping[str, Any]:
    """Return what the names in the annotations of *cls* are looked up in."""
    around = _enclosing_types(cls)
    module = vars(sys.modules.get(cls.__module__, builtins))
    return ChainMap(around, dict(module), dict(vars(builtins)))


def _form_of(hint: object, scope: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return what stands outermost in an annotation, and what is in its brackets.

    What stands in an ``Annotated`` counts as outermost.
    """
    if not isinstance(hint, str):
        outer, args = get_origin(hint) or hint, get_args(hint)
        if outer is Annotated:
            return _form_of(args[0], scope)
        return outer, args[0] if args else None
    match = re.fullmatch(_HEAD, hint, re.DOTALL)
    if match is None:
        return None, None
    head, inner = match.groups()
    first, *rest = head.split(".")
    outer = scope.get(first)
    for name in rest:
        outer = getattr(outer, name, None)
    if outer is None and head in _CLASSVARS:
        outer = ClassVar
    if outer is Annotated and inner is not None:
        return _form_of(_first_argument(inner), scope)
    return outer, inner and inner.strip()


def _first_argument(text: str) -> str:
    """Return the first of the arguments in the brackets of an annotation."""
    depth = 0
    for index, char in enumerate(text):
        depth += (char in "[(") - (char in "])")
        if char == "," and not depth:
            return text[:index]
    return text


def own_annotations(cls: type) -> dict[str, Any]:
    """Return the annotations of the class body as they are, strings unresolved."""
    if sys.version_info >= (3, 14):  # pragma: no cover -- no such Python tested here
        import annotationlib  # noqa: PLC0415 -- new in 3.14

        return annotationlib.get_annotations(
            cls, format=annotationlib.Format.FORWARDREF
        )
    found: dict[str, Any] = vars(cls).get("__annotations__", {})
    return found


def is_classvar(hint: object) -> bool:
    """Tell whether an annotation, maybe a string, declares a class variable."""
    text = hint if isinstance(hint, str) else str(hint)
    return text.startswith(tuple(_CLASSVARS))


def _is_declared(cls: type) -> bool:
    """Tell whether attrs should make *cls*: it has fields and no own ``__init__``."""
    for base in cls.__mro__:
        if "__storify__" in vars(base) and class_options(base).declared:
            if class_options(base).attributes:
                return True  # attrs made this one's __init__, if it has one
            continue
        if base is not cls and "__storify__" not in vars(base):
            continue  # a plain mixin: like a dataclass, we do not call its __init__
        if "__init__" in vars(base):
            return False
        if any(not is_classvar(hint) for hint in own_annotations(base).values()):
            return not _has_handwritten_init(base)
    # no field and no __init__: an object is what is put on it
    (owner,) = [b for b in cls.__mro__ if "__init__" in vars(b)][:1]
    return owner is object or "__storify__" in vars(owner)


def _has_handwritten_init(cls: type) -> bool:
    for base in cls.__mro__[1:]:
        if "__storify__" in vars(base):
            if class_options(base).declared:
                return False
            if "__init__" in vars(base):
                return True
    return False


def _enclosing_types(cls: type) -> dict[str, Any]:
    """Keep the types visible where a class inside a function was made.

    Only types and modules: a frame's other locals may be large, and a class
    lives long.
    """
    if "<locals>" not in cls.__qualname__:
        return {}
    found: dict[str, Any] = {}
    frame = inspect.currentframe()
    while frame is not None and (
        frame.f_globals.get("__name__") == __name__
        or frame.f_code.co_name == "__init_subclass__"
    ):
        frame = frame.f_back
    while frame is not None and frame.f_code.co_name != "<module>":
        for name, value in frame.f_locals.items():
            if _is_type_like(value):
                found.setdefault(name, value)
        if frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            break  # the function itself; what went before were class bodies
        frame = frame.f_back
    return found


def _is_type_like(value: object) -> bool:
    return (
        value is ClassVar
        or value is if_loaded("dataclasses", "KW_ONLY")
        or isinstance(
            value,
            (type, types.ModuleType, types.UnionType, TypeVar, NewType, ForwardRef),
        )
        or get_origin(value) is not None
        or bool(get_args(value))
    )
