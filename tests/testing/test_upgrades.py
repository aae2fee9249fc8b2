"""`assert_upgrades`: changes of a class that keep its records, and such that do not."""
# ruff: noqa: D101 -- the classes are what changes

from typing import Any

import pytest

from storify import Model, field, migration
from storify.testing import assert_upgrades
from storify.testing._roundtrip import FRESH


class UserV1(Model, keyname="__User__"):
    name: str
    age: int = 0


class Renamed(Model, keyname="__User__"):
    name: str
    years: int = field(was="age", default=0)
    email: str | None = None


class Moved(Model, was="__User__"):
    name: str
    age: int = 0


class Versioned(Model, keyname="__User__", version=1):
    first: str
    last: str

    @staticmethod
    @migration(0)
    def _split(fields: dict[str, Any]) -> dict[str, Any]:
        first, _, last = fields.pop("name").partition(" ")
        return {"first": first, "last": last}


class NeedsMore(Model, keyname="__User__"):
    name: str
    email: str


class Retyped(Model, keyname="__User__"):
    name: str
    age: str = ""


class Forgetful(Model, keyname="__User__"):
    def __init__(self, name: str = "", age: int = 0):
        self.name = name
        self.age = age
        self.saves = 0

    def _to_dict(self):
        self.saves += 1
        return dict(vars(self))


class Dropping(Model, keyname="__User__", dropped=["email"]):
    name: str


class WithEmail(Model, keyname="__User__"):
    name: str
    email: str = "none"
    size: int = 0


class Dirty(Model, keyname="__User__"):
    name: str

    def _to_dict(self):
        return {"name": object()}


@pytest.mark.parametrize("new", [UserV1, Renamed, Moved, Versioned])
def test_a_change_that_keeps_records_passes(new):
    """Renamed and new fields, a renamed class, a migration."""
    assert_upgrades(UserV1, new, examples=30)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (UserV1, NeedsMore, "it does not load as NeedsMore"),
        (UserV1, Retyped, "it does not fit the annotations of Retyped"),
        (UserV1, Forgetful, "each save of the new class writes other bytes"),
        (Dirty, UserV1, "the old class cannot store it"),
    ],
)
def test_a_change_that_does_not_is_told(old, new, said):
    """With the old object, and where it went wrong."""
    with pytest.raises(AssertionError) as caught:
        assert_upgrades(old, new, examples=30)

    text = str(caught.value)
    assert text.startswith(f"assert_upgrades({old.__name__}, {new.__name__}): {said}")
    assert f"minimal example: {old.__name__}(name=''" in text


def test_what_an_old_program_would_lose_is_told():
    """It reads what the new one wrote, and saves it again."""
    with pytest.raises(AssertionError, match="an old program that saves it") as caught:
        assert_upgrades(Dropping, WithEmail, examples=100)

    assert "minimal example: WithEmail(name='', email=''" in str(caught.value)
    assert "$.email: expected str '', found str 'none'" in str(caught.value)


def test_the_own_check_has_the_last_word():
    """It says no by an assertion or by False; anything else is a yes."""
    seen = []

    def compare(old: UserV1, new: Renamed) -> None:
        seen.append((old.age, new.years))
        assert new.years == old.age, "the age was lost"

    assert_upgrades(UserV1, Renamed, check=compare, examples=20)
    with pytest.raises(AssertionError, match="check says no: 3 is odd"):
        assert_upgrades(UserV1, Renamed, check=_refuse_all, examples=20)
    with pytest.raises(AssertionError, match="check says no"):
        assert_upgrades(UserV1, Renamed, check=lambda _old, _new: False, examples=20)

    assert len(seen) >= 20
    assert all(one == other for one, other in seen)


def _refuse_all(_old: UserV1, _new: Renamed) -> None:
    msg = "3 is odd"
    raise AssertionError(msg)


def test_what_the_new_class_cannot_store_is_told():
    """Its own objects, too, go through the old program."""
    with pytest.raises(AssertionError, match="the new class cannot store it"):
        assert_upgrades(UserV1, Dirty, examples=5)


def test_in_the_new_process_of_a_round_trip_nothing_is_run(monkeypatch):
    """It only imports the caller."""
    monkeypatch.setenv(FRESH, "1")

    assert_upgrades(UserV1, Unrelated)


def test_classes_of_other_keynames_are_no_upgrade():
    """The new class would never see a record of the old one."""
    with pytest.raises(ValueError, match="was='__User__'"):
        assert_upgrades(UserV1, Unrelated)


class Unrelated(Model):
    name: str
