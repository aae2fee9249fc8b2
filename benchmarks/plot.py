"""The cost of a commit against the number of records, as an SVG.

Both axes are logarithmic: a flat line is a cost that follows the change, a rising
one is a cost that follows the database.
"""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Line", "draw"]

COLOURS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#e377c2"),
    *("#bcbd22", "#17becf", "#7f7f7f"),
)
MARKERS = "osD^v"


@dataclass(frozen=True)
class Line:
    """One store.

    Attributes:
        label: Its name.
        points: Seconds for each number of records.
        synced: Whether a commit syncs; its line is dashed if not.
        role: ``"storify"``, ``"limit"`` or ``"peer"``.
    """

    label: str
    points: dict[int, float]
    synced: bool
    role: str


def tick(value: float, _position: int) -> str:
    """Write a power of ten with its unit."""
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= scale * 0.999:
            return f"{value / scale:g} {unit}"
    return ""


def draw(lines: list[Line], title: str, path: Path) -> None:
    """Write the plot to *path*, the same bytes for the same lines.

    Raises:
        ImportError: matplotlib is not installed.
    """
    # Here, so that the figures can be had without it.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

    # Ids are random without a salt; text as text keeps the file small.
    settings = {"svg.hashsalt": "storify", "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(9.5, 5.5), layout="constrained")
        axes = figure.add_subplot()
        peers = 0
        # The legend lists them as the lines end, from dear to cheap.
        for line in sorted(lines, key=lambda line: -[*line.points.values()][-1]):
            colour, marker, width, order = "#d62728", "o", 3.0, 10
            if line.role == "limit":
                colour, marker, width = "black", "", 2.0
            elif line.role == "peer":
                colour = COLOURS[peers % len(COLOURS)]
                marker = MARKERS[peers // len(COLOURS) % len(MARKERS)]
                width, order = 1.3, 5
                peers += 1
            axes.plot(
                list(line.points),
                list(line.points.values()),
                label=line.label,
                color=colour,
                marker=marker,
                markersize=4,
                linewidth=width,
                linestyle="-" if line.synced else "--",
                zorder=order,
            )
        axes.set(xscale="log", yscale="log", title=title, xlabel="records in the store")
        axes.set_ylabel("one changed record, committed")
        axes.yaxis.set_major_formatter(FuncFormatter(tick))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axes.grid(visible=True, which="major", color="#dddddd")
        figure.legend(
            loc="outside right upper",
            title="solid: synced at each commit",
            frameon=False,
        )
        figure.patch.set_facecolor("white")  # readable on a dark page as well
        figure.savefig(path, format="svg", metadata={"Date": None})
