"""A program that forks children and terminates each as soon as it is there.

``python -m starts.early COUNT FOLDER`` says how many did not end by that.
"""

import os
import signal
import sys

from faults.programs import say
from starts.forking import fork
from starts.starting import open_before

#: So long a child lives at most.
_LIFE_S = 10


def main(count: str, folder: str) -> None:
    """Fork them."""
    open_before(folder)
    others = 0
    for _ in range(int(count)):
        child = fork()
        if not child:
            signal.alarm(_LIFE_S)
            while True:
                signal.pause()
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        others += os.waitstatus_to_exitcode(status) != -signal.SIGTERM
    say(others)


if __name__ == "__main__":
    main(*sys.argv[1:])
