"""How the library is written: what a reader of the code and its reference can rely on."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "storify"
SOURCES = sorted(ROOT.rglob("*.py"))

#: First words of a docstring that say what a function does to its caller, or stand in
#: the place of a noun.
SHUNNED = {
    *("Give", "Gives", "Returns", "This", "That", "Those", "It", "As", "What", "Which"),
    *("Who", "Whoever", "Whatever", "Where", "When", "How"),
}


def docstrings(source):
    """The docstrings of a module, each with its line."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    kinds = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text


@pytest.mark.parametrize(
    "source", SOURCES, ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_docstring_begins_with_what_the_thing_is_or_does(source):
    """Not with whom it serves, nor with itself."""
    first = [(line, text.split(maxsplit=1)[0]) for line, text in docstrings(source)]

    assert [each for each in first if each[1] in SHUNNED] == []
