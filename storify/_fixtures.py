"""The Storifys and databases of tests: opened for one test or example, and opened anew.

This needs neither pytest nor Hypothesis.
"""

import os
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, cast, overload
from uuid import uuid4

from storify._manager import Storify
from storify._python import TypeVar
from storify.database import BaseDatabase, Database
from storify.database._schema import StorifyResolver
from storify.threads import finish_all

__all__ = ["MakeStorify", "Reopen", "Storifys", "reopen", "temp_db"]


# --- opening anew what is open: all that is read afterwards comes from what was saved ---

D = TypeVar("D", bound=BaseDatabase[Any, Any])


@overload
def reopen(what: Storify, **options: Any) -> Storify: ...
@overload
def reopen(what: D) -> D: ...
def reopen(what: Storify | D, **options: Any) -> Storify | D:
    """Close *what*, which saves it, and open it anew.

    Args:
        what: A `Storify`: a new one over the same folder is given, with the same
            classes and options. Or a database that was got from one by its name:
            the same `Storify` opens it again, with the same types.
        options: Of `Storify`, to be others than before: ``models=[UserV2]`` opens
            the folder as a later version of the program.

    Raises:
        ValueError: There is nothing to open it from: a ``memory://`` without a
            name, whose data are gone with it, or a database that no `Storify`
            opened by its name.
        The errors of `Database.flush`: what could not be saved stays open.
    """
    if isinstance(what, Storify):
        return _reopen_storify(what, options)
    return _reopen_db(what)


def _reopen_storify(sf: Storify, options: dict[str, Any]) -> Storify:
    if sf.root.endswith("://"):
        msg = (
            f"cannot reopen {sf!r}: its data live and die with it; give it a name, "
            f'as Storify("memory://name")'
        )
        raise ValueError(msg)
    sf.close()
    return type(sf)(sf._root, **{**_options_of(sf), **options})


def _options_of(sf: Storify) -> dict[str, Any]:
    schema, saving = sf._schema, sf._saving
    return {
        "save_interval": sf.save_interval,
        "log": sf.log,
        # Those that databases named, too: a program names them again when it starts.
        "models": list(dict.fromkeys([*sf.models, *schema.registry._by_class])),
        "types": schema.types,
        "strict": sf._strict,
        "keep": saving.keep,
        "sync": saving.sync,
        "sync_interval": saving.sync_interval_s,
        "journal": saving.journal,
        "clock": saving.clock,
        "background": sf._background,
        "handle_signals": sf._handle_signals,
        **saving.options,
        "cache_bytes": saving.cache_bytes,
    }


def _reopen_db(db: D) -> D:
    sf = _storify_of(db)
    opened = sf.get_loaded_db(db.name)
    for each in (db, opened):  # it may have been closed, and got anew by others
        if each is not None:
            each.close()
    use = db._source.use
    again = sf.get_db(
        db.name, model=use.hint, key=use.key, readonly=use.readonly, strict=use.strict
    )
    return cast("D", again)


def _storify_of(db: BaseDatabase[Any, Any]) -> Storify:
    resolver = db._schema.resolver
    sf = resolver._folder() if isinstance(resolver, StorifyResolver) else None
    if isinstance(sf, Storify) and sf._catalog.engine(db.name).location == db.path:
        return sf
    msg = (
        f"cannot reopen database {db.name!r}: no Storify that is still there got it by "
        f"this name; close it and open it as it was opened"
    )
    raise ValueError(msg)


# --- the Storifys of one test: where they are, and that none of them loses anything ---


_PATIENCE_S = 30.0


class MakeStorify(Protocol):
    """The type of the fixture ``make_storify``, for annotations."""

    def __call__(
        self, folder: str | os.PathLike[str] = "data", **options: Any
    ) -> Storify:
        """Open a `Storify`, which is closed after the test.

        Args:
            folder: Inside of the test's ``tmp_path``; the same one again is another
                `Storify` over the same databases, as of another program.
                ``"memory://"`` for databases in memory.
            options: Of `Storify`, and before those of the fixture
                ``storify_options``. *save_interval* is None unless given.
        """
        ...


class Reopen(Protocol):
    """The type of the fixture ``reopen``, for annotations."""

    @overload
    def __call__(self, what: Storify, **options: Any) -> Storify: ...
    @overload
    def __call__(self, what: D) -> D: ...


class Storifys:
    """The Storifys of one test.

    Args:
        place: The folder of the test.
        options: Of each `Storify`, where nothing else is said.
    """

    def __init__(self, place: Path, options: Mapping[str, Any]) -> None:
        self._place = place
        self._options = options
        self._made: list[Storify] = []

    def make(self, folder: str | os.PathLike[str] = "data", **options: Any) -> Storify:
        """Open one; see `MakeStorify`."""
        root = os.fspath(folder)
        if root == "memory://":
            root += uuid4().hex  # only what has a name can be reopened
        if "://" not in root:
            root = str(self._place / root)
        given: dict[str, Any] = {"save_interval": None, **self._options, **options}
        return self._keep(Storify(root, **given))

    @overload
    def reopen(self, what: Storify, **options: Any) -> Storify: ...
    @overload
    def reopen(self, what: D) -> D: ...
    def reopen(self, what: Storify | D, **options: Any) -> Storify | D:
        """Open what is open anew; see `storify.testing.reopen`."""
        if isinstance(what, Storify):
            return self._keep(reopen(what, **options))
        return reopen(what)

    def _keep(self, sf: Storify) -> Storify:
        self._made.append(sf)
        return sf

    def close(self) -> list[str]:
        """Close all, the last one first, and tell what could not be saved.

        Nothing is open afterwards. What is lost on purpose is closed before, with
        ``discard=True``.
        """
        told: list[str] = []
        for sf in reversed(self._made):
            opened = (db for db in list(sf.databases) if not db.defunct)
            told += [
                f"{db.name!r} in {sf.root}: {loss}"
                for db in opened
                for loss in _close(db)
            ]
        finish_all(_PATIENCE_S)  # the last flushes of what nobody held any more
        folders = dict.fromkeys(sf.root for sf in self._made if "://" not in sf.root)
        for folder in folders:
            told += [
                f"the last flush of a database failed; its unsaved data are in {path}"
                for path in sorted(Path(folder).rglob("*.unsaved.mpack"))
            ]
        return told


def _close(db: Database[Any, Any]) -> Iterator[str]:
    """Close a database, and tell why what it held could not be saved."""
    failed = db.last_error
    try:
        db.close()
    except Exception as error:  # noqa: BLE001 - the others are to be closed, too
        yield f"it could not be saved: {_words(error)}"
        yield from _discard(db)
    else:
        if failed is not None:
            yield f"an automatic save failed, and none followed: {_words(failed)}"


def _discard(db: Database[Any, Any]) -> Iterator[str]:
    """Close a database that cannot be saved, and tell what is in the way."""
    try:
        db.close(discard=True)
    except Exception as error:  # noqa: BLE001 - the others are to be closed, too
        yield f"it could not be closed: {_words(error)}"


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


# --- a database of its own for each example: what a fixture is for a whole test -------

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
