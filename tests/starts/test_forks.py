"""Children of `os.fork` have nothing of ours, wherever the parent stands then."""

import itertools
import os
import signal

import pytest

from faults.programs import run
from faults.sampling import runs, sample
from starts.forking import PLACES
from starts.outcome import content, is_about_fork, outcome

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

CODES = {
    "normal": 0,
    "exit": 3,
    "exception": 1,
    "at once": 0,
    "terminate": -signal.SIGTERM,
}
CELLS = list(itertools.product(PLACES, ["sets", "changes", "leaves"], CODES))
#: Where the lock on disk is free, so that the child can save.
FREE = [place for place in PLACES if "transaction" not in place]
OWN = list(itertools.product(FREE, ["normal", "exit", "exception", "terminate"]))

UNSAVED = {"list": ["saved", "parent"], "parent": "unsaved"}
WRITERS = {"in a transaction": "by the parent", "beside a transaction": "by a thread"}


def ends(where: str, code: int) -> list[str]:
    """What is said of ends: of a grandchild's, also that of its parent."""
    return [f"ended {code}", *(["ended 0"] if where == "in a child" else [])]


@pytest.mark.parametrize(("where", "work", "end"), sample(CELLS, 6, "forks"))
def test_a_child_saves_nothing_of_its_parent(tmp_path, where, work, end):
    """What the parent has not saved is saved by the parent; the child says what it is."""
    lines, logged = outcome(
        "forking", where, f"{work} what it inherits", end, tmp_path / "data"
    )

    in_transaction = where == "in a transaction"
    begun = "saved saved" if where not in WRITERS else "unsaved saved parent"
    # A child inside of its parent's transaction must not leave it as if it committed.
    code = 1 if in_transaction and end == "normal" else CODES[end]
    assert lines == [f"file: list parent {begun}", *ends(where, code)]
    moved = {"moved": WRITERS[where]} if where in WRITERS else {}
    assert content(tmp_path / "data") == {**UNSAVED, **moved}
    # What a block changed is undone as it is left; the end at once is not seen.
    unseen = work == "leaves" or (work == "changes" and end == "at once")
    if unseen or (in_transaction and end != "terminate"):
        assert logged == []
    else:
        assert list(map(is_about_fork, logged)) == [True]


@pytest.mark.parametrize(("where", "end"), sample(OWN, 2, "own"))
def test_what_a_child_opens_is_saved_at_its_end(tmp_path, where, end):
    """It is the child's own, beside the same database of its parent."""
    lines, logged = outcome("forking", where, "opens", end, tmp_path / "data")

    assert lines == ["file: child list parent saved saved", *ends(where, CODES[end])]
    assert logged == []
    assert content(tmp_path / "data") == {**UNSAVED, "child": 1}


def test_what_a_child_cannot_save_as_its_parent_has_the_lock_is_put_aside(tmp_path):
    """The parent waits for the child: the child does not wait for ever."""
    place, end = "in a transaction", "exit"

    lines, [line] = outcome("forking", place, "opens", end, tmp_path / "data")

    assert lines[-1] == "ended 3"
    assert "was not saved: cannot lock" in line
    assert "what can be stored is in" in line


def test_a_child_that_is_terminated_at_once_ends(tmp_path):
    """A signal that comes before the child runs any code is not lost."""
    assert run("starts.early", runs(20, 500), tmp_path / "data") == ["0"]
