"""Running a check on many examples, and saying of a failure what is the least one.

Hypothesis finds and shrinks; what the user reads is one `AssertionError` with the
example, the place inside it, and what is wrong there.
"""

import os
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from hypothesis.errors import FailedHealthCheck, Flaky, Unsatisfiable

from ._same import looks

__all__ = ["FRESH", "Failed", "for_each", "is_fresh", "refusals"]

FRESH: Final = "STORIFY_TESTING_FRESH"
"""Set in the environment of a new interpreter that only reads what was stored."""

_SLOW: Final = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.nested_given,
)


class Failed(AssertionError):  # noqa: N818 -- a signal inside this package
    """One example failed.

    Attributes:
        problem: What is wrong.
        details: Lines of ``(heading, text)``.
    """

    def __init__(self, problem: str, *details: tuple[str, object]) -> None:
        self.problem = problem
        self.details = details
        super().__init__(problem)

    def text(self, call: str, example: object) -> str:
        """Return the whole message of a call that failed with *example*."""
        lines = [("minimal example", looks(example)), *self.details]
        return "\n".join(
            [f"{call}: {self.problem}", *(f"  {name}: {text}" for name, text in lines)]
        )


class _Refusals(threading.local):
    """What was drawn last and is no example.

    Attributes:
        last: Which class and field refused it, and why; "" if nothing was refused.
        field: The field that is drawn now.
    """

    last = ""
    field = ""

    def note(self, where: str, err: Exception) -> None:
        """Note that the class or field *where* raised."""
        self.last = f"the last was refused by {where}: {type(err).__name__}: {err}"


refusals: Final = _Refusals()


def is_fresh() -> bool:
    """Tell whether this interpreter only reads what another one stored."""
    return FRESH in os.environ


def for_each(
    strategy: st.SearchStrategy[Any],
    check: Callable[[Any], None],
    *,
    examples: int,
    call: str,
) -> None:
    """Run *check* on so many *examples*.

    Raises:
        AssertionError: It raised `Failed` for one; this one is the least that was
            found. Or it did so only sometimes.
    """
    __tracebackhide__ = True
    last: list[Any] = []
    refusals.last = ""

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=_SLOW,
        verbosity=Verbosity.quiet,
    )
    @given(strategy)
    def run(example: Any) -> None:
        __tracebackhide__ = True
        last[:] = [example]
        check(example)

    try:
        run()
    except Failed as err:
        raise AssertionError(err.text(call, last[0])) from err.__cause__
    except (FailedHealthCheck, Unsatisfiable) as err:
        _refuse(call, err)
    except Flaky as err:
        msg = (
            f"{call}: an example failed once and then passed, so something outlives "
            f"an example: a counter, a cache, a default that objects share"
        )
        raise AssertionError(msg) from err


def _refuse(call: str, err: Exception) -> NoReturn:
    why = f" ({refusals.last})" if refusals.last else ""
    msg = (
        f"{call}: nearly nothing that was drawn is valid{why}; give strategies for the "
        f"fields with validators of their own: models(..., name=...)"
    )
    raise AssertionError(msg) from err
