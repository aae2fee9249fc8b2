"""What a flush costs and leaves: nothing without changes, one file if asked."""

import os
import statistics
import time

import msgpack
import pytest

from stand_ins import Log
from storify import Model, Storify, UnstorableError
from storify.codec import Codec
from storify.database.session.session import Session
from storify.engine import MemoryEngine


class User(Model):
    """A declared model."""

    name: str
    age: int = 0


class Counting(Codec):
    """A codec that counts what it encodes."""

    encoded = 0

    def encode_items(self, data, **hints):
        """Count the pairs."""
        self.encoded += len(data)
        return super().encode_items(data, **hints)

    def encode(self, value, path="$", **hints):
        """Count what stands for itself: a durable value that is spelled as ours."""
        self.encoded += path == "$"
        return super().encode(value, path, **hints)


class Listening(MemoryEngine):
    """An engine that keeps the commits."""

    def __init__(self, **arguments):
        super().__init__("d", **arguments)
        self.heard = []

    def commit(self, commit):
        """Keep it."""
        self.heard.append(commit)
        return super().commit(commit)


@pytest.fixture
def codec():
    """A codec that counts."""
    return Counting()


@pytest.fixture
def engine(codec):
    """An engine that keeps the commits."""
    return Listening(root_format=codec)


@pytest.fixture
def session(engine, codec):
    """A session over a thousand records, none of them looked at."""
    first = Session("d", engine, codec, Log(), {f"k{n}": [n] for n in range(1000)})
    first.flush()
    first.close()
    engine.heard.clear()
    opened = Session("d", engine, codec, Log(), {})
    yield opened
    opened.close()


def test_only_what_was_touched_is_encoded(session, codec):
    """Reading one record and changing another costs two, and once the old value."""
    codec.encoded = 0

    session.data["k1"]
    session.data["k2"].append(0)
    session.flush()

    assert codec.encoded == 3


def test_only_what_changed_is_committed(session, engine):
    """In order: deletions first, changed keys, new keys."""
    session.data["k1"]
    session.data["new"] = 1
    session.data["k2"].append(0)
    del session.data["k3"]
    session.data["k4"] = session.data.pop("k4")

    session.flush()

    [commit] = engine.heard
    encode = session.codec.encode
    assert dict(commit.changes) == {
        encode("k3"): None,
        encode("k2"): encode([2, 0]),
        encode("new"): encode(1),
        encode("k4"): encode([4]),
    }
    assert (encode("k4"), None) in commit.changes
    assert commit.changes[-1][0] == encode("k4")


def test_a_commit_tells_what_was_stored(session, engine, monkeypatch):
    """So that an engine may write the difference alone."""
    encode = session.codec.encode
    told = []

    def commit(commit):
        told.extend(commit.stored(key) for key, _ in commit.changes)
        return MemoryEngine.commit(engine, commit)

    monkeypatch.setattr(engine, "commit", commit)
    session.data["k2"].append(0)
    session.data["new"] = 1
    session.flush()

    assert told == [encode([2]), None]


def test_a_flush_without_changes_asks_for_news_alone(session, engine, codec):
    """It looks at no record, however many there are."""
    session.flush()
    codec.encoded = 0

    times = []
    for _ in range(50):
        start = time.perf_counter()
        session.flush()
        times.append(time.perf_counter() - start)

    assert engine.heard == []
    assert codec.encoded == 0
    assert statistics.median(times) < 0.001  # 5 us, on a quiet machine


def test_keys_that_moved_to_no_effect_are_not_written(session, engine):
    """The order and the content are those of the file."""
    session.data["k999"] = session.data.pop("k999")
    values = {key: list(value) for key, value in session.data.items()}
    session.data.clear()
    session.data.update(values)

    assert session.dirty() == set()
    assert session.flush() is False
    assert engine.heard == []


def test_one_key_in_the_place_of_an_equal_one_is_written(session):
    """True for 1 is a change, although a dict takes them for one."""
    session.data[1] = "one"
    session.flush()

    del session.data[1]
    session.data[True] = "one"
    session.flush()

    again = Session("d", session.engine, session.codec, Log(), {})
    assert repr(list(again.data)[-1]) == "True"
    again.close()


def test_a_refused_value_costs_nothing(session, engine):
    """All stays pending, and the next flush writes it."""
    session.data["k2"].append(0)
    session.data["bad"] = object()

    with pytest.raises(UnstorableError, match="cannot flush database 'd'"):
        session.flush()

    assert engine.heard == []
    del session.data["bad"]
    assert session.dirty() == {"k2"}
    session.flush()


def test_replaced_content_is_compared(session, engine):
    """Assigning what is there already writes the difference."""
    content = {key: list(value) for key, value in session.data.items()}
    content["k5"] = "changed"
    del content["k6"]
    content["new"] = 1

    session.replace(content)
    session.flush()

    [commit] = engine.heard
    assert {key for key, _ in commit.changes} == {
        session.codec.encode(key) for key in ("k5", "k6", "new")
    }


def large(count=8000):
    """Records of more than a mebibyte."""
    return {f"user-{number}": User("x" * 200, number) for number in range(count)}


@pytest.mark.files("it looks at the files")
def test_a_large_database_is_saved_beside_its_file(root):
    """A change costs what it changes; compact, and an idle moment, leave one file."""
    sf = Storify(root, save_interval=None, models=[User])
    db = sf.get_db("d", model=User)
    db.update(large())
    db.flush()
    path = root / "d.mpack"
    before = path.stat().st_ino

    db["user-7"].age = -1
    db.flush()
    beside = path.stat().st_ino == before
    with Storify(root, save_interval=None, models=[User]) as reader:
        seen = reader.get_db("d", model=User)["user-7"].age
    db.flush(compact=True)
    compact = msgpack.unpackb(path.read_bytes())["user-7"]
    db["user-8"].age = -2
    db.close()
    short = msgpack.unpackb(path.read_bytes())["user-8"]["__User__"]["age"]
    db = sf.get_db("d", model=User)
    both = db["user-8"].age
    for number in range(1500):
        db[f"user-{number}"].age = -3
    db.flush()
    db._autosave()
    folded = msgpack.unpackb(path.read_bytes())["user-8"]["__User__"]["age"]
    db.close()

    assert beside
    assert seen == -1
    assert compact == {"__User__": {"name": "x" * 200, "age": -1}}
    assert (short, both) == (8, -2)
    assert folded == -3


@pytest.mark.files("it looks at the files")
def test_without_a_journal_each_flush_leaves_one_whole_file(root):
    """For other programs that read it meanwhile."""
    sf = Storify(root, save_interval=None, models=[User], journal=False)
    db = sf.get_db("d", model=User)
    db.update(large())
    db.flush()

    db["user-7"].age = -1
    db.flush()

    whole = msgpack.unpackb((root / "d.mpack").read_bytes())
    assert whole["user-7"]["__User__"]["age"] == -1
    assert [path.name for path in root.glob("*.journal")] == []
    db.close()


def test_what_another_instance_appended_is_adopted(anywhere):
    """From the journal, in place."""
    sf = Storify(anywhere, save_interval=None, models=[User])
    db = sf.get_db("d", model=User)
    db.update(large())
    db.flush()
    held = db["user-7"]
    with Storify(anywhere, save_interval=None, models=[User]) as other:
        there = other.get_db("d", model=User)
        there["user-7"].age = -1
        there["new"] = User("new")
        there.flush()
        db["user-8"].age = -2

        db.flush()

        assert held.age == -1
        assert db["user-7"] is held
        assert list(db)[-1] == "new"
        there.reload()
        assert there["user-8"].age == -2
    db.close()


@pytest.mark.files("it looks at the files")
def test_a_main_file_that_rots_while_it_is_open_is_written_from_memory(root):
    """Also without any backup; what was never decoded is there as well."""
    log = Log()
    wanted = {f"k{number}": [number] * 50 for number in range(300)}
    Storify(root, save_interval=None).get_db("d", root=wanted).close()
    db = Storify(root, save_interval=None, keep=1, log=log).get_db("d")
    assert len(db.data) == 300
    path = root / "d.mpack"
    stat = path.stat()
    rotten = bytearray(path.read_bytes())
    rotten[5000] ^= 4
    path.write_bytes(rotten)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    for backup in (root / ".backups" / "d").glob("*.mpack"):
        backup.unlink()

    db["k1"].append("new")
    db.flush()

    assert "was damaged" in log.warnings[0]
    again = Storify(root, save_interval=None).get_db("d", readonly=True)
    wanted["k1"].append("new")
    assert again.data == wanted
    db.close()
