"""A log for work in saver threads: what it is told is said when the work has ended.

Handlers of a log have locks, which the caller who waits may hold.
"""

import sys

from storify.logger import LoggerLike, formatted
from storify.threads import say

__all__ = ["SaidLater"]


class SaidLater:
    """A logger that keeps what it is told in a saver thread.

    Args:
        log: Where it is said.
    """

    def __init__(self, log: LoggerLike) -> None:
        self._log = log

    def debug(self, msg: str) -> None:
        """Record a detail."""
        say(self._log.debug, msg)

    def info(self, msg: str) -> None:
        """Record a normal event."""
        say(self._log.info, msg)

    def warning(self, msg: str) -> None:
        """Record something that the owner of the data should know."""
        say(self._log.warning, msg)

    def error(self, msg: str) -> None:
        """Record a failure."""
        say(self._log.error, msg)

    def traceback(self, msg: str) -> None:
        """Record a failure together with the exception being handled."""
        error = sys.exception()
        say(self._log.error, msg if error is None else f"{msg}: {formatted(error)}")
