"""Writing the main file whole: the new state takes the place of the old one.

What a crash after each step leaves::

    write, seal and sync the new bytes under a          old state, a leftover
      random name
    link the old file into the backups                  old state
    (a large file: note old and new checksum in         old state
      `.sum`, durable)
    rename over the main file                           new state, or old after
    sync the folder                                     ...a power cut; new state
    note the new checksum alone, unsynced               new state
    keep what led to it beside the old file's backup    new state
    prune the backups                                   new state

So the main file is whole at every instant (I1), each state that was acknowledged
is either the present one or among the backups (I5: never only as the live file),
and what is read can be verified. A backup and the journal beside it also rebuild
the state after them: that is how a damaged main file comes back without a loss.

A small commit has two syncs, of its bytes and of its name. After a power cut the
manifest may be that of any state since it was last synced, and torn at its end; the main
file is the last acknowledged one or the next, for these two syncs say so. What then keeps
it from passing for corrupt or for another program's file:

- It is not missing: a file that takes the place of another leaves no gap, and creation
  and removal sync the manifest. So nothing is LOST.
- No noted state has its size and time: each time is later than those before
  (`sealed_ns`). So it is not CORRUPT.
- Its time is its seal, and later than all that is noted: it is AHEAD, parsed, and noted.
  Where a file system rounds times, or the clock went back, there is no such seal, and
  the manifest is synced as for a large file.
- The manifest is never newer than the main file: it is written after the folder is
  synced.
- No journal hangs on it. The first frame of one syncs the manifest before, since that
  is how an edit by another program is told from the file that the frames belong to.

The backups of such commits are not synced either: all file systems that we know write
names in their order, so that what a power cut takes there is none; but nobody promises it
in words, and what one takes is an older state, never the present one.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import NamedTuple

from storify.engine.file import vfs
from storify.engine.file.held import Held
from storify.engine.file.log import CRC, commit_frame, head_frame, scan
from storify.engine.file.manifest import (
    Manifest,
    Sum,
    is_sealed,
    sealed_ns,
    settle_manifest,
    write_manifest,
)
from storify.engine.file.replay import parts_of, rewritten
from storify.engine.file.root import HASHED_BYTES, Hash, Next, hashed
from storify.engine.file.snapshot import note_index
from storify.engine.file.state import Main, State, Verdict
from storify.engine.moment import Keep, Moment, moment_of, stamp_of

__all__ = [
    "Written",
    "install",
    "keep_as_past",
    "keep_present",
    "replace",
    "write",
]


class Written(NamedTuple):
    """A state under a random name, durable.

    Attributes:
        temporary: The path.
        found: How it looks.
        digest: Its sha256, in hex.
        new: What it is.
        hashes: What `hashed` makes of it, if it is small.
    """

    temporary: str
    found: vfs.Found
    digest: str
    new: Next
    hashes: Sequence[Hash]


def write(held: Held, now: State, new: Next) -> Written:
    """Write a root under a random name, sealed and durable, for `install`.

    Raises:
        OSError: It cannot be written; nothing is left behind.
        The errors of taking its parts: the same.
    """
    held.require_writable(now)
    paths, main = held.paths, now.main
    before, hashes = (None, ()) if main is None else (main.found, main.hashes)
    if before is None or now.manifest is None:  # else their folders are there
        vfs.make_directory(paths.directory)
        vfs.make_directory(paths.backups, before)
    # Of what is as it was in the file before, the hash is known.
    known = hashes[: new.same_bytes // HASHED_BYTES]
    hashes = hashed(new.payload or b"", known)
    digest = hashes[-1]

    def parts() -> Iterator[bytes]:
        for part in new.parts:
            digest.update(part)
            yield part

    before_ns = 0 if before is None else before.mtime_ns
    temporary, found = vfs.write_temporary(
        paths.directory,
        paths.prefix,
        new.payload or parts(),
        before,
        time_ns=lambda now_ns: sealed_ns(now_ns, before_ns, digest.hexdigest()),
    )
    return Written(temporary, found, digest.hexdigest(), new, hashes)


def install(
    held: Held,
    now: State,
    written: Written,
    current: Sum | None,
    stamp: str | None = None,
    follows: str | None = None,
    *,
    small: bool = False,
) -> Manifest:
    """Make what was written the main file, durable; nothing is left on failure.

    Args:
        held: The files.
        now: What is there.
        written: The new state.
        current: The state that counts until the rename.
        stamp: When the new state was committed; now, unless given.
        follows: The version of the new state as a frame of the journal before.
        small: Whether the manifest need not be durable, if the file tells by itself.

    Returns:
        What is noted of the new state.

    Raises:
        OSError: A step failed.
    """
    paths, found = held.paths, written.found
    if stamp is None:
        stamp = stamp_of(*held.next_moment(held.last_moment(now.stamp)))
    since = stamp if now.verdict is Verdict.ABSENT else now.since
    new = Sum(found.size, found.mtime_ns, written.digest, stamp, follows)
    try:
        if not (small and _tells_by_itself(now, new)):
            write_manifest(paths.manifest, Manifest(current, new, since), paths.prefix)
        vfs.put_in_place(written.temporary, paths.main)
    except BaseException:
        vfs.discard(written.temporary)
        raise
    vfs.sync_directory(paths.directory)
    manifest = Manifest(new, None, since)
    try:
        settle_manifest(paths.manifest, manifest, paths.prefix)
    except OSError as error:
        held.warn("note the checksum of", error)
    return manifest


def _tells_by_itself(now: State, new: Sum) -> bool:
    """Whether a new file is known for ours after a power cut that took the manifest."""
    main, manifest = now.main, now.manifest
    return (
        main is not None
        and manifest is not None
        and now.verdict.is_ours
        and now.journal.found is None
        and new.mtime_ns > main.found.mtime_ns
        and (manifest.current is None or new.mtime_ns > manifest.current.mtime_ns)
        and (manifest.next is None or new.mtime_ns > manifest.next.mtime_ns)
        and is_sealed(new.mtime_ns, new.sha256)
    )


def replace(  # noqa: C901, PLR0912, PLR0915 - a commit is read in order
    held: Held,
    now: State,
    written: Written,
    keep: Keep,
    *,
    small: bool = False,
    last: Moment | None = None,
) -> tuple[Manifest, Moment | None]:
    """Install a new state; the one before it is among the backups.

    A corrupt file is kept aside instead. After a failure all is as before.

    Args:
        held: The files.
        now: What is there.
        written: The new state.
        keep: Which older states are kept.
        small: Whether it is of a size that is always written whole.
        last: When the present state was committed, if that was by us; then there is
            neither a journal, nor what is left of one. The next such commit is near,
            so the index can wait for the close.

    Returns:
        What is noted of the new state, and when it was committed.
    """
    paths, folder, main = held.paths, held.folder, now.main
    frames, before, changes = now.journal.frames, now.digest, written.new.changes
    is_whole = main is not None and now.verdict is not Verdict.CORRUPT
    backup = delta = follows = None
    is_new_backup = False
    current: Sum | None
    try:
        # The file before joins the backups, or is kept aside if it is corrupt. The same
        # content once more must not push other states out, unless there were others
        # in between.
        if main is not None and is_whole:
            current = now.known or held.new_sum(now, main)
            if keep.last and (frames or main.digest != written.digest):
                backup, is_new_backup = folder.keep(
                    paths.main, None, main.digest, current.time, link=True
                )
        else:
            current = now.current
            if main is not None:
                held.keep_corrupt()
        # The change, as one more frame of the journal before. What is only folded is
        # as old as it was.
        stamp, seq = now.stamp, len(frames) and frames[-1].seq
        is_same = not changes if seq else written.digest == before
        if is_same and main is not None and stamp is not None:
            moment = moment_of(stamp)
        else:
            moment = held.next_moment(last or held.last_moment(stamp))
            stamp = stamp_of(*moment)
            try:
                if main is not None and before:
                    delta = commit_frame(
                        *(before, seq + 1, moment, changes),
                        durable=False,
                        after_sync=False,
                    )
            except OverflowError:
                delta = None  # too large; it is whole in the root
        if is_whole and delta is not None:
            follows = f"{before}+{seq + 1}.{delta[CRC].hex()}"
        elif is_whole and not changes:
            follows = str(now.version)
        if not frames and last is None:
            # A leftover may name the new content as its base.
            with held.or_warn("remove the old journal of"):
                held.forget_journal()
        manifest = install(held, now, written, current, stamp, follows, small=small)
    except BaseException:
        vfs.discard(written.temporary)
        if is_new_backup and backup is not None and _still_linked(held, backup):
            vfs.discard(folder.file(f"{backup}.mpack"))
        raise
    # What led from the old file to the new one stays beside the old one's backup.
    # Commits that were durable one by one stay so, as restore points. The change that
    # made the new file is not synced: only a second fault makes it needed.
    is_kept = False
    try:
        if backup is not None and frames:
            parts = chain(parts_of(before, frames), () if delta is None else (delta,))
            vfs.replace_bytes(folder.journal(backup), parts, paths.prefix)
        elif backup is not None and delta is not None:
            vfs.write_spare(folder.journal(backup), head_frame(before), delta)
        elif frames:  # the main file is damaged, the one before it is kept
            keep_as_past(held)
        is_kept = True
    except OSError as error:
        held.warn("keep the last change of", error)
    if written.digest == before:
        held.forget_journal()
    elif frames and is_kept:  # else who reads it next keeps it
        with held.or_warn("remove the journal of"):
            held.forget_journal()
    if last is None and written.new.make_index is not None:
        with held.or_warn("note the entries of"):
            note_index(held, written.new.make_index, written.digest, written.found)
    held.prune(keep, backup, again=last is not None)
    return manifest, moment


def keep_as_past(held: Held) -> None:
    """Keep a journal beside the backup of its main file, if that is there.

    Its commits stay restore points, though whoever folded it was cut off before that.
    """
    raw, _ = vfs.read_bytes(held.paths.journal)
    seen = scan(raw)
    for entry in held.folder.entries():
        if seen.head is not None and entry.digest:
            path = held.folder.journal(entry.id)
            if seen.head.base.startswith(entry.digest) and vfs.look(path) is None:
                frames = [
                    each for at, each in enumerate(seen.frames, 1) if each.seq == at
                ]
                whole = rewritten(seen.head.base, frames)
                vfs.replace_bytes(path, whole, held.paths.prefix)


def _still_linked(held: Held, backup: str) -> bool:
    """Whether the main file was not replaced, so that the backup is no use."""
    main = link = None
    with suppress(OSError):  # the error that led here is the one to raise
        main = vfs.look(held.paths.main)
        link = vfs.look(held.folder.file(f"{backup}.mpack"))
    return main is not None and link is not None and main.inode == link.inode


def keep_present(held: Held, now: State, main: Main) -> None:
    """Back up the state before its files are removed; durable but for the folder."""
    current = held.sum_of(now, main)
    backup, _ = held.folder.keep(
        held.paths.main, None, main.digest, current.time, link=True
    )
    if now.journal.frames:
        raw = parts_of(now.digest, now.journal.frames)
        vfs.replace_bytes(held.folder.journal(backup), raw, held.paths.prefix)
