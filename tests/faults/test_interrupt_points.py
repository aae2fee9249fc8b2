"""Interrupted anywhere inside of a call: nothing is lost, nothing is left behind.

Each case is struck at a sample of its places, with ``STORIFY_DEPTH=soak`` at all of them.
On disk is what was there before or what comes after; in memory, too, and the next
flush brings the file to what memory is.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import enumerate as enumerate_threads
from typing import Any

import pytest

from faults.database import journaling, paging
from faults.sampling import sample
from stand_ins import Log
from storify import Database, Model, Storify, StorifyError
from storify import field as model_field
from storify.database.session.root import Root
from storify.database.session.session import Session
from storify.engine import FileEngine
from storify.exceptions import DatabaseLockedError
from storify.testing import Interrupted, interrupt_points, same
from storify.threads import _saver, finish_all, is_given_up

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("_no_real_syncs")]

NAME = "notes"
#: So many places of each case are tried.
QUICK = 4

State = Any
Begin = Callable[[], object]


class Note(Model):
    """A record with something that is changed in place."""

    text: str
    tags: list[int] = []


class OldUser(Model, keyname="__User__"):
    """A class as it was."""

    name: str
    age: str


class User(Model):
    """The same today."""

    name: str
    years: int = model_field(was="age", default=0, upgrade=int)


def start() -> dict[str, Any]:
    """What the first commit holds."""
    return {"a": Note("ann", [0]), "b": 0, "c": 0, "bulk": "." * 2000}


def changed() -> dict[str, Any]:
    """What `change` makes of it."""
    return {"a": Note("ann", [0, 1]), "b": 1, "bulk": "." * 2000, "new": Note("bo")}


def change(db: Database) -> None:
    """Change a record in place, set one, delete one, add one."""
    db["a"].tags.append(1)
    db["b"] = 1
    del db["c"]
    db["new"] = Note("bo")


# -- what is interrupted ---------------------------------------------------------------


def flush(sf: Storify, begin: Begin) -> None:
    """Save changes."""
    db = sf[NAME]
    change(db)
    begin()
    db.flush()


def setting(sf: Storify, begin: Begin) -> None:
    """Make the changes themselves."""
    db = sf[NAME]
    begin()
    change(db)


def compact(sf: Storify, begin: Begin) -> None:
    """Save changes and leave one file."""
    db = sf[NAME]
    change(db)
    begin()
    db.flush(compact=True)


def transaction(sf: Storify, begin: Begin) -> None:
    """Change several records together."""
    db = sf[NAME]
    db.get("a")
    begin()
    with db.transaction():
        change(db)


def nested(sf: Storify, begin: Begin) -> None:
    """The same with a block inside that is undone, and one that is not."""
    db = sf[NAME]
    begin()
    with db.transaction():
        with suppress(ZeroDivisionError), db.transaction():
            db["a"].tags.append(7)
            raise ZeroDivisionError
        with db.transaction():
            change(db)


def failing(sf: Storify, begin: Begin) -> None:
    """Undo a block."""
    db = sf[NAME]
    held = db["a"]
    begin()
    with suppress(ZeroDivisionError), db.transaction():
        change(db)
        held.tags.append(2)
        raise ZeroDivisionError


def restore(sf: Storify, begin: Begin) -> None:
    """Go back to the state before the last commit."""
    db = sf[NAME]
    change(db)
    db.flush()
    begin()
    db.backups.restore(db.backups.latest)


def migrate(sf: Storify, begin: Begin) -> None:
    """Rewrite records of an older class."""
    db = sf[NAME]
    begin()
    db.migrate()


def close(sf: Storify, begin: Begin) -> None:
    """Save at the close."""
    db = sf[NAME]
    change(db)
    begin()
    db.close()


def reload(sf: Storify, begin: Begin) -> None:
    """Adopt what another program has saved."""
    db = sf[NAME]
    by_another(sf, change)
    begin()
    db.reload()


def merge(sf: Storify, begin: Begin) -> None:
    """Save what was changed beside what another program has saved."""
    db = sf[NAME]
    by_another(sf, lambda theirs: theirs.update(b=1))
    del db["c"]
    db["a"].tags.append(1)
    db["new"] = Note("bo")
    begin()
    db.flush()


def tick(sf: Storify, begin: Begin) -> None:
    """Save all, as the program does in its loop."""
    change(sf[NAME])
    begin()
    sf.tick(force=True)


def append(sf: Storify, begin: Begin) -> None:
    """Save a list root."""
    db = sf[NAME]
    db.data.append(Note("bo"))
    db.data[0] += 1
    begin()
    db.flush()


def append_together(sf: Storify, begin: Begin) -> None:
    """Change a list root in a transaction."""
    db = sf[NAME]
    begin()
    with db.transaction():
        db.data.append(Note("bo"))
        db.data[0] += 1


def undo_append(sf: Storify, begin: Begin) -> None:
    """Undo such a block."""
    db = sf[NAME]
    begin()
    with suppress(ZeroDivisionError), db.transaction():
        db.data.append(Note("bo"))
        raise ZeroDivisionError


def reopen(sf: Storify, begin: Begin) -> None:
    """Open the folder anew, and its database, and look at a record."""
    sf.close()
    begin()
    Storify(sf.root, None, log=Log(), models=[Note])[NAME].get("a")


def read_all(sf: Storify, begin: Begin) -> None:
    """Ask for all keys of a database that was asked for one."""
    db = sf[NAME]
    db["a"].tags.append(1)
    begin()
    assert len(db.data) == len(start())


def walk(sf: Storify, begin: Begin) -> None:
    """Walk through a database that has no room for what it reads; ask for some of it."""
    db = sf[NAME]
    db["a"].tags.append(1)
    begin()
    assert sum(1 for _ in db.values()) == len(start())
    assert db.where(lambda value: value == 0).count() == 2
    assert db["b"] == db["c"] == 0


def destroy(sf: Storify, begin: Begin) -> None:
    """Remove the database; what was not saved joins the backups."""
    db = sf[NAME]
    change(db)
    begin()
    db.destroy()


def by_another(sf: Storify, act: Callable[[Database], object]) -> None:
    """Let another program change the same file."""
    with Storify(sf.root, None, log=Log(), models=[Note]) as other:
        act(other[NAME])


# -- what must be true -----------------------------------------------------------------


def prepare(folder: Path) -> None:
    """Save the first state."""
    with Storify(folder, None, log=Log(), models=[Note]) as sf:
        sf[NAME].update(start())


def prepare_list(folder: Path) -> None:
    """Save a list."""
    with Storify(folder, None, log=Log(), models=[Note]) as sf:
        sf.get_db(NAME, [0, "x"])


def prepare_old(folder: Path) -> None:
    """Save records of a former class."""
    with Storify(folder, None, log=Log(), models=[OldUser]) as sf:
        sf[NAME].update(a=OldUser("ann", "7"), b=OldUser("bo", "9"))


@dataclass(frozen=True)
class Case:
    """Something that is interrupted.

    Attributes:
        act: Does it; what comes before it calls ``begin`` is not interrupted.
        memory: What may be in memory when the program goes on.
        disk: What may be on disk.
        prepare: Makes the database.
        journaled: Whether it is saved in a journal.
        paged: Whether it is asked for single keys.
    """

    act: Callable[[Storify, Begin], object]
    memory: list[State]
    disk: list[State]
    prepare: Callable[[Path], object] = prepare
    journaled: bool = False
    paged: bool = False
    models: list[type] = field(default_factory=lambda: [Note])


OLD, NEW = start(), changed()
#: Between two of the steps of `change`.
BETWEEN = [
    {**OLD, "a": NEW["a"]},
    {**OLD, "a": NEW["a"], "b": 1},
    {key: value for key, value in NEW.items() if key != "new"},
]
USERS = {"a": User("ann", 7), "b": User("bo", 9)}

CASES = {
    "flush": Case(flush, [NEW], [OLD, NEW]),
    "flush of a journal": Case(flush, [NEW], [OLD, NEW], journaled=True),
    "flush into one file": Case(compact, [NEW], [OLD, NEW], journaled=True),
    "changes": Case(setting, [OLD, *BETWEEN, NEW], [OLD]),
    "transaction": Case(transaction, [OLD, NEW], [OLD, NEW]),
    "transaction in a journal": Case(
        transaction, [OLD, NEW], [OLD, NEW], journaled=True
    ),
    "nested transaction": Case(nested, [OLD, NEW], [OLD, NEW]),
    "rollback": Case(failing, [OLD], [OLD]),
    "restore": Case(restore, [OLD, NEW], [OLD, NEW]),
    "restore in a journal": Case(restore, [OLD, NEW], [OLD, NEW], journaled=True),
    "migrate": Case(migrate, [USERS], [USERS], prepare_old, models=[User]),
    "close": Case(close, [NEW], [OLD, NEW]),
    "close of a journal": Case(close, [NEW], [OLD, NEW], journaled=True),
    "reload": Case(reload, [OLD, NEW], [NEW]),
    "merge": Case(merge, [{**NEW, "b": 0}, NEW], [{**OLD, "b": 1}, NEW]),
    "tick": Case(tick, [NEW], [OLD, NEW]),
    "open": Case(reopen, [OLD], [OLD]),
    "open by the index": Case(reopen, [OLD], [OLD], paged=True),
    "changes by the index": Case(
        setting, [OLD, *BETWEEN, NEW], [OLD], journaled=True, paged=True
    ),
    "flush by the index": Case(flush, [NEW], [OLD, NEW], journaled=True, paged=True),
    "merge by the index": Case(
        merge, [{**NEW, "b": 0}, NEW], [{**OLD, "b": 1}, NEW], paged=True
    ),
    "rollback by the index": Case(failing, [OLD], [OLD], paged=True),
    "reading all keys": Case(read_all, [BETWEEN[0]], [OLD], paged=True),
    "walking through": Case(walk, [BETWEEN[0]], [OLD], paged=True),
    "destroy": Case(destroy, [NEW, None], [OLD, NEW, None]),
    "flush of a list": Case(
        append, [[1, "x", Note("bo")]], [[0, "x"], [1, "x", Note("bo")]], prepare_list
    ),
    "transaction of a list": Case(
        append_together,
        [[0, "x"], [1, "x", Note("bo")]],
        [[0, "x"], [1, "x", Note("bo")]],
        prepare_list,
    ),
    "rollback of a list": Case(undo_append, [[0, "x"]], [[0, "x"]], prepare_list),
}


def set_key(db: Database) -> None:
    """Set a key."""
    db["handled"] = True


def set_and_flush(db: Database) -> None:
    """Set a key and save it."""
    set_key(db)
    db.flush()


def set_together(db: Database) -> None:
    """Set a key in a transaction."""
    with db.transaction():
        set_key(db)


@pytest.fixture
def strike(tmp_path):
    """Interrupt a case at some of its places, or at all; give what each has left."""
    template, opened = tmp_path / "template", []

    def strike(name, quick=QUICK, handler=None, where=""):
        case = CASES[name]
        with journaling(case.journaled), paging(case.paged, 0 if case.paged else None):
            case.prepare(template)

            def scenario(root, done):
                shutil.copytree(template, root, dirs_exist_ok=True)
                if case.paged:  # a copy has no index that counts
                    Storify(root, None, log=Log(), models=case.models)[NAME].close()
                sf = Storify(root, None, log=Log(), models=case.models)
                opened[:] = [sf[NAME]]
                case.act(sf, lambda: done("begun"))

            points = interrupt_points(
                scenario,
                tmp_path / "runs",
                handler=handler and (lambda: handler(*opened)),
            )
            begun = [each for each in points.points if each.done and where in str(each)]
            assert begun, f"{name} comes by no place {where!r}"
            points.points = tuple(sample(begun, quick, name, handler is None))
            yield from points

    return strike


def content(db: Database) -> State:
    """What is in it, as a plain dict or list."""
    return list(db.data) if isinstance(db.data, list) else dict(db.items())


def on_disk(interrupted: Interrupted) -> State:
    """What another program finds, None for nothing."""
    with interrupted.reopen() as sf:
        return content(sf.get_db(NAME, readonly=True)) if NAME in sf else None


def one_of(found: State, states: list[State]) -> bool:
    """Whether it is one of these, to the type."""
    return any(same(found, state) for state in states)


def go_on(interrupted: Interrupted) -> State:
    """See that all is well when the program goes on; give what it has then."""
    interrupted.assert_sound()
    if not interrupted.databases:
        return on_disk(interrupted)
    (db,) = interrupted.databases
    found = content(db)
    with db.transaction():
        if isinstance(db.data, list):
            db.data.append("later")
        else:
            db["later"] = 1
    assert not db.dirty()
    return found


@pytest.mark.parametrize("name", CASES)
def test_an_interrupt_inside_of_a_call_costs_nothing(strike, name):
    """Old or new, no lock and no descriptor, and the next flush saves all."""
    case, count = CASES[name], 0
    for interrupted in strike(name):
        with interrupted:
            assert one_of(found := on_disk(interrupted), case.disk), found
            assert one_of(found := go_on(interrupted), case.memory), found
        count += 1

    assert count >= QUICK


@pytest.mark.parametrize("does", [set_key, set_and_flush, set_together])
@pytest.mark.parametrize("name", ["flush", "transaction", "rollback", "merge"])
def test_what_a_handler_does_inside_of_a_call_is_done(strike, name, does):
    """A key that it sets is kept, in memory and in the file; the call does its work.

    Unless it is set in a block that is undone, or the handler is refused at once.
    """
    refused = []

    def handler(db):
        try:
            does(db)
        except StorifyError as error:
            refused.append(error)

    last = {"rollback": OLD}.get(name, NEW)
    for interrupted in strike(name, 3, handler):
        with interrupted:
            assert interrupted.error is None
            found = go_on(interrupted)
            handled = found.pop("handled", False)
            assert one_of(found, [last]), found
            assert handled or refused or name == "rollback"
        refused.clear()


def test_a_handler_waits_for_a_lock_that_is_being_taken(strike):
    """Its block is inside of the one that it interrupts, not the other way round."""
    for interrupted in strike("transaction", 6, set_together, where="in Job.join"):
        with interrupted:
            assert interrupted.error is None
            assert go_on(interrupted).pop("handled")


@pytest.mark.parametrize("name", ["flush", "transaction", "restore"])
def test_a_handler_may_close_the_database(strike, name):
    """It is done or refused; what is done with a closed one is refused."""

    def handler(db):
        with suppress(StorifyError):
            db.close()

    case = CASES[name]
    for interrupted in strike(name, 3, handler):
        with interrupted:
            assert isinstance(interrupted.error, StorifyError | None)
            assert one_of(found := go_on(interrupted), case.memory), found


def test_no_saver_thread_is_forgotten(strike):
    """Interrupted on the way to one: each that has nothing to do is known to be idle."""
    finish_all()
    for _ in strike("flush", 15, where="threads/_saver.py"):
        pass
    finish_all()
    until = time.monotonic() + 10

    while time.monotonic() < until:
        savers = [each for each in enumerate_threads() if each.name == "storify-saver"]
        if len(savers) == len(_saver._idle):
            break
    assert len(savers) == len(_saver._idle)


# -- planted faults --------------------------------------------------------------------


def plant_cuts(monkeypatch):
    """Let what must not be cut in half run where it is called."""
    monkeypatch.setattr(Session, "run_uncut", lambda session, action: action())
    for name, method in list(vars(FileEngine).items()):
        code = getattr(method, "__code__", None)
        if code is not None and code.co_qualname.startswith("uncut."):
            monkeypatch.setattr(FileEngine, name, method.__wrapped__)


def plant_early_end(monkeypatch):
    """Take changes for durable before they are."""

    def save(session, pending, commit, then):
        if not pending.is_newest():
            return False
        pending.done()
        if is_given_up():
            raise DatabaseLockedError
        if commit is not None:
            session.version = session.engine.commit(commit)
        then()
        return True

    monkeypatch.setattr(Session, "_save", save)


def plant_frozen_base(monkeypatch):
    """Take changes for durable while they are encoded, as was done once."""
    begin = Root.begin_flush

    def begin_flush(root):
        pending = begin(root)
        pending.done()
        pending.is_newest = lambda: True
        pending.done = list
        return pending

    monkeypatch.setattr(Root, "begin_flush", begin_flush)


@pytest.mark.parametrize(
    ("plant", "where"),
    [
        (plant_cuts, "engine/file/vfs.py"),
        (plant_early_end, "threads/_saver.py"),
        (plant_frozen_base, "Session."),
    ],
)
def test_a_planted_fault_is_caught(strike, monkeypatch, plant, where):
    """The control: something is left behind, or a base is too new and a change lost."""
    plant(monkeypatch)

    def is_right(interrupted):
        try:
            return one_of(go_on(interrupted), CASES["flush"].memory)
        except AssertionError:
            return False

    found = [is_right(interrupted) for interrupted in strike("flush", 15, where=where)]

    assert not all(found)
    assert any(found)
