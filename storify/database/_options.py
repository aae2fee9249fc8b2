"""How one `Database` object uses its database: its types and its permissions."""

from typing import Any, NamedTuple, Union, get_args, get_origin

__all__ = ["Use", "is_same_type", "is_several"]


def is_several(model: object) -> bool:
    """Whether *model* is a tuple of types, which stands for their union."""
    return isinstance(model, tuple)


class Use(NamedTuple):  # made in a tenth of a dataclass's time
    """How one Database uses its file.

    Attributes:
        hint: The declared type of the values, None if untyped.
        key: The declared type of the keys, None if untyped.
        readonly: Never written.
        strict: Values are checked against *hint* when they are set.
    """

    hint: Any = None
    key: Any = None
    readonly: bool = False
    strict: bool = False

    @classmethod
    def of(cls, model: Any, key: Any, *, readonly: bool, strict: bool) -> "Use":
        """Make one from `Storify.get_db`'s arguments; a tuple is a union."""
        hint = cls.hint_of(model)
        return cls(hint=hint, key=key, readonly=readonly, strict=strict)

    @staticmethod
    def hint_of(model: Any) -> Any:
        """Return the type that *model* stands for; a tuple is a union."""
        hint: Any = model
        if hint == ():
            msg = "model=() names no type; leave it out for values of any type"
            raise TypeError(msg)
        if is_several(hint):
            hint = Union[model]  # noqa: UP007 - the members are in a tuple
        return hint


def is_same_type(mine: Any, other: Any) -> bool:
    """Tell whether a declared type is the *other*, or not declared.

    A class that was defined again, as in a notebook, is the same.
    """
    if mine is None or mine == other:
        return True
    origin, inner, others = get_origin(mine), get_args(mine), get_args(other)
    if origin is not None:
        return (
            is_same_type(origin, get_origin(other))
            and len(inner) == len(others)
            and all(map(is_same_type, inner, others))
        )
    is_class = isinstance(mine, type) and isinstance(other, type)
    return is_class and _name(mine) == _name(other)


def _name(cls: Any) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__
