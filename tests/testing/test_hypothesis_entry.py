"""Hypothesis knows every model, and does not load storify for it."""

import os
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.strategies._internal import attrs as inside

import _storify_hypothesis
from storify import Model
from storify.testing import same

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what an installed storify tells of its entry points."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "storify_entry-1.dist-info"
    info.mkdir()
    points = PROJECT["project"]["entry-points"]["hypothesis"]
    lines = "\n".join(f"{name} = {target}" for name, target in points.items())
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: storify-entry\nVersion: 1\n"
    )
    (info / "entry_points.txt").write_text(f"[hypothesis]\n{lines}\n")
    return folder


def run(folder: Path, program: str) -> str:
    """Run a program where storify is installed, and give its output."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(  # noqa: S603 -- our own program
        [sys.executable, "-c", textwrap.dedent(program)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_hypothesis_does_not_import_storify(installed):
    """The entry point ran, and nothing of storify was loaded, nor attrs by it.

    Where trio is installed Hypothesis loads that, and with it attrs.
    """
    out = run(
        installed,
        """
        import sys
        import hypothesis
        print("_storify_hypothesis" in sys.modules)
        ours = {"storify"} if "trio" in sys.modules else {"storify", "attrs"}
        print([name for name in sys.modules if name.split(".")[0] in ours])
        """,
    )

    assert out.split("\n") == ["True", "[]", ""]


@pytest.mark.parametrize("first", ["storify", "hypothesis"])
def test_whichever_comes_first_the_models_are_known(installed, first):
    """Classes made before and after, by `from_type` and by `builds`."""
    out = run(
        installed,
        f"""
        import {first}
        from attrs import validators
        from storify import Model, field

        class Before(Model):
            n: int = field(validator=[validators.ge(3), validators.lt(5)])

        from hypothesis import given, settings, strategies as st

        class After(Model):
            before: Before
            word: str = field(validator=validators.matches_re("a+"), default="a")

        seen = set()

        @settings(database=None)
        @given(st.from_type(Before), st.builds(Before), st.from_type(After))
        def test(one, other, after):
            seen.update([one.n, other.n, after.before.n])

        test()
        print(sorted(seen))
        """,
    )

    assert out == "[3, 4]\n"


def test_importing_storify_alone_does_not_import_hypothesis(installed):
    """Nor does making a model."""
    out = run(
        installed,
        """
        import sys
        from storify import Model

        class User(Model):
            name: str

        print("hypothesis" in sys.modules, "_storify_hypothesis" in sys.modules)
        """,
    )

    assert out == "False False\n"


def test_setup_waits_for_models(monkeypatch):
    """Where storify is not there, or only half, nothing is done."""
    told = []
    monkeypatch.setattr(_storify_hypothesis, "register", told.append)
    _storify_hypothesis.setup()
    assert Model.__subclasses__()[0] in told
    told.clear()

    monkeypatch.delitem(sys.modules, "storify.models.base")
    _storify_hypothesis.setup()

    assert told == []


def test_a_hypothesis_without_this_hook_is_left_alone(monkeypatch):
    """Then `builds` draws what Hypothesis itself finds out."""
    monkeypatch.delattr(inside, "from_attrs")

    class Late(Model):
        n: int

    assert not hasattr(inside, "from_attrs")
    assert not _storify_hypothesis.is_registered(Late)


def test_bases_of_others_do_not_draw_models():
    """``from_type(Hashable)`` is for whatever it was before."""

    class Frozen(Model, frozen=True):
        n: int

    strategy = _storify_hypothesis._Strategy(Frozen)

    assert strategy(int) is NotImplemented
    assert repr(strategy).startswith("models(")
    assert same(type(strategy(Frozen)), type(st.deferred(st.none)))
    assert strategy(Frozen) is not NotImplemented


def test_the_wheel_holds_the_entry_point():
    """It lies beside the package, and needs no other file."""
    build = PROJECT["tool"]["hatch"]["build"]["targets"]

    assert "_storify_hypothesis.py" in build["wheel"]["only-include"]
    assert "/_storify_hypothesis.py" in build["sdist"]["include"]


def test_without_hypothesis_the_kit_says_where_it_comes_from(installed):
    """The message names the extra."""
    out = run(
        installed,
        """
        import sys

        sys.modules["hypothesis"] = None
        try:
            import storify.testing
        except ModuleNotFoundError as error:
            print(error.name, error)
        """,
    )

    assert out.startswith("hypothesis storify.testing needs Hypothesis")
    assert "storify[testing]" in out
