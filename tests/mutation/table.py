"""``python -m mutation.table``: run all tools on all faults, into docs/mutations.md.

Unlike the tests it goes on after the first tool that finds a fault: a quarter of an
hour on two processors.
"""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from mutation.copies import ROOT, findings, library, plant
from mutation.kit import TOOLS
from mutation.planted import FAULTS, Fault

__all__ = ["MARK", "PAGE", "catchers", "page", "row"]

PAGE: Final = ROOT / "docs" / "mutations.md"
MARK: Final = "●"

_HEAD: Final = """\
# What the test kit finds

`storify.testing` is there to find what loses data. Does it? This page is the proof:
{count} faults were planted in copies of Storify, one in each: small slips that a
programmer could make. Then tests were run that a project of yours could have. Each
fault is found; without one, all of these tests pass.

The tests are in `tests/mutation/`; `make soak` runs them all, `make test` a sample.
`PYTHONPATH=tests python -m mutation.table` writes this page.
"""


def catchers(fault: Fault | None) -> list[str]:
    """Give the tools that find a fault, in a copy of its own; None for no fault."""
    with tempfile.TemporaryDirectory() as name:
        folder = library(Path(name))
        if fault is not None:
            plant(fault, folder)
        found = findings(TOOLS, folder, to_the_end=True)
    return [each.tool for each in found if each.said is not None]


def page(caught: Mapping[Fault, Sequence[str]]) -> str:
    """Write the page: a row for each fault, a mark for each tool that finds it."""
    head = _HEAD.format(count=len(caught))
    tools = [
        f"{number}. **{name}**: {tool.__doc__}"
        for number, (name, tool) in enumerate(TOOLS.items(), 1)
    ]
    numbers = [str(number) for number in range(1, len(TOOLS) + 1)]
    rows = [row("Fault", "In", *numbers), row("---", "---", *[":-:" for _ in TOOLS])]
    for fault, names in caught.items():
        marks = [MARK if name in names else "" for name in TOOLS]
        rows.append(row(fault.what, f"`{fault.path}`", *marks))
    return "\n".join([head, *tools, "", *rows, ""])


def row(*cells: str) -> str:
    """Write a row of a table."""
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write the page, if all is as it must be."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sane, *found = pool.map(catchers, [None, *FAULTS])
    caught = dict(zip(FAULTS, found, strict=True))
    wrong = [
        f"{fault.what}: found by {tools}, not first by {fault.caught_by}"
        for fault, tools in caught.items()
        if tools[:1] != [fault.caught_by]
    ]
    if sane:
        wrong.append(f"without a fault, found by {sane}")
    if wrong:
        sys.exit("\n".join(wrong))
    PAGE.write_text(page(caught), encoding="utf-8")


if __name__ == "__main__":
    main()
