"""Objects <-> plain dicts: storify's model layer beside its peers, in one run.

One record of ten fields (str, int, float, bool, optional str, datetime, list, dict,
nested record, enum). Ratios are against the quicker setting of cattrs in the same
round. Peers that are not installed are left out and named.

"in" checks all types in storify, msgspec and pydantic. storify's "out" is shallow,
as a flush uses it, for the record and its nested record.
"""

import importlib
import sys
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any

import attrs
from cattrs.preconf.msgpack import make_converter
from report import Report, Target, arguments
from timing import Measured, compared, measure

from storify.models import Model, Registry

ROUNDS, CALLS = 9, 10_000
QUICK_ROUNDS, QUICK_CALLS = 3, 2_000
TARGETS = {"out": 0.6, "in": 1.0}

Operation = Callable[[Any], object]
Peer = tuple[Operation, Any, Operation, Any]


class Colour(Enum):
    """A field's enum."""

    RED = "red"
    BLUE = "blue"


SCALARS: dict[str, Any] = {
    "name": "Alice Wonderland",
    "age": 31,
    "score": 97.25,
    "active": True,
    "nick": None,
    "created": datetime(2024, 5, 17, 12, 30, 15, 123456),  # noqa: DTZ001 -- naive on purpose
    "tags": ["a", "b", "c"],
    "counts": {"x": 1, "y": 2},
}
PLACE = {"street": "Main Street 1", "city": "Springfield", "zip": "12345"}


class Address(Model):
    """The nested record."""

    street: str
    city: str
    zip: str


class User(Model):
    """The record."""

    name: str
    age: int
    score: float
    active: bool
    nick: str | None
    created: datetime
    tags: list[str]
    counts: dict[str, int]
    address: Address
    colour: Colour


def fields_of(address: Any) -> dict[str, Any]:
    """Give the annotations of the record with another nested class."""
    return {**User.__annotations__, "address": address}


def storify_peer() -> Peer:
    """Both records through the registry, as the codec calls it."""
    registry = Registry([User])
    user = User(**SCALARS, address=Address(**PLACE), colour=Colour.RED)
    unstructure, structure = registry.unstructure, registry.structure

    def out(obj: Any) -> object:
        unstructure(obj.address)
        return unstructure(obj)

    fields = {**SCALARS, "address": None, "colour": Colour.RED}
    tree = {"__User__": fields}
    place = {"__Address__": PLACE}

    def into(tree: Any) -> object:
        # inner-first, as decoding does it
        fields["address"] = structure(place)
        return structure(tree)

    return out, user, into, tree


def cattrs_peer(*, detailed: bool) -> Peer:
    """Stock cattrs with its msgpack settings."""
    address = attrs.make_class(
        "Address",
        {k: attrs.field(type=str) for k in PLACE},
        slots=False,
    )
    user = attrs.make_class(
        "User",
        {k: attrs.field(type=t) for k, t in fields_of(address).items()},
        slots=False,
    )
    converter = make_converter(detailed_validation=detailed)
    obj = user(**SCALARS, address=address(**PLACE), colour=Colour.RED)
    tree = converter.unstructure(obj)
    return converter.unstructure, obj, lambda t: converter.structure(t, user), tree


def msgspec_peer() -> Peer:
    """A Struct, to builtins and back."""
    msgspec: Any = importlib.import_module("msgspec")
    address = msgspec.defstruct("Address", [(k, str) for k in PLACE])
    user = msgspec.defstruct("User", list(fields_of(address).items()))
    obj = user(**SCALARS, address=address(**PLACE), colour=Colour.RED)
    tree = msgspec.to_builtins(obj)
    return msgspec.to_builtins, obj, lambda t: msgspec.convert(t, user), tree


def pydantic_peer() -> Peer:
    """A BaseModel, dumped and validated."""
    pydantic: Any = importlib.import_module("pydantic")
    address = pydantic.create_model("Address", **dict.fromkeys(PLACE, (str, ...)))
    fields = {k: (t, ...) for k, t in fields_of(address).items()}
    user = pydantic.create_model("User", **fields)
    obj = user(**SCALARS, address=address(**PLACE), colour=Colour.RED)
    return user.model_dump, obj, user.model_validate, obj.model_dump()


def repeated(call: Operation, argument: Any, calls: int) -> Callable[[], None]:
    """Give an action of many calls: one alone is too short to be timed."""

    def action() -> None:
        for _ in range(calls):
            call(argument)

    return action


def quicker(one: Measured, other: Measured) -> Measured:
    """Give the lesser time of each round: the harder of two to beat."""
    best = Measured(one.name)
    best.times_s = list(map(min, one.times_s, other.times_s))
    return best


def main() -> None:
    """Measure all peers, both ways."""
    chosen = arguments(__doc__)
    rounds = QUICK_ROUNDS if chosen.quick else ROUNDS
    calls = QUICK_CALLS if chosen.quick else CALLS
    peers: dict[str, Callable[[], Peer]] = {
        "cattrs preconf": lambda: cattrs_peer(detailed=True),
        "cattrs preconf, not detailed": lambda: cattrs_peer(detailed=False),
        "storify": storify_peer,
        "msgspec": msgspec_peer,
        "pydantic": pydantic_peer,
    }
    ways: dict[str, dict[str, Callable[[], object]]] = {way: {} for way in TARGETS}
    for name, make in peers.items():
        try:
            out, obj, into, tree = make()
        except ImportError:
            print(f"{name}: not installed, left out", file=sys.stderr)
            continue
        ways["out"][name] = repeated(out, obj, calls)
        ways["in"][name] = repeated(into, tree, calls)
    found = Report()
    for way, actions in ways.items():
        results = measure(actions, rounds=rounds)
        base = quicker(*(results[name] for name in results if "cattrs" in name))
        title = f"Model layer alone, {way}: one record"
        results = {"the quicker cattrs": base, **results}
        base.name = "the quicker cattrs"
        found.tables.append(compared(title, results, base=base.name, count=calls))
        ratios = results["storify"].over(base)
        what = f"model layer alone, {way} / cattrs' msgpack preconf"
        found.targets.append(Target(what, ratios, TARGETS[way]))
    found.publish(chosen.json)


if __name__ == "__main__":
    main()
