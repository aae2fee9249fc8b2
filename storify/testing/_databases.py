"""A database of its own for each example: what a fixture is for a whole test."""

import tempfile
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, overload
from uuid import uuid4

from storify._manager import Storify
from storify._typing import TypeVar
from storify.database import Database

__all__ = ["temp_db"]

A = TypeVar("A")
K = TypeVar("K")
Place = Literal["file", "memory"]


@overload
def temp_db(
    model: type[A],
    *,
    key: None = ...,
    name: str = ...,
    engine: Place = ...,
    **options: Any,
) -> AbstractContextManager[Database[A]]: ...
@overload
def temp_db(
    model: type[A],
    *,
    key: type[K],
    name: str = ...,
    engine: Place = ...,
    **options: Any,
) -> AbstractContextManager[Database[A, K]]: ...
@overload
def temp_db(
    model: tuple[type[Any], ...] | None = ...,
    *,
    key: None = ...,
    name: str = ...,
    engine: Place = ...,
    **options: Any,
) -> AbstractContextManager[Database[Any, Any]]: ...
@overload
def temp_db(
    model: tuple[type[Any], ...] | None = ...,
    *,
    key: type[K],
    name: str = ...,
    engine: Place = ...,
    **options: Any,
) -> AbstractContextManager[Database[Any, K]]: ...
def temp_db(
    model: Any = None,
    *,
    key: Any = None,
    name: str = "db",
    engine: Place = "file",
    **options: Any,
) -> AbstractContextManager[Database[Any, Any]]:
    """Open an empty database that is gone after the block.

    ::

        @given(models(User))
        def test_renaming(user):
            with temp_db(User) as users:
                users["u1"] = user
                rename(users, "u1", "u2")

                again = reopen(users)  # what follows is read from the disk
                assert same(again["u2"], user)

    A fixture would be one for all examples of a ``@given``, which Hypothesis
    refuses; this is a new one for each. The end of the block closes the database,
    which saves it: what could not be saved is an error. After an exception what is
    unsaved is dropped.

    Args:
        model: The type of the values, or a tuple of types, as of `Storify.get_db`.
        key: The type of the keys.
        name: Its name in the folder, for what refers to it.
        engine: ``"file"``: in a folder for temporary files. ``"memory"``: faster,
            with the same bytes but without a disk.
        options: Of `Storify`.

    Raises:
        The errors of `Storify.get_db`; at the end those of `Database.flush`.
    """
    return _temp_db(model, key, name, engine, options)


@contextmanager
def _temp_db(
    model: Any, key: Any, name: str, engine: Place, options: dict[str, Any]
) -> Generator[Database[Any, Any]]:
    with _temp_root(engine) as root:
        given: dict[str, Any] = {"save_interval": None, **options}
        sf = Storify(root, **given)
        try:
            yield sf.get_db(name, model=model, key=key)
            sf.close()
        finally:
            for db in sf.databases:  # also those that were reopened, and others
                db.close(discard=True)


@contextmanager
def _temp_root(engine: Place) -> Generator[str]:
    if engine == "memory":
        yield f"memory://{uuid4().hex}"
        return
    with tempfile.TemporaryDirectory(prefix="storify-") as folder:
        yield folder
