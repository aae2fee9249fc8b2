"""Records in the formats of others: what every face writes, as `storify import` reads it."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final, TextIO

from storify.explorer.session import Session
from storify.explorer.states import NOW
from storify.tables import arrow, sqlite, text
from storify.tables.lines import Losses

__all__ = ["Format", "write_records"]


class Format(StrEnum):
    """The formats that records are written in."""

    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    SQLITE = "sqlite"

    @property
    def is_text(self) -> bool:
        """Whether it can be written to a stream of text."""
        return self in _TEXTS


_TEXTS: Final[dict[Format, Callable[..., int]]] = {
    Format.JSONL: text.write_jsonl,
    Format.JSON: text.write_json,
    Format.CSV: text.write_csv,
}


def write_records(
    session: Session,
    name: str,
    out: TextIO | Path,
    losses: Losses,
    *,
    where: str = "",
    state: str = NOW,
    told: Callable[[int, int], object] | None = None,
    guarded: bool = False,
) -> int:
    """Write the records of a state that pass a filter; give how many.

    Args:
        session: The place.
        name: The database.
        out: A text for the formats that are one, a path for the others.
        losses: Names the format, and what it could not hold.
        where: The filter.
        state: Which state.
        told: Told of the progress.
        guarded: Whether a text that a spreadsheet would run is marked as one in CSV.

    Raises:
        CannotHoldError: A value would not come back; nothing was written.
        FilterError: The filter cannot be read.
    """
    to = Format(losses.target)
    classes = session.classes()
    with session.pairs(name, where=where, state=state) as (pairs, total):
        if not isinstance(out, Path):
            options = {"guarded": guarded} if to is Format.CSV else {}
            return _TEXTS[to](pairs, classes, out, losses, told, total, **options)
        if to is Format.SQLITE:
            return sqlite.write_sqlite(pairs, classes, out, name, losses, told, total)
        return arrow.write_parquet(pairs, classes, out, losses)
