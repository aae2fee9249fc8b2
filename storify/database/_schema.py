"""Which classes a database knows: the registry of models beside the codec.

The two never import each other; here they are introduced. The codec asks the
registry for what it cannot encode (`Registry.unstructure`) and hands it every
dict it decodes (`Registry.structure`); the registry tells the codec which enums
and named tuples it found in annotations. One schema serves all databases of a
`Storify`, so a class registered late is known to each of them.
"""

import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from storify.codec import Codec, CustomType
from storify.exceptions import CheckError, DuplicateKeynameError, ModelError
from storify.logger import LoggerLike
from storify.models import Model, Registry

T = TypeVar("T")
C = TypeVar("C")

__all__ = ["Schema"]


class Schema:
    """The models and types of a set of databases.

    Attributes:
        models: The model classes that were given, as a list.

    Args:
        models: Model classes to register.
        types: Enums, named tuples, dataclasses and other classes, or
            `CustomType` objects, to register with the codec.
        log: Where unknown or ill-fitting records are reported.

    Raises:
        ModelError: A class is no model, or has a field that cannot be stored.
        DuplicateKeynameError: Two classes claim one name in the file.
        TypeError: Something in *types* is no class.
    """

    def __init__(
        self,
        models: Iterable[type[Any]],
        types: Iterable[type[Any] | CustomType[Any]],
        log: LoggerLike,
    ) -> None:
        self.log = log
        self.models = _several(models, "models")
        self.registry = Registry(warn=log.warning, register_type=self._register)
        self.codec = Codec(
            unstructure=self.registry.unstructure,
            wraps=self.registry.wraps,
            lowers=self.registry.lowers,
            structure=self.registry.structure,
            keynames=self.registry.keynames,
            learn=self.registry.learn,
        )
        for type_ in _several(types, "types"):
            self._register_given(type_)
        self.registry.register(*self.models)

    def _register_given(self, type_: type[Any] | CustomType[Any]) -> None:
        if not _is_class(type_):
            msg = (
                f"cannot register {type_!r}: types are classes, or CustomType "
                f"objects that say how to store one"
            )
            raise TypeError(msg)
        self.codec.register(type_)

    def _register(self, type_: type[Any]) -> None:
        self.codec.register(type_)  # which is made after the registry

    def register_type(
        self,
        type_: type[T],
        encode: Callable[[T], Any] | None,
        decode: Callable[[Any], T] | None,
        key: str | None,
    ) -> None:
        """Register a class with the codec, with hooks of its own or without."""
        if encode is None and decode is None and key is None:
            self.codec.register(type_)
        elif encode is None or decode is None:
            msg = (
                f"cannot register {type_.__qualname__}: encode and decode go "
                f"together; give both, or neither for an enum, a named tuple or "
                f"a dataclass"
            )
            raise TypeError(msg)
        else:
            self.codec.register(CustomType(type_, encode, decode, key or ""))

    def register_hint(self, hint: object) -> None:
        """Register every model and type that the value type *hint* names."""
        for leaf in _classes(hint):
            if issubclass(leaf, Model):
                self.registry.register(leaf)
            else:
                self._register_leaf(leaf)

    def _register_leaf(self, leaf: type[Any]) -> None:
        try:
            self.codec.register(leaf)
        except DuplicateKeynameError:
            raise
        except ModelError as error:
            # An abstract class, or a base whose subclasses are stored.
            self.log.debug(f"not registered by itself: {error}")

    def check(self, value: object, hint: object, path: str) -> None:
        """Raise `CheckError` for the first place where *value* misfits *hint*."""
        for misfit in self.registry.misfits(value, hint):
            where = path + misfit.path.removeprefix("$")
            msg = (
                f"cannot store {where}: expected {misfit.expected}, "
                f"found {misfit.found}; the database is strict"
            )
            raise CheckError(msg, where)


def _is_class(given: object) -> bool:
    return isinstance(given, (type, CustomType))


def _several(classes: Iterable[C], argument: str) -> list[C]:
    """List classes; one class in the place of a list is refused.

    An enum would even be iterable.
    """
    if isinstance(classes, type):
        msg = f"{argument}={classes.__qualname__} is one class: pass a list of classes"
        raise TypeError(msg)
    return list(classes)


def _classes(hint: object) -> Iterator[type[Any]]:
    origin = typing.get_origin(hint)
    if isinstance(origin, type):
        yield origin
    elif isinstance(hint, type):
        yield hint
    for argument in typing.get_args(hint):
        yield from _classes(argument)
