"""What every engine promises; a new engine joins `ENGINES` and must pass all."""

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pg_servers as servers
from faults.database import FORMAT, entries_of, present, whole_of
from storify.engine import (
    Commit,
    FileCatalog,
    Keep,
    MemoryCatalog,
    StaleVersionError,
    apply,
    open_catalog,
)
from storify.exceptions import (
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
    """Databases in files that are written whole at each commit."""
    return FileCatalog(directory / "data", root_format=FORMAT, log=LOG, clock=clock)


def journal_catalog(directory, clock):
    """Databases in files with a journal each."""
    return FileCatalog(
        directory / "data",
        root_format=FORMAT,
        log=LOG,
        clock=clock,
        sync="interval",
    )


def memory_catalog(_directory, clock):
    """Databases in memory."""
    return MemoryCatalog(root_format=FORMAT, clock=clock)


def postgres_catalog(_directory, clock):
    """Databases on a server, in a schema of their own."""
    return servers.catalog(root_format=FORMAT, clock=clock)


ENGINES = [file_catalog, journal_catalog, memory_catalog, postgres_catalog]
#: Those whose older states are whole ones, each counted by the policy.
WHOLE = [file_catalog, memory_catalog, postgres_catalog]


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


KEY = FORMAT.encode("value")


def put(engine, value, base=None, **options):
    """Commit a value under the one key."""
    return engine.commit(Commit(base, [(KEY, FORMAT.encode(value))], **options))


def value_in(payload):
    """What `put` has committed."""
    return FORMAT.decode_root(payload)["value"]


def read(engine):
    """What `put` has committed last; None if nothing."""
    loaded = present(engine)
    return None if loaded is None else value_in(whole_of(loaded))


def contents(engine):
    """What the backups hold, newest first."""
    return [value_in(whole_of(engine.state(backup.id))) for backup in engine.backups()]


def test_a_database_that_was_never_committed_does_not_exist(engine):
    """Loading it gives None, as often as one likes."""
    assert present(engine) is None
    assert present(engine) is None
    assert not engine.changes_since(None)
    assert engine.backups() == []
    assert engine.backup() is None
    assert engine.set_aside() is None
    assert engine.verify() == []
    assert engine.salvage() is None
    engine.purge()
    engine.close()
    with pytest.raises(FileNotFoundError):
        whole_of(engine.state(datetime(2030, 1, 1, tzinfo=UTC)))


def test_what_is_committed_is_loaded(engine):
    """The bytes come back with the version that the commit gave."""
    version = put(engine, "one")

    loaded = present(engine)

    assert (loaded.version, whole_of(loaded)) == (
        version,
        FORMAT.encode({"value": "one"}),
    )
    assert loaded.recovered_from is None


def test_bytes_that_no_format_knows_come_back_as_they_are(engine):
    """An engine that has written them does not decode them."""
    no_text = b"\xa1\xff"
    version = engine.commit(Commit(None, [(no_text, no_text)]))
    engine.commit(Commit(version, [(KEY, b"\x01")]))

    assert entries_of(present(engine)) == {no_text: no_text, KEY: b"\x01"}


def test_engines_of_one_name_share_the_database(catalog):
    """A second engine sees what the first one committed."""
    one, other = catalog.engine("users"), catalog.engine("users")
    version = put(one, "one")

    assert other.changes_since(None)
    assert present(other).version == version
    assert not other.changes_since(version)
    assert put(other, "two", version)
    assert one.changes_since(version)
    assert read(one) == "two"


def test_a_commit_on_an_old_base_is_refused(engine):
    """It writes nothing and does not ask for the root."""
    old = put(engine, "one")
    put(engine, "two", old)

    def never():
        raise AssertionError

    with pytest.raises(StaleVersionError):
        put(engine, "three", old, whole=never)

    assert read(engine) == "two"


def test_a_commit_that_expects_no_database_is_refused_if_there_is_one(engine):
    """A base of None says that the database does not exist."""
    put(engine, "one")

    with pytest.raises(StaleVersionError):
        put(engine, "two")


def test_a_commit_to_a_removed_database_is_refused(catalog):
    """The caller has to learn that it was removed."""
    engine = catalog.engine("users")
    version = put(engine, "one")
    catalog.remove("users")

    with pytest.raises(StaleVersionError):
        put(engine, "two", version)

    assert present(engine) is None
    assert engine.changes_since(version).version is None


# Changes and news


def test_changes_take_place_in_order(engine):
    """A set key keeps its place; one that is deleted and set again goes last."""
    keys = [FORMAT.encode(key) for key in ("a", "b", "c")]
    version = engine.commit(Commit(None, [(key, b"\x01") for key in keys]))

    version = engine.commit(Commit(version, [(keys[1], b"\x02")]))
    assert list(entries_of(present(engine))) == keys
    version = engine.commit(Commit(version, [(keys[0], None), (keys[0], b"\x03")]))
    assert list(entries_of(present(engine))) == [keys[1], keys[2], keys[0]]
    engine.commit(Commit(version, [(keys[2], None), (keys[2], b"\x04")], compact=True))

    assert entries_of(present(engine)) == {
        keys[1]: b"\x02",
        keys[0]: b"\x03",
        keys[2]: b"\x04",
    }


def test_a_key_that_is_not_there_can_be_deleted(engine):
    """As another writer may have done."""
    version = put(engine, "one")

    engine.commit(Commit(version, [(FORMAT.encode("other"), None)]))

    assert read(engine) == "one"


def test_a_root_without_keys_and_one_with_keys_exclude_each_other(engine):
    """The later one holds."""
    version = engine.commit(Commit(None, [(b"", b"\x92\x01\x02")]))
    assert whole_of(present(engine)) == b"\x92\x01\x02"

    version = put(engine, "one", version)
    assert read(engine) == "one"
    engine.commit(Commit(version, [(b"", b"\x90")]))

    assert whole_of(present(engine)) == b"\x90"


@pytest.mark.parametrize("compact", [False, True])
def test_news_are_the_changes_since(catalog, compact):
    """Those of one commit, across a fold too."""
    one, other = catalog.engine("users"), catalog.engine("users")
    old = put(one, "one")
    assert present(other).version == old
    new = put(one, "two", old, compact=compact)

    news = other.changes_since(old)

    assert news.version == new
    assert list(news.changes) == [(KEY, FORMAT.encode("two"))]
    assert other.changes_since(new) is None
    assert one.changes_since(new) is None
    assert put(other, "three", new)


@pytest.mark.parametrize("catalog", [journal_catalog, memory_catalog], indirect=True)
def test_news_of_several_commits_come_in_order(catalog):
    """Those after the last look alone."""
    one, other = catalog.engine("users"), catalog.engine("users")
    first = put(one, "one")
    assert present(other).version == first
    second = put(one, "two", first)
    assert other.changes_since(first).version == second
    third = put(one, "three", second)
    fourth = put(one, "four", third)

    later, all_ = other.changes_since(second), other.changes_since(first)

    values = [FORMAT.encode(each) for each in ("two", "three", "four")]
    assert list(later.changes) == [(KEY, value) for value in values[1:]]
    assert later.version == all_.version == fourth
    if all_.changes is not None:  # it was known once, and need not be still
        assert list(all_.changes) == [(KEY, value) for value in values]


def test_news_of_a_state_that_came_back_are_what_is_new(catalog):
    """Files that are as they were before lead from it to what came after."""
    one, other = catalog.engine("users"), catalog.engine("users")
    first = put(one, "one")
    second = put(one, "two", first)
    assert present(other).version == second
    third = put(one, "one", second)
    for _ in range(2):
        third = one.commit(Commit(third, [], compact=True))

    news = other.changes_since(second)

    assert news.version == third
    if news.changes is not None:
        assert list(news.changes) == [(KEY, FORMAT.encode("one"))]
    assert read(other) == "one"


def test_news_of_a_database_that_was_made_anew_are_a_whole_load(catalog):
    """Nothing leads from the one to the other."""
    one, other = catalog.engine("users"), catalog.engine("users")
    old = put(one, "one")
    one.destroy()

    gone = other.changes_since(old)
    assert (gone.version, gone.changes) == (None, None)
    put(one, "other")
    news = other.changes_since(old)

    assert news.changes is None
    assert read(other) == "other"


# Backups


def test_a_commit_keeps_the_state_before_it(engine):
    """Backups are listed newest first, with times, sizes and contents."""
    version = put(engine, "one")
    version = put(engine, "two!", version)
    put(engine, "three", version)

    backups = engine.backups()

    assert contents(engine) == ["two!", "one"]
    assert all(backup.size_bytes for backup in backups)
    assert {backup.kind for backup in backups} <= {"snapshot", "commit"}
    assert backups[0].time > backups[1].time
    assert all(engine.backup_path(backup.id) for backup in backups)
    assert engine.verify() == []


@pytest.mark.parametrize("step", [0, -3600, 1])
def test_backups_are_ordered_whatever_the_clock_shows(engine, clock, step):
    """A clock that stands still or goes back neither mixes nor loses states."""
    version, times = None, []
    for number in range(6):
        version = put(engine, number, version)
        times.append(clock.now)
        clock.now += timedelta(seconds=step)

    ids = [backup.id for backup in engine.backups()]
    assert contents(engine) == [4, 3, 2, 1, 0]
    assert ids == sorted(set(ids), reverse=True)
    for backup, time in zip(engine.backups(), times[4::-1], strict=True):
        # One that stands still is moved on by a microsecond each time.
        assert backup.time - time < timedelta(seconds=1)


@pytest.mark.parametrize("catalog", WHOLE, indirect=True)
@pytest.mark.parametrize("kept", [0, 1, 3])
def test_only_so_many_backups_are_kept(engine, kept):
    """The oldest go first."""
    engine.keep = Keep(kept)
    version = None
    for number in range(6):
        version = put(engine, number, version)

    assert contents(engine) == [4, 3, 2][:kept]


def test_each_state_is_found_by_its_time(engine, clock):
    """From the moment of its commit to that of the next one."""
    version, times = None, []
    for number in range(6):
        clock.now += timedelta(seconds=10)
        version = put(engine, number, version, compact=number == 3)
        times.append(clock.now)
        if number == 2:
            engine.backup()

    for number, time in enumerate(times):
        for later in (0, 1, 9):
            at = time + timedelta(seconds=later)
            assert value_in(whole_of(engine.state(at))) == number, (number, later)
    with pytest.raises(FileNotFoundError):
        whole_of(engine.state(times[0] - timedelta(microseconds=1)))


def test_a_backup_can_be_made_at_any_time(engine):
    """The present state joins the backups once."""
    put(engine, "one")

    made = engine.backup()

    assert engine.backup() == made
    assert [backup.id for backup in engine.backups()] == [made]
    assert value_in(whole_of(engine.state(made))) == "one"
    version = put(engine, "two", present(engine).version)
    put(engine, "three", version)
    made = engine.backup()
    assert contents(engine) == ["three", "two", "one"]
    assert engine.backups()[0].id == made


def test_a_state_that_cannot_be_committed_is_kept_apart(engine):
    """It is listed as unsaved, is readable and is not the state."""
    version = put(engine, "one")

    mine = FORMAT.join(FORMAT.encode_items({"value": "mine"}))

    where = engine.save_unsaved(mine)

    (backup,) = engine.backups()
    assert backup.kind == "unsaved"
    assert whole_of(engine.state(backup.id)) == mine
    assert backup.id in where
    assert present(engine).version == version


@pytest.mark.parametrize("catalog", WHOLE, indirect=True)
def test_unsaved_states_are_never_pruned(engine):
    """Only their owner deletes them."""
    version = put(engine, "one")
    unsaved = FORMAT.encode({"value": "a"}), FORMAT.encode({"value": "b"})
    for payload in unsaved:
        engine.save_unsaved(payload)
    engine.keep = Keep(1)
    for number in range(4):
        version = put(engine, str(number), version)

    assert sorted(contents(engine)) == ["2", "a", "b"]


@pytest.mark.parametrize("bad", ["", "nope", "../users", "20261123T054100.000000Z"])
def test_an_unknown_backup_is_a_missing_file(engine, bad):
    """No id leads out of the backups."""
    put(engine, "one")

    with pytest.raises(FileNotFoundError):
        whole_of(engine.state(bad))
    with pytest.raises(FileNotFoundError):
        engine.backup_path(bad)


def test_a_destroyed_database_leaves_its_last_state_in_the_backups(engine):
    """A new database of the same name starts from nothing."""
    put(engine, "one")

    engine.destroy()

    assert present(engine) is None
    assert contents(engine) == ["one"]
    assert put(engine, "new")
    engine.destroy()
    engine.destroy()
    assert contents(engine) == ["new", "one"]


def test_destroy_can_erase_the_backups_too(engine):
    """Nothing is left."""
    put(engine, "two", put(engine, "one"))

    engine.destroy(backups=True)

    assert present(engine) is None
    assert engine.backups() == []


def test_purge_erases_the_past_alone(engine):
    """The present state stays, and goes on having a past."""
    put(engine, "two", put(engine, "one"))
    engine.save_unsaved(FORMAT.encode({"value": "mine"}))
    engine.backup()

    engine.purge()

    assert engine.backups() == []
    assert read(engine) == "two"
    put(engine, "three", present(engine).version)
    assert contents(engine) == ["two"]


@pytest.mark.parametrize("between", ["close", "purge", "backup", "sync"])
def test_what_changes_no_state_makes_no_commit_stale(engine, between):
    """The engine goes on from the version that it gave."""
    version = put(engine, "two", put(engine, "one"))

    getattr(engine, between)()

    assert engine.changes_since(version) is None
    put(engine, "three", version)
    assert read(engine) == "three"


def test_a_state_that_is_set_aside_makes_room_for_a_new_one(engine):
    """The database does not exist afterwards."""
    put(engine, "one")

    where = engine.set_aside()

    assert where
    assert present(engine) is None
    assert put(engine, "new")
    assert read(engine) == "new"


def test_what_is_whole_is_salvaged_whole(engine):
    """Nothing is lost, nothing older."""
    put(engine, "two", put(engine, "one"))

    saved = engine.salvage()

    assert value_in(FORMAT.join(saved.entries)) == "two"
    assert (saved.lost, saved.older, saved.notes) == ((), (), ()) or not any(
        (saved.lost, saved.older, saved.notes)
    )


# Access


def test_a_readonly_engine_refuses_every_change(catalog):
    """It loads, and says so."""
    put(catalog.engine("users"), "one")
    engine = catalog.engine("users", readonly=True)
    version = present(engine).version

    for change in (
        lambda: put(engine, "two", version),
        engine.backup,
        engine.set_aside,
        engine.destroy,
        engine.purge,
    ):
        with pytest.raises(DatabaseReadOnlyError):
            change()
    with pytest.raises(DatabaseReadOnlyError), engine.locked():
        pass
    assert not engine.writable()
    assert not engine.unsynced()
    engine.close()
    assert read(engine) == "one"


def test_a_lock_keeps_other_threads_out_until_it_is_released(catalog):
    """The holder goes on working; the others time out."""
    one = catalog.engine("users")
    catalog._lock_timeout_s = 0.02
    other = catalog.engine("users")
    version = put(one, "one")
    errors = []

    def intrude():
        try:
            put(other, "intruder", version)
        except DatabaseLockedError as err:
            errors.append(err)

    with one.locked(), one.locked():
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
        version = put(one, "two", version)

    assert len(errors) == 1
    assert put(other, "three", version)


def test_concurrent_increments_lose_nothing(catalog):
    """Threads with engines of their own count to the sum of their steps."""
    put(catalog.engine("users"), 0)

    def work():
        engine = catalog.engine("users")
        for _ in range(10):
            with engine.locked():
                loaded = present(engine)
                put(engine, value_in(whole_of(loaded)) + 1, loaded.version)
        engine.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read(catalog.engine("users")) == 40


def test_close_may_be_called_twice(engine):
    """It releases what is held, and the engine may even be used again."""
    version = put(engine, "two", put(engine, "one"))

    engine.close()
    engine.close()

    loaded = present(engine)
    assert value_in(whole_of(loaded)) == "two"
    assert engine.changes_since(loaded.version) is None
    news = engine.changes_since(version)
    assert news is None or not news.changes
    assert put(engine, "three", loaded.version)


def test_sync_makes_all_durable(engine):
    """Twice is fine; without a commit there is nothing to do."""
    engine.sync()
    version = put(engine, "one")
    put(engine, "two", version)

    engine.sync()
    engine.sync()

    assert not engine.unsynced()
    assert read(engine) == "two"


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
    put(catalog.engine("b"), "1")
    put(catalog.engine("a"), "1")

    assert catalog.names() == ["a", "b"]
    assert catalog.exists("a")
    assert not catalog.exists("empty")


def test_a_renamed_database_takes_its_backups_along(catalog):
    """The old name is free, and an engine of it finds its database removed."""
    old = catalog.engine("users")
    version = put(old, "two", put(old, "one"))

    catalog.rename("users", "people")

    new = catalog.engine("people")
    assert catalog.names() == ["people"]
    assert present(new).version == version
    assert contents(new) == ["one"]
    assert catalog.engine("users").backups() == []
    with pytest.raises(StaleVersionError):
        put(old, "three", version)
    assert put(old, "fresh")
    assert catalog.names() == ["people", "users"]


def test_rename_overwrites_nothing(catalog):
    """Both databases stay as they were."""
    put(catalog.engine("a"), "1")
    put(catalog.engine("b"), "2")

    with pytest.raises(FileExistsError):
        catalog.rename("a", "b")
    with pytest.raises(FileExistsError):
        catalog.rename("a", "a")

    assert read(catalog.engine("a")) == "1"
    assert read(catalog.engine("b")) == "2"


def test_rename_and_remove_need_a_database(catalog):
    """A missing one is a missing file."""
    with pytest.raises(FileNotFoundError):
        catalog.rename("a", "b")
    with pytest.raises(FileNotFoundError):
        catalog.remove("a")


def test_a_removed_database_keeps_its_backups(catalog):
    """They are found under its name."""
    put(catalog.engine("users"), "one")

    catalog.remove("users")

    assert not catalog.exists("users")
    assert contents(catalog.engine("users")) == ["one"]


def test_a_name_may_change_its_case(catalog):
    """It collides with itself only."""
    put(catalog.engine("users"), "one")

    catalog.rename("users", "Users")

    assert catalog.names() == ["Users"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 300, "nul.txt"])
def test_every_method_checks_names(catalog, name):
    """A bad name is refused wherever it is given."""
    put(catalog.engine("a"), "1")

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
    put(catalog.engine(name), "1")

    with pytest.raises(DatabaseNameError, match="case"):
        catalog.engine(other)
    put(catalog.engine("c"), "2")
    with pytest.raises(DatabaseNameError, match="case"):
        catalog.rename("c", other)


def test_both_normal_forms_of_a_name_mean_one_database(catalog):
    """A name typed on another keyboard finds the same data."""
    put(catalog.engine("caf\u00e9"), "1")

    assert read(catalog.engine("cafe\u0301")) == "1"
    assert catalog.exists("cafe\u0301")


def opened(root, **options):
    """The catalog of a folder or URL."""
    return open_catalog(root, LOG, root_format=FORMAT, **options)


def test_memory_catalogs_are_private_unless_they_have_a_name():
    """A named one lives as long as somebody has it."""
    private, shared = opened("memory://"), opened("memory://x")
    put(private.engine("a"), "1")
    put(shared.engine("a"), "1")

    assert opened("memory://").names() == []
    assert opened("memory://x").names() == ["a"]
    assert shared.engine("a").location == "memory://x/a"
    del shared
    assert opened("memory://x").names() == []


def test_a_folder_opens_as_files_and_unknown_urls_not_at_all(tmp_path):
    """A typo in a URL does not become a folder."""
    assert opened(tmp_path).location == str(tmp_path)
    with pytest.raises(ValueError, match="no engine for 'postgersql'"):
        opened("postgersql://host/db")


def test_a_catalog_hands_its_settings_on(tmp_path):
    """To each engine."""
    for root in (tmp_path, "memory://", "memory://settings"):
        catalog = opened(root, keep=Keep(2, hourly=3), sync="interval", journal=False)
        assert catalog.engine("a").keep == Keep(2, hourly=3)
    with pytest.raises(ValueError, match="negative"):
        opened(tmp_path, keep=-1)
    with pytest.raises(TypeError, match="number"):
        opened(tmp_path, keep="many")


STEPS = ["commit", "delete", "compact", "backup", "destroy", "reopen", "close", "purge"]


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(STEPS), st.sampled_from("abcd"), st.binary(max_size=9)
        ),
        max_size=14,
    ),
    which=st.sampled_from(ENGINES),
)
def test_an_engine_behaves_like_a_dict(tmp_path_factory, steps, which):
    """Any sequence of operations leaves the entries that were set last."""
    clock = Clock()
    catalog = which(tmp_path_factory.mktemp("law"), clock)
    engine = catalog.engine("users")
    version, expected = None, {}
    history = []

    for step, name, data in steps:
        clock.now += timedelta(seconds=2)
        key, value = FORMAT.encode(name), FORMAT.encode(data)
        if step in {"commit", "delete", "compact"}:
            change = (key, None) if step == "delete" else (key, value)
            compact = step == "compact"
            version = engine.commit(Commit(version, [change], compact=compact))
            apply(expected, [change])
            history.append((clock.now, FORMAT.join(expected)))
        elif step == "destroy":
            engine.destroy()
            version, expected, history = None, {}, []
        elif step == "backup":
            engine.backup()
        elif step == "close":
            engine.close()
        elif step == "purge":
            engine.purge()
            history = history[-1:]
        else:
            engine = catalog.engine("users")

        loaded = present(engine)
        assert (loaded is None) == (version is None)
        assert list(entries_of(loaded).items()) == list(expected.items())
        version = None if loaded is None else loaded.version
        assert not engine.changes_since(version)
        assert engine.verify() == []
    recent = history[-5:]
    for (at, payload), (later, _) in pairwise(
        [*recent, (datetime.max.replace(tzinfo=UTC), b"")]
    ):
        assert whole_of(engine.state(at)) == payload
        assert whole_of(engine.state(min(at + timedelta(seconds=1), later))) == payload
