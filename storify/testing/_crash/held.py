"""What is logged at a point, shown if the test fails there.

A loop over points that pass makes as many warnings as it has points: of databases
that were cut off, which is what the points are for. They would stand before those of
the one point that fails.
"""

import logging
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager

from storify.testing._crash.left import LOG

__all__ = ["held_back"]

_OF_RUNS = logging.getLogger("storify")


@contextmanager
def held_back(
    earlier: Sequence[logging.LogRecord] | None = None,
) -> Generator[list[logging.LogRecord]]:
    """Hold back what Storify logs in the block; show it if an exception leaves it.

    Args:
        earlier: What the run logged that led to this point. The block is the test's
            then, and only what it reopened is held back. None for the run itself.

    Yields:
        What was held back, also afterwards.
    """
    records = list(earlier or ())
    loggers = (LOG, _OF_RUNS) if earlier is None else (LOG,)

    def hold(record: logging.LogRecord) -> bool:
        records.append(record)
        return False

    try:
        with ExitStack() as stack:
            for logger in loggers:
                logger.addFilter(hold)
                stack.callback(logger.removeFilter, hold)
            yield records
    except BaseException:  # also when the loop is left, which ends its generator
        for record in records:
            logging.getLogger(record.name).handle(record)
        raise
