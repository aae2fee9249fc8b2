"""Loading, with what to do if the files are not what was committed last.

::

    verdict of `state`          whole               not whole
    TRUSTED                      served              an error, where it is decoded
    AHEAD                        served, and noted   recovered
    FOREIGN, over a journal      brought in          recovered
    FIRST_SEEN, FOREIGN          taken over          recovered
    CORRUPT, LOST                -                   recovered

Recovered means: the main file is rebuilt from the backups, exactly as it was if
the one before it and the journal beside that are whole, and the commits since then
are in its own journal still. Else the newest good state takes its place. The
damaged file is kept as ``.corrupt``. Where nothing may be written, what could be
rebuilt is served and the files stay.

A large file is read, rebuilt and written in parts. In memory as a whole is but a state of
which commits are lost in between (HOLED), and what has been put together and may not be
written.

A journal that is damaged while the main file is not is healed by its mirror; see
`replay`. What another program wrote while there was one comes on top of it; see
`foreign`.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from storify.engine.file import vfs
from storify.engine.file.append import tail_of
from storify.engine.file.checkpoint import install, keep_as_past, write
from storify.engine.file.fold import written_after
from storify.engine.file.foreign import bring_in, seen
from storify.engine.file.held import Access, Held
from storify.engine.file.history import Kept, backup_of
from storify.engine.file.manifest import Manifest, Sum
from storify.engine.file.past import (
    Rebuilt,
    check_whole,
    main_as_it_was,
    open_past,
    rebuilds,
    root_of,
)
from storify.engine.file.replay import (
    Corruption,
    Journal,
    read_journal,
    replay,
    rewritten,
)
from storify.engine.file.root import Next
from storify.engine.file.state import Known, Main, State, Verdict, version_after
from storify.engine.moment import Keep
from storify.engine.protocol import Snapshot, Version, WholeSnapshot, entries_of
from storify.exceptions import CorruptionError

__all__ = [
    "Loaded",
    "as_it_was",
    "is_damaged",
    "is_whole",
    "know",
    "load",
    "mend",
    "recover",
]


def is_whole(now: State) -> bool:
    """Whether a reading without the lock can be served as it is."""
    if now.verdict is Verdict.ABSENT:
        return True
    main, known = now.main, now.known
    return (
        now.verdict is Verdict.TRUSTED
        and now.journal.corruption is Corruption.NONE
        and main is not None
        and known is not None
        and known == now.current
        and known.fits(main.found)
    )


def is_damaged(now: State) -> bool:
    """Whether a reading needs a repair.

    A torn frame may be one that is being written: it is not committed yet.
    """
    damaged = now.verdict in {Verdict.CORRUPT, Verdict.LOST}
    torn = now.journal.corruption in {Corruption.NONE, Corruption.TORN}
    return damaged or not (torn or now.left is not None)


class Loaded(NamedTuple):
    """A state as it was found.

    Attributes:
        version: Names the state; the base of the next commit.
        kept: What it is made of.
        recovered_from: The backup that was used because the state itself was
            lost or damaged; None in the normal case.
    """

    version: Version
    kept: Kept
    recovered_from: str | None = None


def load(
    held: Held, known: Known, keep: Keep, now: State | None = None
) -> Loaded | WholeSnapshot | None:
    """Find the state, or recover it; bring *known* up to it.

    Args:
        held: The files.
        known: What is known of them.
        keep: Which older states are kept.
        now: What was read of them, if it was.

    Returns:
        The state; None if there is none. It is in memory where it is in no files.

    Raises:
        CorruptionError: No backup is usable; the files are untouched.
        OSError: Something could not be read now.
    """
    if now is None:
        now = held.read()
    if now.verdict is Verdict.ABSENT:
        return None
    if now.left is not None:
        now = _with_edit(held, now)
    main = now.main
    if main is not None and now.verdict is not Verdict.CORRUPT:
        if now.verdict is Verdict.TRUSTED:
            if now.left is None:
                _settle(held, now, main)
            return _served(held, known, now, main)
        try:
            check_whole(held.root_format, Kept.main(held, main))
        except ValueError as err:
            wrong = f"{now.wrong}: {err}" if now.wrong else str(err)
            now = now._replace(wrong=wrong)
        else:
            _take_over(held, now, main)
            return _served(held, known, now, main)
    return recover(held, known, now, keep)


def _with_edit(held: Held, now: State) -> State:
    """Bring in another program's edit; if that cannot be saved, it is served."""
    try:
        return bring_in(held, now)
    except OSError as err:
        held.log.warning(f"cannot save {held.paths.link!r}: {err}; the next load will")
        return seen(held, now)


def know(known: Known, now: State) -> None:
    """Note that a reading is what is on disk; its journal must be whole."""
    known.at(now.version, now.digest, now.found, tail_of(now), ours=False)
    # The journal of another main file, or one that lacks what is not saved yet.
    known.suspect = known.suspect or now.left is not None


def _settle(held: Held, now: State, main: Main) -> None:
    """Finish the note of a commit that was cut off, or of a copied folder."""
    manifest, known = now.manifest, now.known
    if manifest is None or known is None:
        return
    found = main.found
    current = Sum(found.size, found.mtime_ns, known.sha256, known.time, known.follows)
    if manifest.current != current:
        held.note(Manifest(current, None, manifest.since))


def _take_over(held: Held, now: State, main: Main) -> None:
    """Note a file that we have not written, or of which the note was lost."""
    if now.verdict is Verdict.AHEAD:
        held.log.info(f"{held.paths.link!r} is a commit that was not noted; it is now")
    if now.verdict is Verdict.FOREIGN and now.left is None:
        before = None if now.current is None else backup_of(held, now.current)
        where = "no backup has" if before is None else f"backup {before!r} has"
        held.log.warning(
            f"{held.paths.link!r} was changed by another program; it can be read "
            f"and is taken over; {where} the state before it"
        )
    if held.writable and now.left is None:
        held.note(Manifest(held.new_sum(now, main), None, now.since))


def _served(held: Held, known: Known, now: State, main: Main) -> Loaded | WholeSnapshot:
    """Return a whole main file with what counts of its journal."""
    now = mend(held, now)
    main, journal = now.main or main, now.journal
    if journal.corruption is Corruption.HOLED:
        return _with_a_hole(held, now.version, Kept.main(held, main), journal)
    if journal.corruption is Corruption.NONE:
        know(known, now)
    return Loaded(now.version, Kept.main(held, main, journal.frames))


def _with_a_hole(
    held: Held,
    version: Version,
    kept: Kept,
    journal: Journal,
    backup: str | None = None,
) -> WholeSnapshot:
    """Return a state with the commits in a journal of which some are lost."""
    before = entries_of(open_past(held.root_format, kept))
    entries, notes = replay(before, journal.frames)
    for note in notes:
        held.log.warning(f"lost from {held.paths.link!r}: {note}")
    return WholeSnapshot(version, entries, backup)


def mend(held: Held, now: State) -> State:
    """Put a damaged journal right, if that may be written; else as it counts."""
    journal, paths = now.journal, held.paths
    if journal.corruption is Corruption.NONE:
        return now
    if (
        journal.corruption is Corruption.TORN
        and not held.writable
        and _grows(held, journal)
    ):
        return now  # it is a commit that is under way
    for note in journal.notes:
        held.log.warning(f"journal {paths.journal!r}: {note}")
    if not held.writable or now.left is not None:
        return now
    try:
        _write_mended(held, now)
    except OSError as err:
        held.log.warning(f"cannot repair {paths.journal!r}: {err}; it stays damaged")
        return now
    return held.read()


def _grows(held: Held, journal: Journal) -> bool:
    """Whether somebody has written to a journal since it was read."""
    found, before = vfs.look(held.paths.journal), journal.found
    return found is None or before is None or found.signature != before.signature


def _write_mended(held: Held, now: State) -> None:
    journal, paths = now.journal, held.paths
    if journal.corruption is Corruption.STALE:
        if now.verdict.is_ours:
            keep_as_past(held)
            held.drop_journal()
            return
        path = held.put_journal_away()
        held.log.warning(
            f"journal {paths.journal!r} belongs to another file than that which is "
            f"there, and is put away as {path!r}"
        )
    elif journal.corruption is Corruption.TORN:
        held.keep_damaged_journal(journal.raw[journal.end :])
        if journal.frames:
            vfs.cut(paths.journal, journal.end)
        else:
            held.drop_journal()
    elif journal.corruption is Corruption.HEALED:
        held.keep_damaged_journal(journal.raw)
        raw = rewritten(now.digest, journal.frames)
        vfs.replace_bytes(paths.journal, raw, paths.prefix, like=now.found)
        with held.or_warn("mirror the journal of"):
            vfs.write_spare(paths.mirror, raw)
    elif now.main is not None:
        held.keep_damaged_journal(journal.raw)
        # Written whole, so that the hole is told of once.
        written = written_after(held, now, now.main, ())
        install(held, now, written, now.known or now.current, now.stamp)
        held.drop_journal()


def recover(held: Held, known: Known, now: State, keep: Keep) -> Loaded | WholeSnapshot:
    """Rebuild a main file that is damaged or gone from the backups.

    Raises:
        CorruptionError: No backup is usable; the files are untouched.
        OSError: A backup could not be read now.
    """
    link = held.paths.link
    causes = [f"{link}: {now.wrong}"]
    wanted = (
        {known.sha256: known for known in now.manifest.sums()} if now.manifest else {}
    )
    newest: Rebuilt | None = None
    for found in rebuilds(held, now.since):
        if not isinstance(found, Rebuilt):
            path, err = found
            vfs.raise_if_passing(err)
            causes.append(f"{path}: {err}")
            continue
        newest = newest or found
        if found.digest in wanted:
            if now.journal.frames or not _is_unnoted(newest, wanted):
                newest = found
            break
        if not wanted:
            break
    if newest is None:
        msg = (
            f"cannot load {link!r}: {now.wrong}; no backup is usable, "
            f"{len(causes) - 1} tried; the files are left as they are; "
            f"Storify.salvage() gives what is whole in them, Storify.set_aside() "
            f"puts them away, to start afresh"
        )
        raise CorruptionError(msg, causes)
    return _rebuilt(held, known, now, newest, wanted.get(newest.digest), causes, keep)


def _is_unnoted(state: Rebuilt, noted: dict[str, Sum]) -> bool:
    """Whether a state is later than all that is noted: a power cut took the note."""
    stamp = state.stamp
    return stamp is not None and all(stamp > known.time for known in noted.values())


def _rebuilt(
    held: Held,
    known: Known,
    now: State,
    state: Rebuilt,
    exact: Sum | None,
    causes: list[str],
    keep: Keep,
) -> Loaded | WholeSnapshot:
    link, path = held.paths.link, state.kept.path
    held.log.warning(f"{link!r} is damaged ({now.wrong}); using backup {path!r}")
    for cause in causes[1:]:
        held.log.warning(f"a newer backup was not usable: {cause}")
    journal = Journal()
    if exact is not None:
        paths = held.paths
        journal = read_journal(paths.journal, paths.mirror, exact.sha256)
        for note in journal.notes:
            held.log.warning(f"journal {paths.journal!r}: {note}")
    elif now.journal.frames:
        count = len(now.journal.frames)
        held.log.warning(
            f"{count} commits in {held.paths.journal!r} belong to the damaged file "
            f"and are lost; it is kept among the backups"
        )
    version = version_after(state.digest, journal.last)
    is_repaired = _repair(held, now, state, exact, keep)
    if journal.corruption is Corruption.HOLED:
        return _with_a_hole(held, version, state.kept, journal, path)
    if is_repaired:
        after = held.read()
        if after.verdict is Verdict.TRUSTED and after.main is not None:
            if after.journal.corruption is Corruption.NONE:
                know(known, after)
            kept = Kept.main(held, after.main, journal.frames)
            return Loaded(version, kept, recovered_from=path)
    kept = state.kept._replace(later=journal.frames)
    return Loaded(version, kept, recovered_from=path)


def as_it_was(
    access: Access,
    version: Version,
    kept: Kept | None,
    load: Callable[[], Snapshot | None],
) -> Snapshot:
    """Open a state that was the present one, and of which something is damaged now.

    Args:
        access: The way to the files.
        version: Names the state.
        kept: What it is made of; None if its journal is not whole.
        load: Loads the present state, recovered if it is damaged.

    Raises:
        CorruptionError: It cannot be rebuilt as it was.
        OSError: It cannot be read now.
    """
    held, root_format = access.seen(), access.root_format
    if kept is not None:
        with suppress(CorruptionError, ValueError):
            return open_past(root_format, kept, version)
        with suppress(CorruptionError, ValueError):
            is_main = kept.path == held.paths.main
            before = main_as_it_was(held, kept.digest) if is_main else None
            if before is not None:
                before = before._replace(later=kept.frames)
                return open_past(root_format, before, version)
    loaded = load()  # it may be healed by what is left of it
    if loaded is not None and loaded.version == version:
        return loaded
    msg = (
        f"{access.path!r} was damaged or written over since it was opened, "
        f"and no backup holds what it was; db.reload() takes what is there now"
    )
    raise CorruptionError(msg)


def _repair(
    held: Held, now: State, state: Rebuilt, exact: Sum | None, keep: Keep
) -> bool:
    """Put a good state in place of a damaged one; a failure is only logged.

    The good state is in the backups anyway, and the next load repeats this. It
    keeps its time: under a new one each commit after a recovery would back it up
    once more, and push other states out.
    """
    if not held.writable:
        return False
    # A file that is not whole must not pass for acknowledged after a crash.
    noted = now.verdict in {Verdict.CORRUPT, Verdict.LOST}
    current = now.current if noted else None
    stamp = state.stamp if exact is None else exact.time
    follows = None if exact is None else exact.follows
    try:
        held.require_writable(now)
        if now.main is not None:
            held.keep_corrupt()
        if exact is None and now.journal.found is not None:
            held.keep_damaged_journal(vfs.read_bytes(held.paths.journal)[0])
        new = Next(root_of(held.root_format, state.kept), ())
        written = write(held, now, new)
        install(held, now, written, current, stamp, follows)
        if exact is None:
            held.drop_journal()
    except OSError as err:
        held.log.warning(f"cannot repair {held.paths.link!r}: {err}; it stays damaged")
        return False
    held.prune(keep, None)
    return True
