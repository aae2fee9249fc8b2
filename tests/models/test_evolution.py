"""Records written by other versions of a class."""
# ruff: noqa: D101, N805 -- the classes are the examples, odd on purpose

import datetime as dt

import attrs
import pytest

from storify.exceptions import (
    MigrationError,
    ModelError,
    ModelLoadError,
    NewerVersionError,
)
from storify.models import Model, Registry, Unloaded, extras, field, migration


class Person(Model, keyname="__User__", was="__Human__", version=2, dropped=["flag"]):
    first: str
    years: int = field(was=("age", "how_old"), default=0)
    email: str | None = None
    born: dt.date | None = field(default=None, upgrade=dt.date.fromisoformat)

    @migration(0)
    @staticmethod
    def _split(d):
        d["first"] = d.pop("name").split()[0]

    @staticmethod
    @migration(1)
    def _grow(d):
        return {**d, "years": d.pop("years", 0) + 1}


def quiet(*models):
    """Make a registry and the list of its warnings."""
    warnings = []
    return Registry(models, warn=warnings.append), warnings


def test_the_version_is_written_into_the_fields():
    """Only above 0, so unversioned models keep the guide's bytes."""
    registry = Registry([Person])

    assert registry.unstructure(Person("a"))["__User__"]["_v"] == 2
    assert registry.structure(registry.unstructure(Person("a"))) == Person("a")


def test_migrations_are_chained():
    """A record of version 0 takes every step, one of version 1 the last."""
    registry = Registry([Person])
    stored = {"name": "Ann Lee"}

    oldest = registry.structure({"__User__": stored})
    older = registry.structure({"__User__": {"first": "Bob", "years": 5, "_v": 1}})

    assert oldest == Person("Ann", 1)
    assert older == Person("Bob", 6)
    assert stored == {"name": "Ann Lee"}


def test_renamed_classes_and_fields_are_read_and_written_anew():
    """was= of the class and of a field, the newest name first."""
    registry = Registry([Person])

    one = registry.structure({"__Human__": {"first": "a", "age": 3, "_v": 2}})
    two = registry.structure({"__User__": {"first": "a", "how_old": 4, "_v": 2}})
    both = registry.structure(
        {"__User__": {"first": "a", "years": 5, "age": 6, "_v": 2}}
    )

    assert (one.years, two.years, both.years) == (3, 4, 5)
    assert dict(extras(both)) == {"age": 6}
    assert list(registry.unstructure(one)) == ["__User__"]
    assert "age" not in registry.unstructure(one)["__User__"]


def test_upgrade_is_called_only_for_what_does_not_conform():
    """A value that fits is left alone; one that cannot be upgraded stays."""
    registry, warnings = quiet(Person)

    def born(value):
        record = {"__User__": {"first": "a", "born": value, "_v": 2}}
        return registry.structure(record).born

    assert born("2000-01-02") == dt.date(2000, 1, 2)
    assert born(dt.date(2001, 1, 1)) == dt.date(2001, 1, 1)
    assert born(None) is None
    assert born("no date") == "no date"
    assert len(warnings) == 1


def test_newer_records_are_kept_raw():
    """They are saved again unchanged; nothing is guessed."""
    registry, warnings = quiet(Person)
    tree = {"__User__": {"_v": 3, "first": "a", "new": [1]}}

    loaded = registry.structure(tree)

    assert isinstance(loaded, Unloaded)
    assert isinstance(loaded.error, NewerVersionError)
    assert registry.unstructure(loaded) == tree
    assert len(warnings) == 1


def test_a_newer_record_of_an_unversioned_class_is_kept_raw_too():
    """Absent means 0 for the class as well."""

    class Plain(Model):
        a: int = 0

    registry, _ = quiet(Plain)

    newer = registry.structure({"__Plain__": {"a": 1, "_v": 1}})
    odd = registry.structure({"__Plain__": {"a": 1, "_v": "x"}})

    assert isinstance(newer.error, NewerVersionError)
    assert odd == Plain(1)
    assert registry.structure({"__Plain__": {"a": 1, "_v": 0}}) == Plain(1)
    assert registry.unstructure(odd) == {"__Plain__": {"a": 1, "_v": "x"}}


def test_a_version_without_migrations_takes_older_records_as_they_are():
    """A version may just mark an addition."""

    class Marked(Model, version=3):
        a: int = 0

    registry = Registry([Marked])

    assert registry.structure({"__Marked__": {"a": 1}}) == Marked(1)
    assert registry.structure({"__Marked__": {"a": 1, "_v": 2}}) == Marked(1)


@pytest.mark.parametrize(
    ("version", "steps", "message"),
    [
        (2, [0], "from version 1"),
        (2, [1], "from version 0"),
        (3, [0, 2], "from version 1"),
        (1, [0, 1], "beyond"),
        (0, [0], "beyond"),
    ],
)
def test_a_gap_in_the_migrations_is_refused(version, steps, message):
    """At registration, before a record needs the missing step."""
    body = {f"_step{n}": migration(n)(lambda d: d) for n in steps}
    cls = type("Gap", (Model,), body, version=version)

    with pytest.raises(ModelError, match=message):
        Registry([cls])


def test_two_migrations_from_one_version_are_refused():
    """Which one would run?"""
    with pytest.raises(ModelError, match="two migrations from version 0"):

        class Twice(Model, version=1):
            @migration(0)
            def _one(d): ...

            @migration(0)
            def _two(d): ...

    with pytest.raises(ModelError, match="start at 0"):
        migration(-1)


def test_version_and_migrations_are_inherited():
    """A subclass's records hold the base's fields, so they follow its changes."""

    class Manager(Person):
        team: str = ""

    registry = Registry([Manager])

    loaded = registry.structure({"__Manager__": {"name": "Ann Lee"}})

    assert loaded == Manager("Ann", 1)
    assert registry.unstructure(loaded)["__Manager__"]["_v"] == 2


def test_a_failing_migration_keeps_the_record_as_it_was():
    """Also one that had changed its data before, or gave no dict."""

    class Fails(Model, version=1):
        a: int = 0

        @migration(0)
        def _step(d):
            d["list"].append(1)
            d["deep"]["set"].add(2)
            del d["list"], d["missing"]

    class Odd(Model, version=1):
        @migration(0)
        def _step(d):
            return [d]

    registry, warnings = quiet(Fails, Odd)
    stored = {"list": [], "deep": {"set": {1}}}

    failed = registry.structure({"__Fails__": stored})
    odd = registry.structure({"__Odd__": {"b": 1}})

    assert failed == {"__Fails__": {"list": [], "deep": {"set": {1}}}}
    assert isinstance(failed.error, ModelLoadError)
    assert isinstance(failed.error.__cause__, MigrationError)
    assert isinstance(failed.error.__cause__.__cause__, KeyError)
    assert "missing" not in warnings[0]
    assert "gave list" in str(odd.error)


def test_migrations_see_nested_models_as_objects():
    """Decoding is inner-first; the objects are not copied."""

    class Inner(Model):
        a: int = 0

    class Outer(Model, version=1):
        inner: Inner
        a: int = 0

        @migration(0)
        def _step(d):
            return {**d, "a": d["inner"].a}

    registry = Registry([Outer])
    inner = Inner(5)

    outer = registry.structure({"__Outer__": {"inner": inner}})

    assert outer.inner is inner
    assert outer.a == 5


def test_a_default_that_cannot_be_made_says_why():
    """In the words of the factory, which sees nothing of what is stored."""

    def fail():
        msg = "no such port"
        raise OSError(msg)

    class Ship(Model):
        name: str
        port: str = field(factory=fail)

    class Boat(Model):
        name: str
        port: str = field(factory=fail, stored=False)

    class Raft(Model):
        name: str
        port: str = field(default=attrs.Factory(lambda self: fail(), takes_self=True))

    registry, warnings = quiet(Ship, Boat, Raft)

    for keyname in ("Ship", "Boat"):
        kept = registry.structure({f"__{keyname}__": {"name": "a"}})
        assert kept.error.path == "$.port"
        assert str(kept.error).endswith(
            f"{keyname}: the default of 'port' cannot be made: OSError: no such port"
        )
        assert isinstance(kept.error.__cause__, OSError)
    kept = registry.structure({"__Raft__": {"name": "a"}})
    assert str(kept.error) == f"{Raft.__qualname__}: OSError while loading"
    assert len(warnings) == 3
