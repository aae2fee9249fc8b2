"""What a `Database` is as a dict: live objects in memory, at the cost of a dict.

The methods of a mapping for a dict root, those of a list for a list root. Only a
typed database looks at what it gives: a record that does not fit its class is an
error when it is read, never silently a dict.
"""

from abc import abstractmethod
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    MutableMapping,
    ValuesView,
)
from typing import Any, Generic, cast, overload

from typing_extensions import TypeVar

from storify.database._data import Stored
from storify.database._scan import path_of
from storify.database._schema import Schema
from storify.database._session import Session
from storify.database._slots import MISSING
from storify.database._use import Use
from storify.exceptions import ModelLoadError
from storify.models import Unloaded

__all__ = ["RootMapping"]

V = TypeVar("V", default=Any)
K = TypeVar("K", default=str)
T = TypeVar("T")


#: Reads what lies in a dict, decoded or not.
_read: Callable[[Any, Any], Any] = dict[Any, Any].__getitem__


class _Items(ItemsView[K, V]):
    """The items of a database, without a look-up for each."""

    _mapping: "RootMapping[V, K]"

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._checked()  # noqa: SLF001 - a part of the class


class _Values(ValuesView[V]):
    """The values of a database, without a look-up for each."""

    _mapping: "RootMapping[V, Any]"

    def __iter__(self) -> Iterator[V]:
        for _, value in self._mapping._checked():  # noqa: SLF001 - as above
            yield value


class RootMapping(MutableMapping[K, V], Generic[V, K]):
    """A mapping over a live root.

    Attributes:
        name: The name of the database, for messages.
    """

    name: str
    defunct: bool
    _session: Session
    _schema: Schema
    _use: Use
    #: Whether values have a declared type.
    _typed: bool

    @abstractmethod
    def _root(self) -> dict[Any, Any] | list[Any]:
        """Give the live root; raises if the database is closed."""

    @abstractmethod
    def _writable(self) -> dict[Any, Any] | list[Any]:
        """Give the live root; raises if it must not be changed."""

    def __getitem__(self, key: K) -> V:
        """Give the live value under *key* (for a list root, at an index).

        Raises:
            KeyError: There is no such key.
            ModelLoadError: In a typed database, the record does not fit its
                class; ``db.data[key]`` is the record as it was read.
        """
        # One call for a live value: this is the way of every read.
        session = self._session
        root: Any = self._root() if session.blocks or self.defunct else session.data
        try:
            value = _read(root, key)
            if type(value) is Stored:
                value = root[key]
        except TypeError:  # a list, or a key that cannot be hashed
            value = root[key]
        if self._typed and type(value) is Unloaded:
            raise self._load_error(key, value)
        return value  # type: ignore[no-any-return] # what was stored as V

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
            f"kept as it is and can be read from db.data[{key!r}]"
        )
        error = (type(cause) if cause else ModelLoadError)(msg, path)
        error.__cause__ = cause
        return error

    def values(self) -> ValuesView[V]:
        """Give a view of the live values, as a dict does.

        Iterating over it raises `ModelLoadError` at a record that does not fit
        its class, in a typed database.
        """
        return _Values(self)

    def items(self) -> ItemsView[K, V]:
        """Give a view of the keys and live values, as a dict does.

        Iterating over it raises as iterating over `values` does.
        """
        return _Items(self)

    def _checked(self) -> Iterator[tuple[K, V]]:
        root = self._root()
        pairs: Iterable[tuple[Any, Any]] = (
            enumerate(root) if isinstance(root, list) else root.items()
        )
        typed = self._typed
        for key, value in pairs:
            if type(value) is Unloaded and typed:
                raise self._load_error(key, value)
            yield cast("tuple[K, V]", (key, value))

    def __setitem__(self, key: K, value: V) -> None:
        """Put the live *value* under *key*; it is saved by the next flush.

        Raises:
            CheckError: The database is strict and the value misfits its type.
            DuplicateKeyError: Another record has its value in a unique index.
            DatabaseReadOnlyError: The database was opened read-only.
        """
        root = self._writable()
        if self._use.strict:
            self._check(key, value)
        if self._session.guards.held:
            self._session.guards.admit(key, value)
        cast("Any", root)[key] = value

    def _check(self, key: object, value: object) -> None:
        path = path_of(key)
        if self._use.key is not None:
            self._schema.check(key, self._use.key, path)
        hint = type(value) if self._use.hint is None else self._use.hint
        self._schema.check(value, hint, path)

    def __delitem__(self, key: K) -> None:
        """Remove *key* and its value; KeyError if there is none."""
        del cast("Any", self._writable())[key]

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys in order; for a list root over its items."""
        return iter(cast("dict[K, V]", self._root()))

    def __len__(self) -> int:
        """Count the keys; for a list root its items."""
        return len(self._root())

    def __contains__(self, key: object) -> bool:
        """Whether *key* is there; for a list root, whether the item is."""
        return key in self._root()

    @overload
    def pop(self, key: K = ..., /) -> V: ...
    @overload
    def pop(self, key: K, /, default: V) -> V: ...
    @overload
    def pop(self, key: K, /, default: T) -> V | T: ...
    def pop(self, key: Any = MISSING, /, default: Any = MISSING) -> Any:
        """Remove *key* and give its value, or *default* if there is none.

        For a list root *key* is an index, the last one if left out.

        Raises:
            KeyError, IndexError: There is no such item and no default.
            TypeError: The root is a dict and no key was given.
        """
        root = self._writable()
        if isinstance(root, list):
            return root.pop() if key is MISSING else root.pop(key)
        if key is MISSING:
            msg = f"pop from database {self.name!r} needs a key: its root is a dict"
            raise TypeError(msg)
        return root.pop(key) if default is MISSING else root.pop(key, default)

    def append(self, value: V) -> None:
        """Append *value* to a list root; TypeError if the root is a dict."""
        root = self._list("append to")
        if self._use.strict:
            self._check(len(root), value)
        root.append(value)

    def remove(self, value: V) -> None:
        """Remove the first item equal to *value* from a list root.

        Raises:
            ValueError: There is no such item.
            TypeError: The root is a dict.
        """
        self._list("remove an item from").remove(value)

    def _list(self, what: str) -> list[Any]:
        root = self._writable()
        if isinstance(root, list):
            return root
        msg = (
            f"cannot {what} database {self.name!r}: its root is a dict; "
            f"a list root is made by get_db(name, root=[])"
        )
        raise TypeError(msg)
