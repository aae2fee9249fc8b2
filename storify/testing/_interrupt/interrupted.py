"""What an interrupt left: live objects, and what is on disk."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from storify._manager import Storify
from storify.database import Database
from storify.engine.file import lock
from storify.engine.file.snapshot import descriptors_held
from storify.testing._crash.left import Left
from storify.testing._crash.opened import is_within
from storify.testing._interrupt.places import Place
from storify.testing._interrupt.run import Run
from storify.testing._same import difference

__all__ = ["Interrupted"]

#: Where a system tells what this process has open.
_FDS = Path("/proc/self/fd")


class Interrupted(Left[Place]):
    """What one interrupt point left behind; the program has dealt with the interrupt.

    As a context manager it closes what was reopened, and an exception that leaves
    the block gets a note that names the point; so does one that leaves
    ``with interrupted.reopen() as sf:``.

    Attributes:
        point: Where it was; ``str()`` of it is one line.
        root: The folder that the scenario got; removed when the loop moves on.
        done: What the scenario had given to ``done(...)``, in order.
        error: What the scenario raised: the interrupt itself as a rule; None if it
            returned.
        completed: Whether the scenario returned: it dealt with the interrupt by
            itself, or a handler was run and raised nothing.
        live: Each `Storify` that the scenario had made in its folder, with the
            databases that it had open: they are as the interrupt left them.
    """

    def __init__(self, point: Place, run: Run) -> None:
        models = run.opened.models()
        super().__init__("interrupt point", point, run.folder, run.opened.home, models)
        self.root: Path = run.folder
        self.done: list[Any] = list(run.done)
        self.error: BaseException | None = run.error
        self.completed: bool = run.completed
        self.live: tuple[Storify, ...] = tuple(run.live)
        self._opened = run.opened

    @property
    def databases(self) -> list[Database[Any, Any]]:
        """The databases that are open in `live`."""
        return [db for sf in self.live for db in sf.databases if not db.defunct]

    @property
    def locks(self) -> list[str]:
        """The names of databases of which a lock is held."""
        files = [
            os.path.relpath(path, self.root)
            for path in list(lock._holds)
            if is_within(self.root, path) and lock._held(path) is not None
        ]
        turns = [
            session.name
            for session in self._opened.sessions()
            if session.lock.holder() is not None
        ]
        return sorted({*files, *turns})

    @property
    def descriptors(self) -> list[str]:
        """The files in `root` that are open in this process, where Linux tells it.

        Without those that an open database reads its records from.
        """
        links = list(_FDS.iterdir()) if _FDS.is_dir() else []
        held = set(map(str, descriptors_held()))
        ours = (link for link in links if link.name not in held)
        paths = (path for link in ours for path in _target(link))
        return sorted(path for path in paths if is_within(self.root, path))

    def assert_sound(self, **options: Any) -> None:
        """See that Storify has kept its own promises, whatever your program's are.

        No lock is held and no file is left open; the databases in `live` can be
        flushed, have nothing unsaved then, and are on disk what they are in memory.
        They are flushed by this.

        Args:
            options: Of `reopen`.

        Raises:
            AssertionError: It is not so.
        """
        wrong = list(self._left_behind())
        for db in self.databases:
            wrong += self._flushed(db, options)
        wrong += self._left_behind()
        if wrong:
            error = AssertionError("; ".join(dict.fromkeys(wrong)))
            self.tell(error)
            raise error

    def _left_behind(self) -> Iterator[str]:
        for each in self.locks:
            yield f"a lock is held: {each}"
        for path in self.descriptors:
            yield f"a file is left open: {os.path.relpath(path, self.root)}"

    def _flushed(
        self, db: Database[Any, Any], options: dict[str, Any]
    ) -> Iterator[str]:
        if db._use.readonly:
            return
        try:
            db.flush()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            yield f"the next flush of {db.name!r} raises {error!r}"
            return
        if keys := db.dirty():
            yield f"{db.name!r} is dirty after a flush: {keys!r}"
        folder, name = os.path.split(os.path.relpath(db.path, self.root))
        with self.reopen(folder, **options) as sf:
            there = sf.get_db(name.removesuffix(".mpack"), readonly=True)
            found = difference(_content(db), _content(there))
        if found is not None:
            yield f"{db.name!r} is not on disk what it is in memory: {found}"

    def end(self) -> None:
        """Let nothing of the run write any more."""
        self._opened.end()

    def __repr__(self) -> str:
        """Tell the point, what was done and what was raised."""
        raised = "" if self.error is None else f", error={self.error!r}"
        return f"<Interrupted {self.point}; done={self.done!r}{raised}>"


def _content(db: Database[Any, Any]) -> Any:
    """What is in a database, as a plain dict or list."""
    root = cast("dict[Any, Any] | list[Any]", db.data)
    return list(root) if isinstance(root, list) else dict(root.items())


def _target(link: Path) -> Iterator[str]:
    try:
        yield os.readlink(link)
    except FileNotFoundError:  # that by which the folder was read
        return
