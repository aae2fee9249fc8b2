"""Logging as the guide gives it: five methods that take one finished string.

Storify calls ``info``, ``debug``, ``warning``, ``error`` and ``traceback`` with
a single message and nothing else (guide section 8). A ``logging.Logger`` has no
``traceback``; `adapt` adds it, so a standard logger works as ``log=``.

`logging` and `traceback` take 3 ms of a start, and most programs are told nothing. So
they are loaded by who needs them; and at the end of a program they need not be there.
"""

import contextlib
import sys
from functools import cache, cached_property
from typing import TYPE_CHECKING, Final, Protocol, TextIO, runtime_checkable

if TYPE_CHECKING:
    import logging
    from traceback import TracebackException

__all__ = ["BasicLogger", "Logger", "LoggerLike", "adapt", "formatted", "report"]


class BasicLogger(Protocol):
    """The methods of an object passed as ``log=``; a ``logging.Logger`` has them."""

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


_DEBUG: Final = 10
_INFO: Final = 20
_WARNING: Final = 30
_ERROR: Final = 40
_NAMES: Final = {_DEBUG: "DEBUG", _INFO: "INFO", _WARNING: "WARNING", _ERROR: "ERROR"}


class Logger:
    """The default logger: the standard logger named ``"storify"``.

    It writes ``LEVEL: message`` to stderr. A handler is added once a process,
    and only if neither the ``"storify"`` logger nor the root logger has one
    already; it is silent when the root logger gets one later. So a program that
    configures logging, before or after, sees each line once. Where nothing has
    loaded `logging`, the same lines are written without it.

    Args:
        level: The level to set, such as ``logging.INFO``; that of the last one made holds.
    """

    #: The level to set where `logging` was not loaded yet.
    _level = _INFO

    def __init__(self, level: int = _INFO) -> None:
        Logger._level = level
        if "logging" in sys.modules:
            self.logger.setLevel(level)

    @cached_property
    def logger(self) -> "logging.Logger":
        """The standard logger."""
        import logging  # noqa: PLC0415 -- it takes 3 ms

        found = logging.getLogger("storify")
        if not found.hasHandlers():
            handler = _handler_class()()
            handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
            found.addHandler(handler)
        if found.level == logging.NOTSET:
            found.setLevel(Logger._level)
        return found

    def debug(self, msg: str) -> None:
        """Log at ``DEBUG``."""
        self._say(_DEBUG, msg)

    def info(self, msg: str) -> None:
        """Log at ``INFO``."""
        self._say(_INFO, msg)

    def warning(self, msg: str) -> None:
        """Log at ``WARNING``."""
        self._say(_WARNING, msg)

    def error(self, msg: str) -> None:
        """Log at ``ERROR``."""
        self._say(_ERROR, msg)

    def traceback(self, msg: str) -> None:
        """Log at ``ERROR`` with the exception being handled, if there is one."""
        # The caller is inside an ``except``; outside one the line stands alone.
        self._say(_ERROR, msg, sys.exception())

    def _say(self, level: int, msg: str, error: BaseException | None = None) -> None:
        if "logging" in sys.modules:
            self.logger.log(level, msg, exc_info=error)
        elif level >= Logger._level:
            more = "" if error is None else f"{formatted(error)}\n"
            # There may be no stderr, or one that is closed: `logging` goes on, too.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.write(f"{_NAMES[level]}: {msg}\n{more}")
                sys.stderr.flush()


@cache
def _handler_class() -> "type[logging.Handler]":
    """Make what writes to stderr as long as the root logger has no handler to do it."""
    import logging  # noqa: PLC0415 -- it takes 3 ms

    class Handler(logging.StreamHandler[TextIO]):
        def emit(self, record: logging.LogRecord) -> None:
            logger = logging.getLogger(record.name)
            if not (logger.propagate and logging.getLogger().handlers):
                super().emit(record)

    return Handler


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
        if (module := sys.modules.get("logging")) is not None:
            standard: type[logging.Logger] = module.Logger
            if isinstance(self._log, standard):
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
        return Logger(_DEBUG if verbose else _INFO)
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
    try:
        import traceback  # noqa: PLC0415 -- it takes 1 ms
    except ImportError:  # the program ends, and its files are gone
        return repr(error)
    whole = traceback.TracebackException.from_exception(error)
    parts: list[TracebackException | None] = [whole]
    while parts:
        part = parts.pop()
        if part is not None:
            for frame in part.stack:
                frame.colno = None
            parts += [part.__cause__, part.__context__, *(part.exceptions or ())]
    return "".join(whole.format()).rstrip()
