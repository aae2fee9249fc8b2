"""`assert_roundtrip`: it finds what does not come back, and passes what does."""
# ruff: noqa: D101 -- the classes are what is stored

import dataclasses
import datetime as dt
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Generic, TypeVar

import pytest
from annotated_types import Gt, Lt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from storify import CustomType, Model, field
from storify.testing import assert_roundtrip, models
from storify.testing._roundtrip import FRESH, Failed, _differences, _imported, for_each
from storify.testing._same import facts

HERE = Path(__file__).parent
T = TypeVar("T")

NEWCOMER = """\
import pytest

import planted
from storify.testing import assert_roundtrip


@pytest.mark.parametrize("cls", [
    planted.Account, planted.Post, planted.Customer, planted.Meeting, planted.Basket,
])
def test_it_comes_back(cls):
    assert_roundtrip(cls)


def test_good():
    assert_roundtrip(planted.Good)
"""

FOUND = {
    "Account": "Account(name='', password='#') $.password: expected str '#', found str '##'",
    "Post": "Post(title='', tags=()) $.tags: expected tuple (), found list []",
    "Customer": (
        "Customer(name='', address=Address(street='', city='0')) "
        "$.address.city: expected str '0', found str ''"
    ),
    "Meeting": (
        "Meeting(at=datetime.datetime(2000, 1, 1, 0, 0)) $.at: expected "
        "datetime.datetime(2000, 1, 1, 0, 0), found "
        "datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)"
    ),
    "Basket": (
        "(Basket(owner='', items=[]), Basket(owner='', items=[])) "
        "two Basket objects made with defaults share Basket.items"
    ),
}


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python beside the planted bugs."""
    return subprocess.run(  # noqa: S603 -- our own program
        [sys.executable, *args],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE), **env},
        timeout=300,
    )


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """The output of a newcomer's first test file of fifteen lines."""
    file = tmp_path_factory.mktemp("newcomer") / "test_mine.py"
    file.write_text(NEWCOMER)

    return run(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(file.parent),
        str(file),
    )


def test_a_newcomers_file_is_short(newcomer):
    """Five bugs in fifteen lines, and no false alarm."""
    assert len(NEWCOMER.splitlines()) <= 15
    assert "5 failed, 1 passed" in newcomer.stdout


@pytest.mark.parametrize("cls", FOUND)
def test_each_planted_bug_is_found_with_its_minimal_example(newcomer, cls):
    """The least object, the path inside it, and what was stored and came back."""
    lines = newcomer.stdout.splitlines()
    start = next(
        i
        for i, line in enumerate(lines)
        if f"E   assert_roundtrip({cls}): "
        in line.replace("AssertionError: ", "").replace("E       ", "E   ")
    )
    text = " ".join(line.removeprefix("E").strip() for line in lines[start : start + 4])

    for part in FOUND[cls].split(" $", 1):
        assert part.split(") two", 1)[0] in text


def test_pytest_shows_no_lines_of_the_kit(newcomer):
    """A failure points at the user's own line."""
    assert "storify/testing/_" not in newcomer.stdout
    assert "You can reproduce" not in newcomer.stdout


class Good(Model):
    name: str
    at: dt.datetime
    tags: list[str] = []


class Inner(Model):
    n: int = 0


class Wide(Model):
    inner: Inner
    many: dict[str, list[Inner]] = {}
    anything: Any = None


class Box(Model, Generic[T]):
    item: T


@pytest.mark.parametrize(
    "what",
    [
        *(Good, Wide, Box[int], Good("a", dt.datetime(2026, 1, 1, tzinfo=dt.UTC))),
        *(models(Good, name=st.just("x")), st.lists(models(Inner)), {"a": [1, {2}]}, 5),
        models(Wide, adversarial=True),
    ],
    ids=[
        "class",
        "nested",
        "generic",
        "object",
        "models",
        "lists",
        "dict",
        "int",
        "odd",
    ],
)
def test_what_comes_back_passes(what):
    """A class, a parametrised one, an object, a strategy, any value."""
    assert_roundtrip(what, examples=30)


class Changing(Model):
    def __init__(self, names: list[str] = ()):
        self.names = list(names)

    def _to_dict(self):
        self.names.sort()
        return {"names": self.names}


class Refusing(Model):
    n: int

    def _to_dict(self):
        return {"n": 10 // self.n}


class NotLoading(Model):
    n: int

    def _from_dict(self, data):
        msg = f"bad {data['n']}"
        raise ValueError(msg)


class Reordered(Model):
    def __init__(self, a: int, b: int):
        self.a = a
        self.b = b

    def _from_dict(self, data):
        self.b = data["b"]
        self.a = data["a"]


class Blind(Model):
    def __init__(self, n: int = 0):
        self.n = n
        self._twice = 2 * n

    def __eq__(self, other):
        return self._twice == other._twice

    def __hash__(self):
        return self._twice

    def _from_dict(self, data):
        self.n = data["n"]


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (Changing, "storing it changed the object itself"),
        (Refusing, "it cannot be stored: ZeroDivisionError"),
        (Blind, "it came back with the same content, but == says it is not equal"),
        (NotLoading, "it came back different"),
        (Reordered, "it came back the same, but saved again it is other bytes"),
    ],
)
def test_other_bugs_are_told_by_name(cls, said):
    """Each with the least example and its place."""
    with pytest.raises(AssertionError) as caught:
        assert_roundtrip(cls)

    assert str(caught.value).startswith(f"assert_roundtrip({cls.__name__}): {said}")
    assert f"minimal example: {cls.__name__}(" in str(caught.value)


class Rectangular(Model):
    z: complex

    @classmethod
    def _from_dict(cls, data):
        z = data["z"]
        return cls(complex(z.real + 0.0, z.imag))  # -0.0 + 0.0 is 0.0


class Imaginary(Model):
    z: complex

    @classmethod
    def _from_dict(cls, data):
        z = data["z"]
        return cls(complex(z.real, z.imag + 0.0))


@pytest.mark.parametrize(
    ("cls", "where"), [(Rectangular, "$.z.real"), (Imaginary, "$.z.imag")]
)
def test_the_sign_of_a_part_of_a_complex_number_is_not_lost(cls, where):
    """Not many examples are needed to see that it was."""
    with pytest.raises(AssertionError) as caught:
        assert_roundtrip(cls, examples=100)

    assert f"where: {where}: expected float -0.0, found float 0.0" in str(caught.value)


class Text(Model):
    n: int = 0
    tags: list[str] = []

    @classmethod
    def _from_dict(cls, data):
        found = cls(**data)
        found.n = str(found.n)
        return found


def test_what_fits_its_annotation_and_comes_back_as_what_does_not_is_found():
    """Types are compared, so it says what was expected and what was found."""
    with pytest.raises(AssertionError) as caught:
        assert_roundtrip(Text)

    assert "where: $.n: expected int 0, found str '0'" in str(caught.value)


class Converted(Model):
    n: int = field(default=0, converter=str)


def test_what_never_fitted_its_annotation_comes_back():
    """That the class makes it so is not a matter of storing it."""
    assert_roundtrip(Converted)


def test_what_was_not_loaded_says_why():
    """The class's own error is shown, it is test data."""
    with pytest.raises(AssertionError, match="ValueError while loading: bad 0"):
        assert_roundtrip(NotLoading)


class Registry(Model):
    seen = {}
    LIMITS = []

    def __init__(self, name: str = ""):
        self.name = name


class SharedFactory(Model):
    tags: list[str] = field(factory=lambda: COMMON)


class SharedModel(Model):
    inner: Inner = field(factory=lambda: ONE)


class NeedsMore(Model):
    def __init__(self, name, tags=()):
        self.name = name
        self.tags = tags


COMMON: list[str] = []
ONE = Inner()


@pytest.mark.parametrize("cls", [Registry, SharedFactory, SharedModel])
def test_shared_defaults_are_found(cls):
    """Of a class body, and of a factory that always gives the same."""
    with pytest.raises(AssertionError, match="made with defaults share"):
        assert_roundtrip(cls, examples=5)


def test_a_class_of_which_nothing_is_known_has_no_defaults_to_check():
    """Its objects are stored and loaded all the same."""
    assert_roundtrip(NeedsMore("a"))


@dataclasses.dataclass
class Size:
    width: int


class Money:
    def __init__(self, cents):
        self.cents = cents


MONEY = CustomType(Money, lambda m: m.cents, Money, "Money")
TYPES = [Size, MONEY]
LISTED = [CustomType(Money, lambda m: [m.cents], lambda cents: Money(*cents), "Listed")]


def test_types_are_registered_as_in_a_storify():
    """Without them, what to do is in the message."""
    values = st.builds(Size, st.integers()) | st.builds(Money, st.integers())

    assert_roundtrip(values, types=TYPES, examples=20)
    with pytest.raises(AssertionError, match=r"cannot be stored: .*types=\[Size\]"):
        assert_roundtrip(Size(1))


def test_it_works_inside_a_given():
    """Each of the outer examples is stored by itself."""

    @settings(max_examples=5, suppress_health_check=list(HealthCheck))
    @given(models(Good))
    def inside(obj):
        assert_roundtrip(obj)
        assert_roundtrip(models(Inner), examples=3)

    inside()


def test_a_class_that_refuses_nearly_everything_is_told():
    """And not taken for one that passes."""

    def refuse(_self, _attribute, value):
        if value != 123_456:
            msg = "no"
            raise ValueError(msg)

    class Narrow(Model):
        n: int = field(validator=refuse)

    with pytest.raises(AssertionError, match="nearly nothing that was drawn is valid"):
        assert_roundtrip(Narrow)


# --- in a new process -------------------------------------------------------------


def test_a_new_process_reads_the_same():
    """Models, and types that are found in variables of the module."""
    values = st.one_of(
        models(Good), models(Wide), st.builds(Size), st.builds(Money, st.integers())
    )

    assert_roundtrip(values, new_process=True, examples=20, types=TYPES)
    assert_roundtrip(
        st.builds(Money, st.integers()), new_process=True, examples=5, types=[MONEY]
    )


SCRIPT = """
import os
from storify import Model, field
from storify.testing import assert_roundtrip

class Local(Model):
    n: int = 0

    def _from_dict(self, data):
        self.n = data["n"] + (1 if os.environ.get("STORIFY_TESTING_FRESH") else 0)

    def _to_dict(self):
        return {"n": self.n}

if os.environ.get("GUARD") != "no" and __name__ != "__main__":
    raise SystemExit("imported twice")

assert_roundtrip(Local(), new_process=True)
print("passed")
"""


def test_what_only_a_new_process_reads_different_is_found(tmp_path):
    """In a plain script, and without its ``if __name__``: it is run but once."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    done = run(str(script), GUARD="no")

    assert "a new process reads it different" in done.stderr
    assert "$.n: expected int 0, found int 1" in done.stderr


def test_a_new_process_that_fails_shows_its_error(tmp_path):
    """As where the module of the class cannot be imported again."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    done = run(str(script))

    assert "the new process failed" in done.stderr
    assert "imported twice" in done.stderr


def test_classes_that_a_new_process_does_not_find_are_refused():
    """Those made in functions, and types in no variable."""

    class Here(Model):
        n: int = 0

    with pytest.raises(ValueError, match="define it in the module"):
        assert_roundtrip(Here(), new_process=True)
    other = CustomType(Money, lambda m: m.cents, Money, "Other")
    with pytest.raises(ValueError, match=r"CustomType\(Other\)"):
        assert_roundtrip(Money(1), new_process=True, types=[other])


def test_a_type_in_a_list_of_the_module_is_found():
    """By its place in the list."""
    values = st.builds(Money, st.integers())

    assert_roundtrip(values, new_process=True, examples=3, types=LISTED)


def test_other_bytes_in_a_new_process_are_a_difference():
    """The values are the same, and their digests are not."""
    known = [[fact[:3] for fact in facts(1)], "another digest"]

    found = list(_differences({"0": 1}, [known], lambda _: b""))

    assert found == [(0, "$", "the same, but saved as other bytes: 1")]


def test_a_module_is_imported_by_its_file_where_its_name_leads_nowhere(tmp_path):
    """As a test module in a folder that is no package."""
    file = tmp_path / "alone.py"
    file.write_text("value = 5")

    assert _imported("no_such_parent.alone", str(file)).value == 5
    assert _imported("json.tool", None).__name__ == "json.tool"
    with pytest.raises(ImportError, match="no module 'nowhere_at_all'"):
        _imported("nowhere_at_all", None)


def test_in_the_new_process_itself_nothing_is_run(monkeypatch):
    """It imports the caller, which would start another one."""
    monkeypatch.setenv(FRESH, "1")

    assert_roundtrip(NotLoading)


class Shared(Model):
    """Its factory gives the same list each time."""

    tags: list[str] = field(factory=lambda made=["x"]: made)


def test_a_strategy_is_named_as_it_was_written():
    """The message begins with the call, whatever Hypothesis wraps around models()."""
    with pytest.raises(AssertionError, match=r"^assert_roundtrip\(models\(Shared\)\)"):
        assert_roundtrip(models(Shared))


def test_the_hint_of_a_shared_default_is_for_the_kind_of_the_class():
    """A declared class has a factory, a hand-written one an __init__."""
    with pytest.raises(AssertionError, match="its factory must make a new one"):
        assert_roundtrip(Shared)


def test_what_fails_only_sometimes_is_said_to_do_so():
    """Hypothesis cannot repeat it, so there is no minimal example."""
    failed = []

    def check(value):
        if not failed:
            failed.append(value)
            msg = "it came back different"
            raise Failed(msg)

    with pytest.raises(AssertionError, match=r"^call: .* failed once and then passed"):
        for_each(st.integers(), check, examples=10, call="call")


ISBNS = st.from_regex(r"\A[0-9]{9}\Z")


def isbn(_, __, value):
    """Know nothing that could be drawn from."""
    if not (len(value) == 9 and value.isdigit()):
        msg = "no ISBN"
        raise ValueError(msg)


class Book(Model):
    code: str = field(validator=isbn)
    tags: list[str] = field(factory=list)


TAGS: list[str] = []


class SharedBook(Book):
    tags: list[str] = field(factory=lambda: TAGS)


@pytest.mark.parametrize(
    "make",
    [lambda cls: cls("123456789"), lambda cls: models(cls, code=ISBNS)],
    ids=["object", "strategy"],
)
def test_required_fields_are_taken_from_what_is_given(make):
    """Also where two objects with defaults are compared."""
    assert_roundtrip(make(Book), examples=20)

    with pytest.raises(AssertionError, match=r"share SharedBook\.tags"):
        assert_roundtrip(make(SharedBook), examples=20)


def offline():
    """Fail as what asks somebody else may."""
    msg = "no network"
    raise RuntimeError(msg)


class Chain(Model):
    next: "Chain"


class Raises(Model):
    a: int
    b: int = field(factory=offline)


class Never(Model):
    a: int = 0
    b: str = field(default="x", validator=isbn)

    def __attrs_post_init__(self):
        self.a += 1


class Holder(Model):
    book: Book


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (Chain, r"Chain\.next has no end"),
        (Raises, r"the default of Raises\.b .*: RuntimeError: no network"),
        (Raises(1, 2), r"the default of Raises\.b .*: RuntimeError: no network"),
        (Never, r"refused by Never\.b: ValueError: no ISBN"),
        (Holder, r"refused by Book\.code: ValueError: no ISBN"),
    ],
    ids=["endless", "factory", "factory of one object", "validator", "nested"],
)
def test_what_cannot_be_drawn_is_told_with_field_and_cause(what, said):
    """Of several causes it is the one that there is."""
    with pytest.raises(AssertionError, match=said):
        assert_roundtrip(what)


class Bounded(Model):
    x: Annotated[int, Gt(5), Lt(3)]


class Outer(Model):
    inner: Bounded


def test_bounds_that_exclude_each_other_are_told_with_the_field():
    """With the way to it."""
    with pytest.raises(InvalidArgument, match=r"Outer\.inner: Bounded\.x: "):
        assert_roundtrip(Outer)


class Anything(Model):
    a: Any


@pytest.mark.parametrize(
    "value",
    [MappingProxyType({}), {}.keys(), threading.Lock()],
    ids=["proxy", "view", "lock"],
)
def test_what_cannot_be_copied_is_told_as_what_cannot_be_stored(value):
    """Not by an error of copy."""
    with pytest.raises(AssertionError, match=r"it cannot be stored: .*\.a"):
        assert_roundtrip(Anything(value))


@dataclasses.dataclass
class Line:
    sku: str


class Order(Model, dropped="gone"):
    line: Line


@pytest.mark.parametrize("name", ["line.memo", "gone", "evolve"])
def test_an_attribute_that_would_be_lost_is_found(name):
    """It is refused when it is stored."""
    order = Order(Line("a"))
    place, _, last = name.rpartition(".")
    setattr(getattr(order, place) if place else order, last, 1)

    with pytest.raises(AssertionError, match="it cannot be stored"):
        assert_roundtrip(order)


def test_an_attribute_that_comes_back_is_fine():
    """As one that a method set."""
    order = Order(Line("a"))
    order.note = ["n"]

    assert_roundtrip(order)
