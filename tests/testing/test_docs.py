"""The tests that README and "Prove your persistence" show: they run, and fail as shown.

Their examples run with all others; here pytest runs what they define.
"""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from faults.sampling import DEPTH

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "docs/how-to/testing.md"]

#: Fewer programs of the machines that pass: others have them run for long. And, where
#: so many are asked for, fewer points of the loops that pass.
CONFTEST = """\
from hypothesis import settings

settings.register_profile("page", max_examples=20)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.name not in {failing}:
            item.add_marker("storify_crash")
"""
POINTS = ["--storify-crash=12"] if DEPTH == "quick" else []

_BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TEST = re.compile(r"^(?:def (test_\w+)|(Test\w+) =)", re.MULTILINE)


class Failure(NamedTuple):
    """A test of a page that must fail, and what the page shows of it."""

    page: str
    test: str
    shown: str


def names_in(code: str) -> list[str]:
    """Name the tests, as pytest does."""
    return ["".join(found.groups(default="")) for found in _TEST.finditer(code)]


def read_page(page: str) -> tuple[str, list[Failure]]:
    """Give a page's Python as one file, and what must fail in it.

    A test fails if what it prints is shown in a block of text right after it.
    """
    program, failures, last = "", [], ""
    for kind, text in _BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if kind == "python":
            program += text
            last = ["", *names_in(text)][-1]
        else:
            failures.append(Failure(page, last, text))
    return program, failures


FAILURES = [failure for page in PAGES for failure in read_page(page)[1]]


@pytest.fixture(scope="module")
def output_of(tmp_path_factory):
    """Give what pytest prints of a page's tests, in a folder of their own."""

    @cache
    def output_of(page: str) -> str:
        folder = tmp_path_factory.mktemp("page")
        program, failures = read_page(page)
        conftest = CONFTEST.format(failing=[failure.test for failure in failures])
        (folder / "conftest.py").write_text(conftest, encoding="utf-8")
        file = folder / "test_page.py"
        file.write_text(program, encoding="utf-8")
        return subprocess.run(  # noqa: S603 -- our own program
            [
                sys.executable,
                "-m",
                "pytest",
                "-rpfE",
                "-p",
                "no:cacheprovider",
                "--hypothesis-seed=0",
                "--hypothesis-profile=page",
                *POINTS,
                f"--rootdir={folder}",
                str(file),
            ],
            check=False,
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=folder,
            timeout=600,
        ).stdout

    return output_of


@pytest.mark.deep("it runs the tests of a page")
@pytest.mark.parametrize("page", PAGES)
def test_those_fail_of_which_a_failure_is_shown_and_no_others(output_of, page):
    """All other tests of the page pass."""
    program, failures = read_page(page)
    output = output_of(page)

    failed = re.findall(r"^(?:FAILED|ERROR) \S*?::(\w+)", output, re.MULTILINE)
    passed = re.findall(r"^PASSED \S*?::(\w+)", output, re.MULTILINE)

    assert set(failed) == {failure.test for failure in failures}, output
    assert set(names_in(program)) == {*failed, *passed}, output


@pytest.mark.deep("it runs the tests of a page")
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.test)
def test_a_failure_is_printed_as_it_is_shown(output_of, failure):
    """Line by line, but for what the page leaves out."""
    output = output_of(failure.page)

    parts = [re.escape(part) for part in failure.shown.rstrip().split("…")]
    assert re.search(".*?".join(parts), output, re.DOTALL), output
