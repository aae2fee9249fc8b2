"""Hand-written models: the guide's classes, overrides, and mixing of both kinds."""
# ruff: noqa: D101, D102 -- the classes are the examples, odd on purpose

import types
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from storify.exceptions import ModelLoadError, UnstorableError
from storify.models import Model, Registry, Unloaded, extras, field

T = TypeVar("T")


class User(Model):
    def __init__(self, user_id=None, name=None):
        self.user_id = user_id
        self.name = name
        self._token = None

    def greet(self):
        return f"hi {self.name}"


def reload(obj):
    """Give what a load makes of a stored object."""
    registry = Registry([type(obj)])
    return registry.structure(registry.unstructure(obj))


def quiet(*models):
    """Make a registry and the list of its warnings."""
    warnings = []
    return Registry(models, warn=warnings.append), warnings


def test_public_attributes_are_stored():
    """Names that start with an underscore are not."""
    user = User("u1", "Alice")
    user.extra = [1]

    tree = Registry([User]).unstructure(user)
    loaded = reload(user)

    assert tree == {"__User__": {"user_id": "u1", "name": "Alice", "extra": [1]}}
    assert (loaded.user_id, loaded.name, loaded.extra) == ("u1", "Alice", [1])
    assert loaded._token is None


def test_attrs_never_touches_it():
    """Equality, hash and repr stay those of the class."""
    assert User("a") != User("a")
    assert User.__eq__ is object.__eq__
    assert User.__hash__ is object.__hash__
    assert "object at" in repr(User())


def test_init_runs_at_load_if_it_needs_nothing():
    """Else the object is made without it."""
    calls = []

    class Easy(Model):
        def __init__(self, a=1, *args, **kwargs):
            calls.append(a)
            self.a = a
            self.b = "from init"

    class Hard(Model):
        def __init__(self, a):
            calls.append(a)
            self.a = a

    registry = Registry([Easy, Hard])
    easy = registry.structure({"__Easy__": {"a": 5}})
    hard = registry.structure({"__Hard__": {"a": 6}})

    assert (easy.a, easy.b, hard.a) == (5, "from init", 6)
    assert calls == [1]


def test_an_init_that_fails_keeps_the_record():
    """It is the class's error, not the file's."""

    class Failing(Model):
        def __init__(self, a=1):
            msg = f"secret {a}"
            raise RuntimeError(msg)

    registry, warnings = quiet(Failing)

    loaded = registry.structure({"__Failing__": {"a": 5}})

    assert loaded == {"__Failing__": {"a": 5}}
    assert isinstance(loaded.error, ModelLoadError)
    assert isinstance(loaded.error.__cause__, RuntimeError)
    assert "secret" not in warnings[0]


def test_stored_names_never_shadow_the_class():
    """Methods, dunders, constants and class variables stay; the names are kept."""

    class Task(Model):
        LIMIT = 10
        shared: ClassVar[int] = 1
        debug = False

        def __init__(self, title=None):
            self.title = title

        def run(self):
            return "ran"

        @property
        def short(self):
            return "s"

    fields = {
        "run": 1, "_keyname": 2, "__class__": 3, "title": "t", "LIMIT": 99,
        "shared": 5, "short": 6, "debug": True, "evolve": 7, 8: 9,
    }  # fmt: skip
    registry = Registry([Task])

    task = registry.structure({"__Task__": dict(fields)})

    assert task.run() == "ran"
    assert (task.LIMIT, task.shared, task.short, task.debug) == (10, 1, "s", True)
    assert type(task) is Task
    kept = {"title": "t", "debug": True}
    assert extras(task) == {k: v for k, v in fields.items() if k not in kept}
    assert registry.unstructure(task) == {"__Task__": {**kept, **extras(task)}}


def test_computed_values_are_not_stored():
    """A cached_property would go stale in the file."""

    class Lazy(Model):
        def __init__(self, a=1):
            self.a = a

        @cached_property
        def double(self):
            return self.a * 2

    lazy = Lazy()
    assert lazy.double == 2

    assert list(Registry([Lazy]).unstructure(lazy)["__Lazy__"]) == ["a"]


@pytest.mark.parametrize("name", ["LIMIT", "shared", "make"])
def test_an_attribute_that_hides_something_of_its_class_is_refused(name):
    """Stored names never shadow the class, so it would not come back."""

    class Task(Model):
        LIMIT = 10
        shared: ClassVar[int] = 1

        def __init__(self, a=1):
            self.a = a

        @classmethod
        def make(cls):
            return cls()

    task = Task()
    setattr(task, name, 5)

    with pytest.raises(UnstorableError, match=f"{name}.*hides") as caught:
        Registry([Task]).unstructure(task)
    assert caught.value.path == f"$.{name}"


class FromInstance(Model):
    def __init__(self, a=None):
        self.a = a

    def _to_dict(self):
        return {"A": self.a}

    def _from_dict(self, data):
        self.a = data.pop("A")
        return self


class FromNone(FromInstance):
    def _from_dict(self, data):
        self.a = data["A"]


class FromClass(FromInstance):
    @classmethod
    def _from_dict(cls, data):
        return cls(data["A"])


class FromStatic(FromInstance):
    @staticmethod
    def _from_dict(data):
        return FromStatic(data["A"])


class Deserialized(FromInstance):
    @classmethod
    def _deserialize(cls, data):
        obj = super()._deserialize(data)
        obj.seen = True
        return obj


@pytest.mark.parametrize(
    "cls", [FromInstance, FromNone, FromClass, FromStatic, Deserialized]
)
def test_overrides_in_every_shape(cls):
    """_from_dict on instance or class, returning self or None; _deserialize."""
    registry = Registry([cls])

    tree = registry.unstructure(cls(5))
    loaded = registry.structure(tree)

    assert tree == {cls._keyname(): {"A": 5}}
    assert type(loaded) is cls
    assert loaded.a == 5
    assert tree == {cls._keyname(): {"A": 5}}


def test_an_override_that_fails_keeps_the_record():
    """Also one that took the data apart, or gave nothing."""

    class Nothing(Model):
        @classmethod
        def _from_dict(cls, data):
            return None

    registry, warnings = quiet(FromInstance, Nothing)

    popped = registry.structure({"__FromInstance__": {"B": 1}})
    nothing = registry.structure({"__Nothing__": {"x": 1}})

    assert popped == {"__FromInstance__": {"B": 1}}
    assert nothing == {"__Nothing__": {"x": 1}}
    assert "gave None" in str(nothing.error)
    assert len(warnings) == 2


def test_a_to_dict_that_gives_no_dict_is_refused():
    """Nothing sensible could be stored."""

    class Bad(Model):
        def _to_dict(self):
            return [1]

    class Odd(Model):
        def _to_dict(self):
            return Unloaded({"a": 1})

    with pytest.raises(UnstorableError, match="gave list"):
        Registry([Bad]).unstructure(Bad())
    assert type(Registry([Odd]).unstructure(Odd())["__Odd__"]) is dict


def test_keyname_override():
    """A class may choose any tag."""

    class Named(Model):
        def __init__(self, a=None):
            self.a = a

        @classmethod
        def _keyname(cls):
            return "v1_named"

    assert Registry([Named]).unstructure(Named(1)) == {"v1_named": {"a": 1}}
    assert reload(Named(1)).a == 1


def test_overrides_on_a_declared_model():
    """They are used, and super() still reaches the generated hooks."""

    class Money(Model):
        amount: int
        unit: str = "EUR"

        def _to_dict(self):
            fields = super()._to_dict()
            fields["text"] = f"{self.amount} {self.unit}"
            return fields

        def _from_dict(self, data):
            data.pop("text")
            return super()._from_dict(data)

    class Half(Model):
        a: int = 1
        b: int = 2

        def _from_dict(self, data):
            self.a = data["a"]

    registry = Registry([Money, Half])

    tree = registry.unstructure(Money(5))

    assert tree == {"__Money__": {"amount": 5, "unit": "EUR", "text": "5 EUR"}}
    assert registry.structure(tree) == Money(5)
    assert registry.structure({"__Half__": {"a": 7}}) == Half(7, 2)
    assert Money._deserialize({"amount": 3, "text": ""}) == Money(3)


def test_a_handwritten_subclass_of_a_declared_model():
    """Its own __init__ makes it hand-written; inherited fields keep defaults."""

    class Base(Model):
        name: str
        age: int = 3
        _note: str = "n"

    class Sub(Base):
        def __init__(self, name):
            super().__init__(name=name)
            self.more = 1

    loaded = reload(Sub("a"))
    sparse = Registry([Sub]).structure({"__Sub__": {"name": "b"}})

    assert vars(loaded) == vars(Sub("a"))
    assert (sparse.name, sparse.age, sparse._note) == ("b", 3, "n")


def test_a_subclass_of_a_handwritten_model_is_handwritten():
    """With annotations too; init=False says so to type checkers."""

    class Admin(User, init=False):
        level: int = 1

    class Root(Admin):
        pass

    admin = Admin(user_id="x")
    admin.level = 2

    assert reload(admin).level == 2
    assert reload(admin).user_id == "x"
    assert Root("r").user_id == "r"
    assert "__attrs_attrs__" not in vars(Admin)


def test_annotations_beside_an_own_init_are_only_hints():
    """Nothing is converted and nothing is refused."""

    class Hinted(Model):
        a: int
        odd: "type[int]"
        gone: "NotDefinedAnywhere"  # noqa: F821 -- on purpose

        def __init__(self, a=None):
            self.a = a

    class Checked(Model):
        a: int
        cls: type

        def __init__(self, a=None):
            self.a = a

    registry = Registry([Hinted, Checked])

    assert registry.structure({"__Hinted__": {"a": "x"}}).a == "x"
    assert [m.path for m in registry.misfits(Checked("x"), Any)] == ["$.a"]


def test_a_class_to_be_defined_is_not_taken_for_one_of_another_module():
    """It is looked for on first use; that one has its name, and is no matter of ours."""
    there = types.ModuleType("there")
    exec("from storify import Model\nclass Later(Model):\n    b: int", vars(there))  # noqa: S102

    class Owner(Model):
        item: "Later"

        def __init__(self, item):
            self.item = item

    registry, warnings = quiet(Owner)

    class Later(Model):
        a: int = 0

    owner = Owner(Later(1))
    tree = registry.unstructure(owner)
    item = registry.unstructure(tree["__Owner__"]["item"])

    assert item == {"__Later__": {"a": 1}}
    assert registry.structure(item) == Later(1)
    assert list(registry.misfits(owner, Owner)) == []
    assert [m.path for m in registry.misfits(Owner(1), Owner)] == ["$.item"]
    assert warnings == []


def test_an_annotation_that_never_resolves_is_no_hint():
    """At no use, and with parameters neither."""

    class Owner(Model, Generic[T]):
        item: "Nowhere"  # noqa: F821 -- as said

        def __init__(self, item=None):
            self.item = item

    registry = Registry([Owner])

    assert list(registry.misfits(Owner(1), Owner)) == []
    assert registry.unstructure(Owner(1)) == {"__Owner__": {"item": 1}}
    assert list(registry.misfits(Owner(1), Owner)) == []
    assert list(registry.misfits(Owner(1), Owner[int])) == []


def test_versions_and_dropped_names_work_for_handwritten_models():
    """Migrations run before the class sees the data."""

    class Old(Model, version=1, dropped="gone"):
        def __init__(self, a=None):
            self.a = a

    class Custom(FromInstance, version=1, keyname="c"):
        pass

    registry = Registry([Old, Custom])

    assert registry.unstructure(Old(1)) == {"__Old__": {"a": 1, "_v": 1}}
    assert vars(registry.structure({"__Old__": {"a": 2, "gone": 1}})) == {"a": 2}
    assert registry.unstructure(Custom(1)) == {"c": {"A": 1, "_v": 1}}
    assert registry.structure({"c": {"A": 1, "_v": 1}}).a == 1


def test_a_class_with_methods_of_its_own_may_use_the_versions_name():
    """Without version= the name _v is data like any other."""

    class Mine(Model):
        def __init__(self):
            self.v = 5

        def _to_dict(self):
            return {"_v": self.v}

        def _from_dict(self, data):
            self.v = data["_v"]

    assert reload(Mine()).v == 5


def test_extra_forbid_on_a_handwritten_model():
    """Names that would be kept aside are refused instead."""

    class Strict(Model, extra="forbid"):
        def __init__(self, a=None):
            self.a = a

    registry, _ = quiet(Strict)

    assert registry.structure({"__Strict__": {"a": 1}}).a == 1
    assert isinstance(registry.structure({"__Strict__": {"_z": 1}}), Unloaded)


def test_from_dict_of_the_base():
    """Called by hand it fills the object and gives it back."""
    user = User()

    assert user._from_dict({"name": "a", "_x": 1}) is user
    assert user.name == "a"
    assert user._to_dict() == {"user_id": None, "name": "a", "_x": 1}
    assert User._deserialize({"name": "b"}).name == "b"


def test_a_handwritten_model_in_a_typed_field():
    """It is found in the annotation, and an unwrapped dict is taken."""

    class Owner(Model):
        user: User
        others: list[User] = field(factory=list)

    registry = Registry([Owner])

    owner = registry.structure(
        {"__Owner__": {"user": {"user_id": "u"}, "others": [{"name": "o"}]}}
    )

    assert "__User__" in registry.keynames
    assert owner.user.user_id == "u"
    assert owner.others[0].name == "o"
