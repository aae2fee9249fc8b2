"""The schema as data: described, written, read, compared with that of today.

Each case of the comparison is also tried out: a record of the old class is stored and
loaded by the new one, so that the verdict is true and not only as written down.
"""

import dataclasses
import enum
import json
from datetime import date, datetime
from typing import Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stand_ins import Log
from storify import Model, ModelError, Ref, Storify, Unloaded, extras, field, migration
from storify.models.hints import Parser
from storify.models.schema_lock import (
    Change,
    compare,
    describe,
    dump,
    load,
    text_of_shape,
    widens,
)

T = TypeVar("T")


class Color(enum.Enum):
    """Stored by the names of its members."""

    RED = 1
    BLUE = 2


class Size(enum.Enum):
    """Only named in a Literal."""

    SMALL = 1


class Right(enum.Flag):
    """Stored by its value."""

    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Point:
    """A record of the standard library."""

    x: int
    y: int = 0


@attrs.define
class Pair:
    """A record of attrs, whose defaults are not used at load."""

    left: int
    right: int = 0


class Named(NamedTuple):
    """A record that is a tuple."""

    key: str
    value: int = 0


class Tree(TypedDict, total=False):
    """A dict with known keys, within itself."""

    label: str
    below: "list[Tree]"


class Address(Model, was="__Place__"):
    """Met in an annotation."""

    city: str


class Box(Model, Generic[T]):
    """A generic one."""

    item: T


class User(Model, version=2, extra="forbid", dropped=["old", "gone"], keyname="user"):
    """One of each."""

    name: str
    age: int = 0
    home: Address | None = None
    others: list[dict[str, int | Address]] = []
    born: date | None = field(default=None, key="birth", was="day", upgrade=str)
    color: Color = Color.RED
    rights: Right = Right.READ
    choice: Literal["it's", "a|b", 3, Size.SMALL] = 3
    spot: Point | Pair | Named | None = None
    tree: Tree | None = None
    box: Box[Color] | None = None
    numbers: tuple[int, ...] = ()
    nothing: tuple[()] = ()
    two: tuple[int, str] = (0, "")
    friend: Ref[Address] | None = None
    _secret: str = ""

    @migration(0)
    @staticmethod
    def _first(fields):
        return fields

    @migration(1)
    @staticmethod
    def _second(fields):
        return fields


class Plain(Model, version=1):
    """Written by hand."""

    def __init__(self):
        self.anything = 1


def types_of(model: dict[str, Any]) -> dict[str, str]:
    """The texts of the annotations."""
    return {name: each["type"] for name, each in model["fields"].items()}


# --- describing -------------------------------------------------------------------


def test_a_declared_class_is_described_with_its_fields():
    """Under its keyname, with the names on disk, and without what is not stored."""
    user = describe([User])["models"]["user"]

    assert user["version"] == user["migrations"] == 2
    assert user["was"] == []
    assert user["dropped"] == ["gone", "old"]
    assert user["extra"] == "forbid"
    assert user["fields"]["name"] == {"type": "str", "default": False}
    assert user["fields"]["birth"] == {
        "type": "date | None",
        "default": True,
        "was": ["day"],
        "upgrade": True,
    }
    assert "_secret" not in user["fields"]


def test_annotations_are_written_in_the_words_of_the_file():
    """Models by keyname, the arms of a union in one order, None last."""
    texts = types_of(describe([User])["models"]["user"])

    assert texts == {
        "name": "str",
        "age": "int",
        "home": "__Address__ | None",
        "others": "list[dict[str, __Address__ | int]]",
        "birth": "date | None",
        "color": "Color",
        "rights": "Right",
        "choice": "Literal[\"it's\", 'a|b', 3, Size.SMALL]",
        "spot": "Named | Pair | Point | None",
        "tree": "Tree | None",
        "box": "__Box__[Color] | None",
        "numbers": "tuple[int, ...]",
        "nothing": "tuple[()]",
        "two": "tuple[int, str]",
        "friend": "Ref[__Address__] | None",
    }


def test_models_in_annotations_are_described_too():
    """But not those of storify itself, which are its own to change."""
    models = describe([User])["models"]

    assert set(models) == {"user", "__Address__", "__Box__"}
    assert models["__Address__"]["was"] == ["__Place__"]


def test_what_is_stored_by_names_is_described_with_them():
    """Enums, flags, and the fields of records."""
    types = describe([User])["types"]

    point = {"type": "int", "default": False}
    count = {"type": "int", "default": True}
    assert types == {
        "Color": {"kind": "enum", "members": ["BLUE", "RED"]},
        "Size": {"kind": "enum", "members": ["SMALL"]},
        "Right": {"kind": "flag", "values": {"READ": 1, "WRITE": 2}},
        "Point": {
            "kind": "record",
            "fields": {"x": point, "y": count},
        },
        "Pair": {"kind": "record", "fields": {"left": point, "right": point}},
        "Named": {
            "kind": "record",
            "fields": {"key": {"type": "str", "default": False}, "value": count},
        },
        "Tree": {
            "kind": "record",
            "fields": {
                "label": {"type": "str", "default": True},
                "below": {"type": "list[Tree]", "default": True},
            },
        },
    }


def test_of_a_hand_written_class_only_the_outside_is_described():
    """Its fields are its own code's to say."""
    assert describe([Plain])["models"] == {
        "__Plain__": {
            "version": 1,
            "migrations": 0,
            "was": [],
            "dropped": [],
            "extra": "keep",
        }
    }


def test_a_class_that_cannot_be_stored_is_refused():
    """As it would be by a database."""

    class Broken(Model):
        name: "Nowhere"  # noqa: F821 - that is the point

    with pytest.raises(ModelError, match="Nowhere"):
        describe([Broken])


# --- the file ---------------------------------------------------------------------


def test_the_text_of_a_lock_is_the_same_each_time_and_reads_back():
    """Sorted, one thing a line, with the newline at the end that editors want."""
    lock = describe([User, Plain])

    text = dump(lock)

    assert dump(describe([Plain, User])) == text
    assert load(text) == lock
    assert text.endswith("}\n")
    assert list(json.loads(text)["models"]) == sorted(lock["models"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is none"),
        ("[]", "it is none"),
        ("3", "it is none"),
        ('{"models": {}}', "it is none"),
        ('{"format": 2, "models": {}, "types": {}}', "format 2, known is 1; update"),
        ('{"format": 1, "models": {}}', "it is not whole"),
        ('{"format": 1, "models": {"a": {"version": 1}}, "types": {}}', "not whole"),
        ('{"format": 1, "models": 3, "types": {}}', "not whole"),
    ],
)
def test_what_is_no_lock_is_refused_with_what_to_do(text, message):
    """Also a lock of a later release."""
    with pytest.raises(ValueError, match="cannot read the schema lock") as caught:
        load(text)

    assert message in str(caught.value)


# --- texts ------------------------------------------------------------------------

LEAVES = [None, bool, int, float, str, bytes, datetime, Color, Address, Any]
HINTS = st.recursive(
    st.sampled_from([*LEAVES, Literal["a", 1], Literal["it's]"]]),
    lambda inner: st.one_of(
        inner.map(lambda hint: list[hint]),
        inner.map(lambda hint: tuple[hint, ...]),
        st.tuples(inner, inner).map(lambda hints: dict[hints]),
        st.tuples(inner, inner).map(lambda hints: tuple[hints]),
        st.tuples(inner, inner).map(lambda hints: _union(*hints)),
    ),
    max_leaves=6,
)


def _union(one: Any, other: Any) -> Any:
    return Literal["z"] | one | other


def text_of(hint: Any) -> str:
    """The text of an annotation."""
    shape = Parser(lambda _: None, lambda _: None).parse(hint)
    return text_of_shape(shape, lambda cls: cls.__name__)


@given(HINTS)
def test_each_text_is_read_back_as_itself(hint):
    """A type widens itself, in any form, and is widened by Any."""
    text = text_of(hint)

    assert widens(text, text, {})
    assert widens(text, "Any", {})
    assert widens(text, f"{text} | Decimal", {})
    assert not widens(f"{text} | Decimal", text, {}) or "Any" in text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("int", "float", True),
        ("bool", "int", True),
        ("float", "int", False),
        ("datetime", "date", True),
        ("date", "datetime", False),
        ("list[int]", "Sequence[float]", True),
        ("Sequence[int]", "list[int]", False),
        ("dict[str, int]", "Mapping[str, int]", True),
        ("Decimal", "Fraction", False),
        ("int", "int | None", True),
        ("int | None", "int", False),
        ("int | str", "str | int | None", True),
        ("list[int]", "list[float]", True),
        ("list[float]", "list[int]", False),
        ("list[int]", "list", False),
        ("list[int]", "tuple[int, ...]", False),
        ("dict[str, int]", "dict[str, int | None]", True),
        ("tuple[int, str]", "tuple[int]", False),
        ("Literal['a']", "Literal['a', 'b']", True),
        ("Literal['a', 'b']", "Literal['a']", False),
        ("Literal['a']", "str", True),
        ("Literal[1]", "float", True),
        ("Literal[Color.RED]", "Color", True),
        ("Literal[Color.RED]", "Size", False),
        ("Literal[None]", "int | None", True),
        ("str", "Literal['a']", False),
        ("'my user'", "'my user' | None", True),
        ("__Old__", "__New__", True),
        ("list[__Old__]", "list[__New__]", True),
        ("tuple[()]", "tuple[()]", True),
    ],
)
def test_a_type_widens_another_if_it_takes_all_its_values(old, new, expected):
    """Arm by arm, and inside."""
    assert widens(old, new, {"__Old__": "__New__"}) is expected


@pytest.mark.parametrize("text", ["", "list[", "a b", "[", "(x", "a,", "list[int", "|"])
def test_a_text_that_nobody_wrote_is_refused(text):
    """It names what to do."""
    with pytest.raises(ValueError, match="lock the schema anew"):
        widens(text, "Any", {})


# --- comparing --------------------------------------------------------------------

V1 = {"keyname": "__Thing__"}


class Thing(Model, **V1):
    """The class that was locked, in all cases."""

    name: str = "n"
    count: int = 1


def changes(old: type[Model], *now: type[Model]) -> list[Change]:
    """What is told of the new classes."""
    return compare(describe([old]), describe(now))


def loaded(old: Model, *now: type[Model]) -> Any:
    """What the new classes make of an object of the old one."""
    codec = Storify("memory://", models=[type(old)], log=Log())._schema.codec
    blob = codec.encode(old)
    return Storify("memory://", models=now, log=Log())._schema.codec.decode(blob)


def follows(record: Any, *classes: type[Model]) -> bool:
    """Whether a record came over: as an object, typed, with nothing left over."""
    registry = Storify("memory://", models=classes, log=Log())._schema.registry
    return (
        not isinstance(record, Unloaded)
        and not list(registry.misfits(record, type(record)))
        and not extras(record)
    )


def _added_with_default():
    class Thing(Model, **V1):
        name: str = "n"
        count: int = 1
        more: str = ""

    return Thing


def _added_without_default():
    class Thing(Model, **V1):
        name: str
        count: int
        more: str

    return Thing


def _removed():
    class Thing(Model, **V1):
        name: str = "n"

    return Thing


def _dropped():
    class Thing(Model, **V1, dropped="count"):
        name: str = "n"

    return Thing


def _renamed():
    class Thing(Model, **V1):
        name: str = "n"
        total: int = field(default=1, was="count")

    return Thing


def _renamed_on_disk_alone():
    class Thing(Model, **V1):
        name: str = "n"
        total: int = field(default=1, key="count")

    return Thing


def _renamed_by_force():
    class Thing(Model, **V1):
        name: str = "n"
        total: int = 1

    return Thing


def _widened():
    class Thing(Model, **V1):
        name: str | None = "n"
        count: float = 1

    return Thing


def _retyped():
    class Thing(Model, **V1):
        name: str = "n"
        count: date = date(2000, 1, 1)

    return Thing


def _upgraded():
    class Thing(Model, **V1):
        name: str = "n"
        count: date = field(default=date(2000, 1, 1), upgrade=date.fromordinal)

    return Thing


def _migrated():
    class Thing(Model, **V1, version=1):
        count: date
        title: str

        @migration(0)
        @staticmethod
        def _first(fields):
            return {"title": fields["name"], "count": date.fromordinal(1)}

    return Thing


def _raised_without_migration():
    class Thing(Model, **V1, version=1):
        name: str = "n"
        count: date = date(2000, 1, 1)

    return Thing


def _strict():
    class Thing(Model, **V1, extra="forbid"):
        name: str = "n"
        count: int = 1

    return Thing


def _other_keyname():
    class Thing(Model, keyname="__Item__"):
        name: str = "n"
        count: int = 1

    return Thing


def _former_keyname():
    class Thing(Model, keyname="__Item__", was="__Thing__"):
        name: str = "n"
        count: int = 1

    return Thing


@pytest.mark.parametrize(
    ("make", "breaking", "told"),
    [
        (lambda: Thing, False, None),
        (_added_with_default, False, "__Thing__.more: is new"),
        (_added_without_default, True, "__Thing__.more: is new and has no default"),
        (_removed, True, "__Thing__.count: was removed"),
        (_dropped, False, "__Thing__.count: was dropped"),
        (_renamed, False, "__Thing__.count: is total now"),
        (_renamed_on_disk_alone, False, None),
        (_renamed_by_force, True, "__Thing__.count: was removed"),
        (_widened, False, "__Thing__.count: takes float now, beyond int"),
        (_retyped, True, "__Thing__.count: int became date"),
        (_upgraded, False, "__Thing__.count: int became date"),
        (_migrated, False, "__Thing__: version 0 is 1 now"),
        (_raised_without_migration, True, "__Thing__.count: int became date"),
        (_other_keyname, True, "__Thing__: no class has this keyname"),
        (_former_keyname, False, "__Thing__: is __Item__ now"),
    ],
)
def test_a_verdict_is_what_happens_to_a_stored_record(make, breaking, told):
    """A change is told, and breaks if and only if a record does not come over."""
    now = make()

    found = changes(Thing, now)

    assert follows(loaded(Thing("n", 7), now), now) is not breaking
    assert any(each.breaking for each in found) is breaking
    lines = [str(each) for each in found]
    assert not told or any(line.startswith(told) for line in lines), lines
    assert bool(found) is bool(told)
    assert all(each.advice for each in found if each.breaking)


def test_nothing_has_changed_since_just_now():
    """Also after a turn through the file, and with all there is in a schema."""
    now = describe([User, Plain])

    assert compare(load(dump(now)), now) == []


def test_a_default_that_is_gone_breaks():
    """Records from before the field was added have none."""

    class Now(Model, **V1):
        name: str
        count: int = 1

    (change,) = changes(Thing, Now)

    assert (change.field, change.breaking) == ("name", True)
    assert changes(Now, Thing) == [
        Change("__Thing__", "name", "has a default now", breaking=False)
    ]


def test_unknown_names_that_are_forbidden_now_break():
    """What newer programs or removed fields left would not load any more."""
    (change,) = changes(Thing, _strict())
    (back,) = changes(_strict(), Thing)

    assert change.breaking
    assert "'forbid'" in change.what
    assert not back.breaking


def test_a_version_that_is_lower_breaks():
    """Records that are stored already would be newer than the class."""
    found = changes(_raised_without_migration(), Thing)

    assert any(each.breaking and "lower than 1" in each.what for each in found)


def test_migrations_that_are_gone_break():
    """Records of the first version would come through unchanged."""

    class Now(Model, **V1, version=1):
        count: date
        title: str

    (change,) = changes(_migrated(), Now)

    assert (change.what, change.breaking) == ("migrations are gone", True)


def test_former_names_that_are_gone_break():
    """Of fields, of classes, and of what was dropped; also an upgrade."""

    class Was(Model, keyname="__Thing__", was="__Item__", dropped="old"):
        name: str = field(default="n", was=["title", "label"], upgrade=str)
        count: int = 1

    class Now(Model, keyname="__Thing__"):
        name: str = field(default="n", was="title")
        count: int = 1

    found = changes(Was, Now)

    assert {each.what for each in found if each.breaking} == {
        "was='__Item__' is gone",
        "was='label' is gone",
        "dropped='old' is gone",
        "its upgrade= is gone",
    }
    assert len(found) == 4


def test_a_former_name_may_become_dropped():
    """It is still read, and thrown away."""

    class Was(Model, keyname="__Thing__"):
        name: str = field(default="n", was="title")

    class Now(Model, keyname="__Thing__", dropped="title"):
        name: str = "n"

    assert changes(Was, Now) == []


def test_a_name_that_is_read_in_addition_is_a_note():
    """Nothing is lost by it."""

    class Now(Model, **V1):
        name: str = field(default="n", was="title")
        count: int = 1

    assert changes(Thing, Now) == [Change("__Thing__", "name", "reads 'title', too")]


def test_with_a_migration_the_fields_may_change_in_any_way():
    """But for the class itself: what it was called is no matter of versions."""

    class Was(Model, keyname="__Thing__", was="__Item__", dropped="old"):
        name: str = field(default="n", was="title", upgrade=str)
        gone: int = 1

    found = changes(Was, _migrated())

    assert {each.field for each in found} == {
        None,
        "name",
        "title",
        "count",
        "gone",
        "old",
    }
    assert {each.what for each in found if each.breaking} == {"was='__Item__' is gone"}


def test_a_class_in_a_field_may_be_renamed():
    """The annotation is compared by keynames, former ones included."""

    class Old(Model, keyname="__Old__"):
        city: str

    class New(Model, keyname="__New__", was="__Old__"):
        city: str

    class Was(Model, keyname="__Thing__"):
        homes: list[Old]

    class Now(Model, keyname="__Thing__"):
        homes: list[New]

    assert changes(Was, Now) == [Change("__Old__", None, "is __New__ now")]


def test_a_class_that_is_new_or_of_another_kind_is_a_note():
    """Nothing is known of records that a class of the user's own code reads."""

    class Thing(Model, keyname="__Thing__"):
        def __init__(self):
            self.name = ""

    assert changes(globals()["Thing"], Thing, Address) == [
        Change("__Address__", None, "is new"),
        Change(
            "__Thing__",
            None,
            "is hand-written now",
            advice="run storify check on what is stored",
        ),
    ]
    (back,) = changes(Thing, globals()["Thing"])
    assert (back.what, back.breaking) == ("declares its fields now", False)


def holder(hint: Any) -> type[Model]:
    """A class whose one field is of that type."""
    return type(
        "Holder", (Model,), {"__annotations__": {"it": hint}, "__module__": __name__}
    )


def _enum(name="Kind", **members):
    return enum.Enum(name, members)


def _flag(**members):
    return enum.Flag("Kind", members)


def _record(*fields):
    return dataclasses.make_dataclass("Kind", fields)


def _dict(total=True, **fields):
    return TypedDict("Kind", fields, total=total)


X = ("x", int, 0)


@pytest.mark.parametrize(
    ("old", "now", "told"),
    [
        (_enum(A=1, B=2), _enum(A=1, B=2, C=3), {"C": False}),
        (_enum(A=1, B=2), _enum(A=2, B=1), {}),
        (_enum(A=1, B=2), _enum(A=1), {"B": True}),
        (_enum(A=1, B=2), _enum(A=1, Z=2), {"B": True, "Z": False}),
        (_enum(A=1, B=2), _enum(A=1, Z=2, B=2), {"Z": False}),
        (_flag(A=1, B=2), _flag(A=1, B=2, C=4), {"C": False}),
        (_flag(A=1, B=2), _flag(A=1), {"B": True}),
        (_flag(A=1, B=2), _flag(A=2, B=1), {"A": True, "B": True}),
        (_flag(A=1, B=2), _flag(A=1, Z=2), {"B": False}),
        (_flag(A=1), _enum(A=1), {None: True}),
        (_record(X), _record(X, ("y", int, 0)), {"y": False}),
        (_record(X), _record(("y", int), X), {"y": True}),
        (_record(X, ("y", int, 0)), _record(X), {"y": True}),
        (_record(X), _record(("x", int)), {"x": True}),
        (_dict(x=int), _dict(x=int, y=int), {"y": True}),
        (_dict(x=int), _dict(x=float), {"x": False}),
        (_dict(x=int), _dict(x=str), {"x": True}),
        (_dict(total=False, x=int), _dict(x=int), {"x": True}),
    ],
)
def test_what_a_field_names_is_compared_too(old, now, told):
    """Members by name, flags by value, records by field: as they are stored."""
    found = changes(holder(old), holder(now))

    assert {each.field: each.breaking for each in found} == told
    assert {each.keyname for each in found} <= {"Kind"}
    assert all(each.advice for each in found if each.breaking)


def test_an_enum_of_another_name_is_another_type():
    """Its members are stored with its name."""
    (change,) = changes(holder(_enum(A=1)), holder(_enum("Sort", A=1)))

    assert (change.what, change.breaking) == ("Kind became Sort", True)


@dataclasses.dataclass
class Geo:
    """A place."""

    lat: float


class Seen(Model):
    """A record that has one."""

    geo: Geo


class Retyped(Model, keyname="__Seen__"):
    """The same of the next release."""

    @dataclasses.dataclass
    class Geo:
        """A place."""

        lat: str

    geo: Geo


def test_a_field_of_a_record_that_gets_another_type_breaks():
    """Nothing converts it."""
    (change,) = changes(Seen, Retyped)

    assert (change.keyname, change.field, change.breaking) == ("Geo", "lat", True)
