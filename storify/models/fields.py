"""One field of a declared model: `field`, and what storify adds to attrs' fields.

A field is an ordinary ``attrs`` attribute. What attrs does not know (the name on
disk, old names, whether it is stored at all) rides in its metadata.
"""

import copy
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial
from keyword import iskeyword
from typing import Any, NamedTuple, TypedDict, TypeVar, Unpack, cast, overload

import attrs

from storify._python import if_loaded
from storify.exceptions import ModelError

_T = TypeVar("_T")
_In = TypeVar("_In")
_FACTORY = cast("type[Any]", attrs.Factory)  # a class, though its stubs say function
_CONVERTER = cast("type[Any]", attrs.Converter)
_METADATA_KEY = "__storify__"

_Validator = Callable[[Any, "attrs.Attribute[Any]", Any], Any]


class FieldOptions(NamedTuple):  # made in a seventh of a dataclass's time
    """The options of a field that attrs does not know.

    Attributes:
        key: The name on disk; None stands for the attribute's own name.
        was: Names that the field had on disk before, newest first.
        stored: Whether the field is saved; ``_x`` fields never are.
        upgrade: Turns a stored value that does not conform into one that does.
        alias_given: Whether the user chose the parameter's name.
    """

    key: str | None = None
    was: tuple[str, ...] = ()
    stored: bool = True
    upgrade: Callable[[Any], Any] | None = None
    alias_given: bool = False


class _Options(TypedDict, total=False):
    """The keywords that all overloads of `field` share."""

    validator: _Validator | Sequence[_Validator] | None
    alias: str | None
    key: str | None
    was: str | Sequence[str]
    stored: bool
    upgrade: Callable[[Any], Any] | None
    kw_only: bool
    init: bool
    repr: bool | Callable[[Any], str]
    eq: bool | Callable[[Any], Any]
    order: bool | Callable[[Any], Any]
    metadata: Mapping[Any, Any] | None


# pyright infers list[Unknown] from factory=list unless the bare containers
# have overloads of their own.
@overload
def field(*, factory: type[list[Any]], **options: Unpack[_Options]) -> list[Any]: ...
@overload
def field(
    *, factory: type[dict[Any, Any]], **options: Unpack[_Options]
) -> dict[Any, Any]: ...
@overload
def field(*, factory: type[set[Any]], **options: Unpack[_Options]) -> set[Any]: ...
@overload
def field(
    *, converter: type[list[Any]], default: Any = ..., **options: Unpack[_Options]
) -> list[Any]: ...
@overload
def field(
    *, converter: type[dict[Any, Any]], default: Any = ..., **options: Unpack[_Options]
) -> dict[Any, Any]: ...
@overload
def field(
    *, converter: type[set[Any]], default: Any = ..., **options: Unpack[_Options]
) -> set[Any]: ...
@overload
def field(
    *, converter: type[frozenset[Any]], default: Any = ..., **options: Unpack[_Options]
) -> frozenset[Any]: ...
@overload
def field(
    *,
    converter: type[tuple[Any, ...]],
    default: Any = ...,
    **options: Unpack[_Options],
) -> tuple[Any, ...]: ...
@overload
def field(
    *,
    converter: Callable[[_In], _T],
    factory: Callable[[], _In],
    **options: Unpack[_Options],
) -> _T: ...
@overload
def field(
    *,
    converter: Callable[[_In], _T],
    default: _In = ...,
    **options: Unpack[_Options],
) -> _T: ...
@overload
def field(*, factory: Callable[[], _T], **options: Unpack[_Options]) -> _T: ...
@overload
def field(*, default: _T, **options: Unpack[_Options]) -> _T: ...
@overload
def field(
    *,
    converter: "attrs.Converter[Any, Any]",
    default: Any = ...,
    **options: Unpack[_Options],
) -> Any: ...
@overload
def field(**options: Unpack[_Options]) -> Any: ...
def field(
    *,
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
    converter: Any = None,
    **options: Unpack[_Options],
) -> Any:
    """Describe one field of a `Model`; plain defaults need no call to this.

    Args:
        default: The default; a mutable value or a Model is copied per object.
        factory: Called without arguments for each object's default.
        converter: Applied at construction and assignment, never at load.
        **options: Any of these.

            * ``validator``: checks at construction and assignment, never at load.
            * ``alias``: the name of the parameter of ``__init__``.
            * ``key``: the name on disk, where it differs from the attribute.
            * ``was``: earlier names on disk, read but no longer written.
            * ``stored``: False keeps the field out of the file, the comparison
              and the repr; it then needs a default.
            * ``upgrade``: called at load, only with a stored value that does not
              conform to the annotation.
            * ``kw_only init repr eq order metadata``: as in ``attrs.field``.

    Raises:
        TypeError: An unknown option, as for any call.
    """
    unknown = options.keys() - _Options.__annotations__.keys()
    if unknown:
        msg = f"field() got unknown options {sorted(unknown)}"
        raise TypeError(msg)
    was = options.get("was", ())
    ours = FieldOptions(
        key=options.get("key"),
        was=(was,) if isinstance(was, str) else tuple(was),
        stored=options.get("stored", True),
        upgrade=options.get("upgrade"),
        alias_given=options.get("alias") is not None,
    )
    theirs: dict[str, Any] = {
        name: value
        for name, value in options.items()
        if name in {"validator", "alias", "kw_only", "init", "repr", "eq", "order"}
    }
    made: Any = attrs.field(
        default=default,
        factory=factory,
        converter=converter,
        metadata={**(options.get("metadata") or {}), _METADATA_KEY: ours},
        **theirs,
    )
    return made


def options_of(attribute: "attrs.Attribute[Any]") -> FieldOptions:
    """Return the options of *attribute*, also if it was made by ``attrs.field``."""
    options: FieldOptions = attribute.metadata.get(_METADATA_KEY, FieldOptions())
    if options.stored and attribute.name.startswith("_"):
        return FieldOptions(stored=False, alias_given=options.alias_given)
    return options


def prepare(
    cls: type,
    attributes: "list[attrs.Attribute[Any]]",
    kw_only: Container[str] = (),
) -> "list[attrs.Attribute[Any]]":
    """Adapt attrs' fields of *cls* to storify; attrs' ``field_transformer``.

    *kw_only* are the names of those that stand behind ``_: KW_ONLY``.

    Raises:
        ModelError: A field that cannot be, with the reason.
    """
    prepared = [
        _prepare(cls, attribute, kw_only=attribute.name in kw_only)
        for attribute in _in_order(cls, attributes)
    ]
    _check_parameters(cls, prepared)
    return prepared


def _in_order(
    cls: type, attributes: "list[attrs.Attribute[Any]]"
) -> "Iterable[attrs.Attribute[Any]]":
    """Put fields in the order of a dataclass, which type checkers believe in.

    A field that a subclass defines again keeps its place; attrs would move it to
    the end.
    """
    fields = {attribute.name: attribute for attribute in attributes}
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__[1:]):
        inherited: Iterable[attrs.Attribute[Any]] = vars(base).get(
            "__attrs_attrs__", ()
        )
        names |= dict.fromkeys(a.name for a in inherited if a.name in fields)
    return [fields[name] for name in {**names, **dict.fromkeys(fields)}]


def _check_parameters(cls: type, attributes: "list[attrs.Attribute[Any]]") -> None:
    """Refuse what attrs would refuse too, but not in words for users.

    Raises:
        ModelError: A required field behind an optional one, or parameters of
            ``__init__`` that cannot be.
    """
    optional = ""
    seen = {"self": "self"}
    for attribute in attributes:
        if not attribute.init:
            continue
        where = f"{cls.__qualname__}.{attribute.name}"
        alias = cast("str", attribute.alias)
        if alias in seen:
            msg = (
                f"{where}: {seen[alias]} is a parameter of __init__ already; give "
                f"this one field(alias=...)"
            )
            raise ModelError(msg)
        if not alias.isidentifier() or iskeyword(alias):
            msg = f"{where}: {alias!r} can be no parameter of __init__; change alias="
            raise ModelError(msg)
        seen[alias] = attribute.name
        if attribute.kw_only:
            continue
        if attribute.default is not attrs.NOTHING:
            optional = attribute.name
        elif optional:
            msg = (
                f"{where}: a required field cannot follow {optional}, which has a "
                "default; move it before that, or give it a default, or say "
                "field(kw_only=True)"
            )
            raise ModelError(msg)


def _prepare(
    cls: type, attribute: "attrs.Attribute[Any]", *, kw_only: bool
) -> "attrs.Attribute[Any]":
    changes: dict[str, Any] = {"kw_only": True} if kw_only else {}
    options = options_of(attribute)
    if isinstance(attribute.default, if_loaded("dataclasses", "Field")):
        msg = (
            f"{cls.__qualname__}.{attribute.name}: dataclasses.field() is for "
            "dataclasses; use storify.field(factory=...)"
        )
        raise ModelError(msg)
    if not options.alias_given and _alias_is_default(attribute):
        # attrs would strip the underscore, type checkers do not
        changes["alias"] = attribute.name
    if _is_mutable(attribute.default):
        changes["default"] = _copying_factory(attribute.default)
    if not options.stored:
        if attribute.default is attrs.NOTHING:
            msg = (
                f"{cls.__qualname__}.{attribute.name}: a field that is not stored "
                "has no value after a load; give it a default"
            )
            raise ModelError(msg)
        # a round trip must compare equal, and secrets stay out of logs
        changes |= {"eq": False, "order": False, "hash": False, "repr": False}
    return attribute.evolve(**changes)


def _alias_is_default(attribute: "attrs.Attribute[Any]") -> bool:
    # attrs tells since 26.1; before, a stripped alias is taken for attrs' own
    guess = attribute.alias in {None, attribute.name.lstrip("_")}
    return bool(getattr(attribute, "alias_is_default", guess))


def _is_mutable(default: Any) -> bool:
    if default is attrs.NOTHING or isinstance(default, _FACTORY):
        return False
    if hasattr(cast("Any", type(default)), "__storify__"):
        return True  # a Model: hand-written ones hash by identity and still change
    try:
        hash(default)
    except TypeError:
        return True
    return False


def _copying_factory(default: Any) -> Any:
    for kind in cast("tuple[type[Any], ...]", (list, dict, set)):
        if type(default) is kind and not default:
            return cast("Any", attrs.Factory)(kind)
    return attrs.Factory(partial(copy.deepcopy, default))


def default_of(attribute: "attrs.Attribute[Any]", obj: object) -> Any:
    """Make the default of *attribute* for *obj*, as attrs' ``__init__`` would.

    The converter does run here: a default is no stored value.
    """
    default: Any = attribute.default
    if isinstance(default, _FACTORY):
        value = default.factory(obj) if default.takes_self else default.factory()
    else:
        value = default
    return convert(attribute, obj, value)


def convert(attribute: "attrs.Attribute[Any]", obj: object, value: Any) -> Any:
    """Run the converter of *attribute*, if it has one, for *obj*."""
    converter = cast("Any", attribute).converter
    if converter is None:
        return value
    if isinstance(converter, _CONVERTER):
        return converter(value, obj, attribute)
    return converter(value)
