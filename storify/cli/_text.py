"""Tables and trees as plain text, as wide as the terminal."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from storify.explorer import (
    Row,
    State,
    cell,
    column_value,
    count_parts,
    heads_of,
    kind_of,
    one_line,
    parts_of,
)
from storify.models import Ref

__all__ = [
    "bar",
    "record_table",
    "short_id",
    "table",
    "tree_lines",
    "width",
]

_WIDE: Final = 200
_CELL: Final = 40
_LINES: Final = 2000
_MANY: Final = 100


def width() -> int:
    """Return how wide a line may be: the terminal; in a pipe it is of no matter."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return _WIDE


def bar(part: float, whole: float, wide: int = 20) -> str:
    """Return a bar for a part of a whole."""
    return "█" * max(round(wide * part / whole) if whole else 0, part > 0)


def short_id(state: State, others: Iterable[State]) -> str:
    """Return the beginning of an id that no other state's begins with."""
    head = state.id.partition("-")[0]
    same = [each for each in others if each.id.startswith(head)]
    return head if len(same) == 1 else state.id


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()
) -> list[str]:
    """Lay out a table; columns that find no room are named in a last line."""
    listed = [list(row) for row in rows]
    ending = set(right)
    wide = [
        max([len(name), *(len(row[index]) for row in listed)])
        for index, name in enumerate(columns)
    ]
    room = width()
    shown = 0
    taken = 0
    while shown < len(columns) and (shown == 0 or taken + wide[shown] <= room):
        taken += wide[shown] + 2
        shown += 1

    def line(cells: Sequence[str]) -> str:
        parts = [
            text.rjust(wide[index])
            if columns[index] in ending
            else text.ljust(wide[index])
            for index, text in enumerate(cells[:shown])
        ]
        return "  ".join(parts).rstrip()

    found = [line(columns), *map(line, listed)]
    if shown < len(columns):
        found.append(f"… and {', '.join(columns[shown:])}")
    return found


def record_table(rows: Sequence[Row], columns: Sequence[str] = ()) -> list[str]:
    """Lay out records, a column for each field."""
    heads = heads_of(rows, columns)
    return table(
        [cell(head, _CELL) for head in heads],
        [[cell(column_value(head, row), _CELL) for head in heads] for row in rows],
    )


def tree_lines(value: Any, *, most: int = _LINES) -> list[str]:
    """Lay out a value as a tree, a line for each place."""
    found = list(islice(_tree(value, "$", 0), most + 1))
    if len(found) > most:
        found[most:] = ["… and more; name a place in it"]
    return found


def _tree(value: Any, path: str, deep: int) -> Iterator[str]:
    step = cell(path, _WIDE)
    room = max(width() - 2 * deep - len(step) - 1, 20)
    count = None if isinstance(value, Ref) else count_parts(value)
    text = one_line(value, room)
    is_short = count is not None and deep and len(text) < room and not _has_depth(value)
    if count is None or is_short or deep > _MANY:
        yield f"{'  ' * deep}{step} {text}"
        return
    yield f"{'  ' * deep}{step} {kind_of(value)}, {count} part{'s' * (count != 1)}"
    for number, part in enumerate(parts_of(value)):
        if number == _MANY:
            yield f"{'  ' * (deep + 1)}… and {count - number} more"
            return
        yield from _tree(part.value, part.step, deep + 1)


def _has_depth(value: Any) -> bool:
    inner = islice(parts_of(value), _MANY)
    return any(
        count_parts(part.value) and not isinstance(part.value, Ref) for part in inner
    )
