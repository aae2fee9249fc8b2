"""Older states: looking at them, comparing, going back."""

from datetime import UTC, datetime, timedelta

import pytest

from stand_ins import Log
from storify import DatabaseLoadError, Keep, MisdatedError, Model, Storify
from storify.database import Database
from storify.database._schema import Schema, Use
from storify.database.session.saving import Saving
from storify.engine import MemoryEngine


class User(Model):
    """A declared model."""

    name: str
    tags: list[str] = []


class Hours:
    """A clock that strikes an hour with each commit."""

    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        """Give the time, an hour after the last one."""
        self.now += timedelta(hours=1)
        return self.now


def at(hour):
    """The time of a commit."""
    return datetime(2026, 1, 1, hour, tzinfo=UTC)


def open_db(engine, root=None, **use):
    """Open a database over an engine."""
    schema = engine.schema
    return Database._over(
        "d", engine, schema, schema.models, root, Use(**use), Saving()
    )


@pytest.fixture
def engine():
    """An engine with a clock of its own."""
    schema = Schema([User], [], Log())
    engine = MemoryEngine("d", root_format=schema.codec, clock=Hours(), keep=50)
    engine.schema = schema
    return engine


@pytest.fixture
def db(engine):
    """A database with four states, an hour apart."""
    db = open_db(engine)
    db.update(a=[1], b=2, c=User("Ann", ["x"]))
    db.flush()
    db["a"].append(2)
    db.flush()
    del db["b"]
    db["d"] = 4
    db.flush()
    db["c"].name = "Bea"
    db.flush()
    yield db
    if not db.defunct:
        db.close(discard=True)


def test_an_older_state_is_restored_in_place(db, engine):
    """It is durable on return, in its order, and objects held are live."""
    a, c = db["a"], db["c"]
    first = db.backups.list[-1]

    changed = db.backups.restore(first)

    assert changed == {"a", "b", "c", "d"}
    assert list(db.items()) == [("a", [1]), ("b", 2), ("c", User("Ann", ["x"]))]
    assert db["a"] is a
    assert db["c"] is c
    assert db.dirty() == set()
    again = open_db(engine)
    assert list(again.items()) == list(db.items())


def test_restoring_flushes_first_so_that_it_can_be_undone(db):
    """The state before is a backup, unsaved changes included."""
    db["unsaved"] = 1

    db.backups.restore(at(1))
    gone = "unsaved" not in db
    db.backups.restore(db.backups.latest)

    assert gone
    assert db["unsaved"] == 1
    assert db["c"] == User("Bea", ["x"])


def test_some_keys_are_restored(db):
    """One that was not there then is deleted, the others stay."""
    changed = db.backups.restore(at(1), keys=["b", "d"])

    assert changed == {"b", "d"}
    assert db.data == {"a": [1, 2], "c": User("Bea", ["x"]), "b": 2}


def test_an_unknown_key_is_a_key_error(db):
    """Nothing is restored then."""
    with pytest.raises(KeyError, match="nowhere"):
        db.backups.restore(at(1), keys=["b", "nowhere"])

    assert "b" not in db


def test_restoring_what_is_there_writes_nothing(db):
    """No backup is made of it."""
    before = db.backups.list

    changed = db.backups.restore(datetime.now(UTC))

    assert changed == set()
    assert db.backups.list == before


def test_keys_of_a_list_cannot_be_restored(engine):
    """All of it can."""
    db = open_db(engine, root=[1])
    db.flush()
    db.append(2)
    db.flush()
    data = db.data

    with pytest.raises(TypeError, match="list"):
        db.backups.restore(at(1), keys=[0])
    changed = db.backups.restore(at(1))

    assert changed == {None}
    assert db.data is data
    assert data == [1]
    db.close()


def test_the_difference_to_an_older_state(db):
    """Unsaved changes count; a key that moved did not change."""
    db["unsaved"] = 1
    db["a"] = db.pop("a")

    diff = db.backups.diff(at(1))

    assert diff.added == {"unsaved", "d"}
    assert diff.removed == {"b"}
    assert diff.changed == {"a", "c"}
    assert db.dirty() >= {"unsaved"}


def test_the_difference_of_a_list(engine):
    """It has no keys."""
    db = open_db(engine, root=[1])
    db.flush()
    db.append(2)

    assert db.backups.diff(at(1)) == (set(), set(), {None})
    db.close()


def test_a_past_state_can_be_opened(db):
    """It is a read-only database with the same classes."""
    past = db.at(at(2))

    assert past.data == {"a": [1, 2], "b": 2, "c": User("Ann", ["x"])}
    assert past.readonly
    with pytest.raises(PermissionError):
        past["a"] = 1
    assert db.at(at(4)).data == db.data
    assert db.at(datetime.now(UTC)).data == db.data


def test_what_is_unsaved_is_in_no_past(db):
    """Only what was committed counts."""
    db["unsaved"] = 1

    assert "unsaved" not in db.at(datetime.now(UTC))


def test_a_time_before_all_states_is_an_error(db):
    """So is one whose state is not kept."""
    with pytest.raises(FileNotFoundError):
        db.at(at(1) - timedelta(minutes=1))


def test_a_time_at_which_the_clock_was_wrong_is_an_error(db, engine):
    """By its id each state is there."""
    right = engine._clock.now
    engine._clock.now += timedelta(days=365)
    db["a"] = "ahead"
    db.flush()
    ahead = db.backups.backup()
    engine._clock.now = right + timedelta(hours=1)

    for use in (db.at, db.backups.restore, db.backups.diff):
        for time in (right + timedelta(minutes=1), engine._clock.now):
            with pytest.raises(MisdatedError, match=r"db\.backups\.list"):
                use(time)
    db["a"] = "after"
    db.flush()
    later = engine._clock.now

    assert db.at(later)["a"] == "after"
    assert db.at(at(4))["a"] == [1, 2]
    assert db.backups.restore(ahead, keys=["a"]) == {"a"}
    assert db["a"] == "ahead"


def test_a_time_whose_state_was_dropped_is_an_error(db):
    """The one before it was not there any more then."""
    db.backups.keep = Keep(1, daily=2)
    for number in range(30):
        db["a"] = number
        db.flush()

    assert len(db.backups.list) == 2
    assert db.at(datetime(2026, 1, 2, 10, tzinfo=UTC))["a"] == 29
    assert db.at(at(23))["a"] == 18
    with pytest.raises(FileNotFoundError):
        db.at(datetime(2026, 1, 2, 2, tzinfo=UTC))


def test_a_time_needs_a_zone(db):
    """A naive one could mean any hour."""
    for use in (db.at, db.backups.restore, db.backups.diff):
        with pytest.raises(ValueError, match="time zone"):
            use(datetime(2026, 1, 1, 2))  # noqa: DTZ001 - the point


def test_a_read_only_database_is_not_restored(db, engine):
    """Looking is allowed."""
    reader = open_db(engine, readonly=True)

    with pytest.raises(PermissionError):
        reader.backups.restore(at(1))

    assert reader.backups.diff(at(3)).changed == {"c"}
    assert reader.at(at(1))["b"] == 2
    reader.close(discard=True)


def test_what_is_kept_can_be_set(db):
    """A number, or a policy; max_backups is the first number of it."""
    db.backups.keep = 3
    number = db.backups.keep
    db.backups.keep = Keep(last=2, daily=7)
    db.backups.max_backups = 4

    assert number == Keep(last=3)
    assert db.backups.keep == Keep(last=4, daily=7)
    with pytest.raises(ValueError, match="negative"):
        db.backups.keep = -1


def test_a_storify_says_what_is_kept():
    """Each of its databases begins with that."""
    sf = Storify("memory://", save_interval=None, keep=Keep(last=3, hourly=24))

    assert sf.get_db("d").backups.keep == Keep(last=3, hourly=24)


def test_backups_can_be_verified_and_erased(db):
    """Nothing is wrong; after purging nothing is there but the present state."""
    problems = db.backups.verify()
    db.backups.purge()

    assert problems == []
    assert db.backups.list == []
    assert db["d"] == 4


@pytest.mark.files("a journal is a file")
def test_a_commit_in_a_journal_is_restored_but_not_loaded(root):
    """Its path is the journal's; the error says what to do."""
    db = Storify(root, save_interval=None).get_db("d")
    db.update({f"k{number}": "x" * 2000 for number in range(1000)})
    db.flush()
    for step in range(3):
        db["k1"] = step
        db.flush()
    newest = db.backups.latest
    path = db.backups.get_path_of_backup(newest)

    with pytest.raises(DatabaseLoadError, match=r"db\.backups\.restore\(id\)"):
        db.load(path)
    with pytest.raises(DatabaseLoadError, match="a journal holds changes"):
        db.unpack(path)

    assert path == f"{db.path}.journal"
    assert db["k1"] == 2
    db.backups.restore(newest)
    assert db["k1"] == 1
    db.close()


@pytest.mark.files("a journal is a file")
def test_another_file_that_is_no_database_is_not_called_a_journal(root):
    """The error names the file."""
    db = Storify(root, save_interval=None).get_db("d")
    path = root / "other.mpack"
    path.write_bytes(b"no database")

    with pytest.raises(DatabaseLoadError, match=r"other\.mpack'") as caught:
        db.unpack(path)

    assert "journal" not in str(caught.value)
