"""`database_machine`: it passes a right database and finds what is wrong with others."""

from collections.abc import Callable
from sys import getrefcount
from typing import Any
from unittest.case import TestCase
from weakref import WeakSet

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from storify import Backups, Database, Model, Storify, StorifyError
from storify.database.live import ownership, slots
from storify.engine import FileEngine
from storify.testing import DatabaseMachine, database_machine, models
from storify.testing._connection import why_no_server

#: Enough to find each of the planted faults, every time.
SEARCH = settings(
    max_examples=300,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
SHRINK = settings(SEARCH, phases=[Phase.generate, Phase.shrink])
FEW = settings(SEARCH, max_examples=10)


class Address(Model):
    """A part of a record."""

    city: str = ""
    lines: list[str] = []


class User(Model):
    """A record with parts that can be changed in place."""

    name: str
    age: int = 0
    tags: list[str] = []
    address: Address | None = None


class Order(Model):
    """Another record."""

    items: list[tuple[str, int]]
    paid: bool = False


def found_in(machine: Any, how: settings = SEARCH) -> str:
    """Run a machine that must fail, and give what is printed of it."""
    with pytest.raises((AssertionError, StorifyError)) as caught:
        run_state_machine_as_test(machine, settings=how)
    error = caught.value
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


#: Records that shrink in no time.
SIMPLE = models(User, name=st.just("Ann"), address=st.none())


# -- a right database ----------------------------------------------------------------


TestUsersAndOrders = database_machine(User, Order).TestCase
TestUsersInMemory = database_machine(User, engine="memory").TestCase


@pytest.mark.skipif(why_no_server() is not None, reason=f"{why_no_server()}")
class TestUsersOnAServer(database_machine(User, engine="postgres").TestCase):
    """The same on PostgreSQL."""


def test_a_machine_on_a_server_opens_its_schema_itself():
    """Who opens it otherwise says so by a method."""
    with pytest.raises(ValueError, match="open_db"):
        database_machine(User, url="postgresql://host/db", open=open_strict)


def open_strict(place: str) -> Database[User, str]:
    """Open as a program of a user's does."""
    sf = Storify(place, save_interval=None, strict=True)
    return sf.get_db("users", model=User, key=str)


TestOpenedByAFunction = database_machine(
    User,
    open=open_strict,
    value=models(User, age=st.integers(18, 99)),
    keys=st.sampled_from(["u1", "u2"]),
).TestCase


class Stock(DatabaseMachine[Order]):
    """Rules of a user's alone, one with a rule of the kit's."""

    classes = (Order,)
    at_random = False
    second_writer = False

    @rule(n=st.integers(1, 3))
    def sell(self, n: int) -> None:
        """Change by code of its own."""
        with self.db.transaction():
            self.db.setdefault("sold", Order([])).items.append(("apple", n))
        self.db["sold"].paid = True
        self.accept()

    @rule()
    def empty(self) -> None:
        """Use what is there."""
        self.put("sold", Order([]))

    @invariant()
    def only_sales(self) -> None:
        """Nothing else is there."""
        assert set(self.db) <= {"sold"}
        assert all(n > 0 for each in self.db.values() for _, n in each.items)


class Crowded(Stock):
    """The same beside a second writer."""

    second_writer = True


TestStock = Stock.TestCase
TestCrowded = Crowded.TestCase


def test_a_machine_is_a_unittest_of_50_programs_of_30_steps() -> None:
    """What pytest collects has settings of its own, that scale with the profile."""
    case = database_machine(User).TestCase

    assert issubclass(case, TestCase)
    default = settings.default
    assert default is not None
    assert case.settings.max_examples == default.max_examples // 2
    assert case.settings.stateful_step_count == 30


def test_a_machine_is_named_after_its_classes() -> None:
    """The printed program says whose machine it is."""
    assert database_machine(User, Order).__name__ == "UserOrderMachine"


def test_a_machine_leaves_no_files(tmp_path: Any, monkeypatch: Any) -> None:
    """Its folders are gone after each program."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    run_state_machine_as_test(database_machine(User), settings=FEW)

    assert list(tmp_path.iterdir()) == []


# -- wrong databases -----------------------------------------------------------------


def lose_nested_changes(patch: pytest.MonkeyPatch) -> None:
    """Save only what was set, deleted or popped: a flag, not the truth."""
    touched: WeakSet[Any] = WeakSet()
    flush = Database.flush

    def marking(name: str) -> Callable[..., Any]:
        real = getattr(Database, name)

        def call(self: Any, *args: Any) -> Any:
            touched.add(self)
            return real(self, *args)

        return call

    def careless(self: Any, *, compact: bool = False) -> None:
        if self in touched:
            flush(self, compact=compact)
            touched.discard(self)

    for name in ("__setitem__", "__delitem__", "pop", "popitem", "clear", "update"):
        patch.setattr(Database, name, marking(name))
    patch.setattr(Database, "flush", careless)


def forget_who_holds_what(patch: pytest.MonkeyPatch) -> None:
    """Take it that nobody has kept what was saved, nor anything in it."""
    patch.setattr(slots, "held_elsewhere", lambda _values, _owners, _kinds: set[int]())


def forget_who_holds_a_part(patch: pytest.MonkeyPatch) -> None:
    """Take it that nobody has kept a part of what was saved, without the whole."""

    def of_the_whole(values: list[object], owners: int, _kinds: object) -> set[int]:
        free = ownership._OWNED - 2 + owners
        return {at for at, n in enumerate(map(getrefcount, values)) if n != free}

    patch.setattr(slots, "held_elsewhere", of_the_whole)


def do_not_reload(patch: pytest.MonkeyPatch) -> None:
    """Go on with what was read before."""
    patch.setattr(Database, "reload", lambda _self, keep=None: None)


def restore_all(patch: pytest.MonkeyPatch) -> None:
    """Forget that only some keys were asked for."""
    restore = Backups.restore
    patch.setattr(
        Backups, "restore", lambda self, which, _keys=None: restore(self, which)
    )


def see_no_conflict(patch: pytest.MonkeyPatch) -> None:
    """Let the last writer win."""
    reload, flush = Database.reload, Database.flush

    def overwrite(self: Any, *, compact: bool = False) -> None:
        reload(self, keep="mine")
        flush(self, compact=compact)

    patch.setattr(Database, "flush", overwrite)


def say_nothing_is_dirty(patch: pytest.MonkeyPatch) -> None:
    """Tell of no change."""
    patch.setattr(Database, "dirty", lambda _self: set())


def save_at_put(patch: pytest.MonkeyPatch) -> None:
    """Save before somebody asks for it."""
    put = Database.__setitem__

    def eager(self: Any, key: Any, value: Any) -> None:
        put(self, key, value)
        self._session.flush()

    patch.setattr(Database, "__setitem__", eager)


def acknowledge_what_is_not_done(patch: pytest.MonkeyPatch) -> None:
    """Write nothing to the disk."""
    commit = FileEngine.commit

    def forget(self: Any, what: Any) -> Any:
        version = commit(self, what)
        self.destroy(backups=True)
        return version

    patch.setattr(FileEngine, "commit", forget)


@pytest.mark.parametrize(
    "plant",
    [
        lose_nested_changes,
        forget_who_holds_what,
        forget_who_holds_a_part,
        do_not_reload,
        restore_all,
        see_no_conflict,
        say_nothing_is_dirty,
        save_at_put,
        acknowledge_what_is_not_done,
    ],
)
def test_a_wrong_database_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these faults makes the machine fail."""
    plant(monkeypatch)

    machine = database_machine(User, value=SIMPLE, keys=st.sampled_from(["a", "b"]))

    assert "state.teardown()" in found_in(machine)


# -- wrong models --------------------------------------------------------------------


class Lossy(Model):
    """It stores less than it has."""

    def __init__(self, a: int = 0, b: int = 0) -> None:
        self.a, self.b = a, b

    def _to_dict(self) -> dict[str, Any]:
        return {"a": self.a}


class Forgetful(Model):
    """It loads less than it stores."""

    def __init__(self, a: int = 0, b: int = 0) -> None:
        self.a, self.b = a, b

    @classmethod
    def _from_dict(cls, data: dict[str, Any]) -> "Forgetful":
        return cls(data["a"])


@pytest.mark.parametrize("model", [Lossy, Forgetful])
def test_a_wrong_model_is_found(model: type[Model]) -> None:
    """A record that does not come back makes the machine fail."""
    assert "state.teardown()" in found_in(database_machine(model, engine="memory"))


def test_a_broken_invariant_of_the_users_is_found() -> None:
    """An invariant over ``self.db`` fails for a program that breaks it."""

    class Young(DatabaseMachine[User]):
        classes = (User,)
        values = SIMPLE
        engine = "memory"

        @invariant()
        def nobody_is_old(self) -> None:
            assert all(user.age < 1000 for user in self.db.values())

    text = found_in(Young, SHRINK)

    assert "age=1000" in text


@pytest.mark.deep("it shrinks a failure")
def test_a_failure_is_printed_as_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is short, in terms of the database, and says what is wrong and where."""
    lose_nested_changes(monkeypatch)

    class Users(DatabaseMachine[User]):
        classes = (User,)
        values = models(User, name=st.just("Ann"), age=st.just(0), address=st.none())
        engine = "memory"
        second_writer = False

    text = found_in(Users, SHRINK)

    assert "expected" in text
    assert "(edit=<db['" in text
    assert "Edit(" not in text
    assert len(text.splitlines()) < 12, text
