"""A program that forks by itself, with a database open.

``python -m starts.forking WHERE WORK END FOLDER`` says what the file has at the end of
the child, and ``ended`` with the child's exit code.
"""

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator
from typing import Any

from faults.programs import say
from starts.children import WORK, held
from starts.starting import open_before, tell_of_file


def fork() -> int:
    """Fork beside threads; Python warns of that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


@contextlib.contextmanager
def in_block() -> Generator[None]:
    """Inside of what closes all databases."""
    with held["sf"]:
        yield


@contextlib.contextmanager
def in_transaction() -> Generator[None]:
    """Inside of what commits."""
    with held["db"].transaction():
        held["db"]["moved"] = "by the parent"
        yield


@contextlib.contextmanager
def in_lock() -> Generator[None]:
    """Inside of a change of several records."""
    with held["db"].lock:
        yield


@contextlib.contextmanager
def beside_transaction() -> Generator[None]:
    """While another thread is in the middle of a transaction."""
    inside, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with held["db"].transaction():
            held["db"]["moved"] = "by a thread"
            inside.set()
            go_on.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    parent = os.getpid()
    yield
    if os.getpid() == parent:
        go_on.set()
        thread.join()


@contextlib.contextmanager
def in_child() -> Generator[None]:
    """In a child: what it forks is a grandchild of who opened the database."""
    child = fork()
    if child:
        say("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        sys.exit()
    yield


PLACES: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "anywhere": contextlib.nullcontext,
    "in a block": in_block,
    "in a transaction": in_transaction,
    "beside a transaction": beside_transaction,
    "in the lock": in_lock,
    "in a child": in_child,
}


def main(where: str, work: str, end: str, folder: str) -> None:
    """Fork there; the child does its work and leaves the place as it would."""
    open_before(folder)
    with PLACES[where]():
        child = fork()
        if not child:
            WORK[work](folder, end)
            return
        if end == "terminate":
            sys.stdin.readline()
            os.kill(child, signal.SIGTERM)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        tell_of_file(folder)
        say("ended", code)


if __name__ == "__main__":
    main(*sys.argv[1:])
