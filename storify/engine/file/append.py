"""Appending a commit to the journal: one write and one sync.

::

    (first frame after the main file was written: a second copy of it exists, as
     a backup or as a backup with its journal (I4); the journal is made under a
     random name, synced, renamed, its folder synced)
    append the frame, fdatasync                 old state, or a torn tail; new state
    append it to the mirror as well, unsynced   new state, twice
    (each 256 KiB: note where their ops lie,    the same
     unsynced)

When the sync returns, the commit is durable (I2). After a failure the tail is cut
off, and the journal is not appended to again: a kernel that failed to write a page
calls it clean, so that a second sync would succeed without it. The next commit
writes the main file anew.
"""

from collections.abc import Sequence
from contextlib import closing

from storify.engine.file import log_index, vfs
from storify.engine.file.delta import DELTA_FROM_BYTES, delta_of
from storify.engine.file.held import Held
from storify.engine.file.history import leads_to
from storify.engine.file.log import CRC, Op, commit_frame, head_frame
from storify.engine.file.manifest import (
    DamagedManifestError,
    Manifest,
    read_manifest,
    write_manifest,
)
from storify.engine.file.snapshot import is_indexed
from storify.engine.file.state import Known, State, Tail, Verdict
from storify.engine.moment import Keep, moment_of
from storify.engine.protocol import Commit, Version
from storify.exceptions import CorruptionError

__all__ = [
    "append",
    "has_second_copy",
    "ops_of",
    "second_copy",
    "tail_of",
]


def tail_of(now: State) -> Tail:
    """The place of the next frame, after a journal that was read and is whole."""
    found, last = now.journal.found, now.journal.last
    if found is None or last is None:
        return Tail(found, moment=moment_of(now.stamp or ""))
    return Tail(found, found.size, last.seq, last.moment, last.durable)


def ops_of(commit: Commit) -> list[Op]:
    """Return the changes, large values as their difference to the durable ones."""
    ops: list[Op] = []
    for key, value in commit.changes:
        op: Op = (key, value)
        if value is not None and len(value) >= DELTA_FROM_BYTES:
            old = commit.stored(key)
            difference = None if old is None else delta_of(old, value)
            op = (key, value if difference is None else difference)
        ops.append(op)
    # A value that is set twice in one commit is not what is durable any more.
    return ops if len({key for key, _ in ops}) == len(ops) else list(commit.changes)


def append(  # noqa: C901 - a commit is read in order
    held: Held, known: Known, commit: Commit, ops: Sequence[Op], *, sync: bool
) -> Version | None:
    """Append one commit; durable on return if *sync*.

    The caller has found that nobody has written the main file since *known*.

    Returns:
        The new version; None, and nothing was done, if the journal is not as it was.

    Raises:
        OSError: Nothing was acknowledged; the journal is not to be used again.
    """
    paths, tail, digest = held.paths, known.tail, known.digest
    if not tail.size and not tail.is_still(vfs.look(paths.journal)):
        return None
    if not sync:
        _note(held, known)  # what a sync has made durable since; below it is too early
    # What is to be written, and what it leads to.
    moment, seq = held.next_moment(tail.moment), tail.seq + 1
    payload = frame = commit_frame(
        digest, seq, moment, ops, durable=sync, after_sync=tail.all_synced
    )
    version = Version(f"{digest}+{seq}.{frame[CRC].hex()}")
    if not commit.undone_on_error:
        known.attempt(commit.base, version)
    # The journal. An error leaves it suspect: a sync that failed is not tried again.
    known.suspect = True
    if tail.found is None or not tail.size:
        payload = head_frame(digest) + frame
        like = vfs.look(paths.main)
        vfs.replace_bytes(paths.journal, payload, paths.prefix, like=like)
        found = vfs.look(paths.journal)
    else:
        found = vfs.append_frame(paths.journal, frame, tail.found, sync=sync)
    known.suspect = False
    if found is None:
        return None
    # The mirror is brought up to it.
    try:
        if not tail.size:
            vfs.write_spare(paths.mirror, payload)
        elif not vfs.append_spare(paths.mirror, payload, tail.size):
            _mirror(held)
    except FileNotFoundError:
        _mirror(held)
    except OSError as error:
        held.warn("mirror the journal of", error)
    size = tail.size + len(payload)
    known.appended(version, Tail(found, size, seq, moment, sync or not tail.size))
    if size - known.noted.end >= log_index.STRETCH_BYTES:
        _note(held, known)
    return version


def _mirror(held: Held) -> None:
    """Write the mirror anew: it is missing, or stayed behind the journal."""
    paths = held.paths
    with (
        held.or_warn("mirror the journal of"),
        closing(vfs.read_parts(paths.journal)) as parts,
    ):
        vfs.write_spare(paths.mirror)
        for part in parts:
            vfs.append_bytes(paths.mirror, part)


def _note(held: Held, known: Known) -> None:
    """Note where the changes in a journal lie, if much was added and all is durable."""
    tail = known.tail
    if tail.all_synced and tail.size - known.noted.end >= log_index.STRETCH_BYTES:
        with held.or_warn("note where the commits lie of"):
            known.noted = log_index.note_log(
                *(held.paths, known.digest, held.root_format, tail.size, known.noted)
            )


def has_second_copy(held: Held, known: Known) -> bool:
    """Whether a main file is as we left it, and the past gives it, too (I4)."""
    if not is_indexed(held.paths, known.digest):
        return False
    try:
        manifest = read_manifest(held.paths.manifest)
    except DamagedManifestError:
        return False
    current = None if manifest is None else manifest.current
    return (
        current is not None
        and current.sha256 == known.digest
        and current.follows is not None
        and leads_to(held, current.follows)
    )


def second_copy(held: Held, now: State, keep: Keep, *, is_noted: bool) -> None:
    """See to it that the main file is not the only copy of its state (I4).

    Args:
        held: The files.
        now: What is there.
        keep: Which older states are kept.
        is_noted: Whether the manifest is durable; else it comes to be.

    Raises:
        CorruptionError: The main file is damaged.
        OSError: The copy could not be made.
    """
    main = now.main
    if main is None or now.verdict is Verdict.CORRUPT:
        msg = f"cannot append to the journal of {held.paths.link!r}: {now.wrong}"
        raise CorruptionError(msg, [now.wrong])
    current = held.sum_of(now, main)
    if not is_noted:
        manifest = Manifest(current, None, now.since)
        write_manifest(held.paths.manifest, manifest, held.paths.prefix)
    if not keep.last or (current.follows and leads_to(held, current.follows)):
        return
    held.folder.keep(held.paths.main, None, main.digest, current.time, link=False)
