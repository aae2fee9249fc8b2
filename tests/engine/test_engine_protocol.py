"""What every engine promises; a new engine joins `ENGINES` and must pass all."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storify.engine import (
    Commit,
    FileCatalog,
    MemoryCatalog,
    StaleVersionError,
    open_catalog,
    version_of,
)
from storify.exceptions import (
    DatabaseLoadError,
    DatabaseLockedError,
    DatabaseNameError,
    DatabaseReadOnlyError,
)
from storify.logger import Logger

LOG = Logger()


class Clock:
    """Shows what it is set to."""

    def __init__(self):
        self.now = datetime(2026, 11, 23, 5, 41, tzinfo=UTC)

    def __call__(self):
        """The time that was set."""
        return self.now


def file_catalog(directory, clock):
    """Databases in files."""
    return FileCatalog(directory / "data", log=LOG, clock=clock)


def memory_catalog(_directory, clock):
    """Databases in memory."""
    return MemoryCatalog(clock=clock)


ENGINES = [file_catalog, memory_catalog]


@pytest.fixture
def clock():
    """A clock that is set by hand."""
    return Clock()


@pytest.fixture(params=ENGINES)
def catalog(request, tmp_path, clock):
    """A catalog without databases."""
    return request.param(tmp_path, clock)


@pytest.fixture
def engine(catalog):
    """An engine whose database does not exist."""
    return catalog.engine("users")


def parse(payload):
    """Bytes that start with an exclamation mark are no database."""
    if payload.startswith(b"!"):
        msg = "no database"
        raise ValueError(msg)
    return payload.decode()


def put(engine, payload, base=None):
    """Commit a payload."""
    return engine.commit(Commit(base, {}, lambda: payload))


def contents(engine):
    """What the backups hold, newest first."""
    return [engine.read_backup(backup.id) for backup in engine.backups()]


def test_a_database_that_was_never_committed_does_not_exist(engine):
    """Loading it gives None, as often as one likes."""
    assert engine.load(parse) is None
    assert engine.load(parse) is None
    assert not engine.changed_since(None)
    assert engine.backups() == []
    assert engine.backup() is None
    assert engine.set_aside() is None


def test_what_is_committed_is_loaded(engine):
    """The bytes come back with the version that the commit gave."""
    version = put(engine, b"one")

    loaded = engine.load(parse)

    assert (loaded.version, loaded.payload, loaded.value) == (version, b"one", "one")
    assert loaded.recovered_from is None
    assert version == version_of(b"one")


def test_engines_of_one_name_share_the_database(catalog):
    """A second engine sees what the first one committed."""
    one, other = catalog.engine("users"), catalog.engine("users")
    version = put(one, b"one")

    assert other.changed_since(None)
    assert other.load(parse).version == version
    assert not other.changed_since(version)
    assert put(other, b"two", version)
    assert one.changed_since(version)
    assert one.load(parse).value == "two"


def test_a_commit_on_an_old_base_is_refused(engine):
    """It writes nothing and does not ask for the payload."""
    old = put(engine, b"one")
    put(engine, b"two", old)

    def never():
        raise AssertionError

    with pytest.raises(StaleVersionError):
        engine.commit(Commit(old, {}, never))

    assert engine.load(parse).value == "two"


def test_a_commit_that_expects_no_database_is_refused_if_there_is_one(engine):
    """A base of None says that the database does not exist."""
    put(engine, b"one")

    with pytest.raises(StaleVersionError):
        put(engine, b"two")


def test_a_commit_to_a_removed_database_is_refused(catalog):
    """The caller has to learn that it was removed."""
    engine = catalog.engine("users")
    version = put(engine, b"one")
    catalog.remove("users")

    with pytest.raises(StaleVersionError):
        put(engine, b"two", version)

    assert engine.load(parse) is None


def test_a_payload_that_raises_changes_nothing(engine):
    """An error while encoding leaves the state and the lock free."""
    version = put(engine, b"one")

    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.commit(Commit(version, {}, fail))

    assert engine.load(parse).version == version
    assert put(engine, b"two", version)


def test_an_undamaged_state_that_cannot_be_parsed_is_an_error(engine):
    """It is not replaced by an older one."""
    version = put(engine, b"one")
    put(engine, b"!two", version)

    with pytest.raises(DatabaseLoadError, match="no database"):
        engine.load(parse)

    assert engine.load(bytes).value == b"!two"


def test_a_commit_keeps_the_state_before_it(engine):
    """Backups are listed newest first, with times, sizes and contents."""
    version = put(engine, b"one")
    version = put(engine, b"two!", version)
    put(engine, b"three", version)

    backups = engine.backups()

    assert contents(engine) == [b"two!", b"one"]
    assert [backup.size_bytes for backup in backups] == [4, 3]
    assert {backup.kind for backup in backups} == {"snapshot"}
    assert backups[0].time > backups[1].time
    assert backups[0].id in engine.backup_path(backups[0].id)


@pytest.mark.parametrize("step", [0, -3600, 1])
def test_backups_are_ordered_whatever_the_clock_shows(engine, clock, step):
    """A clock that stands still or goes back neither mixes nor loses states."""
    version = None
    for number in range(6):
        version = put(engine, b"%d" % number, version)
        clock.now += timedelta(seconds=step)

    times = [backup.time for backup in engine.backups()]
    assert contents(engine) == [b"4", b"3", b"2", b"1", b"0"]
    assert times == sorted(set(times), reverse=True)


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_only_so_many_backups_are_kept(engine, kept):
    """The oldest go first."""
    engine.max_backups = kept
    version = None
    for number in range(6):
        version = put(engine, b"%d" % number, version)

    assert contents(engine) == [b"4", b"3", b"2"][:kept]


def test_a_backup_can_be_made_at_any_time(engine):
    """The present state joins the backups once."""
    put(engine, b"one")

    made = engine.backup()

    assert engine.backup() == made
    assert [backup.id for backup in engine.backups()] == [made]
    assert engine.read_backup(made) == b"one"


def test_a_state_that_cannot_be_committed_is_kept_apart(engine):
    """It is listed as unsaved, is readable and is not the state."""
    version = put(engine, b"one")

    where = engine.save_unsaved(b"mine")

    (backup,) = engine.backups()
    assert backup.kind == "unsaved"
    assert engine.read_backup(backup.id) == b"mine"
    assert backup.id in where
    assert engine.load(parse).version == version


def test_unsaved_states_are_never_pruned(engine):
    """Only their owner deletes them."""
    version = put(engine, b"one")
    engine.save_unsaved(b"a")
    engine.save_unsaved(b"b")
    engine.max_backups = 1
    for number in range(4):
        version = put(engine, b"%d" % number, version)

    assert sorted(contents(engine)) == [b"2", b"a", b"b"]


@pytest.mark.parametrize("bad", ["", "nope", "../users", "20261123T054100.000000Z"])
def test_an_unknown_backup_is_a_missing_file(engine, bad):
    """No id leads out of the backups."""
    put(engine, b"one")

    with pytest.raises(FileNotFoundError):
        engine.read_backup(bad)
    with pytest.raises(FileNotFoundError):
        engine.backup_path(bad)


def test_a_destroyed_database_leaves_its_last_state_in_the_backups(engine):
    """A new database of the same name starts from nothing."""
    put(engine, b"one")

    engine.destroy()

    assert engine.load(parse) is None
    assert contents(engine) == [b"one"]
    assert put(engine, b"new")
    engine.destroy()
    engine.destroy()
    assert contents(engine) == [b"new", b"one"]


def test_destroy_can_erase_the_backups_too(engine):
    """Nothing is left."""
    put(engine, b"two", put(engine, b"one"))

    engine.destroy(backups=True)

    assert engine.load(parse) is None
    assert engine.backups() == []


def test_a_state_that_is_set_aside_makes_room_for_a_new_one(engine):
    """The database does not exist afterwards."""
    put(engine, b"!one")

    where = engine.set_aside()

    assert where
    assert engine.load(parse) is None
    assert put(engine, b"new")


def test_a_readonly_engine_refuses_every_change(catalog):
    """It loads, and says so."""
    put(catalog.engine("users"), b"one")
    engine = catalog.engine("users", readonly=True)
    version = engine.load(parse).version

    for change in (
        lambda: put(engine, b"two", version),
        engine.backup,
        engine.set_aside,
        engine.destroy,
    ):
        with pytest.raises(DatabaseReadOnlyError):
            change()
    with pytest.raises(DatabaseReadOnlyError), engine.locked():
        pass
    assert not engine.writable()
    assert engine.load(parse).value == "one"


def test_a_lock_keeps_other_threads_out_until_it_is_released(catalog):
    """The holder goes on working; the others time out."""
    one = catalog.engine("users")
    catalog._lock_timeout_s = 0.02
    other = catalog.engine("users")
    version = put(one, b"one")
    errors = []

    def intrude():
        try:
            put(other, b"intruder", version)
        except DatabaseLockedError as err:
            errors.append(err)

    with one.locked(), one.locked():
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
        version = put(one, b"two", version)

    assert len(errors) == 1
    assert put(other, b"three", version)


def test_concurrent_increments_lose_nothing(catalog):
    """Threads with engines of their own count to the sum of their steps."""
    put(catalog.engine("users"), b"0")

    def work():
        engine = catalog.engine("users")
        for _ in range(10):
            with engine.locked():
                loaded = engine.load(parse)
                put(engine, b"%d" % (int(loaded.value) + 1), loaded.version)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert catalog.engine("users").load(parse).value == "40"


def test_close_may_be_called_twice(engine):
    """It releases what is held."""
    put(engine, b"one")

    engine.close()
    engine.close()


def test_an_engine_and_its_catalog_say_where_they_are(catalog, engine):
    """For messages."""
    assert "users" in engine.location
    assert catalog.location
    assert engine.writable()


def test_engines_of_one_database_have_one_identity(catalog):
    """So that a program can tell that it has it open already."""
    one = catalog.engine("users")

    assert one.identity == catalog.engine("users").identity
    assert one.identity != catalog.engine("others").identity
    assert "backups" in one.backup_location


# Catalogs


def test_the_place_of_a_catalog_can_be_made_before_a_commit(catalog):
    """Twice is fine, and there is no database in it."""
    catalog.create()
    catalog.create()

    assert catalog.names() == []


def test_a_catalog_lists_what_was_committed(catalog):
    """An engine alone makes no database."""
    catalog.engine("empty")
    put(catalog.engine("b"), b"1")
    put(catalog.engine("a"), b"1")

    assert catalog.names() == ["a", "b"]
    assert catalog.exists("a")
    assert not catalog.exists("empty")


def test_a_renamed_database_takes_its_backups_along(catalog):
    """The old name is free, and an engine of it finds its database removed."""
    old = catalog.engine("users")
    version = put(old, b"two", put(old, b"one"))

    catalog.rename("users", "people")

    new = catalog.engine("people")
    assert catalog.names() == ["people"]
    assert new.load(parse).version == version
    assert contents(new) == [b"one"]
    assert catalog.engine("users").backups() == []
    with pytest.raises(StaleVersionError):
        put(old, b"three", version)
    assert put(old, b"fresh")
    assert catalog.names() == ["people", "users"]


def test_rename_overwrites_nothing(catalog):
    """Both databases stay as they were."""
    put(catalog.engine("a"), b"1")
    put(catalog.engine("b"), b"2")

    with pytest.raises(FileExistsError):
        catalog.rename("a", "b")
    with pytest.raises(FileExistsError):
        catalog.rename("a", "a")

    assert catalog.engine("a").load(parse).value == "1"
    assert catalog.engine("b").load(parse).value == "2"


def test_rename_and_remove_need_a_database(catalog):
    """A missing one is a missing file."""
    with pytest.raises(FileNotFoundError):
        catalog.rename("a", "b")
    with pytest.raises(FileNotFoundError):
        catalog.remove("a")


def test_a_removed_database_keeps_its_backups(catalog):
    """They are found under its name."""
    put(catalog.engine("users"), b"one")

    catalog.remove("users")

    assert not catalog.exists("users")
    assert contents(catalog.engine("users")) == [b"one"]


def test_a_name_may_change_its_case(catalog):
    """It collides with itself only."""
    put(catalog.engine("users"), b"one")

    catalog.rename("users", "Users")

    assert catalog.names() == ["Users"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 300, "nul.txt"])
def test_every_method_checks_names(catalog, name):
    """A bad name is refused wherever it is given."""
    put(catalog.engine("a"), b"1")

    for use in (
        catalog.engine,
        catalog.exists,
        catalog.remove,
        lambda bad: catalog.rename(bad, "b"),
        lambda bad: catalog.rename("a", bad),
    ):
        with pytest.raises(DatabaseNameError):
            use(name)


@pytest.mark.parametrize(
    ("name", "other"), [("users", "Users"), ("é", "É"), ("straße", "STRASSE")]
)
def test_a_new_name_must_differ_by_more_than_case(catalog, name, other):
    """Some file system would take the two for one."""
    put(catalog.engine(name), b"1")

    with pytest.raises(DatabaseNameError, match="case"):
        catalog.engine(other)
    put(catalog.engine("c"), b"2")
    with pytest.raises(DatabaseNameError, match="case"):
        catalog.rename("c", other)


def test_both_normal_forms_of_a_name_mean_one_database(catalog):
    """A name typed on another keyboard finds the same data."""
    put(catalog.engine("caf\u00e9"), b"1")

    assert catalog.engine("cafe\u0301").load(parse).value == "1"
    assert catalog.exists("cafe\u0301")


def test_memory_catalogs_are_private_unless_they_have_a_name():
    """A named one lives as long as somebody has it."""
    private, shared = open_catalog("memory://", LOG), open_catalog("memory://x", LOG)
    put(private.engine("a"), b"1")
    put(shared.engine("a"), b"1")

    assert open_catalog("memory://", LOG).names() == []
    assert open_catalog("memory://x", LOG).names() == ["a"]
    assert shared.engine("a").location == "memory://x/a"
    del shared
    assert open_catalog("memory://x", LOG).names() == []


def test_a_folder_opens_as_files_and_unknown_urls_not_at_all(tmp_path):
    """A typo in a URL does not become a folder."""
    assert open_catalog(tmp_path, LOG).location == str(tmp_path)
    with pytest.raises(ValueError, match="no engine for 'postgresql'"):
        open_catalog("postgresql://host/db", LOG)


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["commit", "backup", "destroy", "reopen"]),
            st.binary(min_size=1, max_size=20),
        ),
        max_size=12,
    ),
    which=st.sampled_from(ENGINES),
)
def test_an_engine_behaves_like_a_variable(tmp_path_factory, steps, which):
    """Any sequence of operations leaves the state that was set last."""
    catalog = which(tmp_path_factory.mktemp("law"), Clock())
    engine = catalog.engine("users")
    expected = None

    for step, payload in steps:
        if step == "commit":
            base = None if expected is None else version_of(expected)
            put(engine, payload, base)
            expected = payload
        elif step == "destroy":
            engine.destroy()
            expected = None
        elif step == "backup":
            engine.backup()
        else:
            engine = catalog.engine("users")

        loaded = engine.load(bytes)
        assert (None if loaded is None else loaded.payload) == expected
        assert not engine.changed_since(None if loaded is None else loaded.version)
