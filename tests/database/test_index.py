"""Indexes: always what one would find by looking at every record."""

import gc
import os
import shutil
import tempfile
import threading
import weakref
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from durable_dict import adopt, opened
from storify import (
    ConflictError,
    DatabaseClosedError,
    DatabaseLoadError,
    DuplicateKeyError,
    Index,
    Model,
    ModelLoadError,
    QueryError,
    Storify,
)
from storify.database.live.data import Stored
from storify.database.live.observers import Changed, Watchers

NUMBERS = count()


class User(Model):
    """A declared model."""

    name: str
    email: str | None = None


class Other(Model, keyname="__User__"):
    """What another program stores as a user."""

    nick: int


def email_of(user):
    """What is indexed."""
    return user.email


@pytest.fixture
def managers(anywhere):
    """Two programs that share databases."""
    one = Storify(anywhere, save_interval=None, models=[User])
    two = Storify(anywhere, save_interval=None, models=[User])
    yield one, two
    for sf in (one, two):
        for db in sf.databases:
            db.close(discard=True)


@pytest.fixture
def db(managers):
    """A database of which nothing was read since it was opened."""
    db = managers[0].get_db("users", model=User)
    db.update(
        ann=User("Ann", "ann@x"),
        bob=User("Bob", "bob@x"),
        cia=User("Cia"),
        dan=User("Ann", "dan@x"),
    )
    db.flush()
    db.load()
    return db


@pytest.fixture
def theirs(db, managers):
    """The same database in another program."""
    return managers[1].get_db("users")


def live(db):
    """The keys whose values were handed out."""
    return {base.key for base in db._session.data.live}


@contextmanager
def refused(one, other):
    """Two keys are named by the error."""
    with pytest.raises(DuplicateKeyError) as caught:
        yield
    assert set(caught.value.keys) == {one, other}
    assert f"$[{one!r}]" in str(caught.value)
    assert f"$[{other!r}]" in str(caught.value)


# --- looking up -----------------------------------------------------------------
def test_an_index_finds_records_by_what_a_function_gives(db):
    """One of them, several, none, and the values that there are."""
    by_name = db.index(lambda user: user.name)

    assert by_name["Bob"] is db["bob"]
    assert by_name.get("Cia") is db["cia"]
    assert by_name.get("Zoe") is None
    assert by_name.keys("Ann") == ["ann", "dan"]
    assert by_name.keys("Zoe") == []
    assert by_name.find("Ann").list() == [db["ann"], db["dan"]]
    assert "Bob" in by_name
    assert "Zoe" not in by_name
    assert list(by_name) == ["Ann", "Bob", "Cia"]
    assert len(by_name) == 3


def test_a_look_up_of_one_refuses_none_and_several(db):
    """A KeyError as of a dict, and an error that names two keys."""
    by_name = db.index(lambda user: user.name)

    with pytest.raises(KeyError, match="'Zoe'"):
        by_name["Zoe"]
    for look_up in (by_name.__getitem__, by_name.get):
        with pytest.raises(QueryError, match=r"\['ann'\] and .*\['dan'\]"):
            look_up("Ann")


def test_none_is_no_value(db):
    """Records without one are not in the index."""
    by_email = db.index(email_of)

    assert len(by_email) == 3
    assert None not in by_email
    assert by_email.get(None) is None
    assert by_email.find(None).count() == 0


def test_what_is_found_is_a_query(db):
    """It goes on as any other, and each run looks up anew."""
    found = db.index(lambda user: user.name).find("Ann")
    last = found.sorted(key=email_of, reverse=True).limit(1)

    assert found.count() == 2
    assert last.map(email_of).list() == ["dan@x"]
    assert repr(last) == (
        "<Query of database 'users': find(…).sorted(key=email_of, reverse=True)"
        ".limit(1)>"
    )
    db["eva"] = User("Ann", "eva@x")
    assert found.count() == 3
    assert last.one() is db["eva"]


def test_what_does_not_match_any_more_is_not_given_by_a_run(db):
    """A record that was set anew meanwhile has to have the value still."""
    by_name = db.index(lambda user: user.name)
    run, again = iter(by_name.find("Ann")), iter(by_name.find("Ann"))
    assert next(run) is next(again) is db["ann"]

    db["dan"] = User("Ann", "other")
    assert list(again) == [db["dan"]]
    db["dan"] = User("Dan")
    assert list(run) == []


def test_an_index_costs_what_it_gives(db):
    """Building it and looking up hands out only the records that are given."""
    by_email = db.index(email_of)

    assert "ann@x" in by_email
    assert by_email.find("bob@x").count() == 1
    assert list(by_email.find("bob@x").keys()) == ["bob"]
    assert live(db) == set()
    assert by_email["bob@x"].name == "Bob"
    assert live(db) == {"bob"}


def test_only_what_may_be_another_is_looked_at_again(db):
    """What is live, and what was committed since."""
    seen = []
    by_email = db.index(lambda user: seen.append(user.name) or user.email)
    held = db["bob"]
    del seen[:]

    assert "x" not in by_email
    assert seen == ["Bob"]
    db["cia"].email = "cia@x"
    db.flush()
    assert live(db) == {"bob"}
    del seen[:]
    assert "cia@x" in by_email
    assert "cia@x" in by_email
    assert sorted(seen) == ["Bob", "Bob", "Cia"]
    assert held.email == "bob@x"


def test_a_unique_look_up_costs_one_record(db):
    """Many look-ups in a row do not look at all that they handed out before."""
    seen = []
    by_email = db.index(lambda user: seen.append(user.name) or user.email, unique=True)
    del seen[:]

    for value in ("ann@x", "bob@x", "dan@x"):
        assert by_email[value].email == value
    assert seen == ["Ann", "Bob", "Ann"]


@pytest.mark.parametrize("unique", [True, False])
def test_a_change_in_place_is_seen_by_the_next_look_up(db, unique):
    """Nobody tells the index of it."""
    by_email = db.index(email_of, unique=unique)
    ann = by_email["ann@x"]

    ann.email = "new@x"

    assert by_email["new@x"] is ann
    assert by_email.get("ann@x") is None
    db["bob"].email = None
    assert by_email.get("bob@x") is None
    assert set(by_email) == {"new@x", "dan@x"}
    del db["ann"]
    assert by_email.get("new@x") is None
    db["zoe"] = User("Zoe", "zoe@x")
    assert by_email["zoe@x"] is db["zoe"]
    del db["zoe"]
    assert "zoe@x" not in by_email


def test_a_flush_forgets_nothing_that_was_not_looked_at(db):
    """Changes between two look-ups may be saved, and let go of, in between."""
    by_email = db.index(email_of)

    db["ann"].email = "new@x"
    del db["bob"]
    db.flush()

    assert live(db) == set()
    assert set(by_email) == {"new@x", "dan@x"}


def test_what_another_program_commits_is_seen_after_a_flush(db, theirs):
    """Adopted in place or not."""
    by_email = db.index(email_of, unique=True)
    held = db["ann"]

    theirs.update(ann=User("Ann", "1@x"), bob=User("Bob", "2@x"), new=User("N", "3@x"))
    del theirs["dan"]
    theirs.flush()

    assert set(by_email) == {"ann@x", "bob@x", "dan@x"}
    db.flush()
    assert set(by_email) == {"1@x", "2@x", "3@x"}
    assert by_email["1@x"] is held


def test_a_look_up_during_a_flush_sees_what_is_being_saved(db):
    """Whether it is committed in the end or not."""
    by_email = db.index(email_of)
    db["ann"].email = "new@x"
    db["bob"].email = "old@x"

    pending = db._session.begin_flush("test")
    assert set(by_email) == {"new@x", "old@x", "dan@x"}
    db["bob"].email = "changed@x"
    assert set(by_email) == {"new@x", "changed@x", "dan@x"}
    pending.drop()

    assert by_email["new@x"] is db["ann"]
    assert db.dirty() == {"ann", "bob"}


def test_an_index_follows_the_database_to_another_root(db):
    """After `load`, and when the content is replaced."""
    by_email = db.index(email_of)

    db.load()
    assert by_email["ann@x"] is db["ann"]
    db.data = {"zoe": User("Zoe", "zoe@x")}
    assert list(by_email) == ["zoe@x"]
    db.data = []
    with pytest.raises(TypeError, match="no keys to index"):
        len(by_email)


def test_an_index_gives_the_keys_that_the_database_has(managers):
    """1 and True are one key for a dict, and the one that is there counts."""
    db = managers[0].get_db("odd")
    db[1] = "x"
    index = db.index(lambda each: each)
    assert repr(index.keys("x")) == "[1]"

    del db[1]
    db[True] = "x"

    assert repr(index.keys("x")) == "[True]"
    assert repr(list(index.find("x").keys())) == "[True]"


def test_a_list_root_has_no_keys_to_index(managers):
    """It is refused at once; what is no function is looked up, as in a list."""
    db = managers[0].get_db("log", root=[1, 2])

    with pytest.raises(TypeError, match="cannot index database 'log'"):
        db.index(lambda each: each)
    with pytest.raises(ValueError, match="not in list"):
        db.index(3)
    assert db.index(2) == 1


def test_a_value_that_cannot_be_hashed_is_refused(db):
    """The error names the record."""
    with pytest.raises(TypeError, match=r"\['ann'\].*a list cannot be hashed"):
        db.index(lambda user: [user.name])


def test_an_error_of_the_users_function_names_the_record(db):
    """And is one until the record is mended; no change is missed in between."""
    by_letter = db.index(lambda user: user.name[0])
    db["ann"].name = ""
    db["bob"].name = "Zoe"

    for _ in range(2):
        with pytest.raises(IndexError) as caught:
            len(by_letter)
        assert caught.value.__notes__ == ["the record is $['ann']"]
    db["ann"].name = "X"

    assert {letter: by_letter.keys(letter) for letter in by_letter} == {
        "X": ["ann"],
        "Z": ["bob"],
        "C": ["cia"],
        "A": ["dan"],
    }


def test_an_index_that_could_not_be_built_anew_is_built_by_the_next_look_up(db):
    """Nothing is left out."""
    fails = []
    index = db.index(lambda user: fails[0] if fails else user.name)
    fails.append([])
    db.load()

    with pytest.raises(TypeError, match="hashed"):
        len(index)
    fails.clear()

    assert set(index) == {"Ann", "Bob", "Cia"}
    assert index.keys("Ann") == ["ann", "dan"]


def test_the_text_of_an_index_tells_no_values(db):
    """The database, and whether it is unique."""
    assert repr(db.index(email_of)) == "<index of database 'users'>"
    assert repr(db.index(email_of, unique=True)) == (
        "<unique index of database 'users'>"
    )


def test_an_index_of_a_closed_database_finds_nothing(db):
    """As the database itself."""
    by_email = db.index(email_of, unique=True)
    db.close()

    for look_up in (lambda: by_email["ann@x"], lambda: len(by_email)):
        with pytest.raises(DatabaseClosedError):
            look_up()


def test_a_record_that_is_deleted_during_a_look_up_is_not_found(db):
    """By another thread, between finding its key and reading it."""
    for unique in (True, False):
        db["zoe"] = User("Zoe", "zoe@x")
        index = db.index(email_of, unique=unique)
        keys = index._tracking.buckets.keys

        def keys_of_what_goes(value, keys=keys):
            found = keys(value)
            db.pop("zoe", None)
            return found

        index._tracking.buckets.keys = keys_of_what_goes

        assert index.get("zoe@x") is None


def test_threads_may_write_while_others_look_up(managers):
    """Each look-up gives a record that has the value, or had it just now."""
    db = managers[0].get_db("busy")
    db.update({str(number): [number % 10] for number in range(100)})
    db.flush()
    db.load()
    index = db.index(lambda each: each[0])
    stop, started = threading.Event(), threading.Barrier(2)

    def write():
        started.wait()
        number = 0
        while not stop.is_set():
            number += 1
            db[str(number % 100)] = [number % 7]
            db.pop(str(number * 3 % 100), None)
            db[str(100 + number % 20)] = [number % 13]
            if number % 10 == 0:
                db.flush()

    writer = threading.Thread(target=write)
    writer.start()
    started.wait()
    try:
        for round_ in range(200):
            assert all(len(each) == 1 for each in index.find(round_ % 10))
            assert set(index) <= set(range(13))
    finally:
        stop.set()
        writer.join()
    found = {value: set(index.keys(value)) for value in index}
    wanted: dict[Any, set[str]] = {}
    for key, value in db.items():
        wanted.setdefault(value[0], set()).add(key)
    assert found == wanted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_an_index_can_be_used_in_a_forked_child(db):
    """Though another thread was looking up in the parent."""
    index = db.index(email_of)
    locked, stop = threading.Event(), threading.Event()

    def look_up():
        with index._tracking.lock:
            locked.set()
            stop.wait()

    looking = threading.Thread(target=look_up)
    looking.start()
    locked.wait()
    pid = os.fork()
    if pid == 0:  # pragma: no cover - measured in the parent
        os._exit(0 if set(index) == {"ann@x", "bob@x", "dan@x"} else 1)
    stop.set()
    looking.join()

    assert os.waitpid(pid, 0)[1] == 0


def test_a_live_record_that_becomes_unreadable_is_looked_at_again():
    """It is not live any more, so the database says so."""
    _, data = opened({"a": [1]})
    held = data["a"]
    noted = Changed()
    data.watch(noted)

    adopt(data, "a", b"\xc1")

    assert list(data.changed(noted)[0]) == ["a"]
    assert held == [1]


def test_who_is_gone_is_told_nothing():
    """Also if that happens just then."""
    watchers = Watchers()
    noted, gone = Changed(), Changed()
    watchers.add(noted)
    watchers.add(gone)
    watchers.told.append(weakref.ref(Changed()))

    watchers.note(["a"])
    del gone
    watchers.note(["b"])

    assert list(noted) == ["a", "b"]
    assert len(watchers.told) == 2


# --- being unique ---------------------------------------------------------------
def test_a_unique_index_of_records_that_are_not_is_refused(db):
    """At once, with the keys of two of them."""
    with refused("ann", "dan"):
        db.index(lambda user: user.name, unique=True)

    db["eva"] = User("Ann", "eva@x")
    db.flush()


@pytest.mark.parametrize(
    "put",
    [
        lambda db, user: db.__setitem__("new", user),
        lambda db, user: db.update(new=user),
        lambda db, user: db.setdefault("new", user),
    ],
    ids=["set", "update", "setdefault"],
)
def test_a_second_record_with_a_value_is_refused_when_it_is_set(db, put):
    """Nothing changes then, and another value is taken."""
    by_email = db.index(email_of, unique=True)

    with refused("ann", "new"):
        put(db, User("New", "ann@x"))

    assert "new" not in db
    put(db, User("New", "new@x"))
    assert by_email["new@x"] is db["new"]
    put(db, User("New", None))
    db.flush()


def test_a_record_may_be_replaced_by_one_with_its_value(db):
    """It is no second one."""
    by_email = db.index(email_of, unique=True)

    db["ann"] = User("Anna", "ann@x")

    assert by_email["ann@x"].name == "Anna"
    db.flush()


def test_setting_a_record_looks_at_what_the_other_one_is_now(db):
    """It may have been changed in place since it was last looked at, or deleted."""
    by_email = db.index(email_of, unique=True)
    db["ann"].email = "other@x"
    del db["bob"]

    db["new"] = User("New", "ann@x")
    db["newer"] = User("Newer", "bob@x")

    assert by_email["ann@x"] is db["new"]
    assert by_email["bob@x"] is db["newer"]


def test_what_was_just_set_is_known_to_the_next_set(db):
    """Without a look-up in between."""
    by_email = db.index(email_of, unique=True)
    db["one"] = User("One", "1@x")

    with refused("one", "two"):
        db["two"] = User("Two", "1@x")

    assert by_email["1@x"] is db["one"]


def test_setting_a_record_asks_the_function_about_one_other(db):
    """However many are live."""
    seen = []
    by_email = db.index(lambda user: seen.append(user.name) or user.email, unique=True)
    users = list(db.values())
    del seen[:]

    with refused("ann", "new"):
        db["new"] = User("New", "ann@x")

    assert seen == ["New", "Ann"]
    assert len(by_email) == len(users) - 1


def test_a_flush_refuses_what_was_changed_in_place(db):
    """Nothing is written, memory stays, and the next flush saves what is mended."""
    by_email = db.index(email_of, unique=True)
    db["ann"].email = "bob@x"
    db["cia"].email = "cia@x"
    version = db._session.version

    for _ in range(2):
        with refused("ann", "bob"):
            db.flush()
    assert db._session.version == version
    assert db.dirty() == {"ann", "cia"}
    assert db["ann"].email == "bob@x"

    db["bob"].email = "ann@x"
    db.flush()
    assert db.dirty() == set()
    assert by_email["bob@x"] is db["ann"]
    assert by_email["ann@x"] is db["bob"]


def test_a_commit_of_a_transaction_refuses_and_undoes(db):
    """Memory is as it was at its start, and so is the index."""
    by_email = db.index(email_of, unique=True)

    with refused("ann", "bob"), db.transaction():
        db["ann"].email = "bob@x"
        db["new"] = User("New", "new@x")
        assert "new@x" in by_email

    assert db["ann"].email == "ann@x"
    assert set(by_email) == {"ann@x", "bob@x", "dan@x"}
    assert db.dirty() == set()


def test_an_autosave_refuses_as_well(db):
    """Its error is kept, as any other."""
    by_email = db.index(email_of, unique=True)
    db["ann"].email = "bob@x"

    db._autosave()

    assert isinstance(db.last_error, DuplicateKeyError)
    db["ann"].email = "ann@x"
    db._autosave()
    assert db.last_error is None
    assert len(by_email) == 3


def test_a_flush_refuses_what_another_program_had_first(db, theirs):
    """What it committed is adopted; one of the two is to be changed here."""
    by_email = db.index(email_of, unique=True)
    theirs["theirs"] = User("Theirs", "new@x")
    theirs.flush()
    db["mine"] = User("Mine", "new@x")

    with refused("theirs", "mine"):
        db.flush()

    assert db.dirty() == {"mine"}
    del db["mine"]
    db.flush()
    assert by_email["new@x"] is db["theirs"]


def test_a_flush_looks_whether_another_program_has_mended_it(db, theirs):
    """It is no duplicate if the other record is another by now."""
    by_email = db.index(email_of, unique=True)
    theirs["ann"].email = "other@x"
    theirs.flush()
    db["new"] = User("New")
    db["new"].email = "ann@x"

    db.flush()

    assert by_email["ann@x"] is db["new"]
    assert by_email["other@x"] is db["ann"]


def test_duplicates_that_others_committed_do_not_keep_other_changes_from_disk(
    db, theirs
):
    """They are durable anyway; what is refused is to write one more."""
    by_email = db.index(email_of, unique=True)
    theirs.update(one=User("One", "same@x"), two=User("Two", "same@x"))
    theirs.flush()

    db["ann"].name = "Anna"
    db.flush()

    assert theirs.reload() is None
    assert theirs["ann"].name == "Anna"
    with pytest.raises(QueryError):
        by_email["same@x"]
    db["one"].name = "First"
    with refused("one", "two"):
        db.flush()


def test_an_index_that_nobody_holds_refuses_nothing(db):
    """And costs nothing."""
    by_email = db.index(email_of, unique=True)
    db["ann"].email = "bob@x"
    with refused("ann", "bob"):
        db.flush()

    del by_email
    gc.collect()
    db["new"] = User("New", "dan@x")
    db.flush()

    assert db._session.constraints.held == []
    assert db._session.data.watchers.told == []


def test_several_unique_indexes_are_asked(db):
    """Each refuses for itself."""
    indexes: list[Index[Any, Any, Any]] = [
        db.index(email_of, unique=True),
        db.index(lambda user: (user.name, user.email), unique=True),
        db.index(lambda user: user.name if user.name > "B" else None, unique=True),
    ]

    with refused("bob", "new"):
        db["new"] = User("Bob", "other@x")
    with refused("ann", "new"):
        db["new"] = User("Other", "ann@x")

    assert [len(index) for index in indexes] == [3, 4, 2]


def test_a_list_in_place_of_the_dict_is_saved(db):
    """It has no keys that could have one value."""
    by_email = db.index(email_of, unique=True)

    db.data = [User("Ann", "x"), User("Bob", "x")]
    db[0] = User("Cia", "x")
    db.flush()

    assert len(db) == 2
    with pytest.raises(TypeError):
        len(by_email)


def test_setting_a_record_in_a_root_that_is_new_is_refused_too(db):
    """The index is built anew before it is asked."""
    by_email = db.index(email_of, unique=True)
    db.load()

    with refused("ann", "new"):
        db["new"] = User("New", "ann@x")

    assert len(by_email) == 3


@pytest.mark.files("it damages a record in memory, which a small file alone is all in")
def test_a_record_that_cannot_be_read_keeps_no_change_from_disk(db, managers, anywhere):
    """It is no duplicate; looking up says what is wrong with it."""
    by_email = db.index(email_of, unique=True)
    with Storify(anywhere, save_interval=None) as sf:
        sf.get_db("users")["bad"] = Other(3)
        sf.get_db("users").flush()
        db["new"] = User("New", "new@x")

        db.flush()
        with pytest.raises(ModelLoadError, match=r"\['bad'\]"):
            by_email.get("other")

        dict.__setitem__(db._session.data, "bad", Stored(b"\xc1"))
        db["new"].name = "Newer"
        db.flush()
        with pytest.raises(DatabaseLoadError, match="'bad'"):
            by_email.get("other")

    db["bad"] = User("Good", "good@x")
    assert by_email["good@x"] is db["bad"]


def test_an_error_of_the_users_function_keeps_a_flush_from_writing(db):
    """It cannot be said whether the record may be saved."""
    by_name = db.index(lambda user: user.email and user.email[0], unique=True)
    db["ann"].email = 3

    with pytest.raises(TypeError) as caught:
        db.flush()

    assert caught.value.__notes__ == ["the record is $['ann']"]
    assert db.dirty() == {"ann"}
    db["ann"].email = "ann@x"
    db.flush()
    assert len(by_name) == 3


def test_an_error_about_anothers_record_keeps_no_change_from_disk(db, theirs):
    """It is durable already; looking up says what is wrong with it."""

    def letter(user):
        if user.email == "bad":
            msg = "no letter"
            raise TypeError(msg)
        return user.email and user.email[0]

    by_letter = db.index(letter, unique=True)
    theirs["bad"] = User("Bad", "bad")
    theirs.flush()

    db["new"] = User("New", "new@x")
    db.flush()

    with pytest.raises(TypeError) as caught:
        len(by_letter)
    assert caught.value.__notes__ == ["the record is $['bad']"]
    with refused("new", "newer"):
        db["newer"] = User("Newer", "n")
    del db["bad"]
    assert by_letter["n"] is db["new"]


# --- the laws -------------------------------------------------------------------
KEYS = st.sampled_from(["a", "b", "c", "d", 1, True, (1, "x")])
VALUES = st.none() | st.integers(0, 3)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "change", "delete", "look"]), KEYS, VALUES),
    max_size=5,
)


class StopItError(Exception):
    """Leaves a block."""


def test_an_index_follows_what_others_committed_over_the_base(anywhere):
    """Keys that came and went in two commits, while nothing else was in memory."""
    mine, theirs = (Storify(anywhere, save_interval=None).get_db("d") for _ in "ab")
    mine.update({key: {"v": key} for key in "abx"})
    mine.flush()
    index = mine.index(lambda each: each["v"])
    assert set(index) == {*"abx"}
    theirs.reload()
    theirs["a"] = {"v": "changed"}
    theirs.flush()
    theirs["c"] = {"v": "c"}
    del theirs["x"]
    theirs.flush()

    mine.reload()

    assert {value: index.keys(value) for value in index} == {
        "changed": ["a"],
        "b": ["b"],
        "c": ["c"],
    }
    for db in (mine, theirs):
        db.close()


def record(value):
    """What is stored: something that can be changed in place."""
    return {"v": value}


def value_in(each):
    """What is indexed."""
    return each["v"]


class IndexIsCurrent(RuleBasedStateMachine):
    """Compare an index with a look at every record, which hands none out."""

    def __init__(self) -> None:
        super().__init__()
        self.place = self.make_place()
        self.managers = [
            Storify(self.place, save_interval=None, keep=1000) for _ in range(2)
        ]
        self.db, self.other = (sf.get_db("d") for sf in self.managers)
        self.db.update(a=record(1), b=record(2))
        self.db.flush()
        self.index: Any = self.db.index(value_in)
        self.held: list[Any] = []

    def make_place(self) -> str:
        """A place for the databases of this run."""
        return tempfile.mkdtemp()

    def remove_place(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.place)

    def teardown(self) -> None:
        """Close all."""
        for db in (self.db, self.other):
            db.close(discard=True)
        self.remove_place()

    def do(self, db: Any, step: str, key: Any, value: Any) -> None:
        """Change one record."""
        if step == "set":
            db[key] = record(value)
        elif step == "look":
            self.look()
        elif step == "change" and key in db:
            db[key]["v"] = value
        elif step == "delete":
            db.pop(key, None)

    @rule(step=st.sampled_from(["set", "change", "delete"]), key=KEYS, value=VALUES)
    def change(self, step: str, key: Any, value: Any) -> None:
        """Set, change in place or delete."""
        self.do(self.db, step, key, value)

    @rule(key=KEYS)
    def move(self, key: Any) -> None:
        """Delete and set again."""
        if key in self.db:
            self.db[key] = self.db.pop(key)

    @rule(key=KEYS)
    def hold(self, key: Any) -> None:
        """Keep a record, to be changed later."""
        if key in self.db:
            self.held.append(self.db[key])

    @precondition(lambda self: self.held)
    @rule(value=VALUES, data=st.data())
    def change_held(self, value: Any, data: st.DataObject) -> None:
        """Change a record that was kept."""
        data.draw(st.sampled_from(self.held))["v"] = value

    @rule()
    def let_go(self) -> None:
        """Hold nothing."""
        self.held.clear()

    @rule(changes=CHANGES)
    def others(self, changes: list[Any]) -> None:
        """Let another program commit something."""
        self.other.reload(keep="theirs")
        for step, key, value in changes:
            if step != "look":
                self.do(self.other, step, key, value)
        self.other.flush()

    @rule(side=st.sampled_from(["mine", "theirs"]))
    def flush(self, side: Any) -> None:
        """Save, whoever wins."""
        try:
            self.db.flush()
        except ConflictError:
            self.db.reload(keep=side)
            self.db.flush()

    @rule(side=st.sampled_from(["mine", "theirs"]))
    def reload(self, side: Any) -> None:
        """Adopt, and save nothing."""
        self.db.reload(keep=side)

    @rule()
    def dirty(self) -> None:
        """Compare, which begins a flush and drops it."""
        self.db.dirty()

    @rule()
    def load(self) -> None:
        """Drop what is not saved, in a new root."""
        self.db.load()

    @rule(content=st.dictionaries(KEYS, VALUES, max_size=4))
    def replace(self, content: dict[Any, Any]) -> None:
        """Replace the whole content."""
        self.db.data = {key: record(value) for key, value in content.items()}

    @rule(
        changes=CHANGES, inner=CHANGES, fails=st.booleans(), inner_fails=st.booleans()
    )
    def transaction(
        self, changes: list[Any], inner: list[Any], fails: bool, inner_fails: bool
    ) -> None:
        """Change several records at once, or not at all; with a savepoint inside."""
        self.db.reload(keep="theirs")
        with suppress(StopItError), self.db.transaction():
            for change in changes:
                self.do(self.db, *change)
            with suppress(StopItError), self.db.transaction():
                for change in inner:
                    self.do(self.db, *change)
                if inner_fails:
                    raise StopItError
            if fails:
                raise StopItError

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        """Make an older state the present one."""
        self.db.reload(keep="theirs")
        self.db.flush()
        if self.db.backups.list:
            which = data.draw(st.sampled_from(self.db.backups.list))
            self.db.backups.restore(which)

    @rule()
    def look(self) -> None:
        """Every key is found by the value of its record, and nothing else is."""
        found = {value: self.index.keys(value) for value in self.index}
        assert len(self.index) == len(found)

        data: Any = self.db._session.data
        wanted: dict[Any, list[Any]] = {}
        slots = dict(pair for some in data.stream() for pair in some)
        values = data.peek_all(list(slots.values()))
        for key, each in zip(slots, values, strict=True):
            if value_in(each) is not None:
                wanted.setdefault(value_in(each), []).append(key)
        assert found.keys() == wanted.keys()
        for value, keys in found.items():
            assert set(map(repr, keys)) == set(map(repr, wanted[value]))
            assert value in self.index
            assert self.index.find(value).count() == len(keys)

    @rule(value=st.integers(0, 3))
    def find(self, value: int) -> None:
        """What is found is live, and has the value."""
        for key, each in self.index.find(value).items():
            assert each is self.db[key]
            assert each["v"] == value

    @invariant()
    def watched_once(self) -> None:
        """Nothing piles up in the database."""
        assert len(self.db._session.data.watchers.told) <= 1


class MemoryIndexIsCurrent(IndexIsCurrent):
    """The same over an engine that always tells what was changed."""

    _number = 0

    def make_place(self) -> str:
        """A place that lives as long as one of its users."""
        MemoryIndexIsCurrent._number += 1
        return f"memory://index-{self._number}"

    def remove_place(self) -> None:
        """It goes with its users."""


SETTINGS = settings(settings.default, max_examples=settings.default.max_examples // 3)
TestIndexIsCurrent = IndexIsCurrent.TestCase
TestIndexIsCurrent.settings = SETTINGS
TestMemoryIndexIsCurrent = MemoryIndexIsCurrent.TestCase
TestMemoryIndexIsCurrent.settings = SETTINGS


def look_up_one(db, index, value):
    """A unique index gives a record that has the value, if there is one."""
    found = []
    with suppress(QueryError):
        found.append(index.get(value))
    matches = [each for each in db.values() if each["v"] == value is not None]
    assert (value in index) == bool(matches)
    if not found:
        assert len(matches) > 1
    elif found[0] is None:
        assert not matches
    else:
        assert any(found[0] is each for each in matches)


def flush_if_unique(db):
    """A flush is refused exactly if two records have one value."""
    values = [each["v"] for each in db.values() if each["v"] is not None]
    is_unique = len(set(values)) == len(values)
    try:
        db.flush()
    except DuplicateKeyError as error:
        one, other = error.keys
        assert db[one]["v"] == db[other]["v"]
        assert not is_unique
    else:
        assert is_unique


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["set", "change", "delete", "flush", "look", "load"]),
            st.sampled_from("abcd"),
            VALUES,
        ),
        max_size=20,
    )
)
def test_no_flush_saves_two_records_with_one_value(steps):
    """And what is unique is never refused, whatever was changed in between."""
    with Storify("memory://", save_interval=None) as sf:
        db = sf.get_db("d")
        index = db.index(value_in, unique=True)
        for step, key, value in steps:
            if step == "set":
                with suppress(DuplicateKeyError):
                    db[key] = record(value)
            elif step == "change" and key in db:
                db[key]["v"] = value
            elif step == "delete":
                db.pop(key, None)
            elif step == "load":
                db.load()
            elif step == "look":
                look_up_one(db, index, value)
            elif step == "flush":
                flush_if_unique(db)
        db.close(discard=True)
