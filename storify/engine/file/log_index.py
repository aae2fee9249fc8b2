"""The index of a log: where each change lies that was committed to a main file.

::

    .log-index := head stretch stretch ...
    head       := magic[8] digest[32] dev[8] ino[8] crc[4]
    stretch    := about[78] hashes-crc[4] rows-crc[4] crc[4] hash[4]... row...
    about      := start[8] end[8] last-frame[8] seq[8] frame-crc[4] order[8] clock[8]
                  flags[1] deltas[1] kind[8] rows[4]
    row        := offset[4] place[4] size[4] crc[4] kind[1]

Numbers are big-endian. ``digest`` names the main file, ``dev`` and ``ino`` the journal. A
stretch stands for 256 KiB of whole frames; its rows are sorted by the hash of the
key, and for one hash by ``offset``: where the op begins in the journal, which has ``size``
bytes and the checksum ``crc``. Of each key it has the last op that sets or deletes it,
and the differences after that. ``place`` is where the op is that gave the key its place
in the order of the root. ``kind`` is that of the op, and 4 more if the key was deleted
in the stretch, so that its place before counts no more.

An opening reads heads and hashes, and the frames after the last stretch. A look-up goes
from the newest stretch to the oldest, and on to the main file; what it finds it reads
from the journal, and checks.

It stands beside the journal and not in it, because it is a pure cache: it is written
after the sync that a commit waits for and is never synced; the journal, which is what
counts, its mirror, and what is kept of it as the past have no bytes that are not
commits; and a journal without one, older or copied, is read in order, and its stretches
are made in memory by the same steps. So deleting it changes no answer. Nor does any
other fault of it:

- torn, flipped: each part has a checksum, and a row that of the op that it leads to;
- of another journal: each stretch names its last frame, which must stand there;
- out of order: each begins where the one before it ends;
- ahead of the journal, after a power cut: a stretch is only written of frames that are
  durable.

What is wrong ends it there, and the frames from there on are read.
"""

import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import accumulate, chain
from operator import itemgetter
from typing import Final, NamedTuple

from storify.engine.file import vfs
from storify.engine.file.delta import Delta
from storify.engine.file.index import DamagedError
from storify.engine.file.log import (
    DELETE,
    DELTA,
    DURABLE,
    OP,
    SET,
    Bare,
    Frame,
    Frames,
    Source,
    bare_frames,
    head_frame,
    moment_at,
    name_at,
)
from storify.engine.file.paths import Paths
from storify.engine.moment import Moment
from storify.engine.protocol import Format

__all__ = ["STRETCH_BYTES", "Log", "log_of", "note_log", "open_log"]

STRETCH_BYTES = 1 << 18
"""How many bytes of frames a stretch stands for, at least."""

_MAGIC: Final = b"logindx1"
_HEAD: Final = struct.Struct(">8s32sQQ")
_ABOUT: Final = struct.Struct(">QQQQIQqBB8sI")
_SUMS: Final = struct.Struct(">II")
_CRC: Final = struct.Struct(">I")
_ROW: Final = struct.Struct(">IIIIB")
_HASH_BYTES: Final = 4
_MOVED: Final = 4
_MOST: Final = 1 << 32
#: What stands for the kind of keys where only some were deleted.
_ANY: Final = "any"
#: After so many look-ups all hashes are put into one order.
_FEW: Final = 64
#: By so many bits it is told which keys of the main file have no row.
_LAST_BITS: Final = (1 << 20) - 1
#: A shorter journal is read at once to go through all keys.
_AT_ONCE_BYTES: Final = 1 << 24
#: So many entries are given at once of those that come last.
_MANY: Final = 256

Entry = tuple[bytes, bytes]
_Row = tuple[int, int, int, int, int]
_Rows = list[_Row]


class About(NamedTuple):
    """A stretch of frames: its place and its end.

    Attributes:
        start: Where it begins in the journal.
        end: Where it ends.
        last: Where its last frame begins.
        seq: The number of that.
        crc: Its checksum.
        order: When it was committed, in microseconds.
        clock: What the clock said.
        flags: As in the frame.
        deltas: Whether some of its ops are deltas.
        kind: Of what type its keys are: `Format.keyed`.
        rows: How many rows it has.
    """

    start: int
    end: int
    last: int
    seq: int
    crc: int
    order: int
    clock: int
    flags: int
    deltas: bool
    kind: str
    rows: int


class Stretch(NamedTuple):
    """A stretch of frames, and where its ops are.

    Attributes:
        about: What is known of it.
        hashes: Of the keys, sorted.
        rows: The rows, if they are in memory.
        file: Else where they are,
        at: from there on,
        sum: with this checksum.
    """

    about: About
    hashes: "array[int]"
    rows: bytes
    file: vfs.OpenFile | None = None
    at: int = 0
    sum: int = 0

    def row(self, number: int) -> _Row:
        """Return one row."""
        if self.file is None:
            found: _Row = _ROW.unpack_from(self.rows, number * _ROW.size)
            return found
        row = self.file.read(self.at + number * _ROW.size, _ROW.size)
        if len(row) != _ROW.size:
            raise DamagedError
        return _ROW.unpack(row)

    def all_rows(self) -> bytes:
        """Return all rows, checked."""
        if self.file is None:
            return self.rows
        rows = self.file.read(self.at, self.about.rows * _ROW.size)
        if zlib.crc32(rows) != self.sum:
            raise DamagedError
        return rows

    def packed(self) -> bytes:
        """Write it down."""
        about = self.about
        hashes = array("I", self.hashes)
        hashes.byteswap()
        head = _ABOUT.pack(
            *about[:8], about.deltas, about.kind.encode().ljust(8), about.rows
        ) + _SUMS.pack(zlib.crc32(hashes), zlib.crc32(self.rows))
        return b"".join(
            (head, _CRC.pack(zlib.crc32(head)), hashes.tobytes(), self.rows)
        )


# Making


def _stretch(
    frames: Iterable[Bare], root_format: Format, start: int, least: int
) -> Stretch | None:
    """Make a stretch of the next frames, of so many bytes at least; None if none is left.

    Raises:
        DamagedError: An op in a frame is none.
    """
    ops: dict[bytes, bytes] = {}
    values: dict[bytes, bytes] = {}
    last: Bare | None = None
    deltas = False
    for frame in frames:
        last = frame
        deltas |= _add(frame, ops, values)
        if frame.end - start >= least:
            break
    if last is None or last.end >= _MOST:
        return None
    kind = _ANY
    if b"" in ops:
        kind = ""
    elif values:
        kind = root_format.keyed(values)
    hashes = map(_CRC.pack, map(zlib.crc32, ops))
    found = map(b"".join, zip(hashes, ops.values(), strict=True))
    rows = sorted(chain.from_iterable(map(_rows_of_key, found)) if deltas else found)
    ordered = array("I", b"".join([row[:_HASH_BYTES] for row in rows]))
    ordered.byteswap()
    about = About(
        *(start, last.end, last.at, last.seq, last.crc, last.order, last.clock),
        *(last.flags, deltas, kind, len(rows)),
    )
    return Stretch(about, ordered, b"".join([row[_HASH_BYTES:] for row in rows]))


def _rows_of_key(found: bytes) -> Iterator[bytes]:
    """Part the hash and the rows of one key."""
    for at in range(_HASH_BYTES, len(found), _ROW.size):
        yield found[:_HASH_BYTES] + found[at : at + _ROW.size]


def _add(frame: Bare, ops: dict[bytes, bytes], values: dict[bytes, bytes]) -> bool:
    """Add the ops of a frame; whether there are differences among them.

    Args:
        frame: The frame.
        ops: The rows of each key.
        values: The values that are set.
    """
    body, offset, at = frame.body, frame.body_at, frame.ops_at
    unpack, pack, head, crc32 = OP.unpack_from, _ROW.pack, OP.size, zlib.crc32
    deltas = False
    while at < len(body):
        if len(body) - at < head:
            raise DamagedError
        kind, key_size, value_size = unpack(body, at)
        middle = at + head + key_size
        end = middle + value_size
        if end > len(body) or kind > DELTA:
            raise DamagedError
        key = body[at + head : middle]
        place = offset + at
        row = pack(place, place, end - at, crc32(body[at:end]), kind)
        if kind == SET:
            values[key] = body[middle:end]
        ops[key] = row if kind == SET and key not in ops else _after(ops.get(key), row)
        deltas = deltas or kind == DELTA
        at = end
    return deltas


def _after(before: bytes | None, row: bytes) -> bytes:
    """The rows of a key after one more op."""
    place, first, size, crc, kind = _ROW.unpack(row)
    if kind == DELETE:
        return _ROW.pack(place, place, size, crc, DELETE | _MOVED)
    if before is None:
        return row
    _, was_first, _, _, last = _ROW.unpack(before[-_ROW.size :])
    if last & ~_MOVED != DELETE:
        first = was_first
    row = _ROW.pack(place, first, size, crc, kind | last & _MOVED)
    return before + row if kind == DELTA else row


# Reading


def _head_of(digest: str, journal: vfs.OpenFile) -> bytes:
    dev, ino = (number % (1 << 64) for number in journal.found.inode)
    head = _HEAD.pack(_MAGIC, bytes.fromhex(digest), dev, ino)
    return head + _CRC.pack(zlib.crc32(head))


class Reached(NamedTuple):
    """The reach of an index.

    Attributes:
        index_bytes: Its size; 0 if that is not known.
        end: Where its last stretch ends in the journal.
        seq: The number of the last frame of that.
    """

    index_bytes: int = 0
    end: int = 0
    seq: int = 0


class _Noted(NamedTuple):
    """The readable part of an index.

    Attributes:
        stretches: Those that count, oldest first.
        end: Where the last one ends in the index.
        is_whole: Whether nothing else is in it.
    """

    stretches: list[Stretch]
    end: int
    is_whole: bool


def _read(path: str, digest: str, journal: vfs.OpenFile, start: int) -> _Noted | None:
    """Read the index of a journal; None if there is none of it."""
    try:
        file = vfs.OpenFile(path)
    except OSError:
        return None  # a help that is missing is no help
    head = _head_of(digest, journal)
    size, at = file.found.size, len(head)
    if file.read(0, at) != head:
        file.close()
        return None
    found: list[Stretch] = []
    head_bytes = _ABOUT.size + _SUMS.size + _CRC.size
    while at < size:
        payload = file.read(at, head_bytes)
        if len(payload) != head_bytes:
            break
        (crc,) = _CRC.unpack(payload[-_CRC.size :])
        about = _about(payload)
        rows = about.rows
        hashes_crc, rows_crc = _SUMS.unpack_from(payload, _ABOUT.size)
        if (
            crc != zlib.crc32(payload[: -_CRC.size])
            or about.start != start
            or about.end > journal.found.size
            or name_at(journal, about.last) != (about.seq, about.crc)
        ):
            break
        packed = file.read(at + head_bytes, rows * _HASH_BYTES)
        rows_at = at + head_bytes + rows * _HASH_BYTES
        if zlib.crc32(packed) != hashes_crc or rows_at + rows * _ROW.size > size:
            break
        hashes = array("I", packed)
        hashes.byteswap()
        found.append(Stretch(about, hashes, b"", file, rows_at, rows_crc))
        at = rows_at + rows * _ROW.size
        start = about.end
    return _Noted(found, at, at == size)


def _about(payload: bytes) -> About:
    found: tuple[int, int, int, int, int, int, int, int, int, bytes, int]
    found = _ABOUT.unpack_from(payload)
    start, end, last, seq, crc, order, clock, flags, deltas, kind, rows = found
    name = kind.decode("ascii", "replace").rstrip()
    place = start, end, last, seq, crc
    return About(*place, order, clock, flags, bool(deltas), name, rows)


def _op_in(source: Source, row: _Row) -> tuple[int, bytes, bytes]:
    """Read the kind, the key and the value of an op."""
    offset, _, size, crc, kind = row
    try:
        op = source.read(offset, size)
    except OSError as err:
        vfs.raise_if_passing(err)
        raise DamagedError from err
    if len(op) != size or size < OP.size or zlib.crc32(op) != crc:
        raise DamagedError
    named, key_size, _ = OP.unpack_from(op)
    if named != kind & ~_MOVED:
        raise DamagedError
    middle = OP.size + key_size
    return named, op[OP.size : middle], op[middle:]


class Log:
    """The commits on top of a main file, asked for single keys.

    Attributes:
        found: How the journal looks; None if there is none.
        last: What is known of its last frame; None if there is none.

    Args:
        file: The journal; None if there is none.
        stretches: What is in it, oldest first.
        under: What was committed before it, in another journal.
    """

    def __init__(
        self,
        file: vfs.AnyFile | None,
        stretches: Sequence[Stretch],
        under: "Log | None" = None,
    ) -> None:
        self._file = file
        self._stretches = stretches
        self._under = under
        self.found: vfs.Found | None = None if file is None else file.found
        self.last: About | None = stretches[-1].about if stretches else None
        #: The hashes of all rows with the numbers of the rows, sorted.
        self._order: array[int] | None = None
        self._firsts = [0, *accumulate(each.about.rows for each in stretches)]
        self._asked = 0

    @property
    def moment(self) -> Moment | None:
        """The time of the last commit."""
        last = self.last
        return None if last is None else moment_at(last.order, last.clock)

    @property
    def is_durable(self) -> bool:
        """Whether the last commit was synced before anything came after it."""
        return self.last is None or bool(self.last.flags & DURABLE)

    @property
    def kinds(self) -> set[str]:
        """Of what types its keys are."""
        kinds = {each.about.kind for each in self._stretches} - {_ANY}
        return kinds if self._under is None else kinds | self._under.kinds

    def frames(self, digest: str) -> Sequence[Frame]:
        """Return the commits.

        Args:
            digest: The sha256 of the main file, in hex.

        Raises:
            DamagedError: One of them is damaged.
        """
        if self._file is None or self.last is None:
            return ()
        found = Frames.found(self._file, digest, self.last.end)
        if found is None or found.end != self.last.end:
            raise DamagedError
        return found

    @property
    def rows(self) -> int:
        """The number of rows: not fewer than keys that were set or deleted."""
        return self._firsts[-1] + (0 if self._under is None else self._under.rows)

    def delta_keys(self) -> Iterator[bytes]:
        """Iterate over the keys of which there are differences.

        Raises:
            DamagedError: The journal is damaged, or its index.
        """
        if self._under is not None:
            yield from self._under.delta_keys()
        for each in self._stretches:
            if each.about.deltas:
                for row in _ROW.iter_unpack(each.all_rows()):
                    if row[-1] & ~_MOVED == DELTA:
                        yield self._op(row)[1]

    def get(self, key: bytes, below: Callable[[bytes], bytes | None]) -> bytes | None:
        """Return the value of a key; None if there is no such key.

        Args:
            key: The key.
            below: Gives the value in the main file.

        Raises:
            DamagedError: The journal is damaged, or its index.
        """
        rows = self._rows_of(zlib.crc32(key))
        return self._value(key, rows, self._over(below))

    def _over(
        self, below: Callable[[bytes], bytes | None]
    ) -> Callable[[bytes], bytes | None]:
        """The source of values before this journal."""
        under = self._under
        return below if under is None else lambda key: under.get(key, below)

    def _value(
        self,
        key: bytes,
        rows: Iterable[_Row],
        below: Callable[[bytes], bytes | None],
    ) -> bytes | None:
        """The value that some ops, newest first, leave of a key; others are passed over."""
        differences: list[bytes] = []
        for row in rows:
            kind, name, data = self._op(row)
            if name != key:
                continue
            if kind == DELTA:
                differences.append(data)
                continue
            value = None if kind == DELETE else data
            break
        else:
            value = below(key)
        for data in reversed(differences):
            if value is None:
                raise DamagedError
            try:
                value = Delta.decode(data).apply(value)
            except ValueError as err:
                raise DamagedError from err
        return value

    def _op(self, row: _Row) -> tuple[int, bytes, bytes]:
        """Read the kind, the key and the value of an op."""
        return _op_in(self.source(), row)

    def _rows_of(self, wanted: int) -> Iterator[_Row]:
        """Iterate over the rows of a hash, newest first."""
        self._asked += 1
        if self._order is None and self._asked < _FEW:
            for each in reversed(self._stretches):
                at = bisect_left(each.hashes, wanted)
                for number in reversed(
                    range(at, bisect_right(each.hashes, wanted, at))
                ):
                    yield each.row(number)
            return
        for number in reversed(self._numbers(wanted)):
            yield self._row(number)

    def _numbers(self, wanted: int) -> list[int]:
        """The numbers of the rows of a hash, oldest first."""
        order = self._ordered()
        at = bisect_left(order, wanted << 32)
        found: list[int] = []
        while at < len(order) and order[at] >> 32 == wanted:
            found.append(order[at] & (_MOST - 1))
            at += 1
        return found

    def _ordered(self) -> "array[int]":
        if self._order is None:
            hashes = chain.from_iterable(each.hashes for each in self._stretches)
            numbered = sorted(each << 32 | at for at, each in enumerate(hashes))
            self._order = array("Q", numbered)
        return self._order

    def _row(self, number: int) -> _Row:
        which = bisect_right(self._firsts, number) - 1
        return self._stretches[which].row(number - self._firsts[which])

    # In order

    def over(
        self,
        blocks: Iterable[list[Entry]],
        below: Callable[[bytes], bytes | None],
    ) -> Iterator[list[Entry]]:
        """Iterate over the entries after the commits, of those of the main file in order.

        Raises:
            DamagedError: The journal is damaged, or its index.
        """
        if self._under is not None:
            blocks = self._under.over(blocks, below)
        if not self._stretches:
            yield from blocks
            return
        yield from _Walk(self, self._ordered(), self._over(below)).over(blocks)

    def difference(self, below: Callable[[bytes], bytes | None]) -> int:
        """Count how many keys more there are than in the main file.

        Raises:
            DamagedError: The journal is damaged, or its index.
        """
        more = 0 if self._under is None else self._under.difference(below)
        if not self._stretches:
            return more
        below = self._over(below)
        walk = _Walk(self, self._ordered(), below)
        return more + sum(
            walk.is_there(walk.rows(numbers)) - (below(key) is not None)
            for group in walk.groups()
            for key, numbers in walk.by_key(group).items()
        )

    def tables(self) -> list[bytes]:
        """Return the rows of all stretches, checked."""
        return [each.all_rows() for each in self._stretches]

    def source(self) -> vfs.AnyFile:
        """Return the journal."""
        if self._file is None:  # pragma: no cover - there is no row without one
            raise DamagedError
        return self._file

    def value(
        self,
        key: bytes,
        rows: Iterable[_Row],
        below: Callable[[bytes], bytes | None],
    ) -> bytes | None:
        """Return the value that the ops of a key, newest first, leave."""
        return self._value(key, rows, below)

    def descriptors(self) -> set[int]:
        """The descriptors that it has."""
        under = set[int]() if self._under is None else self._under.descriptors()
        return under | {file.fileno() for file in self._files()}

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files():
            file.close()
        if self._under is not None:
            self._under.close()

    def _files(self) -> set[vfs.AnyFile]:
        files = {self._file, *(each.file for each in self._stretches)}
        return {file for file in files if file is not None}


def _in_memory(journal: vfs.AnyFile) -> Source:
    """Read a journal at once if it is not long: its ops are wanted in another order."""
    if isinstance(journal, vfs.Whole) or journal.found.size > _AT_ONCE_BYTES:
        return journal
    try:
        return vfs.Whole(journal.read(0, journal.found.size), journal.found)
    except OSError:
        return journal  # what is wrong is said where it is met


class _Walk:
    """All rows of a log, in memory.

    Args:
        log: The log.
        order: The hashes of its rows with their numbers, sorted.
        below: Gives the value of a key in the main file.
    """

    def __init__(
        self,
        log: Log,
        order: "array[int]",
        below: Callable[[bytes], bytes | None],
    ) -> None:
        self._log = log
        self._order = order
        self._below = below
        self._rows = b"".join(log.tables())
        self._source = _in_memory(log.source())
        #: Of which hashes there may be rows, by their last bits.
        self._may_be = bytearray(_LAST_BITS + 1)
        for each in order:
            self._may_be[each >> 32 & _LAST_BITS] = 1
        #: Which rows are of keys that are in their places in the main file.
        self._seen = bytearray(len(order))

    def _row(self, number: int) -> _Row:
        row: _Row = _ROW.unpack_from(self._rows, number * _ROW.size)
        return row

    def rows(self, numbers: Iterable[int]) -> _Rows:
        """Return some rows."""
        return [self._row(number) for number in numbers]

    def over(self, blocks: Iterable[list[Entry]]) -> Iterator[list[Entry]]:
        """Iterate over the entries, those of the main file in their places first."""
        order, size, name = self._order, len(self._order), itemgetter(0)
        may_be = self._may_be
        for block in blocks:
            found: list[Entry] = []
            hashes = map(zlib.crc32, map(name, block))
            for entry, wanted in zip(block, hashes, strict=True):
                if not may_be[wanted & _LAST_BITS]:
                    found.append(entry)
                    continue
                at = bisect_left(order, wanted << 32)
                if at == size or order[at] >> 32 != wanted:
                    found.append(entry)
                elif at + 1 < size and order[at + 1] >> 32 == wanted:
                    found += self._in_place(entry, at)
                else:
                    found += self._by_one_op(entry, order[at] & (_MOST - 1))
            yield found
        yield from self._last()

    def _by_one_op(self, entry: Entry, number: int) -> Sequence[Entry]:
        """The op as `_in_place` finds it, if there is but one of its hash."""
        row = self._row(number)
        kind, key, after = _op_in(self._source, row)
        if key != entry[0]:
            return (entry,)
        if row[-1] & _MOVED:
            return ()
        self._seen[number] = 1
        if kind == DELTA:
            after = self._log.value(key, (row,), lambda _: entry[1]) or b""
        return ((key, after),)

    def _in_place(self, entry: Entry, at: int) -> Iterator[Entry]:
        """The op in place of an entry of the main file, if there is one."""
        key, value = entry
        wanted = self._order[at] >> 32
        numbers: list[int] = []
        newest = DELETE, b"", b""
        while at < len(self._order) and self._order[at] >> 32 == wanted:
            number = self._order[at] & (_MOST - 1)
            op = _op_in(self._source, self._row(number))
            if op[1] == key:
                newest = op
                numbers.append(number)
            at += 1
        if not numbers:
            yield entry
            return
        rows = self.rows(numbers)
        if any(row[-1] & _MOVED for row in rows):
            return  # deleted, and perhaps set again: then it comes last
        for number in numbers:
            self._seen[number] = 1
        kind, _, after = newest
        if kind == DELTA:
            after = self._log.value(key, reversed(rows), lambda _: value) or b""
        yield key, after

    def groups(self) -> Iterator[list[int]]:
        """Iterate over the numbers of rows of one hash that are not seen, oldest first."""
        before = -1
        group: list[int] = []
        for each in self._order:
            number = each & (_MOST - 1)
            if self._seen[number]:
                continue
            if each >> 32 != before and group:
                yield group
                group = []
            before = each >> 32
            group.append(number)
        if group:
            yield group

    def by_key(self, group: Iterable[int]) -> dict[bytes, list[int]]:
        """Part the numbers of the rows of one hash by their keys."""
        found: dict[bytes, list[int]] = {}
        for number in group:
            _, key, _ = _op_in(self._source, self._row(number))
            found.setdefault(key, []).append(number)
        return found

    @staticmethod
    def is_there(rows: _Rows) -> bool:
        """Whether a key is there after its ops."""
        return rows[-1][-1] & ~_MOVED != DELETE

    def _last(self) -> Iterator[list[Entry]]:
        """Iterate over the entries that are not in the main file, or have moved."""
        places = array("Q")
        for group in self.groups():
            # Who is alone need not be read to be known.
            found = [group] if len(group) == 1 else self.by_key(group).values()
            for numbers in found:
                rows = self.rows(numbers)
                if self.is_there(rows):
                    places.append(self._place(rows) << 32 | numbers[-1])
        ordered = sorted(places)
        for at in range(0, len(ordered), _MANY):
            yield [self._entry(each & (_MOST - 1)) for each in ordered[at : at + _MANY]]

    def _entry(self, number: int) -> Entry:
        """The entry of a key by its newest op."""
        kind, key, value = _op_in(self._source, self._row(number))
        if kind == DELTA:
            after = self._log.get(key, self._below)
            if after is None:
                raise DamagedError
            value = after
        return key, value

    @staticmethod
    def _place(rows: _Rows) -> int:
        place: int | None = None
        for _, first, _, _, kind in rows:
            if kind & ~_MOVED == DELETE:
                place = None
            elif place is None or kind & _MOVED:
                place = first
        return place or 0


# Opening and writing


def open_log(paths: Paths, digest: str, root_format: Format) -> Log | None:
    """Open the journal of a main file; None if it must be read whole to be judged.

    Args:
        paths: The files.
        digest: The sha256 of the main file, in hex.
        root_format: How a root parts into entries.

    Raises:
        OSError: It cannot be read now.
    """
    # First the mirror: it is written second, and must not be longer.
    mirror_bytes = _size_of(paths.mirror)
    try:
        file = vfs.OpenFile(paths.journal)
    except (FileNotFoundError, NotADirectoryError):
        return None if mirror_bytes else Log(None, ())
    except OSError:
        return None  # what is wrong is said where it is read whole
    try:
        stretches = _all_stretches(paths.log_index, digest, file, root_format)
    except DamagedError:
        stretches = None
    if stretches is None or mirror_bytes > file.found.size:
        file.close()
        return None
    return Log(file, stretches)


def _size_of(mirror: str) -> int:
    try:
        found = vfs.look(mirror)
    except PermissionError:
        return 0  # one that this process may not see is as good as none
    return 0 if found is None else found.size


def _all_stretches(
    path: str, digest: str, journal: vfs.OpenFile, root_format: Format
) -> list[Stretch] | None:
    """All stretches of a journal, noted or scanned; None if it is not whole."""
    head = head_frame(digest)
    if journal.read(0, len(head)) != head:
        return None
    noted = _read(path, digest, journal, len(head))
    found = [] if noted is None else noted.stretches
    return _with_rest(found, journal, digest, journal.found.size, root_format)


def _with_rest(
    found: list[Stretch],
    journal: vfs.AnyFile,
    digest: str,
    end: int,
    root_format: Format,
) -> list[Stretch] | None:
    """Add the stretches after those that are known; None if there is no whole frame."""
    at, seq = _end_of(found, len(head_frame(digest)))
    frames = bare_frames(journal, digest, at, end, seq)
    while (made := _stretch(frames, root_format, at, STRETCH_BYTES)) is not None:
        found.append(made)
        at = made.about.end
    return found if at == end else None


def log_of(
    frames: Sequence[Frame], root_format: Format, under: Log | None = None
) -> Log | None:
    """Return the first commits of a journal, to be asked; None if they cannot be.

    Args:
        frames: The commits.
        root_format: How a root parts into entries.
        under: What was committed before them, in another journal.

    Raises:
        DamagedError: The journal is damaged.
    """
    if not frames:
        return under or Log(None, ())
    if not isinstance(frames, Frames) or not isinstance(frames.source, vfs.AnyFile):
        return None  # they are in memory
    journal, digest, end = frames.source, frames.base, frames.end
    stretches = _with_rest([], journal, digest, end, root_format)
    return None if stretches is None else Log(journal, stretches, under)


def _end_of(stretches: Sequence[Stretch], head_bytes: int) -> tuple[int, int]:
    """The end of the stretches in the journal, and the number of the last frame."""
    if not stretches:
        return head_bytes, 0
    about = stretches[-1].about
    return about.end, about.seq


def note_log(
    paths: Paths, digest: str, root_format: Format, end: int, reached: Reached
) -> Reached:
    """Bring the index of a journal up to a frame; the lock is held.

    Args:
        paths: The files.
        digest: The sha256 of the main file, in hex.
        root_format: How a root parts into entries.
        end: Where the frame ends; it and all before it are durable.
        reached: What is known of the index.

    Returns:
        How far it reaches now.

    Raises:
        OSError: The index may be anything.
    """
    with closing(vfs.OpenFile(paths.journal)) as journal:
        if not reached.index_bytes:
            reached = _reached(paths.log_index, digest, journal)
        _, at, seq = reached
        parts = [] if reached.index_bytes else [_head_of(digest, journal)]
        frames = bare_frames(journal, digest, at, end, seq)
        with suppress(DamagedError):  # what is wrong is said where it is read
            while end - at >= STRETCH_BYTES:
                made = _stretch(frames, root_format, at, STRETCH_BYTES)
                if made is None:
                    break
                parts.append(made.packed())
                at, seq = made.about.end, made.about.seq
    payload = b"".join(parts)
    if not reached.index_bytes:
        vfs.write_spare(paths.log_index, payload)
    elif payload:
        done = False  # if another one wrote to it, it is read the next time
        with suppress(FileNotFoundError):
            done = vfs.append_spare(paths.log_index, payload, reached.index_bytes)
        if not done:
            return Reached()
    if end - at >= STRETCH_BYTES:
        at = end  # what cannot be noted is not tried again
    return Reached(reached.index_bytes + len(payload), at, seq)


def _reached(path: str, digest: str, journal: vfs.OpenFile) -> Reached:
    """The reach of a journal's index; a new one is to be written if there is none."""
    start = len(head_frame(digest))
    noted = _read(path, digest, journal, start)
    if noted is None or not noted.is_whole:
        return Reached(0, start)
    return Reached(noted.end, *_end_of(noted.stretches, start))
