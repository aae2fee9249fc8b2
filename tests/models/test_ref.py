"""`Ref`: a typed reference to a record, followed within one Storify."""

import copy
import gc
import pickle
import threading
import weakref
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storify import (
    DanglingRefError,
    Database,
    DatabaseLoadError,
    Misfit,
    Model,
    ModelLoadError,
    Ref,
    Storify,
    UnstorableError,
    extras,
)
from storify.database.live.ownership import RELIABLE
from storify.models import Registry


class User(Model):
    """A record that others refer to, and that may refer to its like."""

    name: str
    boss: "Ref[User] | None" = None
    team: "list[Ref[User]]" = []


class Order(Model):
    """A record that refers to one of another database."""

    customer: Ref[User]
    note: str = ""


class Warnings:
    """A logger that keeps what it is told."""

    def __init__(self):
        self.told = []

    def debug(self, msg):
        """Drop it."""

    def warning(self, msg):
        """Keep it."""
        self.told.append(msg)

    info = error = traceback = debug


class Holds(Model):
    """A record that refers to one somewhere inside."""

    what: Any


@pytest.fixture
def sf(anywhere):
    """A Storify with one user."""
    with Storify(anywhere, None) as storify:
        storify.get_db("users", model=User)["u1"] = User("Ann")
        yield storify


def reopened(sf):
    """Close all databases, so that they are read anew."""
    sf.close()
    return sf


def written(value):
    """Give what a database with *value* under a key is for another program."""
    with Storify("memory://", None) as storify:
        db = storify["any"]
        db["k"] = value
        payload = db._session.codec.join(db._session.codec.encode_items(dict(db)))
    return msgpack.unpackb(payload)["k"]


def test_a_reference_gives_the_live_record(sf):
    """Made, stored, and read again; a change is seen by all who hold it."""
    sf.get_db("orders", model=Order)["o1"] = Order(sf["users"].ref("u1"))

    assert sf["orders"]["o1"].customer() is sf["users"]["u1"]
    reopened(sf)
    customer = sf.get_db("orders", model=Order)["o1"].customer
    customer().name = "Bea"
    assert customer.get() is sf["users"]["u1"]
    assert sf["users"]["u1"].name == "Bea"


def test_the_form_in_the_file_is_a_record():
    """As the format says: the name of the database, and the key."""
    assert written(Ref("users", "u1")) == {
        "__storify_ref__": {"db": "users", "key": "u1"}
    }
    assert written(Order(Ref("users", 5)))["__Order__"]["customer"] == {
        "__storify_ref__": {"db": "users", "key": 5}
    }


@pytest.mark.parametrize("key", ["u2", 5, ("a", 1), None])
def test_a_reference_to_no_record_dangles(sf, key):
    """The error names database and key; get() gives None."""
    ref = sf["users"].ref(key)

    assert ref.get() is None
    with pytest.raises(DanglingRefError) as caught:
        ref()
    assert str(caught.value) == (
        f"cannot follow the reference to key {key!r} of database 'users': there is no "
        "such record; use get() where it may be gone"
    )
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize(
    ("db", "key"),
    [
        ("none", "k"), ("bad/name", "k"), ("CON", "k"), ("", "k"), ("list", 2),
        ("list", -1), ("list", "k"), ("users", ["unhashable"]), ("Users", "u1"),
    ],
)  # fmt: skip
def test_a_reference_into_nowhere_dangles(sf, db, key):
    """Whatever stands in a file; no database is made for it."""
    sf["list"].data = ["a", "b"]
    names = list(sf)

    assert Ref._to(db, key, sf._schema.resolver).get() is None
    assert list(sf) == names


def test_a_reference_finds_items_of_a_list(sf):
    """By their indexes."""
    sf["list"].data = ["a", "b"]

    assert sf["list"].ref(1)() == "b"


def test_a_reference_to_what_was_deleted_or_renamed_dangles(tmp_path):
    """It is an error where it is followed, never where it is read."""
    with Storify(tmp_path, None, models=[User]) as sf:
        sf["a"]["k"] = sf["b"]["k"] = User("Ann")
        sf["refs"].data = {"a": sf["a"].ref("k"), "b": sf["b"].ref("k")}
    with Storify(tmp_path, None, models=[User]) as sf:
        refs = sf["refs"]
        assert refs["a"]() == refs["b"]() == User("Ann")
        sf["b"].close()
        sf.rename_db("b", "c")

        del sf["a"]["k"]

        assert refs["a"].get() is refs["b"].get() is None
        assert sf.check() == [
            Misfit(f"$['{name}']", "dangling ref", f"a record of database '{name}'",
                   "nothing", "refs")
            for name in "ab"
        ]  # fmt: skip


def test_a_reference_opens_its_database_once(tmp_path):
    """Also for many threads; it stays open as if it had been got."""
    with Storify(tmp_path, None, models=[User]) as sf:
        sf["users"]["u1"] = User("Ann")
    with Storify(tmp_path, None, models=[User]) as sf:
        ref = Ref._to("users", "u1", sf._schema.resolver)
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(ref())) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [db.name for db in sf.databases] == ["users"]
        assert all(each is sf["users"]["u1"] for each in found)
        assert len(found) == 8


def test_a_reference_made_by_hand_is_followed_after_a_load(sf):
    """Nobody knows before which databases it means."""
    sf["refs"]["k"] = ref = Ref("users", "u1")

    for follow in (ref, ref.get):
        with pytest.raises(
            DanglingRefError, match=r"'u1' of database 'users'.*db\.ref"
        ):
            follow()
    reopened(sf)
    assert sf["refs"]["k"]() == User("Ann")


def test_references_of_a_database_that_was_opened_alone_are_not_followed(tmp_path):
    """It has no others to look in, and says so."""
    with Database(path=tmp_path / "a.mpack") as db:
        db["k"] = db.ref("k")
    with Database(path=tmp_path / "a.mpack") as db:
        assert db["k"] == Ref("a", "k")
        with pytest.raises(DanglingRefError, match="loaded without a Storify"):
            db["k"]()


def test_a_reference_keeps_no_storify_alive():
    """It says that its Storify is gone."""
    sf = Storify("memory://", None)
    sf["users"]["u1"] = 1
    ref = sf["users"].ref("u1")
    sf.close()
    here = weakref.ref(sf)

    del sf
    gc.collect()

    assert here() is None
    for follow in (ref, ref.get):
        with pytest.raises(DanglingRefError, match="its Storify is gone"):
            follow()


def test_a_record_that_does_not_fit_its_class_is_an_error(tmp_path):
    """Whether its database has a type or not."""
    raw = {"u1": {"__User__": {}}}
    (tmp_path / "users.mpack").write_bytes(msgpack.packb(raw))
    for model in (None, User):
        with Storify(tmp_path, None, Warnings(), models=[User]) as sf:
            ref: Ref[Any] = sf.get_db("users", model=model).ref("u1")

            for follow in (ref, ref.get):
                with pytest.raises(ModelLoadError, match=r"\['u1'\].name"):
                    follow()


def test_a_reference_into_a_damaged_database_raises_what_opening_it_does(tmp_path):
    """That is no missing record."""
    (tmp_path / "users.mpack").write_bytes(b"\xc1")
    with Storify(tmp_path, None, Warnings()) as sf:
        ref: Ref[Any] = Ref._to("users", "u1", sf._schema.resolver)

        for follow in (ref, ref.get):
            with pytest.raises(DatabaseLoadError):
                follow()


def test_references_are_known_without_being_registered(tmp_path):
    """In a program that never heard of them, and without a warning."""
    log = Warnings()
    with Storify(tmp_path, None, log) as sf:
        sf["any"]["k"] = {"a": [Ref("any", "k")]}
    with Storify(tmp_path, None, log) as sf:
        ref = sf["any"]["k"]["a"][0]

        assert type(ref) is Ref
        assert ref() is sf["any"]["k"]
        assert sf["any"].dirty() == set()
    assert log.told == []


def test_plain_data_do_not_make_references_known():
    """What nobody uses costs nothing."""
    registry = Registry()

    registry.structure({"__storify_other__": {}})

    assert "__storify_ref__" not in registry.keynames


def test_what_a_field_refers_to_is_registered(sf):
    """In a union, in a list, as a name in a string, and itself."""
    registry = Registry([Order])

    assert {"__Order__", "__User__", "__storify_ref__"} <= set(registry.keynames)
    boss = sf["users"].ref("u1")
    sf["users"]["u2"] = User("Bob", boss, [boss, sf["users"].ref("u2")])
    reopened(sf)
    bob = sf.get_db("users", model=User)["u2"]
    assert bob.boss() is bob.team[0]() is sf["users"]["u1"]
    assert bob.team[1]() is bob
    assert list(sf._schema.registry.misfits(User("x", Order(boss)), User)) == [
        Misfit("$.boss", "wrong type", "Ref[User] | None", "Order")
    ]


def test_records_with_references_are_written_the_short_way(sf):
    """Whatever scalar the key is; a tuple goes the long way."""
    sf.get_db("orders", model=Order)["o"] = Order(sf["users"].ref("u1"))
    sf.flush()
    schema = sf._schema
    lower, singles = schema.registry.lowers[Order], schema.codec._types.singles

    for key in ("u1", 5, None, b"x", date(2024, 1, 1)):
        assert lower(Order(Ref("users", key)), singles) is not None
    assert lower(Order(Ref("users", (1, 2))), singles) is None


@given(
    st.text(),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.dates() | st.uuids(),
        lambda inner: st.tuples(inner, inner),
    ),
)
def test_a_reference_comes_back_equal(db, key):
    """With any name and key, and is followed in the Storify that read it."""
    with Storify("memory://", None) as sf:
        sf["refs"]["k"] = [ref := Ref(db, key), Order(ref)]
        sf.close()

        (loaded, order) = sf["refs"]["k"]

        assert loaded == order.customer == ref
        assert hash(loaded) == hash(ref)
        assert type(loaded.key) is type(key)
        assert loaded.get() is None


def test_references_are_values(sf):
    """Equal by database and key, hashable, frozen, shown without more."""
    ref = sf["users"].ref("u1")

    assert ref == Ref("users", "u1") != Ref("users", "u2")
    assert len({ref, Ref("users", "u1"), Ref("other", "u1")}) == 2
    assert repr(ref) == "Ref(db='users', key='u1')"
    with pytest.raises(AttributeError):
        ref.key = "u2"


def test_copies_are_followed_and_pickles_are_not(sf):
    """Copies stay in this process; a pickle may go anywhere."""
    ref = sf["users"].ref("u1")
    order = Order(ref)

    for same in (copy.copy(ref), copy.deepcopy(ref), copy.deepcopy(order).customer,
                 ref.evolve(key="u1")):  # fmt: skip
        assert same() is sf["users"]["u1"]
    assert ref.evolve(key="u2").get() is None
    pickled = pickle.loads(pickle.dumps(ref))  # noqa: S301 - our own
    assert pickled == ref
    with pytest.raises(DanglingRefError, match=r"db\.ref"):
        pickled()
    assert ref() is sf["users"]["u1"]


def test_a_reference_with_an_unknown_name_is_followed_too(tmp_path):
    """A later program may write more; it is kept."""
    raw = {"k": {"__storify_ref__": {"db": "refs", "key": "k", "more": 1}}}
    (tmp_path / "refs.mpack").write_bytes(msgpack.packb(raw))
    with Storify(tmp_path, None) as sf:
        ref = sf["refs"]["k"]

        assert ref() is ref
        assert extras(ref) == {"more": 1}


def test_a_reference_to_one_of_several_types_is_to_what_is_there(sf):
    """What is not there yet, or cannot be read, may be of any."""
    db = sf.get_db("mixed", model=(User, Order))
    db["u"] = User("Ann")
    db["o"] = Order(db.ref("u", User))

    assert db.ref("u", User) == db.ref("u")
    assert db.ref("new", Order) == db.ref("new")
    assert db["o"].customer() is db["u"]
    with pytest.raises(TypeError, match=r"Ref.Order. to .*'u'.* a User"):
        db.ref("u", Order)


def test_what_is_shared_by_value_comes_back_as_copies(sf):
    """What is to stay one record is referred to."""
    ann = User("Ann")
    sf["pairs"].data = {"a": [ann], "b": [ann]}
    reopened(sf)

    assert sf["pairs"]["a"] == sf["pairs"]["b"]
    assert sf["pairs"]["a"][0] is not sf["pairs"]["b"][0]


def test_records_with_references_settle_when_they_are_saved(sf):
    """A flush does not look at them again, unless somebody holds the record."""
    orders = sf.get_db("orders", model=Order)
    ref = sf["users"].ref("u1")
    orders["own"], orders["shared"] = Order(sf["users"].ref("u1")), Order(ref)
    orders["key"] = Order(sf["users"].ref(("a", 1)))
    orders["held"] = held = Order(ref)
    orders.flush()

    if RELIABLE:
        assert [base.key for base in orders._session.data.live] == ["held"]
    held.note = "changed"
    assert orders.dirty() == {"held"}


def test_another_writer_changes_no_reference_that_is_held(tmp_path):
    """A record gets another one; the old one stays in other records and sets."""
    with Storify(tmp_path, None) as one, Storify(tmp_path, None, models=[Order]) as two:
        mine, theirs = one.get_db("orders", model=Order), two["orders"]
        ref = mine.ref("x")
        known = {ref}
        mine["a"], mine["b"] = Order(ref), Order(ref)
        mine.flush()
        order = mine["a"]
        theirs.flush()
        theirs["a"].customer = Ref("orders", "y")
        theirs.flush()

        mine.flush()

        assert mine["a"] is order
        assert order.customer == Ref("orders", "y")
        assert ref in known
        assert mine["b"].customer == Ref("orders", "x")
        assert mine.dirty() == set()


@pytest.mark.parametrize(
    ("hold", "place"),
    [
        (Order, ".customer"),
        (lambda ref: User("Bo", ref, [ref]), ".boss"),
        (lambda ref: Holds([ref]), ".what[0]"),
        (lambda ref: {"in": (ref,)}, "['in'][0]"),
    ],
    ids=["field", "list of them", "anywhere", "no model"],
)
@pytest.mark.parametrize("roots", [("one", "two"), ("memory://", "memory://")])
def test_a_reference_of_another_folder_is_refused(tmp_path, hold, place, roots):
    """Only name and key are stored, so it would lead elsewhere."""
    places = [r if "://" in r else str(tmp_path / r) for r in roots]
    with Storify(places[0]) as one, Storify(places[1]) as two:
        for each in (one, two):
            each.get_db("users", model=User)["u1"] = User("Ann")
        db = two["d"]
        db["good"] = hold(two["users"].ref("u1"))
        db.flush()  # what is generated for the class is there
        ref = one["users"].ref("u1")
        db["k"] = hold(ref)

        with pytest.raises(UnstorableError, match="would lead elsewhere") as caught:
            db.flush()

        assert caught.value.path == f"$['k']{place}"
        assert db["k"] is not None
        del db["k"]


def test_a_reference_of_the_same_folder_is_stored(tmp_path):
    """Also one of a Storify that is gone, and one that was made by hand."""
    with Storify(tmp_path) as one:
        one.get_db("users", model=User)["u1"] = User("Ann")
        ref = one["users"].ref("u1")
    (tmp_path / "link").symlink_to(tmp_path)
    with Storify(tmp_path / "link") as two:
        orders = two.get_db("orders", model=Order)
        orders["a"], orders["b"] = Order(ref), Order(Ref("users", "u1"))
        orders.flush()
        orders.load()
        assert [order.customer().name for order in orders.values()] == ["Ann", "Ann"]


@dataclass
class Ticket:
    """A dataclass that refers to a user."""

    owner: Ref[User]


class Desk(Model):
    """A record with references in each kind of place."""

    boss: Ref[User] | None = None
    team: list[Ref[User]] = []
    by_name: dict[str, Ref[User]] = {}
    pair: tuple[int, Ref[User]] | None = None
    either: "Ref[User] | Ref[Order] | None" = None
    ticket: Ticket | None = None
    open: Ref[Any] | None = None


LEADING: dict[str, Any] = {
    "Desk.boss": (lambda ref: Desk(boss=ref), lambda desk: desk.boss),
    "Desk.team": (lambda ref: Desk(team=[ref]), lambda desk: desk.team[0]),
    "Desk.by_name": (lambda ref: Desk(by_name={"a": ref}), lambda d: d.by_name["a"]),
    "Desk.pair": (lambda ref: Desk(pair=(1, ref)), lambda desk: desk.pair[1]),
    "Ticket.owner": (lambda ref: Desk(ticket=Ticket(ref)), lambda d: d.ticket.owner),
    "a value of Ref": (lambda ref: ref, lambda ref: ref),
}


@pytest.mark.parametrize("place", LEADING)
@pytest.mark.parametrize("get", [False, True], ids=["call", "get"])
def test_a_reference_that_leads_to_another_kind_of_record_is_an_error(
    tmp_path, place, get
):
    """It names the annotation and the record; what fits is given."""
    make, take = LEADING[place]
    model: Any = Ref[User] if place.startswith("a value") else Desk
    with Storify(tmp_path, models=[User, Desk], types=[Ticket]) as sf:
        things = sf["things"]
        things.update(user=User("Ann"), number=3)
        holders = sf.get_db("holders", model=model)
        holders.update(good=make(things.ref("user")), bad=make(things.ref("number")))

    with Storify(tmp_path, models=[User, Desk], types=[Ticket]) as sf:
        holders = sf.get_db("holders", model=model)
        good, bad = take(holders["good"]), take(holders["bad"])
        wanted = rf"in {place}.* to \$\['number'\] of database 'things'"
        with pytest.raises(ModelLoadError, match=wanted) as caught:
            bad.get() if get else bad()
        assert caught.value.path == "$['number']"
        assert (good.get() if get else good()) == User("Ann")
        sf["things"]["number"] = User("Bo")
        assert (bad.get() if get else bad()) == User("Bo")


def test_a_reference_to_one_of_several_classes_is_followed_to_any(tmp_path):
    """And so is one to anything."""
    with Storify(tmp_path, models=[User, Order, Desk]) as sf:
        things = sf["things"]
        things.update(user=User("Ann"), order=Order(things.ref("user")), number=3)
        desk = Desk(either=things.ref("order"), open=things.ref("number"))
        sf["desks"]["d"] = desk

    with Storify(tmp_path, models=[User, Order, Desk]) as sf:
        desk = sf["desks"]["d"]
        assert isinstance(desk.either(), Order)
        assert desk.open() == 3


def test_a_loaded_reference_is_pickled_without_what_is_expected_of_it(tmp_path):
    """That is known in this process alone."""
    with Storify(tmp_path) as sf:
        users = sf.get_db("users", model=User)
        users["a"] = User("Ann", boss=users.ref("a"))

    with Storify(tmp_path) as sf:
        boss = sf.get_db("users", model=User)["a"].boss
        assert pickle.loads(pickle.dumps(boss)) == boss  # noqa: S301 -- our own
