"""The states of a database on a line, what lies between two, the history of a key."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from storify.codec import Codec
from storify.engine import BackupInfo, Engine
from storify.explorer.reading import Reading
from storify.explorer.values import (
    MISSING,
    count_parts,
    fields_of,
    is_set,
    kind_of,
    parts_of,
)

__all__ = [
    "NOW",
    "Change",
    "Comparison",
    "Edit",
    "Moment",
    "State",
    "compare",
    "edits",
    "parse_state",
    "states_of",
]

NOW: Final = "now"
"""The id of the present state."""

_DIGEST: Final = 16
_EDITS: Final = 100
_DEEP: Final = 30


class State(NamedTuple):
    """A state on the line.

    Attributes:
        id: What it is asked for by; ``now`` is the present one.
        time: When it was committed; None if that is not known.
        size_bytes: What it takes on disk; None for the present one.
        kind: ``now``, or as of `BackupInfo`: ``snapshot``, ``commit``, ``unsaved``,
            ``legacy``.
    """

    id: str
    time: datetime | None
    size_bytes: int | None
    kind: str


class Edit(NamedTuple):
    """A place in a record that differs; MISSING where there is nothing."""

    path: str
    before: Any
    after: Any


class Change(NamedTuple):
    """A record that differs between two states.

    Attributes:
        key: The key.
        before: What it was; MISSING if it was not there.
        after: What it is; MISSING if it is there no more.
    """

    key: Any
    before: Any
    after: Any

    @property
    def kind(self) -> str:
        """``added``, ``removed`` or ``changed``."""
        if self.before is MISSING:
            return "added"
        return "removed" if self.after is MISSING else "changed"

    def edits(self) -> list[Edit]:
        """The places that differ; one at ``$`` for what came or went as a whole."""
        return edits(self.before, self.after)


class Comparison(NamedTuple):
    """The differences between two states.

    Attributes:
        changes: The first records that differ.
        added: How many there are only in the later one.
        removed: How many there are only in the earlier one.
        changed: How many are in both.
    """

    changes: list[Change]
    added: int
    removed: int
    changed: int


class Moment(NamedTuple):
    """The value of a key from a state on; MISSING if it was not there."""

    state: State
    value: Any


def states_of(engine: Engine) -> list[State]:
    """Return the states of a database, newest first; unsaved ones stand after all."""
    older = list(map(_info, engine.backups()))
    durable = [each for each in older if each.kind != "unsaved"]
    unsaved = [each for each in older if each.kind == "unsaved"]
    return [State(NOW, None, None, NOW), *durable, *unsaved]


def _info(each: BackupInfo) -> State:
    return State(each.id, each.time, each.size_bytes, each.kind)


_AGO: Final = re.compile(
    r"(\d+)\s*(s|sec|second|m|min|minute|h|hour|d|day|w|week)s?(?:\s+ago)?",
    re.IGNORECASE,
)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_state(text: str, now: datetime | None = None) -> str | datetime:
    """Read what somebody calls a state: its id, a time, ``yesterday``, ``2 hours ago``.

    A time without a zone is local; a day is its end.

    Args:
        text: What was written.
        now: The present time.
    """
    present = datetime.now(UTC) if now is None else now
    word = text.strip().lower()
    if word in {"", NOW}:
        return NOW
    if word in {"yesterday", "today"}:
        day = present.astimezone().date() - timedelta(days=word == "yesterday")
        return _end_of(day)
    ago = _AGO.fullmatch(word)
    if ago is not None:
        return present - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2][0].lower()])
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", word):
            return _end_of(date.fromisoformat(word))
        # An id begins as a time does: what has a date and a colon is a time.
        if re.match(r"\d{4}-\d\d-\d\d[t ]\d\d:\d\d", word):
            made = datetime.fromisoformat(text.strip())
            return made if made.tzinfo is not None else made.astimezone()
    except (ValueError, OverflowError):
        pass
    return text.strip()


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time.max).astimezone()


# --- what differs -----------------------------------------------------------------------


def compare(old: Reading, new: Reading, codec: Codec, most: int) -> Comparison:
    """Compare two states; of the records that differ give at most so many.

    Of one of them a digest for each record is in memory, of the other nothing.
    """
    before = {blob: _digest(stored) for blob, stored in old.pairs()}
    found: list[Change] = []
    added = changed = 0
    for blob, stored in new.pairs():
        digest = before.pop(blob, None)
        if digest is None:
            added += 1
            was: Any = MISSING
        elif digest == _digest(stored):
            continue
        else:
            there = old.get(blob) or b""
            if codec.canonical(there) == codec.canonical(stored):
                continue  # another program wrote the same in other bytes
            changed += 1
            was = old.decode(there)
        if len(found) < most:
            found.append(Change(new.key(blob), was, new.decode(stored)))
    for blob in before:
        if len(found) >= most:
            break
        there = old.get(blob) or b""
        found.append(Change(old.key(blob), old.decode(there), MISSING))
    return Comparison(found, added, len(before), changed)


def _digest(stored: bytes) -> bytes:
    return (
        stored
        if len(stored) <= _DIGEST
        else blake2b(stored, digest_size=_DIGEST).digest()
    )


def edits(before: Any, after: Any) -> list[Edit]:
    """Return the places in which two values differ, at most a hundred."""
    found: list[Edit] = []
    for edit in _edits("$", before, after, _DEEP):
        found.append(edit)
        if len(found) == _EDITS:
            break
    return found


def _edits(path: str, before: Any, after: Any, deep: int) -> Iterator[Edit]:
    if _is_same(before, after):
        return
    old, new = _parts(before), _parts(after)
    if deep == 0 or old is None or new is None or kind_of(before) != kind_of(after):
        yield Edit(path, before, after)
        return
    for step, value in old.items():
        yield from _edits(path + step, value, new.get(step, MISSING), deep - 1)
    for step, value in new.items():
        if step not in old:
            yield Edit(path + step, MISSING, value)


def _parts(value: Any) -> dict[str, Any] | None:
    """Return the parts of a value by their steps; None if they have no places."""
    if is_set(value) or not (count_parts(value) or fields_of(value) is not None):
        return None
    return {part.step: part.value for part in parts_of(value)}


def _is_same(one: Any, other: Any) -> bool:
    if one is MISSING or other is MISSING:
        return one is other
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # noqa: BLE001 - the class's own code ran
        return False
