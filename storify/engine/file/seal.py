"""The seal of a main file: its own time says that we have written it.

::

    mtime_ns := milliseconds since 1970, then the sha256 of the content modulo 10**6

The time is synced with the bytes, in one call. So after a power cut a main file tells
by itself whether it is a commit of ours, even if the manifest, which is not synced by
each commit, does not know of it. It grants no more than that: a sealed file is parsed
before it counts. A program that writes into the file gives it another time, or leaves
the time to other bytes; one in a million edits looks sealed, and is then taken over
without a word in the log. Less than a millisecond of the true time is lost.

Each time is later than the one before, so that no two states of ours look alike: the
clock of a file system stands still for some milliseconds.
"""

from typing import Final

__all__ = ["is_sealed", "sealed_ns"]

_STEP_NS: Final = 10**6
_AHEAD_NS: Final = 10**9
"""A file before that is further ahead got its time from somebody, or the clock went
back."""


def is_sealed(mtime_ns: int, digest: str) -> bool:
    """Whether a file with this time and sha256 is one that we have written."""
    return mtime_ns % _STEP_NS == int(digest[:16], 16) % _STEP_NS


def sealed_ns(now_ns: int, before_ns: int, digest: str) -> int:
    """Return the time for a new file.

    Args:
        now_ns: The time that the file system gives it.
        before_ns: That of the file before.
        digest: The sha256 of the new one, in hex.
    """
    seal = int(digest[:16], 16) % _STEP_NS
    sealed = now_ns - now_ns % _STEP_NS + seal
    if sealed <= before_ns < now_ns + _AHEAD_NS:
        return before_ns - before_ns % _STEP_NS + _STEP_NS + seal
    return sealed
