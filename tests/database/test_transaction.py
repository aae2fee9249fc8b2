"""Several changes that are saved together, or not at all."""

import threading
from contextlib import contextmanager, suppress
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pg_servers as servers
from shared_parts import Bag, containers, put, sharing
from storify import (
    ConflictError,
    DatabaseClosedError,
    DatabaseReadOnlyError,
    Model,
    Storify,
    StorifyError,
    TransactionError,
    UnstorableError,
)
from storify.database.live.slots import Slots
from storify.database.session.transaction import Transactional
from storify.testing import same


class User(Model):
    """A declared model."""

    name: str
    tags: list[str] = []
    _seen: int = 0


def durable(db):
    """What a new instance reads."""
    other = servers.another(db).get_db("d")
    found = dict(other.data)
    other.close(discard=True)
    return found


class StopItError(Exception):
    """What a block raises."""


@contextmanager
def undone(db):
    """Run a block as a transaction that ends with an exception."""
    with suppress(StopItError), db.transaction():
        yield
        raise StopItError


def test_a_transaction_commits_at_its_end(pair):
    """It gives the database, and all is durable after the block."""
    db, _ = pair

    with db.transaction() as same:
        db["a"].append(2)
        del db["b"]
        db["new"] = User("Ann")
        inside = durable(db)

    assert same is db
    assert inside == {"a": [1], "b": {"x": 1}, "c": 3}
    assert durable(db) == {"a": [1, 2], "c": 3, "new": User("Ann")}
    assert db.dirty() == set()


def test_an_exception_undoes_all(pair):
    """Values, deletions, new keys, the order and objects held are as before."""
    db, _ = pair
    db["u"] = User("Ann", ["x"])
    db.flush()
    held, user = db["a"], db["u"]
    before = dict(db.data)

    with undone(db):
        held.append(2)
        user.name = "Bea"
        user.tags.append("y")
        db["b"] = db.pop("b")
        db["c"] = {"other": "type"}
        db["new"] = 1
        del db["a"]

    assert list(db.items()) == list(before.items())
    assert db["a"] == held == [1]
    assert db["u"] is user
    assert user == User("Ann", ["x"])
    assert db.dirty() == set()
    assert list(durable(db).items()) == list(before.items())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_undoes_all_too(pair, error):
    """Ctrl-C does not leave half a change."""
    db, _ = pair

    def use():
        with db.transaction():
            db["a"].append(2)
            raise error

    with pytest.raises(error):
        use()

    assert db["a"] == [1]


def test_a_failing_commit_undoes_all(pair):
    """What cannot be stored is refused, memory is as it was."""
    db, _ = pair

    def use():
        with db.transaction():
            db["a"].append(2)
            db["bad"] = object()

    with pytest.raises(UnstorableError, match=r"\$\['bad'\]"):
        use()

    assert db.data == {"a": [1], "b": {"x": 1}, "c": 3}
    assert db.dirty() == set()


def test_a_disk_error_at_the_end_undoes_all(pair, monkeypatch):
    """The error is the caller's, and the next transaction may succeed."""
    db, _ = pair
    engine = db._session.engine

    def full(_commit):
        raise OSError(28, "No space left on device")

    def use():
        with db.transaction():
            db["a"].append(2)
            monkeypatch.setattr(engine, "commit", full)

    with pytest.raises(OSError, match="No space"):
        use()
    monkeypatch.undo()

    assert db["a"] == [1]
    with db.transaction():
        db["a"].append(3)
    assert durable(db)["a"] == [1, 3]


def test_a_transaction_starts_at_the_present_state(pair):
    """What others committed is adopted before the block runs."""
    db, other = pair
    other["c"] = 4
    other.flush()

    with db.transaction():
        db["c"] += 1

    assert durable(db)["c"] == 5


def test_pending_changes_are_flushed_first(pair):
    """An exception in the block does not undo them."""
    db, _ = pair
    db["early"] = 1

    with undone(db):
        db["late"] = 1

    assert "early" in durable(db)
    assert "late" not in db


def test_a_conflict_at_the_start_keeps_the_block_from_running(pair):
    """Memory is untouched and dirty."""
    db, other = pair
    other["c"] = "theirs"
    other.flush()
    db["c"] = "mine"
    ran = []

    with pytest.raises(ConflictError, match="'c'"), db.transaction():
        ran.append(1)

    assert ran == []
    assert db["c"] == "mine"
    assert db.dirty() == {"c"}


def test_a_block_in_a_block_is_a_savepoint(pair):
    """Its exception undoes the inner changes alone, if the outer block goes on."""
    db, _ = pair

    with db.transaction():
        db["a"].append(2)
        db["outer"] = [1]
        del db["b"]
        with undone(db):
            db["a"].append(3)
            db["outer"].append(2)
            db["b"] = "again"
            db["inner"] = 1
        between = dict(db.data)
        with db.transaction():
            db["kept"] = 1

    assert between == {"a": [1, 2], "c": 3, "outer": [1]}
    assert durable(db) == {"a": [1, 2], "c": 3, "outer": [1], "kept": 1}


def test_an_outer_exception_undoes_inner_blocks_too(pair):
    """A savepoint that went well is not a commit."""
    db, _ = pair

    with undone(db), db.transaction():
        db["inner"] = 1

    assert "inner" not in db
    assert db.dirty() == set()


STEPS = {
    "flush": lambda db: db.flush(),
    "load": lambda db: db.load(),
    "reload": lambda db: db.reload(),
    "close": lambda db: db.close(),
    "discard": lambda db: db.close(discard=True),
    "destroy": lambda db: db.destroy(),
    "restore": lambda db: db.backups.restore(db.backups.latest or "x"),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_what_would_end_a_transaction_is_refused_inside(pair, step):
    """The block goes on, and commits."""
    db, _ = pair

    with db.transaction():
        db["new"] = 1
        with pytest.raises(TransactionError, match="inside a transaction") as caught:
            step(db)

    assert isinstance(caught.value, (StorifyError, RuntimeError))
    assert durable(db)["new"] == 1


def test_other_writers_wait_for_the_end(pair):
    """Writes of another thread come after it, its reads do not wait."""
    db, _ = pair
    seen = []
    data = db.data
    inside, over = threading.Event(), threading.Event()

    def write():
        inside.wait(30)
        seen.append(db["a"])
        over.set()
        db.data["c"] = "thread"
        db["b"] = "thread"
        seen.append(list(db["a"]))

    thread = threading.Thread(target=write)
    thread.start()
    with db.transaction():
        inside.set()
        assert over.wait(30)
        during = (db["b"], db["c"])
        db["a"].append(2)
        db["b"] = "mine"
    thread.join(30)

    assert type(db.data) is type(data)
    assert during == ({"x": 1}, 3)
    assert seen[1] == [1, 2]
    assert (db["b"], db["c"]) == ("thread", "thread")


def test_the_autosave_skips_a_transaction(pair):
    """Half of it is not saved."""
    db, _ = pair

    with db.transaction():
        db["half"] = 1
        db._autosave()
        inside = durable(db)

    assert "half" not in inside
    assert db.last_error is None


def test_list_roots_have_transactions_too():
    """The list object is the same, with the items of then."""
    sf = Storify("memory://", save_interval=None)
    db = sf.get_db("log", root=[[1], 2])
    db.flush()
    data, inner = db.data, db[0]

    with undone(db):
        db.append(3)
        inner.append(4)
        with db.transaction():
            db.append(5)
        db.data = {"a": "dict"}

    assert db.data is data
    assert data == [[1], 2]
    assert db[0] is inner
    assert db.dirty() == set()
    with db.transaction():
        db.append("end")
    assert db.dirty() == set()


def test_a_dict_that_became_a_list_is_undone(pair):
    """Also when the root is replaced in the block."""
    db, _ = pair
    data = db.data

    with undone(db):
        db.data = [1]
        db.append(2)

    assert db.data is data
    assert db.data == {"a": [1], "b": {"x": 1}, "c": 3}


def test_a_read_only_database_has_no_transactions(pair):
    """The message says how to open it."""
    db, _ = pair
    reader = servers.another(db).get_db("d", readonly=True)

    with pytest.raises(DatabaseReadOnlyError), reader.transaction():
        pass

    assert db.dirty() == set()


def test_a_closed_database_has_no_transactions(pair):
    """The error is that of every use."""
    db, _ = pair
    db.close()

    with pytest.raises(DatabaseClosedError), db.transaction():
        pass


WRITES = {
    "set": lambda data: data.update(a="thread"),
    "item": lambda data: data.__setitem__("a", "thread"),
    "new": lambda data: data.setdefault("z", "thread"),
    "pop": lambda data: data.pop("a"),
    "clear": lambda data: data.clear(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
def test_a_writer_that_a_transaction_overtakes_waits_for_its_end(
    pair, monkeypatch, write
):
    """It is in the midst of its write when the block of another thread begins."""
    db, _ = pair
    before = dict(db.data)
    inside, over = threading.Event(), threading.Event()
    base_of, wait, looked = Slots.base_of, Transactional.wait_for_transaction, []

    def transact():
        with db.transaction():
            inside.set()
            over.wait(30)
            looked.append(dict(db.data))

    def overtaken(slots, key, slot):
        if threading.current_thread() is writer and not inside.is_set():
            block.start()
            inside.wait(30)
        return base_of(slots, key, slot)

    def waits(session):
        if inside.is_set():
            over.set()
        return wait(session)

    def write_in_the_midst():
        write(db.data)
        over.set()

    monkeypatch.setattr(Slots, "base_of", overtaken)
    monkeypatch.setattr(Transactional, "wait_for_transaction", waits)
    block = threading.Thread(target=transact)
    writer = threading.Thread(target=write_in_the_midst)
    writer.start()
    writer.join(30)
    block.join(30)

    assert looked == [before]
    assert dict(db.data) != before


def test_counters_of_many_writers_lose_no_step():
    """Each thread has its own instance; the lock is the engine's."""
    name = "memory://counters"
    keeper = Storify(name, save_interval=None)
    keeper.get_db("d")["n"] = 0
    keeper.flush()
    errors = []

    def count():
        try:
            db = Storify(name, save_interval=None).get_db("d")
            for _ in range(25):
                with db.transaction():
                    db["n"] += 1
        except Exception as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    keeper["d"].flush()
    assert keeper["d"]["n"] == 100


@given(sharing(), st.data())
def test_whatever_is_shared_all_is_undone(content, data):
    """Parts are moved, into each other too; all that can be is the same object again."""
    db = Storify("memory://undone-parts", save_interval=None, models=[Bag]).get_db("d")
    db.data = content
    db.flush()
    before, parts = deepcopy(content), containers(content)

    with undone(db):
        for _ in range(3 if parts else 0):
            part = data.draw(st.sampled_from([7, *parts]))
            put(data.draw(st.sampled_from(parts)), part)

    assert same(dict(db.data), before)
    assert not db.dirty()
    for key, value in content.items():
        if (
            any(value is each for each in parts)
            and list(map(id, content.values())).count(id(value)) == 1
        ):
            assert db[key] is value
    db.close(discard=True)


def test_what_is_never_stored_stays(pair):
    """An underscored field is the program's own: it is not undone."""
    db, _ = pair
    db["u"] = user = User("Ann")
    db.flush()

    with undone(db):
        user._seen = 5
        user.name = "Bea"

    assert (user.name, user._seen) == ("Ann", 5)


def test_a_savepoint_keeps_the_order(pair):
    """A key that is changed outside of it stays where it is."""
    db, _ = pair

    with db.transaction():
        db["a"] = 0
        with undone(db):
            db[1] = 0
        inside = list(db)

    assert inside == list(db) == list(durable(db)) == ["a", "b", "c"]


def test_an_inner_rollback_keeps_the_order_of_the_keys(anywhere):
    """Also where the dict stores an equal key object, and a key of another type came."""
    with Storify(anywhere, save_interval=None) as sf:
        sf["d"].update(a=None)
    with Storify(anywhere, save_interval=None) as sf, sf["d"].transaction() as db:
        assert db["a"] is None
        db["b"] = 1

        with suppress(StopItError), db.transaction():
            db[frozenset()] = 1
            raise StopItError

        assert list(db) == ["a", "b"]
