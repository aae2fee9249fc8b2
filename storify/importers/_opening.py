"""Opening the database that an import writes to, and leaving it as it was found."""

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import Any, cast

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
    was_open = sf.get_loaded_db(name) is not None
    # One with a list is a Database, too; only type checkers tell them apart.
    db = cast("Database[Any, Any]", sf.get_db(name, root, key=key))
    with nullcontext(db) if was_open else db:
        yield db
