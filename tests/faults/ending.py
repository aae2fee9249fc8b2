"""A program that has unsaved changes, generation 2, when it ends in some way.

``python -m faults.ending HOW FOLDER`` says ``ready`` when it is about to end.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.generations import SHAPES, open_db
from faults.programs import say

FORM = SHAPES["tiny"]

kept: dict[str, Any] = {}


def change() -> None:
    """Make generation 2, not saved."""
    FORM.move(kept["db"], 2)


def wait_to_be_ended() -> None:
    """Say so, and wait for a signal."""
    say("ready")
    time.sleep(60)


def by_return() -> None:
    """Just end."""
    change()
    say("ready")


def by_default_sigterm() -> None:
    """Be ended by a signal that nobody handles."""
    change()
    wait_to_be_ended()


def by_handled_sigterm() -> None:
    """End as most services do: the handler raises SystemExit."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    change()
    wait_to_be_ended()


def by_sigint_in_a_block() -> None:
    """Be interrupted inside a ``with`` block."""
    with contextlib.suppress(KeyboardInterrupt), kept["sf"]:
        change()
        wait_to_be_ended()


def by_an_exception_in_a_block() -> None:
    """Fail inside a ``with`` block."""
    with contextlib.suppress(ZeroDivisionError), kept["sf"]:
        change()
        say("ready")
        raise ZeroDivisionError


def by_an_atexit_handler() -> None:
    """Change something at the last moment."""
    atexit.register(change)
    say("ready")


def by_a_thread_that_goes_on() -> None:
    """End the main thread before the one that changes things."""
    ended = threading.main_thread()

    def work() -> None:
        ended.join()
        change()

    threading.Thread(target=work).start()
    say("ready")


def by_a_daemon_thread_in_flush() -> None:
    """End while a thread that nobody waits for saves all the time."""
    started = threading.Event()

    def work() -> None:
        while True:
            kept["db"].flush()
            started.set()

    threading.Thread(target=work, daemon=True).start()
    started.wait()
    change()
    say("ready")


def by_a_cycle() -> None:
    """End with the database in a cycle that only the last collection finds."""
    change()
    cycle = [kept["db"], kept["sf"]]
    cycle.append(cycle)
    kept.clear()
    say("ready")


def by_exit_at_once() -> None:
    """End without any clean-up."""
    change()
    say("ready")
    os._exit(0)


WAYS: dict[str, Callable[[], None]] = {
    "return": by_return,
    "default SIGTERM": by_default_sigterm,
    "handled SIGTERM": by_handled_sigterm,
    "SIGINT in a block": by_sigint_in_a_block,
    "exception in a block": by_an_exception_in_a_block,
    "atexit": by_an_atexit_handler,
    "thread": by_a_thread_that_goes_on,
    "daemon thread": by_a_daemon_thread_in_flush,
    "cycle": by_a_cycle,
    "exit at once": by_exit_at_once,
}


def main(how: str, folder: str) -> None:
    """Save generation 1 and end."""
    kept["sf"], kept["db"] = open_db(Path(folder), log=None)
    if not kept["db"]:
        FORM.move(kept["db"], 1)
        kept["db"].flush()
    WAYS[how]()


if __name__ == "__main__":
    main(*sys.argv[1:])
