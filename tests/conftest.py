"""Settings and fixtures shared by all tests; ``sf`` is that of our own plugin."""

import gc
import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from faults.sampling import DEPTH, sample
from places import PLACES, open_place
from storify import Storify
from storify._fixtures import MakeStorify

#: The suites of what holds in each place.
EVERYWHERE = {"database", "guide", "importers", "manager"}
#: With so many tests, those of a file that somebody works on, none is left out.
FEW = 1_000
#: So many cases of a test are tried at least.
CASES = 3

# A shell, or nohup, lets what runs in the background ignore these: tests strike with them.
for _name, _usual in [
    ("SIGINT", signal.default_int_handler),
    ("SIGHUP", signal.SIG_DFL),
]:
    _number = getattr(signal, _name, None)  # Windows has no SIGHUP
    if _number is not None and signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

# The machines are shared and noisy: a slow example is no failure.
noisy = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", noisy, max_examples=12)
# On a test server the same examples in each run: what fails there is of the change.
settings.register_profile("ci", noisy, derandomize=True, database=None, print_blob=True)
settings.register_profile("soak", noisy, max_examples=5_000)
settings.load_profile(DEPTH)


def pytest_collection_finish() -> None:
    """What is loaded stays: each test that collects need not look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The folder for databases, that of ``sf``; it does not exist before."""
    yield tmp_path / "data"
    gc.collect()  # databases of this test are flushed before the next one starts


@pytest.fixture
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """What a Storify is opened with: a folder, memory, or a server, each in turn.

    A test with the marker ``files`` runs in a folder alone, one that is ``lasting``
    not in memory; each says why.
    """
    with open_place(getattr(request, "param", "files"), tmp_path / "data") as place:
        yield place
        gc.collect()  # as above


@pytest.fixture
def sf(anywhere: str, make_storify: MakeStorify) -> Storify:
    """A Storify in that place."""
    return make_storify(anywhere)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what may be anywhere in each kind of place."""
    test = metafunc.definition
    marker = test.get_closest_marker("files")
    if marker is not None:
        (_why,) = marker.args
    elif "root" in metafunc.fixturenames and test.path.parent.name in EVERYWHERE:
        msg = f"{test.nodeid} asks for a folder: let it be `anywhere`, or mark it files(why)"
        raise pytest.UsageError(msg)
    elif "anywhere" in metafunc.fixturenames:
        lasts = test.get_closest_marker("lasting") is not None
        kinds = [kind for kind in PLACES if not (lasts and kind == "memory")]
        metafunc.parametrize("anywhere", kinds, indirect=True)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Run a sample, of a quick run alone.

    A quarter of what runs in memory and of what runs on the server, as the same runs in
    a folder; of a test on a disk with many cases a quarter; nothing that is deep.
    """
    if DEPTH != "quick" or len(items) <= FEW:
        return
    deep = [item for item in items if item.get_closest_marker("deep")]
    kinds: dict[object, list[pytest.Item]] = {}
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        kind = _kind_of(item)
        if kind in {"memory", "server"}:
            kinds.setdefault(kind, []).append(item)
        elif "tmp_path_factory" in getattr(item, "fixturenames", ()):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left = {*deep}
    for there in kinds.values():
        left |= {*there} - {*sample(there, len(there) // 4)}
    for all_cases in cases.values():
        some = sample(all_cases, max(CASES, len(all_cases) // 4))
        left |= {*all_cases} - {*some}
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=list(left))


def _kind_of(item: pytest.Item) -> object:
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("anywhere")


@pytest.fixture(autouse=True)
def _fresh_logger() -> Iterator[None]:
    """The default logger is as in a new process."""
    logger = logging.getLogger("storify")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    yield
    logger.handlers.clear()
