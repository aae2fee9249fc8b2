"""What the codec uses in place of `Registry.unstructure` gives the same wrappers."""
# ruff: noqa: D101, D103 -- the classes and their objects are odd on purpose

from typing import Any

import pytest

from storify.exceptions import DuplicateKeynameError
from storify.models import Model, Registry, field


class Plain(Model):
    a: int
    b: str = "x"


class Renamed(Model):
    a: int = field(key="A")


class Versioned(Model, version=1):
    a: int = 1


class Private(Model):
    a: int = 1
    _b: int = 2


class Shadowed(Plain):
    pass


class Own(Model):
    a: int = 1

    def _to_dict(self) -> dict[str, Any]:
        return {"a": self.a + 1}


class ByHand(Model):
    def __init__(self) -> None:
        self.a = 1


class Watched(Model):
    a: int = 1

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return found + 1 if name == "a" else found


def plain() -> Plain:
    return Plain(1)


def renamed() -> Renamed:
    return Renamed(1)


def with_more() -> Plain:
    obj = Plain(1)
    vars(obj)["c"] = 3
    return obj


def in_another_order() -> Plain:
    obj = Plain(1)
    a = vars(obj).pop("a")
    obj.a = a
    return obj


def with_a_property() -> Shadowed:
    Shadowed.b = property(lambda self: "computed")  # type: ignore[assignment] # on purpose
    obj = object.__new__(Shadowed)
    vars(obj).update(a=1, b="hidden")
    return obj


@pytest.mark.parametrize(
    "make",
    [
        *(plain, renamed, with_more, in_another_order, with_a_property),
        *(Versioned, Private, Own, ByHand, Watched),
    ],
)
def test_a_wrap_gives_what_unstructure_gives(make) -> None:
    """In every kind of class, the same fields in the same order."""
    obj = make()
    registry = Registry([type(obj)])

    wrapper = registry.unstructure(obj)

    assert wrapper is not None
    made = registry.wraps[type(obj)](obj)
    ((keyname, fields),) = wrapper.items()
    assert made == wrapper
    assert list(made[keyname]) == list(fields)


def test_a_class_that_was_taken_back_has_no_wrap() -> None:
    """A registration that fails leaves no way round the registry."""
    registry = Registry([Plain])
    registry.unstructure(Plain(1))

    class Other(Model, keyname="__Plain__"):
        pass

    with pytest.raises(DuplicateKeynameError):
        registry.register(Private, Other)

    assert registry.wraps == {}
    assert registry.unstructure(Plain(1)) == {"__Plain__": {"a": 1, "b": "x"}}
    assert list(registry.wraps) == [Plain]
