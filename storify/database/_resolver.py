"""Where references lead: from the name of a database and a key to a record.

References hold this object, and it holds the `Storify` only weakly: a record that
somebody keeps does not keep databases open.
"""

import os
import weakref
from collections.abc import Callable, Container
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from storify.exceptions import DanglingRefError, DatabaseLoadError
from storify.models import Unloaded

if TYPE_CHECKING:
    from storify.database._source import Source

__all__ = ["Folder", "LookedAt", "StorifyHome", "holds"]


_IN_MEMORY: Final = "memory://"


class Folder(Protocol):
    """What is needed of a `Storify`."""

    root: str


F = TypeVar("F", bound=Folder)

Find = Callable[[F, str], "Source | None"]
"""Returns a database of a folder, opened if it is not; None if there is none."""

Peek = Callable[[F, str], "AbstractContextManager[Source | None]"]
"""Returns a database of a folder to look at; None if there is none."""


class StorifyHome:
    """The `Home` of the references that the databases of one `Storify` hold.

    Args:
        folder: The `Storify`.
        find: How it finds a database.
        peek: How it looks into one.
    """

    __slots__ = ("_find", "_folder", "_peek")

    def __init__(self, folder: F, find: Find[F], peek: Peek[F]) -> None:
        self._folder: weakref.ref[Any] = weakref.ref(folder)
        self._find: Find[Any] = find
        self._peek: Peek[Any] = peek

    def _here(self, db: str) -> Any:
        folder = self._folder()
        if folder is None:
            msg = (
                f"cannot follow a reference into database {db!r}: its Storify is gone; "
                f"keep the Storify as long as references are followed"
            )
            raise DanglingRefError(msg)
        return folder

    def look_up(self, db: str, key: Any) -> Any:
        """Return the live record; see `Home`."""
        source = self._find(self._here(db), db)
        if source is None or not holds(_keys_in(source.root()), key):
            raise LookupError(db)
        value = source.read(key)
        if type(value) is Unloaded:  # of a database that has no type
            raise source.load_error(key, value)
        return value

    def place(self) -> tuple[str, int] | None:
        """Tell where the databases are, to compare; None if the `Storify` is gone.

        The folder, with links followed; and in memory, whose it is.
        """
        folder = self._folder()
        if folder is None:
            return None
        if folder.root.startswith(_IN_MEMORY):  # one without a name is shared by none
            return folder.root, id(folder) if folder.root == _IN_MEMORY else 0
        return os.path.realpath(folder.root), 0

    def records(self, db: str) -> "LookedAt | None":
        """Return the records of a database to look at; see `Home`."""
        try:
            with self._peek(self._here(db), db) as source:
                if source is None:
                    return None
                source.session.root.fill()  # it is closed again
                return LookedAt(source.root())
        except DatabaseLoadError:
            return None


class LookedAt:
    """The `Records` of one database.

    They stay when a database that was opened for this is closed again.

    Args:
        root: Its root.
    """

    __slots__ = ("_root",)

    def __init__(self, root: Any) -> None:
        self._root = root

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a record; what cannot be hashed is no key."""
        return holds(_keys_in(self._root), key)

    def peek(self, key: Any) -> Any:
        """Return a record; see `Records`."""
        root = self._root
        is_list = isinstance(root, list)
        return cast("Any", root)[key] if is_list else root.look(key)


def _keys_in(root: Any) -> Container[Any]:
    return range(len(cast("Any", root))) if isinstance(root, list) else root


def holds(keys: Container[Any] | None, key: object) -> bool:
    """Tell whether *key* is among *keys*; what cannot be hashed is not."""
    try:
        return keys is not None and key in keys
    except TypeError:
        return False
