"""Rewriting the records of a database in the present form of their classes.

::

    flush ── read the durable entries ── decode, encode ── one commit ── adopt
                                         a batch at a time

What is rewritten is the durable state, not the live objects: those nobody looked
at are decoded here, one batch after the other, and let go again.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from storify.database.maintenance.check import Progress
from storify.database.session.merge import catch_up
from storify.engine import Change, Commit, Snapshot, StaleVersionError
from storify.models import Unloaded

if TYPE_CHECKING:
    from storify.codec import Codec
    from storify.database._source import Source
    from storify.database.session.session import Session

__all__ = ["migrate"]

#: Records that are decoded and encoded by one call.
_BATCH = 1024


class _Rewritten(NamedTuple):
    """The result of rewriting.

    Attributes:
        changes: The records whose bytes are others now.
        unfit: How many do not fit their class, and stay as they are.
        unknown: How many are of classes that are not registered.
    """

    changes: list[Change]
    unfit: int
    unknown: int


def migrate(source: "Source", progress: Progress | None, *, dry_run: bool) -> int:
    """Rewrite what is stored in an older form; give how many records."""
    session = source.session
    with session.lock:
        session.ready("migrate")
        if dry_run:
            found = _rewritten(session.codec, session.engine.open(), progress)
            _report(session, found)
            return len(found.changes)
        try:
            return _migrate(session, progress)
        except StaleVersionError:
            # Another writer was faster. The second time nobody can be: to keep
            # them all out the first time would make them wait for the decoding.
            with session.locked():
                return _migrate(session, progress)


def _migrate(session: "Session", progress: Progress | None) -> int:
    session.flush()
    stored = session.engine.open()
    if stored is not None and stored.version != session.version:
        raise StaleVersionError
    found = _rewritten(session.codec, stored, progress)
    if stored is not None and found.changes:
        # Locked, so that what is adopted is this commit and no other one.
        with session.locked():
            session.engine.commit(
                Commit(stored.version, found.changes, stored.get, undone_on_error=True)
            )
            session.sync()
            # What another thread changed meanwhile is saved in the present form.
            catch_up(session, "migrate", keep="mine")
    _report(session, found)
    return len(found.changes)


def _rewritten(
    codec: "Codec", stored: Snapshot | None, progress: Progress | None
) -> _Rewritten:
    changes: list[Change] = []
    unfit = unknown = done = 0
    pairs = chain.from_iterable(() if stored is None else stored.items())
    while batch := list(islice(pairs, _BATCH)):
        blobs = _rewrite([value for _, value in batch], codec)
        for (key, value), blob in zip(batch, blobs, strict=True):
            if isinstance(blob, Unloaded) and blob.error is None:
                unknown += 1
            elif not isinstance(blob, bytes):
                unfit += 1
            elif blob != value:
                changes.append((key, blob))
        done += len(batch)
        if progress is not None:
            progress(done, max(done, 0 if stored is None else len(stored)))
    return _Rewritten(changes, unfit, unknown)


def _rewrite(stored: list[bytes], codec: "Codec") -> Iterator[bytes | Unloaded | None]:
    """Return values as they would be stored now, all by one call if that can be.

    An `Unloaded` record or None stands for one that stays as it is.
    """
    try:
        values = codec.decode_all(stored)
        fit = {i: v for i, v in enumerate(values) if not isinstance(v, Unloaded)}
        blobs = iter(codec.encode_items(fit).values())
    except Exception:  # noqa: BLE001 - the classes' own code ran; which it was is found
        return (_rewrite_one(blob, codec) for blob in stored)
    return (next(blobs) if i in fit else v for i, v in enumerate(values))


def _rewrite_one(stored: bytes, codec: "Codec") -> bytes | Unloaded | None:
    try:
        value = codec.decode(stored)
        return value if isinstance(value, Unloaded) else codec.encode(value, "$[*]")
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - as above
        return None


def _report(session: "Session", found: _Rewritten) -> None:
    """Tell what could not be rewritten, to the log: it is nobody's mistake here."""
    for count, why in (
        (found.unfit, "do not fit their classes; db.check() lists them"),
        (found.unknown, "are of classes that are not registered; pass models=[...]"),
    ):
        if count:
            session.log.warning(
                f"migrating database {session.name!r}: records that stay as they "
                f"are: {count} {why}"
            )
