"""Where the files of one database are.

::

    data/users.mpack              the main file; a symbolic link is followed
    data/users.mpack.journal      what was committed since, see `log`
    data/.backups/users/.lock     taken for every operation
    data/.backups/users/.sum      the checksum record, see `manifest`
    data/.backups/users/.mirror   the journal once more, see `replay`
    data/.backups/users/.index    where its entries lie, see `index`
    data/.backups/users/.log-index  where its commits lie, see `log_index`
    data/.backups/users/…         backups, see `backups`
    data/.backups/.rename         a rename under way, see `renaming`

Everything stands beside the file that a link leads to, so that programs that
reach it by different links exclude each other.
"""

import os
from functools import cached_property
from hashlib import sha256

from storify.engine.file import vfs
from storify.engine.file.leftovers import leftovers
from storify.logger import LoggerLike

__all__ = [
    "BACKUPS",
    "INTENT",
    "JOURNAL_SUFFIX",
    "RECORD",
    "SUFFIX",
    "Place",
    "place_of",
    "stem_of",
]

BACKUPS = ".backups"
RECORD = ".sum"
INTENT = ".rename"
SUFFIX = ".mpack"
JOURNAL_SUFFIX = ".journal"
PREFIX_DIGITS = 12
# File systems take names of 255 bytes.
LONGEST_WITH_JOURNAL = 255 - len(JOURNAL_SUFFIX)


def stem_of(path: str) -> str:
    """The database name in a path: ``users`` of ``data/users.mpack``.

    Any other suffix stays, or ``a.mpack`` and ``a.bin`` would share backups.
    """
    return os.path.basename(path).removesuffix(SUFFIX)


class Place:
    """The paths of one database, as they are now.

    Attributes:
        link: The path that was given.
        main: The file itself, links followed.
        backups: Its folder of backups.
        directory: The folder of the main file.
        lock: The lock file.
        record: The checksum record.
        intent: What says that a database of the folder is being renamed.
        mirror: The second copy of the journal.
        index: Where the entries of the main file lie.
        log_index: Where the changes in the journal lie.
        old_index: What stood there before it could be asked for a key.
    """

    def __init__(self, link: str, main: str, backups: str) -> None:
        self.link = link
        self.main = main
        self.backups = backups
        self.directory: str = os.path.dirname(main)
        self.lock: str = os.path.join(backups, ".lock")
        self.record: str = os.path.join(backups, RECORD)
        self.intent: str = os.path.join(os.path.dirname(backups), INTENT)
        self.mirror: str = os.path.join(backups, ".mirror")
        self.index: str = os.path.join(backups, ".index")
        self.log_index: str = os.path.join(backups, ".log-index")
        self.old_index: str = os.path.join(backups, ".entries")

    @cached_property
    def journal(self) -> str:
        """The journal; under a short name where the long one has no room."""
        if len(os.fsencode(os.path.basename(self.main))) > LONGEST_WITH_JOURNAL:
            return os.path.join(self.directory, self.prefix + JOURNAL_SUFFIX)
        return self.main + JOURNAL_SUFFIX

    @cached_property
    def prefix(self) -> str:
        """Starts the name of each temporary file of this database.

        A hash, since a long database name leaves no room for anything else.
        """
        digest = sha256(os.fsencode(os.path.basename(self.main))).hexdigest()
        return f".storify-{digest[:PREFIX_DIGITS]}-"

    def leftovers(self) -> list[tuple[str, str]]:
        """The temporary files, which somebody is writing or a crash left.

        Returns:
            Folders and names, in the same order in each run.
        """
        return [
            (directory, name)
            for directory in dict.fromkeys((self.directory, self.backups))
            for name in leftovers(directory, self.prefix)
        ]

    def sweep(self, log: LoggerLike) -> None:
        """Remove temporary files that a crash left; only under the lock.

        Whoever holds the lock is the only writer, so all of them are leftovers.
        """
        for directory, name in self.leftovers():
            vfs.remove(os.path.join(directory, name))
            log.info(f"removed {name!r} in {directory!r}: left by a crash")

    def clear(self) -> None:
        """Remove the folder of backups, once all of ours in it is erased."""
        # A stranger's file keeps the folder, and then its lock may stay too.
        if vfs.list_names(self.backups) == [".lock"]:
            vfs.remove(self.lock)
            vfs.remove_directory(self.backups)


def place_of(path: str, backups_directory: str | None = None) -> Place:
    """Find the files of the database at *path*; nothing need exist."""
    main = os.path.realpath(path)
    backups = backups_directory or os.path.join(
        os.path.dirname(main), BACKUPS, stem_of(main)
    )
    return Place(path, main, backups)
