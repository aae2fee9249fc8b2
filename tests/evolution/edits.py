"""The edits of a schema that `test_random_edits` draws, and what each does to data."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from evolution.lineage import (
    ABSENT,
    KINDS,
    Class,
    Field,
    Fields,
    Program,
    Record,
    values_of,
    wrap,
)
from storify.models import extras

__all__ = ["Edit", "edits", "first_programs"]


@dataclass(frozen=True)
class Edit:
    """A step from one program to the next.

    Attributes:
        program: The next one.
        cls: The id of the class that it changes.
        forward: Does to a record of that class what the edit means.
    """

    what: str
    program: Program
    cls: int
    forward: Callable[[Record], None] = lambda _: None


def _keyname(number: int) -> st.SearchStrategy[str]:
    return st.sampled_from([f"__Kept{number}__", f"kept{number}"])


@st.composite
def _scalar(draw: st.DrawFn, number: int, *, default: bool) -> Field:
    name = f"f{number}"
    key = draw(st.sampled_from([name, f"{name} on disk"]))
    f = Field(number, name, key, kind=draw(st.integers(0, len(KINDS) - 1)))
    if default:
        f = replace(f, default=draw(KINDS[f.kind].values))
    return f


@st.composite
def first_programs(draw: st.DrawFn) -> Program:
    """Give a class of records with some scalars, a nested object and maybe a list."""
    leaf = Class(1, "Leaf", draw(_keyname(1)), (draw(_scalar(2, default=False)),))
    fields = [
        draw(_scalar(number, default=draw(st.booleans())))
        for number in range(4, 4 + draw(st.integers(1, 3)))
    ]
    fields.append(Field(3, "f3", "f3", part=1, many=draw(st.booleans())))
    record = Class(0, "Record", draw(_keyname(0)), tuple(fields))
    return Program({0: record, 1: leaf}, 7)


@st.composite
def edits(draw: st.DrawFn, program: Program) -> Edit:
    """Give an edit of *program*, of any kind that can be done to it."""
    used = {0} | {f.part for f in program.classes[0].fields if f.part is not None}
    cls = program.classes[draw(st.sampled_from(sorted(used)))]
    possible = [edit for edit in _EDITS if _choices(edit, program, cls)]
    edit = draw(st.sampled_from(possible))
    fields = draw(st.permutations(_choices(edit, program, cls)))
    return draw(edit.make(program, cls, fields))


@dataclass(frozen=True)
class _Kind:
    make: Callable[[Program, Class, list[Field]], st.SearchStrategy[Edit]]
    fits: Callable[[Field, Program], bool]
    at_least: int = 1


def _choices(edit: _Kind, program: Program, cls: Class) -> list[Field]:
    fields = [f for f in cls.fields if edit.fits(f, program)]
    return fields if len(fields) >= edit.at_least else []


def _take(d: Fields, f: Field) -> Any:
    """Take a field out of stored fields, whatever its name was then."""
    found = [d.pop(key) for key in f.keys if key in d]
    return found[0] if found else ABSENT


@st.composite
def _add(draw: st.DrawFn, program: Program, cls: Class, _: list[Field]) -> Edit:
    at = draw(st.integers(0, len(cls.fields)))
    fields = list(cls.fields)
    fields.insert(at, draw(_scalar(program.next, default=True)))
    cls = replace(cls, fields=tuple(fields))
    return Edit("add", program.with_class(cls), cls.id)


@st.composite
def _remove(draw: st.DrawFn, program: Program, cls: Class, fields: list[Field]) -> Edit:
    gone = fields[0]
    drops = draw(st.booleans())
    dropped = cls.dropped | frozenset(gone.keys if drops else ())
    kept = tuple(f for f in cls.fields if f is not gone)

    def forward(record: Record) -> None:
        if gone.id in record.values:
            del record.values[gone.id]
            key, value = record.disk.pop(gone.id)
            if not drops:
                record.extras[key] = value

    cls = replace(cls, fields=kept, dropped=dropped)
    return Edit("drop" if drops else "remove", program.with_class(cls), cls.id, forward)


@st.composite
def _rename(draw: st.DrawFn, program: Program, cls: Class, fields: list[Field]) -> Edit:
    old = fields[0]
    name = f"{old.name.split('_')[0]}_{program.next}"
    changes: dict[str, Any] = draw(
        st.sampled_from(
            [
                {"name": name, "key": name},
                {"name": name, "key": f"{name} on disk"},
                {"key": f"{name} on disk"},
            ]
        )
    )
    cls = cls.change(old, **changes, was=old.keys)
    return Edit("rename", program.with_class(cls), cls.id)


def _wrapped(f: Field) -> dict[str, Any]:
    default = f.default if f.default is ABSENT else wrap(f.default, f.stage + 1)
    return {"stage": f.stage + 1, "default": default}


@st.composite
def _retype(draw: st.DrawFn, program: Program, cls: Class, fields: list[Field]) -> Edit:
    old = fields[0]
    migrates = draw(st.booleans())

    def step(d: Fields) -> None:
        value = _take(d, old)
        if value is not ABSENT:
            d[old.key] = wrap(value, old.stage + 1)

    def forward(record: Record) -> None:
        if old.id in record.values:
            value = wrap(record.values[old.id], old.stage + 1)
            record.values[old.id] = value
            if migrates:
                record.put(old, value)

    cls = cls.change(old, **_wrapped(old))
    if migrates:
        cls = cls.step(step)
    return Edit("retype", program.with_class(cls), cls.id, forward)


@st.composite
def _bump(draw: st.DrawFn, program: Program, cls: Class, _: list[Field]) -> Edit:
    gives = draw(st.booleans())
    cls = cls.step(lambda d: d if gives else None)
    return Edit("bump", program.with_class(cls), cls.id)


@st.composite
def _rename_class(
    draw: st.DrawFn, program: Program, cls: Class, _: list[Field]
) -> Edit:
    cls = replace(
        cls, keyname=draw(_keyname(program.next)), was=(cls.keyname, *cls.was)
    )
    return Edit("rename class", program.with_class(cls), cls.id)


@st.composite
def _make_optional(
    draw: st.DrawFn, program: Program, cls: Class, fields: list[Field]
) -> Edit:
    changes = {"optional": True} | draw(st.sampled_from([{}, {"default": None}]))
    cls = cls.change(fields[0], **changes)
    return Edit("make optional", program.with_class(cls), cls.id)


@st.composite
def _give_default(
    draw: st.DrawFn, program: Program, cls: Class, fields: list[Field]
) -> Edit:
    cls = cls.change(fields[0], default=draw(values_of(fields[0], program)))
    return Edit("give default", program.with_class(cls), cls.id)


@st.composite
def _reorder(draw: st.DrawFn, program: Program, cls: Class, _: list[Field]) -> Edit:
    cls = replace(cls, fields=tuple(draw(st.permutations(cls.fields))))
    return Edit("reorder", program.with_class(cls), cls.id)


def _swap(program: Program, cls: Class, fields: list[Field]) -> st.SearchStrategy[Edit]:
    a, b = fields[:2]
    new = {
        a.id: replace(a, name=b.name, key=b.key, was=()),
        b.id: replace(b, name=a.name, key=a.key, was=()),
    }

    def step(d: Fields) -> None:
        found = [_take(d, a), _take(d, b)]
        for value, f in zip(found, (a, b), strict=True):
            if value is not ABSENT:
                d[new[f.id].key] = value

    def forward(record: Record) -> None:
        for f in (a, b):
            if f.id in record.values:
                record.disk[f.id] = new[f.id].key, record.disk[f.id][1]

    cls = replace(cls, fields=tuple(new.get(f.id, f) for f in cls.fields)).step(step)
    return st.just(Edit("swap", program.with_class(cls), cls.id, forward))


@st.composite
def _nest(draw: st.DrawFn, program: Program, cls: Class, fields: list[Field]) -> Edit:
    number = program.next
    moved = fields[: draw(st.integers(1, len(fields)))]
    part = Class(
        number,
        f"Part{number}",
        draw(_keyname(program.next)),
        tuple(replace(f, was=()) for f in moved),
    )
    holder = Field(number, f"f{number}", f"f{number}", part=number)
    wraps = draw(st.booleans())

    def step(d: Fields) -> Fields:
        found = [(f.key, _take(d, f)) for f in moved]
        inner = {key: value for key, value in found if value is not ABSENT}
        return {**d, holder.key: {part.keyname: inner} if wraps else inner}

    def forward(record: Record) -> None:
        inner = Record(number, {}, is_bare=True)
        for f in moved:
            if f.id in record.values:
                inner.values[f.id] = record.values.pop(f.id)
                inner.disk[f.id] = f.key, record.disk.pop(f.id)[1]
        record.put(holder, inner)

    kept = tuple(f for f in cls.fields if f not in moved)
    cls = replace(cls, fields=(*kept, holder)).step(step)
    return Edit("nest", program.with_class(cls, part), cls.id, forward)


def _unnest(
    program: Program, cls: Class, fields: list[Field]
) -> st.SearchStrategy[Edit]:
    """Move the fields of a nested object up.

    The nested class stays in the program, for the migration to read by. But the
    object may have been made by an earlier step of the same chain: then the
    migration is given what that step gave, the stored fields.
    """
    holder = fields[0]
    part = program.classes[holder.part]

    def step(d: Fields) -> None:
        inner = _take(d, holder)
        if isinstance(inner, dict):
            inner = dict(next(iter(inner.values())) if part_tag(inner) else inner)
            found = {f.key: wrap(_take(inner, f), f.stage) for f in part.fields}
            known = {f.key for f in part.fields if found[f.key] is not ABSENT}
            d.update({key: found[key] for key in known})
            d.update({k: v for k, v in inner.items() if k not in part.dropped})
        elif inner is not ABSENT:
            d.update({f.key: getattr(inner, f.name) for f in part.fields})
            d.update(extras(inner))

    def forward(record: Record) -> None:
        inner = record.values.pop(holder.id, None)
        record.disk.pop(holder.id, None)
        if inner is not None:
            for f in part.fields:
                if not inner.is_bare or f.id in inner.values:
                    record.put(f, inner.values.get(f.id, f.default))
            record.extras.update(inner.extras)

    def part_tag(inner: Fields) -> bool:
        return [*inner] in [[tag] for tag in (part.keyname, *part.was)]

    kept = tuple(f for f in cls.fields if f is not holder)
    moved = tuple(replace(f, was=()) for f in part.fields)
    cls = replace(cls, fields=(*kept, *moved)).step(step)
    return st.just(Edit("unnest", program.with_class(cls), cls.id, forward))


def _any(_: Field, __: Program) -> bool:
    return True


def _is_scalar(f: Field, _: Program) -> bool:
    return f.part is None


def _can_be_wrapped(f: Field, _: Program) -> bool:
    return f.part is None and f.stage < 2


def _is_required(f: Field, _: Program) -> bool:
    return f.part is None and not f.optional


def _can_be_unnested(f: Field, program: Program) -> bool:
    # a step cannot have the migrations of another class run
    return f.part is not None and not f.many and not program.classes[f.part].version


_EDITS = [
    _Kind(_add, _any),
    _Kind(_remove, _is_scalar, at_least=2),
    _Kind(_rename, _any),
    _Kind(_retype, _can_be_wrapped),
    _Kind(_bump, _any),
    _Kind(_rename_class, _any),
    _Kind(_make_optional, _is_required),
    _Kind(_give_default, _is_scalar),
    _Kind(_reorder, _any, at_least=2),
    _Kind(_swap, _is_scalar, at_least=2),
    _Kind(_nest, _is_scalar),
    _Kind(_unnest, _can_be_unnested),
]
