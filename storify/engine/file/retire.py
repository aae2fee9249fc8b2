"""Putting a database away: copied, set aside, destroyed, its past erased."""

import os
from hashlib import sha256
from typing import Final

from storify.engine.file import vfs
from storify.engine.file.checkpoint import keep_present
from storify.engine.file.foreign import bring_in, is_whole
from storify.engine.file.held import Held
from storify.engine.file.history import Kept
from storify.engine.file.past import in_bytes, open_past
from storify.engine.file.state import State, Verdict
from storify.engine.moment import Keep
from storify.exceptions import CorruptionError

__all__ = ["back_up", "destroy", "purge", "require_whole", "set_aside"]


_UNSURE: Final = frozenset({Verdict.FOREIGN, Verdict.AHEAD})
"""What is parsed before it counts."""


def back_up(held: Held, keep: Keep, known: State | None = None) -> str | None:
    """Copy the present state into the backups; see `Engine.backup`.

    Args:
        held: The files.
        keep: Which older states are kept.
        known: What a look would find, if it is known without.
    """
    now = known or held.read()
    if now.left is not None or now.verdict in _UNSURE:
        now = bring_in(held, now)
    require_whole(held, now, "back up")
    main, path = now.main, held.paths.main
    if main is None:
        return None
    last, frames = now.journal.last, now.journal.frames
    if last is None:
        stamp = held.sum_of(now, main).time
        backup, _ = held.folder.keep(path, None, main.digest, stamp, link=False)
    else:
        state = open_past(held.root_format, Kept.main(held, main, frames))
        digest = sha256()
        for part in in_bytes(held.root_format, state):
            digest.update(part)
        parts = in_bytes(held.root_format, state)
        backup, _ = held.folder.keep(
            path, parts, digest.hexdigest(), last.stamp, link=False
        )
        state.close()
    held.prune(keep, backup)
    return backup


def require_whole(held: Held, now: State, doing: str) -> None:
    """Refuse to work on a damaged file.

    Raises:
        CorruptionError: It is damaged or lost.
    """
    damaged = now.verdict in {Verdict.CORRUPT, Verdict.LOST}
    unsure = now.verdict in _UNSURE
    if damaged or (unsure and not is_whole(held, now)):
        msg = (
            f"cannot {doing} {held.paths.link!r}: {now.wrong}; "
            f"load it, so that it is recovered"
        )
        raise CorruptionError(msg, [now.wrong])


def set_aside(held: Held) -> str | None:
    """Move the main file to ``<time>.corrupt``; see `Engine.set_aside`."""
    main, kept = held.paths.main, None
    try:
        if vfs.look(main) is not None:
            kept = held.folder.keep_corrupt(main, held.clock)
    except vfs.NotRegularFileError:
        # A folder or FIFO can have no second name.
        kept = held.folder.free_name(held.clock, ".corrupt")
        vfs.move(main, kept)
        vfs.sync_directory(held.paths.directory)
    if vfs.look(held.paths.journal) is not None:
        held.keep_damaged_journal(vfs.read_bytes(held.paths.journal)[0])
    _drop(held, damaged=True)
    return kept


def destroy(held: Held, *, backups: bool) -> None:
    """Remove the files, and the *backups* or else not; see `Engine.destroy`."""
    now = held.read()
    if not backups:
        now = bring_in(held, now)
    if now.left is not None and not backups:
        # What does not parse, so that it was not brought in.
        held.put_journal_away()
    main = now.main
    if main is not None and not backups:
        if now.verdict is Verdict.CORRUPT:
            held.keep_corrupt()
            if now.journal.found is not None:
                held.keep_damaged_journal(vfs.read_bytes(held.paths.journal)[0])
        else:
            keep_present(held, now, main)
            vfs.sync_directory(held.paths.backups)
    _drop(held, damaged=now.verdict in {Verdict.CORRUPT, Verdict.LOST})
    if backups:
        held.folder.erase()


def purge(held: Held) -> None:
    """Erase all backups; the main file, its manifest and its journal stay."""
    held.folder.erase()


def _drop(held: Held, *, damaged: bool) -> None:
    """Remove the manifest, then the main file: never a loss in between.

    A damaged file goes first: without the manifest it might pass for a good one.
    The journal goes last: without it the file would be an older state.
    """
    paths = held.paths
    if damaged and vfs.remove(paths.main):
        vfs.sync_directory(paths.directory)
    if vfs.remove(paths.manifest):
        vfs.sync_directory(paths.backups)
    if vfs.remove(paths.main):
        vfs.sync_directory(paths.directory)
    vfs.remove(paths.index)
    vfs.remove(paths.old_index)
    held.forget_journal()
    if paths.link != paths.main and os.path.islink(paths.link):
        vfs.remove(paths.link)
        vfs.sync_directory(os.path.dirname(paths.link))
