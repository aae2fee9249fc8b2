"""The test kit: a strategy knows its class, and each call takes what it should."""

from typing import Any, Generic, TypeVar, assert_type

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from storify import Model
from storify.testing import (
    Difference,
    assert_roundtrip,
    assert_upgrades,
    difference,
    models,
    same,
    storable,
)

T = TypeVar("T")


class User(Model):
    name: str
    age: int = 0


class UserV1(Model, keyname="__User__"):
    name: str


class Box(Model, Generic[T]):
    item: T


def strategies() -> None:
    assert_type(models(User), SearchStrategy[User])
    assert_type(models(User, age=st.integers(18, 99)), SearchStrategy[User])
    assert_type(models(Box[int], adversarial=True), SearchStrategy[Box[int]])
    assert_type(storable(adversarial=True), SearchStrategy[Any])
    models(int)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    models(User, age=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def oracle() -> None:
    assert_roundtrip(User, examples=10)
    assert_roundtrip(User("Ann"), new_process=True)
    assert_roundtrip(models(User), models=[User], types=[])
    assert_upgrades(UserV1, User, check=lambda old, new: old.name == new.name)
    assert_upgrades(UserV1, int)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    assert_type(same(1, 1.0), bool)
    assert_type(difference(1, 1.0), Difference | None)
