"""The cattrs converter of a registry, which holds the hooks of its models.

It is made when it is asked for: what is stored and loaded calls the same hooks without
it, because cattrs alone takes longer to import than all of storify.
"""

import enum
import operator
import pathlib
from collections.abc import Callable
from functools import partial
from typing import Any, get_origin

import cattrs

from .conform import Conversions, Hook
from .hints import Shape
from .options import is_model_class


class StorifyConverter(cattrs.Converter):
    """The converter of one registry.

    Each model class gets its generated pair of hooks by `register_model`, one
    pair per keyname; the hooks for everything else are made from the annotation.

    Args:
        parse: Turns an annotation into a shape.
        conversions: Makes the hooks of shapes. From now on it asks this converter for
            those of models, so that a hook which is registered here counts there, too.
    """

    def __init__(self, parse: Callable[[Any], Shape], conversions: Conversions) -> None:
        super().__init__()
        self._parse = parse
        self._conversions = conversions
        # cattrs answers for these before it asks any factory
        for cls in (str, bytes, int, float, pathlib.Path, enum.Enum):
            self.register_structure_hook(cls, self._convert)
        self.register_structure_hook_factory(_is_not_model, self._hook_for)
        self.register_structure_hook_factory(_is_model_hint, conversions.hook_of_model)
        conversions.hook_of_model = self.get_structure_hook

    def register_model(
        self, cls: type, structure: Hook, unstructure: Callable[[Any], dict[str, Any]]
    ) -> None:
        """Make the two functions the cattrs hooks of exactly *cls*.

        By predicate and not by class: cattrs lets subclasses inherit the hooks of
        a class, and those would lose their own fields.
        """
        this_class = partial(operator.is_, cls)
        self.register_structure_hook_func(this_class, structure)
        self.register_unstructure_hook_func(this_class, unstructure)

    def _convert(self, value: Any, hint: Any) -> Any:
        return self._hook_for(hint)(value, hint)

    def _hook_for(self, hint: Any) -> Hook:
        return self._conversions.hook_for(self._parse(hint))


def _is_model_hint(hint: Any) -> bool:
    return is_model_class(get_origin(hint) or hint)


def _is_not_model(hint: Any) -> bool:
    return not _is_model_hint(hint)
