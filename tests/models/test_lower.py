"""Records lowered at once are written as the same bytes, or refused with the same words."""
# ruff: noqa: D101 -- the classes are odd on purpose

import contextlib
import datetime as dt
import enum
import logging
import sys
import threading
from collections import OrderedDict, deque
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_strategies import Leaf, Other, Plain, SubLeaf, made_classes
from storify.codec import Codec, CustomType
from storify.database._schema import Schema
from storify.exceptions import StorifyError
from storify.logger import Logger
from storify.models import Model, field
from storify.testing import models, storable

UTC_TIME = dt.datetime(2020, 1, 2, 3, 4, 5, 6, dt.UTC)


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Address(Model):
    street: str
    number: int = 1


class Part(Address):
    pass


class Versioned(Model, version=3):
    names: dict[str, int] = {}


class One(Model):
    tags: dict[str, dict[str, int]] = {}


class Node(Model):
    value: int = 0
    child: "Node | None" = None


class User(Model):
    name: str = "Ann"
    when: dt.datetime = UTC_TIME
    maybe: dt.datetime | None = None
    colour: Colour = Colour.RED
    mode: Mode = Mode.READ
    score: float = 0.5
    address: Address = Address("a")
    tags: list[str] = ["x", "y"]
    counts: dict[str, int] = {"a": 1, "b": 2}
    times: list[dt.datetime] = [UTC_TIME]
    by_name: dict[str, Address] = {"a": Address("b"), "c": Address("d")}
    addresses: list[Address] = [Address("e")]
    anything: Any = None
    word: Literal["a", 1] = "a"
    number: Decimal = Decimal("1.10")
    either: list[int] | dict[str, Colour] | Address | None = None
    raw: bytes = b"\xc4"
    renamed: UUID = field(key="on disk", default=UUID(int=5))
    _cached: int = 0


def codecs(*models: type[Model], types: tuple[Any, ...] = ()) -> tuple[Codec, Codec]:
    """Give a codec that lowers records at once, and one that does not."""
    pair = [Schema(models, types, Logger(logging.CRITICAL)).codec for _ in range(2)]
    pair[1]._lowers = {}
    return pair[0], pair[1]


def outcome(codec: Codec, value: Any) -> Any:
    """Give what encoding comes to: the bytes, or the error's words."""
    try:
        return codec.encode(value)
    except (StorifyError, ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


def assert_same(fast: Codec, slow: Codec, *values: Any) -> None:
    """Check each value by itself, and all in one root."""
    for value in values:
        expected = outcome(slow, value)
        assert outcome(fast, value) == expected  # plans the class
        assert outcome(fast, value) == expected
    root = dict(enumerate(values)) | {f"k{i}": value for i, value in enumerate(values)}
    assert all_outcomes(fast, root) == all_outcomes(slow, root)


def all_outcomes(codec: Codec, root: dict[Any, Any]) -> Any:
    """Give the entries in their order, or the error's words."""
    try:
        return list(codec.encode_items(root).items())
    except StorifyError as error:
        return f"{type(error).__name__}: {error}"


def lowers(fast: Codec, value: Any) -> bool:
    """Tell whether *value* takes the fast path."""
    fast.encode(value)
    found = fast._lowers.get(type(value))
    return found is not None and found(value, fast._types.singles) is not None


def test_an_object_as_declared_is_lowered() -> None:
    """All kinds of fields that are worth it take the fast path."""
    fast, slow = codecs(User)

    assert lowers(fast, User())
    assert lowers(
        fast, User(either=[1, 2], score=1, maybe=UTC_TIME.replace(tzinfo=None))
    )
    assert lowers(fast, User(either={"a": Colour.BLUE}, anything=Decimal(1)))
    assert lowers(fast, User(either=Address("x")))
    assert_same(fast, slow, User(), User(either=[1]), User(either={"a": Colour.RED}))
    assert fast.decode(fast.encode(User())) == User()


class Text(str):
    __slots__ = ()


ODD: list[Any] = [
    *(None, True, 1, 1 << 70, -1.5, "x", "\ud800", b"\xc4\x01", bytearray(b"x")),
    *(memoryview(b"x"), Text("t"), [], ["x"], [bytearray(b"x")], ["\ud800"], [1 << 70]),
    *((), ("a", 1), {"a"}, deque([1]), OrderedDict(a=1), {}, {"a": 1}, {1: 2}),
    *({"__User__": {}}, {"__X__": {"a": 1}}, {"tags": {}}, {"a": {"b": 1}}),
    *({b"x": 1}, {("a",): 1}, {memoryview(b"x"): 1, "b": 2}, {"a": bytearray(b"x")}),
    *({"__A__": Address("x")}, {"__A__": Address("x"), "b": Address("y")}),
    *({"a": 1 << 70}, {"a": 1, "b": {"__B__": {}}}, {Other("a"): 1, "b": 2}),
    UTC_TIME,
    UTC_TIME.replace(fold=1),
    UTC_TIME.replace(tzinfo=None),
    UTC_TIME.replace(tzinfo=ZoneInfo("Europe/Berlin")),
    UTC_TIME.replace(tzinfo=ZoneInfo("UTC")),
    UTC_TIME.replace(tzinfo=dt.timezone(dt.timedelta(0), "UTC")),
    dt.datetime.min.replace(tzinfo=dt.UTC),
    dt.datetime.max.replace(tzinfo=dt.UTC),
    [dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))],
    {dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))): 1, "b": 2},
    *(Colour.RED, Mode.READ | Mode.WRITE, Decimal(1), UUID(int=1), 1j, object(), str),
    *(Address("x"), Address("x", 1 << 70), Address(None), Part("x")),  # type: ignore[arg-type] # on purpose
    *(Leaf(), Node(), Versioned(), One(), [Address("x"), Part("y")], Plain(1)),
    *([[1]], [[[["deep"]]]], float("nan"), Ellipsis, range(3)),
]


@pytest.mark.parametrize("name", [n for n in User.__annotations__ if n != "_cached"])
def test_any_value_in_any_field_is_written_as_ever(name: str) -> None:
    """Where a value is not of the declared type, nothing else is written for it."""
    fast, slow = codecs(User, Other, One, types=(Colour, Mode))
    fast.encode(User())

    for value in ODD:
        user = User()
        setattr(user, name, value)
        assert_same(fast, slow, user, User())


@pytest.mark.parametrize("value", ODD)
def test_any_value_in_small_records_is_written_as_ever(value: Any) -> None:
    """Records of one field, with a version, and within themselves."""
    fast, slow = codecs(One, Versioned, Node, User)

    one, versioned, node = One(), Versioned(), Node(1, Node(2))
    one.tags = value
    versioned.names = value
    node.value = value
    assert_same(fast, slow, one, versioned, node, Node(3, node), Node(4))


def test_other_attributes_are_written_as_ever() -> None:
    """More, fewer or other attributes than declared, or in another order."""
    fast, slow = codecs(User, Address)
    fast.encode(User())
    more, fewer, moved, other, private = (User() for _ in range(5))
    more.other = 1  # type: ignore[attr-defined] # on purpose
    del fewer.name
    name = vars(moved).pop("name")
    moved.name = name
    other.address.more = 5  # type: ignore[attr-defined] # on purpose
    del private._cached
    unknown = fast.decode(fast.encode(Address("x")).replace(b"number", b"numbre"))

    assert_same(fast, slow, more)
    assert_same(fast, slow, fewer)
    assert_same(fast, slow, moved, other, private, unknown)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data(), storable(adversarial=True))
def test_records_of_any_class_are_written_as_ever(
    data: st.DataObject, value: Any
) -> None:
    """For any class and object, also with any storable value in a field."""
    made = data.draw(made_classes())
    objs = [data.draw(models(made.cls)) for _ in range(2)]
    name = data.draw(st.sampled_from(sorted(vars(objs[0]))))
    with contextlib.suppress(AttributeError):
        setattr(objs[0], name, value)

    fast, slow = codecs(made.cls, Leaf, SubLeaf, Other, Plain)
    assert_same(fast, slow, *objs)


def test_a_custom_type_holds_for_a_model() -> None:
    """Hooks of the user's come before the fast path, given before or afterwards."""
    custom = CustomType(Address, lambda a: a.street, Address)
    early, _ = codecs(User, types=(custom,))
    late, _ = codecs(User)
    late.encode(User())
    late.register(custom)

    for codec in early, late:
        assert codec.encode(Address("x"))[:1] == b"\x93"
        assert b"__Address__" not in codec.encode(User())


def test_a_custom_type_holds_for_an_enum() -> None:
    """Also for one that was registered as an enum before."""
    codec, _ = codecs(User)
    codec.encode(User())
    codec.register(CustomType(Colour, lambda c: [c.name], lambda v: Colour[v[0]]))

    assert b"RED" in codec.encode(User())
    assert codec.decode(codec.encode(User())) == User()
    assert not lowers(codec, User())


def test_a_class_within_itself_is_lowered_to_its_end() -> None:
    """Data that nest as deep as they may are written, and deeper ones refused."""
    fast, slow = codecs(Node)
    nodes = [Node()]
    while len(nodes) < 260:
        nodes.append(Node(len(nodes), nodes[-1]))

    assert lowers(fast, nodes[0])
    assert_same(fast, slow, *nodes[:3], *nodes[235:])


def test_many_classes_in_one_another_are_not_lowered() -> None:
    """The depth of what is lowered is bounded; nobody checks it afterwards."""
    classes: list[type[Model]] = [Address]
    for number in range(40):
        annotations: Any = {"inner": classes[-1] | None, "more": int}
        body = {"__annotations__": annotations, "inner": None, "more": 0}
        classes.append(type(f"Level{number}", (Model,), body))
    fast, slow = codecs(*classes)
    value: Any = Address("x")
    made: Any
    for made in classes[1:]:
        value = made(value)
        fast.encode(value)

    assert not lowers(fast, value)
    assert_same(fast, slow, value)


def test_a_keyname_that_changes_is_written_anew() -> None:
    """What was generated for the former one is forgotten."""

    class Named(Model):
        a: int = 1

    class Outer(Model):
        named: Named = Named()
        b: int = 2

    schema = Schema([Outer], [], Logger(logging.CRITICAL))
    schema.codec.encode(Outer())
    Named._keyname = classmethod(lambda cls: "__Renamed__")  # type: ignore[method-assign, assignment] # on purpose
    schema.registry._by_class[Named].shapes = None
    schema.registry.register(Named)

    for _ in range(2):
        assert b"__Renamed__" in schema.codec.encode(Outer())


def test_another_thread_may_change_what_is_written() -> None:
    """Records and lists that change meanwhile are written whole, or tried again."""
    fast, _ = codecs(User)
    user = User()
    root = {f"u{number}": user for number in range(300)}
    fast.encode_items(root)
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            user.tags.append("z")
            user.counts["z"] = 1
            user.tags[:] = ["x"]
            user.counts.pop("z")
            user.times.append(UTC_TIME)
            user.times.clear()

    thread = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(60):
            try:
                items = fast.encode_items(root)
            except RuntimeError:
                continue
            loaded = fast.decode_root(fast.join(items))
            for made in loaded.values():  # type: ignore[union-attr] # a dict
                assert {*made.tags} <= {"x", "y", "z"}
                assert made.times in ([], [UTC_TIME])
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_a_nested_class_that_cannot_be_planned_stops_nothing() -> None:
    """Records without an object of it are written all the same."""

    class Broken(Model):
        name: "Missing"  # type: ignore[name-defined] # noqa: F821 -- on purpose

    class Holder(Model):
        broken: Broken | None = None
        number: int = 1

    fast, slow = codecs(Holder)

    assert fast.encode(Holder()) == slow.encode(Holder())
    assert fast.encode(Holder()) == slow.encode(Holder())
