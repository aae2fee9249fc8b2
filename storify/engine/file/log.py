"""The journal: what was committed since the main file was last written whole.

::

    users.mpack.journal   := frame frame ...     frame 0 names the base
    frame := 93 ce CRC32 cf SEQ c6 LENGTH BODY   a MessagePack array
             [crc, seq, bin(body)]; the crc is that of all bytes after it
    body of frame 0  := "storify1" sha256-of-base
    body of frame n  := base[8] time[8] flags[1] clock[8]? op op ...
    op  := kind[1] key-size[4] value-size[4] key value

All numbers are big-endian. ``base`` is the first 8 bytes of the hash of the main
file that the frames apply to, and to no other (I3); ``time`` is the time of the
commit in microseconds since 1970, and ``clock``, with flag 4, what the clock said if
that is another one (`moment`). Ops: 0 sets a key, 1 deletes it, 2 edits its value
(`delta`).

A frame is appended whole and synced before it is acknowledged. So a frame that
is not whole is the last one, torn by a crash, or it has rotted. The flags tell
which: 1 says that this frame is durable before the next is written (commits of
``sync="interval"`` are not), 2 that all frames before this one were durable when
it was written. A hole before a frame with flag 2 is rot, else a power cut.
"""

import errno
import re
import struct
import zlib
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol, overload

from storify.engine.file.delta import Delta
from storify.engine.moment import Moment, stamp_of
from storify.engine.protocol import Change

__all__ = [
    "CRC",
    "DELETE",
    "DELTA",
    "OP",
    "SET",
    "Bare",
    "Entries",
    "Frame",
    "Frames",
    "FramesDamagedError",
    "Head",
    "Op",
    "Scan",
    "Source",
    "bare_frames",
    "commit_frame",
    "head_frame",
    "keys_in",
    "last_frame",
    "moment_at",
    "name_at",
    "scan",
]

_HEAD: Final = struct.Struct(">BBIBQBI")
_CRC: Final = struct.Struct(">I")
CRC: Final = slice(2, 6)
"""Where the crc stands in a frame; with the number of that it names the commit."""
_CHECKED_FROM: Final = 6
"""The crc is that of all that follows it: sequence number, length and body."""
_PREFIX: Final = struct.Struct(">8sQB")
_CLOCK: Final = struct.Struct(">q")
OP: Final = struct.Struct(">BII")
_MAGIC: Final = b"storify1"
_MARKS: Final = (0x93, 0xCE, 0xCF, 0xC6)
_LOOKS_LIKE_A_FRAME: Final = rb"\x93\xce.{4}\xcf.{8}\xc6"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: So much of a journal is read at once.
_WINDOW_BYTES: Final = 1 << 20
#: And where only heads are looked at.
_HEADS_BYTES: Final = 1 << 13
_DIGEST_BYTES: Final = 32

SET, DELETE, DELTA = 0, 1, 2
DURABLE, AFTER_SYNC, CLOCK = 1, 2, 4
BASE_BYTES: Final = 8

Op = tuple[bytes, bytes | Delta | None]
"""Key and new value, the difference to the old one, or None to delete."""


class Entries(Protocol):
    """Entries that are asked for single keys; a dict is one."""

    def get(self, key: bytes, /) -> bytes | None:
        """The value of a key; None if there is none."""
        ...


class Head(NamedTuple):
    """Frame 0: which main file the journal belongs to.

    Attributes:
        base: The sha256 of that file, in hex.
        end: Where the frame ends, in bytes from the start of the journal.
    """

    base: str
    end: int


class Frame(NamedTuple):
    """One commit.

    Attributes:
        seq: 1 for the first commit of the journal.
        crc: Of the frame; with the number it names the commit.
        moment: When it was committed.
        durable: Whether it was synced before anything came after it.
        after_sync: Whether all before it was durable when it was written.
        ops: What it changes, in order.
        raw: The bytes of the frame.
    """

    seq: int
    crc: int
    moment: Moment
    durable: bool
    after_sync: bool
    ops: tuple[Op, ...]
    raw: bytes

    @property
    def stamp(self) -> str:
        """The moment as it stands in names."""
        return stamp_of(*self.moment)

    def changes(self, stored: "Entries") -> list[Change]:
        """Return the changes with whole values.

        Args:
            stored: The entries before the frame; only keys with a delta are looked up.

        Raises:
            ValueError: A delta does not fit the value that it was made from.
        """
        changes: list[Change] = []
        for key, value in self.ops:
            if isinstance(value, Delta):
                old = stored.get(key)
                if old is None:
                    msg = "a delta of a key that is not there"
                    raise ValueError(msg)
                changes.append((key, value.apply(old)))
            else:
                changes.append((key, value))
        return changes


class Scan(NamedTuple):
    """The content of a journal.

    Attributes:
        head: None if the journal cannot be told to belong to any file.
        frames: All whole frames, in order of their numbers, which may have holes.
        end: Where the unbroken run of frames from the start ends, in bytes.
        size: The size of the journal, in bytes.
    """

    head: Head | None
    frames: tuple[Frame, ...]
    end: int
    size: int

    @property
    def whole(self) -> bool:
        """Whether every byte belongs to the unbroken run."""
        return self.head is not None and self.end == self.size


def _microseconds(time: datetime) -> int:
    """Microseconds since 1970."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def _time(microseconds: int) -> datetime:
    """The inverse; the end of time for what is past it."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _frame(seq: int, body: Sequence[bytes]) -> bytes:
    """Write a frame; the parts of its body, which may be long, are copied once."""
    a, b, c, d = _MARKS
    size = sum(map(len, body))
    if size >= 1 << 32:
        msg = "a change of 4 GiB does not fit a frame"
        raise OverflowError(msg)
    crc = zlib.crc32(_HEAD.pack(a, b, 0, c, seq, d, size)[_CHECKED_FROM:])
    for part in body:
        crc = zlib.crc32(part, crc)
    return b"".join((_HEAD.pack(a, b, crc, c, seq, d, size), *body))


def head_frame(base: str) -> bytes:
    """Begin a journal for the main file with the sha256 *base*, in hex."""
    return _frame(0, (_MAGIC, bytes.fromhex(base)))


def commit_frame(
    base: str,
    seq: int,
    moment: Moment,
    ops: Iterable[Op],
    *,
    durable: bool,
    after_sync: bool,
) -> bytes:
    """Write one commit down; the arguments are those of `Frame`.

    Raises:
        OverflowError: A value is 4 GiB or larger.
    """
    order = _microseconds(moment.order)
    went_back = moment.clock != moment.order
    flags = DURABLE * durable | AFTER_SYNC * after_sync | CLOCK * went_back
    parts = [_PREFIX.pack(bytes.fromhex(base[: 2 * BASE_BYTES]), order, flags)]
    if went_back:
        parts.append(_CLOCK.pack(_microseconds(moment.clock)))
    for key, value in ops:
        if value is None:
            kind, data = DELETE, b""
        elif isinstance(value, Delta):
            kind, data = DELTA, value.encode()
        else:
            kind, data = SET, value
        if len(data) >= 1 << 32 or len(key) >= 1 << 32:
            msg = "a value of 4 GiB does not fit a frame"
            raise OverflowError(msg)
        parts += (OP.pack(kind, len(key), len(data)), key, data)
    return _frame(seq, parts)


def _read_at(payload: bytes, at: int) -> tuple[int, int, bytes] | None:
    """The number, the crc and the body of the frame that begins at *at*, if whole."""
    if len(payload) - at < _HEAD.size:
        return None
    a, b, crc, c, seq, d, size = _HEAD.unpack_from(payload, at)
    start = at + _HEAD.size
    if (a, b, c, d) != _MARKS or size > len(payload) - start:
        return None
    checked = memoryview(payload)[at + _CHECKED_FROM : start + size]
    if zlib.crc32(checked) != crc:
        return None
    return seq, crc, payload[start : start + size]


def _parse_head(payload: bytes) -> Head | None:
    found = _read_at(payload, 0)
    if found is None:
        return None
    seq, _, body = found
    if seq or not body.startswith(_MAGIC) or len(body) != len(_MAGIC) + _DIGEST_BYTES:
        return None
    return Head(body[len(_MAGIC) :].hex(), _HEAD.size + len(body))


def _parse_ops(body: bytes, at: int) -> Iterator[Op]:
    while at < len(body):
        if len(body) - at < OP.size:
            msg = "an op is cut short"
            raise ValueError(msg)
        kind, key_size, value_size = OP.unpack_from(body, at)
        at += OP.size
        middle, end = at + key_size, at + key_size + value_size
        if end > len(body) or kind > DELTA:
            msg = "an op is damaged"
            raise ValueError(msg)
        value = body[middle:end]
        if kind == DELTA:
            yield body[at:middle], Delta.decode(value)
        else:
            yield body[at:middle], None if kind == DELETE else value
        at = end


def _ops_at(flags: int) -> int:
    """The offset of the ops in a body."""
    return _PREFIX.size + _CLOCK.size * bool(flags & CLOCK)


class Bare(NamedTuple):
    """A frame whose ops are not looked at yet.

    Attributes:
        at: Where it begins, in bytes from the start of what it was found in.
        seq: Its number.
        crc: Its checksum, which is right.
        order: When it was committed, in microseconds.
        clock: What the clock said.
        flags: As in the log.
        body: What follows the head.
    """

    at: int
    seq: int
    crc: int
    order: int
    clock: int
    flags: int
    body: bytes

    @property
    def end(self) -> int:
        """The offset of its end."""
        return self.at + _HEAD.size + len(self.body)

    @property
    def body_at(self) -> int:
        """The offset of its body."""
        return self.at + _HEAD.size

    @property
    def ops_at(self) -> int:
        """The offset of its ops, in its body."""
        return _ops_at(self.flags)

    def frame(self) -> Frame:
        """Return it with its ops.

        Raises:
            ValueError: One of them is none.
        """
        a, b, c, d = _MARKS
        head = _HEAD.pack(a, b, self.crc, c, self.seq, d, len(self.body))
        return Frame(
            self.seq,
            self.crc,
            moment_at(self.order, self.clock),
            durable=bool(self.flags & DURABLE),
            after_sync=bool(self.flags & AFTER_SYNC),
            ops=tuple(_parse_ops(self.body, self.ops_at)),
            raw=head + self.body,
        )


def moment_at(order: int, clock: int) -> Moment:
    """Return the moment of a frame, of the microseconds in it."""
    return Moment(_time(order), _time(clock))


def _parse_bare(payload: bytes, at: int, base: bytes) -> Bare | None:
    found = _read_at(payload, at)
    if found is None:
        return None
    seq, crc, body = found
    if len(body) < _PREFIX.size or not seq:
        return None
    named, order, flags = _PREFIX.unpack_from(body)
    if named != base or len(body) < _ops_at(flags):
        return None  # of an older journal, in a file that was written over
    clock = _CLOCK.unpack_from(body, _PREFIX.size)[0] if flags & CLOCK else order
    return Bare(at, seq, crc, order, clock, flags, body)


def _parse_frame(payload: bytes, at: int, base: bytes) -> Frame | None:
    bare = _parse_bare(payload, at, base)
    if bare is None:
        return None
    try:
        return bare.frame()
    except ValueError:
        return None


class Source(Protocol):
    """Bytes that are read in parts; an open file is one."""

    def read(self, start: int, size: int, /) -> bytes:
        """Read *size* bytes from *start* on; fewer where they end."""
        ...


def bare_frames(
    source: Source, base: str, at: int, end: int, after: int
) -> Iterator[Bare]:
    """Iterate over an unbroken run of frames, about a mebibyte in memory at a time.

    It ends before the first one that is damaged or out of order.

    Args:
        source: A journal.
        base: The sha256 of the main file.
        at: Where the first one begins.
        end: Where to stop.
        after: The number of the frame before it.
    """
    named = bytes.fromhex(base[: 2 * BASE_BYTES])
    window, start = b"", at
    while at < end:
        bare = _parse_bare(window, at - start, named)
        if bare is None:
            # Not whole in what was read so far, or not whole at all.
            size = max(_WINDOW_BYTES, _HEAD.size + _size_at(window, at - start))
            more = source.read(at, min(size, end - at))
            if at == start and len(more) <= len(window):
                return
            window, start = more, at
            continue
        after += 1
        if bare.seq != after:
            return
        bare = bare._replace(at=at)
        at = bare.end
        yield bare


class FramesDamagedError(OSError):
    """A journal that was whole is damaged now."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the journal was damaged while it was read")


class Frames(Sequence[Frame]):
    """An unbroken run of frames, each read and checked when it is asked for.

    Args:
        source: A journal.
        base: The sha256 of the main file.
        starts: Where each begins.
        end: Where the last one ends.
        after: The number of the frame before the first.
    """

    def __init__(
        self, source: Source, base: str, starts: "array[int]", end: int, after: int = 0
    ) -> None:
        self._source = source
        self._base = base
        self._starts = starts
        self._end = end
        self._after = after

    @classmethod
    def found(cls, source: Source, base: str, size: int) -> "Frames | None":
        """Return the run that a journal begins with; None if it is of another file.

        Args:
            source: The journal.
            base: The sha256 of the main file; or how it begins.
            size: How long it is.
        """
        head = _parse_head(source.read(0, _HEAD.size + len(_MAGIC) + _DIGEST_BYTES))
        if head is None or not head.base.startswith(base):
            return None
        starts = array("Q")
        end = head.end
        for bare in bare_frames(source, head.base, head.end, size, 0):
            try:
                deque(_parse_ops(bare.body, bare.ops_at), 0)
            except ValueError:
                break
            starts.append(bare.at)
            end = bare.end
        return cls(source, head.base, starts, end)

    @property
    def end(self) -> int:
        """The offset of the end of the last one."""
        return self._end

    @property
    def base(self) -> str:
        """The sha256 of the main file, in hex."""
        return self._base

    @property
    def source(self) -> Source:
        """The journal."""
        return self._source

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Frame]:
        if not self._starts:
            return
        count = 0
        frames = bare_frames(
            self._source, self._base, self._starts[0], self._end, self._after
        )
        for bare in frames:
            try:
                yield bare.frame()
            except ValueError:
                break
            count += 1
        if count != len(self):
            raise FramesDamagedError

    @overload
    def __getitem__(self, place: int) -> Frame: ...

    @overload
    def __getitem__(self, place: slice) -> "Frames": ...

    def __getitem__(self, place: int | slice) -> "Frame | Frames":
        numbers = range(len(self))[place]
        if isinstance(numbers, int):
            numbers = range(numbers, numbers + 1)
        elif numbers.step != 1:
            msg = "frames are taken in order"
            raise ValueError(msg)
        first, stop = numbers.start, max(numbers.start, numbers.stop)
        end = self._starts[stop] if stop < len(self) else self._end
        some = Frames(
            self._source, self._base, self._starts[first:stop], end, self._after + first
        )
        if isinstance(place, slice):
            return some
        (frame,) = some
        return frame


def last_frame(source: Source, base: str, size: int) -> Frame | None:
    """Return the last frame of a journal; of those before it only the heads are read.

    None if there is none, if the heads do not lead to the end, or if it is damaged.

    Args:
        source: The journal.
        base: The sha256 of the main file; or how it begins.
        size: How long it is.
    """
    head = _parse_head(source.read(0, _HEAD.size + len(_MAGIC) + _DIGEST_BYTES))
    if head is None or not head.base.startswith(base):
        return None
    window, start = b"", 0
    at = last = head.end
    seq = 0
    while at < size:
        if at + _HEAD.size > start + len(window):
            window, start = source.read(at, _HEADS_BYTES), at
        if at + _HEAD.size > start + len(window):
            return None
        a, b, _, c, number, d, length = _HEAD.unpack_from(window, at - start)
        seq += 1
        if (a, b, c, d) != _MARKS or number != seq:
            return None
        last = at
        at += _HEAD.size + length
    for bare in bare_frames(source, head.base, last, size, seq - 1):
        try:
            return bare.frame()
        except ValueError:
            return None
    return None


def name_at(source: Source, at: int) -> tuple[int, int] | None:
    """Return the number and the checksum in the head of a frame; its body is not read."""
    head = source.read(at, _HEAD.size)
    if len(head) < _HEAD.size:
        return None
    a, b, crc, c, seq, d, _ = _HEAD.unpack(head)
    return (seq, crc) if (a, b, c, d) == _MARKS else None


def _size_at(payload: bytes, at: int) -> int:
    """The size of the body of what begins as a frame; 0 if that is not known."""
    if len(payload) - at < _HEAD.size:
        return 0
    return int(_HEAD.unpack_from(payload, at)[-1])


def scan(payload: bytes, base: str | None = None, *, after: int = 0) -> Scan:
    """Find every whole frame, also behind damaged ones.

    Args:
        payload: The journal; with *after* its end alone.
        base: The sha256 of the main file; only where the head may be damaged or
            is not in *payload*.
        after: The number of the last frame before *payload*.
    """
    head = None if after else _parse_head(payload)
    if head is not None:
        base = head.base
    if base is None:
        return Scan(None, (), 0, len(payload))
    named = bytes.fromhex(base[: 2 * BASE_BYTES])
    at = end = 0 if head is None else head.end
    unbroken = head is not None or bool(after)
    frames: dict[int, Frame] = {}
    while at < len(payload):
        frame = _parse_frame(payload, at, named)
        if frame is None:
            unbroken = False
            frame_like = re.compile(_LOOKS_LIKE_A_FRAME, re.DOTALL)
            match = frame_like.search(payload, at + 1)
            if match is None:
                break
            at = match.start()
            continue
        at += len(frame.raw)
        unbroken = unbroken and frame.seq == after + 1 + len(frames)
        if unbroken:
            end = at
        frames.setdefault(frame.seq, frame)
    return Scan(head, tuple(frames[seq] for seq in sorted(frames)), end, len(payload))


def keys_in(payload: bytes) -> list[bytes]:
    """Guess which keys a damaged frame changes, for the report of its loss.

    Args:
        payload: The bytes between two whole frames.
    """
    keys: list[bytes] = []
    flags = payload[_HEAD.size + _PREFIX.size - 1 : _HEAD.size + _PREFIX.size]
    at = _HEAD.size + _ops_at(flags[0] if flags else 0)
    while len(payload) - at >= OP.size:
        kind, key_size, value_size = OP.unpack_from(payload, at)
        at += OP.size
        if kind > DELTA or key_size + value_size > len(payload) - at:
            break
        keys.append(payload[at : at + key_size])
        at += key_size + value_size
    return keys
