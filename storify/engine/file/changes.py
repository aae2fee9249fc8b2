"""Changes that others have committed, at the cost of what they changed.

::

    the files are as we left them               nothing
    the journal has grown                       its new frames
    the main file was written anew, and its     the frames up to there, from the
    manifest says which state it was before     journal kept beside the backup
    anything else                               only a whole load tells

No lock is taken: a frame that is being written is not whole, and is no news yet.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

from storify.engine.file import vfs
from storify.engine.file.delta import Delta
from storify.engine.file.held import Access, Held
from storify.engine.file.history import news_of
from storify.engine.file.log import Frame, scan
from storify.engine.file.manifest import DamagedManifestError, read_manifest
from storify.engine.file.paths import Paths
from storify.engine.file.recovery import know
from storify.engine.file.replay import Corruption
from storify.engine.file.state import Known, State, Tail, version_after
from storify.engine.protocol import Changes, Newer, Version

__all__ = ["changes_since"]

_UNKNOWN = Version("")
"""A state that has no name yet; whoever loads it learns it."""


def changes_since(
    access: Access, known: Known, version: Version | None
) -> Newer | None:
    """See `Engine.changes_since`.

    Raises:
        OSError: A file could not be read.
    """
    paths = access.paths()
    found = vfs.look(paths.main)
    if found is None or version is None:
        gone = found is None and not _is_lost(paths)
        if gone and version is None:
            return None
        return Newer(None if gone else _UNKNOWN, None)
    if known.version == version:
        if known.is_still(paths):
            return None
        if found.signature == known.signature:
            appended = _appended(paths, known)
            if appended is not None:
                return _of(known, version, *appended)
    return _anew(access, known, version)


def _is_lost(paths: Paths) -> bool:
    """Whether a file that is missing was committed once."""
    try:
        manifest = read_manifest(paths.manifest)
    except DamagedManifestError:
        return True
    return manifest is not None and manifest.current is not None


def _appended(
    paths: Paths, known: Known
) -> tuple[Sequence[Frame], vfs.Found, int] | None:
    """The frames after those that we know; None if it is another journal."""
    tail = known.tail
    try:
        payload, found = vfs.read_bytes(paths.journal, tail.size)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if tail.seq:
        if not tail.is_of(found):
            return None
        seen = scan(payload, known.digest, after=tail.seq)
    else:
        seen = scan(payload)
        if seen.head is None or seen.head.base != known.digest:
            return None
    frames = seen.frames
    first = tail.seq + 1
    unbroken = [frame.seq for frame in frames] == [*range(first, first + len(frames))]
    return (frames, found, tail.size + seen.end) if unbroken else None


def _of(
    known: Known,
    version: Version,
    frames: Sequence[Frame],
    found: vfs.Found,
    size: int,
) -> Newer | None:
    if not frames:
        return None  # a commit under way, or touched
    last = frames[-1]
    later = version_after(known.digest, last)
    ours = known.counts_as(later, version)
    if found.size == size:
        # What is known goes on, so that the next look is cheap again.
        known.version = later
        known.tail = Tail(found, size, last.seq, last.moment, last.durable)
    return None if ours else _newer(later, frames)


def _anew(access: Access, known: Known, version: Version) -> Newer | None:
    """Read what took the place of the files that we knew."""
    held = access.seen()
    now = held.read()
    if now.main is None or not now.main.digest:
        return Newer(_UNKNOWN, None)
    if not now.verdict.is_ours or now.journal.corruption is not Corruption.NONE:
        return Newer(now.version, None)
    ours = known.counts_as(now.version, version)
    if not ours or known.version == now.version:
        know(known, now)
    if ours:
        return None
    frames = _after(held, now, version)
    return Newer(now.version, None) if frames is None else _newer(now.version, frames)


def _after(held: Held, now: State, version: Version) -> Iterable[Frame] | None:
    """The commits after a state, if they are kept."""
    frames = now.journal.frames
    for at, frame in enumerate(chain((None,), frames)):
        if version_after(now.digest, frame) == version:
            return frames[at:]
    follows = None if now.known is None else now.known.follows
    before = None if follows is None else news_of(held, version, follows)
    return None if before is None else (*before, *frames)


def _newer(version: Version, frames: Iterable[Frame]) -> Newer:
    """Return the changes, unless one is a difference to a value that we lack."""
    ops = [op for frame in frames for op in frame.ops]
    changes: Changes = [
        (key, value) for key, value in ops if not isinstance(value, Delta)
    ]
    return Newer(version, changes if len(changes) == len(ops) else None)
