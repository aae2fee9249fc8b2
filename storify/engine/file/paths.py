"""The paths of the files of one database.

::

    data/users.mpack              the main file; a symbolic link is followed
    data/users.mpack.journal      what was committed since, see `log`
    data/.backups/users/.lock     taken for every operation
    data/.backups/users/.sum      the manifest
    data/.backups/users/.mirror   the journal once more, see `replay`
    data/.backups/users/.index    where its entries lie, see `index`
    data/.backups/users/.log-index  where its commits lie, see `log_index`
    data/.backups/users/…         backups, see `backups`
    data/.backups/.rename         a rename under way, see `renaming`

Everything stands beside the file that a link leads to, so that programs that
reach it by different links exclude each other.
"""

import os
import re
from functools import cached_property
from hashlib import sha256
from typing import Final

from storify.engine.file import vfs
from storify.exceptions import NetworkFilesystemError
from storify.logger import LoggerLike

__all__ = [
    "BACKUPS",
    "INTENT",
    "JOURNAL_SUFFIX",
    "MOUNTS",
    "RECORD",
    "SUFFIX",
    "Paths",
    "network_filesystem",
    "paths_of",
    "require_local",
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


class Paths:
    """The paths of one database, as they are now.

    Attributes:
        link: The path that was given.
        main: The file itself, links followed.
        backups: Its folder of backups.
        directory: The folder of the main file.
        lock: The lock file.
        manifest: The ``.sum``.
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
        begin = os.path.join(backups, "")
        self.lock: str = begin + ".lock"
        self.manifest: str = begin + RECORD
        self.intent: str = os.path.join(os.path.dirname(backups), INTENT)
        self.mirror: str = begin + ".mirror"
        self.index: str = begin + ".index"
        self.log_index: str = begin + ".log-index"
        self.old_index: str = begin + ".entries"

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
            for name in _leftovers(directory, self.prefix)
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


def paths_of(path: str, backups_directory: str | None = None) -> Paths:
    """Find the files of the database at *path*; nothing need exist."""
    main = os.path.realpath(path)
    backups = backups_directory or os.path.join(
        os.path.dirname(main), BACKUPS, stem_of(main)
    )
    return Paths(path, main, backups)


# --- the temporary files that crashed writers left -----------------------------------
#
# One look finds those of all databases of the folder. So a folder of thousands is not
# listed for each of them: a look that found hundreds of names serves as many openings
# as it found hundreds. What is left there meanwhile is found by a later look.

#: For each opening that a look serves, after the one it was made for.
_NAMES_PER_OPENING: Final = 100
#: Folders that are remembered at most.
_FOLDERS: Final = 1000


class _Look:
    """The content of a folder at one look.

    Args:
        directory: The folder.
    """

    def __init__(self, directory: str) -> None:
        names = vfs.list_seen(directory)
        self.openings_left = len(names) // _NAMES_PER_OPENING
        self.temporary = [name for name in names if name.endswith(vfs.TEMPORARY_SUFFIX)]


#: The last looks at large folders, by their paths.
_looks: dict[str, _Look] = {}


def _leftovers(directory: str, prefix: str) -> list[str]:
    """Return the temporary files in a folder whose names start with *prefix*."""
    look = _looks.get(directory)
    if look is None or look.openings_left <= 0:
        look = _look_again(directory)
    else:
        look.openings_left -= 1
    return [
        name
        for name in look.temporary
        if name.startswith(prefix) and os.path.lexists(os.path.join(directory, name))
    ]


def _look_again(directory: str) -> _Look:
    look = _Look(directory)
    if len(_looks) >= _FOLDERS:
        _looks.clear()
    if look.openings_left:
        _looks[directory] = look
    else:
        _looks.pop(directory, None)
    return look


# --- whether a folder is on a network file system, by Linux's list of mounts ---------
#
# Locks and renames of such a file system do not do what is needed here: a lock may be one
# machine's alone, and a file that was replaced may be seen by another one as it was.
#
# 9p is not among them. It is what containers have as their disk (gVisor), and Windows for
# its Linux, where one machine alone uses it; a network of machines that share one is rare.
# Other systems than Linux are not asked.

MOUNTS: Final = "/proc/self/mountinfo"
_KINDS: Final = rb"nfs4?|cifs|smb3|smbfs|fuse\.sshfs"


def require_local(directory: str, mounts: str = MOUNTS) -> None:
    """Refuse a folder on a network file system; it need not exist.

    Raises:
        NetworkFilesystemError: It is on one.
    """
    kind = network_filesystem(directory, mounts)
    if kind is not None:
        msg = (
            f"cannot keep databases in {directory!r}: it is on a network file system "
            f"({kind}), whose locks and renames are not safe; use a folder on a local "
            f"disk, or pass allow_network_filesystem=True if this machine alone uses it"
        )
        raise NetworkFilesystemError(msg)


def network_filesystem(directory: str, mounts: str = MOUNTS) -> str | None:
    """Return the kind of network file system that a folder is on; None if it is none.

    Args:
        directory: The folder; it need not exist.
        mounts: The list of what is mounted, in the form of ``mountinfo``.
    """
    try:
        with open(mounts, "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    networks = re.compile(rb" - (%b) " % _KINDS)
    if not any(map(networks.search, lines)):
        return None
    path = os.fsencode(os.path.realpath(directory))
    longest, kind = -1, None
    for line in lines:
        fields = line.split(b" ")
        if len(fields) < 5:  # noqa: PLR2004 - the mount point is the fifth
            continue
        point = _unescaped(fields[4])
        within = path == point or path.startswith(point.rstrip(b"/") + b"/")
        # What is mounted over another one at the same place comes later.
        if within and len(point) >= longest:
            longest, kind = len(point), networks.search(line)
    return None if kind is None else kind[1].decode()


def _unescaped(point: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), point)
