"""What the benchmarks hand over: tables and targets, as text, Markdown or JSON.

Each script prints its tables when it is run by itself; with ``--json FILE`` it
writes them for ``run.py``, which puts all of them on one page.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = [
    "Curve",
    "Line",
    "Report",
    "Table",
    "Target",
    "arguments",
    "duration",
    "factor",
    "ratio",
    "size",
]

MICRO_S = 1e-6
MILLI_S = 1e-3
TEN = 10
HUNDRED = 100
KILO = 1000


def digits(value: float) -> str:
    """Give about three digits of *value*."""
    if value >= HUNDRED:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= TEN else f"{value:.2f}"


def duration(seconds: float) -> str:
    """Give a time with its unit."""
    if seconds < MICRO_S:
        return f"{seconds / MICRO_S:.2f} µs"
    if seconds < MILLI_S:
        return f"{digits(seconds / MICRO_S)} µs"
    if seconds < 1:
        return f"{digits(seconds / MILLI_S)} ms"
    return f"{digits(seconds)} s"


def factor(value: float) -> str:
    """Give a ratio in about two digits, also where it is small."""
    return f"{value:,.0f}" if value >= TEN else f"{value:#.2g}"


def ratio(values: Sequence[float]) -> str:
    """Give the median of ratios, and their spread if there are several."""
    middle = f"{factor(statistics.median(values))}×"  # noqa: RUF001 - times
    if len(values) == 1:
        return middle
    return f"{middle} ({factor(min(values))}–{factor(max(values))})"  # noqa: RUF001 - range


def size(size_bytes: float) -> str:
    """Give an amount of memory or disk in megabytes."""
    return f"{digits(size_bytes / KILO**2)} MB"


@dataclass
class Table:
    """Rows of cells under a title.

    Attributes:
        title: A heading.
        header: The columns' names; the first is that of the rows' labels.
        rows: As many cells each.
        note: What one has to know to read it.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""

    def text(self) -> str:
        """Align it for a terminal."""
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        right = self._of_numbers()
        body = (
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for number, cell, width in zip(right, line, widths, strict=True)
            )
            for line in lines
        )
        return "\n".join([self.title, *(f"  {line.rstrip()}" for line in body)])

    def _of_numbers(self) -> list[bool]:
        """Say which columns hold numbers, which stand to the right."""
        cells = (cell for row in self.rows for cell in row[1:])
        words = {cell for cell in cells if cell and cell[0].isalpha()}
        return [
            bool(number) and not words.intersection(row[number] for row in self.rows)
            for number in range(len(self.header))
        ]

    def markdown(self) -> str:
        """Give it as a section of a page."""
        rule = ["---:" if number else "---" for number in self._of_numbers()]
        lines = (
            f"| {' | '.join(cell.replace('|', '/') for cell in line)} |"
            for line in (self.header, rule, *self.rows)
        )
        parts = [f"### {self.title}", self.note, "\n".join(lines)]
        return "\n\n".join(part for part in parts if part)


@dataclass
class Target:
    """A figure of the design, as measured.

    Attributes:
        what: What is compared with what.
        values: One for each round.
        limit: What it should not exceed; none where the figure only informs.
        unit: Of both; a ratio if none is given. None of it is a count.
    """

    what: str
    values: list[float]
    limit: float | None = None
    unit: str = "×"  # noqa: RUF001 - the sign for times

    def row(self) -> list[str]:
        """Give what, median, spread, target, and whether it is met."""
        ordered = sorted(self.values)
        middle = statistics.median(ordered)
        unit = self.unit if self.unit == Target.unit else f" {self.unit}".rstrip()
        spread = f"{digits(ordered[0])}–{digits(ordered[-1])}"  # noqa: RUF001 - a range
        if self.limit is None:
            wanted, met = "", ""
        else:
            wanted = f"≤ {self.limit:g}{unit}"
            met = "yes" if middle <= self.limit else "no"
        return [self.what, f"{digits(middle)}{unit}", spread, wanted, met]


@dataclass
class Line:
    """One store in a plot.

    Attributes:
        label: Its name.
        points: A size and what was measured there, one pair for each size.
        role: ``"storify"``, ``"limit"`` or ``"peer"``.
        is_solid: Whether its line is solid; it is dashed if not.
    """

    label: str
    points: list[tuple[int, float]]
    role: str = "peer"
    is_solid: bool = True


@dataclass
class Curve:
    """Something against the number of records: one plot of the page.

    Attributes:
        name: Of its file, without the suffix.
        title: Above it.
        what: What the points are, in words.
        unit: ``"s"`` or ``"B"``.
        lines: A store each.
        legend: What stands above the names of the stores.
    """

    name: str
    title: str
    what: str
    unit: str
    lines: list[Line]
    legend: str = ""

    def markdown(self) -> str:
        """The plot as an image of a page."""
        return f"![{self.title}]({self.name}.svg)"


@dataclass
class Report:
    """What one script found."""

    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)

    def targets_table(self) -> Table:
        """Give all targets as one table."""
        return Table(
            "Targets of the design",
            ["", "measured", "spread", "target", "met"],
            [target.row() for target in self.targets],
        )

    def publish(self, path: Path | None) -> None:
        """Print it, or write it to *path* for `read`."""
        if path is not None:
            path.write_text(json.dumps(asdict(self)), encoding="utf-8")
            return
        tables = [*self.tables, *([self.targets_table()] if self.targets else [])]
        print("\n\n".join(table.text() for table in tables))

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Read what a script has written."""
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            [Table(**table) for table in data["tables"]],
            [Target(**target) for target in data["targets"]],
            [
                Curve(**{**curve, "lines": [Line(**line) for line in curve["lines"]]})
                for curve in data["curves"]
            ],
        )


def arguments(
    doc: str | None, options: Sequence[argparse.ArgumentParser] = ()
) -> argparse.Namespace:
    """Parse what every script takes: ``--quick`` and ``--json``."""
    parser = argparse.ArgumentParser(
        description=(doc or "").partition("\n")[0], parents=options
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--json", type=Path, help="write the tables here")
    return parser.parse_args()
