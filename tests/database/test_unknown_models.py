"""Objects of model classes that nobody registered: stored, or refused when saved."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import attrs
import pytest

from storify import Model, Storify, UnstorableError


class Sent(Model):
    """A model that an annotation names, or none does."""

    when: int


@dataclass
class Envelope:
    """A dataclass whose annotation names it."""

    state: Sent | None


class Pile(NamedTuple):
    """A named tuple whose annotation does."""

    states: list[Sent]


@attrs.define
class Shelf:
    """An attrs class whose annotation does, further inside."""

    envelopes: dict[str, Envelope]


@dataclass
class Loose:
    """A dataclass that may hold anything."""

    state: Any


class Mail(Model):
    """A model that holds each of them."""

    envelope: Envelope | None = None
    pile: Pile | None = None
    shelf: Shelf | None = None


class Parcel(Model):
    """A model that may hold anything."""

    what: Any = None
    loose: Loose | None = None


class Express(Parcel):
    """A subclass of it."""


def noting(value: Any) -> Parcel:
    """Give a parcel with an undeclared attribute."""
    parcel: Any = Parcel()
    parcel.note = value
    return parcel


@pytest.mark.parametrize(
    "mail",
    [
        Mail(envelope=Envelope(Sent(1))),
        Mail(pile=Pile([Sent(1)])),
        Mail(shelf=Shelf({"a": Envelope(Sent(1))})),
    ],
    ids=["dataclass", "named tuple", "attrs class"],
)
def test_what_annotations_of_plain_classes_name_comes_back(anywhere, mail):
    """At any depth, and nobody has to register it."""
    for _ in range(2):
        with Storify(anywhere) as sf:
            db = sf.get_db("d", model=Mail)
            assert db.setdefault("k", mail) == mail


REFUSED: dict[str, tuple[Any, str]] = {
    "field": (Parcel(Sent(1)), ".what"),
    "list": (Parcel([Sent(1)]), ".what[0]"),
    "dict": (Parcel({"a": Sent(1)}), ".what['a']"),
    "dataclass": (Parcel(loose=Loose(Sent(1))), ".loose.state"),
    "list in a dataclass": (Parcel(loose=Loose([Sent(1)])), ".loose.state[0]"),
    "undeclared": (noting(Sent(1)), ".note"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("seen", [False, True], ids=["", "stored elsewhere"])
def test_a_typed_database_refuses_models_that_it_would_give_as_dicts(name, seen):
    """The message has the place and the remedy, with which it is stored."""
    value, place = REFUSED[name]
    sf = Storify("memory://", None)
    if seen:  # in a database that says nothing of types
        sf["other"]["k"] = Sent(1)
        sf["other"].flush()
    db = sf.get_db("d", model=Parcel)
    db["k"] = value

    with pytest.raises(UnstorableError, match=r"Sent is not registered.*models=") as e:
        db.flush()

    assert e.value.path == f"$['k']{place}"
    sf.get_db("sent", model=Sent)
    db.flush()
    assert db.dirty() == set()


@pytest.mark.parametrize(
    ("value", "place"), [(Sent(1), ""), ([Sent(1)], "[0]"), ({"a": Sent(1)}, "['a']")]
)
def test_a_strict_database_refuses_unregistered_models_too(value, place):
    """Also where it has no type."""
    db = Storify("memory://", None, strict=True)["d"]
    db["k"] = value

    with pytest.raises(UnstorableError, match="Sent is not registered") as caught:
        db.flush()

    assert caught.value.path == f"$['k']{place}"
    db.close(discard=True)


def test_a_database_without_types_stores_them_and_warns(anywhere, caplog):
    """As the guide says: they are dicts until their class is registered."""
    with Storify(anywhere) as sf:
        sf["d"]["k"] = [Sent(1)]
    with Storify(anywhere) as sf:
        assert sf["d"]["k"] == [{"__Sent__": {"when": 1}}]
    with Storify(anywhere, models=[Sent]) as sf:
        assert sf["d"]["k"] == [Sent(1)]

    assert "Sent was not registered" in caplog.text


def test_a_subclass_of_what_is_registered_is_known(anywhere):
    """It is found when it is loaded."""
    for _ in range(2):
        with Storify(anywhere) as sf:
            parcels = sf.get_db("d", model=Parcel)
            assert parcels.setdefault("k", Express(1)) == Express(1)


def test_a_new_definition_of_a_known_class_is_known():
    """As in a notebook."""

    def define() -> Any:
        class Note(Model):
            text: str

        return Note

    sf = Storify("memory://", None)
    sf.get_db("notes", model=define())
    db = sf.get_db("d", model=Parcel)
    db["k"] = Parcel(define()("a"))

    db.flush()

    assert db.dirty() == set()
