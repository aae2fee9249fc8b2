"""What one instance knows of the disk, and whether a commit may go on top.

Writers meet by compare-and-swap: a commit names the state it was made from, and
is refused if another is there now. Two things must not make it stale: our own
commit that failed late, when the rename may or may not have happened; and damage
to the very file that we have in memory.
"""

from dataclasses import dataclass, field

from storify.engine._disk import Found
from storify.engine._place import Place
from storify.engine._reading import Reading
from storify.engine._verdict import Verdict
from storify.engine.protocol import StaleVersionError, Version
from storify.logger import LoggerLike

__all__ = ["Known"]


@dataclass(slots=True)
class Known:
    """The state of the last load or commit, and those that we have tried to make.

    Attributes:
        version: The state it loaded or committed.
        signature: How the main file looked then.
        base: The base of commits that failed late.
        attempts: The states that those commits may have left on disk: when the
            rename went well and the sync after it failed, nobody can tell. They
            are our own, so they never make a commit stale.
    """

    version: Version | None = None
    signature: object = None
    base: Version | None = None
    attempts: set[Version] = field(default_factory=set[Version])

    def at(self, version: Version, found: Found | None) -> None:
        """Note a state that is known to be on disk."""
        self.version = version
        self.signature = None if found is None else found.signature()
        self.attempts.clear()

    def attempt(self, base: Version | None, version: Version) -> None:
        """Note a state that may come to be on disk."""
        if base != self.base:
            self.attempts.clear()
        self.base = base
        self.attempts.add(version)

    def counts_as(self, version: Version, base: Version | None) -> bool:
        """Whether a state on disk is *base*, or came from it by ourselves."""
        return version == base or (base == self.base and version in self.attempts)

    def check_base(
        self, place: Place, now: Reading, base: Version | None, log: LoggerLike
    ) -> bool:
        """Raise unless the main file is at *base*; True if it is rotten since.

        Raises:
            StaleVersionError: Another state is there, or none.
        """
        main = now.main
        if now.verdict is Verdict.ABSENT:
            if base is None:
                return False
            msg = f"{place.link!r} was removed or renamed"
            raise StaleVersionError(msg)
        if main is not None and self.counts_as(Version(main.digest), base):
            return False
        # What was acknowledged last, going by the record.
        noted = [] if now.record is None else now.record.sums()
        ours = any(self.counts_as(Version(known.sha256), base) for known in noted)
        if ours and now.verdict is Verdict.LOST:
            log.warning(f"{place.link!r} was missing; it is written anew")
            return False
        if ours and now.verdict is Verdict.ROTTEN:
            log.warning(f"{place.link!r} is damaged ({now.wrong}); it is written anew")
            return True
        msg = f"{place.link!r} was changed since version {base}"
        raise StaleVersionError(msg)
