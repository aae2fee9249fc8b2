"""What a `Database` is whatever its root is: a dict, or a list.

Only a typed database looks at what it gives: a record that does not fit its class is an
error when it is read, never silently a dict.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, cast

from storify._typing import Defaults, TypeVar
from storify.database._judge import Judge
from storify.database._options import Use
from storify.database._schema import Schema
from storify.database.query.scan import path_of
from storify.database.session.session import Session
from storify.exceptions import ModelLoadError
from storify.models import Unloaded

__all__ = ["Root"]

V = TypeVar("V", default=Any)
K = TypeVar("K", default=str)


class Root(Defaults, Generic[V, K]):
    """A live root.

    Attributes:
        name: The name of the database, for messages.
    """

    name: str
    defunct: bool
    _session: Session
    _schema: Schema
    _use: Use
    #: Knows the declared type of the values; None if there is none.
    _judge: Judge | None

    @abstractmethod
    def _root(self) -> dict[Any, Any] | list[Any]:
        """Return the live root; raises if the database is closed."""

    @abstractmethod
    def _writable(self) -> dict[Any, Any] | list[Any]:
        """Return the live root; raises if it must not be changed."""

    def __len__(self) -> int:
        """Count the keys; for a list root its items."""
        return len(self._root())

    def __contains__(self, key: object) -> bool:
        """Whether *key* is there; for a list root, whether the item is."""
        return key in self._root()

    def clear(self) -> None:
        """Remove all keys, or all items of a list root."""
        self._writable().clear()

    def raw(self, key: K) -> Any:
        """Return what lies under *key*, of whatever type it is.

        A record that could not be loaded is the `Unloaded` dict that it was read as.
        What is repaired in place, or set, is read by ``db[key]`` again.

        Raises:
            KeyError: There is no such key.
        """
        return cast("Any", self._root())[key]

    def _check_type(self, key: Any, value: Any, root: Any) -> None:
        """Raise unless *value* is of the declared type.

        Raises:
            ModelLoadError: It is not, with the first place.
        """
        if type(value) is Unloaded:
            raise self._load_error(key, value)
        if self._judge is None:
            return
        if key.__class__ is slice and isinstance(root, list):
            places = range(*key.indices(len(cast("Any", root))))
            for at, item in zip(places, value, strict=True):
                self._check_type(at, item, root)
            return
        keys: Any = getattr(root, "doubtful", ())  # a list has none
        if root.__class__ is list:
            is_doubtful = self._schema.registry.has_met_misfits
            is_doubtful = is_doubtful or not self._judge.fits(value)
        else:
            is_doubtful = bool(keys) and key in keys
        misfit = self._judge.misfit(value, is_doubtful=is_doubtful)
        if misfit is not None:
            path = path_of(key) + misfit.path.removeprefix("$")
            msg = (
                f"cannot load {path} of database {self.name!r}: expected "
                f"{misfit.expected}, found {misfit.found}; it is kept as it is and can "
                f"be read by db.raw({key!r})"
            )
            raise ModelLoadError(msg, path)
        if is_doubtful and keys:
            keys.discard(key)

    def _load_error(self, key: object, value: object) -> ModelLoadError:
        record = cast("Unloaded", value)
        cause = record.error
        path = path_of(key) + (cause.path.removeprefix("$") if cause else "")
        reason = cause or (
            f"the class of {next(iter(record), None)!r} is not registered, "
            f"pass it in models=[...]"
        )
        msg = (
            f"cannot load {path} of database {self.name!r}: {reason}; the record is "
            f"kept as it is and can be read by db.raw({key!r})"
        )
        error = (type(cause) if cause else ModelLoadError)(msg, path)
        error.__cause__ = cause
        return error

    def _checked_items(self, root: Any) -> Iterator[Any]:
        for at, value in enumerate(root):
            self._check_type(at, value, root)
            yield value

    def _admit(self, key: object, value: object) -> None:
        """Raise if *value* must not be put under *key*."""
        if self._use.strict:
            self._check(key, value)
        if self._session.guards.held:
            self._session.guards.admit(key, value)

    def _check(self, key: object, value: object) -> None:
        path = path_of(key)
        if self._use.key is not None:
            self._schema.check(key, self._use.key, path)
        hint = type(value) if self._use.hint is None else self._use.hint
        self._schema.check(value, hint, path)

    def _admit_item(self, at: int, value: object) -> None:
        """Raise if *value* must not be put at an index."""
        if self._use.strict:
            self._check(at, value)
