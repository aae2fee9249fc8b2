"""The index of a main file: where each entry lies, found by its key, and its checksum.

::

    .index  := head page ... blocks
    head    := magic[8] digest[32] size[8] mtime_ns[8] ctime_ns[8] dev[8] ino[8]
               kind[8] blocks[8] count[8] first-hash-of-each-page[4 each] crc[4]
    page    := crc[4] row ...      as many as fit 4 KiB
    row     := hash-of-key[4] offset[8] size[4] crc[4]
    blocks  := block ... crc[4]
    block   := size[8] count[4] crc[4]

Numbers are big-endian, so that packed rows sort as their hashes do. ``digest`` names
the content of the main file, the five numbers after it how the file looked when it was
found to have that content, ``kind`` of what type all its keys are: `Format.keyed`. The
``crc`` of a row is that of key and value; the items of a root without keys have no keys,
and stand under their numbers.

The entries stand in the file without a gap, and the blocks part them as they stand:
each is 64 KiB of whole entries and has a checksum, so a file is read in order, a block
at a time.

It is written when the main file is, or was read whole, and is a pure cache: never
synced, replaced as a whole, read in pages of which each has a checksum. Without it, or
if it is damaged, old, or of another file, answers come slower and are the same.

A file that was written to in the same tick of the clock as the index would look as
before. So an index counts only if it is clearly younger than the file.
"""

import struct
import zlib
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, islice, repeat
from operator import add
from typing import Final, NamedTuple

from storify.engine.file import vfs

__all__ = [
    "BLOCK_BYTES",
    "LIST_KIND",
    "RACY_NS",
    "Block",
    "DamagedError",
    "Index",
    "IndexBuilder",
    "Row",
    "build_index",
    "in_parts",
    "read_rows",
]

LIST_KIND: Final = "list"
"""The kind of a root without keys."""

RACY_NS = 20_000_000
"""How much younger than the main file an index must be; a tick is 10 ms at most."""

BLOCK_BYTES = 1 << 16
"""How long a block is, at least."""

_MAGIC: Final = b"index..2"
_HEAD: Final = struct.Struct(">8s32sQQQQQ8sQQ")
_BLOCK: Final = struct.Struct(">QII")
_ROW: Final = struct.Struct(">IQII")
_CRC: Final = struct.Struct(">I")
_HASH_BYTES: Final = 4
_PAGE_BYTES: Final = 4096
_PAGE_ROWS: Final = (_PAGE_BYTES - _CRC.size) // _ROW.size
_MOST: Final = 1 << 32
_MANY: Final = 16


class DamagedError(Exception):
    """An entry, or an index, has a wrong checksum."""


class Row(NamedTuple):
    """The place of one entry.

    Attributes:
        hash: Of its key; of an item of a list its number.
        offset: Where it begins in the main file, in bytes.
        size: How long it is, key and value.
        crc: Its checksum.
    """

    hash: int
    offset: int
    size: int
    crc: int


class Block(NamedTuple):
    """A stretch of whole entries.

    Attributes:
        offset: Where it begins in the main file, in bytes.
        size: How long it is.
        entries: How many it has.
        crc: Its checksum.
    """

    offset: int
    size: int
    entries: int
    crc: int


class _Head(NamedTuple):
    """The begin of an index.

    Attributes:
        digest: The sha256 of the main file, in hex.
        stamp: How the main file looked.
        kind: The type of its keys.
        blocks: How many it has.
        entries: How many it has.
        firsts: The first hash on each page.
        end: Where the first page begins.
    """

    digest: str
    stamp: tuple[int, ...]
    kind: str
    blocks: int
    entries: int
    firsts: "array[int]"
    end: int

    @property
    def pages(self) -> int:
        """The number of pages."""
        return len(self.firsts)


def _stamp(found: vfs.Found) -> tuple[int, ...]:
    return (found.size, found.mtime_ns, found.ctime_ns, *found.inode)


class IndexBuilder:
    """The index of a main file, made of its entries as they are written.

    Args:
        is_list: Whether it is a root without keys.
    """

    def __init__(self, *, is_list: bool) -> None:
        self._is_list = is_list
        self._hashes = array("I")
        self._sizes = array("I")
        self._crcs = array("I")
        self._blocks: list[bytes] = []

    def take(self, part: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
        """Return what stands in the file for the entries that come next.

        All of it is to be taken before the next ones come. A large value is not copied.

        Args:
            part: Keys and values, the keys of items empty.
        """
        if not part:
            return
        keys, values = zip(*part, strict=True)
        hashes = list(map(zlib.crc32, keys))
        sizes = list(map(add, map(len, keys), map(len, values)))
        crcs = list(map(zlib.crc32, values, hashes))
        count = len(self._sizes)
        self._hashes.extend(
            range(count, count + len(part)) if self._is_list else hashes
        )
        self._sizes.extend(sizes)
        self._crcs.extend(crcs)
        ends = list(accumulate(sizes))
        first = start = 0
        while first < len(sizes):
            last = min(bisect_left(ends, start + BLOCK_BYTES) + 1, len(sizes))
            pieces: tuple[bytes, ...] = part[first]
            crc = crcs[first]  # of one entry it is the same
            if last - first > 1:
                block = b"".join(chain.from_iterable(part[first:last]))
                crc, pieces = zlib.crc32(block), (block,)
            end = ends[last - 1]
            self._blocks.append(_BLOCK.pack(end - start, last - first, crc))
            yield from pieces
            first, start = last, end

    def build(self, found: vfs.Found, digest: str, kind: str) -> bytes | None:
        """Return the index; None if the file is too large for one.

        Args:
            found: How the main file looks; it ends with the last entry.
            digest: Its sha256, in hex.
            kind: Of what type all keys are: `Format.keyed`.
        """
        if found.size >= _MOST:
            return None
        start = found.size - sum(self._sizes)
        offsets = accumulate(self._sizes, initial=start)
        packed = map(_ROW.pack, self._hashes, offsets, self._sizes, self._crcs)
        rows = memoryview(_in_order(packed))
        starts = range(0, len(rows), _PAGE_ROWS * _ROW.size)
        firsts = [_CRC.unpack_from(rows, at)[0] for at in starts]
        stamp = (value % (1 << 64) for value in _stamp(found))
        head = _HEAD.pack(
            *(_MAGIC, bytes.fromhex(digest), *stamp, kind.encode().ljust(8)),
            *(len(self._blocks), len(self._sizes)),
        ) + _packed(firsts)
        written: list[bytes | memoryview] = [head, _CRC.pack(zlib.crc32(head))]
        for at in starts:
            page = rows[at : at + starts.step]
            written += (_CRC.pack(zlib.crc32(page)), page)
        table = b"".join(self._blocks)
        return b"".join((*written, table, _CRC.pack(zlib.crc32(table))))


def _in_order(rows: Iterable[bytes]) -> bytes:
    """Sort packed rows, of which few are Python objects at a time."""
    parts = [bytearray() for _ in range(256)]
    for row in rows:
        parts[row[0]] += row
    for part in filter(None, parts):
        some = [part[at : at + _ROW.size] for at in range(0, len(part), _ROW.size)]
        part[:] = b"".join(sorted(some))
    return b"".join(parts)


def build_index(
    entries: Mapping[bytes, bytes],
    items: Iterable[bytes] | None,
    found: vfs.Found,
    digest: str,
    kind: str,
) -> bytes | None:
    """Return the index of a main file; None if the file is too large for one.

    Args:
        entries: What the file holds, in order.
        items: The items, if it is a root without keys.
        found: How it looks.
        digest: Its sha256, in hex.
        kind: Of what type all keys are: `Format.keyed`.
    """
    builder = IndexBuilder(is_list=items is not None)
    each = entries.items() if items is None else zip(repeat(b""), items)
    for part in in_parts(each):
        deque(builder.take(part), 0)
    return builder.build(found, digest, kind)


def in_parts(
    entries: Iterable[tuple[bytes, bytes]],
) -> Iterator[list[tuple[bytes, bytes]]]:
    """Part entries into stretches of about a mebibyte."""
    left = iter(entries)
    part: list[tuple[bytes, bytes]] = []
    size = 0
    while some := list(islice(left, _MANY)):
        part += some
        size += sum(map(len, chain.from_iterable(some)))
        if size >= vfs.PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _packed(numbers: Iterable[int]) -> bytes:
    packed = array("I", numbers)
    packed.byteswap()
    return packed.tobytes()


def _read_head(payload: bytes) -> _Head | None:
    """Read the head of an index, which is whole in *payload*; None if it is damaged."""
    if len(payload) < _HEAD.size:
        return None
    magic, digest, *numbers, kind, blocks, count = _HEAD.unpack_from(payload)
    pages = -(-count // _PAGE_ROWS)
    end = _HEAD.size + _HASH_BYTES * pages
    if magic != _MAGIC or len(payload) < end + _CRC.size:
        return None
    if _CRC.unpack_from(payload, end)[0] != zlib.crc32(payload[:end]):
        return None
    firsts = array("I", payload[_HEAD.size : end])
    firsts.byteswap()
    name = kind.decode("ascii", "replace").rstrip()
    end += _CRC.size
    return _Head(digest.hex(), tuple(numbers), name, blocks, count, firsts, end)


class Index:
    """An index that is asked for keys, a page at a time.

    Attributes:
        kind: Of what type all keys are.

    Args:
        file: The index.
        head: Its head.
    """

    def __init__(self, file: vfs.AnyFile, head: _Head) -> None:
        self.kind: str = head.kind
        self._file = file
        self._head = head

    @classmethod
    def open(
        cls, path: str, digest: str, main: vfs.Found, *, is_ours: bool = False
    ) -> "Index | None":
        """Open the index of a main file; None if there is none that counts.

        Args:
            path: The index.
            digest: What the main file must hold.
            main: How it looks.
            is_ours: Whether we know that it looks as when we wrote or read it.
        """
        try:
            file = vfs.OpenFile(path)
        except OSError:
            return None  # a help that is missing is no help
        head = _head_of(file)
        young = file.found.mtime_ns - max(main.ctime_ns, main.mtime_ns)
        if (
            head is None
            or head.digest != digest
            or head.stamp != tuple(value % (1 << 64) for value in _stamp(main))
            or (young < RACY_NS and not is_ours)
        ):
            file.close()
            return None
        return cls(file, head)

    @classmethod
    def of(cls, payload: bytes, main: vfs.Found) -> "Index | None":
        """Return an index that was just made; None if it could not be."""
        head = _read_head(payload)
        return None if head is None else cls(vfs.Whole(payload, main), head)

    def __len__(self) -> int:
        return self._head.entries

    def twins(self) -> Iterator[list[Row]]:
        """Iterate over the rows whose keys have one hash, if that is more than one."""
        rows: list[Row] = []
        for at in range(self._head.pages):
            for row in _ROW.iter_unpack(self._page(at) or b""):
                if rows and rows[0].hash != row[0]:
                    if len(rows) > 1:
                        yield rows
                    rows = []
                rows.append(Row(*row))
        if len(rows) > 1:
            yield rows

    def find(self, key: bytes) -> list[Row] | None:
        """Return the rows that may be those of a key; None if the index is damaged."""
        head = self._head
        wanted = zlib.crc32(key)
        packed = _CRC.pack(wanted)
        rows: list[Row] = []
        at = max(bisect_left(head.firsts, wanted) - 1, 0)
        while at < head.pages and head.firsts[at] <= wanted:
            page = self._page(at)
            if page is None:
                return None
            # Not by making all rows of the page: few are of this hash.
            place = page.find(packed)
            while place >= 0:
                if not place % _ROW.size:
                    rows.append(Row(*_ROW.unpack_from(page, place)))
                place = page.find(packed, place + 1)
            at += 1
        return rows

    def _page(self, at: int) -> bytes | None:
        head = self._head
        first = at * _PAGE_ROWS
        count = min(_PAGE_ROWS, head.entries - first)
        page_bytes = _CRC.size + count * _ROW.size
        # All pages before this one are full.
        start = head.end + at * (_CRC.size + _PAGE_ROWS * _ROW.size)
        return _checked(self._file.read(start, page_bytes), page_bytes)

    def blocks(self) -> list[Block] | None:
        """Return the stretches of whole entries, in order; None if that is damaged."""
        head = self._head
        size = head.blocks * _BLOCK.size + _CRC.size
        pages_bytes = head.pages * _CRC.size + head.entries * _ROW.size
        table = self._file.read(head.end + pages_bytes, size)
        if len(table) != size or _CRC.unpack(table[-4:])[0] != zlib.crc32(table[:-4]):
            return None
        blocks: list[Block] = []
        # Entries end where the file ends.
        rows = list(_BLOCK.iter_unpack(table[:-4]))
        at = head.stamp[0] - sum(row[0] for row in rows)
        for row in rows:
            blocks.append(Block(at, *row))
            at += row[0]
        return blocks

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._file.fileno()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _head_of(file: vfs.OpenFile) -> _Head | None:
    begin = file.read(0, _HEAD.size)
    if len(begin) < _HEAD.size:
        return None
    count = int.from_bytes(begin[-8:], "big")
    pages = -(-count // _PAGE_ROWS)
    more = _HASH_BYTES * pages + _CRC.size
    if more > file.found.size:
        return None
    return _read_head(begin + file.read(_HEAD.size, more))


def _checked(page: bytes, size: int) -> bytes | None:
    """Return the packed rows of a page; None if it is damaged."""
    if len(page) != size or size < _CRC.size:
        return None
    rows = page[_CRC.size :]
    return rows if _CRC.unpack_from(page)[0] == zlib.crc32(rows) else None


def _rows_of(page: bytes, size: int) -> list[Row] | None:
    """Return the rows of a page; None if it is damaged."""
    rows = _checked(page, size)
    return None if rows is None else [Row(*row) for row in _ROW.iter_unpack(rows)]


class Rows(NamedTuple):
    """All rows of an index, for salvage.

    Attributes:
        digest: The sha256 of the main file, in hex.
        is_list: Whether it is a root without keys.
        rows: Where its entries lie, in the order of the file.
    """

    digest: str
    is_list: bool
    rows: list[Row]


def read_rows(path: str) -> Rows | None:
    """Read a whole index, of whatever file; None if it is missing or damaged."""
    try:
        payload, _ = vfs.read_bytes(path)
    except OSError:
        return None
    head = _read_head(payload)
    if head is None:
        return None
    rows: list[Row] = []
    at = head.end
    while len(rows) < head.entries:
        count = min(_PAGE_ROWS, head.entries - len(rows))
        size = _CRC.size + count * _ROW.size
        page = _rows_of(payload[at : at + size], size)
        if page is None:
            return None
        rows += page
        at += size
    rows.sort(key=lambda row: row.offset)
    return Rows(head.digest, head.kind == LIST_KIND, rows)
