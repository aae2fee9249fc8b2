"""Loading, with what to do if the file is not what was committed last.

::

    verdict of `_verdict`        parses              does not parse
    TRUSTED                      served              an error: it is undamaged
    FIRST_SEEN, FOREIGN          taken over          recovered
    ROTTEN, LOST                 -                   recovered

Recovered means: the newest backup that is good takes the file's place, and the
damaged file is kept as ``.corrupt``. Where nothing may be written the backup is
served and the file stays.
"""

import errno
from collections.abc import Callable
from typing import TypeVar

from storify.engine._disk import Found
from storify.engine._held import Held
from storify.engine._reading import Reading
from storify.engine._record import Record, Sum
from storify.engine._verdict import Main, Verdict
from storify.engine.protocol import Loaded, version_of
from storify.exceptions import CorruptionError, DatabaseLoadError

__all__ = ["load"]

T = TypeVar("T")

# Errors of the process, not of the file: an older backup would be a needless loss.
PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})


def load(
    held: Held, parse: Callable[[bytes], T], kept: int
) -> tuple[Loaded[T] | None, Found | None]:
    """Read the state, or recover it; *kept* backups stay after a repair.

    Returns:
        The state and how the main file looks now; None for either if not there.

    Raises:
        DatabaseLoadError: The state is intact but *parse* refuses it.
        CorruptionError: No backup is usable; the files are untouched.
        OSError: Something could not be read now.
    """
    now = held.read()
    main, wrong = now.main, now.wrong
    if now.verdict is Verdict.ABSENT:
        return None, None
    if main is not None and main.payload is not None:
        if now.verdict is Verdict.TRUSTED:
            return _trusted(held, now, main, main.payload, parse), main.found
        if now.verdict is not Verdict.ROTTEN:
            try:
                value = parse(main.payload)
            except ValueError as err:
                wrong = f"{wrong}: {err}" if wrong else str(err)
            else:
                _take_over(held, now, main)
                return _loaded(main.payload, value), main.found
    return _recover(held, now._replace(wrong=wrong), parse, kept)


def _loaded(payload: bytes, value: T, recovered_from: str | None = None) -> Loaded[T]:
    return Loaded(version_of(payload), payload, value, recovered_from)


def _trusted(
    held: Held, now: Reading, main: Main, payload: bytes, parse: Callable[[bytes], T]
) -> Loaded[T]:
    try:
        value = parse(payload)
    except ValueError as err:
        # The bytes are those that were committed: an older state would be a
        # silent loss, and replacing the file a real one.
        msg = (
            f"cannot load {held.place.link!r}: the file is undamaged, "
            f"but cannot be read here: {err}"
        )
        raise DatabaseLoadError(msg) from err
    if now.record is not None and now.known is not None:
        _settle(held, now.record, now.known, main.found)
    return _loaded(payload, value)


def _settle(held: Held, record: Record, known: Sum, found: Found) -> None:
    """Finish the note of a commit that was cut off, or of a copied folder."""
    current = Sum(found.size, found.mtime_ns, known.sha256, known.time)
    if record.current != current:
        held.note(Record(current, None, record.since))


def _take_over(held: Held, now: Reading, main: Main) -> None:
    """Note a file that we have not written."""
    if now.verdict is Verdict.FOREIGN:
        held.log.warning(
            f"{held.place.link!r} was changed by another program; it can be read "
            f"and is taken over, the state before it is in the backups if one "
            f"was made"
        )
    if held.writable:
        held.note(Record(held.new_sum(main), None, now.since))


def _recover(
    held: Held, now: Reading, parse: Callable[[bytes], T], kept: int
) -> tuple[Loaded[T], Found | None]:
    link = held.place.link
    causes = [f"{link}: {now.wrong}"]
    for entry in held.folder.candidates(now.since):
        path = held.folder.file(entry.name)
        try:
            payload = held.folder.read(entry)
            value = parse(payload)
        except OSError as err:
            if err.errno in PASSING:
                raise
            causes.append(f"{path}: {err}")
            continue
        except (ValueError, CorruptionError) as err:
            causes.append(f"{path}: {err}")
            continue
        held.log.warning(f"{link!r} is damaged ({now.wrong}); using backup {path!r}")
        for cause in causes[1:]:
            held.log.warning(f"a newer backup was not usable: {cause}")
        found = _repair(held, now, payload, entry.stamp or None, kept)
        return _loaded(payload, value, recovered_from=path), found
    msg = (
        f"cannot load {link!r}: {now.wrong}; no backup is usable, "
        f"{len(causes) - 1} tried; the files are left as they are"
    )
    raise CorruptionError(msg, causes)


def _repair(
    held: Held, now: Reading, payload: bytes, stamp: str | None, kept: int
) -> Found | None:
    """Put a good state in place of a damaged one; a failure is only logged.

    The good state is in the backups anyway, and the next load repeats this. It
    keeps its *stamp*: under a new one each commit after a recovery would back it
    up once more, and push other states out.
    """
    if not held.writable:
        return now.found
    # A file that does not parse must not pass for acknowledged after a crash.
    noted = now.verdict in {Verdict.ROTTEN, Verdict.LOST}
    try:
        held.require_writable(now)
        if now.main is not None:
            held.keep_corrupt(now.main)
        found = held.install(now, payload, now.current if noted else None, stamp)
    except OSError as err:
        held.log.warning(f"cannot repair {held.place.link!r}: {err}; it stays damaged")
        return now.found
    held.prune(kept, None)
    return found
