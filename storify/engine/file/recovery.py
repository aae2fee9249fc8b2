"""Loading, with what to do if the files are not what was committed last.

::

    verdict of `state`          whole               not whole
    TRUSTED                      served              an error, where it is decoded
    AHEAD                        served, and noted   recovered
    FOREIGN, over a journal      brought in          recovered
    FIRST_SEEN, FOREIGN          taken over          recovered
    ROTTEN, LOST                 -                   recovered

Recovered means: the main file is rebuilt from the backups, exactly as it was if
the one before it and the journal beside that are whole, and the commits since then
are in its own journal still. Else the newest good state takes its place. The
damaged file is kept as ``.corrupt``. Where nothing may be written, what could be
rebuilt is served and the files stay.

A journal that is damaged while the main file is not is healed by its mirror; see
`replay`. What another program wrote while there was one comes on top of it; see
`foreign`.
"""

from storify.engine.file import vfs
from storify.engine.file.append import tail_of
from storify.engine.file.checkpoint import install, keep_as_past, write
from storify.engine.file.foreign import bring_in, seen
from storify.engine.file.held import Held
from storify.engine.file.history import Rebuilt, backup_of, rebuilds
from storify.engine.file.manifest import Record, Sum
from storify.engine.file.replay import (
    Harm,
    Journal,
    flat,
    read_journal,
    replay,
    rewritten,
)
from storify.engine.file.root import root_after, whole
from storify.engine.file.state import (
    Known,
    Loaded,
    Main,
    Reading,
    Verdict,
    version_after,
)
from storify.engine.moment import Keep
from storify.exceptions import CorruptionError, DatabaseLoadError

__all__ = ["is_damaged", "is_whole", "know", "load", "mend", "recover"]


def is_whole(now: Reading) -> bool:
    """Whether a reading without the lock can be served as it is."""
    if now.verdict is Verdict.ABSENT:
        return True
    main, known = now.main, now.known
    return (
        now.verdict is Verdict.TRUSTED
        and now.journal.harm is Harm.NONE
        and main is not None
        and known is not None
        and known == now.current
        and known.fits(main.found)
    )


def is_damaged(now: Reading) -> bool:
    """Whether a reading needs a repair.

    A torn frame may be one that is being written: it is not committed yet.
    """
    damaged = now.verdict in {Verdict.ROTTEN, Verdict.LOST}
    torn = now.journal.harm in {Harm.NONE, Harm.TORN}
    return damaged or not (torn or now.left is not None)


def load(
    held: Held, known: Known, keep: Keep, now: Reading | None = None
) -> Loaded | None:
    """Read the state, or recover it; bring *known* up to it.

    Args:
        held: The files.
        known: What is known of them.
        keep: Which older states are kept.
        now: What was read of them, if it was.

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
    if main is not None and main.payload is not None:
        if now.verdict is Verdict.TRUSTED:
            if now.left is None:
                _settle(held, now, main)
            return _served(held, known, now, main.payload)
        if now.verdict is not Verdict.ROTTEN:
            try:
                held.root_format.check(main.payload)
            except ValueError as err:
                wrong = f"{now.wrong}: {err}" if now.wrong else str(err)
                now = now._replace(wrong=wrong)
            else:
                _take_over(held, now, main)
                return _served(held, known, now, main.payload)
    return recover(held, known, now, keep)


def _with_edit(held: Held, now: Reading) -> Reading:
    """Bring in another program's edit; if that cannot be saved, it is served."""
    try:
        return bring_in(held, now)
    except OSError as err:
        held.log.warning(f"cannot save {held.place.link!r}: {err}; the next load will")
        return seen(held, now)


def know(known: Known, now: Reading) -> None:
    """Note that a reading is what is on disk; its journal must be whole."""
    known.at(now.version, now.digest, now.found, tail_of(now), ours=False)
    # The journal of another main file, or one that lacks what is not saved yet.
    known.shunned = known.shunned or now.left is not None


def _settle(held: Held, now: Reading, main: Main) -> None:
    """Finish the note of a commit that was cut off, or of a copied folder."""
    record, known = now.record, now.known
    if record is None or known is None:
        return
    found = main.found
    current = Sum(found.size, found.mtime_ns, known.sha256, known.time, known.follows)
    if record.current != current:
        held.note(Record(current, None, record.since))


def _take_over(held: Held, now: Reading, main: Main) -> None:
    """Note a file that we have not written, or of which the note was lost."""
    if now.verdict is Verdict.AHEAD:
        held.log.info(f"{held.place.link!r} is a commit that was not noted; it is now")
    if now.verdict is Verdict.FOREIGN and now.left is None:
        before = None if now.current is None else backup_of(held, now.current)
        where = "no backup has" if before is None else f"backup {before!r} has"
        held.log.warning(
            f"{held.place.link!r} was changed by another program; it can be read "
            f"and is taken over; {where} the state before it"
        )
    if held.writable and now.left is None:
        held.note(Record(held.new_sum(now, main), None, now.since))


def _served(held: Held, known: Known, now: Reading, payload: bytes) -> Loaded:
    """Return a whole main file with what counts of its journal."""
    now = mend(held, now, payload)
    if now.main is not None and now.main.payload is not None:
        payload = now.main.payload
    journal = now.journal
    if journal.harm is Harm.HOLED:
        entries, notes = replay(held.root_format.split(payload), journal.frames)
        for note in notes:
            held.log.warning(f"lost from {held.place.link!r}: {note}")
        whole = held.root_format.join(entries)
        return Loaded(now.version, whole)
    try:
        changes = flat(held.root_format, payload, journal.frames)
    except ValueError as err:
        msg = f"cannot load {held.place.link!r}: its journal does not fit it: {err}"
        raise DatabaseLoadError(msg) from err
    if journal.harm is Harm.NONE:
        know(known, now)
    return Loaded(now.version, payload, changes)


def mend(held: Held, now: Reading, payload: bytes) -> Reading:
    """Put a damaged journal right, if that may be written; else as it counts."""
    journal, place = now.journal, held.place
    if journal.harm is Harm.NONE:
        return now
    if journal.harm is Harm.TORN and not held.writable and _grows(held, journal):
        return now  # it is a commit that is under way
    for note in journal.notes:
        held.log.warning(f"journal {place.journal!r}: {note}")
    if not held.writable or now.left is not None:
        return now
    try:
        _write_mended(held, now, payload)
    except OSError as err:
        held.log.warning(f"cannot repair {place.journal!r}: {err}; it stays damaged")
        return now
    return held.read()


def _grows(held: Held, journal: Journal) -> bool:
    """Whether somebody has written to a journal since it was read."""
    found, before = vfs.look(held.place.journal), journal.found
    return found is None or before is None or found.signature != before.signature


def _write_mended(held: Held, now: Reading, payload: bytes) -> None:
    journal, place = now.journal, held.place
    if journal.harm is Harm.STALE:
        if now.verdict.is_ours:
            keep_as_past(held)
            held.drop_journal()
            return
        path = held.put_journal_away()
        held.log.warning(
            f"journal {place.journal!r} belongs to another file than that which is "
            f"there, and is put away as {path!r}"
        )
    elif journal.harm is Harm.TORN:
        held.keep_damaged_journal(journal.raw[journal.end :])
        if journal.frames:
            vfs.cut(place.journal, journal.end)
        else:
            held.drop_journal()
    elif journal.harm is Harm.HEALED:
        held.keep_damaged_journal(journal.raw)
        raw = rewritten(now.digest, journal.frames)
        vfs.replace_bytes(place.journal, raw, place.prefix, like=now.found)
        with held.or_warn("mirror the journal of"):
            vfs.write_spare(place.mirror, raw)
    else:
        held.keep_damaged_journal(journal.raw)
        # Written whole, so that the hole is told of once.
        new = whole(root_after(held.root_format, payload, journal.frames))
        current = now.known or now.current
        install(held, now, write(held, now, new), current, now.stamp)
        held.drop_journal()


def recover(held: Held, known: Known, now: Reading, keep: Keep) -> Loaded:
    """Rebuild a main file that is damaged or gone from the backups.

    Raises:
        CorruptionError: No backup is usable; the files are untouched.
        OSError: A backup could not be read now.
    """
    link = held.place.link
    causes = [f"{link}: {now.wrong}"]
    wanted = {known.sha256: known for known in now.record.sums()} if now.record else {}
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
    now: Reading,
    state: Rebuilt,
    exact: Sum | None,
    causes: list[str],
    keep: Keep,
) -> Loaded:
    link = held.place.link
    held.log.warning(f"{link!r} is damaged ({now.wrong}); using backup {state.path!r}")
    for cause in causes[1:]:
        held.log.warning(f"a newer backup was not usable: {cause}")
    journal = Journal()
    if exact is not None:
        place = held.place
        journal = read_journal(place.journal, place.mirror, exact.sha256)
        for note in journal.notes:
            held.log.warning(f"journal {place.journal!r}: {note}")
    elif now.journal.frames:
        count = len(now.journal.frames)
        held.log.warning(
            f"{count} commits in {held.place.journal!r} belong to the damaged file "
            f"and are lost; it is kept among the backups"
        )
    repaired = _repair(held, now, state, exact, keep)
    changes = flat(held.root_format, state.payload, journal.frames)
    version = version_after(state.digest, journal.last)
    if repaired:
        after = held.read()
        if after.verdict is Verdict.TRUSTED and after.journal.harm is Harm.NONE:
            know(known, after)
    return Loaded(version, state.payload, changes, recovered_from=state.path)


def _repair(
    held: Held, now: Reading, state: Rebuilt, exact: Sum | None, keep: Keep
) -> bool:
    """Put a good state in place of a damaged one; a failure is only logged.

    The good state is in the backups anyway, and the next load repeats this. It
    keeps its time: under a new one each commit after a recovery would back it up
    once more, and push other states out.
    """
    if not held.writable:
        return False
    # A file that is not whole must not pass for acknowledged after a crash.
    noted = now.verdict in {Verdict.ROTTEN, Verdict.LOST}
    current = now.current if noted else None
    stamp = state.stamp if exact is None else exact.time
    follows = None if exact is None else exact.follows
    try:
        held.require_writable(now)
        if now.main is not None:
            held.keep_corrupt(now.main)
        if exact is None and now.journal.found is not None:
            held.keep_damaged_journal(vfs.read_bytes(held.place.journal)[0])
        written = write(held, now, whole(state.payload))
        install(held, now, written, current, stamp, follows)
        if exact is None:
            held.drop_journal()
    except OSError as err:
        held.log.warning(f"cannot repair {held.place.link!r}: {err}; it stays damaged")
        return False
    held.prune(keep, None)
    return True
