"""Every kind of value, in every position, is exact in a new process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kinds import KINDS
from positions import POSITIONS, cases
from reader import open_database
from table import END, START, table

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"
CASES = [f"{kind.name} {position}" for kind, position in cases()]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """Write all cases here, read and judge them in a new process."""
    folder = tmp_path_factory.mktemp("fidelity")
    with open_database(folder) as db:
        for kind, position in cases():
            db[f"{kind.name} {position}"] = POSITIONS[position][0](kind)
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(HERE / "reader.py"), str(folder)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_are_at_least_eighty_kinds():
    """Each with a name of its own."""
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 80


@pytest.mark.parametrize("case", CASES)
def test_a_value_comes_back_exactly(verdicts, case):
    """Equal, of the same type, with the same repr; NaN by its bits."""
    assert verdicts[case] is None


def test_the_table_in_the_readme_is_the_printed_one():
    """``python tests/fidelity/table.py`` prints it."""
    text = README.read_text(encoding="utf-8")

    assert text[text.index(START) : text.index(END)].strip() == (
        f"{START}\n{table()}".strip()
    )
