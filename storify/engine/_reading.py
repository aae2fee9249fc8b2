"""The main file and its checksum record, read together and judged."""

from typing import NamedTuple

from storify.engine import _disk
from storify.engine._place import Place
from storify.engine._record import DamagedRecordError, Record, Sum, read_record
from storify.engine._verdict import Main, Verdict, judge, read_main
from storify.exceptions import DatabaseLoadError
from storify.logger import LoggerLike

__all__ = ["Reading", "read_state"]

UNLOCKED_TRIES = 5


class Reading(NamedTuple):
    """What was found.

    Attributes:
        main: The main file; None if it is missing.
        record: What was noted of it; None if nothing can be trusted.
        verdict: How far the file can be trusted.
        known: The state that it is in, if it is TRUSTED.
        wrong: What is wrong with it otherwise, for messages.
    """

    main: Main | None
    record: Record | None
    verdict: Verdict
    known: Sum | None
    wrong: str

    @property
    def found(self) -> _disk.Found | None:
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


def read_state(place: Place, log: LoggerLike, *, locked: bool) -> Reading:
    """Read and judge the file; without the lock, a commit may run meanwhile.

    Raises:
        DatabaseLoadError: Read without the lock, it never stands still.
        OSError: The file or the record cannot be read now.
    """
    for _ in range(UNLOCKED_TRIES):
        main = read_main(place.main)
        damaged, record = False, None
        try:
            record = read_record(place.record)
        except DamagedRecordError as err:
            log.warning(f"{err}; the file is judged without it")
            damaged = True
        verdict, known, wrong = judge(main, record)
        if verdict is Verdict.ABSENT and damaged:
            verdict, wrong = Verdict.LOST, "the file is missing"
        # Between the two reads there may have been a commit.
        if locked or verdict is Verdict.TRUSTED or _unmoved(place, main):
            return Reading(main, record, verdict, known, wrong)
    msg = f"cannot load {place.link!r}: it changes all the time; try again"
    raise DatabaseLoadError(msg)


def _unmoved(place: Place, main: Main | None) -> bool:
    found = _disk.look(place.main)
    if found is None or main is None:
        return found is None and main is None
    return found.signature() == main.found.signature()
