"""Stand-ins for what a program passes in: a logger, a clock."""

import logging

__all__ = ["Clock", "Log"]


class Log:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def debug(self, msg):
        """Keep a line."""
        self.lines.append((logging.DEBUG, msg))

    def info(self, msg):
        """Keep a line."""
        self.lines.append((logging.INFO, msg))

    def warning(self, msg):
        """Keep a line."""
        self.lines.append((logging.WARNING, msg))

    def error(self, msg):
        """Keep a line."""
        self.lines.append((logging.ERROR, msg))

    def traceback(self, msg):
        """Keep a line."""
        self.lines.append((logging.ERROR, msg))

    @property
    def warnings(self) -> list[str]:
        """The lines of warnings and errors."""
        return [msg for level, msg in self.lines if level >= logging.WARNING]


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Give the time that the test set."""
        return self.now_s
