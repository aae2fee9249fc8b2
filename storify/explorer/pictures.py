"""Growth and sizes as pictures: SVG for a page or a notebook, without a script."""

from collections.abc import Sequence
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Final

from storify.explorer.lines import size_text, state_text
from storify.explorer.values import cell

if TYPE_CHECKING:
    from storify.explorer.session import Stats

__all__ = ["bar", "growth", "sizes_table"]

_FILL: Final = "#087f8c"
_WIDE: Final = 480
_HIGH: Final = 80
_SHOWN: Final = 50


def bar(part: float, whole: float) -> str:
    """Draw a part of a whole."""
    share = part / whole if whole else 0.0
    return (
        f'<svg width="200" height="10" role="img" aria-label="{share:.1%}">'
        f'<rect width="{200 * share:.1f}" height="10" fill="{_FILL}"/></svg>'
    )


def growth(stats: "Stats") -> str:
    """Draw the records and the bytes of the states, oldest first; nothing of one."""
    if len(stats.growth) < 2:  # noqa: PLR2004 - one state is no growth
        return ""
    names = [state_text(state) for state, _, _ in stats.growth]
    records = [count for _, count, _ in stats.growth]
    sizes = [taken for _, _, taken in stats.growth]
    shown = [f"{count:,} records" for count in records]
    return _bars("Records", names, records, shown) + _bars(
        "Bytes", names, sizes, list(map(size_text, sizes))
    )


def _bars(
    title: str, names: Sequence[str], values: Sequence[int], shown: Sequence[str]
) -> str:
    most = max(values) or 1
    step = _WIDE / len(values)
    bars = "".join(
        f'<rect x="{step * at:.1f}" y="{_HIGH - _HIGH * value / most:.1f}" '
        f'width="{step * 0.9:.1f}" height="{_HIGH * value / most:.1f}" fill="{_FILL}">'
        f"<title>{escape(f'{name}: {text}')}</title></rect>"
        for at, (name, value, text) in enumerate(zip(names, values, shown, strict=True))
    )
    told = f"{title} of {len(values)} states: from {shown[0]} to {shown[-1]}"
    return (
        f"<figure><figcaption>{escape(told)}</figcaption>"
        f'<svg width="{_WIDE}" height="{_HIGH}" role="img" aria-label="{escape(told)}">'
        f"{bars}</svg></figure>"
    )


def sizes_table(stats: "Stats") -> str:
    """Draw which classes and fields are large."""
    rows: list[str] = []
    whole = sum(each.size_bytes for each in stats.classes)
    for each in stats.classes[:_SHOWN]:
        rows.append(
            f"<tr><th>{escape(cell(each.name))}</th><td>{each.records:,} records</td>"
            f"<td>{size_text(each.size_bytes)}</td>"
            f"<td>{bar(each.size_bytes, whole)}</td></tr>"
        )
        inside = sum(each.fields.values())
        rows += [
            f"<tr><td><code>.{escape(cell(field))}</code></td><td></td>"
            f"<td>{size_text(taken)}</td><td>{bar(taken, inside)}</td></tr>"
            for field, taken in islice(each.fields.items(), _SHOWN)
        ]
    left = len(stats.classes) - _SHOWN
    if left > 0:
        rows.append(f"<tr><td>… and {left} other classes</td></tr>")
    return f"<table><tbody>{''.join(rows)}</tbody></table>"
