"""The main file, its checksum record and its journal, read together and judged."""

from typing import NamedTuple

from storify.engine.file import vfs
from storify.engine.file.log import Frame
from storify.engine.file.manifest import DamagedRecordError, Record, Sum, read_record
from storify.engine.file.paths import Place
from storify.engine.file.replay import NO_JOURNAL, Journal, read_journal
from storify.engine.file.verdict import Main, Verdict, judge, read_main
from storify.engine.protocol import Version
from storify.exceptions import DatabaseLoadError
from storify.logger import LoggerLike

__all__ = ["Reading", "UnsteadyError", "read_state", "version_after"]

UNLOCKED_TRIES = 5


class UnsteadyError(DatabaseLoadError):
    """The files changed all the time while they were read without the lock."""


def version_after(digest: str, last: Frame | None) -> Version:
    """Name the state of a main file with the last frame of its journal."""
    if last is None:
        return Version(digest)
    return Version(f"{digest}+{last.seq}.{last.crc:08x}")


class Reading(NamedTuple):
    """What was found.

    Attributes:
        main: The main file; None if it is missing.
        record: What was noted of it; None if nothing can be trusted.
        verdict: How far the file can be trusted.
        known: The state that it is in, if it is TRUSTED.
        wrong: What is wrong with it otherwise, for messages.
        journal: What was committed since it was written.
        left: The file that a FOREIGN one took the place of, and the commits in the
            journal of that; None if there are none. See `foreign`.
    """

    main: Main | None
    record: Record | None
    verdict: Verdict
    known: Sum | None
    wrong: str
    journal: Journal = NO_JOURNAL
    left: tuple[Sum, Journal] | None = None

    @property
    def found(self) -> vfs.Found | None:
        """How the main file looked."""
        return None if self.main is None else self.main.found

    @property
    def current(self) -> Sum | None:
        """The state that was acknowledged last, going by the record."""
        return None if self.record is None else self.record.current

    @property
    def since(self) -> str | None:
        """When the database was created, going by the record."""
        return None if self.record is None else self.record.since

    @property
    def digest(self) -> str:
        """The sha256 of the main file, or what it was if the file is gone or rotten."""
        if self.main is not None and self.verdict is not Verdict.ROTTEN:
            return self.main.digest
        return "" if self.current is None else self.current.sha256

    @property
    def version(self) -> Version:
        """The state, frames included."""
        return version_after(self.digest, self.journal.last)

    @property
    def stamp(self) -> str | None:
        """When the state was committed, as in the names of backups."""
        if self.journal.last is not None:
            return self.journal.last.stamp
        known = self.known or self.current
        return None if known is None else known.time


def read_state(place: Place, log: LoggerLike, *, locked: bool) -> Reading:
    """Read and judge the files; without the lock, a commit may run meanwhile.

    Args:
        place: Where they are.
        log: Told what is wrong with what is noted of them.
        locked: Whether the lock is had.

    Raises:
        UnsteadyError: Read without the lock, they never stand still.
        OSError: One of them cannot be read now.
    """
    for _ in range(UNLOCKED_TRIES):
        main = read_main(place.main)
        damaged, record = False, None
        try:
            record = read_record(place.record)
        except DamagedRecordError as err:
            log.warning(f"{err}; the file is judged without it")
            damaged = True
        except PermissionError as err:
            if locked:
                raise
            # Who may read the file alone sees that it is whole, and what it holds.
            log.debug(f"{place.link!r} is judged without its checksum: {err}")
        verdict, known, wrong = judge(main, record)
        if verdict is Verdict.ABSENT and damaged:
            verdict, wrong = Verdict.LOST, "the file is missing"
        reading = Reading(main, record, verdict, known, wrong)
        if reading.digest:
            journal = read_journal(place.journal, place.mirror, reading.digest)
            reading = reading._replace(journal=journal)
        if verdict is Verdict.FOREIGN:
            reading = reading._replace(left=_left(place, record))
        # Between the reads there may have been a commit that wrote the file anew.
        if locked or _unmoved(place, main):
            return reading
    msg = f"cannot load {place.link!r}: it changes all the time; try again"
    raise UnsteadyError(msg)


def _left(place: Place, record: Record | None) -> tuple[Sum, Journal] | None:
    """The commits that are left in the journal of another main file of ours."""
    for known in [] if record is None else record.sums():
        journal = read_journal(place.journal, place.mirror, known.sha256)
        if journal.frames:
            return known, journal
    return None


def _unmoved(place: Place, main: Main | None) -> bool:
    found = vfs.look(place.main)
    if found is None or main is None:
        return found is None and main is None
    return found.signature() == main.found.signature()
