"""The kit as a downstream project uses it, run on whatever ``storify`` is imported.

``python -m mutation.kit TOOL`` runs one of `TOOLS`, always with the same examples. It
says where the library is, and in a line of JSON what is wrong with it, or null.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import run_state_machine_as_test

import storify
from faults.database import journaling, without_syncs
from mutation.stored import (
    EVERY,
    TYPES,
    Shop,
    ShopV1,
    Tank,
    TankV1,
    User,
)
from storify import Database, Storify, StorifyError
from storify.testing import (
    DatabaseMachine,
    assert_roundtrip,
    assert_upgrades,
    crash_points,
    difference,
    models,
    reopen,
    storable,
    temp_db,
)

__all__ = ["TOOLS"]

#: The same examples in each run; what fails is not shrunk, nobody reads it.
SETTINGS: Final = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
EXAMPLES: Final = 200
PROGRAMS: Final = 120
STEPS: Final = 25
#: Makes a change small beside the database, so that it is appended to a journal.
BULK: Final = "." * 3000


def untyped() -> None:
    """`assert_roundtrip` of values without a model, with all that breaks stores."""
    assert_roundtrip(storable(adversarial=True), examples=4 * EXAMPLES)


def roundtrip() -> None:
    """`assert_roundtrip` of models with every kind of field."""
    for model in EVERY:
        odd = models(model, adversarial=True)
        assert_roundtrip(odd, examples=EXAMPLES, types=TYPES)
        assert_roundtrip(model, examples=5, types=TYPES)  # and its defaults


def _counts_once(old: ShopV1, new: Shop) -> bool:
    return new.visits == 1 and new.name == old.title


def _measures(old: TankV1, new: Tank) -> bool:
    return new.litres == len(old.litres)


def upgrades() -> None:
    """`assert_upgrades` of a renamed field, a migration, a retyped field."""
    assert_upgrades(ShopV1, Shop, check=_counts_once, examples=EXAMPLES)
    assert_upgrades(TankV1, Tank, check=_measures, examples=EXAMPLES)


class Alone(DatabaseMachine[User]):
    """One program and its database."""

    classes = (User,)
    second_writer = False


class Two(DatabaseMachine[User]):
    """Two programs that change one database."""

    classes = (User,)


def _run(machine: Any) -> None:
    how = settings(SETTINGS, max_examples=PROGRAMS, stateful_step_count=STEPS)
    with without_syncs():
        run_state_machine_as_test(machine, settings=how)


def machine() -> None:
    """A `DatabaseMachine` that is alone with its database."""
    _run(Alone)


def two_writers() -> None:
    """A `DatabaseMachine` with a second writer."""
    _run(Two)


def _agree(what: str, expected: object, found: object) -> None:
    where = difference(expected, found)
    if where is not None:
        msg = f"{what}: {where}"
        raise AssertionError(msg)


def _state(turn: int) -> dict[str, Any]:
    """Give the content of a database after so many changes."""
    return {"bulk": BULK, "turn": turn, "u": User(f"{turn}" * 99, tags=[f"{turn}"])}


def _save(users: Database[Any, str], turn: int) -> None:
    """Make a state the present one; what does not change is set once."""
    state = _state(turn)
    users.setdefault("bulk", BULK)
    users.update(turn=state["turn"], u=state["u"])


def _save_some(root: Path, done: Callable[[int], object]) -> None:
    """Save one state after the other; after an error try again."""
    with Storify(root, save_interval=None, models=[User]) as sf:
        users: Database[Any, str] = sf.get_db("users")
        for turn in range(3):
            _save(users, turn)
            with suppress(OSError):
                users.flush()
            users.flush()
            done(turn)


def _crash(*, journaled: bool) -> None:
    """See that what was acknowledged is there, or the state after it."""
    with tempfile.TemporaryDirectory() as folder, journaling(on=journaled):
        for crashed in crash_points(_save_some, folder):
            with crashed.reopen() as sf:
                users = sf.get_db("users")
                promised = crashed.done[-1] if crashed.done else -1
                turn = users.get("turn", -1)
                expected = {} if turn == -1 else _state(turn)
                _agree(f"{crashed.point}: turn {turn}", expected, dict(users))
                if turn not in (promised, promised + 1):
                    msg = f"{crashed.point}: turn {turn}, but {promised} was saved"
                    raise AssertionError(msg)


def crashes() -> None:
    """`crash_points` of a database that is written whole."""
    _crash(journaled=False)


def journal() -> None:
    """`crash_points` of a database with a journal."""
    _crash(journaled=True)


def _states(users: Database[Any, str], count: int) -> list[dict[str, Any]]:
    """Save so many states, one after the other, and give them."""
    for turn in range(count):
        _save(users, turn)
        users.flush()
    return [_state(turn) for turn in range(count)]


def _cut(path: Path) -> None:
    """Let a file end in the midst of it."""
    path.write_bytes(path.read_bytes()[: len(BULK) // 2])


def _flip(path: Path) -> None:
    """Let a bit near the end of a file be another one."""
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def temporary() -> None:
    """Tests with `temp_db` and `reopen`: held objects, older states, damaged files."""
    for journaled in (False, True):
        with journaling(on=journaled), without_syncs():
            _change_what_is_held()
            _restore_each()
            _read_damaged(_cut, closed=False)
            _read_damaged(_cut, closed=True)
    with journaling(), without_syncs():
        _read_damaged(_flip, ".journal", closed=False)


def _change_what_is_held() -> None:
    with temp_db(name="users", models=[User]) as users:
        users["u"] = held = User("Ann")
        users.flush()
        held.tags.append("late")
        again = reopen(users)
        _agree("changed after a flush", {"u": User("Ann", tags=["late"])}, dict(again))


def _restore_each() -> None:
    with temp_db(name="users", models=[User], keep=100) as users:
        states = _states(users, 4)
        backups = users.backups.list
        _agree("how many backups there are", len(states) - 1, len(backups))
        for which, state in zip(backups, reversed(states[:-1]), strict=True):
            users.backups.restore(which)
            _agree(f"restored {which}", state, dict(users))


def _read_damaged(
    damage: Callable[[Path], None], suffix: str = "", *, closed: bool
) -> None:
    with temp_db(name="users", models=[User]) as users:
        states = _states(users, 4)
        if closed:
            users.close()
        damage(Path(users.path + suffix))
        with Storify(users.root, save_interval=None, models=[User]) as sf:
            _agree("recovered", states[-1], dict(sf.get_db("users")))


TOOLS: Final[Mapping[str, Callable[[], None]]] = {
    tool.__name__: tool
    for tool in (
        untyped,
        roundtrip,
        upgrades,
        machine,
        two_writers,
        crashes,
        journal,
        temporary,
    )
}


#: What a tool raises that has found something.
_FINDINGS: Final = (AssertionError, StorifyError)


def _found_by(tool: str) -> str | None:
    """Give what a tool says is wrong; None if it finds nothing.

    An error of another kind is a fault that breaks the library at all, which would
    prove nothing of the tool: it is not caught.
    """
    try:
        TOOLS[tool]()
    except _FINDINGS as error:
        return f"{type(error).__name__}: {error}"
    except FlakyFailure as group:  # it fails, but not each time
        found, others = group.split(_FINDINGS)
        if found is None or others is not None:
            raise
        return f"now and then {found.exceptions[0]!r}"
    return None


def main(tool: str) -> None:
    """Run a tool; say where the library is, and what is wrong with it."""
    settings.register_profile("mutation", SETTINGS)
    settings.load_profile("mutation")
    print(storify.__file__)  # noqa: T201 - to the process that asked
    print(json.dumps(_found_by(tool)))  # noqa: T201 - idem


if __name__ == "__main__":
    main(*sys.argv[1:])
