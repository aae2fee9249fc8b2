"""The text of an annotation, in the words of the file: written, and compared.

A lock file holds annotations as text, ``list[__Address__] | None``. Models stand in
it by their keynames, so that a class may be renamed, and the arms of a union in one
order, so that the text changes only with the meaning.
"""

import ast
import enum
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from types import NoneType
from typing import Any, Final, NamedTuple

from .conform import accepted_classes
from .hints import (
    ITEMS,
    MORE_SCALARS,
    PAIRS,
    SCALARS,
    Anything,
    Instance,
    Items,
    Later,
    OneOf,
    Pairs,
    Parser,
    Record,
    Shape,
    Tuple,
    Union,
)

__all__ = ["argument", "text_of_shape", "widens"]

_TOKEN: Final = re.compile(
    r"""\s*(b?'(?:[^'\\]|\\.)*' | b?"(?:[^"\\]|\\.)*" | [\w.-]+ | .)""", re.VERBOSE
)
_PLAIN_NAME: Final = re.compile(r"[\w.]+")
#: The classes of Python that stand in a text by their own names.
_CLASSES: Final = {
    **{cls.__name__: cls for cls in SCALARS | ITEMS | PAIRS},
    **{
        name: vars(import_module(module))[name]
        for module, names in MORE_SCALARS.items()
        for name in names
    },
}
_LITERAL: Final = "Literal"


# --- writing ----------------------------------------------------------------------


def _ignore(_: object) -> None:
    """The classes in the arguments of a generic class were met before."""


def argument(hint: Any) -> Shape:
    """Return the shape of an argument of a generic model, as in ``Box[int]``."""
    return Parser(_ignore, _ignore).parse(hint)


def text_of_shape(  # noqa: PLR0911 -- one for each shape
    shape: Shape, name_of: Callable[[type], str]
) -> str:
    """Return *shape* as text.

    Args:
        shape: A parsed annotation.
        name_of: Gives the name of a class.
    """

    def text(inner: Shape) -> str:
        return text_of_shape(inner, name_of)

    match shape:
        case Anything():
            return "Any"
        case Instance(cls, args):
            name = "None" if cls is NoneType else _quoted(name_of(cls))
            return _generic(name, [text(argument(arg)) for arg in args])
        case Union():
            arms = {text(arm) for arm in _arms(shape)}
            return " | ".join(sorted(arms, key=lambda arm: (arm == "None", arm)))
        case OneOf(values):
            return _generic(_LITERAL, sorted(map(_literal, values)))
        case Items(cls, item):
            return _generic(name_of(cls), [text(item), *["..."] * (cls is tuple)])
        case Tuple(items):
            return _generic("tuple", list(map(text, items)) or ["()"])
        case Pairs(cls, key, value):
            return _generic(name_of(cls), [text(key), text(value)])
        case Record(name) | Later(name):
            return _quoted(name)


def _generic(name: str, args: list[str]) -> str:
    return f"{name}[{', '.join(args)}]" if args else name


def _arms(shape: Shape) -> Iterator[Shape]:
    if isinstance(shape, Union):
        for arm in shape.arms:
            yield from _arms(arm)
    else:
        yield shape


def _literal(value: object) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    return repr(value)


def _quoted(name: str) -> str:
    """A keyname may be any text; one that is no name stands in quotes."""
    return name if _PLAIN_NAME.fullmatch(name) else repr(name)


# --- comparing --------------------------------------------------------------------


class _Arm(NamedTuple):
    """A class with its parameters, or one value of a ``Literal``."""

    name: str
    args: "tuple[frozenset[_Arm], ...]" = ()
    is_literal: bool = False


_Arms = frozenset[_Arm]


def widens(old: str, new: str, renamed: Mapping[str, str]) -> bool:
    """Tell whether each value of the type *old* is one of the type *new*, too.

    Args:
        old: A text by `text_of_shape`.
        new: Another one.
        renamed: Former keynames to those of today; in both texts they are the same.

    Raises:
        ValueError: A text that this release does not write.
    """
    return _admits(_Reader(new, renamed).read(), _Reader(old, renamed).read())


def _admits(new: _Arms, old: _Arms) -> bool:
    return all(any(_takes(arm, each) for arm in new) for each in old)


def _takes(new: _Arm, old: _Arm) -> bool:
    if new.name == "Any" or new == old:
        return True
    if old.is_literal or new.is_literal:
        return not new.is_literal and _takes(new, _Arm(_class_of_literal(old.name)))
    return (
        (new.name == old.name or _is_taken_for(old.name, new.name))
        and len(new.args) == len(old.args)
        and all(map(_admits, new.args, old.args))
    )


def _is_taken_for(old: str, new: str) -> bool:
    """Tell whether an object of one class is taken for one of another."""
    if old not in _CLASSES or new not in _CLASSES:
        return False
    return issubclass(_CLASSES[old], accepted_classes(_CLASSES[new]))


def _class_of_literal(text: str) -> str:
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text.rpartition(".")[0]  # the member of an enum
    return "None" if value is None else type(value).__name__


class _Reader:
    """Reads a text of `text_of_shape`, by recursive descent."""

    def __init__(self, text: str, renamed: Mapping[str, str]) -> None:
        self._text = text
        self._renamed = renamed
        self._tokens: list[str] = [*_TOKEN.findall(text), ""]
        self._at = 0

    def read(self) -> _Arms:
        arms = self._union()
        if self._next():
            raise self._error()
        return arms

    def _next(self, *expected: str) -> str:
        token = self._tokens[self._at]
        if expected and token not in expected:
            raise self._error()
        self._at += bool(token)
        return token

    def _error(self) -> ValueError:
        msg = (
            f"cannot read the type {self._text!r} of a schema lock: this release "
            f"writes no such text; lock the schema anew"
        )
        return ValueError(msg)

    def _union(self) -> _Arms:
        arms = self._arm()
        while self._tokens[self._at] == "|":
            self._next()
            arms |= self._arm()
        return arms

    def _arm(self) -> _Arms:
        name = self._name()
        if self._tokens[self._at] != "[":
            return frozenset({_Arm(self._renamed.get(name, name))})
        if name == _LITERAL:
            return frozenset(_Arm(text, is_literal=True) for text in self._values())
        args = tuple(self._items(self._union))
        return frozenset({_Arm(self._renamed.get(name, name), args)})

    def _name(self) -> str:
        name = self._next()
        if name == "(":
            return name + self._next(")")
        if _PLAIN_NAME.fullmatch(name):
            return name
        if name[:1] in {"'", '"'}:
            return str(ast.literal_eval(name))
        raise self._error()

    def _values(self) -> list[str]:
        return list(self._items(self._next))

    def _items(self, read: Callable[[], Any]) -> Iterator[Any]:
        self._next("[")
        while True:
            yield read()
            if self._next(",", "]") == "]":
                return
