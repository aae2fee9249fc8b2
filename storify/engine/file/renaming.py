"""Renaming a database with its backups, so that a crash loses neither.

Three things must move, the main file, its journal and the folder of backups, and
no file system moves several at once. So the intent is written first, where every engine of
the folder looks after it has its lock::

    .backups/<old>/.moving     marks the folder that is to move
    .backups/.rename           {"old", "new"}: from here on it can be finished
    old.mpack -> new.mpack     the point of no return
    old.mpack.journal -> new.mpack.journal
    .backups/<old> -> <new>    together with the mark
    both notes removed

Until the main file has moved, finishing means forgetting the intent; after, it
means moving the folder, if the one with the mark is still there. The mark tells
it from a folder that somebody made anew.

A folder of a former database <new> is put aside as ``<new>.<n>.replaced``: its
backups must not pass for those of the database that takes the name.
"""

import json
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from storify.engine.file import vfs
from storify.engine.file.lock import Lock
from storify.engine.file.paths import BACKUPS, INTENT, JOURNAL_SUFFIX, SUFFIX, Paths
from storify.logger import LoggerLike

__all__ = ["finish_rename", "rename", "rename_pending"]

INTENT_LOCK = ".rename.lock"
MARK = ".moving"
PREFIX = ".storify-rename-"


class _Move:
    """The paths of one rename in one data folder."""

    def __init__(self, directory: str, old: str, new: str) -> None:
        self.directory = directory
        self.folder = os.path.join(directory, BACKUPS)
        self.old, self.new = old, new
        self.old_main = os.path.join(directory, old + SUFFIX)
        self.new_main = os.path.join(directory, new + SUFFIX)
        self.old_backups = os.path.join(self.folder, old)
        self.new_backups = os.path.join(self.folder, new)

    @contextmanager
    def locked(self, timeout_s: float) -> Generator[None]:
        """Keep writers of both names out."""
        with ExitStack() as stack:
            for backups, main in sorted(
                [(self.old_backups, self.old_main), (self.new_backups, self.new_main)]
            ):
                lock = Lock(os.path.join(backups, ".lock"), timeout_s, main)
                stack.enter_context(lock.held(self))
            yield

    def begin(self) -> None:
        intent = json.dumps({"old": self.old, "new": self.new}).encode()
        vfs.replace_bytes(os.path.join(self.old_backups, MARK), b"", PREFIX)
        vfs.replace_bytes(os.path.join(self.folder, INTENT), intent, PREFIX)

    def finish(self, log: LoggerLike) -> None:
        """Complete or forget it, by what is there. Calling it again is fine."""
        moved = not os.path.lexists(self.old_main) and os.path.lexists(self.new_main)
        if moved and os.path.lexists(os.path.join(self.old_backups, MARK)):
            if os.path.lexists(self.old_main + JOURNAL_SUFFIX):
                vfs.move(self.old_main + JOURNAL_SUFFIX, self.new_main + JOURNAL_SUFFIX)
            self._clear_new(log)
            vfs.move(self.old_backups, self.new_backups)
        vfs.remove(os.path.join(self.folder, INTENT))
        vfs.sync_directory(self.folder)
        # Without an intent a mark means nothing, so its removal needs no sync.
        for backups in (self.old_backups, self.new_backups):
            vfs.remove(os.path.join(backups, MARK))

    def _clear_new(self, log: LoggerLike) -> None:
        """Make room for the folder of backups."""
        if vfs.list_names(self.new_backups) == [".lock"]:
            vfs.remove(os.path.join(self.new_backups, ".lock"))
            vfs.remove_directory(self.new_backups)
        if not os.path.lexists(self.new_backups):
            return
        number = 1
        while os.path.lexists(aside := f"{self.new_backups}.{number}.replaced"):
            number += 1
        vfs.move(self.new_backups, aside)
        log.info(f"backups of a former database {self.new!r} are now in {aside!r}")


def _lock_of(folder: str, timeout_s: float) -> Lock:
    return Lock(os.path.join(folder, INTENT_LOCK), timeout_s, folder)


def rename(
    directory: str, old: str, new: str, log: LoggerLike, timeout_s: float
) -> None:
    """Rename a database whose names are checked; durable on return.

    Raises:
        FileNotFoundError: There is no *old*.
        FileExistsError: There is a *new*.
        OSError: Not done, or under way and finished by the next who looks.
    """
    move = _Move(directory, old, new)
    if not os.path.lexists(move.old_main):
        raise FileNotFoundError(2, "no such database", move.old_main)
    with _lock_of(move.folder, timeout_s).held(move), move.locked(timeout_s):
        if not os.path.lexists(move.old_main):
            raise FileNotFoundError(2, "no such database", move.old_main)
        if os.path.lexists(move.new_main):
            raise FileExistsError(17, "the database exists already", move.new_main)
        if os.path.islink(move.old_main):
            # Its backups stand beside the file that the link leads to.
            vfs.move(move.old_main, move.new_main)
            return
        move.begin()
        vfs.move(move.old_main, move.new_main)
        move.finish(log)


def rename_pending(paths: Paths) -> bool:
    """Whether a rename in the folder of this database is not finished."""
    return os.path.lexists(paths.intent)


def finish_rename(paths: Paths, log: LoggerLike, timeout_s: float) -> None:
    """Finish a rename that a crash has cut off; wait for one that is under way."""
    path = paths.intent
    folder = os.path.dirname(path)
    lock = _lock_of(folder, timeout_s)
    with lock.held(lock):
        try:
            payload, _ = vfs.read_bytes(path)
        except FileNotFoundError:
            return
        try:
            intent = json.loads(payload)
            old, new = str(intent["old"]), str(intent["new"])
            # Names only: the file must not lead out of the folder.
            bad = any(os.path.basename(name) != name or not name for name in (old, new))
        except (ValueError, KeyError, TypeError):
            old = new = ""
            bad = True
        if bad:
            log.warning(f"rename intent {path!r} is damaged and is dropped")
            vfs.remove(path)
            return
        move = _Move(os.path.dirname(folder), old, new)
        with move.locked(timeout_s):
            move.finish(log)
        log.warning(f"a rename of {old!r} to {new!r} was cut off; it is settled now")
