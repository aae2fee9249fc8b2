"""Misfits: places where stored data do not fit their types.

A `Misfit` tells of one place. The walk goes through any value and knows annotations;
an `Inspection` tells it about objects of models and of other classes, records that
could not be loaded, and what the codec could not read.
"""

import enum
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from storify._python import beside
from storify.exceptions import ModelLoadError, NewerVersionError

from .base import Ref
from .conform import LISTED, conforms, fits_outside, is_told_by_class
from .fields import options_of
from .fitting import fields_of
from .hints import (
    ANYTHING,
    Anything,
    Instance,
    Items,
    Later,
    Pairs,
    Record,
    Shape,
    Tuple,
    Union,
    describe,
    field_step,
    key_step,
    name_beside,
    text_of,
)
from .options import VERSION_KEY, class_of, class_options, is_model
from .state import (
    Unloaded,
    items_of,
    pairs,
    public,
    refused,
    state_of,
    unasked,
)

if TYPE_CHECKING:
    from .registry import Entry


MisfitKind = Literal[
    "missing",
    "unknown",
    "wrong type",
    "unregistered class",
    "newer version",
    "dangling ref",
    "wrong ref",
    "unreadable",
    "unloadable",
    "unstorable",
    "bad name",
]
"""What is wrong with a value.

* ``"missing"``: a field that has no default is not there.
* ``"unknown"``: a stored name that the class does not know.
* ``"wrong type"``: a value does not conform to its annotation.
* ``"unregistered class"``: a record or value of a class that is not known here.
* ``"newer version"``: a record of a newer version than the class.
* ``"dangling ref"``: a reference to a record that is not there.
* ``"wrong ref"``: a reference to a record of another class than its annotation names.
* ``"unreadable"``: bytes that stand for nothing here.
* ``"unloadable"``: code of the class, or a migration, failed.
* ``"unstorable"``: a value or an attribute in memory that a flush refuses.
* ``"bad name"``: a database of an older release whose name is not portable.
"""


class Misfit(NamedTuple):
    """A place where stored data do not fit their types.

    Attributes:
        path: Where: ``$['u1'].address.city``. ``*`` is an item of a set.
        kind: What is wrong.
        expected: The annotation, or what else should be there.
        found: A type, a keyname or a version; never the value.
        database: The name of the database, if one was checked.
    """

    path: str
    kind: MisfitKind
    expected: str
    found: str
    database: str = ""

    def __str__(self) -> str:
        """Return one line for people, as ``storify check`` prints it."""
        where = f"{self.database} {self.path}".lstrip()
        return f"{where}: {self.kind}: expected {self.expected}, found {self.found}"


# --- walking through a value, to find each place where it does not conform ------------
#
# Data may be deeper than Python's stack, so nothing here calls itself: a walk works a
# list off, and where it has to know how much is wrong in a part, it gives the part to
# who runs it and waits for the answer.


class Part(NamedTuple):
    """Something in a value: the step that leads to it, and what it should be."""

    step: str
    value: Any
    shape: Shape


class Findings(NamedTuple):
    """The findings about one value of somebody who knows its classes.

    Attributes:
        misfits: With paths that start at the value.
        parts: What is in it.
        is_object: Whether it is what it should be an object of; else its own type
            says nothing, as that of a record that could not be loaded.
    """

    misfits: Sequence[Misfit]
    parts: Sequence[Part]
    is_object: bool = True


Inspect = Callable[[Any, Shape], Findings | None]
"""Tells about a value and what it should be; None for plain data."""

_Walk = Generator[Misfit | Part, int | None, int]
"""Gives misfits, and parts of which it has to be told how many there are in them.

In the end it tells how many it knew of and passed over."""

_LEAVES = frozenset({type(None), bool, int, float, str, bytes})


def misfits(value: object, shape: Shape, inspect: Inspect) -> Iterator[Misfit]:
    """Find all that is wrong inside *value*, in order.

    Objects are looked into wherever they stand, also where the annotation says
    ``Any``. What is shared is visited once, so cycles end.
    """
    counts = _Counts(inspect)
    walk = _walk(Part("$", value, shape), inspect, passes_over=False)
    answer: int | None = None
    while True:
        try:
            found = walk.send(answer)
        except StopIteration:
            return
        if isinstance(found, Misfit):
            answer = None
            yield found
        else:
            answer = counts.of(found)


class _Counts:
    """Tells of parts how many misfits are in them; counts once.

    There is none in a part that is still being counted, so that cycles end.
    """

    def __init__(self, inspect: Inspect) -> None:
        self._inspect = inspect
        self._known: dict[tuple[int, int], int] = {}
        self._parts: list[Part] = []  # they live on, so that nothing gets their ids
        self._walks: list[tuple[tuple[int, int], _Walk]] = []

    def of(self, part: Part) -> int:
        """Tell of *part*, and find out what it depends on."""
        answer = self._look(part)
        while self._walks:
            key, walk = self._walks[-1]
            try:
                found = walk.send(answer)
            except StopIteration as end:
                self._walks.pop()
                self._known[key] += end.value
                answer = self._known[key]
                continue
            if isinstance(found, Part):
                answer = self._look(found)
            else:
                answer = None
                self._known[key] += 1
        return answer or 0

    def _look(self, part: Part) -> int | None:
        """Tell what is known of a part; None if a walk through it began just now."""
        key = id(part.value), id(part.shape)
        if key in self._known:
            return self._known[key]
        self._known[key] = 0
        self._parts.append(part)
        walk = _walk(part, self._inspect, passes_over=True)
        self._walks.append((key, walk))
        return None


def _walk(start: Part, inspect: Inspect, *, passes_over: bool) -> _Walk:
    """Walk through a part, whose step is the path to it.

    Parts of which the number is known may be passed over.
    """
    todo = [start]
    seen: dict[tuple[int, int], Part] = {}
    passed_over = 0
    while todo:
        part = todo.pop()
        path, item, expected = part
        expected = _now(expected)
        is_leaf = type(item) in _LEAVES
        if not is_leaf:
            visit = (id(item), id(expected))
            if visit in seen:
                continue
            seen[visit] = part  # it lives on, so that nothing else gets its id
        if isinstance(expected, Union) and not isinstance(item, Unloaded):
            expected, count = yield from _choose(item, expected)
            if passes_over and count is not None:
                passed_over += count
                continue
        findings = None if is_leaf else inspect(item, expected)
        if (findings is None or findings.is_object) and not fits_outside(
            item, expected
        ):
            if isinstance(expected, Record) and isinstance(item, dict):
                yield from _wrong_keys(path, item, expected)
            else:
                yield _wrong_type(path, item, expected)
                expected = ANYTHING  # look for objects inside all the same
        if findings is None:
            inside: Sequence[Part] = list(_parts(item, expected))
        else:
            inside = findings.parts
            for misfit in findings.misfits:
                yield misfit._replace(path=path + misfit.path)
        todo.extend(
            Part(path + step, inner, shape)
            for step, inner, shape in reversed(inside)
            if not _is_settled(inner, shape)
        )
    return passed_over


def _now(shape: Shape) -> Shape:
    while isinstance(shape, Later):
        shape = shape.get()
    return shape


def _wrong_type(path: str, value: Any, shape: Shape) -> Misfit:
    wanted = describe(shape)
    return Misfit(path, "wrong type", wanted, name_beside(value, wanted))


def _wrong_keys(path: str, value: Any, shape: Record) -> Iterator[Misfit]:
    """List the keys that a dict lacks, and those that its type does not know."""
    found = dict(pairs(value))
    for key, expected in shape.keys.items():
        if key in shape.required and key not in found:
            yield Misfit(path + key_step(key), "missing", describe(expected), "nothing")
    for key, item in found.items():
        if key not in shape.keys:
            wanted, kind = f"no such key of {shape.name}", class_of(item).__name__
            yield Misfit(path + key_step(key), "wrong type", wanted, kind)


def _is_settled(value: Any, shape: Shape) -> bool:
    """Tell of a leaf at once that it conforms, as most do."""
    kind = class_of(value)
    return kind in _LEAVES and (
        shape.__class__ is Anything
        or (isinstance(shape, Instance) and shape.cls is kind)
    )


def _choose(
    value: Any, union: Union
) -> Generator[Part, int | None, tuple[Shape, int | None]]:
    """Choose the arm to judge *value* by, or the union itself if none is near.

    Of several that take it, the first; but where their classes do not tell which is
    right, as of ``Box[int] | Box[str]``, one that leaves the fewest misfits in it: then
    their number is told, too.
    """
    fitting = (arm for arm in union.arms if conforms(value, arm))
    first = next(fitting, None)
    if first is None:
        near = [arm for arm in union.arms if fits_outside(value, arm)]
        if not near and isinstance(value, dict):  # whose keys tell what is wrong
            near = _nearest(value, union.arms)
        return (near[0] if len(near) == 1 else union), None
    arms = (first,) if is_told_by_class(first, behind_refs=True) else (first, *fitting)
    if len(arms) == 1:
        return first, None
    counts: list[int] = []
    for arm in arms:
        counts.append((yield Part("$", value, arm)) or 0)
        if not counts[-1]:
            break
    least = min(counts)
    return arms[counts.index(least)], least


def _nearest(value: Any, arms: Iterable[Shape]) -> list[Shape]:
    """Return the typed dicts among *arms* of which the fewest keys are wrong.

    One of which it has no key is not near, unless it is the only one.
    """
    keys = {key for key, _ in pairs(value)}
    records = [arm for arm in map(_now, arms) if isinstance(arm, Record)]
    wrong: dict[Shape, int] = {
        arm: len(arm.required - keys) + len(keys - arm.keys.keys())
        for arm in records
        if len(records) == 1 or keys & arm.keys.keys()
    }
    least = min(wrong.values(), default=0)
    return [arm for arm, count in wrong.items() if count == least]


def _parts(value: Any, shape: Shape) -> Iterator[Part]:
    """List what is inside *value* and what each part should be."""
    if isinstance(value, dict):
        for key, item in pairs(value):
            expected_key, expected = _pair(key, shape)
            if _is_settled(key, expected_key) and _is_settled(item, expected):
                continue
            step = key_step(key)
            yield Part(f"{step} (key)", key, expected_key)
            yield Part(step, item, expected)
    elif isinstance(value, LISTED):
        is_set = isinstance(value, (set, frozenset))
        for index, item in enumerate(items_of(value)):
            if isinstance(shape, Tuple):
                expected = shape.items[index]
            else:
                expected = shape.item if isinstance(shape, Items) else ANYTHING
            # the items of a set have no place, and a value is never named
            where = "*" if is_set else index
            yield Part(f"[{where}]", item, expected)


def _pair(key: Any, shape: Shape) -> tuple[Shape, Shape]:
    match shape:
        case Pairs(_, expected_key, expected):
            return expected_key, expected
        case Record(_, keys):
            return ANYTHING, keys.get(key, ANYTHING)
        case Items(_, item):
            return item, ANYTHING
        case _:
            return ANYTHING, ANYTHING


# --- what is wrong with one record: what its class does not take, or does not find ----

Kept = Callable[[object], str | None]
"""Tells of a value that the codec could not read: the key of the class that is not
registered, or "" for another reason; None for any other value."""


class Lead(enum.Enum):
    """The end of a reference that leads to no record."""

    NOWHERE = enum.auto()
    UNKNOWN = enum.auto()


Leads = Callable[[Ref[Any]], Any]
"""Gives the record behind a reference; a `Lead` if there is none to look at."""


class Examined(NamedTuple):
    """The verdict of a class on stored fields, without an object.

    Attributes:
        fields: What it takes, as (name, value, shape); values are converted.
        missing: The names and shapes of required fields that are not there.
        unknown: The stored names that it does not know, with their values.
    """

    fields: Sequence[tuple[Any, Any, Shape]]
    missing: Sequence[tuple[str, Shape]]
    unknown: Mapping[Any, Any]


_NOTHING = "nothing"


class Inspection:
    """Tells `misfits` about the values of one walk, as its ``Inspect``."""

    def __init__(
        self,
        entries: "Mapping[str, Entry | None]",
        shapes_of: Callable[[type, tuple[Any, ...]], Mapping[str, Shape]],
        plain_shapes_of: Callable[[type], Mapping[str, Shape]],
        kept: Kept,
        leads: Leads,
        parse: Callable[[Any], Shape],
    ) -> None:
        self._entries = entries
        self._shapes_of = shapes_of
        self._plain_shapes_of = plain_shapes_of
        # Within one walk they are the same ones, or it would not end in a cycle.
        self._plain: dict[type, Mapping[str, Shape]] = {}
        self._beside: dict[type, Callable[[object], list[str]]] = {}
        self._kept = kept
        self._leads = leads
        self._parse = parse

    def __call__(self, value: Any, shape: Shape) -> Findings | None:
        """Tell about *value*; None for plain data."""
        if isinstance(value, Unloaded):
            return self._record(value, shape)
        if is_model(value):
            return self._object(value, shape)
        key = self._kept(value)
        if key is not None:
            kind = type(value).__name__
            misfit = (
                Misfit("", "unregistered class", describe(shape), key)
                if key
                else Misfit("", "unreadable", describe(shape), kind)
            )
            return Findings([misfit], [], is_object=False)
        return self._plain_object(value, shape)

    # Objects

    def _object(self, obj: Any, shape: Shape) -> Findings:
        cls: type = class_of(obj)
        shapes = self._shapes_of(cls, _arguments(cls, shape))
        misfits = [_unknown(cls, *pair) for pair in _not_former(cls, unasked(obj))]
        misfits += _unstorable(cls, refused(obj))
        if issubclass(cls, Ref):
            misfits += self._lead(obj, shape)
        parts = [
            Part(field_step(name), item, shapes.get(name, ANYTHING))
            for name, item in _fields_of(obj, shapes).items()
        ]
        return Findings(misfits, parts)

    def _lead(self, ref: Ref[Any], shape: Shape) -> Iterable[Misfit]:
        record = self._leads(ref)
        if record is Lead.NOWHERE:
            expected = f"a record of database {ref.db!r}"
            yield Misfit("", "dangling ref", expected, _NOTHING)
        elif record is not Lead.UNKNOWN:
            for hint in _arguments(Ref, shape):
                if not conforms(record, self._parse(hint)):
                    found = f"Ref[{name_beside(record, text_of(hint))}]"
                    yield Misfit("", "wrong ref", describe(shape), found)

    def _plain_object(self, obj: Any, shape: Shape) -> Findings | None:
        cls = class_of(obj)
        if cls not in self._plain:
            self._plain[cls] = self._plain_shapes_of(cls)
            self._beside[cls] = beside(cls, self._plain[cls])
        shapes = self._plain[cls]
        if not shapes:
            return None
        lost = _unstorable(cls, self._beside[cls](obj))
        parts = [
            Part(field_step(name), item, shapes[name])
            for name, item in fields_of(obj, shapes)
        ]
        if isinstance(obj, tuple):
            parts = [*parts, *_items_beyond(parts, obj, shape)]
        return Findings(lost, parts)

    # Records

    def _record(self, record: Unloaded, shape: Shape) -> Findings | None:
        fields: Any = record.get(next(iter(record), ""))
        if len(record) != 1 or class_of(fields) is not dict:
            return None  # it was changed since, and is a dict like others
        keyname = next(iter(record))
        entry = self._entries.get(keyname)
        if record.error is None or entry is None:
            misfit = Misfit("", "unregistered class", describe(shape), keyname)
            return Findings([misfit], _raw_parts(fields), is_object=False)
        name = entry.cls.__qualname__
        if isinstance(record.error, NewerVersionError):
            known = f"{name} of version {class_options(entry.cls).version}"
            found = f"version {fields.get(VERSION_KEY)}"
            misfit = Misfit("", "newer version", known, found)
            return Findings([misfit], _raw_parts(fields), is_object=False)
        return _examine(entry, fields, record.error)


def _arguments(cls: type, shape: Shape) -> tuple[Any, ...]:
    """Return what *shape* puts in the place of the type variables of *cls*."""
    if isinstance(shape, Instance) and issubclass(cls, shape.cls):
        return shape.args
    return ()


def _examine(entry: "Entry", fields: Any, error: ModelLoadError) -> Findings:
    """Tell what keeps *fields* from being an object, as far as it can be told."""
    cls = entry.cls
    try:
        found = entry.planned().examine(fields)
    except Exception:  # noqa: BLE001 -- code of the user's, as at load
        found = Examined(_raw_fields(fields), (), {})
    misfits = [
        Misfit(field_step(name), "missing", describe(shape), _NOTHING)
        for name, shape in found.missing
    ]
    unknown = [_unknown(cls, *pair) for pair in _not_former(cls, found.unknown)]
    misfits += unknown
    forbidden = unknown and class_options(cls).extra == "forbid"
    if not found.missing and not forbidden:
        cause = type(error.__cause__ or error).__name__
        path = error.path.removeprefix("$")
        misfits.insert(0, Misfit(path, "unloadable", cls.__qualname__, cause))
    inside = (*found.fields, *_raw_fields(found.unknown))
    parts = [Part(field_step(name), *rest) for name, *rest in inside]
    return Findings(misfits, parts, is_object=False)


def _not_former(cls: type, names: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """List stored names and values, without earlier names of fields of *cls*.

    One of those stands beside the new name when an older program saved the record.
    """
    if not names:
        return []
    former = {old for a in class_options(cls).attributes for old in options_of(a).was}
    return [(name, item) for name, item in pairs(names) if name not in former]


def _unknown(cls: type, name: object, value: object) -> Misfit:
    found = "record" if isinstance(value, Unloaded) else type(value).__name__
    expected = f"no such field of {cls.__qualname__}"
    return Misfit(field_step(name), "unknown", expected, found)


def _unstorable(cls: type, names: Iterable[str]) -> list[Misfit]:
    return [
        Misfit(f".{n}", "unstorable", f"no such attribute of {cls.__qualname__}", n)
        for n in names
    ]


def _raw_fields(fields: Any) -> list[tuple[Any, Any, Shape]]:
    return [(name, item, ANYTHING) for name, item in pairs(fields)]


def _raw_parts(fields: Any) -> list[Part]:
    return [Part(field_step(name), *rest) for name, *rest in _raw_fields(fields)]


def _items_beyond(fields: Sequence[Part], obj: Any, shape: Shape) -> Iterator[Part]:
    """List the items of a named tuple of which *shape* says more than its class."""
    if not isinstance(shape, (Items, Tuple)) or not fits_outside(obj, shape):
        return
    for index, (_, item, own) in enumerate(fields):
        expected = shape.items[index] if isinstance(shape, Tuple) else shape.item
        is_told = conforms(item, expected) and is_told_by_class(expected)
        if not is_told and conforms(item, own):
            yield Part(f"[{index}]", item, expected)


def _fields_of(obj: object, shapes: Mapping[str, Shape]) -> dict[Any, Any]:
    """Return the stored fields of *obj*: declared ones first, then what was added."""
    if not class_options(type(obj)).declared:
        return public(obj)
    state = state_of(obj)
    values: dict[Any, Any] = {name: state[name] for name in shapes if name in state}
    if len(values) == len(state):
        return values
    not_stored = unstored(type(obj))
    for name, item in public(obj).items():
        if name not in values and name not in not_stored:
            values[name] = item
    return values


def unstored(cls: type) -> set[str]:
    """Return the names of the fields of *cls* that are not stored."""
    attributes = class_options(cls).attributes
    return {a.name for a in attributes if not options_of(a).stored}
