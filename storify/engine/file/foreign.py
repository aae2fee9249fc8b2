"""Another program's edit of a main file, while commits stand in its journal.

That program knew the main file alone, so what it has changed is the difference to
that: it is brought in as one more commit, after those in the journal::

    main file as it was --commits--> state --edit--> present
            |                |                          |
         a backup    restore points beside it     main file anew

The file as it was is in the backups (I4); while it stands in the manifest no crash makes
the edit pass for a state of ours, and the next load does all of this again. Where
both have changed a key, the edit, which came later, counts: the commits are restore
points before the main file is replaced.

No edit is a file that is older than the one it took the place of, or that is a backup,
byte by byte: it was put back, and counts as it is. So does one with keys that could
not be in one dict with those of the commits, as 1 and True.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from itertools import chain
from typing import Final

from storify.engine.file import vfs
from storify.engine.file.checkpoint import replace
from storify.engine.file.fold import written_after
from storify.engine.file.held import Held
from storify.engine.file.history import Kept, frame_id
from storify.engine.file.log import Frame, Frames, commit_frame, scan
from storify.engine.file.manifest import AHEAD_NS, Sum
from storify.engine.file.past import (
    check_whole,
    main_as_it_was,
    open_past,
    root_of,
)
from storify.engine.file.replay import Journal, parts_of, replay, rewritten
from storify.engine.file.state import Main, State, Verdict
from storify.engine.moment import Keep
from storify.engine.protocol import (
    Change,
    Format,
    Snapshot,
    Version,
    WholeSnapshot,
    apply,
    difference,
    each_entry,
    entries_of,
)
from storify.exceptions import CorruptionError

__all__ = ["bring_in", "is_whole", "seen"]

_ALL: Final = Keep(sys.maxsize)
_SHOWN: Final = 5


def bring_in(held: Held, now: State) -> State:
    """Save an edit on top of the journal, durable, and give what is there then.

    Where nothing may be written, what would be saved. If the main file as it was is
    in no backup any more, the edit counts alone and the journal is put away.

    Raises:
        OSError: The files are as they were, or all is done; try again.
    """
    edit = _Edit.found(held, now)
    if edit is None:
        return _without_base(held, now)
    for note in edit.notes:
        held.log.warning(f"journal {held.paths.journal!r}: {note}")
    held.log.warning(edit.told())
    if not held.writable:
        return edit.reading()
    edit.save()
    return held.read()


def seen(held: Held, now: State) -> State:
    """The state that `bring_in` would leave; nothing is written or told."""
    edit = _Edit.found(held, now)
    return now if edit is None else edit.reading()


def _without_base(held: Held, now: State) -> State:
    if now.left is None or not is_whole(held, now):
        return now  # what does not parse is recovered, with the journal
    known, journal = now.left
    count = _commits(journal)
    what = (
        f"{held.paths.link!r} was changed by another program, and no backup has the "
        f"file as it was before: {count} in its journal cannot be brought in"
    )
    if not held.writable:
        held.log.warning(what)
        return now
    path = held.put_journal_away(rewritten(known.sha256, journal.frames))
    held.log.warning(f"{what} and are put away as {path!r}")
    return held.read()


def is_whole(held: Held, now: State) -> bool:
    """Whether a main file of unknown origin is a root."""
    if now.main is None:
        return False
    try:
        check_whole(held.root_format, Kept.main(held, now.main))
    except ValueError:
        return False
    return True


def _commits(journal: Journal) -> str:
    count = len(journal.frames)
    return f"{count} commit{'s' if count > 1 else ''}"


class _Edit:
    """An edit, and the commits that it did not know of.

    Args:
        held: The files.
        now: What was read.
        base: The main file as it was.
        known: What is known of it.
        journal: The commits.
        edited: The main file as it is.
    """

    def __init__(
        self,
        held: Held,
        now: State,
        base: Kept,
        known: Sum,
        journal: Journal,
        edited: Main,
    ) -> None:
        self._held, self._now = held, now
        self._base, self._known, self._journal = base, known, journal
        self._found = edited.found
        root_format = held.root_format
        before = open_past(root_format, base)
        ours, notes = _with_commits(held, base, journal)
        self.notes = [*journal.notes, *notes]
        theirs = open_past(root_format, Kept.main(held, edited))
        if not theirs.kind or not theirs.kind == before.kind == ours.kind:
            theirs = _canonical(root_format, theirs, before, ours)
        self._put_back = _is_older(held, edited, known)
        changes = _changes(root_format, before, ours, theirs)
        if self._put_back or not _fit(root_format, ours, theirs, changes):
            changes = difference(each_entry(ours), each_entry(theirs))
        self._changes = changes
        self._undone = list(_undone(before, ours, journal, dict(changes)))

    @classmethod
    def found(cls, held: Held, now: State) -> "_Edit | None":
        """Look for one; None if there is none, or its base is in no backup."""
        main = now.main
        if now.left is None or main is None or not is_whole(held, now):
            return None
        known, journal = now.left
        base = main_as_it_was(held, known.sha256)
        return None if base is None else cls(held, now, base, known, journal, main)

    def told(self) -> str:
        """A line for the log about what happened."""
        link, commits = self._held.paths.link, _commits(self._journal)
        saved = f"backup {frame_id(self._journal.frames[-1])!r}"
        told = (
            f"{link!r} was changed by another program; that is brought in on top of "
            f"{commits} in its journal"
        )
        if not self._undone:
            return told
        if self._put_back:
            return (
                f"{link!r} was replaced by another program with an older state, in "
                f"place of {commits} in its journal too; what these led to is {saved}"
            )
        named = [repr(key) if key else "the whole list" for key in self._undone]
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        return (
            f"{told}; both changed {', '.join(named[:_SHOWN])}{more}: the other "
            f"program's values are in the file, yours in {saved}"
        )

    def reading(self) -> State:
        """The files, as if the edit were the last commit in the journal."""
        base = self._base
        source = base.source
        if base.frames:  # it is in no file as it was
            payload = b"".join(root_of(self._held.root_format, base))
            source = vfs.Whole(payload, _sized(self._found, len(payload)))
        return self._now._replace(
            main=Main(self._known.sha256, self._found, source),
            verdict=Verdict.TRUSTED,
            known=self._known,
            wrong="",
            journal=Journal(self._frames(), found=self._journal.found),
        )

    def _frames(self) -> Sequence[Frame]:
        digest, frames = self._known.sha256, self._journal.frames
        if not self._changes:
            return frames
        last = frames[-1]
        raw = commit_frame(
            digest,
            last.seq + 1,
            self._held.moment_of_file(last.moment, self._found),
            self._changes,
            durable=True,
            after_sync=True,
        )
        more = scan(raw, digest, after=last.seq).frames
        raw = rewritten(digest, chain(frames, more))
        found = Frames.found(vfs.Whole(raw, self._found), digest, len(raw))
        is_unbroken = found is not None and found.end == len(raw)
        return found if found is not None and is_unbroken else (*frames, *more)

    def save(self) -> None:
        """Write the main file with both; the commits are restore points before."""
        held, known = self._held, self._known
        held.require_writable(self._now)
        folder, root = held.folder, root_of(held.root_format, self._base)
        backup, _ = folder.keep(
            held.paths.main, root, known.sha256, known.time, link=False
        )
        self._base = Kept.backup(held, folder.find(backup))
        now = self.reading()
        raw = parts_of(known.sha256, now.journal.frames)
        vfs.replace_bytes(folder.journal(backup), raw, held.paths.prefix)
        held.keep_damaged_journal(self._journal.raw)
        # Nothing is pruned here: the log has just named a backup.
        if now.main is not None:
            replace(held, now, written_after(held, now, now.main, ()), _ALL)


def _sized(found: vfs.Found, size: int) -> vfs.Found:
    """The look of a file that is not on disk."""
    other = copy(found)
    other.size, other.signature = size, None
    return other


def _with_commits(
    held: Held, base: Kept, journal: Journal
) -> tuple[Snapshot, list[str]]:
    """Open a main file with commits on top; and tell what could not be brought in."""
    with suppress(CorruptionError):
        return open_past(held.root_format, base._replace(later=journal.frames)), []
    entries = entries_of(open_past(held.root_format, base))
    entries, notes = replay(entries, journal.frames)
    return WholeSnapshot(Version(""), entries), notes


def _is_older(held: Held, edited: Main, known: Sum) -> bool:
    """Whether a file was put back, and not made from the one that was there."""
    return edited.found.mtime_ns < known.mtime_ns - AHEAD_NS or any(
        entry.digest and edited.digest.startswith(entry.digest)
        for entry in held.folder.entries()
    )


def _canonical(
    root_format: Format, theirs: Snapshot, before: Snapshot, ours: Snapshot
) -> Snapshot:
    """Return a root with the keys that we have, too, in the bytes that we have."""
    mine = {**entries_of(before), **entries_of(ours)}
    entries = entries_of(theirs)
    if not entries.keys() <= mine.keys():
        canonical = root_format.canonical
        known = {canonical(key): key for key in mine if key not in entries}
        entries = {
            key if key in mine else known.get(canonical(key), key): value
            for key, value in entries.items()
        }
    return WholeSnapshot(theirs.version, entries)


def _changes(
    root_format: Format, before: Snapshot, ours: Snapshot, theirs: Snapshot
) -> list[Change]:
    """Return what *theirs* has changed of *before*, and *ours* has not as well."""

    def same(one: bytes | None, other: bytes | None) -> bool:
        if one is None or other is None or one == other:
            return one == other
        return root_format.canonical(one) == root_format.canonical(other)

    changes: list[Change] = []
    kept = 0
    befores = each_entry(before)
    for key, value in each_entry(theirs):
        was = next(befores, None)  # the same key as a rule
        then = was[1] if was is not None and was[0] == key else before.get(key)
        kept += then is not None
        if not same(then, value) and not same(ours.get(key), value):
            changes.append((key, value))
    if kept < len(before):
        changes += (
            (key, None)
            for key, _ in each_entry(before)
            if theirs.get(key) is None and ours.get(key) is not None
        )
    return changes


def _fit(
    root_format: Format, ours: Snapshot, theirs: Snapshot, changes: list[Change]
) -> bool:
    """Whether the keys of both can be in one dict."""
    if ours.kind and ours.kind == theirs.kind:
        return True
    try:
        root_format.check(root_format.join(apply(entries_of(ours), changes)))
    except ValueError:
        return False
    return True


def _undone(
    before: Snapshot, ours: Snapshot, journal: Journal, changes: Mapping[bytes, object]
) -> Iterator[bytes]:
    """Iterate over the keys that commits have changed, and *changes* change as well."""
    mine = {key for frame in journal.frames for key, _ in frame.ops if key in changes}
    states = (before, ours) if mine else ()
    found = (key for state in states for key, _ in each_entry(state))
    for key in dict.fromkeys(key for key in found if key in mine):
        value = ours.get(key)
        if value != before.get(key) and value != changes[key]:
            yield key
