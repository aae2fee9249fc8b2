"""Saving what is whole of a database that cannot be loaded.

Three sources, each better than the one below it::

    the journal      values as they were committed last
    the main file    entries whose checksum is right (`_entries`), or, without
                     checksums, whose bytes are whole
    the backups      for what is damaged in both, an older value

What is in none of them is named.
"""

import zlib
from collections.abc import Iterator

from storify.engine._entries import read_entries
from storify.engine._held import Held
from storify.engine._history import Rebuilt, rebuilds
from storify.engine._reading import Reading
from storify.engine._replay import read_journal, replay
from storify.engine._verdict import Verdict
from storify.engine.protocol import Salvaged

__all__ = ["salvage"]

Entry = tuple[bytes, bytes]


def salvage(held: Held) -> Salvaged | None:
    """Give what can be saved; None if there is nothing of this name.

    Raises:
        OSError: A file cannot be read now.
    """
    now = held.read()
    if now.verdict is Verdict.ABSENT:
        return None
    older = _older(held, now)
    notes: list[str] = []
    damaged: list[bytes] = []
    pieces = list(_pieces(held, now, damaged))
    entries = dict(piece for piece in pieces if piece is not None)
    taken = _fill(pieces, entries, older, damaged, notes)
    base = "" if now.current is None else now.current.sha256
    if base:
        journal = read_journal(held.place.journal, held.place.mirror, base)
        notes += journal.notes
        changed = {key for frame in journal.frames for key, _ in frame.ops}
        _, failed = replay(entries, journal.frames)
        notes += failed
        damaged = [key for key in damaged if key not in entries and key not in changed]
        taken = [key for key in taken if key not in changed]
    lost = [key for key in damaged if key not in entries]
    return Salvaged(
        held.root_format.join(_in_order(entries, older)), lost, taken, notes
    )


def _older(held: Held, now: Reading) -> dict[bytes, bytes]:
    """The newest state that the backups give."""
    for found in rebuilds(held, now.since):
        if isinstance(found, Rebuilt):
            return held.root_format.split(found.payload)
    return {}


def _pieces(held: Held, now: Reading, damaged: list[bytes]) -> Iterator[Entry | None]:
    """The whole entries of the main file, None where some are damaged.

    The keys of damaged entries that are legible are added to *damaged*.
    """
    main = now.main
    if main is None or main.payload is None:
        yield None
        return
    index = read_entries(held)
    sums = [] if now.record is None else now.record.sums()
    known = (
        None if index is None else next((s for s in sums if s.sha256 == index[0]), None)
    )
    if index is None or known is None:
        yield from held.root_format.salvage(main.payload)
        return
    _, sizes, crcs = index
    at = known.size - sum(sizes)
    if not at:
        # A root without keys is one value, whole or not.
        yield None
        return
    for size, crc in zip(sizes, crcs, strict=True):
        piece = main.payload[at : at + size]
        at += size
        yield _checked(held, piece, crc, size, damaged)


def _checked(
    held: Held, piece: bytes, crc: int, size: int, damaged: list[bytes]
) -> Entry | None:
    try:
        key, value = held.root_format.part(piece)
    except ValueError:
        return None
    if len(piece) == size and zlib.crc32(value, zlib.crc32(key)) == crc:
        return key, value
    damaged.append(key)
    return None


def _fill(
    pieces: list[Entry | None],
    entries: dict[bytes, bytes],
    older: dict[bytes, bytes],
    damaged: list[bytes],
    notes: list[str],
) -> list[bytes]:
    """Take older values for what is damaged; give their keys.

    A stretch whose key is illegible stands between two that are not: what stood
    there in the older state is taken.
    """
    taken = [key for key in damaged if key in older and key not in entries]
    order = {key: place for place, key in enumerate(older)}
    keys = list(older)
    gaps = 0
    for at, piece in enumerate(pieces):
        if piece is not None:
            continue
        gaps += 1
        before = next((p[0] for p in reversed(pieces[:at]) if p), None)
        after = next((p[0] for p in pieces[at + 1 :] if p), None)
        start = order.get(before, -1) + 1 if before is not None else 0
        end = order.get(after, len(keys)) if after is not None else len(keys)
        taken += [key for key in keys[start:end] if key not in entries]
    taken = list(dict.fromkeys(taken))
    entries.update((key, older[key]) for key in taken)
    illegible = gaps - len(damaged)
    if illegible > 0 and len(taken) < gaps:
        notes.append(f"{illegible} damaged stretches of the file have no legible key")
    return taken


def _in_order(
    entries: dict[bytes, bytes], older: dict[bytes, bytes]
) -> dict[bytes, bytes]:
    """Put what was taken from the backups where it stood there."""
    known = {key: entries[key] for key in older if key in entries}
    if len(known) == len(entries):
        return known
    return entries
