"""Keys as an index of the server takes them."""

from hashlib import sha256
from typing import Final

__all__ = ["index_key", "long_key"]

#: An index takes 2,704 bytes; shorter ones keep it small.
_LONGEST: Final = 512
#: No MessagePack begins with it.
_DIGEST: Final = b"\xc1"


def index_key(key: bytes) -> bytes:
    """The key itself, or a digest if it is long."""
    if len(key) <= _LONGEST and key[:1] != _DIGEST:
        return key
    return _DIGEST + sha256(key).digest()


def long_key(key: bytes) -> bytes | None:
    """The key itself if a digest stands for it."""
    return None if index_key(key) is key else key
