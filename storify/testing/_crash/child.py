"""A run in a process of its own, which really ends at its crash point.

The process is a new interpreter, so the scenario is looked up there by its name.
What it has to report, it sends before it ends.
"""

import os
import signal
import sys
import traceback
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from storify.testing._crash.run import Report, Run, Scenario

__all__ = ["run_in_child"]


def run_in_child(
    scenario: Scenario, folder: Path, at: int = 0, what: int | str = "kill"
) -> Report:
    """Run as `Run` does, in a process that ends there.

    Raises:
        TypeError: The scenario cannot be found by its name.
        RuntimeError: The process ended before it could report.
    """
    _require_importable(scenario)
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, scenario, folder, at, what))
    process.start()
    sender.close()
    with receiver:
        try:
            report: Report | None = receiver.recv()
        except EOFError:
            report = None
    process.join()
    code = process.exitcode
    process.close()
    if report is None:
        msg = (
            f"cannot run {scenario!r} in a child process: it ended with code {code} "
            f"before the scenario did; see what it wrote to stderr"
        )
        raise RuntimeError(msg)
    return report


def _require_importable(scenario: Scenario) -> None:
    name = getattr(scenario, "__qualname__", "")
    found: object = sys.modules.get(getattr(scenario, "__module__", ""))
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not scenario:
        msg = (
            f"cannot run {scenario!r} in a child process: it is not found by its "
            f"name; use a function of a module"
        )
        raise TypeError(msg)


def _run(  # pragma: no cover - it is killed, and its coverage with it
    sender: "Connection[Report, Report]",
    scenario: Scenario,
    folder: Path,
    at: int,
    what: int | str,
) -> None:
    def end() -> NoReturn:
        run.sum_up()
        _send(sender, run.report)
        # Without SIGKILL, which is on Windows, this ends it as suddenly.
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        os._exit(1)

    run = Run(scenario, folder, at, what, last_words=end)
    run()
    end()


def _send(  # pragma: no cover - as above
    sender: "Connection[Report, Report]", report: Report
) -> None:
    if report.error is not None:
        # The traceback stays behind.
        report.error.add_note("".join(traceback.format_exception(report.error)))
    try:
        sender.send(report)
    except Exception as error:  # noqa: BLE001 - whatever the user's objects raise
        msg = (
            f"cannot report from a child process: {error}; give to done(...), and "
            f"raise, what can be pickled"
        )
        sender.send(Report(calls=report.calls, error=RuntimeError(msg)))
