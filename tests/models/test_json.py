"""Models as JSON and back, as JSON Schema, and as types of pydantic and FastAPI."""

import dataclasses
import datetime as dt
import enum
import json
from collections import Counter, OrderedDict, deque
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Network
from pathlib import PurePosixPath
from typing import (
    Annotated,
    Generic,
    Literal,
    NamedTuple,
    NotRequired,
    TypedDict,
    TypeVar,
)
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import jsonschema
import pytest
from fastapi import Body, FastAPI
from fastapi.testclient import TestClient
from hypothesis import given, settings
from pydantic import BaseModel, TypeAdapter, ValidationError

from storify import (
    Model,
    ModelLoadError,
    Ref,
    UnstorableError,
    asdict,
    field,
    from_json,
    json_schema,
    to_json,
)
from storify.models.jsonable import jsonable
from storify.testing import models, same

T = TypeVar("T")


class Kind(enum.Enum):
    """By values."""

    GUEST = "g"
    OWNER = "o"


class Address(Model):
    """Where somebody lives."""

    city: str


class User(Model):
    """Somebody."""

    name: str = field(validator=attrs.validators.min_len(1))
    age: int = 0
    kind: Kind = Kind.GUEST
    level: Literal["low", "high"] = "low"
    born: dt.date | None = None
    home: Address | None = None
    tags: set[str] = set()
    friends: list["Ref[User]"] = []
    boss: "User | None" = None
    token: str = field(default="", stored=False)
    _password: str = "secret"  # noqa: S105 - that is the test


class Box(Model, Generic[T]):
    """Of anything."""

    content: T


ANN = User(
    "Ann",
    31,
    Kind.OWNER,
    born=dt.date(1995, 1, 2),
    home=Address("Paris"),
    tags={"b", "a"},
    friends=[Ref("users", "u2")],
    boss=User("Bea"),
)


def test_an_object_is_json_and_back():
    """What begins with an underscore, or is not stored, is not in it."""
    text = to_json(ANN)

    assert from_json(User, text) == ANN
    assert json.loads(text) == asdict(ANN, json=True)
    assert "secret" not in text
    assert "token" not in text
    assert asdict(ANN, json=True)["born"] == "1995-01-02"
    assert asdict(ANN, json=True)["tags"] == ["a", "b"]


@settings(deadline=None, max_examples=50)
@given(models(Address) | models(Box[list[int]]))
def test_any_object_of_a_typed_class_comes_back(obj):
    """As it was."""
    hint = type(obj) if type(obj) is not Box else Box[list[int]]

    assert same(from_json(hint, to_json(obj)), obj)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", r"\$\.name: expected str; it is missing"),
        ('{"name": 1}', r"\$\.name: expected str; found a number"),
        ('{"name": ""}', r"\$: expected what User takes; Length of 'name'"),
        ('{"name": "x", "age": "1"}', r"\$\.age: expected int; found a text"),
        ('{"name": "x", "age": true}', r"\$\.age: expected int; found a boolean"),
        ('{"name": "x", "home": {"city": 1}}', r"\$\.home\.city: expected str"),
        ('{"name": "x", "kind": "z"}', r"\$\.kind: expected Kind"),
        ('{"name": "x", "level": "mid"}', r"\$\.level: expected Literal"),
        ('{"name": "x", "born": "soon"}', r"\$\.born: expected date"),
        ('{"name": "x", "_password": "p"}', r"\$\._password: expected nothing"),
        ('{"name": "x", "admin": true}', r"\$\.admin: expected nothing"),
        ('{"name": "x", "token": "t"}', r"\$\.token: expected nothing"),
        ("[]", r"\$: expected User; found a list"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place(text, message):
    """A client sets no field that is not its to set."""
    with pytest.raises(ModelLoadError, match=message):
        from_json(User, text)


def test_what_json_has_no_form_for_is_refused_by_its_place():
    """And nothing is guessed."""
    box = Box([object()])

    with pytest.raises(UnstorableError, match=r"cannot write \$\.content\[0\] as JSON"):
        to_json(box)


def test_the_schema_says_what_is_taken():
    """As a validator of JSON Schema reads it."""
    schema = json_schema(User)
    validate = jsonschema.Draft202012Validator(schema).is_valid

    assert validate(json.loads(to_json(ANN)))
    assert not validate({})
    assert not validate({"name": 1})
    assert not validate({"name": "x", "kind": "z"})
    assert not validate({"name": "x", "_password": "p"})
    assert schema["$defs"]["User"]["required"] == ["name"]
    assert schema["$defs"]["User"]["description"] == "Somebody."


def test_pydantic_takes_and_checks_a_model():
    """In its own models, and parametrised."""

    class Form(BaseModel):
        user: User
        boxes: list[Box[int]] = []

    form = Form.model_validate_json(
        '{"user": {"name": "Ann"}, "boxes": [{"content": 3}]}'
    )

    assert form.user == User("Ann")
    assert form.boxes == [Box(3)]
    assert json.loads(form.model_dump_json())["user"]["name"] == "Ann"
    assert "secret" not in form.model_dump_json()
    with pytest.raises(ValidationError, match=r"\$\.content: expected int"):
        TypeAdapter(Box[int]).validate_python({"content": "x"})
    assert Form(user=ANN).user is ANN


def test_fastapi_takes_and_returns_models():
    """A request that does not fit is 422, and a private field is never sent."""
    app = FastAPI()
    saved: list[User] = []

    @app.post("/users")
    def add(user: Annotated[User, Body()]) -> User:
        saved.append(user)
        user._password = "hidden"  # noqa: S105 - that is the test
        return user

    @app.get("/users")
    def users() -> list[User]:
        return saved

    client = TestClient(app)
    made = client.post("/users", json={"name": "Ann", "kind": "o"})
    wrong = client.post("/users", json={"name": "Ann", "age": "old"})
    private = client.post("/users", json={"name": "Ann", "_password": "p"})

    assert made.status_code == 200
    assert made.json() == asdict(saved[0], json=True)
    assert wrong.status_code == private.status_code == 422
    assert "$.age: expected int" in wrong.text
    assert saved == [User("Ann", kind=Kind.OWNER)]
    listed = client.get("/users").text
    assert "password" not in listed
    assert "hidden" not in listed
    schema = client.get("/openapi.json").json()
    body = schema["paths"]["/users"]["post"]["requestBody"]["content"]
    assert body["application/json"]["schema"]["properties"]["age"] == {
        "type": "integer"
    }


def test_annotated_fields_are_read_as_well():
    """With what they annotate."""

    class Mark(Model):
        points: Annotated[int, "of ten"]

    assert from_json(Mark, '{"points": 3}') == Mark(3)


class Node(Model):
    """Has others of its class."""

    name: str
    children: "list[Node]" = []
    parent: "Node | None" = None


class Part(TypedDict):
    """One of its keys may be missing."""

    size: int
    name: NotRequired[str]


class Point(NamedTuple):
    """A place."""

    x: int
    y: float = 0.0


@dataclasses.dataclass
class Chain:
    """Goes on."""

    link: int
    next: "Chain | None" = None


class Rights(enum.Flag):
    """Several at once."""

    READ = 1
    WRITE = 2


@pytest.mark.parametrize(
    ("hint", "value", "wrong"),
    [
        (Node, Node("a", [Node("b")], Node("c")), {"name": "a", "children": [{}]}),
        (Part, {"size": 1}, {"name": "x"}),
        (Point, Point(1), {"x": "a"}),
        (Chain, Chain(1, Chain(2)), {"link": 1, "next": {"link": "x"}}),
        (Rights, Rights.READ | Rights.WRITE, 1.5),
        (dict[str, int], {"a": 1}, {"a": "x"}),
        (dict[dt.date, int], {dt.date(2026, 1, 1): 1}, []),
        (tuple[int, str], (1, "a"), [1]),
        (tuple[int, ...], (1, 2), ["a"]),
        (frozenset[int], frozenset({1}), [1, 1]),
        (deque[int], deque([1]), [None]),
        (Literal["a", 1], "a", "b"),
        (int | None, None, "x"),
        (range, range(3), 3),
        (slice, slice(1, 2), 3),
        (Decimal, Decimal("1.10"), 1.1),
        (complex, 1j, 1),
        (PurePosixPath, PurePosixPath("a/b"), 1),
        (UUID, UUID(int=1), 1),
        (float, float("nan"), "nan"),
        (bytes, b"\0", 1),
        (dt.timedelta, dt.timedelta(1), 1),
        (dict, {"a": 1}, []),
        (list, [1], {}),
    ],
    ids=map(str, range(24)),
)
def test_what_is_written_is_what_the_schema_says_and_comes_back(hint, value, wrong):
    """Of each kind; what it is not is refused by both."""
    schema = json_schema(hint)
    jsonschema.Draft202012Validator.check_schema(schema)
    is_valid = jsonschema.Draft202012Validator(schema).is_valid

    assert is_valid(json.loads(to_json(value)))
    assert not is_valid(wrong)
    assert same(from_json(hint, to_json(value)), value)
    if wrong != [1, 1]:  # of a set it may be said twice
        with pytest.raises(ModelLoadError, match=r"^\$.*: expected "):
            from_json(hint, json.dumps(wrong))


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Fraction, Fraction(1, 3)),
        (IPv4Address, IPv4Address("10.0.0.1")),
        (IPv6Network, IPv6Network("2001:db8::/32")),
        (bytearray, bytearray(b"ab")),
        (dt.timedelta, -dt.timedelta(days=1, seconds=3, microseconds=7)),
        (
            dt.datetime,
            dt.datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Paris"), fold=1),
        ),
        (Counter[str], Counter("aab")),
        (OrderedDict[str, int], OrderedDict(b=1, a=2)),
        (dict[int, str], {1: "a", -2: "b"}),
        (dict[tuple[int, int], str], {(1, 2): "a"}),
        (str | int, "7"),
        (int | dt.date, dt.date(2026, 1, 2)),
        (list[Part | Point], [{"size": 1}, Point(1, 2.5)]),
        (set, {1, 2}),
        (deque, deque([1, 2])),
        (Rights, Rights.WRITE),
        (bool, True),
    ],
    ids=map(str, range(17)),
)
def test_an_exact_value_comes_back(hint, value):
    """As it was, with its type."""
    written = json.dumps(jsonable(value, exact=True))

    assert same(from_json(hint, written), value)


@pytest.mark.parametrize(
    ("hint", "text", "message"),
    [
        (dt.timedelta, '"P"', r"^\$: expected"),
        (dt.datetime, '"2026-01-01T00:00:00+00:00[No/Where]"', r"^\$: expected"),
        (IPv4Address, '"::1"', r"^\$: expected"),
        (Decimal, '"x"', r"found another text"),
        (bytes, '"?"', r"found another text"),
        (Part, '{"size": 1, "more": 2}', r"\$\['more'\]: expected nothing"),
        (Chain, '{"link": 1, "more": 2}', r"\$\.more: expected nothing"),
        (Chain, "{}", r"expected what Chain takes"),
        (Node, '{"children": []}', r"\$\.name: expected str; it is missing"),
        (Rights, "64", r"^\$: expected"),
        (dict[int, str], '{"a": "b"}', r"^\$\['a'\]: expected"),
        (frozenset[dict[str, int]], '[{"a": 1}]', r"unhashable"),
        (list[Node | Part], '[{"name": 1}]', r"^\$\[0\]"),
        (range, "[1, 2, 0]", r"zero"),
        (list[int], "[" * 100_000, "nested too deep"),
    ],
    ids=map(str, range(15)),
)
def test_what_is_no_such_value_is_refused_by_its_place(hint, text, message):
    """In words of JSON, without the value."""
    with pytest.raises(ModelLoadError, match=message):
        from_json(hint, text)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1: "a", "1": "b"}, r"another key is '1' in JSON, too"),
        (Exception("x"), r"cannot write \$ as JSON"),
    ],
    ids=["keys", "class"],
)
def test_what_would_not_come_back_is_not_written(value, message):
    """Its place is told."""
    with pytest.raises(UnstorableError, match=message):
        to_json(value)


def test_what_is_nested_too_deep_is_not_written():
    """It is an error of its place, not of Python."""
    deep: object = 1
    for _ in range(5000):
        deep = [deep]

    with pytest.raises(UnstorableError, match="nested more than"):
        to_json(deep)
