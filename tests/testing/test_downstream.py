"""The project in examples/inventory: it proves what it should, and the wheel serves it.

Its own tests are run as its developers run them: in an environment that has the built
wheel of storify, the extra ``testing`` and mypy, and nothing of this checkout.
"""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from faults.sampling import DEPTH, sample

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "examples" / "inventory"

#: What this run has in its environment and a user's has not. Chance is the same in
#: each run where there is ``CI``, for Hypothesis.
OURS = ("PYTHON", "PYTEST", "COV", "STORIFY", "HYPOTHESIS", "VIRTUAL_ENV")
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith(OURS)},
    "CI": "true",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}

#: What the wheel does by itself, without any extra.
PLAIN = """
import sys
from importlib.util import find_spec

from storify import Model, Storify

assert not [each for each in ("hypothesis", "pytest", "typer") if find_spec(each)]

class User(Model):
    name: str
    age: int = 0

with Storify(sys.argv[1]) as sf:
    users = sf.get_db("users", model=User)
    users["u1"] = User("Ann", 30)
    users["u1"].age += 1
with Storify(sys.argv[1], models=[User]) as sf:
    assert sf["users"]["u1"] == User("Ann", 31)
    assert sf.check() == []
    assert sf.get_db("users").where(lambda user: user.age > 30).count() == 1
print(sys.modules["storify"].__file__)
"""


def run(
    *command: str | Path, cwd: Path, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command as a user would, and give what came of it."""
    return subprocess.run(  # noqa: S603 -- our own commands
        command,
        cwd=cwd,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def succeed(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command that must succeed, and give what it printed."""
    done = run(*command, cwd=cwd, **environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def copied(to: Path) -> Path:
    """Copy the project, without what tools have left in it."""
    leftovers = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")
    return Path(shutil.copytree(PROJECT, to / "inventory", ignore=leftovers))


#: In a quick run, its tests take fewer examples, and points of a crash, than its
#: developers have them take.
FEWER = """
from hypothesis import settings

settings.register_profile("few", max_examples=10, deadline=None, derandomize=True)
settings.load_profile("few")
"""

#: It ends with the first find, which is not made shorter.
CONFTEST = """
from hypothesis import Phase, settings

settings.register_profile(
    "find",
    max_examples=300,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
)
settings.load_profile("find")
"""


# -- what its tests find -------------------------------------------------------------

SHIPPED = "order.status, order.closed = Status.SHIPPED, now\n"
CANCELLED = "order.status, order.closed = Status.CANCELLED, now\n"
INSIDE, OUTSIDE = " " * 12, " " * 8

#: A fault of the project by its name: the file, what stands there, what is planted
#: instead, the tests that must find it, and what they say.
FAULTS = {
    "two commits": (
        "warehouse.py",
        INSIDE + SHIPPED,
        OUTSIDE + SHIPPED + OUTSIDE + "self._records.flush()\n",
        "test_crashes.py",
        "crash point: ",
    ),
    "nothing saved": (
        "warehouse.py",
        INSIDE + CANCELLED,
        OUTSIDE + CANCELLED,
        "test_machine.py",
        "state.close(",
    ),
    "promised twice": (
        "warehouse.py",
        "if quantity > stock.free:",
        "if quantity > stock.on_hand:",
        "test_machine.py",
        "assert 0 <= stock.reserved <= stock.on_hand",
    ),
    "still reserved": (
        "warehouse.py",
        "                stock.reserved -= line.quantity\n",
        "",
        "test_machine.py",
        "state.close(",
    ),
    "a cent lost": (
        "models.py",
        'round(fields.pop("price") * 100)',
        'int(fields.pop("price") * 100)',
        "test_models.py",
        "assert_upgrades(ProductV0, Product): check says no",
    ),
}


@pytest.mark.parametrize("name", sample([*FAULTS], 1, "of the project"))
def test_the_tests_of_the_project_find_what_is_wrong_in_it(name, tmp_path):
    """They are not green by themselves: each of the kit's tools finds a fault."""
    file, old, new, tests, said = FAULTS[name]
    project = copied(tmp_path)
    path = project / "inventory" / file
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")
    (project / "conftest.py").write_text(CONFTEST, "utf-8")

    done = run(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"tests/{tests}"),
        cwd=project,
        PYTHONPATH=str(project),
    )

    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert said in done.stdout


# -- the wheel -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel of this checkout."""
    place = tmp_path_factory.mktemp("wheel")
    pip = partial(run, sys.executable, "-m", "pip", cwd=place)
    backend = place / "hatchling"
    got = pip("install", "--retries=1", "--target", backend, "hatchling")
    if got.returncode:
        told = got.stderr.strip().splitlines()
        pytest.skip(f"needs a package index: {told[-1] if told else 'pip failed'}")
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", place)
    built = pip("wheel", *options, ROOT, PYTHONPATH=str(backend))
    assert built.returncode == 0, built.stderr
    (path,) = place.glob("storify-*.whl")
    return path


def make_environment(place: Path, *requirements: str | Path) -> Path:
    """Make a clean environment; give its interpreter."""
    succeed(sys.executable, "-m", "venv", "--without-pip", place, cwd=place.parent)
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    succeed(*pip, "install", "--quiet", *requirements, cwd=place.parent)
    return python


@pytest.mark.deep("it builds a wheel and installs it")
def test_the_wheel_needs_no_extra(wheel, tmp_path):
    """What a program does works with what the plain wheel brings."""
    python = make_environment(tmp_path / "env", wheel)

    printed = succeed(python, "-c", PLAIN, tmp_path / "data", cwd=tmp_path)

    assert Path(printed.strip()).is_relative_to(tmp_path)


@pytest.mark.deep("it builds a wheel and installs it")
def test_the_project_passes_on_the_wheel(wheel, tmp_path):
    """Its tests and mypy, strict, in an environment with what it asks for."""
    project = copied(tmp_path)
    points = []
    if DEPTH == "quick":
        (project / "conftest.py").write_text(FEWER, "utf-8")
        points = ["--storify-crash=15"]
    python = make_environment(
        tmp_path / "env",
        *(
            f"storify @ {wheel.as_uri()}",
            project,
            "--group",
            project / "pyproject.toml:test",
        ),
    )

    where = succeed(
        python, "-c", "import storify; print(storify.__file__)", cwd=tmp_path
    )
    tested = succeed(python, "-m", "pytest", *points, cwd=project)
    checked = succeed(python, "-m", "mypy", cwd=project)

    assert Path(where.strip()).is_relative_to(tmp_path)
    assert " passed" in tested
    assert "skipped" not in tested
    assert checked.startswith("Success: no issues found in")
