"""The pytest plugin: its fixtures, what makes a test fail at its end, its option."""

import subprocess
import sys
import threading

import pytest

from storify import Database, Storify, _fixtures
from storify.database.session import shutdown
from storify.testing import crash_points
from storify.threads import finish_all

pytest_plugins = ["pytester"]

MODELS = """
    from pathlib import Path

    import pytest

    from storify import Database, Model, Storify

    class User(Model):
        name: str
        age: int = 0

"""


def run(pytester, text, *arguments):
    """Run a test file in this process, as somebody who uses the plugin."""
    pytester.makepyfile(MODELS + text)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


# -- what it costs -----------------------------------------------------------------


def test_the_plugin_imports_neither_storify_nor_hypothesis():
    """It is loaded at every start of pytest."""
    code = (
        "import sys, storify_pytest;"
        "print({m.partition('.')[0] for m in sys.modules} & {'storify', 'hypothesis'})"
    )

    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout == "set()\n"


def test_pytest_loads_the_plugin_and_no_more(pytester):
    """Its fixtures are there in any project; storify comes with the first one used."""
    pytester.makepyfile(
        """
        import sys

        def test_a():
            assert "storify_pytest" in sys.modules
            assert "storify" not in sys.modules

        def test_b(sf):
            assert "storify" in sys.modules
            assert not any("hypothesis.strategies" in name for name in sys.modules)
        """
    )

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:cov")

    result.assert_outcomes(passed=2)


# -- fixtures ----------------------------------------------------------------------


def test_sf_is_closed_and_saved_after_the_test(pytester):
    """A test may end with unsaved changes: closing saves them."""
    result = run(
        pytester,
        """
    kept = []

    def test_first(sf, tmp_path):
        kept.append((sf, sf["users"]))
        sf["users"]["u1"] = "unsaved"
        assert sf.save_interval is None
        assert Path(sf.root) == tmp_path / "data"

    def test_second(tmp_path):
        (sf, users), = kept
        assert users.defunct
        assert all(db.defunct for db in sf.databases)
        assert dict(Storify(sf.root, save_interval=None)["users"]) == {"u1": "unsaved"}
    """,
    )

    result.assert_outcomes(passed=2)


def test_make_storify_opens_several(pytester):
    """Each folder is another one; one folder twice is as two programs."""
    result = run(
        pytester,
        """
    kept = []

    def test_first(sf, make_storify, memory_sf, tmp_path):
        kept.extend([sf, make_storify(), make_storify("a/b"), memory_sf,
                     make_storify(tmp_path / "c", save_interval=7, strict=True)])
        for number, each in enumerate(kept):
            each["db"][f"k{number}"] = number
            each.flush()
        assert [set(each["db"]) for each in kept] == [
            {"k0"}, {"k0", "k1"}, {"k2"}, {"k3"}, {"k4"}]
        assert kept[-1].save_interval == 7
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c", "data"]

    def test_second():
        assert all(db.defunct for sf in kept for db in sf.databases)
    """,
    )

    result.assert_outcomes(passed=2)


def test_storify_options_are_those_of_all(pytester):
    """A project overrides one fixture, and each Storify knows its models."""
    result = run(
        pytester,
        """
    @pytest.fixture
    def storify_options():
        return {"models": [User], "strict": True, "keep": 2}

    def test_options(sf, make_storify, memory_sf, reopen):
        for each in (sf, make_storify("other", keep=3), memory_sf):
            each["users"]["u1"] = ann = User("Ann", 30)
            again = reopen(each)
            assert again["users"]["u1"] == ann
            assert again["users"]["u1"] is not ann
            assert again.models == [User]
            assert again._strict
            assert again._saving.keep.last == (3 if each.root.endswith("other") else 2)
    """,
    )

    result.assert_outcomes(passed=1)


def test_what_was_reopened_is_closed_too(pytester):
    """However often, and by its Storify or its name."""
    result = run(
        pytester,
        """
    kept = []

    def test_first(sf, reopen):
        users = sf.get_db("users", model=User)
        users["u1"] = User("Ann")
        kept.append(users := reopen(users))
        assert users["u1"] == User("Ann")
        for _ in range(2):
            sf = reopen(sf)
            kept.append(sf["users"])
            assert kept[-1]["u1"] == User("Ann")

    def test_second():
        assert len(kept) == 3
        assert all(db.defunct for db in kept)
    """,
    )

    result.assert_outcomes(passed=2)


def test_a_fixture_for_all_examples_is_refused(pytester):
    """Hypothesis says so; `temp_db` is for that."""
    result = run(
        pytester,
        """
    from hypothesis import given, strategies as st
    from storify.testing import temp_db

    @given(st.integers())
    def test_fixture(sf, number):
        sf["db"]["a"] = number

    @given(st.integers())
    def test_block(number):
        with temp_db(engine="memory") as db:
            assert not db
            db["a"] = number
    """,
    )

    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*function-scoped fixture*"])


# -- what is lost ------------------------------------------------------------------

LOSSES = {
    "unstorable": (
        'sf["users"]["u1"] = object()',
        "'users' in *data: it could not be saved: UnstorableError: *'u1'*",
    ),
    "flush failed": (
        """sf["users"]["u1"] = object()
        with pytest.raises(TypeError):
            sf.flush()""",
        "'users' in *data: it could not be saved: UnstorableError: *'u1'*",
    ),
    "autosave failed": (
        """sf.save_interval = 1e-9
        sf["users"]["u1"] = object()
        sf.autosave()
        sf.save_interval = None  # else the background tries again, and succeeds
        del sf["users"]["u1"]""",
        "'users' in *data: an automatic save failed, and none followed: Unstorable*",
    ),
    "conflict": (
        """other = make_storify()
        sf["users"], other["users"]
        other["users"]["u1"] = 1
        sf["users"]["u1"] = 2""",
        "'users' in *data: it could not be saved: ConflictError: *",
    ),
    "transaction": (
        """block = sf["users"].transaction()
        block.__enter__()
        kept.append(block)""",
        "'users' in *data: it could not be closed: TransactionError: *",
    ),
    "in memory": (
        'memory_sf["users"]["u1"] = object()',
        "'users' in memory://*: it could not be saved: UnstorableError: *'u1'*",
    ),
    "dropped": (
        """db = Database(path=sf.root + "/db.mpack")
        db["u1"] = object()
        del db""",
        "the last flush of a database failed; its unsaved data are in *.unsaved.mpack",
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_test_that_loses_something_fails(pytester, name):
    """It says which database and why; nothing is open afterwards."""
    body, told = LOSSES[name]
    result = run(
        pytester,
        f"""
    kept = []

    def test_loss(sf, make_storify, memory_sf):
        kept.append(sf)
        sf["other"]["a"] = 1
        {body}

    def test_after():
        sf, *_ = kept
        kept.clear()
        assert dict(Storify(sf.root, save_interval=None)["other"]) == {{"a": 1}}
    """,
    )

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "unflushed loss: at the end of the test not all could be saved",
            f"  {told}",
            "what may be lost is closed in the test, with close(discard=True)",
        ]
    )


def test_what_is_lost_on_purpose_is_no_loss(pytester):
    """A test that discards, or tries again and succeeds, passes."""
    result = run(
        pytester,
        """
    def test_discard(sf):
        sf["users"]["u1"] = object()
        with pytest.raises(TypeError):
            sf.close()
        sf["users"].close(discard=True)

    def test_again(sf):
        sf.save_interval = 1e-9
        sf["users"]["u1"] = object()
        sf.autosave()
        del sf["users"]["u1"]
        sf.flush()
    """,
    )

    result.assert_outcomes(passed=2)


# -- crash points ------------------------------------------------------------------

CRASHES = """
    from storify.testing import crash_points

    def save(root):
        with Storify(root, save_interval=None) as sf:
            sf["db"]["a"] = 1

    @pytest.fixture
    def points(tmp_path):
        return crash_points(save, tmp_path, most=2)

    def test_unmarked(points):
        print("unmarked:", len(points))

    @pytest.mark.storify_crash
    def test_marked(points, tmp_path):
        print("marked:", len(points), len(crash_points(save, tmp_path)))
"""


def save(root):
    """Do what the tests in `CRASHES` do."""
    with Storify(root, save_interval=None) as sf:
        sf["db"]["a"] = 1


@pytest.mark.parametrize("asked", [None, "3", "all"])
def test_marked_tests_try_as_many_crash_points_as_asked(pytester, tmp_path, asked):
    """``--storify-crash`` overrides what they say; the others stay as they are."""
    whole = len(crash_points(save, tmp_path / "points"))
    expected = {None: (2, whole), "3": (3, 3), "all": (whole, whole)}[asked]
    option = [] if asked is None else [f"--storify-crash={asked}"]

    result = run(pytester, CRASHES, "-s", "--strict-markers", *option)

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*unmarked: 2", "*marked: {} {}".format(*expected)])


@pytest.mark.parametrize("asked", ["0", "-1", "some", "1.5", ""])
def test_a_depth_that_is_none_is_refused(pytester, asked):
    """Before anything runs, and it says what may be given."""
    result = run(pytester, CRASHES, f"--storify-crash={asked}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*a number of crash points, 1 or more, or all*"])


def test_the_last_flush_of_what_was_dropped_is_waited_for(tmp_path, monkeypatch):
    """It is done by another thread, which may be slow."""
    waited_for, finish = threading.Event(), shutdown._finish_orphan

    def finish_late(session):
        waited_for.wait(30)
        finish(session)

    def finish_all_now(timeout_s):
        waited_for.set()
        finish_all(timeout_s)

    monkeypatch.setattr(shutdown, "_finish_orphan", finish_late)
    monkeypatch.setattr(_fixtures, "finish_all", finish_all_now)
    made = _fixtures.Storifys(tmp_path, {})
    db = Database(path=f"{made.make().root}/db.mpack")
    db["u1"] = object()
    del db

    (told,) = made.close()

    assert told.startswith("the last flush of a database failed")
