r"""What a main file and its checksum record say together.

::

    main \ record     none          current or next has   same size and   else
                                    its hash              time, other hash
    missing           ABSENT        -                     -               LOST
    there, sealed,
      later than noted FIRST_SEEN   TRUSTED               -               AHEAD
    there             FIRST_SEEN    TRUSTED               ROTTEN          FOREIGN

Empty and unreadable files are ROTTEN whatever the record says. FIRST_SEEN, AHEAD and
FOREIGN files must parse to count; TRUSTED ones are what was committed. AHEAD is a
commit of ours of which the record does not know after a power cut, since a small
commit does not sync it (`checkpoint`): it counts as TRUSTED does. An older one that was
put back is sealed, too, but not later than what is noted.
"""

import errno
from enum import Enum, auto
from hashlib import sha256
from typing import Final, NamedTuple

from storify.engine.file import vfs
from storify.engine.file.manifest import Record, Sum
from storify.engine.file.seal import is_sealed

__all__ = ["Main", "Verdict", "judge", "read_main"]


_EMPTY: Final = sha256().hexdigest()


class Verdict(Enum):
    """How far a main file can be trusted."""

    ABSENT = auto()
    LOST = auto()
    FIRST_SEEN = auto()
    TRUSTED = auto()
    AHEAD = auto()
    FOREIGN = auto()
    ROTTEN = auto()

    @property
    def is_ours(self) -> bool:
        """Whether the file is a commit of ours, as it was."""
        return self is Verdict.TRUSTED or self is Verdict.AHEAD


class Main(NamedTuple):
    """The main file as it was read.

    Attributes:
        digest: sha256 of the content in hex; empty if the disk could not read it.
        found: Its identity, size and time.
        source: The content, a small one in memory; None if it was not read.
    """

    digest: str
    found: vfs.Found
    source: vfs.AnyFile | None = None


def read_main(path: str) -> Main | None:
    """Read the main file for its digest, a large one in parts; None if there is none.

    Raises:
        OSError: It cannot be read now; a bad sector is no error but a digest that is
            empty, since a backup can replace it.
    """
    looked = vfs.look(path)
    if looked is None:
        return None
    digest = sha256()
    try:
        if looked.size <= vfs.PART_BYTES:
            payload, found = vfs.read_bytes(path)
            digest.update(payload)
            return Main(digest.hexdigest(), found, vfs.Whole(payload, found))
        source, at = vfs.source(path), 0
        while part := source.read(at, vfs.PART_BYTES):
            digest.update(part)
            at += len(part)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as err:
        if err.errno != errno.EIO:
            raise
        return Main("", looked)
    return Main(digest.hexdigest(), source.found, source)


def judge(main: Main | None, record: Record | None) -> tuple[Verdict, Sum | None, str]:
    """Weigh the file against the record; None stands for a missing one.

    Returns:
        The verdict, the known state if it is TRUSTED, and what is wrong.
    """
    record = record or Record()
    if main is None:
        if record.current is None:
            return Verdict.ABSENT, None, ""
        return Verdict.LOST, None, "the file is missing"
    if not main.digest:
        return Verdict.ROTTEN, None, "the disk cannot read the file"
    known = record.by_hash(main.digest)
    if known is None:
        return _unknown(main, record)
    if not known.fits(main.found) and _is_ahead(main, record):
        return Verdict.AHEAD, None, ""  # it came back to that content
    return Verdict.TRUSTED, known, ""


def _unknown(main: Main, record: Record) -> tuple[Verdict, Sum | None, str]:
    """Judge a readable file whose content is not on record."""
    if main.digest == _EMPTY:
        return Verdict.ROTTEN, None, "the file is empty"
    if not record.sums():
        return Verdict.FIRST_SEEN, None, ""
    if any(known.fits(main.found) for known in record.sums()):
        return Verdict.ROTTEN, None, "the content changed but size and time did not"
    if _is_ahead(main, record):
        return Verdict.AHEAD, None, ""
    return Verdict.FOREIGN, None, "another program changed the file"


def _is_ahead(main: Main, record: Record) -> bool:
    mtime_ns = main.found.mtime_ns
    newest = record.next or record.current
    return (
        newest is not None
        and mtime_ns > newest.mtime_ns
        and is_sealed(mtime_ns, main.digest)
    )
