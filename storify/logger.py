"""Logging as the guide gives it: five methods that take one finished string.

Storify calls ``info``, ``debug``, ``warning``, ``error`` and ``traceback`` with
a single message and nothing else (guide section 8). A ``logging.Logger`` has no
``traceback``; `adapt` adds it, so a standard logger works as ``log=``.
"""

import logging
import sys
import traceback
from typing import Protocol, TextIO, runtime_checkable

__all__ = ["BasicLogger", "Logger", "LoggerLike", "adapt", "formatted", "report"]


class BasicLogger(Protocol):
    """What an object needs to be passed as ``log=``; a ``logging.Logger`` does."""

    def debug(self, msg: str, /) -> object:
        """Record a detail for whoever debugs."""

    def info(self, msg: str, /) -> object:
        """Record a normal event."""

    def warning(self, msg: str, /) -> object:
        """Record something that the owner of the data should know."""

    def error(self, msg: str, /) -> object:
        """Record a failure."""


@runtime_checkable
class LoggerLike(BasicLogger, Protocol):
    """A logger with all five methods of the guide, as storify calls it."""

    def traceback(self, msg: str, /) -> object:
        """Record a failure together with the exception being handled."""


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to stderr as long as the root logger has no handler to do it."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = logging.getLogger(record.name)
        if not (logger.propagate and logging.getLogger().handlers):
            super().emit(record)


class Logger:
    """The default logger: the standard logger named ``"storify"``.

    It writes ``LEVEL: message`` to stderr. A handler is added once a process,
    and only if neither the ``"storify"`` logger nor the root logger has one
    already; it is silent when the root logger gets one later. So a program that
    configures logging, before or after, sees each line once.

    Args:
        level: The level to set, such as ``logging.INFO``.
    """

    def __init__(self, level: int = logging.INFO) -> None:
        self.logger: logging.Logger = logging.getLogger("storify")
        if not self.logger.hasHandlers():
            handler = _Handler()
            handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
            self.logger.addHandler(handler)
        self.logger.setLevel(level)

    def debug(self, msg: str) -> None:
        """Log at ``DEBUG``."""
        self.logger.debug(msg)

    def info(self, msg: str) -> None:
        """Log at ``INFO``."""
        self.logger.info(msg)

    def warning(self, msg: str) -> None:
        """Log at ``WARNING``."""
        self.logger.warning(msg)

    def error(self, msg: str) -> None:
        """Log at ``ERROR``."""
        self.logger.error(msg)

    def traceback(self, msg: str) -> None:
        """Log at ``ERROR`` with the exception being handled, if there is one."""
        # The caller is inside an ``except``; outside one the line stands alone.
        self.logger.error(msg, exc_info=sys.exception())


class _WithTraceback:
    """A four-method logger completed with ``traceback``.

    A ``logging.Logger`` prints the whole traceback; of another logger nothing
    is known but that it takes one string, so that names the exception.
    """

    def __init__(self, log: BasicLogger) -> None:
        self._log = log
        self.debug = log.debug
        self.info = log.info
        self.warning = log.warning
        self.error = log.error

    def traceback(self, msg: str) -> None:
        if isinstance(self._log, logging.Logger):
            self._log.error(msg, exc_info=sys.exception())
            return
        cause = sys.exception()
        self._log.error(f"{msg}: {cause!r}" if cause is not None else msg)


def adapt(log: BasicLogger | None, *, verbose: bool = False) -> LoggerLike:
    """Return *log* as a logger with all five methods.

    Args:
        log: A storify `Logger`, a ``logging.Logger``, any object with the
            guide's methods, or None for the default logger.
        verbose: The default logger's level: ``DEBUG`` instead of ``INFO``.
    """
    if log is None:
        return Logger(logging.DEBUG if verbose else logging.INFO)
    if isinstance(log, LoggerLike):
        return log
    return _WithTraceback(log)


def report(log: BasicLogger, line: str, error: BaseException | None = None) -> None:
    """Record a failure in one line; the traceback is a detail for whoever debugs."""
    log.error(line)
    if error is not None:
        log.debug(formatted(error))


def formatted(error: BaseException) -> str:
    """Format an error and its traceback without marks under the lines.

    To find what to mark Python runs its parser. On 3.11 that disturbs another thread
    in the middle of parsing, and errors are reported by threads of ours.
    """
    whole = traceback.TracebackException.from_exception(error)
    parts: list[traceback.TracebackException | None] = [whole]
    while parts:
        part = parts.pop()
        if part is not None:
            for frame in part.stack:
                frame.colno = None
            parts += [part.__cause__, part.__context__, *(part.exceptions or ())]
    return "".join(whole.format()).rstrip()
