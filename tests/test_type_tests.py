"""The type tests: how many there are, and that each wrong line is an error in both."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TYPING = ROOT / "tests" / "typing"
#: In `tests/typing/readme.py`, what follows is not on the page.
MARKER = "# -- what type checkers see of it; "
#: As of which Python the wrong lines are checked; `make lint` checks as of the oldest.
VERSION = "3.13"
IGNORE = re.compile(r"  # (type|pyright): ignore\[[^\]]+\]")

#: A file and a line in it.
Place = tuple[str, int]

EXPECTED = """\
misfits of old data: []
rewritten: {'articles': 0, 'counts': 0, 'shown': 0, 'users': 2}
ann: Ann Smith 1990-05-17 READER
adults: ['Cy', 'Ann']
long: 1 [2] Tides
pen names: ['C. Y.']
pages: 3
by email: Ann
tides: ['Tides'] False
author: Cy boss: Ann
clicks: 1 2
twice: ['ann', 'dee']
refused: $['second'].items[0]
misfit: articles $[1].author dangling ref
misfit: articles $[2].author dangling ref
changed: {'ann'}
then: [Address(city='Paris', street='')]
restored: [{'city': 'Paris', 'street': ''}] True
"""


def marked(*files: Path) -> set[Place]:
    """Give the lines where a checker is told to ignore an error."""
    return {
        (file.name, n)
        for file in files
        for n, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if IGNORE.search(line)
    }


def run(*arguments: str, cwd: Path | None = None) -> str:
    """Run Python and give what it prints; pytest shows the rest if a test fails."""
    done = subprocess.run(  # noqa: S603 -- our own commands
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stderr, file=sys.stderr)  # noqa: T201 -- as said above
    return done.stdout


def mypy_errors(folder: Path, names: Sequence[str]) -> set[Place]:
    """Give the lines where mypy reports an error, as configured for the project."""
    # Not by mypy.api: it would raise the recursion limit of the other tests.
    out = run(
        *("-m", "mypy", "--no-pretty"),
        f"--config-file={ROOT / 'mypy.ini'}",
        f"--python-version={VERSION}",
        f"--cache-dir={folder / 'cache'}",
        *(str(folder / name) for name in names),
    )
    found = re.findall(r"^(.+?):(\d+): error", out, re.MULTILINE)
    return {(Path(file).name, int(line)) for file, line in found}


def pyright_errors(folder: Path, names: Sequence[str]) -> set[Place]:
    """Give the lines where pyright reports an error, as configured for the project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    settings = project["tool"]["pyright"] | {
        "include": names,
        "stubPath": str(ROOT / "typings"),
        "extraPaths": [str(ROOT)],
        "pythonVersion": VERSION,
    }
    del settings["venv"], settings["venvPath"]  # that of this process instead
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    out = run(
        *("-m", "pyright", "--outputjson"),
        *("--project", str(folder), "--pythonpath", sys.executable),
    )
    found = json.loads(out)["generalDiagnostics"]
    return {
        (Path(each["file"]).name, 1 + each["range"]["start"]["line"])
        for each in found
        if each["severity"] == "error"
    }


@pytest.mark.parametrize("errors", [mypy_errors, pyright_errors])
def test_each_wrong_line_and_no_other_is_reported(
    errors: Callable[[Path, Sequence[str]], set[Place]], tmp_path: Path
):
    """Without the ignores, a checker reports exactly the lines that had them."""
    names = ["wrong.py", "replace.py"]
    shutil.copy(TYPING / "program.py", tmp_path)
    for name in names:
        text = (TYPING / name).read_text("utf-8")
        (tmp_path / name).write_text(IGNORE.sub("", text), "utf-8")

    found = errors(tmp_path, names)

    assert found == marked(*(TYPING / name for name in names))


def test_there_are_enough_type_tests():
    """At least 60 types are asserted."""
    trees = [ast.parse(file.read_text("utf-8")) for file in TYPING.glob("*.py")]

    asserted = [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "assert_type"
    ]

    assert len(asserted) >= 60


def test_there_are_enough_wrong_lines():
    """At least 25 mistakes are shown, no two the same, each for both checkers."""
    text = (TYPING / "wrong.py").read_text("utf-8")

    lines = [line for line in text.splitlines() if IGNORE.search(line)]

    assert len({IGNORE.sub("", line) for line in lines}) == len(lines) >= 25
    assert all(IGNORE.findall(line) == ["type", "pyright"] for line in lines)


def test_the_first_example_of_the_readme_is_type_checked():
    """It is a file of the type tests, word for word."""
    page = (ROOT / "README.md").read_text("utf-8")
    file = (TYPING / "readme.py").read_text("utf-8")

    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)

    assert example is not None
    assert file.partition(MARKER)[0].rstrip("\n") == example[1].rstrip("\n")


def test_the_program_runs(tmp_path: Path):
    """The program that both checkers find clean does what it says."""
    out = run("-W", "error", str(TYPING / "program.py"), cwd=tmp_path)

    assert out == EXPECTED
