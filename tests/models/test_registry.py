"""The registry: keynames, records that do not load, discovery, threads."""
# ruff: noqa: D101 -- the classes are the examples, odd on purpose

import threading
import types
from enum import Enum
from typing import Any

import pytest

from storify.exceptions import (
    DuplicateKeynameError,
    ModelError,
    ModelLoadError,
    UnstorableError,
)
from storify.models import Model, Registry, Unloaded, extras, field


class Colour(Enum):
    RED = "r"


class Address(Model):
    city: str


class User(Model):
    name: str
    age: int = 0
    address: Address | None = None
    colour: Colour = Colour.RED


class Strict(Model, extra="forbid"):
    a: int = 0


def quiet(*models, **options):
    """Make a registry and the list of its warnings."""
    warnings = []
    return Registry(models, warn=warnings.append, **options), warnings


def test_models_and_types_in_annotations_are_found():
    """Registering one class makes known what its fields hold."""
    types = []

    registry = Registry([User], register_type=types.append)

    assert list(registry.keynames) == ["__User__", "__Address__"]
    assert types == [Colour]


def test_keynames_are_live():
    """Registered, earlier and learned ones appear in the same view."""

    class Later(Model, was="__Sooner__"):
        a: int = 0

    registry = Registry()
    keynames = registry.keynames

    registry.register(Later)
    registry.learn("__Heard__")
    registry.learn("__Later__")

    assert list(keynames) == ["__Later__", "__Sooner__", "__Heard__"]
    assert registry.structure({"__Sooner__": {"a": 1}}) == Later(1)
    assert registry.unstructure(Later(1)) == {"__Later__": {"a": 1}}


def test_what_is_no_wrapper_stays_the_very_dict():
    """Several keys, other keys, other values: plain data."""
    registry = Registry([User])

    for tree in (
        {}, {"a": 1}, {"a": {}, "b": {}}, {1: {}}, {"a": {"b": 1}}, {"__User__": 1},
        {"__User__": {"name": "a"}, "x": 1}, {("__User__",): {}}, {"a": Address("c")},
        {"__User__": Address("c")},
    ):  # fmt: skip
        assert registry.structure(tree) is tree


def test_a_missing_required_field_keeps_the_record():
    """The record is as it was, keys in order, and says why."""
    registry, warnings = quiet(User)
    tree = {"__User__": {"age": 3, "x": [1], "address": None}}

    loaded = registry.structure(tree)
    registry.structure({"__User__": {}})

    assert isinstance(loaded, Unloaded)
    assert isinstance(loaded.error, ModelLoadError)
    assert loaded.error.path == "$.name"
    assert registry.unstructure(loaded) == tree
    assert list(registry.unstructure(loaded)["__User__"]) == ["age", "x", "address"]
    assert type(registry.unstructure(loaded)) is dict
    assert len(warnings) == 1


def test_an_unknown_keyname_stays_unloaded_without_an_error():
    """It may belong to a class of another program."""
    registry, warnings = quiet(User)
    registry.learn("v1_gone")

    underscored = registry.structure({"__Gone__": {"a": 1}})
    learned = registry.structure({"v1_gone": {"a": 1}})

    assert isinstance(underscored, Unloaded)
    assert underscored.error is None
    assert isinstance(learned, Unloaded)
    assert warnings == []


def test_an_unloaded_record_nested_in_a_field_stays_there():
    """It is saved again inside its owner; no second warning for the owner."""
    registry, warnings = quiet(User)
    address = registry.structure({"__Address__": {"town": "x"}})

    user = registry.structure({"__User__": {"name": "a", "address": address}})

    assert user.address is address
    assert registry.unstructure(user)["__User__"]["address"] is address
    assert len(warnings) == 1


def test_a_changed_unloaded_record_must_stay_a_record():
    """Anything else could not be told from plain data."""
    registry = Registry()
    record = Unloaded({"__A__": {}})
    record["more"] = 1

    with pytest.raises(UnstorableError, match="unloaded"):
        registry.unstructure(record)
    with pytest.raises(UnstorableError, match="unloaded"):
        registry.unstructure(Unloaded({"__A__": 1}))


def test_values_that_are_no_models_are_not_ours():
    """The codec then decides."""
    assert Registry().unstructure(object()) is None
    assert Registry().unstructure({"a": 1}) is None


def test_unknown_names_are_kept_in_order():
    """Those that hide nothing of the class are attributes, the others lie aside."""
    registry = Registry([User])
    tree = {"__User__": {"z": 1, "name": "a", "evolve": 2, "_a": 3, "y": 4}}

    user = registry.structure(tree)

    assert dict(extras(user)) == {"z": 1, "evolve": 2, "_a": 3, "y": 4}
    assert (user.z, user.y) == (1, 4)
    assert callable(user.evolve)
    assert not hasattr(user, "_a")
    assert list(registry.unstructure(user)["__User__"]) == [
        "name", "age", "address", "colour", "z", "evolve", "_a", "y",
    ]  # fmt: skip


def test_extra_forbid_refuses_unknown_names():
    """At load the record is kept raw; at write the attribute is refused."""
    registry, _ = quiet(Strict)
    obj = Strict(1)
    obj.more = 1

    loaded = registry.structure({"__Strict__": {"a": 1, "b": 2}})

    assert loaded.error.path == "$.b"
    with pytest.raises(UnstorableError, match="forbid"):
        registry.unstructure(obj)


def test_dropped_names_are_thrown_away():
    """They are read without complaint and not written again."""

    class Slim(Model, extra="forbid", dropped=["flag"]):
        a: int = 0

    class Slimmer(Slim, dropped="other"):
        pass

    registry = Registry([Slim, Slimmer])

    slimmer = registry.structure({"__Slimmer__": {"a": 1, "flag": 1, "other": 2}})

    assert registry.structure({"__Slim__": {"a": 1, "flag": True}}) == Slim(1)
    assert registry.unstructure(slimmer) == {"__Slimmer__": {"a": 1}}


def test_two_classes_with_one_keyname_are_refused():
    """The error names both with their modules, and what to do."""

    class Other(Model, keyname="__User__"):
        a: int = 0

    class Inherits(Model):
        @classmethod
        def _keyname(cls):
            return "one"

    class Heir(Inherits):
        pass

    class Earlier(Model, was="__User__"):
        pass

    for pair in ([User, Other], [Inherits, Heir], [User, Earlier], [Earlier, User]):
        with pytest.raises(DuplicateKeynameError) as caught:
            Registry(pair)
        for cls in pair:
            assert f"{cls.__module__}.{cls.__qualname__}" in str(caught.value)
        assert "keyname=" in str(caught.value)


def test_a_refused_registration_changes_nothing():
    """Neither the classes before the bad one nor those in its annotations."""

    class Holder(Model):
        address: Address
        bad: "type[int]"

    class Fine(Model):
        a: int = 0

    registry = Registry()
    keynames = registry.keynames

    with pytest.raises(ModelError, match=r"Holder\.bad"):
        registry.register(Fine, Holder)
    assert list(keynames) == []
    registry.register(Fine, Fine)
    registry.register(Fine)
    assert list(keynames) == ["__Fine__"]


@pytest.mark.parametrize("thing", [int, "User", User("a")])
def test_only_model_classes_can_be_registered(thing):
    """Anything else is a ModelError."""
    with pytest.raises(ModelError, match="no Model class"):
        Registry([thing])


def test_a_keyname_must_be_a_str():
    """An override that gives something else is refused."""

    class Numbered(Model):
        @classmethod
        def _keyname(cls):
            return 5

    with pytest.raises(ModelError, match="Numbered"):
        Registry([Numbered])


def redefine(default, other=None):
    """Make a class of the same qualified name each time, like a notebook cell."""

    class Cell(Model):
        a: int = default
        b: Any = other

    return Cell


def test_a_redefined_class_takes_over():
    """Records load as the new class; objects of the old one are still stored."""
    old, new = redefine(1), redefine(2)

    class Holds(Model):
        cell: old

    registry = Registry([old])
    registry.register(new, Holds)

    assert type(registry.structure({"__Cell__": {}})) is new
    assert registry.unstructure(old(5)) == {"__Cell__": {"a": 5, "b": None}}
    assert Registry([old, Holds]).unstructure(new(1)) is not None
    with pytest.raises(DuplicateKeynameError):
        Registry([old, new])


def test_an_explicit_class_wins_over_one_in_an_annotation():
    """In one call too, whatever the order."""
    old, new = redefine(1), redefine(2)

    class Holds(Model):
        cell: old

    for order in ([new, Holds], [Holds, new]):
        registry = Registry(order)
        assert type(registry.structure({"__Cell__": {}})) is new


def test_an_unregistered_object_is_stored_with_a_warning():
    """It is registered, so it loads from now on."""
    registry, warnings = quiet()

    tree = registry.unstructure(Address("c"))
    registry.unstructure(Address("d"))

    assert tree == {"__Address__": {"city": "c"}}
    assert registry.structure(tree) == Address("c")
    assert len(warnings) == 1
    assert "models=[" in warnings[0]


def test_subclasses_are_discovered_at_load():
    """Also of subclasses, and ones defined after a first miss."""

    class Animal(Model):
        name: str = ""

    class Dog(Animal):
        pass

    registry, warnings = quiet(Animal)

    missed = registry.structure({"__Puppy__": {}})
    assert registry.structure({"__Puppy__": {}}) == missed

    class Puppy(Dog, was="pup"):
        pass

    assert type(registry.structure({"__Puppy__": {}})) is Puppy
    assert type(registry.structure({"pup": {"name": "x"}})) is Puppy
    assert type(registry.structure({"__Dog__": {}})) is Dog
    assert isinstance(missed, Unloaded)
    assert warnings == []


def test_an_ambiguous_or_broken_discovery_never_raises():
    """The record stays as it is, with one warning."""

    class Animal(Model):
        name: str = ""

    class One(Animal, keyname="twin"):
        pass

    class Two(Animal, keyname="twin"):
        pass

    class Unstorable(Animal, keyname="__bad__"):
        kind: type = int

    class Raises(Animal):
        @classmethod
        def _keyname(cls):
            raise RuntimeError

    registry, warnings = quiet(Animal)
    tree = {"twin": {"name": "a"}}

    assert registry.structure(tree) is tree
    assert registry.structure({"__bad__": {}}).error is None
    assert registry.structure(dict(tree)) == tree
    assert len(warnings) == 2
    assert "One" in warnings[0]
    assert "Two" in warnings[0]


def test_many_unknown_keys_do_not_fill_the_memory(monkeypatch):
    """What was looked for in vain is remembered up to a limit."""
    monkeypatch.setattr("storify.models.registry._MISSES_KEPT", 5)
    registry = Registry([User])

    for i in range(20):
        registry.structure({f"key{i}": {}})

    assert len(registry._misses) <= 6


def test_fields_named_like_a_keyname():
    """Inner-first decoding takes them for a record; the outer one undoes it."""

    class Tags(Model, keyname="tags"):
        a: int = 0

    class Post(Model):
        tags: dict[str, int]

    registry = Registry([Tags, Post])

    inner = registry.structure({"tags": {"a": 1}})
    post = registry.structure({"__Post__": inner})
    gone = registry.structure({"__Gone__": registry.structure({"tags": {"a": 1}})})

    assert inner == Tags(1)
    assert post == Post({"a": 1})
    assert gone == {"__Gone__": {"tags": {"a": 1}}}
    assert isinstance(gone, Unloaded)
    quiet_registry, _ = quiet(Tags, User)
    failed = quiet_registry.structure({"__User__": Unloaded({"tags": {"a": 1}})})
    assert failed.error.path == "$.name"


def test_deep_records_load():
    """250 levels, wrapped as they are stored, and unwrapped too."""

    class Node(Model):
        v: int
        next: "Node | None" = None

    registry = Registry([Node])
    wrapped, plain = None, None
    for i in range(250):
        wrapped = registry.structure({"__Node__": {"v": i, "next": wrapped}})
        plain = {"v": i, "next": plain}
    loaded = registry.structure({"__Node__": plain})

    for node in (wrapped, loaded):
        depth, at = 0, node
        while at is not None:
            assert type(at) is Node
            at, depth = at.next, depth + 1
        assert depth == 250
    assert list(registry.misfits(wrapped, Node)) == []


def test_data_deeper_than_the_stack_are_kept_raw():
    """A record that cannot be built in this Python stays as it is."""

    class Link(Model):
        next: "Link | None" = None

    registry, _ = quiet(Link)
    plain = {}
    for _ in range(5000):
        plain = {"next": plain}

    assert isinstance(registry.structure({"__Link__": plain}), Unloaded)


def test_a_class_may_be_defined_after_its_owner_is_registered():
    """Annotations are resolved when a record needs them."""

    class Owner(Model):
        item: "Item" = field(default=None)
        items: "list[Item]" = []

    registry = Registry([Owner])

    class Item(Model):
        a: int = 0

    loaded = registry.structure({"__Owner__": {"item": {"a": 1}, "items": [{"a": 2}]}})

    assert loaded == Owner(Item(1), [Item(2)])
    assert "__Item__" in registry.keynames


def test_a_class_to_be_defined_is_not_taken_for_one_of_another_module():
    """That one has its name, and is no matter of this function."""
    there = types.ModuleType("there")
    exec("from storify import Model\nclass Later(Model):\n    b: int", vars(there))  # noqa: S102

    class Owner(Model):
        item: "Later" = field(default=None)

    registry = Registry([Owner])

    class Later(Model):
        a: int = 0

    loaded = registry.structure({"__Owner__": {"item": {"a": 1}}})

    assert loaded == Owner(Later(1))


def test_a_name_that_never_resolves():
    """It is an error at write, and keeps the record at load."""

    class Lost(Model):
        item: "Nowhere" = None  # noqa: F821 -- on purpose

    registry, _ = quiet(Lost)

    loaded = registry.structure({"__Lost__": {"item": 1}})

    assert isinstance(loaded.error.__cause__, ModelError)
    with pytest.raises(ModelError, match=r"Lost\.item.*'Nowhere'"):
        registry.unstructure(Lost())


def test_threads_may_register_and_plan_at_once():
    """All see the same classes and hooks."""
    classes = [
        type(f"T{i}", (Model,), {"__annotations__": {"a": int}, "a": i})
        for i in range(20)
    ]
    registry, warnings = quiet()
    errors = []
    barrier = threading.Barrier(4)

    def work():
        try:
            barrier.wait()
            for cls in classes:
                registry.register(cls)
                assert registry.structure(registry.unstructure(cls())) == cls()
        except Exception as err:  # noqa: BLE001 -- shown by the main thread
            errors.append(err)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert warnings == []
    assert len(registry.keynames) == 20
    entry = registry._by_class[classes[0]]
    assert registry._plan(entry) is entry.hooks


def test_a_class_of_an_annotation_may_take_the_place_of_none():
    """A redefined class met only in annotations leaves the first one in charge."""
    old, new = redefine(1), redefine(2)

    class First(Model):
        cell: old

    class Second(Model):
        cell: new

    registry = Registry([First, Second])

    assert type(registry.structure({"__Cell__": {}})) is old
    assert registry.unstructure(new(3)) == {"__Cell__": {"a": 3, "b": None}}


def test_a_base_met_in_a_hook_is_registered():
    """Asking the converter for a class is using it."""
    registry = Registry()

    made = registry.converter.structure({"city": "c"}, Address)

    assert made == Address("c")
    assert "__Address__" in registry.keynames


def test_a_keyname_override_that_raises_is_not_found():
    """Discovery asks classes that nobody registered."""

    class Animal(Model):
        pass

    class Raises(Animal):
        @classmethod
        def _keyname(cls):
            raise RuntimeError

    registry, warnings = quiet(Animal)

    assert isinstance(registry.structure({"__Raises__": {}}), Unloaded)
    assert warnings == []


def test_misfits_of_a_class_whose_hints_are_partly_unstorable():
    """A hand-written class is checked as far as its hints go."""

    class Hinted(Model):
        a: int
        b: type

        def __init__(self, a=None):
            self.a = a
            self.b = int

    assert [m.path for m in Registry().misfits(Hinted("x"), Hinted)] == ["$.a"]
