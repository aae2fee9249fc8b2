"""Another program's edit of a main file, while commits stand in its journal.

That program knew the main file alone, so what it has changed is the difference to
that: it is brought in as one more commit, after those in the journal::

    main file as it was --commits--> state --edit--> present
            |                |                          |
         a backup    restore points beside it     main file anew

The file as it was is in the backups (I4); while it stands in the record no crash makes
the edit pass for a state of ours, and the next load does all of this again. Where
both have changed a key, the edit, which came later, counts: the commits are restore
points before the main file is replaced.

No edit is a file that is older than the one it took the place of, or that is a backup,
byte by byte: it was put back, and counts as it is. So does one with keys that could
not be in one dict with those of the commits, as 1 and True.
"""

import sys
from typing import Final

from storify.engine.file import vfs
from storify.engine.file.checkpoint import replace, write
from storify.engine.file.held import Held
from storify.engine.file.history import frame_id, root_with
from storify.engine.file.log import Frame, commit_frame, scan
from storify.engine.file.manifest import AHEAD_NS, Sum
from storify.engine.file.replay import Journal, replay, rewritten
from storify.engine.file.root import next_root
from storify.engine.file.state import Main, Reading, Verdict
from storify.engine.moment import Keep
from storify.engine.protocol import Change, Format, apply, difference

__all__ = ["bring_in", "is_whole", "looked", "seen"]

_ALL: Final = Keep(sys.maxsize)
_SHOWN: Final = 5

_Entries = dict[bytes, bytes]


def bring_in(held: Held, now: Reading) -> Reading:
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
        held.log.warning(f"journal {held.place.journal!r}: {note}")
    held.log.warning(edit.told())
    if not held.writable:
        return edit.reading()
    edit.save()
    return held.read()


def seen(held: Held, now: Reading) -> Reading:
    """What `bring_in` would leave; nothing is written or told."""
    edit = _Edit.found(held, now)
    return now if edit is None else edit.reading()


def looked(held: Held) -> Reading:
    """What `seen` gives, with a main file that was read in parts, if that is enough."""
    now = held.look()
    return now if now.left is None else seen(held, held.read())


def _without_base(held: Held, now: Reading) -> Reading:
    if now.left is None or not is_whole(held, now):
        return now  # what does not parse is recovered, with the journal
    known, journal = now.left
    count = _commits(journal)
    what = (
        f"{held.place.link!r} was changed by another program, and no backup has the "
        f"file as it was before: {count} in its journal cannot be brought in"
    )
    if not held.writable:
        held.log.warning(what)
        return now
    path = held.put_journal_away(rewritten(known.sha256, journal.frames))
    held.log.warning(f"{what} and are put away as {path!r}")
    return held.read()


def is_whole(held: Held, now: Reading) -> bool:
    """Whether a main file of unknown origin is a root."""
    try:
        held.root_format.check(b"" if now.main is None else now.main.payload or b"")
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
        now: Reading,
        base: bytes,
        known: Sum,
        journal: Journal,
        edited: Main,
    ) -> None:
        self._held, self._now = held, now
        self._base, self._known, self._journal = base, known, journal
        self._found = edited.found
        split = held.root_format.split
        before = split(base)
        ours, notes = replay(dict(before), journal.frames)
        self.notes = [*journal.notes, *notes]
        theirs = _spelled(
            held.root_format, split(edited.payload or b""), {**before, **ours}
        )
        self._put_back = _is_older(held, edited, known)
        after = theirs
        if not self._put_back:
            after = _merged(held.root_format, before, ours, theirs)
        self._changes = difference(ours, after)
        self._undone = [
            key
            for key in {**before, **ours}
            if ours.get(key) != before.get(key) and after.get(key) != ours.get(key)
        ]

    @classmethod
    def found(cls, held: Held, now: Reading) -> "_Edit | None":
        """Look for one; None if there is none, or its base is in no backup."""
        main = now.main
        if now.left is None or main is None or not is_whole(held, now):
            return None
        known, journal = now.left
        base = root_with(held, known.sha256)
        return None if base is None else cls(held, now, base, known, journal, main)

    def told(self) -> str:
        """What happened, for the log."""
        link, commits = self._held.place.link, _commits(self._journal)
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

    def reading(self) -> Reading:
        """The files, as if the edit were the last commit in the journal."""
        main = Main(self._base, self._known.sha256, self._found)
        journal = Journal(tuple(self._frames()), found=self._journal.found)
        return self._now._replace(
            main=main,
            verdict=Verdict.TRUSTED,
            known=self._known,
            wrong="",
            journal=journal,
        )

    def _frames(self) -> list[Frame]:
        frames = list(self._journal.frames)
        if self._changes:
            last = frames[-1]
            raw = commit_frame(
                self._known.sha256,
                last.seq + 1,
                self._held.moment_of_file(last.moment, self._found),
                self._changes,
                durable=True,
                after_sync=True,
            )
            frames += scan(raw, self._known.sha256, after=last.seq).frames
        return frames

    def save(self) -> None:
        """Write the main file with both; the commits are restore points before."""
        held, now = self._held, self.reading()
        held.require_writable(now)
        frames = now.journal.frames
        folder = held.folder
        known = self._known
        backup, _ = folder.keep(
            held.place.main, self._base, known.sha256, known.time, link=False
        )
        raw = rewritten(known.sha256, frames)
        vfs.replace_bytes(folder.journal(backup), raw, held.place.prefix)
        held.keep_damaged_journal(self._journal.raw)
        # Nothing is pruned here: the log has just named a backup.
        new = next_root(held.root_format, self._base, frames, ())
        replace(held, now, write(held, now, new), _ALL)


def _is_older(held: Held, edited: Main, known: Sum) -> bool:
    """Whether a file was put back, and not made from the one that was there."""
    return edited.found.mtime_ns < known.mtime_ns - AHEAD_NS or any(
        entry.digest and edited.digest.startswith(entry.digest)
        for entry in held.folder.entries()
    )


def _spelled(root_format: Format, theirs: _Entries, ours: _Entries) -> _Entries:
    """Return a root with the keys that we have, too, in the bytes that we have."""
    if theirs.keys() <= ours.keys():
        return theirs
    spell = root_format.spell
    known = {spell(key): key for key in ours if key not in theirs}
    return {
        key if key in ours else known.get(spell(key), key): value
        for key, value in theirs.items()
    }


def _merged(
    root_format: Format, before: _Entries, ours: _Entries, theirs: _Entries
) -> _Entries:
    """Return *ours* with what *theirs* has changed of *before*; or *theirs* alone."""

    def same(one: bytes | None, other: bytes | None) -> bool:
        if one is None or other is None or one == other:
            return one == other
        return root_format.spell(one) == root_format.spell(other)

    changes: list[Change] = [
        (key, theirs.get(key))
        for key in {**before, **theirs}
        if not same(before.get(key), theirs.get(key))
        and not same(ours.get(key), theirs.get(key))
    ]
    merged = apply(dict(ours), changes)
    try:
        root_format.check(root_format.join(merged))
    except ValueError:
        return theirs
    return merged
