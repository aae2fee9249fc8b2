"""The codec: plain trees to bytes and back, with what the user's classes add."""

import gc
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, Final

from msgpack import ExtType, Packer, Timestamp, unpackb

from storify.exceptions import UnstorableError

from . import _frames
from ._careful import SETS, CarefulEncoder
from ._errors import DecodeError
from ._ext import MARKERS, Ext
from ._frames import MAX_DEPTH
from ._paths import key_step
from ._reader import KeptKey, Reader
from ._scalars import timestamp_to_datetime
from ._types import CustomType, TypeTable
from ._writer import Writer, tag_pattern

__all__ = ["Codec"]

# Pairs that are packed before their bytes are checked all at once.
_BATCH: Final = 512
# A packer keeps its buffer; one that wrote more than this is not kept itself.
_KEPT_BYTES: Final = 1 << 20
_KEPT_WRITERS: Final = 8
# From this size on a payload makes enough objects to wake the collector.
_BULK_BYTES: Final = 1 << 15

# Where a one-key map with a string key begins, in any form of header.
_WRAPPER: Final = re.compile(
    rb"(?:\x81|\xde\x00\x01|\xdf\x00\x00\x00\x01)[\xa0-\xbf\xd9-\xdb\xc7-\xc9\xd4-\xd8]"
)
# The nanoseconds of the two longer timestamps; the short one has none.
_STAMP_64: Final = re.compile(rb"\xd7\xff(.{4})", re.DOTALL)
_STAMP_96: Final = re.compile(rb"\xc7\x0c\xff(.{4})", re.DOTALL)
_ODD_STAMPS: Final = (b"\xc7\x08\xff", b"\x00\x08\xff", b"\x00\x0c\xff")
_ESCAPED_MARKER: Final = b"\xc7\x00\x1a"


def _nothing(_: object) -> None:
    return None


class Codec:
    """Encodes storable values exactly, and decodes what any program wrote.

    One codec may be used by many threads at once, and from inside its own hooks.

    Args:
        unstructure: Asked for each object that the codec does not know. It gives
            ``{keyname: fields}``, one level deep with its values live, or None.
        structure: Sees each decoded map, inner ones first, and gives an object or
            the dict itself. Payloads that hold no map of one string key may be
            decoded without it. None: wrappers are read as the dicts that they are.
        keynames: A live view of the keys of records. It may grow at any time.
        learn: Told the key of each escaped dict, before `structure` sees any part
            of the payload: somewhere, that key names records.
    """

    def __init__(
        self,
        *,
        unstructure: Callable[[object], dict[str, Any] | None] = _nothing,
        structure: Callable[[dict[Any, Any]], object] | None = None,
        keynames: Collection[str] = (),
        learn: Callable[[str], None] = _nothing,
    ) -> None:
        self._unstructure = unstructure
        self._structure = structure
        self._keynames = keynames
        self._learn = learn
        self._learned: set[str] = set()
        self._types = TypeTable()
        encoders = self._encoders = self._types.encoders
        self._careful = CarefulEncoder(encoders, unstructure, self._is_tag)
        for kind, code in SETS.items():
            encoders[kind] = self._set_encoder(code)
        encoders[KeptKey] = lambda key: key.tree
        self._writers: list[Writer] = []
        self._tags: tuple[int, re.Pattern[bytes]] = (0, tag_pattern(()))

    def register(self, type_: type | CustomType[Any]) -> None:
        """Make a class storable: its values come back as its own.

        Enums and flags are stored by member name or value, namedtuples,
        dataclasses and attrs classes by field, subclasses of builtins as a value
        of the builtin. Objects are rebuilt without running their ``__init__``.
        Anything else needs a `CustomType`. The same class twice is fine.

        Raises:
            DuplicateKeynameError: Another class has its key.
            ModelError: The class is none of these.
        """
        self._types.register(type_)

    # --- out --------------------------------------------------------------------
    def encode(self, value: object, path: str = "$") -> bytes:
        """Encode one value.

        Args:
            value: What to store; equal values give equal bytes.
            path: Where it stands, for the error. ``$`` says that it is a whole
                root, which may be one level deeper than a value in a root.

        Raises:
            UnstorableError: A part would not come back equal; it carries the path.
            RuntimeError: Another thread changed the value meanwhile; try again.
        """
        room = MAX_DEPTH if path == "$" else MAX_DEPTH - 1
        blobs = self._pack((value,), room)
        if blobs is not None:
            return blobs[0]
        return self._careful.encode(value, path, room)

    def encode_key(self, key: object) -> bytes:
        """Encode a key of the root, as `encode_items` does."""
        return self.encode(key, f"${key_step(key)}")

    def encode_items(self, data: Mapping[Any, Any]) -> dict[bytes, bytes]:
        """Encode a root as ``{key bytes: value bytes}``, in order.

        Raises:
            UnstorableError: A key or value would not come back equal.
            RuntimeError: Another thread changed *data* meanwhile; try again.
        """
        entries: dict[bytes, bytes] = {}
        pairs = iter(data.items())
        count = 0
        while batch := list(islice(pairs, _BATCH)):
            count += len(batch)
            parts = list(chain.from_iterable(batch))
            blobs = self._pack(parts, MAX_DEPTH - 1)
            if blobs is None:
                for key, value in batch:
                    name = self.encode_key(key)
                    entries[name] = self.encode(value, f"${key_step(key)}")
            else:
                entries.update(zip(blobs[::2], blobs[1::2], strict=True))
        if len(entries) != count:
            msg = "cannot store $: two keys are the same NaN; use another key"
            raise UnstorableError(msg)
        return entries

    def _pack(self, values: Collection[object], room: int) -> list[bytes] | None:
        """Encode all *values* by the packer; None if it cannot, or may be wrong."""
        try:
            writer = self._writers.pop()
        except IndexError:
            writer = Writer(self._encoders, self._unstructure)
        try:
            blobs = list(map(writer.pack, values))
            sound = writer.vouch(values, blobs, room, self._tag_pattern)
        except (TypeError, ValueError):
            # Also what a user's hook raised: it raises that again, carefully.
            return None
        finally:
            writer.reset()
        if len(self._writers) < _KEPT_WRITERS and sum(map(len, blobs)) < _KEPT_BYTES:
            self._writers.append(writer)
        return blobs if sound else None

    def _set_encoder(self, code: int) -> Callable[[Any], list[Any]]:
        marker, sort = MARKERS[code], self._careful.sort
        return lambda items: [marker, *sort(items)]

    def _is_tag(self, key: object) -> bool:
        if type(key) is not str:
            return False
        return key.startswith("__") or key in self._keynames or key in self._learned

    def _tag_pattern(self) -> re.Pattern[bytes]:
        size = len(self._keynames) + len(self._learned)
        known, pattern = self._tags
        if known != size:  # they never shrink
            pack = Packer().pack
            keys = {*self._keynames, *self._learned}
            pattern = tag_pattern(
                pack(key) for key in sorted(keys) if not key.startswith("__")
            )
            self._tags = (size, pattern)
        return pattern

    # --- in ---------------------------------------------------------------------
    def decode(self, payload: bytes) -> Any:
        """Decode one value.

        What cannot be built here (an unknown code or class, a missing zone) stays
        the ``ExtType``, ``Timestamp`` or list that it is, and is encoded again as
        the same bytes.

        Raises:
            DecodeError: *payload* is not exactly one value within `MAX_DEPTH`.
        """
        if len(payload) < _BULK_BYTES:
            return self._decode(payload, is_root=False)
        with _collector_paused():
            return self._decode(payload, is_root=False)

    def decode_root(self, payload: bytes) -> dict[Any, Any] | list[Any]:
        """Decode a whole database; the root map itself is never a record.

        Raises:
            DecodeError: *payload* is not exactly one map or array.
        """
        with _collector_paused():
            root = self._decode(payload, is_root=_frames.is_map(payload))
        if type(root) is dict or type(root) is list:
            return root  # pyright: ignore[reportUnknownVariableType] # of any items
        msg = "the data are neither a map nor an array"
        raise DecodeError(msg)

    def _decode(self, payload: bytes, *, is_root: bool) -> Any:
        if len(payload) > MAX_DEPTH and _frames.is_deep(payload):
            _frames.check(payload)
        if _ESCAPED_MARKER in payload:
            self._learn_from(payload)
        decode_list = self._types.decode_list if b"\xc7\x00" in payload else None
        structure = self._structure
        if structure is not None and not _WRAPPER.search(payload):
            structure = None
        if is_root and structure is not None:
            # The root as a list: [nil, key, value, key, value, ...].
            items = self._read(_root_as_list(payload), decode_list, structure)
            return self._build_root(items[1::2], items[2::2], payload)
        return self._read(payload, decode_list, structure)
