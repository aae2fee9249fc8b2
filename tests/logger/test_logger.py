"""The logger of the guide, and what is accepted in its place."""

import ast
import logging
import subprocess
import sys

import pytest

from storify.logger import Logger, LoggerLike, adapt, formatted


class FourMethods:
    """A logger without ``traceback`` that is no ``logging.Logger``."""

    def __init__(self):
        self.lines = []

    def _take(self, msg):
        self.lines.append(msg)

    debug = info = warning = error = _take


def test_the_default_logger_writes_to_stderr_once(capsys):
    """However many are made: there is one handler in a process."""
    root_handlers = logging.getLogger().handlers[:]
    logging.getLogger().handlers.clear()
    try:
        Logger()
        Logger(logging.DEBUG).info("a line")
    finally:
        logging.getLogger().handlers[:] = root_handlers

    assert capsys.readouterr().err == "INFO: a line\n"


def test_a_root_logger_that_is_configured_later_writes_alone(capsys):
    """Each line stands there once, whatever comes first."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    root.handlers.clear()
    try:
        log = Logger()
        logging.basicConfig(format="root: %(message)s", stream=sys.stderr)
        log.info("a line")
        logging.getLogger("storify").propagate = False
        log.info("another")
    finally:
        logging.getLogger("storify").propagate = True
        root.handlers[:] = handlers

    assert capsys.readouterr().err == "root: a line\nINFO: another\n"


def test_a_configured_root_logger_is_left_alone(capsys):
    """A program that has handlers sees each line once, through its own."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        Logger().warning("a line")
    finally:
        logging.getLogger().removeHandler(handler)

    assert logging.getLogger("storify").handlers == []
    assert capsys.readouterr().err == ""


def test_traceback_adds_the_exception(caplog):
    """Outside of an except block the line stands alone."""
    log = Logger()

    log.traceback("quiet")
    try:
        raise ValueError("loud")  # noqa: EM101, TRY301 - a test's own error
    except ValueError:
        log.traceback("failed")

    assert [record.exc_info is None for record in caplog.records] == [True, False]


@pytest.mark.parametrize(
    "log",
    [Logger(), logging.getLogger("x"), FourMethods()],
    ids=["ours", "standard", "four methods"],
)
def test_every_accepted_logger_gets_all_five_methods(log):
    """What is complete already is used as it is."""
    adapted = adapt(log)

    assert isinstance(adapted, LoggerLike)
    assert (adapted is log) == isinstance(log, Logger)


def test_a_standard_logger_prints_the_traceback(caplog):
    """``traceback`` is added to it."""
    log = adapt(logging.getLogger("app"))
    try:
        raise ValueError("loud")  # noqa: EM101, TRY301 - a test's own error
    except ValueError:
        log.traceback("failed")

    assert "loud" in caplog.text


def test_another_logger_names_the_exception():
    """Of its error method only the message is known."""
    mine = FourMethods()
    log = adapt(mine)

    log.traceback("failed")
    try:
        raise ValueError("loud")  # noqa: EM101, TRY301 - a test's own error
    except ValueError:
        log.traceback("failed")

    assert mine.lines == ["failed", "failed: ValueError('loud')"]


def test_a_formatted_error_has_its_causes_and_no_marks(monkeypatch):
    """To find what to mark the parser is run, which another thread may be inside of."""

    def refuse(*args, **options):
        raise AssertionError

    def divide(numbers):
        return numbers[0] / numbers[1] + numbers[0]

    def fail():
        try:
            divide([1, 0])
        except ZeroDivisionError as error:
            raise ExceptionGroup("both", [ValueError("inner")]) from error  # noqa: EM101 - as above

    with pytest.raises(ExceptionGroup) as caught:
        fail()
    monkeypatch.setattr(ast, "parse", refuse)
    text = formatted(caught.value)

    assert "division by zero" in text
    assert "return numbers[0] / numbers[1] + numbers[0]" in text
    assert "ValueError: inner" in text
    assert "^" not in text


UNLOADED = """
import subprocess
import sys
from storify import Logger
log = Logger(int(sys.argv[1]))
log.debug("a detail")
log.info("a line")
try:
    raise ValueError("loud")
except ValueError:
    log.traceback("failed")
print("logging" in sys.modules)
import logging
log.error("another")
log.logger.setLevel(50)
log.error("not said")
"""


def run_unloaded(level):
    """Run it; return what it wrote to both streams."""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", UNLOADED, str(level)],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout, done.stderr


def test_where_nothing_uses_logging_the_same_lines_are_written_without_it():
    """With the level that was asked for, and an exception in full."""
    loaded, said = run_unloaded(logging.INFO)
    first, second, *traceback, _, last = said.splitlines()

    assert loaded == "False\n"
    assert (first, second) == ("INFO: a line", "ERROR: failed")
    assert traceback[0] == "Traceback (most recent call last):"
    assert last == "ERROR: another"
    assert run_unloaded(logging.DEBUG)[1].startswith("DEBUG: a detail\n")


LATE = """
import sys
from storify import Logger
Logger().info("a line")
other = Logger(10)
other.debug("a detail")
assert "logging" not in sys.modules
import logging
other.debug("another detail")
Logger().debug("nothing")
"""


def test_the_level_of_the_last_logger_holds_also_where_logging_comes_late():
    """As a second ``Storify(verbose=True)`` asks for."""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", LATE], check=True, capture_output=True, text=True
    )

    assert done.stderr == "INFO: a line\nDEBUG: a detail\nDEBUG: another detail\n"
