"""What something costs against the number of records, as an SVG.

Both axes are logarithmic: a flat line is a cost that follows the change, a rising
one is a cost that follows the database.
"""

from pathlib import Path

from report import Curve

__all__ = ["draw"]

COLOURS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#e377c2"),
    *("#bcbd22", "#17becf", "#7f7f7f"),
)
MARKERS = "osD^v"


UNITS = {
    "s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "B": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")),
}


def tick(value: float, unit: str) -> str:
    """Write a power of ten with its unit."""
    for scale, name in UNITS[unit]:
        if value >= scale * 0.999:
            return f"{value / scale:g} {name}"
    return ""


def draw(curve: Curve, path: Path) -> None:
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
        for line in sorted(curve.lines, key=lambda line: -line.points[-1][1]):
            colour, marker, width, order = "#d62728", "o", 3.0, 10
            if line.role == "limit":
                colour, marker, width = "black", "", 2.0
            elif line.role == "peer":
                colour = COLOURS[peers % len(COLOURS)]
                marker = MARKERS[peers // len(COLOURS) % len(MARKERS)]
                width, order = 1.3, 5
                peers += 1
            axes.plot(
                *zip(*line.points, strict=True),
                label=line.label,
                color=colour,
                marker=marker,
                markersize=4,
                linewidth=width,
                linestyle="-" if line.is_solid else "--",
                zorder=order,
            )
        axes.set(xscale="log", yscale="log", title=curve.title, ylabel=curve.what)
        axes.set_xlabel("records in the store")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: tick(y, curve.unit)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axes.grid(visible=True, which="major", color="#dddddd")
        figure.legend(
            loc="outside right upper",
            title=curve.legend,
            frameon=False,
        )
        figure.patch.set_facecolor("white")  # readable on a dark page as well
        figure.savefig(path, format="svg", metadata={"Date": None})
