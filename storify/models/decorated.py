"""``@dataclasses.dataclass`` on a model: noticed while it runs.

It would replace what `Model` made, the ``__init__`` first of all. While it makes one
it asks the class for a ``__post_init__``.
"""

import sys
from typing import NoReturn

from .options import class_options, refuse_decorator

__all__ = ["NoPostInit"]


class NoPostInit:
    """Stands as ``__post_init__`` in `Model`, which has none.

    But who asks is perhaps the decorator, at work on a subclass.
    """

    def __get__(self, instance: object, owner: type) -> NoReturn:
        """Return nothing.

        Raises:
            AttributeError: As of any class without one.
            ModelError: A declared model is made a dataclass.
        """
        asking = sys._getframe(1).f_globals.get("__name__")  # noqa: SLF001 -- there is no other way to know
        if asking == "dataclasses" and class_options(owner).declared:
            refuse_decorator(owner)
        name = "__post_init__"
        raise AttributeError(name)
