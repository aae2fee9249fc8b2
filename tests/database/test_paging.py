"""A large database is asked for the records that are needed, and is a dict all the same."""

import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.database import journaling, paging
from storify import Database, Model, Storify
from storify.codec import Codec
from storify.database.live.data import Data
from storify.database.live.slots import Slots
from storify.engine.file import snapshot
from storify.exceptions import CorruptionError

CODEC = Codec()
FDS = Path("/proc/self/fd")


pytestmark = pytest.mark.lasting("what is in memory is read whole")


class User(Model):
    """A record."""

    name: str
    age: int = 0


class Name(StrEnum):
    """Texts with a name."""

    ANN = "ann"


@pytest.fixture(autouse=True)
def _paging():
    with paging():
        yield


def make(place, content, **options):
    """Save a database and close it."""
    options = {"save_interval": None, "models": [User], **options}
    with Storify(place, **options) as sf:
        sf.get_db("d", root=content)


def open_db(place, **options) -> Database:
    """Open it as a new program would."""
    options = {"save_interval": None, "models": [User], **options}
    return Storify(place, **options).get_db("d")


def is_filled(db) -> bool:
    """Whether all keys were read."""
    live = db._session.root.live
    assert isinstance(live, Data)
    return live.is_filled()


USERS = {name: User(name, age) for age, name in enumerate(["ann", "bob", "cid", "dan"])}


def test_single_records_are_read_changed_and_saved_without_the_others(anywhere):
    """Each operation on a key, and the number of keys."""
    make(anywhere, USERS)
    db = open_db(anywhere)

    assert db["bob"] == User("bob", 1)
    assert db["bob"] is db["bob"] is db.get("bob")
    assert "cid" in db
    assert "eve" not in db
    assert db.get("eve") is None
    assert len(db) == 4
    with pytest.raises(KeyError, match="eve"):
        db["eve"]
    db["bob"].age = 50
    db["eve"] = User("eve")
    del db["ann"]
    assert db.pop("cid").name == "cid"
    assert db.setdefault("dan", User("no")).name == "dan"
    assert len(db) == 3
    assert db.dirty() == {"ann", "bob", "cid", "eve"}
    db.flush()
    assert len(db) == 3
    assert "ann" not in db
    assert not is_filled(db)
    db.close()

    again = open_db(anywhere)
    assert list(again.items()) == [
        ("bob", User("bob", 50)),
        ("dan", User("dan", 3)),
        ("eve", User("eve")),
    ]


def test_the_dict_that_a_user_gets_is_whole(anywhere):
    """And is the same ever after, with the objects that were handed out before."""
    make(anywhere, USERS)
    db = open_db(anywhere)
    bob = db["bob"]
    db["new"] = User("new")

    data = db.data

    assert dict(data) == {**USERS, "new": User("new")}
    assert list(data) == [*USERS, "new"]
    assert data["bob"] is bob
    assert db.data is data
    db["ann"].age = 7
    assert data["ann"].age == 7


@pytest.mark.parametrize(
    "look",
    [list, dict, lambda db: [*db.values()], lambda db: db | {}, lambda db: db.copy()],
    ids=["list", "dict", "values", "or", "copy"],
)
def test_what_needs_all_records_streams_them(anywhere, look):
    """In the order of the file."""
    make(anywhere, USERS)
    db = open_db(anywhere)
    db["cid"]

    assert list(look(db)) == list(look(USERS) if look in (list, dict) else look(db))
    assert not is_filled(db)
    assert list(db) == list(USERS)


class Pair:
    """A paged database and the dict that it must be like."""

    def __init__(self, root, first, cache_bytes):
        self.root = root
        self.cache_bytes = cache_bytes
        self.held = {}
        self.model: dict[str, list[int]] = {key: [at] for at, key in enumerate(first)}
        make(root, {key: list(value) for key, value in self.model.items()})
        self.open()

    def open(self):
        """Open it, with as much memory as it is to have."""
        self.db = open_db(self.root, cache_bytes=self.cache_bytes)

    def hold(self, key, _):
        """Hold a value, which is the same as long as it is held."""
        if key in self.model:
            self.held[key] = self.db[key], self.model[key]

    def change_held(self, key, number):
        """Change what is held, if it is still the one that is there."""
        mine, theirs = self.held.get(key, (None, None))
        if mine is not None and self.model.get(key) is theirs:
            mine.append(number)
            theirs.append(number)

    def change_all(self, _, number):
        """Change all values while walking through them, and save in the middle."""
        for at, (key, value) in enumerate(self.db.items()):
            value.append(number)
            self.model[key].append(number)
            if at % 2:
                self.db.flush()

    def find(self, _, number):
        """Ask for some, and change them."""
        found = self.db.where(lambda value: len(value) > 1)
        wanted = [key for key, value in self.model.items() if len(value) > 1]
        for key, value in found.items():
            value.append(number)
            self.model[key].append(number)
            assert key == wanted.pop(0)
        assert not wanted
        assert not self.db.check()

    def fill(self, _key, _number):
        """Ask for the dict."""
        assert dict(self.db.data) == self.model

    def get(self, key, _):
        """Read it."""
        assert self.db.get(key) == self.model.get(key)
        assert (key in self.db) == (key in self.model)

    def set(self, key, number):
        """Set it."""
        self.db[key], self.model[key] = [number], [number]

    def pop(self, key, _):
        """Delete it."""
        assert self.db.pop(key, None) == self.model.pop(key, None)

    def change(self, key, number):
        """Change it in place."""
        if key in self.model:
            self.db[key].append(number)
            self.model[key].append(number)

    def flush(self, _key, _number):
        """Save."""
        self.db.flush()

    def list(self, _key, _number):
        """Read all."""
        assert list(self.db.items()) == list(self.model.items())

    def undo(self, key, number):
        """Change it in a block that is undone."""
        with suppress(ZeroDivisionError), self.db.transaction():
            self.db.setdefault(key, []).append(number)
            self.db["x"] = [number]
            raise ZeroDivisionError

    def undo_pop(self, key, _):
        """Delete it in such a block."""
        with suppress(ZeroDivisionError), self.db.transaction():
            self.db.pop(key, None)
            raise ZeroDivisionError

    def theirs(self, key, number):
        """Take over what another program has set."""
        self.by_another(lambda other: other.update({key: [number]}))
        self.model[key] = [number]

    def theirs_pop(self, key, _):
        """Take over what another program has deleted."""
        self.by_another(lambda other: other.pop(key, None))
        self.model.pop(key, None)

    def by_another(self, act):
        """Save, let another program act, and take that over."""
        self.db.flush()
        other = open_db(self.root, cache_bytes=self.cache_bytes)
        act(other)
        other.close()
        self.db.reload()


DOES = [Pair.get, Pair.set, Pair.pop, Pair.change, Pair.flush, Pair.list]
DOES += [Pair.undo, Pair.undo_pop, Pair.theirs, Pair.theirs_pop]
DOES += [Pair.hold, Pair.change_held, Pair.change_all, Pair.find, Pair.fill]
OPS = st.lists(st.tuples(st.sampled_from(DOES), st.sampled_from("abcdef")), max_size=12)


@given(
    first=st.lists(st.sampled_from("abcdef"), unique=True, min_size=1),
    ops=OPS,
    cache_bytes=st.sampled_from([0, 3, 1 << 30]),
)
def test_whatever_is_done_in_whatever_order_a_dict_does_the_same(
    tmp_path_factory, first, ops, cache_bytes
):
    """And so does the file, however little memory it has."""
    with paging(), journaling():
        pair = Pair(tmp_path_factory.mktemp("d"), first, cache_bytes)
        for number, (does, key) in enumerate(ops, 100):
            does(pair, key, number)
            assert len(pair.db) == len(pair.model)
        pair.list("", 0)
        pair.db.close()
        pair.open()
        pair.list("", 0)
        pair.db.close()


def in_memory(db):
    """The keys that have slots."""
    return list(dict.__iter__(db._session.root.live))


@pytest.mark.files("a page from a server has more than this database")
def test_what_nobody_holds_makes_room_for_what_is_read(anywhere):
    """Values that are held or changed stay, and so do their changes."""
    make(anywhere, {f"k{n}": User(f"k{n}", n) for n in range(100)})
    db = open_db(anywhere, cache_bytes=0)
    held = db["k1"]
    db["k2"].age = 200

    assert sum(user.age for user in db.values()) == sum(range(100)) + 198
    db["k0"]

    assert db["k1"] is held
    held.age = 100
    assert len(in_memory(db)) < 20
    assert len(db) == 100
    assert db.dirty() == {"k1", "k2"}
    db.close()
    again = open_db(anywhere)
    assert (again["k1"].age, again["k2"].age, again["k3"].age) == (100, 200, 3)


def test_what_was_saved_makes_room_as_well(anywhere):
    """The file gives it from then on, and whoever holds a record has the same one."""
    make(anywhere, {f"k{n}": User(f"k{n}", n) for n in range(100)})
    db = open_db(anywhere, cache_bytes=0)
    first = db["k0"]
    with journaling():
        for key, user in db.items():
            user.age += 1000
            if key.endswith("9"):
                db.flush()
        db["new"] = User("new")
        del db["k5"]
        db.flush()
        db["k1"]

    assert len(in_memory(db)) < 20
    assert db["k0"] is first
    assert "k5" not in db
    assert len(db) == 100
    assert [user.age for user in db.values()] == [
        n + 1000 for n in range(100) if n != 5
    ] + [0]
    db.close()
    assert list(open_db(anywhere))[-1] == "new"


def test_what_is_held_makes_no_work_until_it_is_let_go_of(tmp_path, monkeypatch):
    """After a bulk load it is looked at in vain; later the next commit makes room."""
    looks = []
    page_out = Slots.page_out
    monkeypatch.setattr(
        Slots, "page_out", lambda slots: looks.append(0) or page_out(slots)
    )
    mine = {f"k{n}": User("x" * 2000, n) for n in range(1000)}
    db = open_db(tmp_path, cache_bytes=0)
    db.update(mine)
    db.flush()
    assert looks == []

    mine.clear()
    db["new"] = User("new")
    db.flush()

    assert len(looks) == 1
    assert len(in_memory(db)) < 20
    assert sum(user.age for user in db.values()) == sum(range(1000))


def test_a_key_that_comes_while_all_are_walked_through_is_an_error(anywhere):
    """As of a dict; one that was known is none."""
    make(anywhere, USERS)
    db = open_db(anywhere, cache_bytes=0)

    def add():
        for key in db:
            db[key].age = 9
            db[f"{key}!"] = User("new")

    with pytest.raises(RuntimeError, match="changed size during iteration"):
        add()
    assert len(db) == 5


@pytest.mark.parametrize("cache_bytes", [-1, None, 0.5])
def test_the_room_is_a_number_of_bytes(anywhere, cache_bytes):
    """Anything else is said at once."""
    with pytest.raises(ValueError, match="cache_bytes must be a number of bytes"):
        Storify(anywhere, cache_bytes=cache_bytes)


@pytest.mark.files("it looks at the files")
def test_a_key_of_another_type_is_found_by_equality(root):
    """As in a dict: a member of an enum equals a text, True equals 1."""
    make(root, USERS)
    db = open_db(root)
    assert db[Name.ANN] == User("ann")
    assert db.get(1) is None
    numbers = Storify(root / "numbers", save_interval=None)
    numbers.get_db("d", root={1: "one", 2: "two", 300: "many"}).close()
    db = Storify(root / "numbers", save_interval=None).get_db("d")

    assert db[300] == "many"
    assert not is_filled(db)
    assert db[True] == "one"
    assert db[2.0] == "two"
    db[True] = "first"
    assert list(db) == [1, 2, 300]
    assert type(next(iter(db))) is int


def test_keys_of_more_than_one_type_are_read_at_once(anywhere):
    """There is no other way to find them all by equality."""
    make(anywhere, {"a": 1, 2: 3})

    assert is_filled(open_db(anywhere))


def test_another_writers_commits_are_brought_in(anywhere):
    """With what was changed here, and with what was never looked at."""
    make(anywhere, USERS)
    db, other = open_db(anywhere), open_db(anywhere)
    db["ann"].age = 70
    other["bob"].age = 71
    del other["cid"]
    other["eve"] = User("eve")
    other.flush()

    db.flush()

    assert not is_filled(db)
    assert "cid" not in db
    assert len(db) == 4
    assert {key: user.age for key, user in db.items()} == {
        "ann": 70,
        "bob": 71,
        "dan": 3,
        "eve": 0,
    }


def test_a_transaction_reads_no_more_than_it_asks_for(anywhere):
    """Unless it deletes: then it may have to return to the order of all keys."""
    make(anywhere, USERS)
    db, other = open_db(anywhere), open_db(anywhere)
    other["eve"] = User("eve")
    other.flush()

    with db.transaction():
        db["ann"].age += 70
        db["new"] = User("new")

    assert not is_filled(db)
    assert list(db) == ["ann", "bob", "cid", "dan", "eve", "new"]
    assert db["ann"].age == 70


def test_a_transaction_is_undone(anywhere):
    """Whatever was read before it and in it."""
    make(anywhere, USERS)
    db = open_db(anywhere)
    bob = db["bob"]

    def fail():
        with db.transaction():
            bob.age = 90
            db["cid"].age = 91
            del db["dan"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert dict(db) == USERS
    assert db["bob"] is bob


@pytest.mark.files("it looks at the files")
def test_a_file_that_is_written_over_while_it_is_open_is_taken_by_a_reload(root):
    """What was not read is as the other program wrote it; what is unsaved stays."""
    make(root, USERS)
    with Storify(root / "other", save_interval=None, models=[User]) as sf:
        sf.get_db("d", root={**USERS, "bob": User("bob", 99), "eve": User("eve")})
    db = open_db(root)
    db["ann"].age = 70
    for backup in (root / ".backups" / "d").glob("*.mpack"):
        backup.unlink()
    # In place, as an editor may do it.
    with (root / "d.mpack").open("r+b") as file:
        file.write((root / "other" / "d.mpack").read_bytes())
        file.truncate()

    with pytest.raises(CorruptionError, match="written over"):
        list(db)
    db.flush()

    assert {key: user.age for key, user in db.items()} == {
        "ann": 70,
        "bob": 99,
        "cid": 2,
        "dan": 3,
        "eve": 0,
    }


@pytest.mark.files("it counts the descriptors of files")
@pytest.mark.skipif(not FDS.is_dir(), reason="counts descriptors")
def test_descriptors_are_let_go_of(root):
    """By closing, by reading all keys, and by forgetting the database."""

    def count():
        return len(list(FDS.iterdir()))

    make(root, USERS)
    before = count()
    db = open_db(root)
    db["bob"]
    assert count() == before + 2
    db.close()
    assert count() == before
    db = open_db(root)
    assert list(db.data) == list(USERS)
    assert count() == before
    db = open_db(root)
    db["bob"]
    del db
    assert count() <= before + 2


class Meddled:
    """A state of one key, which is deleted while it is asked for."""

    kind = "str"

    def __init__(self):
        self.data = None

    def __len__(self):
        return 1

    def get(self, key):
        """Delete it first."""
        data, self.data = self.data, None
        if data is not None:
            del data["a"]
        return CODEC.encode(1) if key == CODEC.encode("a") else None


def test_what_is_deleted_while_it_is_read_stays_deleted():
    """By another thread, or the handler of a signal."""
    pages = Meddled()
    data = Data.paged(CODEC, pages, 0)
    pages.data = data

    assert "a" not in data
    assert len(data) == 0


class Overtaken:
    """A state of two keys; while it is read, another thread does so and deletes one."""

    kind = "str"

    def __init__(self):
        self.data = None

    def __len__(self):
        return 2

    def items(self):
        """Be overtaken first."""
        data, self.data = self.data, None
        if data is not None:
            data.fill()
            del data["a"]
        yield list(CODEC.encode_items({"a": 1, "b": 2}).items())


def test_two_threads_that_read_all_keys_fill_it_once():
    """What was deleted after the first was done stays deleted."""
    pages = Overtaken()
    data = Data.paged(CODEC, pages, 0)
    pages.data = data

    data.fill()

    assert list(data) == ["b"]
    assert len(data) == 1


@pytest.mark.files("it looks at the files")
def test_a_state_that_is_dropped_gives_its_place_back_whatever_interrupts(root):
    """Nothing of Python runs for that which an interrupt could cut off."""
    make(root, USERS)
    db = open_db(root)
    before = len(snapshot._open)
    state = db._session.engine.open()
    assert len(snapshot._open) == before + 1

    def strike(frame, event, _argument):
        if event == "call" and "weakref" in frame.f_code.co_filename:
            raise KeyboardInterrupt

    sys.setprofile(strike)
    del state
    sys.setprofile(None)

    assert len(snapshot._open) == before


@pytest.mark.files("it looks at the files")
def test_only_so_many_files_are_held_open(root, monkeypatch):
    """Others are read whole: the descriptors of a process are its program's."""
    monkeypatch.setattr("storify.engine.file.snapshot._MOST", 3)
    with Storify(root, save_interval=None) as sf:
        for number in range(5):
            sf.get_db(f"d{number}", root={"a": number})
    sf = Storify(root, save_interval=None)

    dbs = [sf.get_db(f"d{number}") for number in range(5)]

    assert [is_filled(db) for db in dbs].count(False) == 3
    assert [db["a"] for db in dbs] == [0, 1, 2, 3, 4]
    sf.close()


@pytest.mark.parametrize(
    "error", [OSError("gone"), MemoryError(), CorruptionError("torn", [])]
)
def test_a_flush_that_cannot_make_room_has_saved(tmp_path, monkeypatch, error):
    """What is committed is no failure, whatever comes of letting go of it."""
    make(tmp_path, USERS)
    db = open_db(tmp_path, cache_bytes=0)
    db["ann"].age = 77
    asked = []

    def fail():
        asked.append(error)
        raise error

    monkeypatch.setattr(db._session.engine, "open", fail)
    db.flush()
    monkeypatch.undo()

    assert asked
    assert db["ann"].age == 77
    assert not db.dirty()
    db.close()
    assert open_db(tmp_path)["ann"].age == 77
