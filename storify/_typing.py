"""What the newest `typing` has, for all releases of Python.

typing_extensions has it too, and takes 3 ms of each start. Type checkers take it from
there; at run time this does.
"""

import sys
import typing
from typing import TYPE_CHECKING, Any

__all__ = ["Defaults", "TypeVar", "override"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar, override
else:

    def _type_var(name: str, **options: Any) -> Any:
        """Make a type variable, which may have a default."""
        has_default = "default" in options
        default = options.pop("default", None)
        made = typing.TypeVar(name, **options)
        made.__module__ = sys._getframe(1).f_globals["__name__"]  # noqa: SLF001 -- as typing does
        if has_default:
            made.__default__ = default
        return made

    def _override(method: Any) -> Any:
        """Mark a method that overrides one."""
        return method

    TypeVar = typing.TypeVar if sys.version_info >= (3, 13) else _type_var
    override = getattr(typing, "override", _override)


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
