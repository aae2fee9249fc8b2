"""Whether bytes of unknown origin mean the same as bytes of our own.

Another writer may have written a value in another spelling (a longer integer, an
old field name). Only our own spelling can be compared, so its bytes are read and
encoded once more.
"""

from contextlib import suppress

from storify.codec import Codec
from storify.exceptions import UnstorableError

__all__ = ["respell_all", "same_value"]


#: So many are faster one by one.
_FEW = 2


def same_value(codec: Codec, stored: bytes | None, value: bytes | None) -> bool:
    """Whether *stored*, of unknown origin, means the same as our *value*."""
    if stored == value:
        return True
    return stored is not None and value is not None and _respell(codec, stored) == value


def respell_all(codec: Codec, stored: list[bytes]) -> list[bytes | None]:
    """Return values as we would write them; None for one that cannot be read."""
    if len(stored) > _FEW:
        with suppress(ValueError, UnstorableError):
            values = codec.decode_all(stored)
            blobs = codec.encode_items(dict(enumerate(values)))
            return list(blobs.values())
    return [_respell(codec, blob) for blob in stored]


def _respell(codec: Codec, stored: bytes) -> bytes | None:
    """Return a value as we would write it; None if it cannot be read or written."""
    if codec.is_long_bin(stored):
        return stored
    try:
        return codec.encode(codec.decode(stored))
    except (ValueError, UnstorableError):
        return None
