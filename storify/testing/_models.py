"""`models`: strategies for objects of model classes, with every stored field drawn.

An object is made by its class's own constructor, with values that its annotations
and validators admit. A default is one possible value of a field, not the usual one.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar, cast, get_args, get_origin

import attrs
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from _storify_hypothesis import is_registered
from storify.models import Model, Ref
from storify.models.fields import options_of
from storify.models.hints import subclasses
from storify.models.options import class_options

from ._bounds import Bounds, of_validator
from ._objects import (
    Kinds,
    Part,
    Written,
    declared_objects,
    hints_of,
    is_computed,
    written_objects,
)
from ._scalars import hashables
from ._shapes import Shapes, parse

__all__ = ["all_of", "built", "models", "models_with_defaults"]

M = TypeVar("M", bound=Model)
Strategy = st.SearchStrategy[Any]
Given = Mapping[str, Strategy]

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
