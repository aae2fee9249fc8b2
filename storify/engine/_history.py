"""Older states: the backups, and each commit in a journal as a restore point.

::

    S1.mpack --S1.journal--> S2.mpack --S2.journal--> main --journal--> present
       |        |  |  |                                       |  |
     backup    commits                                      commits

A backup and the journal beside it give every state up to the next backup, so a
state that was ever acknowledged is found by its time, as long as the policy keeps
the backup before it.
"""

import errno
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from storify.engine import _disk
from storify.engine._backups import Entry, stamp_of, time_of
from storify.engine._held import Held
from storify.engine._journal import Frame, scan, time_of_frame
from storify.engine._reading import Reading, version_after
from storify.engine._replay import replay
from storify.engine._verdict import Main, Verdict
from storify.engine.protocol import BackupInfo, Version, version_of
from storify.exceptions import CorruptionError

__all__ = [
    "PASSING",
    "Rebuilt",
    "backups",
    "frames_of",
    "leads_to",
    "news_of",
    "rebuilds",
    "state_at",
    "state_of",
]

SHORT_DIGITS = 32

# Errors of the process, not of the file: an older state would be a needless loss.
PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})


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
    frames: tuple[Frame, ...]


class Rebuilt(NamedTuple):
    """A state that the backups give.

    Attributes:
        payload: The whole root.
        digest: Its sha256, in hex.
        stamp: When it was committed; None if that is unknown.
        path: The backup that it was made from.
    """

    payload: bytes
    digest: str
    stamp: str | None
    path: str


def frames_of(held: Held, entry: Entry) -> tuple[Frame, ...]:
    """The commits kept beside a backup, as far as they are whole.

    Raises:
        OSError: This process cannot read them now.
    """
    try:
        payload, _ = _disk.read_bytes(held.folder.journal(entry.id))
    except OSError as err:
        if err.errno in PASSING:
            raise
        return ()  # it is missing, or as good as that
    found = scan(payload, entry.digest or None)
    if found.head is None or not found.head.base.startswith(entry.digest or "-"):
        return ()
    unbroken = [frame for at, frame in enumerate(found.frames, 1) if frame.seq == at]
    return tuple(unbroken)


def leads_to(held: Held, version: str) -> bool:
    """Whether a backup and the commits beside it give a state, by their names.

    Args:
        held: The files.
        version: The state, as a frame of the journal before.
    """
    digest = version.partition("+")[0]
    for entry in held.folder.entries():
        if entry.digest and digest.startswith(entry.digest):
            frames = frames_of(held, entry)
            if version_after(digest, frames[-1] if frames else None) == version:
                return True
    return False


def frame_id(frame: Frame) -> str:
    """The id of the state after a commit."""
    return f"{stamp_of(time_of_frame(frame.time))}-{frame.crc:08x}"


def _epochs(held: Held, now: Reading) -> Iterator[_Epoch]:
    """All states that are kept whole, newest first."""
    main, own = now.main, ""
    if (
        main is not None
        and main.payload is not None
        and now.verdict is not Verdict.ROTTEN
    ):
        stamp = held.sum_of(now, main).time
        own = f"{stamp}-{main.digest[:SHORT_DIGITS]}"
        yield _Epoch(stamp, None, main, now.journal.frames)
    for entry in held.folder.entries():
        # A copy of the main file is no other state than it.
        if entry.kind == "snapshot" and entry.id != own:
            yield _Epoch(entry.stamp, entry, None, frames_of(held, entry))


def backups(held: Held, now: Reading) -> list[BackupInfo]:
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
            stamp = stamp_of(time_of_frame(frame.time))
            # The last commit before a backup is that backup.
            if stamp not in whole and stamp != present:
                time = time_of_frame(frame.time)
                made = BackupInfo(frame_id(frame), time, len(frame.raw), "commit")
                infos.setdefault(made.id, made)
    return sorted(infos.values(), key=_age, reverse=True)


def _age(info: BackupInfo) -> tuple[bool, int, str]:
    legacy = info.kind == "legacy"
    return (not legacy, int(info.id) if legacy else 0, info.id)


def _root_of(held: Held, epoch: _Epoch) -> bytes:
    if epoch.entry is not None:
        return held.folder.read(epoch.entry)
    main = epoch.main
    if main is None or main.payload is None:  # pragma: no cover - it has one of both
        raise AssertionError
    return main.payload


def _state(held: Held, epoch: _Epoch, count: int) -> bytes:
    """The whole root after the first *count* commits of an epoch."""
    payload = _root_of(held, epoch)
    if not count:
        return payload
    entries, notes = replay(held.root_format.split(payload), epoch.frames[:count])
    if notes:
        msg = f"cannot rebuild a state of {held.place.link!r}: {notes[0]}"
        raise CorruptionError(msg, notes)
    return held.root_format.join(entries)


def _find(held: Held, now: Reading, backup_id: str) -> tuple[_Epoch, int]:
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


def path_of(held: Held, now: Reading, backup_id: str) -> str:
    """The file that holds a backup, or the commit that led to it.

    Raises:
        FileNotFoundError: There is no such backup.
    """
    epoch, count = _find(held, now, backup_id)
    if epoch.entry is None:
        return held.place.journal if count else held.place.main
    return held.folder.journal(epoch.entry.id)


def state_of(held: Held, now: Reading, backup_id: str) -> bytes:
    """The whole root of a restore point.

    Raises:
        FileNotFoundError: There is no such backup.
        CorruptionError: It is damaged.
    """
    return _state(held, *_find(held, now, backup_id))


def state_at(held: Held, now: Reading, time: datetime) -> bytes:
    """The whole root that was committed last at or before *time*.

    Raises:
        FileNotFoundError: It is not kept: too old, or dropped by the policy.
        CorruptionError: It is damaged.
    """
    wanted = stamp_of(time)
    best: tuple[str, bool, _Epoch, int] | None = None
    newer: str | None = None
    for epoch in _epochs(held, now):
        if epoch.stamp > wanted:
            newer = min(newer or epoch.stamp, epoch.stamp)
            continue
        stamps = [stamp_of(time_of_frame(frame.time)) for frame in epoch.frames]
        count = sum(stamp <= wanted for stamp in stamps)
        reached = stamps[count - 1] if count else epoch.stamp
        # A copy made by hand stands between the commits of a longer epoch.
        if best is None or (reached, count < len(stamps)) > best[:2]:
            best = reached, count < len(stamps), epoch, count
    if best is None:
        msg = f"no state as old as {wanted} is kept"
        raise FileNotFoundError(2, msg, held.place.link)
    reached, goes_on, epoch, count = best
    # What comes after the last commit of an epoch is the next one, or there were
    # more that are not kept; but a database that was destroyed had no more.
    if not (goes_on or newer in {None, now.since} or reached == wanted):
        msg = f"the states between {reached} and {newer} are not kept"
        raise FileNotFoundError(2, msg, held.place.link)
    return _state(held, epoch, count)


def rebuilds(
    held: Held, since: str | None
) -> Iterator[Rebuilt | tuple[str, Exception]]:
    """The newest states that the backups give, each with all its commits.

    Yields:
        States, newest first, and the errors of those that are not usable.
    """
    for entry in held.folder.candidates(since):
        path = held.folder.file(entry.name)
        try:
            payload = held.folder.read(entry)
            held.root_format.check(payload)
            entries = held.root_format.split(payload)
        except (OSError, ValueError, CorruptionError) as err:
            yield path, err
            continue
        frames = frames_of(held, entry) if entry.digest else ()
        stamp = entry.stamp or None
        if frames:
            entries, notes = replay(entries, frames)
            after = held.root_format.join(entries)
            if not notes:
                stamp = stamp_of(time_of_frame(frames[-1].time))
                yield Rebuilt(after, str(version_of(after)), stamp, path)
                continue
        yield Rebuilt(payload, str(version_of(payload)), stamp, path)


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
            frames = frames_of(held, entry)
            known = {version_after(digest, frame) for frame in (None, *frames)}
            if len(frames) >= end and follows in known and version in known:
                return list(frames[seq:end])
    return None


def _frame_of(version: str) -> tuple[str, int]:
    """Part a version into a main file and the number of the last frame, 0 for none."""
    digest, _, last = version.partition("+")
    return digest, int(last.partition(".")[0] or 0)
