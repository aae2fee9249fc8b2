"""References learn what the annotation says at which they are loaded.

A `Ref` is stored as a name and a key. What ``Ref[User]`` says of the record stands in
the annotation, so each reference that is loaded there is told; it is checked when the
reference is followed.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from .conform import LISTED, checker, conforms, says_open
from .hints import Instance, Items, Pairs, Record, Shape, Tuple, Union, describe
from .options import is_model_class
from .ref import Expected, Ref
from .state import items_of, pairs, state_of
from .walk import name_beside

__all__ = ["Bind", "Binding"]

Bind = Callable[[Any], object]
"""Tells the references in a value what they should lead to."""


class Binding:
    """Makes what tells references, for one registry.

    Args:
        parse: Gives the shape of an annotation; anything, if none can be given.
        shapes_of: Gives what the fields of a model admit.
    """

    def __init__(
        self,
        parse: Callable[[Any], Shape],
        shapes_of: Callable[[type, tuple[Any, ...]], Mapping[str, Shape]],
    ) -> None:
        self._parse = parse
        self._shapes_of = shapes_of
        self._above: list[tuple[type, tuple[Any, ...]]] = []

    def of(  # noqa: PLR0911 -- a table of the shapes
        self, shape: Shape, place: str
    ) -> Bind | None:
        """Return what tells the references in values of *shape*; None if it names none.

        Args:
            shape: The shape.
            place: Where the annotation stands, for messages.
        """
        match shape:
            case Instance(cls, args) if cls is Ref and not says_open(args):
                return self._tell(args[0], place)
            case Instance(cls, args) if args and cls is not Ref and is_model_class(cls):
                return self._in_object(cls, args, place)
            case Union(arms):
                return self._in_one_of(arms, place)
            case Items(_, item):
                bind = self.of(item, place)
                return None if bind is None else partial(_each_item, bind=bind)
            case Pairs(_, key, item):
                return self._in_pairs(key, item, place)
            case Tuple(items):
                return _at_places([self.of(item, place) for item in items])
            case Record(_, keys):
                binds = {name: self.of(item, place) for name, item in keys.items()}
                return _at_keys(binds, pairs)
            case _:
                return None

    def _tell(self, hint: Any, place: str) -> Bind:
        def judge(record: Any) -> tuple[str, str] | None:
            shape = self._parse(hint)  # each time: a class may be defined again
            if conforms(record, shape):
                return None
            wanted = describe(shape)
            return wanted, name_beside(record, wanted)

        expected = Expected(place, judge)

        def tell(value: Any) -> None:
            if type(value) is Ref:
                state_of(cast("object", value))["_expected"] = expected

        return tell

    def _in_object(self, cls: type, args: tuple[Any, ...], place: str) -> Bind | None:
        if (cls, args) in self._above:
            return None  # it is in itself, and the outer one is told
        self._above.append((cls, args))
        try:
            shapes = self._shapes_of(cls, args)
            binds = {name: self.of(shape, place) for name, shape in shapes.items()}
        finally:
            self._above.pop()
        bind = _at_keys(binds, lambda obj: state_of(obj).items())
        if bind is None:
            return None
        return lambda obj: bind(obj) if isinstance(obj, cls) else None

    def _in_one_of(self, arms: tuple[Shape, ...], place: str) -> Bind | None:
        """Tell the references of one arm: those of several may be of any of them."""
        found = {arm: bind for arm in arms if (bind := self.of(arm, place)) is not None}
        if len(found) != 1:
            return None
        ((arm, only),) = found.items()
        fits = checker(arm)
        return lambda value: only(value) if fits(value) else None

    def _in_pairs(self, key: Shape, item: Shape, place: str) -> Bind | None:
        of_keys, of_items = self.of(key, place), self.of(item, place)
        if of_keys is None and of_items is None:
            return None

        def bind(value: Any) -> None:
            if isinstance(value, dict):
                for each, inner in pairs(value):
                    if of_keys is not None:
                        of_keys(each)
                    if of_items is not None:
                        of_items(inner)

        return bind


def _each_item(value: Any, bind: Bind) -> None:
    if isinstance(value, LISTED):
        for item in items_of(value):
            bind(item)


def _at_places(binds: list[Bind | None]) -> Bind | None:
    found = [(at, bind) for at, bind in enumerate(binds) if bind is not None]

    def bind_all(value: Any) -> None:
        if isinstance(value, tuple) and len(cast("Any", value)) == len(binds):
            for at, bind in found:
                bind(value[at])

    return bind_all if found else None


def _at_keys(
    binds: dict[str, Bind | None], pairs_of: Callable[[Any], Any]
) -> Bind | None:
    found = {name: bind for name, bind in binds.items() if bind is not None}

    def bind_all(value: Any) -> None:
        for name, item in pairs_of(value):
            if name in found:
                found[name](item)

    return bind_all if found else None
