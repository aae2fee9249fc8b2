"""A schema over the years, in plain Python: the oracle of `test_random_edits`.

A `Program` is one version of a schema: the classes as they stood then. Each `Edit`
leads from one program to the next, and says what it does to a record that is there
already (`Edit.forward`). A record is followed by the *ids* of its fields, which last
through renames and moves, never by what storify writes. So the oracle is short:

* What a program wrote, a newer one reads as the edits in between say, with its own
  defaults for what was added since.
* A program that changes a record, or migrates it, makes it one of its own: the
  defaults of then are in it from now on. One that only reads it writes nothing.
* An older program changes nothing of a newer record but what it was told to change.

`build` turns a program into real classes, with the ``was=``, ``upgrade=`` and
migrations that a careful author would write.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from model_strategies import SCALARS
from storify import Model
from storify import field as model_field
from storify.models import extras, migration

__all__ = ["ABSENT", "Class", "Field", "Program", "Record", "build", "made", "seen"]

ABSENT: Any = object()

Fields = dict[str, Any]
Step = Callable[[Fields], Fields | None]

#: Kinds whose values are told from lists and dicts, so that an ``upgrade=`` can tell
#: which form it is given. Models have edits of their own.
KINDS = [kind for kind in SCALARS if kind.hint in {int, str, float, bool, bytes}] + [
    kind for kind in SCALARS if getattr(kind.hint, "__name__", "") in {"date", "UUID"}
]


@dataclass(frozen=True)
class Field:
    """One field of one version of a class.

    Attributes:
        id: Stays the same through renames and moves.
        kind: The number of a scalar in `KINDS`, if it holds one.
        part: The id of a class, if it holds an object or objects of it.
        many: Whether it holds a list of them.
        stage: How often its type was wrapped: scalar, list, dict of lists.
    """

    id: int
    name: str
    key: str
    was: tuple[str, ...] = ()
    kind: int = 0
    part: int | None = None
    many: bool = False
    stage: int = 0
    optional: bool = False
    default: Any = ABSENT

    @property
    def keys(self) -> tuple[str, ...]:
        """All names under which the field was ever stored, the newest first."""
        return (self.key, *self.was)


@dataclass(frozen=True)
class Class:
    """One version of a class."""

    id: int
    name: str
    keyname: str
    fields: tuple[Field, ...]
    was: tuple[str, ...] = ()
    version: int = 0
    dropped: frozenset[str] = frozenset()
    steps: tuple[Step, ...] = ()

    def change(self, old: Field, **changes: Any) -> "Class":
        """Give the class with one field changed."""
        new = replace(old, **changes)
        return replace(self, fields=tuple(new if f is old else f for f in self.fields))

    def step(self, step: Step) -> "Class":
        """Give the next version of the class, with the migration to it."""
        return replace(self, version=self.version + 1, steps=(*self.steps, step))


@dataclass(frozen=True)
class Program:
    """The classes of one time, by id; 0 is the class of the records.

    Attributes:
        next: A number that no class, field or name has yet.
    """

    classes: Mapping[int, Class]
    next: int

    def with_class(self, *classes: Class) -> "Program":
        """Give the program with classes added or replaced."""
        changed = {cls.id: cls for cls in classes}
        return Program({**self.classes, **changed}, self.next + 1)


@dataclass
class Record:
    """What is known of one stored object: values by field id, nested records inside.

    Attributes:
        disk: The name and the value of each as they are stored: what was renamed
            or retyped since, other than by a migration, is so only when it is read.
        extras: What the classes do not know any more, by its name on disk.
        is_bare: Whether a migration made it and no program saved it since: to the
            next migration it is a dict, not an object with its defaults.
    """

    cls: int
    values: dict[int, Any]
    disk: dict[int, tuple[str, Any]] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    is_bare: bool = False

    def put(self, f: Field, value: Any) -> None:
        """Set a value that is stored under the field's present name."""
        self.values[f.id] = value
        self.disk[f.id] = f.key, value

    def walk(self) -> "list[Record]":
        """Give the record and all in it."""
        inner = [r for value in self.values.values() for r in nested(value)]
        return [self, *(each for r in inner for each in r.walk())]


def nested(value: Any) -> list[Record]:
    """Give the records that are a field's value or lie in it."""
    if isinstance(value, list):
        return [item for item in value if isinstance(item, Record)]
    return [value] if isinstance(value, Record) else []


def wrap(value: Any, stage: int) -> Any:
    """Give *value*, of any earlier stage, as of *stage*.

    As exact as an ``upgrade=`` should be: what it does not know it refuses.
    """
    if value is None or value is ABSENT:
        return value
    found = {list: 1, dict: 2}.get(type(value), 0)
    if found > stage:
        msg = "this is newer than the function"
        raise TypeError(msg)
    for next_stage in range(found + 1, stage + 1):
        value = [value] if next_stage == 1 else {"all": value}
    return value


# --- what the oracle says --------------------------------------------------------------


def adopt(record: Record, program: Program) -> None:
    """Make a record of *program*'s time one that *program* wrote."""
    for each in record.walk():
        for f in program.classes[each.cls].fields:
            each.put(f, each.values.get(f.id, f.default))
        each.is_bare = False


# --- real classes and objects -----------------------------------------------------------


def build(program: Program) -> dict[int, type[Model]]:
    """Make the classes of *program*, by id."""
    built: dict[int, type[Model]] = {}

    def make(cls_id: int) -> type[Model]:
        if cls_id not in built:
            built[cls_id] = _build(program.classes[cls_id], make)
        return built[cls_id]

    for cls_id in program.classes:
        make(cls_id)
    return built


def _build(cls: Class, make: Callable[[int], type[Model]]) -> type[Model]:
    annotations: dict[str, Any] = {}
    body: dict[str, Any] = {"__module__": __name__, "__annotations__": annotations}
    for f in cls.fields:
        options: dict[str, Any] = {"kw_only": True, "was": f.was}
        if f.key != f.name:
            options["key"] = f.key
        if f.default is not ABSENT:
            options["default"] = f.default
        if f.stage:
            options["upgrade"] = lambda value, stage=f.stage: wrap(value, stage)
        annotations[f.name] = _hint(f, make)
        body[f.name] = model_field(**options)
    for version, step in enumerate(cls.steps):
        body[f"_step{version}"] = migration(version)(lambda d, step=step: step(d))
    return type(
        cls.name,
        (Model,),
        body,
        keyname=cls.keyname,
        was=cls.was,
        version=cls.version,
        dropped=cls.dropped,
    )


def _hint(f: Field, make: Callable[[int], type[Model]]) -> Any:
    if f.part is not None:
        hint: Any = list[make(f.part)] if f.many else make(f.part)  # type: ignore[misc]
    else:
        hint = KINDS[f.kind].hint
    if f.stage >= 1:
        hint = list[hint]
    if f.stage == 2:
        hint = dict[str, hint]
    return hint | None if f.optional else hint


def values_of(f: Field, program: Program) -> st.SearchStrategy[Any]:
    """Give values of a field, objects inside as records."""
    if f.part is not None:
        one = records(program, f.part)
        values: st.SearchStrategy[Any] = st.lists(one, max_size=2) if f.many else one
    else:
        values = KINDS[f.kind].values
    if f.stage >= 1:
        values = st.lists(values, max_size=2)
    if f.stage == 2:
        values = st.dictionaries(st.sampled_from(["a", "b"]), values)
    return st.none() | values if f.optional else values


@st.composite
def records(draw: st.DrawFn, program: Program, cls_id: int = 0) -> Record:
    """Give a record as *program* may write it."""
    record = Record(cls_id, {})
    for f in program.classes[cls_id].fields:
        record.put(f, draw(values_of(f, program)))
    return record


def made(record: Record, program: Program, built: Mapping[int, type[Model]]) -> Model:
    """Make the object that *record* stands for."""

    def value_of(value: Any) -> Any:
        if isinstance(value, Record):
            return made(value, program, built)
        if isinstance(value, list):
            return [value_of(item) for item in value]
        return value

    return built[record.cls](
        **{
            f.name: value_of(record.values[f.id])
            for f in program.classes[record.cls].fields
        }
    )


def seen(obj: Any, record: Record, program: Program) -> Record:
    """Give what *obj* shows of *record*: all its fields, and the extras asked for."""
    cls = program.classes[record.cls]

    def value_of(value: Any, expected: Any) -> Any:
        if isinstance(expected, Record) and isinstance(value, Model):
            return seen(value, expected, program)
        if isinstance(expected, list) and isinstance(value, list):
            pairs = zip(value, [*expected, *[None] * len(value)], strict=False)
            return [value_of(*pair) for pair in pairs]
        return value

    unknown = extras(obj)
    return Record(
        record.cls,
        {f.id: value_of(getattr(obj, f.name), record.values[f.id]) for f in cls.fields},
        extras={name: unknown[name] for name in record.extras if name in unknown},
    )
