"""A program that starts a child and waits for its end.

``python -m starts.starting METHOD KIND WORK END FOLDER`` says ``ended`` with the exit
code of the child. One to be terminated says ``ready``, and it is when a line comes.
"""

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing.connection import wait as wait_for_ends
from multiprocessing.context import BaseContext
from typing import Any

from faults.programs import PATIENCE_S, say
from starts.children import NAME, WORK, held
from storify import Storify

Work = Callable[[str, str], None]


def by_process(context: Any, work: Work, folder: str, end: str) -> int | None:
    """Let a process do nothing else."""
    process = context.Process(target=work, args=(folder, end))
    process.start()
    if end == "terminate":
        sys.stdin.readline()
        process.terminate()
    process.join(PATIENCE_S)
    return process.exitcode


def by_pool(context: Any, work: Work, folder: str, end: str) -> int | None:
    """Let the worker of a pool do it: it lives as long as the pool does."""
    pool = context.Pool(1)
    [worker] = multiprocessing.active_children()
    result = pool.apply_async(work, (folder, end))
    if end == "terminate":
        sys.stdin.readline()
        pool.terminate()
    elif end == "exit":  # the result never comes, and a new worker does
        wait_for_ends([worker.sentinel], PATIENCE_S)
        pool.terminate()
    else:
        result.wait(PATIENCE_S)
        pool.close()
    pool.join()
    return worker.exitcode


def by_executor(context: BaseContext, work: Work, folder: str, end: str) -> int | None:
    """Let that of an executor do it; what it raises is only passed on."""
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        future = executor.submit(work, folder, end)
        [worker] = multiprocessing.active_children()
        if end == "terminate":
            sys.stdin.readline()
            worker.terminate()
        wait([future], PATIENCE_S)
    return worker.exitcode


KINDS: dict[str, Callable[[Any, Work, str, str], int | None]] = {
    "Process": by_process,
    "Pool": by_pool,
    "ProcessPoolExecutor": by_executor,
}


def open_before(folder: str) -> None:
    """Open the database in the parent, with a change that nobody has saved."""
    sf = Storify(folder)
    db = sf[NAME]
    db.update(list=["saved"], parent="saved")
    db.flush()
    db["parent"] = "unsaved"
    db["list"].append("parent")
    held.update(sf=sf, db=db, list=db["list"])


def tell_of_file(folder: str) -> None:
    """Say what is saved now."""
    with Storify(folder, save_interval=None, background=False) as anew:
        found = dict(anew.get_db(NAME, readonly=True).items())
    say("file:", *sorted(found), found["parent"], *found["list"])


def main(method: str, kind: str, work: str, end: str, folder: str) -> None:
    """Start it, wait for its end, and say what the file has then."""
    inherits = "inherits" in work
    if inherits:
        open_before(folder)
    start = KINDS[kind]
    code = start(multiprocessing.get_context(method), WORK[work], folder, end)
    if inherits:
        tell_of_file(folder)
    say("ended", code)


if __name__ == "__main__":
    main(*sys.argv[1:])
