"""Random schemas that change over the years, against the oracle in `lineage`."""

import copy
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from evolution.edits import Edit, edits, first_programs
from evolution.lineage import (
    Field,
    Program,
    Record,
    adopt,
    build,
    made,
    records,
    seen,
    values_of,
)
from stand_ins import Log
from storify import Database, Model, Storify
from storify.exceptions import NewerVersionError
from storify.models import Unloaded
from storify.testing import same


@dataclass(frozen=True)
class Years:
    """A schema's programs, oldest first, and the edits between them."""

    programs: list[Program]
    edits: list[Edit]
    classes: list[dict[int, type[Model]]]

    @property
    def newest(self) -> int:
        """The number of the newest program."""
        return len(self.edits)

    def carry(self, record: Record, old: int, new: int) -> Record:
        """Give what the program *new* makes of a record of the program *old*."""
        record = copy.deepcopy(record)
        for edit in self.edits[old:new]:
            for each in record.walk():
                if each.cls == edit.cls:
                    edit.forward(each)
        adopt(record, self.programs[new])
        return record

    @contextmanager
    def running(self, number: int, folder: str) -> Iterator[Database[Any]]:
        """Open the database with a program of these years."""
        models = self.classes[number].values()
        with Storify(
            folder, save_interval=None, log=Log(), models=models, sync="interval"
        ) as sf:
            yield sf.get_db("data")

    def write(self, record: Record, number: int, folder: str) -> None:
        """Write a new record with a program of these years."""
        with self.running(number, folder) as db:
            obj = made(record, self.programs[number], self.classes[number])
            db["r"] = obj

    def assert_reads(self, number: int, folder: str, expected: Record) -> None:
        """Assert that a program reads just what is expected."""
        with self.running(number, folder) as db:
            obj = db["r"]
            what = f"program {number} after {[edit.what for edit in self.edits]}"

            assert type(obj) is self.classes[number][0], f"{what}: {obj!r}"
            found = seen(obj, expected, self.programs[number])
            assert same(plain(found), plain(expected)), f"{what}: {obj!r}"


def plain(value: Any) -> Any:
    """Give a record as dicts that do not depend on the order of fields."""
    if isinstance(value, Record):
        return {
            "cls": value.cls,
            "values": {i: plain(value.values[i]) for i in sorted(value.values)},
            "extras": dict(sorted(value.extras.items())),
        }
    return [plain(v) for v in value] if isinstance(value, list) else value


@st.composite
def all_years(draw: st.DrawFn) -> Years:
    """Give a schema and one to four edits of it."""
    programs = [draw(first_programs())]
    found: list[Edit] = []
    for _ in range(draw(st.integers(1, 4))):
        found.append(draw(edits(programs[-1])))
        programs.append(found[-1].program)
        event(found[-1].what)
    return Years(programs, found, [build(program) for program in programs])


@given(st.data())
def test_every_newer_program_reads_what_a_program_wrote(data):
    """Renamed, retyped and moved values arrive; what was added has its default."""
    years = data.draw(all_years())
    writer = data.draw(st.integers(0, years.newest))
    record = data.draw(records(years.programs[writer]))

    with tempfile.TemporaryDirectory() as folder:
        years.write(record, writer, folder)

        for reader in range(writer, years.newest + 1):
            years.assert_reads(reader, folder, years.carry(record, writer, reader))


@given(st.data())
def test_no_program_loses_what_another_wrote(data):
    """Programs of all ages change or migrate a record; the newest has it all."""
    years = data.draw(all_years())
    now = data.draw(st.integers(0, years.newest))
    record = data.draw(records(years.programs[now]))
    users = data.draw(st.lists(st.integers(0, years.newest), min_size=1, max_size=4))

    with tempfile.TemporaryDirectory() as folder:
        years.write(record, now, folder)
        for user in users:
            with years.running(user, folder) as db:
                assert_raw_if_newer(db["r"], years, user, now)
                mine = years.carry(record, now, user) if user >= now else record
                if data.draw(st.integers(0, 3)) == 0:
                    db.migrate()
                    written = True
                else:
                    written = change(data, years, (user, now), db["r"], mine)
                if written:
                    record, now = mine, max(user, now)

        expected = years.carry(record, now, years.newest)
        years.assert_reads(years.newest, folder, expected)


def assert_raw_if_newer(obj: Any, years: Years, user: int, now: int) -> None:
    """Assert that a record of a newer version is not guessed at."""
    ours, theirs = years.programs[user].classes[0], years.programs[now].classes[0]
    if theirs.keyname in (ours.keyname, *ours.was) and theirs.version > ours.version:
        assert isinstance(obj, Unloaded)
        assert isinstance(obj.error, NewerVersionError)


def change(
    data: st.DataObject, years: Years, at: tuple[int, int], obj: Any, record: Record
) -> bool:
    """Change a value that the program knows just as the record's writer did.

    Gives whether there was one and it is another now: what is only read is not
    written again.
    """
    user, now = at
    places = list(common(years, user, max(user, now), obj, record))
    if not places:
        return False
    holder, holding, f = data.draw(st.sampled_from(places))
    value = data.draw(values_of(f, years.programs[user]))
    is_other = not same(value, holding.values[f.id])
    setattr(holder, f.name, copy.deepcopy(value))
    holding.put(f, value)
    event(f"changed by {'an older' if user < now else 'a newer or the same'} program")
    return is_other


def common(
    years: Years, user: int, now: int, obj: Any, record: Record
) -> Iterator[tuple[Any, Record, Field]]:
    """Find the scalars of *obj*, also nested ones, that both programs know alike."""
    if type(obj) is not years.classes[user].get(record.cls):
        return
    theirs = [form(f) for f in years.programs[now].classes[record.cls].fields]
    for f in years.programs[user].classes[record.cls].fields:
        if form(f) not in theirs:
            continue
        if f.part is None:
            yield obj, record, f
        elif not f.many:
            yield from common(
                years, user, now, getattr(obj, f.name), record.values[f.id]
            )


def form(f: Field) -> tuple[Any, ...]:
    """Give what a field must have in common for two programs to change it alike."""
    return f.id, f.key, f.kind, f.part, f.many, f.stage, f.optional
