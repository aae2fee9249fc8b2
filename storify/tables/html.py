"""Tables of HTML for notebooks: the first records, escaped and cut."""

from collections.abc import Iterable, Mapping
from html import escape
from itertools import islice
from reprlib import Repr
from typing import Any, Final

from storify.models.options import class_of, is_model
from storify.models.state import Unloaded, stored_fields

__all__ = ["names_table", "records_table", "text"]

SHOWN: Final = 20
_COLUMNS: Final = 20
_short: Final = Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60
_short.maxlevel = 3


def text(line: str) -> str:
    """Return a line of HTML."""
    return f"<p><code>{escape(line)}</code></p>"


def _cell(value: Any) -> str:
    shown = value[:61] if isinstance(value, str) else _short.repr(value)
    if len(shown) > 60:  # noqa: PLR2004 - as above
        shown = shown[:59] + "…"
    clean = "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)
    return f"<td>{escape(clean)}</td>"


def _table(columns: Iterable[str], rows: Iterable[str]) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _fields(value: Any) -> Mapping[Any, Any]:
    found: Mapping[Any, Any] = {"": value}
    if class_of(value) is Unloaded:
        ((_, found),) = value.items()
    elif is_model(value):
        found = stored_fields(value)
    elif class_of(value) is dict:
        found = value
    return found


def records_table(
    items: Iterable[tuple[Any, Any]], title: str, total: int | None
) -> str:
    """Return records as a table with a column for each field.

    Args:
        items: Keys and records, one more than are shown if there are more.
        title: What they are of.
        total: How many there are; None if that is not known.
    """
    listed = list(islice(items, SHOWN + 1))
    shown = [(key, value, _fields(value)) for key, value in listed[:SHOWN]]
    columns = list(dict.fromkeys(name for *_, fields in shown for name in fields))
    columns = columns[:_COLUMNS]
    classes = {class_of(value).__name__ for _, value, _ in shown}
    rows = (
        _cell(key) + "".join(_cell(fields.get(name, "")) for name in columns)
        for key, _, fields in shown
    )
    if len(listed) <= SHOWN:
        more = ""
    elif total is None:
        more = text("… and more")
    else:
        more = text(f"… and {total - SHOWN:,} more")
    kinds = f" of {', '.join(sorted(classes))}" if classes else ""
    heads = ["", *map(str, columns)]
    return text(f"{title}{kinds}") + _table(heads, rows) + more


def names_table(names: list[str], opened: Mapping[str, int], title: str) -> str:
    """Return the names of databases as a table."""
    rows = (
        _cell(name) + _cell(f"{opened[name]:,}" if name in opened else "")
        for name in names[: 10 * SHOWN]
    )
    left = len(names) - 10 * SHOWN
    more = text(f"… and {left:,} more") if left > 0 else ""
    return text(title) + _table(["database", "records, if open"], rows) + more
