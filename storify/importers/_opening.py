"""Opening the database that an import writes to, and leaving it as it was found."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from storify._manager import Storify
from storify.database import Database

__all__ = ["opened"]


@contextmanager
def opened(
    sf: Storify,
    name: str,
    root: dict[Any, Any] | list[Any] | None = None,
    *,
    key: Any = None,
) -> Generator[Database[Any, Any]]:
    """Open a database; if it was not open, it is closed at the end.

    Who opens it then may choose its types.
    """
    if sf.get_loaded_db(name) is not None:
        yield sf.get_db(name, root, key=key)
        return
    with sf.get_db(name, root, key=key) as db:
        yield db
