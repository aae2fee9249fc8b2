"""Plain classes: what the fields of named tuples, dataclasses and attrs classes admit.

They are no models: the codec stores their objects field by field, and nothing
converts or refuses a value. Only a check looks at their annotations. They were not
written for it, so what one of them does not tell is ``Any``.
"""

import dataclasses
import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from .conform import Check, checker, is_told_by_class
from .hints import Anything, Lookup, Shape, UnresolvedError, annotations
from .options import class_of
from .state import items_of

__all__ = ["PlainClasses", "fields_of"]

_ANYTHING = Anything()


class PlainClasses:
    """What is known of plain classes, for one registry.

    Args:
        parse: Gives the shape of an annotation that stands in a class.
        lookup: Finds what a name means that its module does not define.
        hooked: Tells whether the user said how the objects of a class are stored.
            Then its annotations need not hold for what comes back.
    """

    def __init__(
        self,
        parse: Callable[[Any, type], Shape],
        lookup: Lookup,
        hooked: Callable[[type], bool],
    ) -> None:
        self._parse = parse
        self._lookup = lookup
        self._hooked = hooked
        self._known: dict[type, Mapping[str, Shape]] = {}

    def shapes_of(self, cls: type) -> Mapping[str, Shape]:
        """Return what the fields of *cls* admit, in order; empty if it is no such class.

        Where a name is not defined yet, the next call tries it again.
        """
        if self._hooked(cls):
            return _unjudged(cls)
        known = self._known.get(cls)
        if known is None:
            known, is_final = self._find_out(cls)
            if is_final:
                self._known[cls] = known
        return known

    def hints_of(self, cls: type) -> tuple[list[Any], bool]:
        """Return the annotations of the fields of *cls*, as far as they are resolved.

        Returns:
            The annotations, and whether none names what is not defined yet.
        """
        if self._hooked(cls):
            return [], True
        found = list(self._resolve(cls))
        hints = [h for _, h in found if not isinstance(h, _Pending)]
        return hints, len(hints) == len(found)

    def check(self) -> Check:
        """Make a check of objects of all classes, for use within a short time.

        If it is true for an object, a walk through it finds nothing wrong but in
        objects in its fields. It may be false although nothing is.
        """
        checks: dict[type, Check] = {}

        def check(obj: Any) -> bool:
            cls = class_of(obj)
            if cls not in checks:
                checks[cls] = _checker(self.shapes_of(cls))
            return checks[cls](obj)

        return check

    def _find_out(self, cls: type[Any]) -> tuple[Mapping[str, Shape], bool]:
        if not _has_fields(cls):
            return _unjudged(cls), True
        shapes: dict[str, Shape] = {}
        is_final = True
        for name, hint in self._resolve(cls):
            shapes[name] = _ANYTHING
            is_final = is_final and not isinstance(hint, _Pending)
            with suppress(Exception):  # there may be any code in it
                shapes[name] = self._shape_of(hint, cls)
        return shapes, is_final

    def _resolve(self, cls: type[Any]) -> Iterator[tuple[str, Any]]:
        """Return the fields of *cls* with their annotations.

        A `_Pending` stands for one that names what is not defined yet.
        """
        if not _has_fields(cls):
            return
        try:
            resolving = annotations(cls, self._lookup)
        except Exception:  # noqa: BLE001 -- a class may say anything about its bases
            resolving = {}
        for name, hint in _names_of(cls).items():
            resolve = resolving.get(name)
            try:
                yield name, resolve() if resolve else hint
            except (UnresolvedError, NameError):
                yield name, _Pending()
            except Exception:  # noqa: BLE001 -- there may be any code in it
                yield name, Any

    def _shape_of(self, hint: Any, cls: type) -> Shape:
        if hasattr(hint, "__get__") or isinstance(hint, _Pending):
            return _ANYTHING  # a descriptor, whose values are of another class
        return self._parse(hint, cls)


class _Pending:
    """Stands for an annotation that names what is not defined yet."""


def _has_fields(cls: type[Any]) -> bool:
    # members of an enum stand in the program, not in a file
    return bool(_names_of(cls)) and not issubclass(cls, enum.Enum)


def fields_of(obj: Any, names: Iterable[str]) -> Iterable[tuple[str, Any]]:
    """Return the fields *names* of an object of a plain class, as they are stored."""
    if isinstance(obj, tuple):
        return zip(names, items_of(obj), strict=False)
    return [(name, getattr(obj, name)) for name in names if hasattr(obj, name)]


def _unjudged(cls: type[Any]) -> Mapping[str, Shape]:
    """Return the fields in which objects may stand, whatever the annotations say."""
    return {} if issubclass(cls, tuple) else dict.fromkeys(_names_of(cls), _ANYTHING)


def _names_of(cls: Any) -> dict[str, Any]:
    """Return the stored fields of *cls*, with types for those without annotation."""
    if tuple in cls.__mro__:
        names: Any = getattr(cls, "_fields", ())
        return dict.fromkeys(names, Any) if class_of(names) is tuple else {}
    if "__attrs_attrs__" not in vars(cls) and dataclasses.is_dataclass(cls):
        return {field.name: field.type for field in dataclasses.fields(cls)}
    attributes: Any = getattr(cls, "__attrs_attrs__", ())
    return {each.name: Any if each.type is None else each.type for each in attributes}


def _checker(shapes: Mapping[str, Shape]) -> Check:
    if all(isinstance(shape, Anything) for shape in shapes.values()):
        return lambda _: True
    if not all(map(is_told_by_class, shapes.values())):
        return lambda _: False
    checks = {name: checker(shape) for name, shape in shapes.items()}

    def check(obj: Any) -> bool:
        try:
            return all(checks[name](value) for name, value in fields_of(obj, checks))
        except Exception:  # noqa: BLE001 -- of a class of the user's, or too deep
            return False

    return check
