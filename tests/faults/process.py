"""Running a script in a process of its own, with the tests' modules at hand."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start Python on a script; its output is collected."""
    return subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(
    process: subprocess.Popen[str], timeout_s: float = 60
) -> tuple[int, str, str]:
    """Wait for its end; give the exit code, output and errors."""
    output, errors = process.communicate(timeout=timeout_s)
    return process.returncode, output, errors


def run(script: str, *arguments: object) -> str:
    """Run a script that must succeed; give what it printed."""
    code, output, errors = finish(start(script, *arguments))
    assert code == 0, errors
    return output


MEASURED = """
import resource, sys, time
from storify import DatabaseLoadError, Storify

def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

sf = Storify(sys.argv[1], save_interval=None)
before, start = peak_kib(), time.process_time()
try:
    sf.get_db("db")
    print("loaded")
except DatabaseLoadError as err:
    print("refused")
print(time.process_time() - start, peak_kib() - before)
"""


def open_measured(root: Path) -> tuple[str, float, int]:
    """Open the database ``db`` in a new process.

    Returns:
        "loaded" or "refused", seconds of the processor, and KiB of new memory.
    """
    verdict, seconds, kib = run(MEASURED, root).split()
    return verdict, float(seconds), int(kib)
