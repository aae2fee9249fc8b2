"""The unit of work under stress: races, errors, other writers, the last flush."""

import ast
import gc
import threading

import pytest

from stand_ins import Log
from storify import ConflictError, Model, Storify
from storify.database.live.slots import Slots
from storify.database.session import shutdown
from storify.database.session.root import _ListCodec
from storify.database.session.session import Session
from storify.engine import MemoryEngine, StaleVersionError
from storify.threads import finish_all


@pytest.fixture
def log():
    """A logger that keeps its lines."""
    return Log()


CODEC = Storify("memory://", save_interval=None)._schema.codec


def memory(name="d", kind=MemoryEngine):
    """An engine in memory."""
    return kind(name, root_format=CODEC)


def session_over(engine, log, initial=None):
    """Open a session with the codec of a Storify."""
    return Session("d", engine, CODEC, log, {} if initial is None else initial)


def test_a_flush_starts_anew_when_a_dict_changes_meanwhile(log, monkeypatch):
    """It succeeds once the other thread is done."""
    session = session_over(memory("d"), log)
    session.data["a"] = 1
    encode = session.codec.encode_items
    races = iter([True, True, False])

    def disturbed(data, **hints):
        if next(races):
            msg = "dictionary changed size during iteration"
            raise RuntimeError(msg)
        return encode(data, **hints)

    monkeypatch.setattr(session.codec, "encode_items", disturbed)

    assert session.flush() is True
    monkeypatch.undo()
    assert session.dirty() == set()


def test_a_flush_gives_up_when_the_data_never_rest(log, monkeypatch):
    """The error is raised; nothing was written."""
    engine = memory("d")
    session = session_over(engine, log)
    session.data["a"] = 1

    def disturbed(_data, **_hints):
        msg = "dictionary changed size during iteration"
        raise RuntimeError(msg)

    monkeypatch.setattr(session.codec, "encode_items", disturbed)

    with pytest.raises(RuntimeError):
        session.flush()
    assert engine.open() is None


class Overtaken(MemoryEngine):
    """An engine where another writer is always faster."""

    def commit(self, commit):
        """Refuse every commit."""
        raise StaleVersionError


def test_a_flush_that_is_always_overtaken_ends(log):
    """It says so instead of trying for ever."""
    session = session_over(memory(kind=Overtaken), log, {"a": 1})

    with pytest.raises(ConflictError, match="try again"):
        session.flush()

    assert session.data == {"a": 1}


class Failing(MemoryEngine):
    """An engine whose disk is full."""

    full = True
    aside: list[bytes]

    def commit(self, commit):
        """Refuse while the disk is full."""
        if self.full:
            raise OSError(28, "No space left on device")
        return super().commit(commit)

    def save_unsaved(self, payload):
        """Refuse as well."""
        raise OSError(28, "No space left on device")


def test_after_a_failed_commit_the_next_one_can_succeed(log):
    """Memory stays as it is, and dirty."""
    engine = memory(kind=Failing)
    session = session_over(engine, log, {"a": 1})

    with pytest.raises(OSError, match="No space"):
        session.flush()
    assert session.dirty() == {"a"}
    engine.full = False
    session.flush()

    assert session.dirty() == set()


def test_data_that_can_be_saved_nowhere_are_logged(log):
    """At the end of the program there is nobody to raise to."""
    session = session_over(memory(kind=Failing), log, {"a": 1})

    shutdown.finalize(session)
    finish_all()

    assert any("are lost" in line for line in log.warnings)


def test_a_database_collected_anywhere_is_flushed_by_another_thread(log):
    """Also inside of a flush, or of a value that is encoded: nothing runs there."""
    inner_engine = memory("inner")
    inner = session_over(inner_engine, log, {"a": 1})
    threads = []

    class Noting(MemoryEngine):
        def commit(self, commit):
            threads.append(threading.current_thread().name)
            return super().commit(commit)

    class Collecting(Model):
        def _to_dict(self):
            shutdown.finalize(inner)  # as the collector would
            return {}

    codec = Storify("memory://", models=[Collecting], save_interval=None)._schema.codec
    outer = Session("d", memory(kind=Noting), codec, log, {"b": Collecting()})
    outer.flush()
    finish_all()

    assert inner_engine.open() is not None
    assert threads == ["storify-saver"]


def test_the_collector_may_find_a_database_inside_of_the_parser(tmp_path, log):
    """It saves nothing there, where deep calls are an error of the parser's."""

    def forget_in_a_cycle():
        db = Storify(tmp_path, save_interval=None, log=log)["x"]
        db["k"] = object()  # cannot be stored
        cycle = [db]
        cycle.append(cycle)

    source = "\n".join(f"a{i} = [{i}, (1, 2), {{'k': b{i}.c}}]" for i in range(3000))
    before = gc.get_threshold()
    gc.disable()
    forget_in_a_cycle()
    gc.set_threshold(50, 1, 1)
    gc.enable()
    try:
        tree = ast.parse(source)
    finally:
        gc.set_threshold(*before)
    gc.collect()  # if it was not found so far
    finish_all()

    assert len(tree.body) == 3000
    assert [line for line in log.warnings if "$['k']" in line]


def test_a_flush_inside_of_the_begin_of_another_one_is_not_undone_by_it(monkeypatch):
    """As by the handler of a signal: what it saved is newer than what was looked at."""
    sf = Storify("memory://inside", save_interval=None)
    db, items = sf["notes"], sf.get_db("items", root=[])
    db["h"] = 1
    items.append(1)
    sf.flush()
    assert db["h"] == 1  # it was handed out, so a flush looks at it
    handlers = [lambda: db.update(h=2), lambda: items.append(2)]

    def interrupted(method, handler):
        def look(self, *args, **hints):
            found = method(self, *args, **hints)
            if handler in handlers:
                handlers.remove(handler)
                handler()
                sf.flush()
            return found

        return look

    for kind, name, handler in [
        (Slots, "live_values", handlers[0]),
        (_ListCodec, "encode_items", handlers[1]),
    ]:
        monkeypatch.setattr(kind, name, interrupted(getattr(kind, name), handler))
    db["other"] = 1
    sf.flush()

    assert handlers == []
    with Storify("memory://inside", save_interval=None) as other:
        assert dict(other.get_db("notes", readonly=True)) == dict(db)
        assert list(other.get_db("items", root=[], readonly=True)) == [1, 2]
    assert db["h"] == 2


@pytest.mark.parametrize("count", [1, 3])
def test_what_a_handler_raises_while_values_are_encoded_is_raised_once(count, log):
    """As the TimeoutError of an alarm: it is not taken for one of the value's."""
    alarms = [TimeoutError("time is up")]

    class Slow(Model):
        def _to_dict(self):
            if alarms:
                raise alarms.pop()  # a handler runs here
            return {"n": 1}

    codec = Storify("memory://", models=[Slow], save_interval=None)._schema.codec
    values = {f"k{n}": Slow() for n in range(count)}
    session = Session("d", memory(), codec, log, values)

    with pytest.raises(TimeoutError, match="time is up"):
        session.flush()
    assert session.dirty() == set(values)
    session.flush()
    assert session.dirty() == set()


def test_what_two_threads_end_at_once_is_put_aside_once(log):
    """The end of the program comes while the saver thread ends a forgotten one."""
    session = session_over(memory(kind=Failing), log, {"a": 1})
    lock = session.lock

    class Contended:
        def take(self, *args, **options):
            session.lock = lock
            shutdown.finalize(session)
            finish_all()
            return lock.take(*args, **options)

    session.lock = Contended()
    shutdown.save_all()

    assert len([line for line in log.warnings if "are lost" in line]) == 1


def test_a_closed_session_is_not_flushed_at_the_end(log):
    """What was discarded stays discarded."""
    engine = memory("d")
    session = session_over(engine, log, {"a": 1})
    session.close()

    shutdown.finalize(session)
    finish_all()

    assert engine.open() is None


def test_an_empty_database_that_was_never_saved_is_not_made_at_the_end(log):
    """Looking is not making."""
    engine = memory("d")

    shutdown.finalize(session_over(engine, log))
    finish_all()

    assert engine.open() is None


@pytest.mark.files("it is the spelling in the file")
def test_a_merge_sees_a_key_in_another_spelling(root):
    """A foreign writer's longer key is the same key: no second entry."""
    (root / "d.mpack").parent.mkdir()
    (root / "d.mpack").write_bytes(b"\x82" + b"\xd9\x01a" + b"\x01" + b"\xa1b\x02")
    db = Storify(root, save_interval=None).get_db("d")
    other = Storify(root, save_interval=None).get_db("d")
    other["b"] = 3
    other.flush()
    db["a"] = 4

    db.flush()

    assert db.data == {"a": 4, "b": 3}
    assert Storify(root).get_db("d").data == {"a": 4, "b": 3}


def test_changes_of_many_threads_are_saved(anywhere):
    """Writers in threads and a flushing thread lose nothing."""
    db = Storify(anywhere, save_interval=None).get_db("d")
    stop = threading.Event()

    def flush():
        while not stop.is_set():
            db.flush()

    flusher = threading.Thread(target=flush)
    flusher.start()
    writers = [
        threading.Thread(
            target=lambda number=number: [
                db.update({f"{number}-{step}": step}) for step in range(200)
            ]
        )
        for number in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    flusher.join()
    db.flush()

    assert len(Storify(anywhere).get_db("d")) == 800
    gc.collect()


@pytest.mark.files("it is the spelling in the file")
def test_a_key_that_python_cannot_hash_is_dirty_and_deleted_like_others(root):
    """A list as a key, from another language, is kept and can be named."""
    root.mkdir()
    blob = b"\x82" + b"\x91\x01" + b"\xa1v" + b"\xa1k" + b"\x01"  # {[1]: "v", "k": 1}
    (root / "d.mpack").write_bytes(blob)
    db = Storify(root, save_interval=None).get_db("d")
    odd = next(iter(db))

    clean = db.dirty()
    db["k"] = 2
    db.flush()
    kept = (root / "d.mpack").read_bytes()
    del db[odd]

    assert clean == set()
    assert kept == blob[:-1] + b"\x02"
    assert db.dirty() == {odd}


def odd(entries):
    """A map whose integer keys and short texts take more bytes than needed."""
    blob = b"\xde" + len(entries).to_bytes(2, "big")
    for key, value in entries:
        if type(key) is int:
            blob += b"\xd3" + key.to_bytes(8, "big")
        else:
            blob += b"\xd9" + bytes([len(key)]) + key.encode()
        blob += CODEC.encode(value)
    return blob


@pytest.mark.files("it is the spelling in the file")
@pytest.mark.parametrize("news", [False, True], ids=["opened", "adopted"])
def test_keys_in_another_spelling_are_changed_where_they_stand(root, news):
    """They are never there twice, whatever is done with them."""
    root.mkdir()
    path = root / "d.mpack"
    sf = Storify(root, save_interval=None)
    if news:
        sf.get_db("d").flush()
    path.write_bytes(odd([("a", 1), (5, [2]), ("c", 3), (7, 4)]))
    db = sf.get_db("d")
    db.flush()

    db[5].append(0)
    del db["a"]
    db["c"] = db.pop("c")
    db.flush()
    first = CODEC.split(path.read_bytes())
    del db[5]
    db["c"] = 0
    db[7] = 9
    db["a"] = "new"
    db.flush()

    assert len(first) == 3
    assert len(CODEC.split(path.read_bytes())) == 3
    again = Storify(root, save_interval=None).get_db("d")
    assert list(again.items()) == [(7, 9), ("c", 0), ("a", "new")]
    assert list(db.items()) == list(again.items())
