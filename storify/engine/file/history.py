"""Older states: the backups, and each commit in a journal as a restore point.

::

    S1.mpack --S1.journal--> S2.mpack --S2.journal--> main --journal--> present
       |        |  |  |                                       |  |
     backup    commits                                      commits

A backup and the journal beside it give every state up to the next backup, so a
state that was ever acknowledged is found by its time, as long as the policy keeps
the backup before it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from storify.engine.file import vfs
from storify.engine.file.backups import Entry, damage_of
from storify.engine.file.held import Held
from storify.engine.file.log import Frame
from storify.engine.file.manifest import Sum
from storify.engine.file.state import Main, State, Verdict, version_after
from storify.engine.moment import Moment, current_at, moment_of, stamp_of, time_of
from storify.engine.protocol import BackupInfo, Version

__all__ = [
    "Kept",
    "backup_of",
    "backups",
    "frame_id",
    "leads_to",
    "news_of",
    "state_at",
    "state_of",
]

SHORT_DIGITS = 32


class Kept(NamedTuple):
    """A state as it is kept: a root file, and the commits on top of it.

    Attributes:
        link: The path of the database, for messages.
        path: That of the root file.
        source: Its bytes.
        digest: How their sha256 begins, in hex; empty if that is not known.
        frames: The first commits of its journal, in order.
        later: Those after them, of the journal of the main file that they lead to.
    """

    link: str
    path: str
    source: vfs.AnyFile
    digest: str
    frames: Sequence[Frame] = ()
    later: Sequence[Frame] = ()

    @classmethod
    def backup(cls, held: Held, entry: Entry, frames: Sequence[Frame] = ()) -> "Kept":
        """Open a backup.

        Raises:
            OSError: It cannot be read now.
        """
        path = held.folder.file(entry.name)
        return cls(held.paths.link, path, vfs.source(path), entry.digest, frames)

    @classmethod
    def main(cls, held: Held, main: Main, frames: Sequence[Frame] = ()) -> "Kept":
        """Return a main file as it was read."""
        path = held.paths.main
        source = main.source or vfs.source(path)  # it may be known without a look
        return cls(held.paths.link, path, source, main.digest, frames)

    def parts(self) -> Iterator[bytes]:
        """Iterate over the bytes of the root file, about a mebibyte at a time.

        Raises:
            CorruptionError: They were not what they must be.
        """
        at, digest = 0, sha256()
        while part := self.source.read(at, vfs.PART_BYTES):
            digest.update(part)
            yield part
            at += len(part)
        self.check(digest.hexdigest())

    def read(self) -> tuple[bytes, str]:
        """Return the verified bytes of the root file, and their sha256 in hex.

        Raises:
            CorruptionError: They are not what they must be.
        """
        payload = self.source.read(0, self.source.found.size)
        digest = sha256(payload).hexdigest()
        self.check(digest)
        return payload, digest

    def check(self, digest: str) -> None:
        """Compare a sha256 with what it must be.

        Raises:
            CorruptionError: It is another one.
        """
        if not digest.startswith(self.digest):
            raise damage_of(self.path)


class _Epoch(NamedTuple):
    """A state that is kept whole, and the commits after it.

    Attributes:
        stamp: When it was committed.
        entry: The backup; None for the main file.
        main: The main file, if that is it.
        frames: The commits, in order.
    """

    stamp: str
    entry: Entry | None
    main: Main | None
    frames: Sequence[Frame]


def leads_to(held: Held, version: str) -> bool:
    """Whether a backup and the commits beside it give a state, by their names.

    Args:
        held: The files.
        version: The state, as a frame of the journal before.
    """
    return _id_of(held, version) is not None


def _id_of(held: Held, version: str) -> str | None:
    digest = version.partition("+")[0]
    for entry in held.folder.entries():
        if entry.digest and digest.startswith(entry.digest):
            last = held.folder.last(entry)
            if version_after(digest, last) == version:
                return entry.id if last is None else frame_id(last)
    return None


def backup_of(held: Held, known: Sum) -> str | None:
    """The id of a backup of the main file as it was; None if there is none."""
    for entry in held.folder.entries():
        if entry.digest and known.sha256.startswith(entry.digest):
            return entry.id
    return None if known.follows is None else _id_of(held, known.follows)


def frame_id(frame: Frame) -> str:
    """The id of the state after a commit."""
    return f"{frame.stamp}-{frame.crc:08x}"


def _epochs(held: Held, now: State) -> Iterator[_Epoch]:
    """All states that are kept whole, newest first."""
    main, own = now.main, ""
    if main is not None and now.verdict is not Verdict.CORRUPT:
        stamp = held.sum_of(now, main).time
        own = f"{stamp}-{main.digest[:SHORT_DIGITS]}"
        yield _Epoch(stamp, None, main, now.journal.frames)
    for entry in held.folder.entries():
        # A copy of the main file is no other state than it.
        if entry.kind == "snapshot" and entry.id != own:
            yield _Epoch(entry.stamp, entry, None, held.folder.frames(entry))


def backups(held: Held, now: State) -> list[BackupInfo]:
    """All older states, newest first; the present one only if it has a backup."""
    infos = {info.id: info for info in held.folder.infos()}
    present = now.stamp
    whole = {info.id.partition("-")[0] for info in infos.values()}
    for epoch in _epochs(held, now):
        whole.add(epoch.stamp)
        if epoch.main is not None and epoch.frames:
            backup_id = f"{epoch.stamp}-{epoch.main.digest[:SHORT_DIGITS]}"
            infos.setdefault(
                backup_id,
                BackupInfo(
                    backup_id, time_of(epoch.stamp), epoch.main.found.size, "snapshot"
                ),
            )
        for frame in epoch.frames:
            # The last commit before a backup is that backup.
            if frame.stamp not in whole and frame.stamp != present:
                time = frame.moment.clock
                made = BackupInfo(frame_id(frame), time, len(frame.raw), "commit")
                infos.setdefault(made.id, made)
    return sorted(infos.values(), key=_age, reverse=True)


def _age(info: BackupInfo) -> tuple[bool, int, str]:
    legacy = info.kind == "legacy"
    return (not legacy, int(info.id) if legacy else 0, info.id)


def _state(held: Held, epoch: _Epoch, count: int) -> Kept:
    """The state after the first *count* commits of an epoch."""
    frames = epoch.frames[:count]
    if epoch.entry is not None:
        return Kept.backup(held, epoch.entry, frames)
    if epoch.main is None:  # pragma: no cover - it has one of both
        raise AssertionError
    return Kept.main(held, epoch.main, frames)


def _find(held: Held, now: State, backup_id: str) -> tuple[_Epoch, int]:
    """The epoch of a restore point, and how many of its commits lead there.

    Raises:
        FileNotFoundError: There is no such backup.
    """
    for epoch in _epochs(held, now):
        if epoch.main is not None:
            own = f"{epoch.stamp}-{epoch.main.digest[:SHORT_DIGITS]}"
            if backup_id == own:
                return epoch, 0
        for count, frame in enumerate(epoch.frames, 1):
            if frame_id(frame) == backup_id:
                return epoch, count
    msg = "no such backup"
    raise FileNotFoundError(2, msg, backup_id)


def path_of(held: Held, now: State, backup_id: str) -> str:
    """The file that holds a backup, or the commit that led to it.

    Raises:
        FileNotFoundError: There is no such backup.
    """
    epoch, count = _find(held, now, backup_id)
    if epoch.entry is None:
        return held.paths.journal if count else held.paths.main
    return held.folder.journal(epoch.entry.id)


def state_of(held: Held, now: State, backup_id: str) -> Kept:
    """Find a backup or a restore point.

    Raises:
        FileNotFoundError: There is no such backup.
    """
    return _state(held, *_find(held, now, backup_id))


class _Point(NamedTuple):
    """A state by its place in an epoch.

    Attributes:
        epoch: The epoch.
        commits: How many of its commits lead there.
    """

    epoch: _Epoch
    commits: int

    @property
    def goes_on(self) -> bool:
        """Whether the commit after it is kept in this epoch."""
        return self.commits < len(self.epoch.frames)


def state_at(held: Held, now: State, time: datetime) -> Kept:
    """Find the state that was committed last at or before *time*.

    Raises:
        FileNotFoundError: It is not kept: too old, or dropped by the policy.
        MisdatedError: It is not known which one that is.
    """
    points: dict[Moment, _Point] = {}
    for epoch in _epochs(held, now):
        first = moment_of(epoch.stamp)
        moments = [] if first is None else [first, *(f.moment for f in epoch.frames)]
        for count, moment in enumerate(moments):
            point = _Point(epoch, count)
            # A copy made by hand stands between the commits of a longer epoch.
            if moment not in points or point.goes_on:
                points[moment] = point
    moments = sorted(points)
    place = current_at(moments, time, held.clock())
    if place is None:
        msg = f"no state as old as {time} is kept"
        raise FileNotFoundError(2, msg, held.paths.link)
    found = points[moments[place]]
    newer = stamp_of(*moments[place + 1]) if place + 1 < len(moments) else None
    # What comes after the last commit of an epoch is the next one, or there were
    # more that are not kept; but a database that was destroyed had no more.
    goes_on = found.goes_on or newer in {None, now.since}
    if not goes_on and moments[place].clock != time:
        msg = f"the states between {moments[place].clock} and {newer} are not kept"
        raise FileNotFoundError(2, msg, held.paths.link)
    return _state(held, *found)


def news_of(held: Held, version: Version, follows: str) -> list[Frame] | None:
    """The commits between a state and the main file that took its place.

    Args:
        held: The files.
        version: The state, of the main file before.
        follows: What the new main file is as a frame of the journal before.
    """
    digest, seq = _frame_of(version)
    base, end = _frame_of(follows)
    if follows == version:
        return []
    if base != digest or end < seq:
        return None  # or it came back to a state before this one
    for entry in held.folder.entries():
        if entry.digest and digest.startswith(entry.digest):
            frames = held.folder.frames(entry)
            known = {version_after(digest, frame) for frame in (None, *frames)}
            if len(frames) >= end and follows in known and version in known:
                return list(frames[seq:end])
    return None


def _frame_of(version: str) -> tuple[str, int]:
    """Part a version into a main file and the number of the last frame, 0 for none."""
    digest, _, last = version.partition("+")
    return digest, int(last.partition(".")[0] or 0)
