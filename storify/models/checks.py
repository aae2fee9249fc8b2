"""Type checks as source code, for the fast path of the generated ``structure``.

One condition for the values themselves and loops for what is in containers; each
leaves for ``slow(o)`` at the first value that is not of the exact type.
"""

from collections.abc import Sequence
from functools import lru_cache
from types import CodeType
from typing import Any, cast

from .conform import Inside, accepted_classes, checker, says_more
from .hints import Anything, Instance, Items, OneOf, Pairs, Shape, Union

__all__ = ["Checks", "compiled"]


class Checks:
    """Writes the exact type checks of values as source code.

    Attributes:
        conditions: Expressions, true if the values are as expected so far.
        loops: Statements that look into containers and leave for ``slow(o)``.
        names: What the code refers to.

    Args:
        inside: Makes the checks of what is in objects of parametrised models.
    """

    # for these the class itself is compared; a subclass takes the slow path
    _EXACT = frozenset({str, bytes, int, bool, float, bytearray, type(None)})

    def __init__(self, inside: Inside | None = None) -> None:
        self._inside_of = inside
        self.conditions: list[str] = []
        self.loops: list[str] = []
        self.names: dict[str, Any] = {}

    def add(self, value: str, shape: Shape) -> None:
        """Add the check that the variable *value* is a *shape*."""
        condition = self._outside(value, shape)
        if condition:
            self.conditions.append(condition)
        self.loops += self._inside(value, shape)

    def _name(self, thing: Any) -> str:
        name = f"t{len(self.names)}"
        self.names[name] = thing
        return name

    def _call(self, value: str, shape: Shape) -> str:
        return f"{self._name(checker(shape, self._inside_of))}({value})"

    def _outside(self, value: str, shape: Shape) -> str:
        """Write the check of the value itself; "" if there is nothing to check."""
        match shape:
            case Anything():
                return ""
            case Instance(cls, args) if not says_more(cls, args):
                return self._instance(value, cls)
            case Items(cls) | Pairs(cls) if self._loopable(shape):
                return f"{value}.__class__ is {self._name(cls)}"
            case Union(arms) if self._containers(arms) is not None:
                return f"({' or '.join(self._outside(value, arm) for arm in arms)})"
            case OneOf(values) if len(values) == 1 and values[0] is None:
                return f"{value} is None"
            case _:
                return self._call(value, shape)

    def _instance(self, value: str, cls: type) -> str:
        if cls is type(None):
            return f"{value} is None"
        if cls in self._EXACT:
            exact = [
                f"{value}.__class__ is {c.__name__}" for c in accepted_classes(cls)
            ]
            return exact[0] if len(exact) == 1 else f"({' or '.join(exact)})"
        name = self._name(cls)
        return f"({value}.__class__ is {name} or isinstance({value}, {name}))"

    def _inside(self, value: str, shape: Shape) -> list[str]:
        """Write the loops over what is in the value."""
        match shape:
            case Items(_, item) if self._loopable(shape):
                return self._loop(f"for {value}i in {value}:", [(f"{value}i", item)])
            case Pairs(_, key, item) if self._loopable(shape):
                head = f"for {value}k, {value}i in {value}.items():"
                return self._loop(head, [(f"{value}k", key), (f"{value}i", item)])
            case Union(arms):
                container = self._containers(arms)
                if not container:
                    return []
                loop = self._inside(value, container[0])
                kind = self._name(cast("Items | Pairs", container[0]).cls)
                head = f"if {value}.__class__ is {kind}:"
                return [head, *(f"    {line}" for line in loop)] if loop else []
            case _:
                return []

    def _loop(self, head: str, parts: list[tuple[str, Shape]]) -> list[str]:
        conditions = [c for name, s in parts if (c := self._outside(name, s))]
        body: list[str] = []
        if conditions:
            body = [f"if not ({' and '.join(conditions)}):", "    return slow(o)"]
        for name, shape in parts:
            body += self._inside(name, shape)
        return [head, *(f"    {line}" for line in body)] if body else []

    @staticmethod
    def _loopable(shape: Shape) -> bool:
        """Tell whether a loop in the generated code can check this container."""
        match shape:
            case Items(cls):
                return cls in {list, tuple, set, frozenset}
            case Pairs(cls):
                return cls is dict
            case _:
                return False

    def _containers(self, arms: tuple[Shape, ...]) -> list[Shape] | None:
        """Return the one container among *arms*; None if they need a call instead."""
        containers = [arm for arm in arms if self._loopable(arm)]
        simple = [arm for arm in arms if isinstance(arm, Instance)]
        if len(containers) > 1 or len(containers) + len(simple) != len(arms):
            return None
        return containers


def compiled(name: str, lines: Sequence[str], names: dict[str, Any]) -> dict[str, Any]:
    """Run generated code and give what it defines.

    Args:
        name: What it is for, as tracebacks show it.
        lines: The code.
        names: What it refers to.
    """
    namespace = dict(names)
    exec(_code("\n".join(lines), f"<storify {name}>"), namespace)  # noqa: S102 -- our own source: field names are identifiers, keys are repr
    return namespace


@lru_cache(maxsize=1024)
def _code(source: str, filename: str) -> CodeType:
    # each registry plans its own functions, mostly from the same source
    return compile(source, filename, "exec")
