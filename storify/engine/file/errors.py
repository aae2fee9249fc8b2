"""Errors of the system, with what to do about them, and words to a log."""

import errno
import os
import shlex
import stat
import sys
from typing import Final

from storify.engine.file import vfs
from storify.engine.file.paths import Paths, stem_of
from storify.exceptions import StorifyError
from storify.logger import LoggerLike, formatted
from storify.threads import say

__all__ = ["SaidLater", "explain"]

#: What to do, where that is not plain.
_REMEDIES: Final = {
    errno.EACCES: "see that this user may write the folder, and all in it",
    errno.EPERM: "see that this user may write the folder, and all in it",
    errno.ENOLCK: "its file system has no locks; readonly=True does without",
    errno.EBUSY: (
        "it cannot be replaced, as a file that is mounted by itself, into a "
        "container perhaps; mount its folder"
    ),
}
_REMEDIES[errno.EXDEV] = _REMEDIES[errno.EBUSY]

_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})


def explain(err: OSError, paths: Paths) -> None:
    """Say in an error of the system which database and file it is about.

    Args:
        err: The error; one of ours says so already.
        paths: Where the files of the database are.
    """
    if isinstance(err, StorifyError) or err.errno is None:
        return
    if err.strerror != os.strerror(err.errno):
        return
    file = err.filename
    is_temporary = isinstance(file, str) and os.path.basename(file).startswith(
        paths.prefix
    )
    if file is None or is_temporary:
        err.filename, err.filename2 = paths.main, None
    remedy = _REMEDIES.get(err.errno)
    if err.errno in _FORBIDDEN:
        remedy = _give_back(file, paths) or remedy
    more = f"; {remedy}" if remedy else ""
    err.strerror = f"{err.strerror}, database {stem_of(paths.link)!r}{more}"


def _give_back(file: object, paths: Paths) -> str | None:
    """Tell how to give the database's owner what is in the way, if it is not his.

    An older release left what root, or another member of a group, made beside a
    database to its maker.
    """
    if not isinstance(file, str) or not hasattr(os, "geteuid"):
        return None
    main = None if file == paths.main else vfs.owner_of(paths.main)
    owner = main or vfs.owner_of(paths.directory)
    if owner is None:
        return None
    for path, whole in _ways(file, paths):
        found = vfs.owner_of(path)
        if found is not None and found.uid not in (owner.uid, os.geteuid()):
            command = f"sudo chown -R {owner.uid}:{owner.gid} {shlex.quote(whole)}"
            if owner.mode & stat.S_IWGRP:
                command += f" && sudo chmod -R g+rwX {shlex.quote(whole)}"
            return f"it belongs to user {found.uid}; give it back by: {command}"
    return None


def _ways(file: str, paths: Paths) -> list[tuple[str, str]]:
    """The file and the folders to it; and with each what is to be given back."""
    if not file.startswith(paths.backups + os.sep):
        return [(file, file)]
    above = os.path.dirname(paths.backups)
    return [(file, paths.backups), (paths.backups, paths.backups), (above, above)]


class SaidLater:
    """A logger that keeps what it is told in a saver thread, until the work has ended.

    Handlers of a log have locks, which the caller who waits may hold.

    Args:
        log: Where it is said.
    """

    def __init__(self, log: LoggerLike) -> None:
        self._log = log

    def debug(self, msg: str) -> None:
        """Record a detail."""
        say(self._log.debug, msg)

    def info(self, msg: str) -> None:
        """Record a normal event."""
        say(self._log.info, msg)

    def warning(self, msg: str) -> None:
        """Record something that the owner of the data should know."""
        say(self._log.warning, msg)

    def error(self, msg: str) -> None:
        """Record a failure."""
        say(self._log.error, msg)

    def traceback(self, msg: str) -> None:
        """Record a failure together with the exception being handled."""
        error = sys.exception()
        say(self._log.error, msg if error is None else f"{msg}: {formatted(error)}")
