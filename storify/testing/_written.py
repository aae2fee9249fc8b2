"""Objects of hand-written classes, and what can be found out about those."""

import inspect
import typing
from collections.abc import Mapping
from typing import Any, cast

from hypothesis import reject
from hypothesis import strategies as st

from storify.models import Model
from storify.models.hints import resolve
from storify.models.registry import Registry
from storify.models.state import state_of

from ._nesting import deeper

__all__ = ["Written", "hints_of", "written_objects"]


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
