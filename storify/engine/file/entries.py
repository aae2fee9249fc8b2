"""Where each entry of the main file lies, and its checksum: for salvage alone.

::

    .entries := magic[8] sha256-of-the-main-file[32] count[8]
                size[4] * count  crc[4] * count  crc-of-all-before[4]
    magic    := "entries1" | "items..1", of a root without keys

One checksum over a file tells that it is damaged, not where. These tell which
entries are whole when there is no backup to take the others from. Written after
each commit that writes the main file, never synced; without it, or when it names
another file, salvage goes by the bytes alone.
"""

import sys
import zlib
from array import array
from collections.abc import Mapping
from operator import add
from typing import Final, NamedTuple

from storify.engine.file import vfs
from storify.engine.file.held import Held

__all__ = ["Entries", "read_entries", "write_entries"]

_MAGIC: Final = b"entries1"
_ITEMS_MAGIC: Final = b"items..1"
_HEAD_BYTES: Final = len(_MAGIC) + 32 + 8
_NUMBER_BYTES: Final = 4
_MOST: Final = 1 << 32


class Entries(NamedTuple):
    """What is known of the entries of a main file.

    Attributes:
        digest: The sha256 of the file.
        is_list: Whether they are the items of a root without keys.
        sizes: How many bytes each has, key and value.
        crcs: Their checksums.
    """

    digest: str
    is_list: bool
    sizes: list[int]
    crcs: list[int]


def _numbers(payload: bytes = b"") -> "array[int]":
    numbers = array("I")
    numbers.frombytes(payload)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _packed(numbers: "array[int]") -> bytes:
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers.tobytes()


def write_entries(
    held: Held, entries: Mapping[bytes, bytes], found: vfs.Found, digest: str
) -> None:
    """Note where the entries of a main file lie, if possible.

    Args:
        held: The files.
        entries: What it holds, in order.
        found: How it looks.
        digest: Its sha256, in hex.
    """
    if found.size >= _MOST:
        return
    if b"" in entries:
        magic, parts = _ITEMS_MAGIC, held.root_format.items(entries[b""])
        sizes = array("I", map(len, parts))
        crcs = array("I", map(zlib.crc32, parts))
    else:
        magic, values = _MAGIC, entries.values()
        sizes = array("I", map(add, map(len, entries), map(len, values)))
        starts = map(zlib.crc32, entries)
        crcs = array("I", map(zlib.crc32, values, starts))
    body = b"".join(
        (
            magic,
            bytes.fromhex(digest),
            len(sizes).to_bytes(8, "big"),
            _packed(sizes),
            _packed(crcs),
        )
    )
    with held.or_warn("note the entries of"):
        payload = body + zlib.crc32(body).to_bytes(_NUMBER_BYTES, "big")
        vfs.write_spare(held.place.entries, payload)


def read_entries(held: Held) -> Entries | None:
    """What is noted of the entries of the main file; None if it is not whole."""
    try:
        payload, _ = vfs.read_bytes(held.place.entries)
    except OSError:
        return None  # a help that is missing is no help
    body, crc = payload[:-_NUMBER_BYTES], payload[-_NUMBER_BYTES:]
    if (
        not body.startswith((_MAGIC, _ITEMS_MAGIC))
        or zlib.crc32(body).to_bytes(4, "big") != crc
    ):
        return None
    digest = body[len(_MAGIC) : len(_MAGIC) + 32].hex()
    count = int.from_bytes(body[_HEAD_BYTES - 8 : _HEAD_BYTES], "big")
    middle = _HEAD_BYTES + _NUMBER_BYTES * count
    sizes, crcs = _numbers(body[_HEAD_BYTES:middle]), _numbers(body[middle:])
    if len(sizes) != count or len(crcs) != count:
        return None
    return Entries(digest, body.startswith(_ITEMS_MAGIC), list(sizes), list(crcs))
