"""A fault at each call of the C library that a real process makes to its disk.

The calls are those of the whole library by its public names, whatever module
makes them; `test_each_call` does the same inside one process, for the engine.
"""

from pathlib import Path

import pytest

from faults import requires
from faults.mounts import command
from faults.programs import run
from faults.scenarios import CONTROL, SCENARIOS

pytestmark = [pytest.mark.crash, requires.compiler()]

#: In a quick run, each fault is at so many calls of a scenario.
QUICK = 1


@pytest.fixture(scope="session")
def shim(tmp_path_factory) -> Path:
    """The compiled faults, loaded before the C library."""
    source = Path(__file__).with_name("faultio.c")
    built = tmp_path_factory.mktemp("shim") / "faultio.so"
    words = "-shared -fPIC -O2 -Wall -Wextra -Werror".split()  # noqa: SIM905
    command("gcc", *words, "-o", built, source, "-ldl")
    return built


def broken(
    shim: Path, folder: Path, scenario: str, *faults: str, times: int = 1
) -> list[str]:
    """Strike at each call, or at some; give the broken promises."""
    *problems, end = run(
        "struck",
        *(scenario, times, folder, QUICK, *faults),
        env={"LD_PRELOAD": str(shim)},
    )
    what, count = end.split()
    assert what == "struck"
    assert int(count)
    return problems


PROMISED = [name for name in SCENARIOS if name != CONTROL]


@pytest.mark.parametrize("scenario", PROMISED)
def test_a_killed_process_leaves_the_old_or_the_new_state(shim, tmp_path, scenario):
    """Whole, with all good backups, and the same can be done again."""
    assert broken(shim, tmp_path, scenario, "kill", "tear") == []


@pytest.mark.parametrize("scenario", PROMISED)
def test_an_error_is_raised_or_the_state_is_saved(shim, tmp_path, scenario):
    """At one call or all that follow; then the same process can do it again."""
    faults = ["fail:EIO", "fail:ENOSPC", "stay:EIO", "stay:ENOSPC"]

    assert broken(shim, tmp_path, scenario, *faults) == []


@pytest.mark.parametrize("scenario", ["seventh save", "append"])
def test_rarer_errors_are_raised_or_the_state_is_saved(shim, tmp_path, scenario):
    """Quota, permissions, read-only disks, too many files, interruptions."""
    names = ["EDQUOT", "EACCES", "EROFS", "EMFILE", "EINTR"]

    assert broken(shim, tmp_path, scenario, *(f"fail:{name}" for name in names)) == []


@pytest.mark.parametrize("scenario", ["seventh save", "append", "save and close"])
def test_a_write_that_takes_a_part_is_completed(shim, tmp_path, scenario):
    """The rest is written by another call, and nothing is raised or lost."""
    assert broken(shim, tmp_path, scenario, "short") == []


@pytest.mark.parametrize(
    "scenario",
    ["second save", "seventh save", "append", "save and close", "recovery", "rename"],
)
def test_eight_failures_in_a_row_cost_nothing(shim, tmp_path, scenario):
    """The last acknowledged state and all good backups are there still."""
    assert broken(shim, tmp_path, scenario, "kill", "fail:ENOSPC", times=8) == []


def test_a_writer_that_overwrites_its_file_is_caught(shim, tmp_path):
    """The control: who writes over the only copy loses it, and the test sees that."""
    assert broken(shim, tmp_path, CONTROL, "tear") != []
