"""Lines of text that all faces share: sizes, times, states, changes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from storify.database import Salvage
from storify.explorer.states import NOW, Change, State
from storify.explorer.values import MISSING, literal, one_line, printable

__all__ = [
    "change_lines",
    "salvage_text",
    "side",
    "size_text",
    "state_text",
    "time_text",
]

_UNITS: Final = ("B", "KiB", "MiB", "GiB")
_KILO: Final = 1024
_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}


def size_text(size_bytes: int | None) -> str:
    """Return a size in a unit that makes it short."""
    if size_bytes is None:
        return "-"
    if size_bytes < _KILO:
        return f"{size_bytes} B"
    number = float(size_bytes)
    for unit in _UNITS:
        if number < _KILO:
            return f"{number:.1f} {unit}"
        number /= _KILO
    return f"{number:.1f} TiB"


def time_text(moment: datetime | None) -> str:
    """Return a time as it may be given back: in UTC."""
    if moment is None:
        return "unknown"
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def state_text(state: State) -> str:
    """Return a state as one of a list."""
    return NOW if state.id == NOW else f"{time_text(state.time)} {state.kind}"


def salvage_text(found: Salvage) -> str:
    """Tell what could be saved."""
    return (
        f"{found.recovered:,} records saved, {found.lost_count:,} lost, "
        f"{len(found.older):,} from an older state"
    )


def side(value: Any, width: int = 60) -> str:
    """Return one side of a change."""
    return "nothing" if value is MISSING else one_line(value, width)


def change_lines(change: Change, width: int = 150) -> Iterator[str]:
    """Tell how a record changed: a line, then one for each place in it."""
    name = literal(change.key)
    if change.kind != "changed":
        value = change.after if change.before is MISSING else change.before
        room = max(width - len(name) - 4, 40)
        yield f"{_SIGNS[change.kind]} {name}  {one_line(value, room)}"
        return
    yield f"~ {name}"
    for edit in change.edits():
        yield f"    {printable(edit.path)}: {side(edit.before)} → {side(edit.after)}"
