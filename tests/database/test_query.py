"""Queries: the same as plain Python over the records, without handing them all out."""

import threading
from operator import attrgetter
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storify import (
    DatabaseClosedError,
    DatabaseLoadError,
    Model,
    ModelLoadError,
    QueryError,
    Storify,
)
from storify.database.live.data import Stored


class User(Model):
    """A declared model."""

    name: str
    age: int = 0
    tags: list[str] = []


class Admin(User):
    """A model below another one."""

    level: int = 1


class Order(Model):
    """Another model."""

    total: float = 0.0


class OldUser(Model, keyname="__OldUser__"):
    """What was stored before the class had another name."""

    name: str


class Renamed(Model, was=["__OldUser__"]):
    """The class of today."""

    name: str
    age: int


PEOPLE = {
    "ann": User("Ann", 31, ["x"]),
    "bob": User("Bob", 17),
    "cia": Admin("Cia", 45, level=3),
    "dan": User("Dan", 17, ["x", "y"]),
}


def is_adult(user):
    """A test with a name."""
    return user.age >= 18


@pytest.fixture
def storify_options():
    """The classes that the program knows."""
    return {"models": [User, Admin, Order]}


@pytest.fixture
def db(sf):
    """A typed database of which nothing was read since it was opened."""
    db = sf.get_db("people", model=User)
    db.update(PEOPLE)
    db.flush()
    db.load()
    return db


def live(db):
    """The keys whose values were handed out."""
    return {base.key for base in db._session.data.live}


# --- what it gives --------------------------------------------------------------
def test_a_query_gives_the_records_that_pass_in_the_order_of_the_database(db):
    """Iterating, list, keys and items agree."""
    adults = db.where(is_adult)

    assert [user.name for user in adults] == ["Ann", "Cia"]
    assert adults.list() == [db["ann"], db["cia"]]
    assert list(adults.keys()) == ["ann", "cia"]
    assert dict(adults.items()) == {"ann": db["ann"], "cia": db["cia"]}
    assert adults.count() == 2
    assert adults.exists()


def test_what_a_query_gives_is_live(db):
    """Changing it changes the database."""
    for user in db.where(is_adult):
        user.age += 1

    assert db.dirty() == {"ann", "cia"}
    assert db.where(is_adult).first() is db["ann"]


def test_a_query_runs_anew_each_time(db):
    """It looks at the records of then, also at what is not saved."""
    minors = db.where(lambda user: not is_adult(user))
    before = list(minors.keys())

    db["bob"].age = 18
    db["eva"] = User("Eva", 3)
    del db["dan"]

    assert before == ["bob", "dan"]
    assert list(minors.keys()) == ["eva"]


def test_each_step_gives_a_new_query(db):
    """The one that it is called on stays as it is."""
    everybody = db.where()

    everybody.where(is_adult).sorted(attrgetter("name")).limit(1)

    assert everybody.count() == 4
    assert list(everybody) == list(db.values())


def test_several_tests_are_asked_in_turn(db):
    """A later one sees only what passed the earlier ones."""
    seen = []

    def note(user):
        seen.append(user.name)
        return True

    found = db.where(is_adult, note).where(lambda user: user.tags)

    assert list(found.keys()) == ["ann"]
    assert seen == ["Ann", "Cia"]


def test_sorting_is_stable_in_both_directions(db):
    """As `sorted` is, with a limit behind it and without."""
    by_age = db.where().sorted(key=lambda user: user.age)
    oldest = db.where().sorted(key=lambda user: user.age, reverse=True)

    assert list(by_age.keys()) == ["bob", "dan", "ann", "cia"]
    assert list(oldest.keys()) == ["cia", "ann", "bob", "dan"]
    assert list(by_age.limit(1).keys()) == ["bob"]
    assert list(oldest.limit(3).keys()) == ["cia", "ann", "bob"]
    assert list(oldest.limit(3).limit(1).keys()) == ["cia"]


def test_sorting_without_a_key_compares_the_values(sf):
    """Live, transient and mapped values alike."""
    db = sf.get_db("numbers")
    db.update(a=3, b=1, c=2)
    db.flush()
    db.load()

    assert list(db.where().sorted().items()) == [("b", 1), ("c", 2), ("a", 3)]
    assert db.where().map(lambda each: -each).sorted().list() == [-3, -2, -1]


def test_a_limit_stops_the_run(db):
    """What is behind it is not asked for."""
    seen = []

    def note(user):
        seen.append(user.name)
        return True

    assert list(db.where(note).limit(2).keys()) == ["ann", "bob"]
    assert db.where(note).limit(0).list() == []
    assert db.where(note).sorted(attrgetter("age")).limit(0).count() == 0
    assert seen == ["Ann", "Bob"]


def test_pages_follow_one_another(db):
    """In the order of the database, or in that of `sorted`."""
    by_age = db.where().sorted(attrgetter("age"))

    assert [*db.where().offset(1).limit(1).keys()] == ["bob"]
    assert [*db.where().offset(1).offset(1).keys()] == ["cia", "dan"]
    assert [*by_age.offset(1).limit(2).keys()] == ["dan", "ann"]
    assert [*by_age.offset(3).limit(5).keys()] == ["cia"]
    assert [*by_age.limit(3).offset(2).keys()] == ["ann"]
    assert db.where().offset(2).count() == 2
    assert db.where().offset(9).first() is None
    assert [*db.where(is_adult).offset(1).keys()] == ["cia"]


def test_what_an_offset_leaves_out_is_not_looked_at(db):
    """Nor handed out, if a test has looked at it before."""
    seen = []

    assert [*db.where().offset(2).where(seen.append).keys()] == []
    assert [user.name for user in seen] == ["Cia", "Dan"]
    db.load()
    kept = db.where(is_adult).offset(1).list()
    assert len(kept) == 1
    assert isinstance(dict.get(db.data, "ann"), Stored)
    assert dict.get(db.data, "cia") is kept[0]


def test_tests_behind_a_limit_see_what_it_let_through(db):
    """A limit is a step like the others."""
    assert list(db.where().limit(2).where(is_adult).keys()) == ["ann"]
    assert db.where().limit(3).count() == 3
    assert [*db.where().limit(2).sorted(attrgetter("age")).keys()] == ["bob", "ann"]


def test_a_map_sees_live_records_and_later_steps_what_it_made(db):
    """It may change them, too."""
    names = db.where(is_adult).map(lambda user: user.name.upper())

    assert names.list() == ["ANN", "CIA"]
    assert dict(names.items()) == {"ann": "ANN", "cia": "CIA"}
    assert names.where(lambda name: name > "B").list() == ["CIA"]
    assert names.sorted(reverse=True).limit(1).list() == ["CIA"]
    assert names.map(len).first() == 3
    assert live(db) == {"ann", "cia"}
    assert db.where().map(lambda user: user).first() is db["ann"]


def test_a_map_that_nobody_sees_is_not_called(db):
    """Counting and keys hand out nothing; a later test has to see what it makes."""
    calls = []
    mapped = db.where().map(calls.append)

    assert (mapped.count(), mapped.exists()) == (4, True)
    assert list(mapped.limit(1).map(calls.append).keys()) == ["ann"]
    assert calls == []
    assert live(db) == set()
    assert mapped.where(lambda made: made is None).count() == 4
    assert len(calls) == 4


def test_first_gives_none_if_there_is_none(db):
    """And the least by a key, if it was sorted."""
    assert db.where(lambda user: user.age > 99).first() is None
    assert db.where().sorted(attrgetter("age")).first() is db["bob"]
    assert not db.where(lambda user: user.age > 99).exists()


def test_one_gives_the_only_one(db):
    """None and several are errors, which name the database and two keys."""
    assert db.where(lambda user: user.name == "Bob").one() is db["bob"]
    with pytest.raises(QueryError, match=r"'people'.*none"):
        db.where(lambda user: user.age > 99).one()
    with pytest.raises(QueryError, match=r"'people'.*\['ann'\] and .*\['bob'\]"):
        db.where().one()


def test_a_query_of_a_list_root_has_indexes_for_keys(sf):
    """It gives the items of its start."""
    db = sf.get_db("log", root=[User("Ann", 31), User("Bob", 17), User("Cia", 45)])
    adults = db.where(is_adult)

    assert list(adults.keys()) == [0, 2]
    assert [*db.where().sorted(attrgetter("age")).keys()] == [1, 0, 2]
    for index, user in adults.items():
        db.remove(user)
        assert index in (0, 2)
    assert [user.name for user in db] == ["Bob"]


# --- classes --------------------------------------------------------------------
def test_of_gives_the_objects_of_a_class(sf):
    """Those of a class below it are among them."""
    db = sf.get_db("mixed")
    db.update(PEOPLE, order=Order(3.5), n=1, yes=True, text="x", plain={"a": 1})
    db.flush()
    db.load()

    assert list(db.of(User).keys()) == ["ann", "bob", "cia", "dan"]
    assert list(db.of(Admin).keys()) == ["cia"]
    assert db.of(Order).map(lambda order: order.total).list() == [3.5]
    assert list(db.of(int).keys()) == ["n", "yes"]
    assert list(db.of(dict[str, int]).keys()) == ["plain"]
    assert list(db.where(lambda each: each != 1).of(int).keys()) == []


def test_of_takes_a_test_that_tells_the_type(db):
    """As `where`, for type checkers."""

    def is_admin(user):
        return isinstance(user, Admin)

    assert list(db.of(is_admin).keys()) == ["cia"]
    assert repr(db.of(is_admin)) == "<Query of database 'people': of(is_admin)>"


@pytest.mark.parametrize("model", ["User", None, 3, int | str, Annotated[int, 1]])
def test_of_refuses_what_is_no_class(db, model):
    """A union and a name are none."""
    with pytest.raises(TypeError, match="neither a class nor a function"):
        db.where().of(model)


class Stored0(Model, keyname="__User__"):
    """What another program stores as a user."""

    nick: int


class Stored1(Model, keyname="__Admin__"):
    """What another program stores as an admin."""

    nick: int


class Stored2(Model, keyname="__Nobody__"):
    """What is not known here."""

    nick: int


class Stored3(Model, keyname="__OldUser__"):
    """What was renamed since."""

    nick: int


@pytest.fixture
def foreign():
    """Give a way to open a database that another program wrote."""
    managers = []

    def open_db(record, **options):
        name = f"memory://foreign-{len(managers)}-{record!r}"
        sf = Storify(name, save_interval=None, models=[User, Admin, Order, Renamed])
        managers.append(sf)
        for key, value in {"ann": User("Ann", 31), "bad": record}.items():
            with Storify(name, save_interval=None, models=[type(value)]) as other:
                other.get_db("d")[key] = value
        return sf.get_db("d", **options)

    yield open_db
    for sf in managers:
        for db in sf.databases:
            db.close(discard=True)


@pytest.mark.parametrize(
    ("record", "model"),
    [(Stored0(3), User), (Stored1(3), User), (Stored3(3), Renamed)],
)
def test_of_refuses_a_record_of_the_class_that_does_not_fit(foreign, record, model):
    """By its name, a former name, or that of a class below it."""
    db = foreign(record)

    with pytest.raises(ModelLoadError, match=r"\['bad'\]"):
        db.of(model).list()
    with pytest.raises(ModelLoadError, match=r"\['bad'\]"):
        db.of(model).count()


@pytest.mark.parametrize("record", [Stored0(3), Stored2(3)])
def test_of_leaves_out_what_is_of_another_class(foreign, record):
    """Also what could not be loaded or is not known: it is no plain dict."""
    db = foreign(record)

    assert db.of(Order).list() == []
    assert db.of(dict).list() == []
    assert db.where(lambda each: isinstance(each, dict)).count() == 1


@pytest.mark.parametrize("record", [Stored0(3), Stored2(3)])
def test_a_record_that_does_not_fit_a_typed_database_is_an_error(foreign, record):
    """As it is when it is read, whatever the test would say of it."""
    db = foreign(record, model=User)
    first = db.where().limit(1)

    for query in (db.where(), db.where(is_adult), db.where().sorted(str), db.of(User)):
        with pytest.raises(ModelLoadError, match=r"\['bad'\]"):
            query.list()
    assert first.list() == [db["ann"]]
    assert db.where().count() == 2


def test_a_misfit_that_came_meanwhile_is_an_error_as_well(foreign):
    """In a typed database, also where the record fitted when it was seen."""
    db = foreign(User("Bob", 3), model=User)
    other = Storify(db.path.rsplit("/", 1)[0], save_interval=None).get_db("d")
    run = iter(db.where())
    next(run)

    other["bad"] = Stored0(3)
    other.close()
    db.reload()

    with pytest.raises(ModelLoadError, match=r"\['bad'\]"):
        next(run)


# --- what it costs --------------------------------------------------------------
def test_what_is_only_looked_at_is_not_handed_out(db):
    """Counting leaves a database as clean as it was."""
    data = db._session.data

    assert db.where(is_adult).count() == 2
    assert next(db.where().sorted(attrgetter("age")).keys()) == "bob"
    assert not db.where(lambda user: user.age > 99).exists()
    assert db.where(lambda user: user.age > 99).list() == []

    assert data.is_clean()
    assert db.dirty() == set()
    assert all(type(slot) is Stored for slot in dict.values(data))


def test_only_what_is_given_is_handed_out(db):
    """Whatever was seen on the way."""
    assert db.where(is_adult).sorted(attrgetter("age")).first().name == "Ann"
    assert live(db) == {"ann"}

    assert len(db.where(is_adult).list()) == 2
    assert live(db) == {"ann", "cia"}


def test_what_was_seen_and_wanted_is_decoded_once(db, monkeypatch):
    """The object that the test saw is the one that is given."""
    seen = []

    def note(user):
        seen.append(user)
        return True

    given = db.where(note).list()

    assert all(one is other for one, other in zip(seen, given, strict=True))
    assert given == list(db.values())


def test_a_run_that_stops_early_decodes_a_few(sf):
    """The first records cost little in a large database."""
    db = sf.get_db("large")
    db.update({str(number): [number] for number in range(5000)})
    db.flush()
    db.load()
    codec, decoded = db._session.codec, []

    class Counting:
        def decode_all(self, blobs):
            decoded.append(len(blobs))
            return codec.decode_all(blobs)

        def __getattr__(self, name):
            return getattr(codec, name)

    db._session.data.codec = Counting()

    assert db.where().first() == [0]
    assert sum(decoded) < 50
    assert db.where().count() == 5000
    assert sum(decoded) < 50
    assert db.where(lambda each: each[0] >= 0).count() == 5000
    assert max(decoded) > 500


def test_a_settled_record_is_seen_as_it_is(db):
    """What a flush let go of is the same object still."""
    identity = id(db["ann"])
    db.flush()
    assert db._session.data.is_clean()

    seen = []
    assert db.where(lambda user: seen.append(id(user)) or is_adult(user)).count() == 2

    assert seen[0] == identity
    assert db._session.data.is_clean()
    assert id(db.where().first()) == identity


def test_a_query_runs_during_a_flush(db):
    """What is being saved can be seen and handed out."""
    db["ann"].age = 99
    del db["bob"]
    pending = db._session.begin_flush("test")

    assert list(db.where(is_adult).keys()) == ["ann", "cia"]
    given = db.where(lambda user: user.age == 99).one()
    given.age = 98
    pending.drop()

    assert db["ann"] is given
    assert db.dirty() == {"ann", "bob"}


# --- changes during a run -------------------------------------------------------
def test_records_may_come_and_go_during_a_run(db):
    """Deleted ones are left out, new ones are not seen."""
    names = []

    for key, user in db.where().items():
        names.append(user.name)
        db[f"new {key}"] = User(f"new {user.name}")
        db.pop("cia", None)

    assert names == ["Ann", "Bob", "Dan"]


def test_a_live_record_that_was_deleted_meanwhile_is_left_out(db):
    """Though it was seen before."""
    users = dict(db.items())
    run = iter(db.where(is_adult))
    next(run)

    del db["cia"]

    assert list(run) == []
    assert users["cia"].age == 45


@pytest.mark.parametrize("age", [50, 5])
def test_what_was_set_meanwhile_is_tested_anew(db, age):
    """It is given if it passes still."""
    run = iter(db.where(is_adult))
    next(run)

    db["cia"] = User("New", age)

    assert list(run) == ([db["cia"]] if age == 50 else [])


@pytest.mark.parametrize("age", [50, 5])
def test_what_was_set_since_it_was_sorted_is_tested_anew(db, age):
    """It keeps its place."""
    run = iter(db.where(is_adult).sorted(lambda user: -user.age))
    assert next(run).name == "Cia"

    db["ann"] = User("New", age)
    db["zoe"] = User("Zoe", 99)

    assert list(run) == ([db["ann"]] if age == 50 else [])


@pytest.mark.parametrize("age", [50, 5])
def test_what_a_sort_key_replaces_is_tested_anew(db, age):
    """Before it is handed out or counted."""

    def sort_key(user):
        if user.name == "Ann":
            db["cia"] = User("New", age)
        return user.age

    assert db.where(is_adult).sorted(sort_key).count() == (2 if age == 50 else 1)


def test_a_run_sees_the_root_that_it_began_with(db):
    """Also if the database is loaded anew meanwhile."""
    run = iter(db.where())
    next(run)

    db.load()

    assert [user.name for user in run] == ["Bob", "Cia", "Dan"]


def test_a_run_begins_when_it_is_asked_for(db):
    """Not when its first record is taken."""
    run = iter(db.where().keys())

    db["eva"] = User("Eva")

    assert list(run) == ["ann", "bob", "cia", "dan"]


def test_other_threads_may_write_during_a_run(sf):
    """Each record that is given was there, and passed."""
    db = sf.get_db("busy")
    db.update({number: [number, number] for number in range(500)})
    db.flush()
    db.load()
    stop = threading.Event()
    started = threading.Barrier(2)

    def write():
        started.wait()
        number = 0
        while not stop.is_set():
            number += 1
            db[number % 500] = [number % 500, number % 500]
            db.pop((number * 7) % 500, None)
            db[500 + number % 50] = [number, number]
            if number % 20 == 0:
                db.flush()

    writer = threading.Thread(target=write)
    writer.start()
    started.wait()
    try:
        for _ in range(30):
            found = list(db.where(lambda each: each[0] == each[1]).items())
            assert all(value[0] == value[1] for _, value in found)
            assert db.where(lambda each: each[0] != each[1]).count() == 0
            assert len(db.where().sorted(lambda each: each[0]).limit(5).list()) <= 5
    finally:
        stop.set()
        writer.join()


# --- errors ---------------------------------------------------------------------
class OddError(Exception):
    """What a function of the user's raises."""


def fail(user):
    """Refuse one record."""
    if getattr(user, "name", user) in ("Cia", "CIA"):
        raise OddError
    return True


@pytest.mark.parametrize(
    "make",
    [
        lambda db: db.where(fail),
        lambda db: db.of(fail),
        lambda db: db.where().sorted(fail),
        lambda db: db.where().map(fail),
        lambda db: db.where().map(lambda user: user.name).sorted(fail),
        lambda db: db.where().map(lambda user: user.name).where(fail),
    ],
    ids=["where", "of", "sorted", "map", "sorted by what was made", "where of that"],
)
def test_an_error_of_the_users_function_names_the_record(db, make):
    """It comes out as it is, with a note."""
    with pytest.raises(OddError) as caught:
        make(db).list()

    assert caught.value.__notes__ == ["the record is $['cia']"]


def test_an_error_about_what_was_set_meanwhile_names_the_record(db):
    """The test is asked anew, and may fail then."""
    run = iter(db.where(lambda user: 100 / (user.age - 50)))
    next(run)

    db["bob"] = User("New", 50)

    with pytest.raises(ZeroDivisionError) as caught:
        next(run)
    assert caught.value.__notes__ == ["the record is $['bob']"]


@pytest.mark.files("it damages a record in memory, which a small file alone is all in")
def test_a_record_that_cannot_be_decoded_is_an_error_when_it_is_reached(sf):
    """Those before it and behind it are given."""
    db = sf.get_db("damaged")
    db.update(a=1, b="text", c=3)
    db.flush()
    db.load()
    data = db._session.data
    dict.__setitem__(data, "b", Stored(b"\xc1"))

    assert db.where().limit(1).list() == [1]
    assert db.where(lambda each: each == 1).exists()
    with pytest.raises(DatabaseLoadError, match="'b'"):
        db.where(lambda each: each == 3).first()
    del db["b"]
    assert db.where().list() == [1, 3]


def test_a_query_has_no_truth_value(db):
    """It would have to run; `exists` says what is meant."""
    with pytest.raises(TypeError, match=r"exists\(\)"):
        bool(db.where())


@pytest.mark.parametrize(
    ("count", "error"), [(-1, ValueError), ("3", TypeError), (True, TypeError)]
)
def test_a_limit_is_a_number_of_records(db, count, error):
    """Anything else is refused at once."""
    with pytest.raises(error, match="cannot limit a query of database 'people'"):
        db.where().limit(count)
    with pytest.raises(error, match="cannot offset a query of database 'people'"):
        db.where().offset(count)


def test_a_query_of_a_closed_database_does_not_run(db):
    """Also one that was made before."""
    query = db.where()
    db.close()

    with pytest.raises(DatabaseClosedError):
        query.count()


def test_the_text_of_a_query_tells_its_steps(db):
    """No values of records."""
    query = db.where(is_adult).of(Admin).sorted(attrgetter("age"), reverse=True)

    assert repr(db.where()) == "<Query of database 'people': all>"
    assert repr(query.limit(3).map(str)) == (
        "<Query of database 'people': where(is_adult).of(Admin)"
        ".sorted(key=attrgetter, reverse=True).limit(3).map(str)>"
    )
    assert repr(db.where().offset(4)) == "<Query of database 'people': offset(4)>"
    assert repr(db.where(lambda _: True).sorted().where().limit(1)) == (
        "<Query of database 'people': where(<lambda>).sorted().limit(1)>"
    )


# --- the law --------------------------------------------------------------------
TESTS = {
    "even": lambda each: each[0] % 2 == 0,
    "small": lambda each: each[0] < 3,
    "all": lambda _: True,
    "none": lambda _: False,
}
KEYS = {"first": lambda each: each[0], "last": lambda each: -each[1], None: None}
MAPS = {"swap": lambda each: [each[1], each[0]], "same": lambda each: each}

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("where"), st.sampled_from(sorted(TESTS))),
        st.tuples(
            st.just("sorted"), st.tuples(st.sampled_from([*KEYS]), st.booleans())
        ),
        st.tuples(st.just("limit"), st.integers(0, 12)),
        st.tuples(st.just("offset"), st.integers(0, 12)),
        st.tuples(st.just("map"), st.sampled_from(sorted(MAPS))),
    ),
    max_size=5,
)


def query_of(db, steps):
    """Build a query."""
    query = db.where()
    for step, value in steps:
        if step == "where":
            query = query.where(TESTS[value])
        elif step == "sorted":
            query = query.sorted(KEYS[value[0]], reverse=value[1])
        elif step == "limit":
            query = query.limit(value)
        elif step == "offset":
            query = query.offset(value)
        else:
            query = query.map(MAPS[value])
    return query


def plain(pairs, steps):
    """Do the same in plain Python."""
    for step, value in steps:
        if step == "where":
            pairs = [pair for pair in pairs if TESTS[value](pair[1])]
        elif step == "sorted":
            key = KEYS[value[0]] or (lambda each: each)
            pairs = sorted(
                pairs, key=lambda pair, key=key: key(pair[1]), reverse=value[1]
            )
        elif step == "limit":
            pairs = pairs[:value]
        elif step == "offset":
            pairs = pairs[value:]
        else:
            pairs = [(key, MAPS[value](each)) for key, each in pairs]
    return pairs


RECORDS = st.dictionaries(
    st.integers(0, 40) | st.text(max_size=2),
    st.lists(st.integers(0, 5), min_size=2, max_size=2),
    max_size=30,
)


@given(
    records=RECORDS,
    steps=STEPS,
    read=st.sets(st.integers(0, 29)),
    changed=st.sets(st.integers(0, 29)),
    settle=st.booleans(),
    as_list=st.booleans(),
)
def test_a_query_is_the_same_pipeline_of_plain_python(
    records, steps, read, changed, settle, as_list
):
    """Over undecoded, settled, live and changed records alike, in dicts and lists."""
    with Storify("memory://", save_interval=None) as sf:
        db = sf.get_db("d", root=list(records.values()) if as_list else records)
        db.flush()
        db.load()
        keys = list(range(len(db))) if as_list else list(db)
        for place in read & set(range(len(keys))):
            assert db[keys[place]]
        if settle:
            db.flush()
        for place in changed & set(range(len(keys))):
            db[keys[place]][0] += 1
        before = set() if as_list else live(db)
        query = query_of(db, steps)

        count, exists, names = query.count(), query.exists(), list(query.keys())
        seen = set() if as_list else live(db)
        given, items = query.list(), list(query.items())

        wanted = plain([(key, db[key]) for key in keys], steps)
        assert items == wanted
        assert given == [value for _, value in wanted]
        assert names == [key for key, _ in wanted]
        assert (count, exists) == (len(wanted), bool(wanted))
        assert query.first() == next((value for _, value in wanted), None)
        if not any(step == "map" for step, _ in steps):
            assert seen == before
            assert all(value is db[key] for key, value in items)
