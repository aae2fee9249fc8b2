r"""The files on disk, read together and judged, and what an instance knows of them.

A main file and its manifest say together::

    main \ manifest   none          current or next has   same size and   else
                                    its hash              time, other hash
    missing           ABSENT        -                     -               LOST
    there, sealed,
      later than noted FIRST_SEEN   TRUSTED               -               AHEAD
    there             FIRST_SEEN    TRUSTED               CORRUPT         FOREIGN

Empty and unreadable files are CORRUPT whatever the manifest says. FIRST_SEEN, AHEAD and
FOREIGN files must parse to count; TRUSTED ones are what was committed. AHEAD is a
commit of ours of which the manifest does not know after a power cut, since a small
commit does not sync it (`checkpoint`): it counts as TRUSTED does. An older one that was
put back is sealed, too, but not later than what is noted.

An instance remembers what it read or wrote last (`Known`), so that two looks at the disk
tell whether a commit may go on top of it. Writers meet by compare-and-swap: a commit
names the state it was made from, and is refused if another is there now. Two things must
not make it stale: our own commit that failed late, when nobody can tell whether it
happened; and damage to the very file that we have in memory.
"""

import errno
from collections.abc import Callable, Sequence
from enum import Enum, auto
from hashlib import sha256
from typing import Final, NamedTuple
from weakref import ref

from storify.engine.file import vfs
from storify.engine.file.log import Frame
from storify.engine.file.log_index import Reached
from storify.engine.file.manifest import (
    DamagedManifestError,
    Manifest,
    Sum,
    is_sealed,
    read_manifest,
)
from storify.engine.file.paths import Paths
from storify.engine.file.replay import NO_JOURNAL, Journal, read_journal
from storify.engine.file.root import Hash, Next
from storify.engine.moment import Moment
from storify.engine.protocol import StaleVersionError, Version
from storify.exceptions import DatabaseLoadError
from storify.logger import LoggerLike

__all__ = [
    "Known",
    "Main",
    "Resting",
    "State",
    "Tail",
    "UnsteadyError",
    "Verdict",
    "judge",
    "read_main",
    "read_state",
    "version_after",
]

UNLOCKED_TRIES = 5

_EMPTY: Final = sha256().hexdigest()


class Verdict(Enum):
    """The trust that a main file deserves."""

    ABSENT = auto()
    LOST = auto()
    FIRST_SEEN = auto()
    TRUSTED = auto()
    AHEAD = auto()
    FOREIGN = auto()
    CORRUPT = auto()

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
        hashes: Of what it begins with, as `hashed` makes them; none if it was read.
    """

    digest: str
    found: vfs.Found
    source: vfs.AnyFile | None = None
    hashes: Sequence[Hash] = ()


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


def judge(
    main: Main | None, manifest: Manifest | None
) -> tuple[Verdict, Sum | None, str]:
    """Weigh the file against the manifest; None stands for a missing one.

    Returns:
        The verdict, the known state if it is TRUSTED, and what is wrong.
    """
    manifest = manifest or Manifest()
    if main is None:
        if manifest.current is None:
            return Verdict.ABSENT, None, ""
        return Verdict.LOST, None, "the file is missing"
    if not main.digest:
        return Verdict.CORRUPT, None, "the disk cannot read the file"
    known = manifest.by_hash(main.digest)
    if known is None:
        return _unknown(main, manifest)
    if not known.fits(main.found) and _is_ahead(main, manifest):
        return Verdict.AHEAD, None, ""  # it came back to that content
    return Verdict.TRUSTED, known, ""


def _unknown(main: Main, manifest: Manifest) -> tuple[Verdict, Sum | None, str]:
    """Judge a readable file whose content is not in the manifest."""
    if main.digest == _EMPTY:
        return Verdict.CORRUPT, None, "the file is empty"
    if not manifest.sums():
        return Verdict.FIRST_SEEN, None, ""
    if any(known.fits(main.found) for known in manifest.sums()):
        return Verdict.CORRUPT, None, "the content changed but size and time did not"
    if _is_ahead(main, manifest):
        return Verdict.AHEAD, None, ""
    return Verdict.FOREIGN, None, "another program changed the file"


def _is_ahead(main: Main, manifest: Manifest) -> bool:
    mtime_ns = main.found.mtime_ns
    newest = manifest.next or manifest.current
    return (
        newest is not None
        and mtime_ns > newest.mtime_ns
        and is_sealed(mtime_ns, main.digest)
    )


# --- all files together --------------------------------------------------------------


class UnsteadyError(DatabaseLoadError):
    """The files changed all the time while they were read without the lock."""


def version_after(digest: str, last: Frame | None) -> Version:
    """Name the state of a main file with the last frame of its journal."""
    if last is None:
        return Version(digest)
    return Version(f"{digest}+{last.seq}.{last.crc:08x}")


class State(NamedTuple):
    """The main file, its manifest and its journal, read and judged.

    Attributes:
        main: The main file; None if it is missing.
        manifest: What was noted of it; None if nothing can be trusted.
        verdict: How far the file can be trusted.
        known: The state that it is in, if it is TRUSTED.
        wrong: What is wrong with it otherwise, for messages.
        journal: What was committed since it was written.
        left: The file that a FOREIGN one took the place of, and the commits in the
            journal of that; None if there are none. See `foreign`.
    """

    main: Main | None
    manifest: Manifest | None
    verdict: Verdict
    known: Sum | None
    wrong: str
    journal: Journal = NO_JOURNAL
    left: tuple[Sum, Journal] | None = None

    @property
    def found(self) -> vfs.Found | None:
        """The look of the main file."""
        return None if self.main is None else self.main.found

    @property
    def current(self) -> Sum | None:
        """The state that was acknowledged last, going by the manifest."""
        return None if self.manifest is None else self.manifest.current

    @property
    def since(self) -> str | None:
        """The time of the database's creation, going by the manifest."""
        return None if self.manifest is None else self.manifest.since

    @property
    def digest(self) -> str:
        """The sha256 of the main file, or what it was if that is gone or corrupt."""
        if self.main is not None and self.verdict is not Verdict.CORRUPT:
            return self.main.digest
        return "" if self.current is None else self.current.sha256

    @property
    def version(self) -> Version:
        """The state, frames included."""
        return version_after(self.digest, self.journal.last)

    @property
    def stamp(self) -> str | None:
        """The time of the state's commit, as in the names of backups."""
        if self.journal.frames:
            return self.journal.frames[-1].stamp
        known = self.known or self.current
        return None if known is None else known.time


def read_state(paths: Paths, log: LoggerLike, *, locked: bool) -> State:
    """Read and judge the files; without the lock, a commit may run meanwhile.

    Args:
        paths: Where they are.
        log: Told what is wrong with what is noted of them.
        locked: Whether the lock is had.

    Raises:
        UnsteadyError: Read without the lock, they never stand still.
        OSError: One of them cannot be read now.
    """
    for _ in range(UNLOCKED_TRIES):
        main = read_main(paths.main)
        damaged, manifest = False, None
        try:
            manifest = read_manifest(paths.manifest)
        except DamagedManifestError as err:
            log.warning(f"{err}; the file is judged without it")
            damaged = True
        except PermissionError as err:
            if locked:
                raise
            # Who may read the file alone sees that it is whole, and what it holds.
            log.debug(f"{paths.link!r} is judged without its checksum: {err}")
        verdict, known, wrong = judge(main, manifest)
        if verdict is Verdict.ABSENT and damaged:
            verdict, wrong = Verdict.LOST, "the file is missing"
        reading = State(main, manifest, verdict, known, wrong)
        if reading.digest:
            journal = read_journal(paths.journal, paths.mirror, reading.digest)
            reading = reading._replace(journal=journal)
        if verdict is Verdict.FOREIGN:
            reading = reading._replace(left=_left(paths, manifest))
        # Between the reads there may have been a commit that wrote the file anew.
        if locked or _unmoved(paths, main):
            return reading
    msg = f"cannot load {paths.link!r}: it changes all the time; try again"
    raise UnsteadyError(msg)


def _left(paths: Paths, manifest: Manifest | None) -> tuple[Sum, Journal] | None:
    """The commits that are left in the journal of another main file of ours."""
    for known in [] if manifest is None else manifest.sums():
        journal = read_journal(paths.journal, paths.mirror, known.sha256)
        if journal.frames:
            return known, journal
    return None


def _unmoved(paths: Paths, main: Main | None) -> bool:
    found = vfs.look(paths.main)
    if found is None or main is None:
        return found is None and main is None
    return found.signature == main.found.signature


# --- what one instance knows ---------------------------------------------------------


class Tail(NamedTuple):  # made in a tenth of a dataclass's time
    """The place of the next frame.

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
        return found.signature == self.found.signature

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

    now: State
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
        suspect: Whether the journal must not be appended to: a sync of it failed.
        base: The base of commits that failed late.
        resting: What a read of a small file would find, after a commit of ours that
            left no journal.
        attempts: The states that those commits may have left on disk: when a
            step went well and the sync after it failed, nobody can tell. They
            are our own, so they never make a commit stale.
    """

    __slots__ = (
        *("attempts", "base", "digest", "ours", "suspect", "signature", "size_bytes"),
        *("__weakref__", "noted", "resting", "tail", "version"),
    )

    def __init__(self) -> None:
        self.version: Version | None = None
        self.digest: str = ""
        self.size_bytes: int = 0
        self.signature: object = None
        self.tail: Tail = Tail()
        self.ours: bool = False
        self.suspect: bool = False
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
            self.ours = self.suspect = False
            self.noted = Reached()
        if version != self.version:
            self.resting = None
        self.version, self.digest = version, digest
        self.size_bytes = 0 if found is None else found.size
        self.signature = None if found is None else found.signature
        self.tail = tail
        self.ours = self.ours or ours
        self.attempts.clear()

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

    def has_main(self, paths: Paths) -> bool:
        """Whether nobody has written the main file since, going by a look at it."""
        found = vfs.look(paths.main)
        return found is not None and found.signature == self.signature

    def is_still(self, paths: Paths) -> bool:
        """Whether nobody has written since, going by two looks at the disk."""
        return self.has_main(paths) and self.tail.is_still(vfs.look(paths.journal))

    def rest(
        self,
        paths: Paths,
        new: Next,
        hashes: Sequence[Hash],
        manifest: Manifest,
        *,
        is_indexed: bool,
    ) -> None:
        """Remember a small main file that was just written, for the next commit."""
        if new.payload is None or new.entries is None:
            return
        try:
            found = vfs.look(paths.main)  # the rename has moved the change time
        except OSError:
            return  # the next one reads it
        if found is None or found.signature != self.signature:
            return
        source = vfs.Whole(new.payload, found)
        main = Main(self.digest, found, source, hashes)
        now = State(main, manifest, Verdict.TRUSTED, manifest.current, "")
        self.resting = Resting(now, new.entries, is_indexed, found.ctime_ns)
        _remembered.pop(id(self), None)
        _remembered[id(self)] = ref(self)
        for old in list(_remembered)[:-_MOST_RESTING]:
            other = _remembered.pop(old, _nobody)()
            if other is not None:
                other.resting = None

    def at_rest(self, paths: Paths, base: Version | None) -> "Resting | None":
        """The state that a read would find; None if it is not known, or is not *base*.

        By two looks at the disk. The change time tells also of who writes into the file
        and sets its time back.
        """
        resting = self.resting
        if resting is None or base is None or self.version != base:
            return None
        found = vfs.look(paths.main)
        if (
            found is None
            or found.signature != self.signature
            or found.ctime_ns != resting.ctime_ns
            or vfs.look(paths.journal) is not None
        ):
            return None
        return resting

    def check_base(
        self, paths: Paths, now: State, base: Version | None, log: LoggerLike
    ) -> None:
        """Raise unless the database is at *base*, be the main file damaged or not.

        Raises:
            StaleVersionError: Another state is there, or none.
        """
        if now.verdict is Verdict.ABSENT:
            if base is None:
                return
            msg = f"{paths.link!r} was removed or renamed"
            raise StaleVersionError(msg)
        if now.main is not None and now.verdict is not Verdict.CORRUPT:
            if self.counts_as(now.version, base):
                return
        elif any(self.counts_as(each, base) for each in _noted(now)):
            wrong = "missing" if now.main is None else f"damaged ({now.wrong})"
            log.warning(f"{paths.link!r} was {wrong}; it is written anew")
            return
        msg = f"{paths.link!r} was changed since version {base}"
        raise StaleVersionError(msg)


#: Of so many databases the last small file is remembered.
_MOST_RESTING: Final = 16
#: Who remembers one, by `id`.
_remembered: "dict[int, Callable[[], Known | None]]" = {}


def _nobody() -> None:
    return None


def _noted(now: State) -> list[Version]:
    """The states that were acknowledged last, going by the manifest."""
    sums = [] if now.manifest is None else now.manifest.sums()
    return [now.version, *(version_after(known.sha256, None) for known in sums)]
