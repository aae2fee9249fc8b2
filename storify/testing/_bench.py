"""A real database to store examples in and to load them from, all in memory."""

import logging
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Self

from storify import CustomType, Model, Storify
from storify.codec import Codec
from storify.models import Misfit

from ._same import facts

__all__ = ["QUIET", "Bench", "Classes"]

Classes = Iterable[type[Any] | CustomType[Any]]

_NAME: Final = "examples"
_KEY: Final = "example"

QUIET: Final = logging.Logger("quiet", logging.CRITICAL + 1)  # noqa: LOG001 -- in no tree
"""What goes wrong is told by the assertion."""


class Bench:
    """Stores and loads one value after the other.

    Args:
        models: Model classes, besides those of the values themselves.
        types: As of `Storify`.
    """

    def __init__(self, models: Iterable[type[Any]], types: Classes) -> None:
        self._sf = Storify(
            "memory://", None, QUIET, models=list(models), types=types, keep=0
        )
        self._registry = self._sf._schema.registry

    @property
    def codec(self) -> Codec:
        """What the database writes with."""
        return self._sf._schema.codec

    def register_of(self, value: object) -> dict[type[Model], Model]:
        """Register the classes of the models in *value*; give an object of each."""
        parts = [fact.value for fact in facts(value)]
        found = {type(part): part for part in parts if isinstance(part, Model)}
        # in an order, so that a clash of keynames is always the same one
        self._registry.register(*sorted(found, key=lambda cls: cls.__qualname__))
        return found

    def misfits(self, value: object, hint: object) -> Iterator[Misfit]:
        """List what in *value* does not fit *hint* or its own class."""
        return self._registry.misfits(value, hint)

    def store(self, value: object) -> None:
        """Store *value* as a program does, and close the database."""
        __tracebackhide__ = True
        db = self._sf.get_db(_NAME)
        try:
            db[_KEY] = value
            db.flush()
        finally:
            db.close(discard=True)  # what cannot be stored would fail again

    def load(self) -> Any:
        """Return what was stored last, read from bytes."""
        with self._sf.get_db(_NAME) as db:
            return db[_KEY]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._sf.close()
