"""Children of multiprocessing, however started and ended: none loses without a word.

What nobody can see, `os._exit` and SIGKILL, is in no cell.
"""

import itertools
import multiprocessing
import signal

import pytest

from faults.sampling import sample
from starts.children import NAME
from starts.outcome import content, is_about_fork, outcome
from starts.starting import KINDS
from storify import Storify

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(
        "forkserver" not in multiprocessing.get_all_start_methods(),
        reason="needs fork",
    ),
]

#: Those that can be seen.
ENDS = ["normal", "exit", "exception", "terminate"]
METHODS = ["fork", "spawn", "forkserver"]
CELLS = list(itertools.product(METHODS, KINDS, ENDS))
INHERITED = list(
    itertools.product(KINDS, ENDS, ["sets", "changes", "leaves"]),
)

#: What the process ends with, where its end is not that of the worker of a pool.
CODES = {"normal": 0, "exit": 3, "exception": 1, "terminate": -signal.SIGTERM}


def code_of(kind: str, end: str) -> int:
    """The exit code: what is raised in a worker is mostly the task's end alone."""
    goes_on = {"Pool": {"exception"}, "ProcessPoolExecutor": {"exception", "exit"}}
    return 0 if end in goes_on.get(kind, ()) else CODES[end]


@pytest.mark.parametrize(("method", "kind", "end"), sample(CELLS, 6, "children"))
def test_what_a_child_has_set_is_saved_at_its_end(tmp_path, method, kind, end):
    """Nobody flushed it, and nothing needs to be said."""
    lines, logged = outcome("starting", method, kind, "opens", end, tmp_path / "data")

    assert lines == [f"ended {code_of(kind, end)}"]
    assert logged == []
    assert content(tmp_path / "data") == {"child": 1}


@pytest.mark.parametrize(
    ("method", "kind"), sample(list(itertools.product(METHODS, KINDS)), 2, "spoiled")
)
def test_what_cannot_be_saved_at_the_end_of_a_child_is_put_aside(
    tmp_path, method, kind
):
    """One line names the value and the file, and how it is brought back."""
    _, logged = outcome("starting", method, kind, "spoils", "normal", tmp_path / "data")

    [line] = logged
    assert line.startswith(f"ERROR: database {NAME!r} was not saved: ")
    assert "$['bad']" in line
    with Storify(tmp_path / "data", save_interval=None) as sf:
        db = sf[NAME]
        assert dict(db) == {}
        db.backups.restore(line.partition("db.backups.restore('")[2].partition("'")[0])
        assert dict(db) == {"child": 1}


@pytest.mark.parametrize(("kind", "end", "work"), sample(INHERITED, 4, "inherited"))
def test_a_forked_child_has_nothing_of_its_parent(tmp_path, kind, end, work):
    """No lock, no thread, no save at its end; what it changes is said, once."""
    lines, logged = outcome(
        "starting", "fork", kind, f"{work} what it inherits", end, tmp_path / "data"
    )

    assert lines == ["file: list parent saved saved", f"ended {code_of(kind, end)}"]
    assert content(tmp_path / "data") == {
        "parent": "unsaved",
        "list": ["saved", "parent"],
    }
    assert list(map(is_about_fork, logged)) == ([] if work == "leaves" else [True])
