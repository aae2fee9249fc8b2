"""A database copied to another place with its past: between folders and servers.

State by state, oldest first, each at the time that it has. The oldest comes a part at a
time to a server, where none is kept but the whole; each later one is one commit of what
it changed. So no state is in memory as a whole, but the first one for a folder.

What was interrupted goes on with what comes next, and at the end all is compared.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import Final, NamedTuple

from storify.engine import (
    Change,
    Commit,
    Engine,
    Format,
    Keep,
    Snapshot,
    Version,
    difference,
    each_entry,
    entries_of,
)

__all__ = ["EVERYTHING", "CopyClock", "copy_database"]

EVERYTHING: Final = Keep(1_000_000)
"""The policy of a copy: what the source has kept is kept."""

_NOTHING: Final = Keep(0)

#: How large a part of the oldest state is, in entries and in bytes.
_MANY: Final = 50_000
_LARGE: Final = 8 << 20

Tell = Callable[[int, int], object]


class CopyClock:
    """Shows the time of the state that is copied."""

    def __init__(self) -> None:
        self.now: datetime | None = None

    def __call__(self) -> datetime:
        """The time that was set; else that of now."""
        return datetime.now(UTC) if self.now is None else self.now


class _State(NamedTuple):
    """A state to be copied.

    Attributes:
        id: As a backup; None for the present one.
        time: When it was committed; None if that is not known.
    """

    id: str | None
    time: datetime | None


def copy_database(
    name: str,
    source: Engine,
    target: Engine,
    clock: CopyClock,
    root_format: Format,
    progress: Tell | None = None,
) -> int:
    """Copy a database with its backups; give how many records it has.

    Args:
        name: For messages.
        source: What is copied; it is only read.
        target: Where to; it keeps `EVERYTHING` and asks *clock* for the time.
        clock: Is set to the time of each state.
        root_format: How an unsaved state is joined.
        progress: Told how many records of all states are copied, and of how many.

    Raises:
        FileExistsError: The target has another database of this name.
        OSError: It is cut off; the same call goes on with it.
    """
    states = _states(source)
    sizes = [len(_open(source, state)) for state in states]
    done = _done(name, source, target, states)
    if not done:
        _copy_oldest(source, states[0], target, clock, _telling(progress, sizes))
        done = 1
    for at in range(done, len(states)):
        two = (_open(source, each) for each in states[at - 1 : at + 1])
        changes = difference(*map(each_entry, two))
        clock.now = states[at].time
        target.commit(Commit(_version(target), changes))
        if progress is not None:
            progress(sum(sizes[: at + 1]), sum(sizes))
    clock.now = None
    _copy_unsaved(source, target, root_format)
    _compare(name, source, target, states)
    return len(_open(source, states[-1]))


def _telling(progress: Tell | None, sizes: Sequence[int]) -> Callable[[int], object]:
    return lambda done: None if progress is None else progress(done, sum(sizes))


def _states(source: Engine) -> list[_State]:
    """The states of a database that have a time, oldest first, and the present one."""
    past = [
        _State(info.id, info.time)
        for info in reversed(source.backups())
        if info.kind in {"snapshot", "commit"} and info.time is not None
    ]
    present = _State(None, None)
    _open(source, present)
    return [*past, present._replace(time=source.committed_at())]


def _version(target: Engine) -> Version | None:
    present = target.open()
    return None if present is None else present.version


def _copy_oldest(
    source: Engine,
    state: _State,
    target: Engine,
    clock: CopyClock,
    tell: Callable[[int], object],
) -> None:
    """Copy the oldest state, or the rest of it, a part at a time."""
    snapshot, before = _open(source, state), target.open()
    done = 0 if before is None else len(before)
    version = None if before is None else before.version
    entries = islice(each_entry(snapshot), done, None)
    part_of = _part_of if target.streams else list[Change]
    keep, target.keep = target.keep, _NOTHING
    try:
        while (part := part_of(entries)) or version is None:
            done += len(part)
            # The last one has the time of the state, those before it come before.
            left = timedelta(microseconds=len(snapshot) - done)
            clock.now = None if state.time is None else state.time - left
            version = target.commit(Commit(version, part))
            tell(done)
    finally:
        target.keep = keep
    if target.streams:
        target.purge()  # the parts


def _part_of(entries: Iterator[tuple[bytes, bytes]]) -> list[Change]:
    part: list[Change] = []
    size = 0
    for key, value in entries:
        part.append((key, value))
        size += len(key) + len(value)
        if size > _LARGE or len(part) >= _MANY:
            break
    return part


def _open(engine: Engine, state: _State) -> Snapshot:
    found = engine.open() if state.id is None else engine.state(state.id)
    if found is None:
        msg = "the database was removed while it was copied"
        raise FileNotFoundError(2, msg, engine.location)
    return found


def _done(name: str, source: Engine, target: Engine, states: Sequence[_State]) -> int:
    """Count the states that an earlier call has copied already.

    Raises:
        FileExistsError: What is there is nothing of the kind.
    """
    if target.open() is None:
        return 0
    copies = _copies(target)
    if len(copies) <= len(states) and all(
        _digest(_open(source, state)) == _digest(_open(target, copy))
        for state, copy in zip(states, copies, strict=False)
    ):
        return len(copies)
    oldest, parts = _open(source, states[0]), (_open(target, each) for each in copies)
    if all(_digest(part) == _digest(oldest, len(part)) for part in parts):
        return 0  # it was cut off in the oldest
    msg = (
        f"cannot copy database {name!r}: there is another one of this name; "
        f"rename or remove it first"
    )
    raise FileExistsError(17, msg, target.location)


def _copies(target: Engine) -> list[_State]:
    kinds = {"snapshot", "commit"}
    kept = [info.id for info in reversed(target.backups()) if info.kind in kinds]
    return [*(_State(each, None) for each in kept), _State(None, None)]


def _copy_unsaved(source: Engine, target: Engine, root_format: Format) -> None:
    there = {
        _digest(target.state(info.id))
        for info in target.backups()
        if info.kind == "unsaved"
    }
    for info in reversed(source.backups()):
        if info.kind != "unsaved":
            continue
        snapshot = source.state(info.id)
        if _digest(snapshot) not in there:
            target.save_unsaved(root_format.join(entries_of(snapshot)))


def _compare(
    name: str, source: Engine, target: Engine, states: Sequence[_State]
) -> None:
    """Read both anew, and compare each state with its copy.

    Raises:
        OSError: They are not equal.
    """
    copies = _copies(target)
    for state, copy in zip(states, copies, strict=False):
        if _digest(_open(source, state)) == _digest(_open(target, copy)):
            continue
        which = "the present state" if state.id is None else f"state {state.id}"
        msg = (
            f"{which} of database {name!r} differs from its copy: it was changed "
            f"meanwhile, or the copy is damaged; remove the copy and copy it again"
        )
        raise OSError(5, msg, target.location)
    if len(copies) != len(states):
        msg = f"the copy of database {name!r} has {len(copies)} states of {len(states)}"
        raise OSError(5, msg, target.location)


def _digest(snapshot: Snapshot, most: int | None = None) -> bytes:
    """A hash of all keys and values in order, or of the first ones, page by page."""
    digest = sha256()
    for pair in islice(each_entry(snapshot), most):
        for part in pair:
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.digest()
