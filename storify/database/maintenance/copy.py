"""A database copied to another place with its past: between folders and servers.

State by state, oldest first: each is one commit, at the time that the state has. What
was interrupted goes on with the state that comes next, and at the end all is compared.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, NamedTuple

from storify.engine import (
    Commit,
    Engine,
    Format,
    Keep,
    Snapshot,
    difference,
    entries_of,
)

__all__ = ["EVERYTHING", "CopyClock", "copy_database"]

EVERYTHING: Final = Keep(1_000_000)
"""The policy of a copy: what the source has kept is kept."""

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
        time: When it was committed; None for that of now.
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
    done = _done(name, source, target, states)
    sizes = [len(_open(source, state)) for state in states]
    entries = entries_of(_open(source, states[done - 1])) if done else {}
    before = target.open()
    version = None if before is None else before.version
    copied = sum(sizes[:done])
    for state, size in list(zip(states, sizes, strict=True))[done:]:
        new = entries_of(_open(source, state))
        clock.now = state.time
        version = target.commit(Commit(version, difference(entries, new)))
        entries = new
        copied += size
        if progress is not None:
            progress(copied, sum(sizes))
    clock.now = None
    _copy_unsaved(source, target, root_format)
    _compare(name, source, target, states)
    return len(_open(source, states[-1]))


def _states(source: Engine) -> list[_State]:
    """The states of a database that have a time, oldest first, and the present one."""
    past = [
        _State(info.id, info.time)
        for info in reversed(source.backups())
        if info.kind in {"snapshot", "commit"} and info.time is not None
    ]
    return [*past, _State(None, None)]


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
    present = target.open()
    if present is None:
        return 0
    done = len(_kept(target)) + 1
    if done <= len(states) and _digest(present) == _digest(
        _open(source, states[done - 1])
    ):
        return done
    msg = (
        f"cannot copy database {name!r}: there is another one of this name; "
        f"rename or remove it first"
    )
    raise FileExistsError(17, msg, target.location)


def _kept(engine: Engine) -> list[str]:
    kinds = {"snapshot", "commit"}
    return [info.id for info in reversed(engine.backups()) if info.kind in kinds]


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
    copies = [*(_State(id_, None) for id_ in _kept(target)), _State(None, None)]
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


def _digest(snapshot: Snapshot) -> bytes:
    """A hash of all keys and values in order, page by page."""
    digest = sha256()
    for part in _parts(snapshot):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _parts(snapshot: Snapshot) -> Iterator[bytes]:
    return (part for page in snapshot.items() for pair in page for part in pair)
