"""Programs in processes of their own, that are told apart by what they say.

Each runs a module of the tests, of this folder unless it is named whole, and writes
lines that a test reads. Coverage is not measured in them: most are killed, some on a
disk that breaks.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from faults.sampling import runs

TESTS = Path(__file__).parents[1]

#: Longer than anything takes; then it is killed and the test fails.
PATIENCE_S = runs(120, 7200)


class Program:
    """A running module, ``python -m faults.<module>``, with arguments.

    Args:
        module: Its name; one with a dot is of another folder.
        arguments: What it gets.
        env: What its environment has besides ours.
    """

    def __init__(
        self, module: str, *arguments: object, env: Mapping[str, str] | None = None
    ) -> None:
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("COV_", "COVERAGE_"))
        }
        path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
        name = module if "." in module else f"faults.{module}"
        self.process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", name, *map(str, arguments)],
            env={**inherited, "PYTHONPATH": path, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self._input, self._output = self.process.stdin, self.process.stdout
        self._errors = self.process.stderr
        self._timer = threading.Timer(PATIENCE_S, self.process.kill)
        self._timer.daemon = True
        self._timer.start()

    def line(self) -> str:
        """The next line that it says; empty at its end."""
        return self._output.readline().rstrip("\n")

    def lines(self) -> Iterator[str]:
        """All further lines."""
        while line := self.line():
            yield line

    def go(self) -> None:
        """Let it go on from where it waits for us."""
        self._input.write("\n")
        self._input.flush()

    def kill(self) -> None:
        """End it as the system does when it needs memory: SIGKILL."""
        self.process.kill()

    def end(self) -> tuple[int, list[str], str]:
        """Wait for its end; give the exit code, lines not read, and errors."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        rest = list(self.lines())
        errors = self._errors.read()
        code = self.process.wait()
        self._timer.cancel()
        self._output.close()
        self._errors.close()
        return code, rest, errors

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """See to it that nothing runs on, whatever happened to the test."""
        if not self._output.closed:
            self.kill()
            self.end()


def run(
    module: str, *arguments: object, env: Mapping[str, str] | None = None
) -> list[str]:
    """Run a module that must succeed; give what it said."""
    with Program(module, *arguments, env=env) as program:
        code, lines, errors = program.end()
    assert code == 0, errors
    return lines


def say(*words: object) -> None:
    """Write a line to the test, at once: the next call may be the last."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())
