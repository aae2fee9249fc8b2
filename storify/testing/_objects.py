"""Objects of the classes of a program: of those that are no models, declared, hand-written."""

import dataclasses
import enum
import inspect
import typing
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Final, cast

import attrs
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from _storify_hypothesis import is_registered
from storify.models import Model
from storify.models.fields import convert, default_of
from storify.models.hints import resolve, subclasses
from storify.models.options import class_options
from storify.models.registry import Registry
from storify.models.state import bare, blank, state_of

from ._bounds import Bounds, of_validator, refusals
from ._scalars import SCALARS
from ._shapes import (
    Shapes,
    deeper,
    has_fields,
    is_endless,
    one_level,
    parse,
)

__all__ = [
    "Kinds",
    "Part",
    "Written",
    "declared_objects",
    "hints_of",
    "is_computed",
    "written_objects",
]


# --- classes that are no models: enums, named tuples, dataclasses ---------------------
#
# A strategy that the user registered with Hypothesis for a class goes before ours.


Strategy = st.SearchStrategy[Any]
_CONTAINERS = (list, tuple, dict, set, frozenset)


class Kinds:
    """Makes the strategies of classes that are no models."""

    def __init__(self, shapes: Callable[[], Shapes], *, odd: bool) -> None:
        self._shapes = shapes
        self._odd = odd
        #: One for each class with fields, or a recursive one would be made for ever.
        self._known: dict[type, Strategy] = {}

    def strategy(self, cls: type[Any], bounds: Bounds) -> Strategy:
        """Return objects of *cls*."""
        if is_registered(cls):
            return st.from_type(cls)
        if issubclass(cls, enum.Enum):
            return _enum(cls)
        if has_fields(cls):
            if cls not in self._known:
                self._known[cls] = st.deferred(lambda: one_level(self._of_fields(cls)))
            return self._known[cls]
        for base in cls.__mro__[1:]:
            if base in SCALARS:
                return SCALARS[base](bounds, odd=self._odd).map(cls)
            if base in _CONTAINERS:
                shape = parse(base, None, cls.__qualname__)
                return self._shapes().strategy(shape, bounds).map(cls)
        return self._below(cls)

    def _of_fields(self, cls: type[Any]) -> Strategy:
        if tuple in cls.__mro__:
            return self._built(cls, _hints_of(cls, cls._fields))
        if dataclasses.is_dataclass(cls):
            names = [f.name for f in dataclasses.fields(cls) if f.init]
            return self._built(cls, _hints_of(cls, names))
        return self._attrs(cls)

    def _built(self, cls: type, hints: Mapping[str, Any]) -> Strategy:
        shapes = self._shapes()
        return st.builds(
            cls,
            **{
                name: shapes.strategy(parse(hint, cls, f"{cls.__qualname__}.{name}"))
                for name, hint in hints.items()
            },
        )

    def _attrs(self, cls: type) -> Strategy:
        fields = [a for a in attrs.fields(cls) if a.init]
        hints = _hints_of(cls, [a.name for a in fields])
        shapes = self._shapes()
        found: dict[str, Strategy] = {}
        for attribute in fields:
            where = f"{cls.__qualname__}.{attribute.name}"
            shape = parse(hints[attribute.name], cls, where)
            bounds = of_validator(attribute.validator, attribute)
            found[attribute.alias] = shapes.strategy(shape, bounds)
        return st.builds(cls, **found)

    def _below(self, cls: type) -> Strategy:
        """Return objects of the subclasses of an abstract class or a mixin."""
        below = [sub for sub in subclasses(cls) if not inspect.isabstract(sub)]
        if not below:
            return st.from_type(cast("Any", cls))
        shapes = self._shapes()
        where = cls.__qualname__
        return st.one_of([shapes.strategy(parse(sub, None, where)) for sub in below])


def _enum(cls: type[enum.Enum]) -> Strategy:
    members: list[Any] = list(cls)
    if not members:
        msg = f"cannot draw a {cls.__qualname__}: it has no members"
        raise InvalidArgument(msg)
    if issubclass(cls, enum.Flag):
        none: Any = cls(0)
        sets = st.sets(st.sampled_from(members))
        return sets.map(lambda found: reduce(_both, found, none))
    return st.sampled_from(members)


def _both(one: Any, other: Any) -> Any:
    return one | other


def _hints_of(cls: type, names: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {name: hints.get(name, Any) for name in names}


# --- objects of declared classes, made of drawn values --------------------------------
#
# By the constructor of the class, so that what it refuses is never drawn. Where a
# converter does not take what its field holds, the values are set as a load sets them.

#: Of a byte that is this or more, the field keeps its default: one time in 8. What is
#: drawn shrinks to 0, so a failing example tells the values.
_LEFT_OUT: Final = 224


class Part:
    """A field that is drawn: always, if *is_wanted*, though it has a default."""

    def __init__(
        self,
        attribute: "attrs.Attribute[Any]",
        strategy: Strategy,
        *,
        is_given: bool = False,
        is_wanted: bool = False,
    ) -> None:
        self.attribute = attribute
        self.strategy = strategy
        self.is_given = is_given
        self.is_wanted = is_wanted

    def __repr__(self) -> str:
        # Hypothesis shows what it drew from
        return f"{self.attribute.name}={self.strategy!r}"

    @property
    def may_be_left_out(self) -> bool:
        """Whether the default is one possible value."""
        has_default = self.attribute.default is not attrs.NOTHING
        return has_default and not self.is_given and not self.is_wanted


def is_computed(cls: type, attribute: "attrs.Attribute[Any]") -> bool:
    """Tell whether the class finds a field's value itself, from others."""
    if attribute.init:
        return False
    default: Any = attribute.default
    takes_self = getattr(default, "takes_self", False)
    return takes_self or hasattr(cls, "__attrs_post_init__")


@st.composite
def declared_objects(draw: st.DrawFn, cls: type[Model], parts: list[Part]) -> Model:
    """Return objects of *cls* with these fields drawn."""
    values: dict[str, Any] = {}
    if is_endless():
        refusals.last = f"{refusals.field} has no end: it holds another one each time"
        reject()
    left_out = _drawn_left_out(draw, parts)
    with deeper():
        for part in parts:
            refusals.field = f"{cls.__qualname__}.{part.attribute.name}"
            try:
                value = draw(part.strategy)
            except InvalidArgument as err:
                msg = f"{cls.__qualname__}.{part.attribute.name}: {err}"
                raise InvalidArgument(msg) from err
            if part.attribute.name not in left_out:
                values[part.attribute.name] = value
    given = {part.attribute.name for part in parts if part.is_given}
    return _make(cls, values, given)


def _drawn_left_out(draw: st.DrawFn, parts: list[Part]) -> set[str]:
    """Draw which fields keep their defaults, in one go: there may be hundreds.

    Their values are drawn all the same, so that nothing else moves when that shrinks.
    """
    names = [part.attribute.name for part in parts if part.may_be_left_out]
    if not names:
        return set()
    chosen = draw(st.binary(min_size=len(names), max_size=len(names)))
    drawn = zip(names, chosen, strict=True)
    return {name for name, byte in drawn if byte >= _LEFT_OUT}


def _make(cls: type[Model], values: dict[str, Any], given: set[str]) -> Model:
    """Make an object of drawn values; one that its class refuses is none."""
    attributes = {a.name: a for a in class_options(cls).attributes}
    refused = {
        name
        for name, value in values.items()
        if name not in given and not _is_converted(attributes[name], value)
    }
    try:
        return _as_loaded(cls, values, refused) if refused else _called(cls, values)
    except Exception as err:
        if _ran_post_init(cls, err) and not isinstance(err, ValueError):
            raise
        _note_refusal(cls, values, err)
        reject()


def _note_refusal(cls: type[Model], values: dict[str, Any], err: Exception) -> None:
    """Find out which field refuses an object of *cls* with these values."""
    where = cls.__qualname__
    obj, _ = bare(cls)
    state_of(obj).update(values)
    for attribute in class_options(cls).attributes:
        name = attribute.name
        try:
            if name not in values and attribute.default is not attrs.NOTHING:
                state_of(obj)[name] = default_of(attribute, obj)
            if attribute.validator is not None and name in state_of(obj):
                attribute.validator(obj, attribute, state_of(obj)[name])
        except Exception as found:  # noqa: BLE001 -- it is what is told
            err, where = found, f"{cls.__qualname__}.{name}"
            break
    refusals.note(where, err)


def _called(cls: type[Model], values: dict[str, Any]) -> Model:
    attributes = {a.name: a for a in class_options(cls).attributes}
    after = {n: x for n, x in values.items() if not attributes[n].init}
    obj = cls(
        **{str(attributes[n].alias): x for n, x in values.items() if n not in after}
    )
    if after:
        state_of(obj).update(after)
        attrs.validate(cast("Any", obj))
    return obj


def _as_loaded(cls: type[Model], values: dict[str, Any], refused: set[str]) -> Model:
    """Make an object that holds what some of its converters do not take."""
    obj: Model = blank(cls)
    attributes = {a.name: a for a in class_options(cls).attributes}
    for name, value in values.items():
        kept = name in refused or not attributes[name].init
        held = value if kept else convert(attributes[name], obj, value)
        state_of(obj)[name] = held
    attrs.validate(cast("Any", obj))
    post_init = getattr(obj, "__attrs_post_init__", None)
    if post_init is not None:
        post_init()
    return obj


def _is_converted(attribute: "attrs.Attribute[Any]", value: Any) -> bool:
    """Tell whether the converter of a field takes what the field holds."""
    converter: Any = cast("Any", attribute).converter
    if converter is None or getattr(converter, "takes_self", False):
        return True
    try:
        convert(attribute, None, value)
    except (TypeError, AttributeError):
        return False
    except Exception:  # noqa: BLE001 -- a frozen class, a validator: whatever it raises
        reject()
    return True


def _ran_post_init(cls: type[Model], err: Exception) -> bool:
    code = getattr(getattr(cls, "__attrs_post_init__", None), "__code__", None)
    place = err.__traceback__
    while place is not None:
        if place.tb_frame.f_code is code:
            return True
        place = place.tb_next
    return False


# --- objects of hand-written classes, and what can be found out about those -----------


def hints_of(cls: type[Model], args: tuple[Any, ...]) -> dict[str, Any]:
    """Return the annotations of a model class with all names resolved."""
    registry = Registry(register_type=lambda _: None)
    return resolve(cls, registry._named, args)


class Written:
    """What can be found out about a hand-written class.

    Attributes:
        cls: The class.
        parameters: Those of its constructor.
        required: The names of those without a default.
        names: All that it may have, as far as one can tell.
        takes_any: Whether its constructor takes any name.
    """

    def __init__(self, cls: type[Model]) -> None:
        self.cls = cls
        found = inspect.signature(cls).parameters
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        self.parameters = {n: p for n, p in found.items() if p.kind not in kinds}
        self.takes_any = any(p.kind is p.VAR_KEYWORD for p in found.values())
        self.required = [
            n
            for n, p in self.parameters.items()
            if p.default is inspect.Parameter.empty
        ]
        self.names = {*self.parameters, *self._attributes()}

    def _attributes(self) -> set[str]:
        found = {name for name in _raw_hints(self.cls) if not name.startswith("_")}
        if not self.required:
            found |= {n for n in state_of(self.cls()) if not n.startswith("_")}
        return found

    @property
    def hints(self) -> dict[str, Any]:
        """The annotations there are, of attributes and of parameters."""
        attributes = {
            name: hint
            for name, hint in hints_of(self.cls, ()).items()
            if not name.startswith("_")
        }
        init = cast("Any", self.cls).__init__
        try:
            parameters = typing.get_type_hints(init, include_extras=True)
        except (NameError, TypeError):
            parameters = {}
        parameters = {n: h for n, h in parameters.items() if n in self.parameters}
        return attributes | parameters


def _raw_hints(cls: type) -> set[str]:
    return {name for base in cls.__mro__ for name in inspect.get_annotations(base)}


@st.composite
def written_objects(
    draw: st.DrawFn, written: Written, parts: Mapping[str, st.SearchStrategy[Any]]
) -> Model:
    """Return objects of a hand-written class with these names drawn."""
    with deeper():
        values = {name: draw(strategy) for name, strategy in parts.items()}
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in written.parameters.items():
        if name in values and parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(values.pop(name))
        elif name in values:
            named[name] = values.pop(name)
    if written.takes_any:
        named |= {n: values.pop(n) for n in list(values)}
    try:
        obj = written.cls(*positional, **named)
    except ValueError:
        reject()
    for name, value in values.items():
        setattr(obj, name, value)
    return obj
