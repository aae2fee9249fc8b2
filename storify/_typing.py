"""What the newest `typing` has, for all releases of Python.

typing_extensions has it too, and takes 3 ms of each start. Type checkers take it from
there; at run time this does.
"""

import sys
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = ["Defaults", "TypeVar", "override"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar, override
elif sys.version_info >= (3, 13):  # pragma: no cover - newer releases only
    from typing import TypeVar, override
else:
    _NO_DEFAULT = object()

    def TypeVar(name: str, *, default: Any = _NO_DEFAULT, **options: Any) -> Any:  # noqa: N802 -- typing's name
        """Make a type variable, which may have a default."""
        made: Any = typing.TypeVar(name, **options)
        made.__module__ = sys._getframe(1).f_globals["__name__"]  # noqa: SLF001 -- as typing does
        if default is not _NO_DEFAULT:
            made.__default__ = default
        return made

    def override(method: Callable[..., Any]) -> Callable[..., Any]:
        """Mark a method that overrides one."""
        return method


class Defaults:
    """The base of generic classes whose last parameters have defaults.

    So ``Database[User]`` is one of text keys at run time, too, before Python 3.13.
    """

    if not TYPE_CHECKING and sys.version_info < (3, 13):

        def __class_getitem__(cls, given: Any) -> Any:
            """Return the class with these parameters, and with the defaults of others."""
            all_given = given if isinstance(given, tuple) else (given,)
            others = cls.__parameters__[len(all_given) :]
            if all_given and all(hasattr(each, "__default__") for each in others):
                all_given += tuple(each.__default__ for each in others)
            # not super()'s: that of collections.abc knows no parameters
            return _generic.__get__(None, cls)(all_given)


_generic: Any = vars(typing.Generic)["__class_getitem__"]
