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
from sybil.integration.pytest import SybilItem
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.markdown import PythonCodeBlockParser


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what is one program together."""
    for item in items:
        if isinstance(item, SybilItem):
            item.add_marker(pytest.mark.xdist_group(item.path.name))
