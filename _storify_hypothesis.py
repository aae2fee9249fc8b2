"""Hypothesis' entry point: ``st.from_type(User)`` and ``st.builds(User)`` work.

It runs at every ``import hypothesis``, so it imports nothing: where storify is not
loaded, there are no models to tell Hypothesis about. `Model` calls `register` for
the classes that are made later.
"""

import sys
from typing import Any

__all__ = ["is_registered", "register", "setup"]


class _Strategy:
    """What is registered for one class: it makes the strategy when asked for it."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls

    def __call__(self, thing: Any) -> Any:
        from storify.testing import models

        asked = getattr(thing, "__origin__", thing)
        if asked is self.cls:
            return models(thing)
        # a base of it was asked for: abstract ones of the user's, not Hashable
        if asked.__module__.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
            return NotImplemented
        return models(self.cls)

    def __repr__(self) -> str:
        return f"models({self.cls.__qualname__})"


def setup() -> None:
    """Register the models there are, if there are any."""
    base = sys.modules.get("storify.models.base")
    hints = sys.modules.get("storify.models.hints")
    if base is None or hints is None or not hasattr(base, "Model"):
        return
    for cls in hints.subclasses(base.Model):
        register(cls)


def register(cls: type[Any]) -> None:
    """Tell Hypothesis, which is loaded, how objects of a model class are drawn."""
    from hypothesis.strategies import register_type_strategy

    register_type_strategy(cls, _Strategy(cls))
    _teach_builds()


def is_registered(cls: type[Any]) -> bool:
    """Tell whether somebody else registered a strategy for *cls*."""
    from hypothesis.strategies._internal import types

    found = types._global_type_lookup.get(cls)
    return found is not None and not isinstance(found, _Strategy)


def _teach_builds() -> None:
    """Let ``builds`` draw what a model's validators admit.

    It asks attrs for the fields of a class and heeds few validators; there is no
    public way to tell it more. A Hypothesis that does this elsewhere is left alone.
    """
    from hypothesis.strategies._internal import attrs as inside

    theirs: Any = getattr(inside, "from_attrs", None)
    if theirs is None or isinstance(theirs, _FromAttrs):
        return
    inside.from_attrs = _FromAttrs(theirs)


class _FromAttrs:
    """In the place of Hypothesis' ``from_attrs``, which serves all other classes."""

    def __init__(self, theirs: Any) -> None:
        self._theirs = theirs

    def __call__(self, target: Any, args: Any, kwargs: Any, to_infer: Any) -> Any:
        if not hasattr(target, "__storify__"):
            return self._theirs(target, args, kwargs, to_infer)
        from storify.testing._models import built

        given = {name: each for name, each in kwargs.items() if each is not ...}
        return built(target, args, given, set(to_infer))
