"""Stored records are rewritten in the present form of their classes."""

from pathlib import Path

import pytest

from faults.database import without_syncs
from faults.sampling import sample
from places import version
from stand_ins import Log
from storify import (
    Database,
    DatabaseClosedError,
    DatabaseReadOnlyError,
    Model,
    Storify,
    TransactionError,
    Unloaded,
    extras,
    field,
    migration,
)
from storify.engine import Commit
from storify.testing._disk import Fault, Killed, injected


class OldUser(Model, keyname="__User__"):
    """The class as it was."""

    name: str
    age: str = "0"
    flag: bool = True


class User(Model, version=1, dropped=["flag"]):
    """The class of today: migrated, renamed, retyped, dropped and added to."""

    name: str
    years: int = field(was="age", default=0, upgrade=int)
    email: str | None = None

    @migration(0)
    @staticmethod
    def _shout(fields):
        fields["name"] = fields["name"].upper()


#: The stored form of ``OldUser("ann", "7")`` today.
TODAY = {"name": "ANN", "years": 7, "email": None, "_v": 1}


class Touchy(Model):
    """A class that can be read, but not always written."""

    def __init__(self, note=""):
        self.note = note

    def _to_dict(self):
        if self.note == "unwritable":
            raise LookupError
        return {"note": self.note}


def old(anywhere: str | Path, name: str = "users", count: int = 3) -> None:
    """Save a database of a former program."""
    with Storify(anywhere, save_interval=None, models=[OldUser]) as sf:
        sf.get_db(name).update({f"u{i}": OldUser("ann", "7") for i in range(count)})


def stored(anywhere: str | Path, name: str = "users") -> dict[str, object]:
    """What the file holds, with no class known."""
    with Storify(anywhere, save_interval=None, log=Log()) as sf:
        return {key: dict(value) for key, value in sf.get_db(name).items()}


def durable(db: Database) -> dict[bytes, bytes]:
    """The entries as bytes."""
    return db._session.durable()


@pytest.fixture
def log():
    """What is told to the owner of the data."""
    return Log()


@pytest.fixture
def sf(anywhere, log):
    """A program of today over databases that exist."""
    old(anywhere)
    with Storify(anywhere, save_interval=None, models=[User], log=log) as sf:
        yield sf


def test_records_are_stored_as_they_would_be_if_they_were_changed(sf, anywhere):
    """Versions, new and old names, other types and retired names: all of today."""
    count = sf["users"].migrate()

    assert count == 3
    assert stored(anywhere) == {f"u{i}": {"__User__": TODAY} for i in range(3)}


def test_what_is_in_the_present_form_is_not_written(sf):
    """A second migration finds nothing to do, and commits nothing."""
    db = sf["users"]
    db["new"] = User("bob")
    assert db.migrate() == 3
    version, backups = db._session.version, db.backups.list

    assert db.migrate() == 0
    assert db._session.version == version
    assert db.backups.list == backups


@pytest.mark.parametrize("count", [3, 4000], ids=["small", "large"])
@pytest.mark.parametrize("journal", [False, True], ids=["whole", "journal"])
def test_the_state_before_is_a_restore_point(anywhere, count, journal):
    """The newest backup is byte for byte what was there before."""
    old(anywhere, count=count)
    settings = {"save_interval": None, "models": [User], "journal": journal}
    with Storify(anywhere, **settings) as sf:
        db = sf["users"]
        db["u0"].years = 70  # flushed first: the state before has it
        before = durable(db) | db._schema.codec.encode_items({"u0": db["u0"]})
        assert db.migrate() == count - 1
        after = durable(db)

    with Storify(anywhere, **settings) as sf:
        db = sf["users"]
        db.backups.restore(db.backups.latest)
        assert durable(db) == before
        assert db.migrate() == count - 1
        assert durable(db) == after


def test_a_few_records_of_many_are_one_small_commit_that_can_be_undone(anywhere, log):
    """In a large database the change is journaled, and the state before kept."""
    with Storify(anywhere, save_interval=None, models=[User], log=log) as sf:
        sf["users"].update({i: User("BOB", i) for i in range(9000)})
        sf["users"].flush()
    with Storify(anywhere, save_interval=None, models=[OldUser], log=log) as other:
        other["users"]["late"] = OldUser("ann", "7")
        other["users"].flush()
        before = durable(other["users"])
    with Storify(anywhere, save_interval=None, models=[User], log=log) as sf:
        db = sf["users"]

        assert db.migrate() == 1

        assert db["late"] == User("ANN", 7)
        kept = db.backups.latest
    with Storify(anywhere, save_interval=None, models=[User], log=log) as sf:
        sf["users"].backups.restore(kept)
        assert durable(sf["users"]) == before


def test_live_objects_stay_live(sf):
    """An object that was read before is the one that is saved afterwards."""
    db = sf["users"]
    user = db["u0"]

    db.migrate()
    user.years = 8

    assert db["u0"] is user
    assert db.dirty() == {"u0"}


def test_unknown_names_stay(anywhere, log):
    """What a newer program added to a record survives the migration."""

    class Newer(OldUser, keyname="__User__"):
        nick: str = "a"

    with Storify(anywhere, save_interval=None, models=[Newer]) as sf:
        sf["users"]["u"] = Newer("ann")
    with Storify(anywhere, save_interval=None, models=[User], log=log) as sf:
        assert sf["users"].migrate() == 1
        assert extras(sf["users"]["u"]) == {"nick": "a"}

    assert stored(anywhere)["u"]["__User__"]["nick"] == "a"


def test_what_does_not_fit_stays_byte_for_byte(anywhere):
    """Unreadable and unwritable records stay, the others go, and the log tells."""
    with Storify(anywhere, save_interval=None, models=[OldUser], log=Log()) as sf:
        db = sf["users"]
        db["good"] = OldUser("ann", "7")
        db["short"] = Unloaded({"__User__": {"age": "7"}})  # a name is required
        db["unwritable"] = Unloaded({"__Touchy__": {"note": "unwritable"}})
        db.flush()
        # As a later release might: deeper than this one reads.
        key, value = sf._schema.codec.encode("deep"), b"\x91" * 1000 + b"\xc0"
        db._session.engine.commit(Commit(db._session.version, [(key, value)]))
    log = Log()
    with Storify(anywhere, save_interval=None, models=[User, Touchy], log=log) as sf:
        db = sf["users"]
        before = durable(db)

        assert db.migrate() == 1

        after = durable(db)
        changed = {key for key in before if before[key] != after[key]}
        assert changed == {sf._schema.codec.encode("good")}
    assert any(
        "'users'" in line and "3 do not fit their classes" in line
        for line in log.warnings
    )


def test_records_of_unregistered_classes_stay_and_are_counted(anywhere, log):
    """Without the class nothing is known of the form, so nothing is touched."""
    old(anywhere)
    with Storify(anywhere, save_interval=None, log=log) as sf:
        before = durable(sf["users"])

        assert sf["users"].migrate() == 0

        assert durable(sf["users"]) == before
    assert any("3 are of classes that are not registered" in s for s in log.warnings)


def test_memory_that_runs_out_is_no_misfit(sf, monkeypatch):
    """It is raised: the record may be fine."""
    db = sf["users"]

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(sf._schema.codec, "decode_all", fail)
    monkeypatch.setattr(sf._schema.codec, "decode", fail)

    with pytest.raises(MemoryError):
        db.migrate()


def test_a_list_root_is_one_record(anywhere, log):
    """A list is rewritten whole."""
    with Storify(anywhere, save_interval=None, models=[OldUser]) as sf:
        sf.get_db("log", root=[]).append(OldUser("ann", "7"))
    with Storify(anywhere, save_interval=None, models=[User], log=log) as sf:
        db = sf["log"]

        assert db.migrate() == 1
        assert list(db) == [User("ANN", 7)]
        assert db.migrate() == 0


def test_progress_is_told_batch_by_batch(anywhere, log):
    """It counts up to the number of records."""
    old(anywhere, count=2500)
    seen = []
    with Storify(anywhere, save_interval=None, models=[User], log=log) as sf:
        sf["users"].migrate(lambda done, total: seen.append((done, total)))

    assert [total for _, total in seen] == [2500] * len(seen)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert len(seen) > 1
    assert seen[-1] == (2500, 2500)


def test_a_dry_run_counts_and_writes_nothing(anywhere, log):
    """It works on a database that is opened read-only, too."""
    old(anywhere)
    before = version(anywhere, "users")
    with Storify(anywhere, save_interval=None, models=[User], log=log) as sf:
        db = sf.get_db("users", readonly=True)

        assert db.migrate(dry_run=True) == 3
        assert sf.migrate(dry_run=True) == {"users": 3}
        with pytest.raises(DatabaseReadOnlyError):
            db.migrate()

    assert version(anywhere, "users") == before


def test_it_is_refused_inside_a_transaction_and_after_closing(sf):
    """It would end the one, and the other has no data."""
    db = sf["users"]

    with db.transaction(), pytest.raises(TransactionError):
        db.migrate()
    db.close()
    with pytest.raises(DatabaseClosedError):
        db.migrate()


def test_what_others_commit_meanwhile_is_kept_and_rewritten(sf, anywhere):
    """A writer that is faster is caught up with, and then kept out."""
    db = sf["users"]
    with Storify(anywhere, save_interval=None, models=[OldUser], log=Log()) as other:
        theirs = other["users"]
        commits = iter([True])

        def meanwhile(_done, _total):
            if next(commits, False):
                theirs["late"] = OldUser("ann", "7")
                del theirs["u0"]
                theirs.flush()

        count = db.migrate(meanwhile)

        assert count == 3
        assert db["late"] == User("ANN", 7)
        assert "u0" not in db
        other["users"].close(discard=True)
    assert stored(anywhere) == {
        key: {"__User__": TODAY} for key in ("u1", "u2", "late")
    }


def test_what_is_changed_here_meanwhile_is_saved_by_the_next_flush(sf, anywhere):
    """A change during the migration is neither lost nor a conflict."""
    db = sf["users"]
    user = db["u0"]

    def meanwhile(_done, _total):
        user.years = 99

    db.migrate(meanwhile)
    assert db["u0"].years == 99
    db.flush()

    assert stored(anywhere)["u0"] == {"__User__": TODAY | {"years": 99}}


def test_all_databases_of_a_folder_are_migrated(sf, anywhere):
    """What is open stays open, what is not is closed again."""
    old(anywhere, "more", count=2)
    users = sf["users"]

    assert sf.migrate() == {"more": 2, "users": 3}

    assert sf.get_loaded_db("users") is users
    assert sf.get_loaded_db("more") is None
    assert sf.migrate() == {"more": 0, "users": 0}


def test_what_was_interrupted_is_finished_by_the_next_call(sf, anywhere):
    """A database is rewritten whole or not at all; the second call does the rest."""
    for name in ("a", "b", "c"):
        old(anywhere, name)
    databases = iter(range(9))

    def interrupt(_done, _total):
        if next(databases) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sf.migrate(interrupt)

    assert stored(anywhere, "a")["u0"] == {"__User__": TODAY}
    assert stored(anywhere, "b")["u0"] != {"__User__": TODAY}
    assert sf.migrate() == {"a": 0, "b": 3, "c": 3, "users": 3}


@pytest.mark.crash
@pytest.mark.parametrize("journal", [False, True], ids=["whole", "journal"])
@pytest.mark.parametrize("what", ["kill", "tear"])
def test_a_crash_leaves_all_records_old_or_all_new(tmp_path, what, journal):
    """Whichever call of the disk is the last, a new program finds no mix."""

    def run(folder: Path, at: int) -> Fault:
        old(folder)
        engine_log = Log()
        sf = Storify(
            folder, save_interval=None, models=[User], log=engine_log, journal=journal
        )
        db = sf["users"]
        with injected(Fault(at, what)) as fault:
            try:
                db.migrate()
            except Killed:
                pass
            else:
                assert not fault.struck
        db.close(discard=True)
        return fault

    with without_syncs():
        good = run(tmp_path / "good", 10_000)
        steps = list(range(1, good.count + 1))
        assert len(steps) > 3
        found = set()
        for at in sample(steps, 10, what, journal):
            folder = tmp_path / str(at)
            run(folder, at)
            records = stored(folder)
            forms = {record == {"__User__": TODAY} for record in records.values()}
            assert len(records) == 3
            assert len(forms) == 1, at
            found |= forms
            with Storify(folder, save_interval=None, models=[User], log=Log()) as sf:
                assert sf.migrate() == {"users": 0 if forms == {True} else 3}
        assert found == {False, True}
