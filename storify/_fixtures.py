"""The Storifys of one test: where they are, and that none of them loses anything.

It serves the pytest plugin, and needs neither pytest nor Hypothesis.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, overload
from uuid import uuid4

from storify._manager import Storify
from storify._reopening import reopen
from storify._typing import TypeVar
from storify.database import BaseDatabase, Database

__all__ = ["MakeStorify", "Reopen", "Storifys"]

D = TypeVar("D", bound=BaseDatabase[Any, Any])


class MakeStorify(Protocol):
    """What the fixture ``make_storify`` gives; for annotations."""

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
    """What the fixture ``reopen`` gives; for annotations."""

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
    except Exception as error:  # noqa: BLE001 - as above
        yield f"it could not be closed: {_words(error)}"


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
