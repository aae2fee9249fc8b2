"""Run the examples in the Markdown files and in the docstrings of the package.

Each file is one program: its examples share their names and run in order, in an
empty folder, and by one worker.
"""

import os
import tempfile
from typing import Any

import pytest
from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.markdown import PythonCodeBlockParser
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling


def enter_folder(namespace: dict[str, Any]) -> None:
    """Go to an empty folder."""
    namespace["_home"] = os.getcwd()  # noqa: PTH109 - to come back to
    namespace["_folder"] = tempfile.TemporaryDirectory()
    namespace["__name__"] = "__main__"
    os.chdir(namespace["_folder"].name)


def leave_folder(namespace: dict[str, Any]) -> None:
    """Close what the examples left open, and go back."""
    for value in namespace.values():
        if type(value).__name__ in {"Storify", "Database"}:
            value.close()
    os.chdir(namespace["_home"])
    namespace["_folder"].cleanup()


_markdown = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["*.md"],
    setup=enter_folder,
    teardown=leave_folder,
)
_docstrings = Sybil(
    parsers=[DocTestParser()],
    patterns=["storify/*.py", "storify/**/*.py"],
    document_types={".py": PythonDocStringDocument},
)
pytest_collect_file = (_markdown + _docstrings).pytest()


#: What they need is made once for the file, and takes long.
TOGETHER = {"tests/testing/test_docs.py", "tests/testing/test_downstream.py"}


class Scheduler(LoadScopeScheduling):
    """Tests one by one to the worker that is free, and a program as a whole to one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", maxsplit=1)[0]
        is_test = file.startswith("tests/") and file not in TOGETHER
        return nodeid if is_test else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduler:
    """Schedule with ours, whatever ``--dist`` says."""
    return Scheduler(config, log)
