"""The logger of the guide, and what is accepted in its place."""

import ast
import logging

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
