"""Quick checks of what was loaded: does it fit what its annotations say of it.

The class of a model checks its own fields when it makes an object. It cannot know what
an annotation elsewhere says of them, as ``Box[int]`` does; nobody converts or refuses
the fields of plain classes; and a database may be one of ``list[int]``. Each check here
is generated for one of these. It may be false although all is right, as for what is
too deep, and then a walk tells; it is never true for what is wrong.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from .binding import Binding
from .checks import Checks, compiled
from .conform import Check, checker, classes_in, is_told_outside, says_more
from .hints import (
    Anything,
    Shape,
    describe,
)
from .options import class_of
from .plain import PlainClasses
from .state import state_of

__all__ = ["Fitting", "needs_look"]


class Fitting:
    """The quick checks of one registry.

    Attributes:
        binding: Tells references what they should lead to.

    Args:
        shapes_of: Gives what the fields of a model admit.
        plain: Knows the plain classes.
        parse: Gives the shape of an annotation; anything, if none can be given.
    """

    def __init__(
        self,
        shapes_of: Callable[[type, tuple[Any, ...]], Mapping[str, Shape]],
        plain: PlainClasses,
        parse: Callable[[Any], Shape],
    ) -> None:
        self.binding: Binding = Binding(parse, shapes_of)
        self._shapes_of = shapes_of
        self._plain = plain
        self._inside: dict[tuple[type, tuple[Any, ...]], dict[str, Check]] = {}
        self._checks: dict[type, Check] = {}

    def forget(self) -> None:
        """Make the checks of plain classes anew: more may be known of them."""
        self._checks.clear()

    def of(self, shape: Shape) -> Check | None:
        """Return a check of *shape*; None if the class of a value tells all.

        The references in a value learn by it what they should lead to.
        """
        check = None if is_told_outside(shape) else self._made(shape)
        bind = self.binding.of(shape, f"a value of {describe(shape)}")
        if bind is None:
            return check

        def look(value: Any) -> bool:
            bind(value)
            return check is None or check(value)

        return look

    def within(self, shape: Shape) -> Check | None:
        """Return a check of values of *shape*; None if no model in it is parametrised."""
        return self._made(shape) if needs_look(shape) else None

    def plain(self, obj: object) -> bool:
        """Tell whether the fields of an object of a plain class fit; others do."""
        cls = class_of(obj)
        check = self._checks.get(cls)
        if check is None:
            check = self._checks[cls] = self._of_fields(cls)
        try:
            return check(obj)
        except Exception:  # noqa: BLE001 -- of a class of the user's, or too deep
            return False

    def inside(self, cls: type, args: tuple[Any, ...]) -> Check:
        """Return a check of what is in objects of a parametrised model."""

        def check(obj: Any) -> bool:
            own = class_of(obj)
            if (own, args) not in self._inside:  # made when needed: it may be in itself
                self._inside[own, args] = self._checks_of(own, args)
            state = state_of(obj)
            checks = self._inside[own, args].items()
            return all(fits(state[name]) for name, fits in checks if name in state)

        del cls  # an object of a subclass knows better
        return check

    def _checks_of(self, cls: type, args: tuple[Any, ...]) -> dict[str, Check]:
        return {
            name: checker(shape, self.inside)
            for name, shape in self._shapes_of(cls, args).items()
            if not isinstance(shape, Anything)
        }

    def _made(self, shape: Shape) -> Check:
        """Generate a check; false for what is too deep."""
        thorough = checker(shape, self.inside)

        def slow(value: Any) -> bool:
            try:
                return thorough(value)
            except RecursionError:
                return False

        code = Checks(self.inside)
        code.add("o", shape)
        quick = _compile(code, [], slow)

        def check(value: Any) -> bool:
            try:
                return quick(value)
            except RecursionError:
                return False

        return check

    def _of_fields(self, cls: type) -> Check:
        shapes = {
            name: shape
            for name, shape in self._plain.shapes_of(cls).items()
            if not isinstance(shape, Anything) and not _runs_code(cls, name)
        }
        checks = {name: checker(shape, self.inside) for name, shape in shapes.items()}

        def slow(obj: Any) -> bool:
            return all(fits(getattr(obj, name)) for name, fits in checks.items())

        code = Checks(self.inside)
        lines: list[str] = []
        for at, (name, shape) in enumerate(shapes.items()):
            lines.append(f"v{at} = o.{name}")
            code.add(f"v{at}", shape)
            bind = self.binding.of(shape, f"{cls.__qualname__}.{name}")
            if bind is not None:
                code.names[f"b{at}"] = bind
                lines.append(f"b{at}(v{at})")
        return _compile(code, lines, slow)


def _compile(code: Checks, lines: list[str], slow: Check) -> Check:
    conditions = " and ".join(code.conditions) or "True"
    body = [*lines, f"if not ({conditions}):", "    return slow(o)", *code.loops]
    source = ["def fits(o):", *(f"    {line}" for line in body), "    return True"]
    made: Check = compiled("fits", source, {"slow": slow, **code.names})["fits"]
    return made


def _runs_code(cls: type, name: str) -> bool:
    """Tell whether reading an attribute calls something of the class."""
    found: object = inspect.getattr_static(cls, name, None)
    return hasattr(class_of(found), "__get__") and not (
        inspect.ismemberdescriptor(found) or issubclass(cls, tuple)
    )


def needs_look(shape: Shape) -> bool:
    """Tell whether *shape* names a parametrised model."""
    return any(says_more(named.cls, named.args) for named in classes_in(shape))
