"""Saving what is whole of a database that cannot be loaded.

Three sources, each better than the one below it::

    the journal      values as they were committed last
    the main file    entries whose checksum is right (`index`), or, without
                     checksums, whose bytes are whole
    the backups      for what is damaged in both, an older value

What is in none of them is named.
"""

import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

from storify.engine.file.held import Held
from storify.engine.file.index import Row, Rows, read_rows
from storify.engine.file.past import Rebuilt, open_past, rebuilds
from storify.engine.file.replay import Journal, read_journal, replay
from storify.engine.file.state import State, Verdict
from storify.engine.file.vfs import PART_BYTES
from storify.engine.protocol import (
    Salvaged,
    Snapshot,
    Version,
    WholeSnapshot,
    each_entry,
)

__all__ = ["salvage"]

Entry = tuple[bytes, bytes]

#: The key of a root without keys, which is one value for all but salvage.
_LIST: Final = b""
#: A number of entries that is believed of a file of which nothing else is known.
_MOST_BELIEVED: Final = 1 << 20


class _Found(NamedTuple):
    """The entries that the main file and an older state give.

    Attributes:
        entries: The root.
        lost: What is damaged and in no older state, by key or number.
        taken: What was taken from an older state.
        unnamed: How many more are lost.
        notes: What else is not known.
    """

    entries: dict[bytes, bytes]
    lost: list[bytes | int]
    taken: list[bytes | int]
    unnamed: int
    notes: list[str]


def salvage(held: Held) -> Salvaged | None:
    """Return what can be saved; None if there is nothing of this name.

    Raises:
        OSError: A file cannot be read now.
    """
    now = held.read()
    if now.verdict is Verdict.ABSENT:
        return None
    older = _older(held, now)
    index = _index(held, now)
    is_list = _is_list(held, now, index, older)
    found = (_salvage_list if is_list else _salvage_dict)(held, now, index, older)
    base = "" if now.current is None else now.current.sha256
    if base:
        journal = read_journal(held.paths.journal, held.paths.mirror, base)
        found = _with_journal(found, journal)
    entries = _in_order(found.entries, older)
    return Salvaged(entries, found.lost, found.taken, found.unnamed, found.notes)


def _with_journal(found: _Found, journal: Journal) -> _Found:
    """Put what was committed since on top."""
    changed = {key for frame in journal.frames for key, _ in frame.ops}
    _, failed = replay(found.entries, journal.frames)
    notes = [*found.notes, *journal.notes, *failed]
    if _LIST in changed:  # all that was there is replaced
        return _Found(found.entries, [], [], 0, notes)
    if changed and found.unnamed:
        notes.append("some of the lost records may have been set or deleted since")
    return _Found(
        found.entries,
        [key for key in found.lost if key not in changed],
        [key for key in found.taken if key not in changed],
        found.unnamed,
        notes,
    )


def _index(held: Held, now: State) -> Rows | None:
    """The rows noted of the entries, if they are of the file that should be there."""
    index = read_rows(held.paths.index)
    known = () if now.manifest is None else now.manifest.sums()
    if index is None or not any(each.sha256 == index.digest for each in known):
        return None
    return index


def _is_list(held: Held, now: State, index: Rows | None, older: Snapshot) -> bool:
    """Whether it is a root without keys, going by what is whole first."""
    if index is not None:
        return index.is_list
    if len(older):
        return older.get(_LIST) is not None
    return held.root_format.salvage_items(_payload(now)) is not None


def _payload(now: State, most: int | None = None) -> bytes:
    """The bytes of the main file that can be read, *most* of them if that is given."""
    source = None if now.main is None else now.main.source
    return b"" if source is None else source.read(0, most or source.found.size)


def _older(held: Held, now: State) -> Snapshot:
    """The newest state that the backups give; an empty one if they give none."""
    for found in rebuilds(held, now.since):
        if isinstance(found, Rebuilt):
            return open_past(held.root_format, found.kept)
    return WholeSnapshot(Version(""), {})


def _salvage_dict(
    held: Held, now: State, index: Rows | None, older: Snapshot
) -> _Found:
    damaged: list[bytes] = []
    notes: list[str] = []
    pieces = _pieces(held, now, index, damaged)
    entries = dict(piece for piece in pieces if piece is not None)
    read = len(entries)
    taken = _fill(pieces, entries, older, damaged)
    lost = dict.fromkeys(key for key in damaged if key not in entries)
    count = _count(held, now, index, notes)
    if count is None:
        count = read + pieces.count(None)  # at least one in each stretch
    unnamed = max(0, count - len(entries) - len(lost))
    return _Found(entries, [*lost], [*taken], unnamed, notes)


def _count(held: Held, now: State, index: Rows | None, notes: list[str]) -> int | None:
    """Return how many entries or items there were; None, and a note, if unknown."""
    if index is not None:
        return len(index.rows)
    count = held.root_format.claimed(_payload(now, PART_BYTES))
    sizes = () if now.manifest is None else (each.size for each in now.manifest.sums())
    if count is None or count > max(sizes, default=_MOST_BELIEVED):
        notes.append("how many there were is not known; at least so many are lost")
        return None
    return count


def _pieces(
    held: Held, now: State, index: Rows | None, damaged: list[bytes]
) -> list[Entry | None]:
    """The whole entries of the main file, None where some are damaged.

    The keys of damaged entries that are legible are added to *damaged*.
    """
    if index is None:
        return held.root_format.salvage(_payload(now))
    return [_checked(held, piece, row, damaged) for piece, row in _cut(now, index)]


def _cut(now: State, index: Rows) -> Iterable[tuple[bytes, Row]]:
    """Read a file where its entries were; give what is there, and what was."""
    source = None if now.main is None else now.main.source
    for row in index.rows:
        yield b"" if source is None else source.read(row.offset, row.size), row


def _checked(held: Held, piece: bytes, row: Row, damaged: list[bytes]) -> Entry | None:
    try:
        key, value = held.root_format.part(piece)
    except ValueError:
        return None
    if len(piece) == row.size and zlib.crc32(piece) == row.crc:
        return key, value
    damaged.append(key)
    return None


def _fill(
    pieces: list[Entry | None],
    entries: dict[bytes, bytes],
    older: Snapshot,
    damaged: list[bytes],
) -> list[bytes]:
    """Take older values for what is damaged; give their keys.

    A stretch whose key is illegible stands between two that are not: what stood
    there in the older state is taken.
    """
    keys = [key for key, _ in each_entry(older)]
    order = {key: paths for paths, key in enumerate(keys)}
    taken = [key for key in damaged if key in order and key not in entries]
    for at, piece in enumerate(pieces):
        if piece is not None:
            continue
        before = next((p[0] for p in reversed(pieces[:at]) if p), None)
        after = next((p[0] for p in pieces[at + 1 :] if p), None)
        start = order.get(before, -1) + 1 if before is not None else 0
        end = order.get(after, len(keys)) if after is not None else len(keys)
        taken += [key for key in keys[start:end] if key not in entries]
    taken = list(dict.fromkeys(taken))
    entries.update((key, older.get(key) or b"") for key in taken)
    return taken


def _salvage_list(
    held: Held, now: State, index: Rows | None, older: Snapshot
) -> _Found:
    """The salvage of a list, by numbers; a gap between good neighbours is filled."""
    notes: list[str] = []
    items: list[bytes | None]
    if index is None:
        items = held.root_format.salvage_items(_payload(now)) or []
    else:
        items = [
            piece if len(piece) == row.size and zlib.crc32(piece) == row.crc else None
            for piece, row in _cut(now, index)
        ]
    count = _count(held, now, index, notes)
    items += [None] * ((count or 0) - len(items))
    whole_list = older.get(_LIST)
    before = [] if whole_list is None else held.root_format.items(whole_list)
    taken = _fill_items(items, before)
    whole = [item for item in items if item is not None]
    lost: list[bytes | int] = [at for at, item in enumerate(items) if item is None]
    entries = {_LIST: held.root_format.join_items(whole)}
    return _Found(entries, lost, [*taken], int(count is None), notes)


def _fill_items(items: list[bytes | None], older: list[bytes]) -> list[int]:
    """Take older items for damaged ones; give their numbers.

    Where the item before and the one behind are the older ones, too: else the list may
    have moved, and the older one of that number is another.
    """
    taken: list[int] = []
    at = 0
    while at < len(items):
        end = next((i for i in range(at, len(items)) if items[i] is not None), None)
        stretch = range(at, len(items) if end is None else end)
        before = not at or items[at - 1 : at] == older[at - 1 : at]
        after = end is None or items[end : end + 1] == older[end : end + 1]
        if before and after:
            found = [i for i in stretch if i < len(older)]
            taken += found
            for i in found:
                items[i] = older[i]
        at = stretch.stop + 1
    return taken


def _in_order(entries: dict[bytes, bytes], older: Snapshot) -> dict[bytes, bytes]:
    """Put what was taken from the backups where it stood there."""
    known = {key: entries[key] for key, _ in each_entry(older) if key in entries}
    if len(known) == len(entries):
        return known
    return entries
