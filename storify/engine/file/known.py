"""What one instance knows of the disk, and whether a commit may go on top.

Writers meet by compare-and-swap: a commit names the state it was made from, and
is refused if another is there now. Two things must not make it stale: our own
commit that failed late, when nobody can tell whether it happened; and damage to
the very file that we have in memory.
"""

from collections.abc import Callable
from typing import Final, NamedTuple
from weakref import ref

from storify.engine.file import vfs
from storify.engine.file.log_index import Reached
from storify.engine.file.manifest import Record
from storify.engine.file.paths import Place
from storify.engine.file.root import Next
from storify.engine.file.state import Reading, version_after
from storify.engine.file.verdict import Main, Verdict
from storify.engine.moment import Moment
from storify.engine.protocol import StaleVersionError, Version
from storify.logger import LoggerLike

__all__ = ["Known", "Resting", "Tail"]


class Tail(NamedTuple):  # made in a tenth of a dataclass's time
    """Where the next frame goes.

    Attributes:
        found: How the journal looked; None if there is none.
        size: Of the journal, in bytes; whole frames, nothing else.
        seq: The number of the last frame.
        moment: When the state was committed.
        all_synced: Whether every frame is durable.
    """

    found: vfs.Found | None = None
    size: int = 0
    seq: int = 0
    moment: Moment | None = None
    all_synced: bool = True

    def is_still(self, found: vfs.Found | None) -> bool:
        """Whether the journal looks as it did."""
        if found is None or self.found is None:
            return found is self.found
        return found.signature() == self.found.signature()

    def is_of(self, found: vfs.Found) -> bool:
        """Whether it is the same file, perhaps longer."""
        return (
            self.found is not None
            and found.inode == self.found.inode
            and found.size >= self.size
        )


class Resting(NamedTuple):
    """A small main file without a journal, as a commit of ours has left it.

    Attributes:
        now: What a read would find.
        entries: The root, parted.
        is_indexed: Whether it has an index.
        ctime_ns: When the main file was last touched in any way.
    """

    now: Reading
    entries: dict[bytes, bytes]
    is_indexed: bool
    ctime_ns: int


class Known:
    """The state of the last load or commit, and those that we have tried to make.

    Attributes:
        version: The state it loaded or committed.
        digest: The sha256 of its main file, in hex.
        size_bytes: Of the main file.
        signature: How the main file looked then.
        tail: Where its journal ends.
        ours: Whether a frame of the journal is our own.
        noted: How far the index of the journal reaches.
        shunned: Whether the journal must not be appended to: a sync of it failed.
        base: The base of commits that failed late.
        resting: What a read of a small file would find, after a commit of ours that
            left no journal.
        attempts: The states that those commits may have left on disk: when a
            step went well and the sync after it failed, nobody can tell. They
            are our own, so they never make a commit stale.
    """

    __slots__ = (
        *("attempts", "base", "digest", "ours", "shunned", "signature", "size_bytes"),
        *("__weakref__", "noted", "resting", "tail", "version"),
    )

    def __init__(self) -> None:
        self.version: Version | None = None
        self.digest: str = ""
        self.size_bytes: int = 0
        self.signature: object = None
        self.tail: Tail = Tail()
        self.ours: bool = False
        self.shunned: bool = False
        self.noted: Reached = Reached()
        self.base: Version | None = None
        self.attempts: set[Version] = set()
        self.resting: Resting | None = None

    def at(
        self,
        version: Version,
        digest: str,
        found: vfs.Found | None,
        tail: Tail,
        *,
        ours: bool,
    ) -> None:
        """Note a state that is known to be on disk."""
        if digest != self.digest:
            self.ours = self.shunned = False
            self.noted = Reached()
        self.version, self.digest = version, digest
        self.size_bytes = 0 if found is None else found.size
        self.signature = None if found is None else found.signature()
        self.tail = tail
        self.ours = self.ours or ours
        self.attempts.clear()
        if self.resting is not None and self.resting.now.digest != version:
            self.resting = None

    def appended(self, version: Version, tail: Tail) -> None:
        """Note a frame of our own, which is on disk."""
        self.version, self.tail, self.ours = version, tail, True
        self.attempts.clear()
        self.resting = None

    def attempt(self, base: Version | None, version: Version) -> None:
        """Note a state that may come to be on disk."""
        if base != self.base:
            self.attempts.clear()
        self.base = base
        self.attempts.add(version)

    def counts_as(self, version: Version, base: Version | None) -> bool:
        """Whether a state on disk is *base*, or came from it by ourselves."""
        return version == base or (base == self.base and version in self.attempts)

    def has_main(self, place: Place) -> bool:
        """Whether nobody has written the main file since, going by a look at it."""
        found = vfs.look(place.main)
        return found is not None and found.signature() == self.signature

    def is_still(self, place: Place) -> bool:
        """Whether nobody has written since, going by two looks at the disk."""
        return self.has_main(place) and self.tail.is_still(vfs.look(place.journal))

    def rest(
        self,
        place: Place,
        new: Next,
        record: Record,
        *,
        is_indexed: bool,
    ) -> None:
        """Remember a small main file that was just written, for the next commit."""
        if new.payload is None or new.entries is None:
            return
        try:
            found = vfs.look(place.main)  # the rename has moved the change time
        except OSError:
            return  # the next one reads it
        if found is None or found.signature() != self.signature:
            return
        main = Main(self.digest, found, vfs.Whole(new.payload, found))
        now = Reading(main, record, Verdict.TRUSTED, record.current, "")
        self.resting = Resting(now, new.entries, is_indexed, found.ctime_ns)
        _remembered.pop(id(self), None)
        _remembered[id(self)] = ref(self)
        for old in list(_remembered)[:-_MOST_RESTING]:
            other = _remembered.pop(old, _nobody)()
            if other is not None:
                other.resting = None

    def at_rest(self, place: Place, base: Version | None) -> "Resting | None":
        """What a read would find; None if it is not known, or is not *base*.

        By two looks at the disk. The change time tells also of who writes into the file
        and sets its time back.
        """
        resting = self.resting
        if resting is None or base is None or self.version != base:
            return None
        found = vfs.look(place.main)
        if (
            found is None
            or found.signature() != self.signature
            or found.ctime_ns != resting.ctime_ns
            or vfs.look(place.journal) is not None
        ):
            return None
        return resting

    def check_base(
        self, place: Place, now: Reading, base: Version | None, log: LoggerLike
    ) -> None:
        """Raise unless the database is at *base*, be the main file damaged or not.

        Raises:
            StaleVersionError: Another state is there, or none.
        """
        if now.verdict is Verdict.ABSENT:
            if base is None:
                return
            msg = f"{place.link!r} was removed or renamed"
            raise StaleVersionError(msg)
        if now.main is not None and now.verdict is not Verdict.ROTTEN:
            if self.counts_as(now.version, base):
                return
        elif any(self.counts_as(each, base) for each in _noted(now)):
            wrong = "missing" if now.main is None else f"damaged ({now.wrong})"
            log.warning(f"{place.link!r} was {wrong}; it is written anew")
            return
        msg = f"{place.link!r} was changed since version {base}"
        raise StaleVersionError(msg)


#: Of so many databases the last small file is remembered.
_MOST_RESTING: Final = 16
#: Who remembers one, by `id`.
_remembered: "dict[int, Callable[[], Known | None]]" = {}


def _nobody() -> None:
    return None


def _noted(now: Reading) -> list[Version]:
    """The states that were acknowledged last, going by the record."""
    sums = [] if now.record is None else now.record.sums()
    return [now.version, *(version_after(known.sha256, None) for known in sums)]
