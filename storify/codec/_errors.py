"""The error for bytes that are no database."""

__all__ = ["DecodeError"]


class DecodeError(ValueError):
    """Bytes that are no whole MessagePack value of the kind that was asked for.

    The message says why and holds nothing of the data.
    """
