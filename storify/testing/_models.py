"""`models`: strategies for objects of model classes, with every stored field drawn.

An object is made by its class's own constructor, with values that its annotations
and validators admit. A default is one possible value of a field, not the usual one.
"""

import dataclasses
import enum
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import reduce
from typing import Any, Final, TypeVar, cast, get_args, get_origin

import attrs
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from _storify_hypothesis import is_registered
from storify.models import Model, Ref
from storify.models.fields import convert, default_of, options_of
from storify.models.hints import resolve, subclasses
from storify.models.options import class_options
from storify.models.registry import Registry
from storify.models.state import bare, blank, state_of

from ._scalars import SCALARS, Bounds, hashables, of_validator, refusals
from ._shapes import (
    Shapes,
    deeper,
    has_fields,
    is_endless,
    one_level,
    parse,
)

M = TypeVar("M", bound=Model)
Strategy = st.SearchStrategy[Any]
Given = Mapping[str, Strategy]

# --- classes that are no models: enums, named tuples, dataclasses ---------------------
#
# A strategy that the user registered with Hypothesis for a class goes before ours.


_CONTAINERS = (list, tuple, dict, set, frozenset)


class Kinds:
    def __init__(self, shapes: Callable[[], Shapes], *, odd: bool) -> None:
        self._shapes = shapes
        self._odd = odd
        #: One for each class with fields, or a recursive one would be made for ever.
        self._known: dict[type, Strategy] = {}

    def strategy(self, cls: type[Any], bounds: Bounds) -> Strategy:
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
        return sets.map(lambda found: reduce(lambda a, b: a | b, found, none))
    return st.sampled_from(members)


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
    """The facts that can be found out about a hand-written class.

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
        hints = (n for c in self.cls.__mro__ for n in inspect.get_annotations(c))
        found = {name for name in hints if not name.startswith("_")}
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


# --- `models`, and what `st.builds` gives of a model class ------------------------------

_MEMO: Final = "__storify_strategies__"


def models(
    cls: type[M],
    /,
    *,
    subclasses: bool = False,
    adversarial: bool = False,
    **fields: st.SearchStrategy[Any],
) -> st.SearchStrategy[M]:
    """Return objects of a model class, every stored field drawn.

    What attrs' validators and ``Annotated`` say are bounds to draw within; other
    validators filter. Fields that are not stored keep their defaults.

    ::

        @given(models(User, age=st.integers(18, 99)))
        def test_mine(user): ...

    Args:
        cls: The class, or a parametrised one such as ``Box[int]``; of an abstract
            one, objects of its subclasses.
        subclasses: Also objects of its subclasses, here and in fields.
        adversarial: Also what breaks stores, as far as the types admit it; see
            `storable`.
        **fields: Strategies for fields, by the name of the attribute or of the
            parameter. They need not fit the annotations.

    Raises:
        TypeError: *cls* is no Model class, or has no field of a given name. When
            a first object is drawn: nothing is known of a field.
    """
    origin = get_origin(cls) or cls
    if not (isinstance(origin, type) and issubclass(origin, Model)):
        msg = (
            f"models() takes a Model class, not {cls!r}; draw objects of another class "
            f"with st.builds(), and register it with types="
        )
        raise TypeError(msg)
    makers = _Makers(adversarial=adversarial, subclasses=subclasses)
    found: Any = makers.of_model(origin, get_args(cls), fields)
    return cast("st.SearchStrategy[M]", found)


def built(
    cls: type[Model],
    positional: Sequence[Strategy],
    given: Given,
    wanted: AbstractSet[str],
) -> Strategy:
    """Return what ``st.builds`` is to give of a declared class.

    From the strategies that are given for its parameters; those *wanted* are drawn as
    `models` does.
    """
    attributes = {a.alias: a for a in class_options(cls).attributes if a.init}
    names = [name for name, a in attributes.items() if not a.kw_only]
    found = dict(zip(names, positional, strict=False))
    found.update(given)
    unknown = found.keys() - attributes.keys()
    if unknown:
        msg = f"builds({cls.__qualname__}): it has no parameter {', '.join(map(str, unknown))}"
        raise TypeError(msg)
    parts = [Part(attributes[n], each, is_given=True) for n, each in found.items()]
    makers = _Makers(adversarial=False, subclasses=False)
    parts += [
        Part(attribute, makers.of_attribute(cls, attribute, hint), is_wanted=True)
        for attribute, hint in makers.stored(cls, ())
        if attribute.alias in wanted
    ]
    return declared_objects(cls, parts)


def all_of(cls: type[Model]) -> Strategy:
    """Return objects of *cls* as they come and such as break stores."""
    return models(cls) | models(cls, adversarial=True)


def models_with_defaults(cls: type[Model]) -> Strategy | None:
    """Return objects of *cls* made with what their constructor needs, and no more.

    None for a hand-written class that needs what nothing is known of.
    """
    makers = _Makers(adversarial=False, subclasses=False)
    if class_options(cls).declared:
        parts = [
            Part(attribute, makers.of_attribute(cls, attribute, hint))
            for attribute, hint in makers.stored(cls, ())
            if attribute.init and attribute.default is attrs.NOTHING
        ]
        return declared_objects(cls, parts)
    written = Written(cls)
    if not set(written.required) <= written.hints.keys():
        return None
    return written_objects(written, makers.of_hints(written, set(written.required)))


class _Makers:
    """Makes the strategies of one kind, once for each class."""

    def __init__(self, *, adversarial: bool, subclasses: bool) -> None:
        self._odd = adversarial
        self._subclasses = subclasses
        self._kinds = Kinds(self._shapes, odd=adversarial)

    def of_model(
        self, cls: type[Model], args: tuple[Any, ...], given: Given
    ) -> Strategy:
        """Return objects of *cls* and, if wanted, of its subclasses."""
        classes = [cls] if not inspect.isabstract(cls) else []
        if self._subclasses or not classes:
            below = cast("Iterator[type[Model]]", subclasses(cls))
            classes += [sub for sub in below if not inspect.isabstract(sub)]
        if not classes:
            msg = f"{cls.__qualname__} is abstract and has no subclass to draw from"
            raise InvalidArgument(msg)
        return st.one_of(
            [self._of_one(c, args if c is cls else (), given) for c in classes]
        )

    def _of_one(
        self, cls: type[Model], args: tuple[Any, ...], given: Given
    ) -> Strategy:
        if class_options(cls).declared:
            known = {
                n for a in class_options(cls).attributes for n in (a.name, str(a.alias))
            }
            takes_any = False

            def make() -> Strategy:
                return self._declared(cls, args, given)
        else:
            written = Written(cls)
            known, takes_any = written.names, written.takes_any

            def make() -> Strategy:
                return self._written(written, given)

        unknown = given.keys() - known
        if unknown and not takes_any:
            names = ", ".join(sorted(unknown))
            msg = f"models({cls.__qualname__}): it has no field {names}"
            raise TypeError(msg)
        make.__name__ = f"models({cls.__qualname__})"  # which Hypothesis shows
        if given:
            return st.deferred(make)
        # one for each class, or a recursive one would be made for ever
        memo = vars(cls).get(_MEMO)
        if memo is None:
            memo = {}
            setattr(cls, _MEMO, memo)
        key = self._odd, self._subclasses, args
        if key not in memo:
            memo[key] = st.deferred(make)
        return cast("Strategy", memo[key])

    def _shapes(self, *tags: str) -> Shapes:
        return Shapes(self._of_class, odd=self._odd, tags=tags)

    def _of_class(self, cls: type, args: tuple[Any, ...], bounds: Bounds) -> Strategy:
        if issubclass(cls, Model):
            if is_registered(cls):
                return st.from_type(cast("Any", cls)[args] if args else cls)
            return self.of_model(cls, args, {})
        return self._kinds.strategy(cast("Any", cls), bounds)

    # Declared classes

    def stored(
        self, cls: type[Model], args: tuple[Any, ...]
    ) -> list[tuple["attrs.Attribute[Any]", Any]]:
        """List the stored fields of a declared class with their annotations."""
        hints = hints_of(cls, args)
        return [
            (attribute, hints.get(attribute.name, Any))
            for attribute in class_options(cls).attributes
            if options_of(attribute).stored
        ]

    def of_attribute(
        self, cls: type[Model], attribute: "attrs.Attribute[Any]", hint: Any
    ) -> Strategy:
        """Return what a field may hold."""
        if cls is Ref and attribute.name == "key":
            return hashables(adversarial=self._odd)
        shape = parse(hint, cls, f"{cls.__qualname__}.{attribute.name}")
        bounds = of_validator(attribute.validator, attribute, cls.__qualname__)
        return self._shapes(cls._keyname()).strategy(shape, bounds)

    def _declared(
        self, cls: type[Model], args: tuple[Any, ...], given: Given
    ) -> Strategy:
        parts: dict[str, Part] = {}
        for attribute in class_options(cls).attributes:
            found = given.get(attribute.name, given.get(str(attribute.alias)))
            if found is not None:
                parts[attribute.name] = Part(attribute, found, is_given=True)
        for attribute, hint in self.stored(cls, args):
            if attribute.name not in parts and not is_computed(cls, attribute):
                found = self.of_attribute(cls, attribute, hint)
                parts[attribute.name] = Part(attribute, found)
        return declared_objects(cls, list(parts.values()))

    # Hand-written classes

    def of_hints(
        self, written: Written, names: AbstractSet[str]
    ) -> dict[str, Strategy]:
        """Return what those of its attributes and parameters may be."""
        cls = written.cls
        shapes = self._shapes(cls._keyname())
        return {
            name: shapes.strategy(parse(hint, cls, f"{cls.__qualname__}.{name}"))
            for name, hint in written.hints.items()
            if name in names
        }

    def _written(self, written: Written, given: Given) -> Strategy:
        cls = written.cls
        names = written.hints.keys() - given.keys()
        parts = {**self.of_hints(written, names), **given}
        unknown = [n for n in written.required if n not in parts]
        if not parts and written.names:
            unknown = sorted(written.names)
        if unknown:
            listed = ", ".join(unknown)
            msg = (
                f"models({cls.__qualname__}): nothing is known of {listed}; annotate "
                f"the parameters, or give strategies: models({cls.__qualname__}, "
                f"{unknown[0]}=...)"
            )
            raise InvalidArgument(msg)
        return written_objects(written, parts)
