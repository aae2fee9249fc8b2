"""Keys of a root, as bytes and back."""

from collections.abc import Iterable, Sequence
from typing import Any

from storify.codec import Codec

__all__ = ["decode_key", "decode_keys", "encode_keys"]

#: A root of one pair, and any value for its key.
_ONE_PAIR = b"\x81"
_NIL = b"\xc0"


def encode_keys(codec: Codec, keys: Iterable[Any]) -> dict[bytes, Any]:
    """Return keys by their bytes."""
    listed = dict.fromkeys(keys)
    if not listed:
        return {}
    return dict(zip(codec.encode_items(listed), listed, strict=True))


def decode_key(codec: Codec, key: bytes) -> Any:
    """Return the key of these bytes; None for a list root, which has no keys.

    It is read as a key of a root: what cannot be hashed is something else there.

    Raises:
        ValueError: The bytes are no key.
    """
    if not key:
        return None
    return next(iter(codec.decode_root(_ONE_PAIR + key + _NIL)))


def decode_keys(codec: Codec, keys: Iterable[bytes]) -> list[Any]:
    """Return the keys; one that cannot be read stays the bytes that it is."""
    listed: Sequence[bytes] = list(keys)
    try:
        found = list(codec.decode_root(codec.join(dict.fromkeys(listed, _NIL))))
        if len(found) == len(listed) and b"" not in listed:
            return found
    except ValueError:
        pass
    return [_decode_or_keep(codec, key) for key in listed]


def _decode_or_keep(codec: Codec, key: bytes) -> Any:
    try:
        return decode_key(codec, key)
    except ValueError:
        return key
