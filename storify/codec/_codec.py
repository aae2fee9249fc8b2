"""The codec: plain trees to bytes and back, with what the user's classes add."""

import itertools
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property, partial
from itertools import accumulate, chain, islice
from typing import Any, Final, TypeVar, cast

from msgpack import Packer, unpackb

from storify.exceptions import UnstorableError
from storify.threads import without_collector

from . import _frames
from ._builtin import MARKERS, DecodeError, Ext
from ._frames import MAX_DEPTH
from ._reader import (
    TIMESTAMP_CODE,
    DictHook,
    KeptKey,
    ListHook,
    Reader,
    find_odd_stamps,
    unpack_exactly,
)
from ._types import CustomType, TypeTable
from ._writer import (
    SETS,
    CarefulEncoder,
    Writer,
    find_wrappers,
    key_step,
    rough_tag_pattern,
    tag_pattern,
)

T = TypeVar("T")

# Pairs that are packed before their bytes are checked all at once.
_BATCH: Final = 512
# A packer keeps its buffer; one that wrote more than this is not kept itself.
_KEPT_BYTES: Final = 1 << 20
_KEPT_WRITERS: Final = 8
# From this size on a payload makes enough objects to wake the collector.
_BULK_BYTES: Final = 1 << 15

# Values that are decoded by one call, under the keys 0, 1, 2, ... of a root.
_BULK: Final = 1024
_NUMBERS: Final = tuple(map(Packer().pack, range(_BULK)))
_NIL: Final = b"\xc0"
#: So many values are made canonical faster one by one.
_FEW: Final = 2
#: What is raised by the fast way alone, as it takes less than the careful one.
_NOT_FAST: Final = (TypeError, ValueError, ArithmeticError, RecursionError)

# Where there are fewer records, the values that hold one are decoded twice.
_PAIRS_PER_RECORD: Final = 50

#: What may be long and has no parts; the writer is asked about no object in it.
_LONG: Final = frozenset({bytes, str})
#: How such values begin: a bin, or a str that is not short.
_LONG_HEADS: Final = frozenset({0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB})
_BIN_32: Final = b"\xc6"
#: From this size on a bin has a length of four bytes, and less than this.
_LONG_BYTES: Final = 1 << 16
_TOO_LONG_BYTES: Final = 1 << 32
_MAP_OF_1: Final = 0x81
_MAP_16: Final = 0xDE
_MAP_32: Final = 0xDF
_EXT_8: Final = 0xC7
_ESCAPED_MARKER: Final = b"\xc7\x00\x1a"


_NO_WRAPS: Final[Mapping[type, Callable[[Any], dict[str, Any] | None]]] = {}
_Lower = Callable[[Any, Mapping[type, Callable[[Any], Any]]], dict[str, Any] | None]
_NO_LOWERS: Final[Mapping[type, _Lower]] = {}


def _nothing(_: object) -> None:
    return None


class _Tags:
    """The keys that mark records, and what finds them in bytes; *size* tells their age."""

    def __init__(self, names: Collection[str], size: int = 0) -> None:
        self.size = size
        own = sorted(name for name in names if not name.startswith("__"))
        self._keys = list(map(Packer().pack, own))
        self._rough: re.Pattern[bytes] | None = None
        self._exact: re.Pattern[bytes] | None = None

    def count(self, payload: bytes, expected: int) -> int:
        """Count where a record may begin; exactly if they are not as many as expected.

        Patterns are compiled when they are needed: the exact one takes milliseconds.
        """
        if self._rough is None:
            self._rough = rough_tag_pattern(self._keys)
        if len(self._rough.findall(payload)) == expected:
            return expected
        if self._exact is None:
            self._exact = tag_pattern(self._keys)
        return len(self._exact.findall(payload))


class Codec:
    """Encodes storable values exactly, and decodes what any program wrote.

    One codec may be used by many threads at once, and from inside its own hooks.

    Args:
        unstructure: Asked for each object that the codec does not know. It gives
            ``{keyname: fields}``, one level deep with its values live, or None.
        wraps: A live view of classes whose objects need not be asked about: class
            to what gives the wrapper of its objects. It saves a call for each.
        lowers: A live view of classes to what gives, at once, the wrapper of an object
            with all in it copied and lowered to what the packer writes by itself: by
            exact class None, bool, int, float, str, bytes, list, dict, datetime (if
            in `timezone.utc` with fold 0), and what the encoders that it is given
            make of others. It holds nothing else that looks like a wrapper, and is
            less than 400 deep. None for an object that this does not fit: it goes the
            usual way, which gives the same bytes in twice the time.
        structure: Sees each decoded map, inner ones first, and gives an object or
            the dict itself. Payloads that hold no map of one string key may be
            decoded without it. None: wrappers are read as the dicts that they are.
        keynames: A live view of the keys of records. It may grow at any time.
        learn: Told the key of each escaped dict, before `structure` sees any part
            of the payload: somewhere, that key names records.
        count_misfits: Gives a number that grows by one with each call, and with each
            value that `structure` left as it was though it is of another type than
            its place. It is there for who decodes.
        judge: Told of each object of a registered class that was decoded, but of
            enums.
    """

    def __init__(
        self,
        *,
        unstructure: Callable[[object], dict[str, Any] | None] = _nothing,
        wraps: Mapping[type, Callable[[Any], dict[str, Any] | None]] = _NO_WRAPS,
        lowers: Mapping[type, _Lower] = _NO_LOWERS,
        structure: Callable[[dict[Any, Any]], object] | None = None,
        keynames: Collection[str] = (),
        learn: Callable[[str], None] = _nothing,
        count_misfits: Callable[[], int] | None = None,
        judge: Callable[[object], object] = _nothing,
    ) -> None:
        self.count_misfits: Callable[[], int] = (
            count_misfits or itertools.count().__next__
        )
        self._unstructure = unstructure
        self._wraps = wraps
        self._lowers = lowers
        self._structure = structure
        self._keynames = keynames
        self._learn = learn
        self._learned: set[str] = set()
        self._types = TypeTable(judge)
        encoders = self._encoders = self._types.encoders
        self._careful = CarefulEncoder(self._types.find, unstructure, self._is_tag)
        for kind, code in SETS.items():
            encoders[kind] = self._set_encoder(code)
        encoders[KeptKey] = KeptKey.lowered
        self._writers: list[Writer] = []
        self._tags = _Tags(())

    # What an engine asks of a root's bytes: see `storify.engine.Format`.

    @staticmethod
    def split(payload: bytes) -> dict[bytes, bytes]:
        """Part a root into key bytes and value bytes, in order, undecoded."""
        return _frames.split(payload)

    @staticmethod
    def join(entries: Mapping[bytes, bytes]) -> bytes:
        """Return the root that `split` would part into *entries*."""
        return _frames.join(entries)

    @staticmethod
    def head(count: int) -> bytes:
        """Return the beginning of a root with so many keys."""
        return _frames.map_header(count)

    @staticmethod
    def items(payload: bytes) -> list[bytes]:
        """Part a list root into its items."""
        return _frames.items(payload)

    @staticmethod
    def part_all(entries: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Part the bytes of so many entries of a root, in order."""
        return _frames.part_all(entries, count)

    @staticmethod
    def part_some(begin: bytes, most: int) -> list[tuple[bytes, bytes]]:
        """Part the entries, at most so many, that are whole in *begin*."""
        return _frames.part_some(begin, most)

    @staticmethod
    def plain_keys(keys: Sequence[bytes]) -> list[Any]:
        """Decode keys that are all of one type, of which `keyed` tells."""
        return _frames.plain_keys(keys)

    @staticmethod
    def claimed(payload: bytes) -> int | None:
        """Return how many entries or items a root says it has; None if illegible."""
        return _frames.claimed(payload)

    @staticmethod
    def keyed(entries: Mapping[bytes, bytes]) -> str:
        """Return the one type of all keys, ``str`` or ``int``, if each can be found.

        Returns:
            An empty text if a key that is equal may have other bytes, or if something
            in a value must be known before another one is decoded (`learn`).
        """
        search = re.compile(re.escape(_ESCAPED_MARKER)).search
        # In a long text, or bytes, it would mean nothing.
        if any(map(search, [v for v in entries.values() if v[0] not in _LONG_HEADS])):
            return ""
        return _frames.kind_of_keys(entries.keys())

    @staticmethod
    def part(entry: bytes) -> tuple[bytes, bytes]:
        """Part the bytes of one entry of a root into key and value.

        Raises:
            DecodeError: They are no entry.
        """
        return _frames.part_all(entry, 1)[0]

    @staticmethod
    def salvage(payload: bytes) -> list[tuple[bytes, bytes] | None]:
        """Return the entries of a damaged root, None for each damaged stretch."""
        from . import _salvage  # noqa: PLC0415 -- few programs need it

        return _salvage.salvage(payload)

    @staticmethod
    def salvage_items(payload: bytes) -> list[bytes | None] | None:
        """Return the first items of a damaged list root, None for what is not whole.

        None alone if it does not begin as a list.
        """
        from . import _salvage  # noqa: PLC0415 -- few programs need it

        return _salvage.salvage_items(payload)

    @staticmethod
    def join_items(items: Sequence[bytes]) -> bytes:
        """Return the list root that `items` would part into *items*."""
        return _frames.array_header(len(items)) + b"".join(items)

    def register(
        self, type_: type | CustomType[Any], *, may_replace: bool = False
    ) -> None:
        """Make a class storable: its values come back as its own.

        Enums and flags are stored by member name or value, namedtuples,
        dataclasses and attrs classes by field, subclasses of builtins as a value
        of the builtin. Objects are rebuilt without running their ``__init__``.
        Anything else needs a `CustomType`. The same class twice is fine.

        Args:
            type_: The class.
            may_replace: Whether one of the same module and name as another is that one
                defined again, as in a notebook, and takes its place.

        Raises:
            DuplicateKeynameError: Another class has its key.
            ModelError: The class is none of these.
        """
        self._types.register(type_, may_replace=may_replace)

    # --- out --------------------------------------------------------------------
    @property
    def form(self) -> object:
        """An object equal as long as equal values are encoded as the same bytes.

        It changes with each class that becomes storable.
        """
        known = self._encoders, self._wraps, self._lowers, self._keynames
        return (*map(len, known), len(self._learned))

    #: The types of which nothing is taken for anything else, but a dict for a record.
    PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes, list, dict})

    def encode(
        self,
        value: object,
        path: str | Callable[[], str] = "$",
        *,
        is_plain: bool = False,
    ) -> bytes:
        """Encode one value.

        Args:
            value: What to store; equal values give equal bytes.
            path: Where it stands, for the error, or what tells it. ``$`` says that it
                is a whole root, which may be one level deeper than a value in a root.
            is_plain: Whether it is known that all in it is of the types in `PLAIN`, and
                not too deep.

        Raises:
            UnstorableError: A part would not come back equal; it carries the path.
            RuntimeError: Another thread changed the value meanwhile; try again.
        """
        if type(value) is bytes and _LONG_BYTES <= len(value) < _TOO_LONG_BYTES:
            # As the packer does it, who copies more often.
            return b"".join((_BIN_32, len(value).to_bytes(4, "big"), value))
        room = MAX_DEPTH if path == "$" else MAX_DEPTH - 1
        writer = self._take_writer()
        failure: Exception | None = None
        try:
            lower = self._lowers.get(value.__class__)
            tree = None if lower is None else lower(value, self._types.singles)
            if tree is not None:
                blob = writer.pack_lowered(tree)
                if not writer.was_asked:
                    self._give_back(writer, len(blob))
                    return blob
                writer.reset()
            blob = writer.pack(value)
            if type(value) in _LONG and not writer.was_asked:
                self._give_back(writer, len(blob))
                return blob  # no part of it is anything else
            if writer.looks_plain(blob) or not writer.doubt(
                (value,), (blob,), room, self._holds_only, is_plain=is_plain
            ):
                self._give_back(writer, len(blob))
                return blob
        except RecursionError:
            pass  # of msgpack without its C extension, or a hook, which raises it again
        except RuntimeError:
            raise  # the value changed meanwhile
        except Exception as error:  # noqa: BLE001 - a hook of the user's raises it again
            failure = error
        where = path if isinstance(path, str) else path()
        blob = self._careful.encode(value, where, room)
        if failure is not None and not isinstance(failure, _NOT_FAST):
            raise failure  # of the handler of a signal: it comes once
        return blob

    def encode_key(self, key: object) -> bytes:
        """Encode a key of the root, as `encode_items` does."""
        return self.encode(key, partial(_place_of, key))

    def canonical(self, blob: bytes) -> bytes:
        """Return a key or value of unknown origin in the bytes that `encode` makes.

        As it is, if it cannot be read or written. No class has a say in it: what
        stands for an object is written as the data that it is.
        """
        plain = self._without_classes
        with suppress(DecodeError, UnstorableError):
            return plain.encode(plain.decode(blob))
        return blob

    def canonical_value(self, stored: bytes) -> bytes | None:
        """Return a value of unknown origin in the bytes that `encode` makes of it.

        Another writer may have written it otherwise (a longer integer, an old name of a
        field), and only canonical bytes can be compared.

        Returns:
            None for one that cannot be read or written.
        """
        if stored[:1] == _BIN_32 and int.from_bytes(stored[1:5], "big") >= _LONG_BYTES:
            return stored  # long bytes, as `encode` writes them
        try:
            return self.encode(self.decode(stored))
        except (ValueError, UnstorableError):
            return None

    def canonical_values(self, stored: list[bytes]) -> list[bytes | None]:
        """Return many values as `canonical_value` does."""
        if len(stored) > _FEW:
            with suppress(ValueError, UnstorableError):
                values = self.decode_all(stored)
                return list(self.encode_items(dict(enumerate(values))).values())
        return list(map(self.canonical_value, stored))

    def same_value(self, stored: bytes | None, value: bytes | None) -> bool:
        """Whether *stored*, of unknown origin, means the same as our *value*."""
        if stored is None or value is None or stored == value:
            return stored == value
        return self.canonical_value(stored) == value

    def encode_items(
        self, data: Mapping[Any, Any], *, is_plain: bool = False
    ) -> dict[bytes, bytes]:
        """Encode a root as ``{key bytes: value bytes}``, in order.

        Args:
            data: The root.
            is_plain: What is known of its values: see `encode`.

        Raises:
            UnstorableError: A key or value would not come back equal.
            RuntimeError: Another thread changed *data* meanwhile; try again.
        """
        if len(data) == 1:
            for key, value in data.items():  # half the work of a batch of one
                path = partial(_place_of, key)
                blob = self.encode(value, path, is_plain=is_plain)
                return {self.encode(key, path): blob}
        if len(data) <= _BATCH:
            return self._encode_items(data, is_plain=is_plain)
        return without_collector(lambda: self._encode_items(data, is_plain=is_plain))

    def _encode_items(
        self, data: Mapping[Any, Any], *, is_plain: bool
    ) -> dict[bytes, bytes]:
        entries: dict[bytes, bytes] = {}
        all_keys, all_values = iter(data), iter(data.values())
        count = 0
        while keys := list(islice(all_keys, _BATCH)):
            values = list(islice(all_values, len(keys)))
            count += len(keys)
            pairs_of = self._encode_batch(keys, values, is_plain=is_plain)
            entries.update(zip(*pairs_of, strict=True))
        if len(entries) != count:
            msg = "cannot store $: two keys are the same NaN; use another key"
            raise UnstorableError(msg)
        return entries

    def _encode_batch(
        self, keys: Sequence[Any], values: Sequence[Any], *, is_plain: bool
    ) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """Encode keys and values: by the short way where a value is lowered at once.

        What that gives, and a key of text, needs no check.
        """
        heads: list[bytes | None] = [None] * len(keys)
        blobs: list[bytes | None] = [None] * len(keys)
        if self._lowers:
            lower_of, singles = self._lowers.get, self._types.singles
            writer = self._take_writer()
            pack = writer.pack_lowered
            # The usual way says what it is.
            with suppress(TypeError, ValueError, RecursionError):
                made = [
                    None
                    if (lower := lower_of(value.__class__)) is None
                    or (tree := lower(value, singles)) is None
                    else pack(tree)
                    for value in values
                ]
                if {str}.issuperset(map(type, keys)):
                    heads = list(map(pack, keys))
                else:
                    heads = [pack(key) if type(key) is str else None for key in keys]
                if not writer.was_asked:  # as for an integer beyond 64 bits
                    blobs = made
                    self._give_back(writer, sum(map(len, filter(None, blobs))))
        if not (all(blobs) and all(heads)):
            rest = [i for i in range(len(keys)) if not (blobs[i] and heads[i])]
            parts = chain.from_iterable((keys[i], values[i]) for i in rest)
            done = self._encode_all(list(parts), is_plain=is_plain)
            for i, head, blob in zip(rest, done[::2], done[1::2], strict=True):
                heads[i], blobs[i] = head, blob
        return cast("tuple[list[bytes], list[bytes]]", (heads, blobs))

    def _encode_all(self, parts: list[Any], *, is_plain: bool) -> list[bytes]:
        """Encode key, value, key, value, ...; what is doubtful one by one."""
        room = MAX_DEPTH - 1
        writer = self._take_writer()
        blobs: list[bytes] = []
        failure: Exception | None = None
        try:
            blobs.extend(map(writer.pack, parts))
            doubtful = writer.doubt(
                parts, blobs, room, self._holds_only, is_plain=is_plain
            )
        except Exception as error:
            if isinstance(error, RuntimeError) and type(error) is not RecursionError:
                raise  # a value changed meanwhile
            failure = error
            doubtful = range(len(parts))
            blobs = [b""] * len(parts)
        else:
            self._give_back(writer, sum(map(len, blobs)))
        for index in doubtful:
            key = parts[index & ~1]
            blobs[index] = self.encode(parts[index], partial(_place_of, key))
        if failure is not None and not isinstance(failure, _NOT_FAST):
            raise failure  # as in `encode`
        return blobs

    def _take_writer(self) -> Writer:
        try:
            return self._writers.pop()
        except IndexError:
            return Writer(
                self._encoders, self._types.find, self._wraps, self._unstructure
            )

    def _give_back(self, writer: Writer, size: int) -> None:
        """Keep *writer* for the next call; one that failed is never given back."""
        if len(self._writers) < _KEPT_WRITERS and size < _KEPT_BYTES:
            if writer.was_asked:
                writer.reset()
            self._writers.append(writer)

    def _set_encoder(self, code: int) -> Callable[[Any], list[Any]]:
        marker, sort = MARKERS[code], self._careful.sort
        return lambda items: [marker, *sort(items)]

    def _is_tag(self, key: object) -> bool:
        if type(key) is not str:
            return False
        return key.startswith("__") or key in self._keynames or key in self._learned

    def _holds_only(self, payload: bytes, count: int) -> bool:
        """Tell whether *count* records begin in bytes, and nothing that looks so."""
        size = len(self._keynames) + len(self._learned)
        if self._tags.size != size:  # they never shrink
            names = {*_snapshot(self._keynames), *_snapshot(self._learned)}
            self._tags = _Tags(names, size)
        return self._tags.count(payload, count) == count

    # --- in ---------------------------------------------------------------------
    def count_kept(self) -> int:
        """Return a number that grows by 1 if nothing was kept since the last call.

        By more, if a value was decoded of which a part could not be read, or only by
        the careful way.
        """
        return self._types.count_kept()

    def watch(self, note: Callable[[object], object]) -> AbstractContextManager[None]:
        """Have *note* called with each object of a registered class that is decoded.

        Not with members of enums. With what any thread decodes, and also with what is
        decoded by way of trial: there the records in it may still be dicts.
        """
        return self._types.watch(note)

    def is_hooked(self, cls: type) -> bool:
        """Tell whether a `CustomType` says how objects of *cls* are stored."""
        return cls in self._types.hooked

    def kept(self, value: object) -> str | None:
        """Tell why a decoded *value* could not be built here and stayed as it is.

        Returns:
            The key of its class, if that is not registered; "" for another reason;
            None for any other value.
        """
        return self._types.kept(value)

    def decode(self, payload: bytes) -> Any:
        """Decode one value.

        What cannot be built here (an unknown code or class, a missing zone) stays
        the ``ExtType``, ``Timestamp`` or list that it is, and is encoded again as
        the same bytes.

        Raises:
            DecodeError: *payload* is not exactly one value within `MAX_DEPTH`.
        """
        try:
            # Where is nothing that `_decode` looks for: half the time of a small value.
            if payload[:1] and payload[0] in _LONG_HEADS:
                return self._unpack(payload, None, None)
            if len(payload) <= MAX_DEPTH and not (
                _MAP_OF_1 in payload
                or _MAP_16 in payload
                or _MAP_32 in payload
                or _EXT_8 in payload
                or TIMESTAMP_CODE in payload
            ):
                return self._unpack(payload, None, None)
        except (ValueError, TypeError, OverflowError):
            pass  # what is wrong is said below
        if len(payload) < _BULK_BYTES:
            return self._decode(payload, is_root=False)
        return without_collector(lambda: self._decode(payload, is_root=False))

    def decode_root(self, payload: bytes) -> dict[Any, Any] | list[Any]:
        """Decode a whole database; the root map itself is never a record.

        Raises:
            DecodeError: *payload* is not exactly one map or array, or has keys
                that are one for Python, as 1 and True: a dict would lose one.
        """
        is_map = _frames.is_map(payload)
        root: object = without_collector(lambda: self._decode(payload, is_root=is_map))
        kind = type(root)
        if kind is not dict and kind is not list:
            msg = "the data are neither a map nor an array"
            raise DecodeError(msg)
        whole = cast("dict[Any, Any] | list[Any]", root)
        if kind is dict:
            self._refuse_equal_keys(payload, len(whole))
        return whole

    def check(self, payload: bytes) -> None:
        """Decode a root of unknown origin to its end; no code of a class runs.

        Raises:
            DecodeError: As `decode_root`.
        """
        self._without_classes.decode_root(payload)

    @cached_property
    def _without_classes(self) -> "Codec":
        return Codec()

    def decode_all(self, blobs: Sequence[bytes]) -> list[Any]:
        """Decode many values, each as `decode` does, at less cost for each.

        Args:
            blobs: The bytes of exactly one value each.

        Raises:
            DecodeError: One of them cannot be decoded; the others alone can be.
        """
        values: list[Any] = []
        for start in range(0, len(blobs), _BULK):
            part = blobs[start : start + _BULK]
            pairs = zip(_NUMBERS, part, strict=False)
            joined = b"".join(
                (_frames.map_header(len(part)), *chain.from_iterable(pairs))
            )
            values += cast("dict[int, Any]", self.decode_root(joined)).values()
        return values

    def learn(self, blob: bytes) -> None:
        """Tell the keys of escaped dicts in a value that is decoded later or never."""
        if _ESCAPED_MARKER in blob:
            with suppress(DecodeError):  # that is said where it is decoded
                self._learn_from(blob)

    def decode_keys(self, blobs: Sequence[bytes]) -> list[Any]:
        """Decode the keys of a root, which are different bytes.

        Raises:
            DecodeError: Some are no keys, or two are one for Python, as 1 and True are.
        """
        entries = dict.fromkeys(blobs, _NIL)
        keys = list(self.decode_root(_frames.join(entries)))
        if len(keys) == len(blobs):
            return keys
        # One key in bytes of two kinds, as an integer in more bytes.
        return [next(iter(self.decode_root(_frames.join({k: _NIL})))) for k in blobs]

    def _refuse_equal_keys(self, payload: bytes, count: int) -> None:
        """Refuse a map of whose keys only *count* made it into a dict."""
        if count == _frames.read_header(payload)[1]:
            return
        # One key twice is read as everywhere: the last one holds.
        keys = {self.encode_key(self.decode(key)) for key in _frames.split(payload)}
        if count != len(keys):
            msg = "two keys are one for Python, as 1 and True are"
            raise DecodeError(msg)

    def _decode(self, payload: bytes, *, is_root: bool) -> Any:
        if len(payload) > MAX_DEPTH and _frames.is_deep(payload):
            _frames.check(payload)
        decode_list = structure = None
        # find() for two bytes, a number for one: `b".." in` costs 0.3 us.
        if payload.find(b"\xc7\x00") >= 0:
            decode_list = self._types.decode_list
            if payload.find(_ESCAPED_MARKER) >= 0:
                for part in _parts_with_escapes(payload, is_root=is_root):
                    self._learn_from(part)
        if self._structure is not None and (
            # As most records begin: what finds out takes longer than to ask for each map.
            (payload[:1] == b"\x81" and not is_root) or _may_hold_record(payload)
        ):
            structure = self._structure
        if is_root:
            return self._read_root(payload, decode_list, structure)
        return self._read(payload, decode_list, structure)

    def _learn_from(self, payload: bytes) -> None:
        """Tell the keys of all escaped dicts, in a pass that builds no records."""
        marker, decode_list = MARKERS[Ext.ESCAPED], self._types.decode_list
        found: dict[str, None] = {}

        def note(items: list[Any]) -> object:
            made = decode_list(items)
            if items and items[0] is marker and made is not items:
                found[items[1]] = None
            return made

        self._read(payload, note, None)
        for key in found:
            if not key.startswith("__"):
                self._learned.add(key)
            self._learn(key)

    def _read(
        self,
        payload: bytes,
        decode_list: ListHook | None,
        structure: DictHook | None,
    ) -> Any:
        try:
            if find_odd_stamps(payload):
                hooks = self._types.decode_ext, decode_list, structure
                return unpack_exactly(payload, *hooks, self._types.count_kept)
            return self._unpack(payload, decode_list, structure)
        except (ValueError, TypeError, OverflowError):
            # Which of two it is, broken bytes or what only msgpack refuses, is
            # found out below. What a hook raised is raised again there.
            pass
        _frames.check(payload)
        self._types.count_kept()
        return Reader(self._types.decode_ext, decode_list, structure).read(payload)

    def _unpack(
        self,
        payload: bytes,
        decode_list: ListHook | None,
        structure: DictHook | None,
    ) -> Any:
        return unpackb(
            payload,
            timestamp=3,
            strict_map_key=False,
            ext_hook=self._types.decode_ext,
            list_hook=decode_list,
            object_hook=structure,
        )

    def _read_root(
        self,
        payload: bytes,
        decode_list: ListHook | None,
        structure: DictHook | None,
        *,
        may_be_sparse: bool = True,
    ) -> Any:
        """Decode a map root at once, and the few values that need more once more."""
        try:
            places = find_odd_stamps(payload)
            few = _find_few_records(payload) if structure and may_be_sparse else None
            hook = structure if few is None else None
            root = self._unpack_root(payload, decode_list, hook)
            places += few or ()
            if not places:
                return root
            parts = list(chain.from_iterable(_frames.split(payload).items()))
            odd = _parts_at(places, parts, _frames.read_header(payload)[0])
            # Not if two keys are the same bytes, or a key itself is odd.
            if len(parts) == 2 * len(root) and all(index % 2 for index in odd):
                keys = list(root)
                for index in odd:
                    value = self._read(parts[index], decode_list, structure)
                    root[keys[index // 2]] = value
                return root
        except (ValueError, TypeError, OverflowError):
            _frames.check(payload)
        else:
            if few:
                hooks = decode_list, structure
                return self._read_root(payload, *hooks, may_be_sparse=False)
        self._types.count_kept()
        reader = Reader(self._types.decode_ext, decode_list, structure)
        return reader.read(payload, is_root=True)

    def _unpack_root(
        self,
        payload: bytes,
        decode_list: ListHook | None,
        structure: DictHook | None,
    ) -> dict[Any, Any]:
        if structure is None:
            root: dict[Any, Any] = self._unpack(payload, decode_list, structure)
            return root
        # As a list, because the root itself passes no hook.
        items = self._unpack(_root_as_list(payload), decode_list, structure)
        return dict(zip(items[1::2], items[2::2], strict=True))


def _place_of(key: object) -> str:
    return f"${key_step(key)}"


def _may_hold_record(payload: bytes) -> bool:
    # The bytes first: a search in vain costs a small value half of its decoding.
    return (_MAP_OF_1 in payload or _MAP_16 in payload or _MAP_32 in payload) and next(
        find_wrappers(payload), None
    ) is not None


def _find_few_records(payload: bytes) -> list[int] | None:
    """Return where records may be in a root of values that are mostly none.

    In data without models it is a few floats and texts that look like one; to
    call the hook for every map on their account doubles the time. None: many.
    """
    most = _frames.read_header(payload)[1] // _PAIRS_PER_RECORD
    found = list(islice(find_wrappers(payload), most + 1))
    return None if len(found) > most else found


def _snapshot(names: Collection[str]) -> tuple[str, ...]:
    """Copy *names*, to which another thread may be adding."""
    while True:
        try:
            return tuple(names)
        except RuntimeError:  # its size changed meanwhile
            continue


def _root_as_list(payload: bytes) -> bytes:
    size, count = _frames.read_header(payload)
    return b"".join(
        (_frames.array_header(2 * count + 1), b"\xc0", memoryview(payload)[size:])
    )


def _parts_at(places: list[int], parts: list[bytes], start: int) -> set[int]:
    """Return which of *parts*, laid end to end from *start*, hold these *places*."""
    starts = list(accumulate(map(len, parts), initial=start))
    return {bisect_right(starts, place) - 1 for place in places}


def _parts_with_escapes(payload: bytes, *, is_root: bool) -> list[bytes]:
    """Return the parts of a root that may hold an escaped dict; else all as one.

    The marker's three bytes turn up by chance in the floats of a large root.
    """
    if not is_root:
        return [payload]
    parts = list(chain.from_iterable(_frames.split(payload).items()))
    size, count = _frames.read_header(payload)
    if len(parts) != 2 * count:  # a key stands there twice
        return [payload]
    places = [match.start() for match in re.finditer(_ESCAPED_MARKER, payload)]
    return [parts[index] for index in sorted(_parts_at(places, parts, size))]
