"""Bytes of any kind as a database or its journal, and a fuzzer that makes more.

The inputs in ``fuzz/corpus`` are tried always. With ``atheris`` a fuzzer goes on
from them, for ``STORIFY_FUZZ_S`` seconds each: along one path, in a soak along others.
"""

import importlib.util
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.fuzz import targets
from faults.fuzz.targets import TARGETS
from faults.process import finish, start
from faults.sampling import SOAK
from storify.exceptions import DatabaseLoadError

CORPUS = Path(__file__).parent / "fuzz" / "corpus"
INPUTS = sorted(path for path in CORPUS.rglob("*") if path.is_file())
#: Of the processor, for one input.
LIMIT_S = 5
SECONDS = int(os.environ.get("STORIFY_FUZZ_S", "1"))


class HangError(Exception):
    """An input took longer than any may."""


@contextmanager
def in_time() -> Iterator[None]:
    """Raise where the code is when the time is over."""

    def stop(_number, _frame):
        raise HangError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_each_target_has_inputs():
    """A few dozen, all of them small."""
    assert {path.parent.name for path in INPUTS} == set(TARGETS)
    assert all(path.stat().st_size < 10_000 for path in INPUTS)
    assert len(INPUTS) > 50


@pytest.mark.parametrize(
    "path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_a_kept_input_does_no_harm(path):
    """It is loaded or refused, in time and in little memory."""
    with in_time():
        TARGETS[path.parent.name](path.read_bytes())


def test_a_target_notices_what_it_must(monkeypatch):
    """Mutants: an engine that takes anything, and one that takes all memory."""

    class Trusting(type(targets.FORMAT)):
        def check(self, payload):
            """Nothing is looked at."""

    with monkeypatch.context() as patch:
        engine = targets.make_engine
        patch.setattr(
            targets,
            "make_engine",
            lambda path, **more: _with_format(engine(path, **more), Trusting()),
        )
        with pytest.raises(DatabaseLoadError, match="data"):
            targets.load(b"\x81\xa1a")
    with pytest.raises(AssertionError, match="bytes for 10"), targets.bounded(10):
        bytearray(targets.SPARE_BYTES + 100)


def _with_format(engine, root_format):
    engine._access.root_format = root_format
    return engine


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="needs atheris (pip)"
)
@pytest.mark.skipif(SECONDS == 0, reason="STORIFY_FUZZ_S is 0")
@pytest.mark.parametrize("target", TARGETS)
def test_a_fuzzer_finds_nothing(tmp_path, target):
    """In the time that it has; a finding is an input that fails the test above."""
    corpus = tmp_path / "corpus"
    shutil.copytree(CORPUS / target, corpus)
    script = "import runpy; runpy.run_module('faults.fuzz.run', run_name='__main__')"
    options = [
        f"-artifact_prefix={tmp_path}/",
        "-rss_limit_mb=3072",  # the peak of who started it counts, too
        "-max_len=4096",
        "-timeout=10",
        f"-max_total_time={SECONDS}",
        *([] if SOAK else ["-seed=1"]),
    ]

    code, output, errors = finish(
        start(script, target, corpus, *options), timeout_s=SECONDS + 120
    )

    found = [path.read_bytes().hex() for path in tmp_path.iterdir() if path.is_file()]
    assert (code, found) == (0, []), (output + errors)[-3000:]
    assert "DONE" in errors or "Done" in errors, errors[-500:]
