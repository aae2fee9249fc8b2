"""Replay of a journal: the frames that count, and what is wrong with the others.

Each acknowledged frame stands twice: synced in the journal, and unsynced in its
*mirror* among the backups. So one damaged file costs nothing::

    journal            mirror            the frames that count       Corruption
    whole              not longer        the journal's               NONE
    of another base    -                 none                        STALE
    torn at its end    no more           up to the tear              TORN
    damaged, short     has what lacks    all                         HEALED
    a hole, before a   lacks it too      all but the hole, which     HOLED
    frame that says                      is named
    it was durable

A hole before a frame that does not say so was made by a power cut: what follows
it was never acknowledged as durable and does not count.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from storify.engine.file import vfs
from storify.engine.file.log import (
    Frame,
    Frames,
    Scan,
    head_frame,
    keys_in,
    scan,
)
from storify.engine.file.vfs import PART_BYTES
from storify.engine.protocol import Changes, apply

__all__ = [
    "NO_JOURNAL",
    "Corruption",
    "Journal",
    "parts_of",
    "read_journal",
    "replay",
    "rewritten",
]


class Corruption(Enum):
    """The damage of a journal."""

    NONE = auto()
    STALE = auto()
    TORN = auto()
    HEALED = auto()
    HOLED = auto()


class Journal(NamedTuple):
    """A journal as it counts.

    Attributes:
        frames: What counts, in order.
        corruption: What is wrong.
        notes: The same in words, for the log.
        end: Where the unbroken run from the start ends, in bytes.
        found: How the file looked; None if it is missing.
        raw: The bytes of a file that is damaged, to be kept aside; else empty.
    """

    frames: Sequence[Frame] = ()
    corruption: Corruption = Corruption.NONE
    notes: tuple[str, ...] = ()
    end: int = 0
    found: vfs.Found | None = None
    raw: bytes = b""

    @property
    def last(self) -> Frame | None:
        """The newest frame that counts."""
        return self.frames[-1] if self.frames else None


NO_JOURNAL = Journal()


def _read(path: str) -> tuple[bytes, vfs.Found | None]:
    try:
        return vfs.read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return b"", None


def _look_at_mirror(path: str) -> vfs.Found | None:
    """Look at a mirror; one that this process may not see is as good as none."""
    try:
        return vfs.look(path)
    except PermissionError:
        return None


def read_journal(path: str, mirror: str, base: str) -> Journal:
    """Read the journal of the main file with the sha256 *base*.

    Raises:
        OSError: It cannot be read now.
    """
    other = _look_at_mirror(mirror)  # first: it is written second
    stored = _stored(path, base)
    if stored is not None and (other is None or other.size <= stored.end):
        return stored
    payload, found = _read(path)
    seen = scan(payload, base)
    longer = other is not None and other.size > len(payload)
    if seen.head is not None and seen.head.base != base:
        # Left by a crash, or an older one was put back; then the mirror tells.
        seen = Scan(None, (), 0, len(payload))
    elif (seen.whole or found is None) and not longer:
        return Journal(seen.frames, end=seen.end, found=found)
    twin = scan(_read(mirror)[0], base)
    spare = twin.frames if twin.head is not None and twin.head.base == base else ()
    if found is None and not spare:
        return NO_JOURNAL
    if seen.head is None and not seen.frames and not spare and found is not None:
        # Nothing in it belongs to the main file.
        return Journal(corruption=Corruption.STALE, found=found)
    return _askable(base, _merge(seen, spare, payload, found), found or other)


def _stored(path: str, base: str) -> Journal | None:
    """A journal that is whole, read frame by frame; None if it is not."""
    if not vfs.CAN_READ_PARTS:
        return None
    try:
        file = vfs.OpenFile(path)
        frames = Frames.found(file, base, file.found.size)
    except OSError:
        return None  # what is wrong is said where it is read at once
    if frames is None or frames.end != file.found.size:
        return None
    return Journal(frames, end=frames.end, found=file.found)


def _merge(
    seen: Scan,
    spare: Iterable[Frame],
    payload: bytes,
    found: vfs.Found | None,
) -> Journal:
    """Close the holes of a journal with what the mirror holds."""
    frames = {frame.seq: frame for frame in spare}
    frames.update((frame.seq, frame) for frame in seen.frames)
    counted: list[Frame] = []
    lost: list[str] = []
    expected = 1
    for seq in sorted(frames):
        frame = frames[seq]
        if seq > expected:
            if not frame.after_sync:
                break
            lost.append(_loss(payload, counted, frame, expected))
        counted.append(frame)
        expected = seq + 1
    mine = {frame.seq for frame in seen.frames}
    # A head alone is no news: the file is made with its first frame.
    healed = seen.head is None or any(each.seq not in mine for each in counted)
    if lost:
        return Journal(
            tuple(counted), Corruption.HOLED, tuple(lost), seen.end, found, payload
        )
    if healed:
        note = (
            f"the journal was damaged; {len(counted)} commits are whole, none is lost"
        )
        return Journal(
            tuple(counted), Corruption.HEALED, (note,), seen.end, found, payload
        )
    if seen.whole:
        return Journal(tuple(counted), end=seen.end, found=found)
    note = f"{len(payload) - seen.end} bytes of a commit that was cut off are dropped"
    return Journal(tuple(counted), Corruption.TORN, (note,), seen.end, found, payload)


def _askable(base: str, journal: Journal, found: vfs.Found | None) -> Journal:
    """Let the frames that count be asked as those of a file, if none is missing."""
    if found is None or not journal.frames or journal.corruption is Corruption.HOLED:
        return journal
    raw = rewritten(base, journal.frames)
    frames = Frames.found(vfs.Whole(raw, found), base, len(raw))
    return journal if frames is None else journal._replace(frames=frames)


def _loss(payload: bytes, before: list[Frame], after: Frame, first: int) -> str:
    """Say which commits are lost between two frames, and of which keys."""
    start = payload.find(before[-1].raw) + len(before[-1].raw) if before else 0
    end = payload.find(after.raw)
    if not before:
        start = scan(payload).end
    keys = [repr(key) for key in keys_in(payload[start:end])]
    # Encoded keys: the engine does not know what they mean, but a text is legible.
    named = f", of keys {', '.join(keys)}" if keys else ""
    count = after.seq - first
    return (
        f"{count} of its commits, before {after.moment.clock}, "
        f"{'are' if count > 1 else 'is'} damaged and lost{named}"
    )


def replay(
    entries: dict[bytes, bytes], frames: Iterable[Frame]
) -> tuple[dict[bytes, bytes], list[str]]:
    """Bring frames into *entries*, in place.

    Returns:
        The entries, and what could not be brought in, in words: a difference to
        a value that is lost.
    """
    notes: list[str] = []
    for frame in frames:
        try:
            changes: Changes = frame.changes(entries)
        except ValueError as err:
            notes.append(f"the commit of {frame.moment.clock}: {err}")
            whole = [op for op in frame.ops if not isinstance(op[1], tuple)]
            changes = frame._replace(ops=tuple(whole)).changes(entries)
        apply(entries, changes)
    return entries, notes


def parts_of(base: str, frames: Iterable[Frame]) -> Iterator[bytes]:
    """Iterate over the bytes of a journal that holds exactly *frames*, in parts."""
    part, size = [head_frame(base)], 0
    for frame in frames:
        part.append(frame.raw)
        size += len(frame.raw)
        if size >= PART_BYTES:
            yield b"".join(part)
            part, size = [], 0
    yield b"".join(part)


def rewritten(base: str, frames: Iterable[Frame]) -> bytes:
    """Return a journal that holds exactly *frames*."""
    return head_frame(base) + b"".join(frame.raw for frame in frames)
