"""Roots as bytes: key bytes to value bytes, in order; keys as bytes and back.

Everything is compared as bytes: a value is what its encoding is, so 1 is not True and
a NaN equals itself.

A foreign program may have written a key in more bytes than needed: an integer in eight
for one, the length of a text in two. In memory all keys are canonical; for the
engine, which knows only bytes, one in the file must be as it is there, or it would
be another key and there twice (`CanonicalKeys`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # `import storify` loads this, and neither of them
    from storify.codec import Codec
    from storify.engine import Change, Changes

__all__ = [
    "LIST",
    "CanonicalKeys",
    "contents",
    "decode_key",
    "decode_keys",
    "encode_keys",
]


#: The key of a list root, which is one value.
LIST = b""

#: A root of one pair, and any value for its key.
_ONE_PAIR = b"\x81"
_NIL = b"\xc0"

#: Keys of which any number can be encoded.
_PLAIN: Final = frozenset({str, int})


def contents(changes: Iterable["Change"]) -> dict[bytes, bytes | None]:
    """Return what each key has after *changes*; new keys in the order of the root."""
    found: dict[bytes, bytes | None] = {}
    for key, value in changes:
        if found.get(key, b"") is None:
            del found[key]  # set again: it goes last
        found[key] = value
    return found


def encode_keys(codec: "Codec", keys: Iterable[Any]) -> dict[bytes, Any]:
    """Return keys by their bytes."""
    listed = dict.fromkeys(keys)
    if not listed:
        return {}
    return dict(zip(codec.encode_items(listed), listed, strict=True))


def decode_key(codec: "Codec", key: bytes) -> Any:
    """Return the key of these bytes; None for a list root, which has no keys.

    It is read as a key of a root: what cannot be hashed is something else there.

    Raises:
        ValueError: The bytes are no key.
    """
    if not key:
        return None
    return next(iter(codec.decode_root(_ONE_PAIR + key + _NIL)))


def decode_keys(codec: "Codec", keys: Iterable[bytes]) -> list[Any]:
    """Return the keys; one that cannot be read stays the bytes that it is."""
    listed: Sequence[bytes] = list(keys)
    try:
        found = list(codec.decode_root(codec.join(dict.fromkeys(listed, _NIL))))
        if len(found) == len(listed) and b"" not in listed:
            return found
    except ValueError:
        pass
    return [_decode_or_keep(codec, key) for key in listed]


def _decode_or_keep(codec: "Codec", key: bytes) -> Any:
    try:
        return decode_key(codec, key)
    except ValueError:
        return key


class CanonicalKeys:
    """The canonical keys of one file, and the bytes that some have in it.

    Args:
        codec: Values to bytes and back.

    Attributes:
        in_file: The canonical bytes to those in the file; empty as a rule.
    """

    def __init__(self, codec: "Codec") -> None:
        self._codec = codec
        self.in_file: dict[bytes, bytes] = {}

    def note_all(self, entries: Iterable[bytes]) -> None:
        """Look for keys that have other bytes in the file."""
        own = self._own(dict.fromkeys(entries))
        self.in_file = {mine: key for key, mine in own.items() if key != mine}

    def committed(self, changes: "Changes") -> None:
        """Forget the keys that *changes* deleted: they are ours from now on."""
        for key, value in changes:
            if value is None:
                self.in_file.pop(key, None)

    # -- ours to theirs --------------------------------------------------------

    def for_file(self, changes: "Changes") -> "Changes":
        """Return changes with keys in the bytes that they have in the file."""
        given: list[Change] = []
        deleted: set[bytes] = set()
        for key, value in changes:
            in_file = key if key in deleted else self.in_file.get(key, key)
            given.append((in_file, value))
            if value is None:
                deleted.add(key)
        return given

    def own_key(self, key: bytes) -> bytes:
        """Return our bytes of a key of `for_file`."""
        for own, in_file in self.in_file.items():
            if in_file == key:
                return own
        return key

    # -- theirs to ours --------------------------------------------------------

    def canonical(self, changes: "list[Change]") -> "list[Change]":
        """Return changes by another writer with canonical keys."""
        own = self._own(dict(changes))
        for key, value in changes:
            self.in_file.pop(own[key], None)
            if value is not None and own[key] != key:
                self.in_file[own[key]] = key
        return [(own[key], value) for key, value in changes]

    def canonical_entries(self, entries: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return a root by another writer with canonical keys."""
        own = self._own(entries)
        return {own[key]: value for key, value in entries.items()}

    def _own(self, keys: Mapping[bytes, object]) -> dict[bytes, bytes]:
        codec = self._codec
        decoded = decode_keys(codec, keys)
        # As a rule all are canonical, which is seen by encoding them together.
        if _PLAIN.issuperset(map(type, decoded)) and codec.encode(
            dict.fromkeys(decoded)
        ) == codec.join(dict.fromkeys(keys, _NIL)):
            return dict(zip(keys, keys, strict=True))
        blobs = [codec.encode_key(key) for key in decoded]
        return {**dict(zip(keys, blobs, strict=True)), LIST: LIST}
