"""``sync="interval"``: flushes that do not wait for the disk."""

import gc

import msgpack
import pytest

from places import stored
from stand_ins import Clock, Log
from storify import Database, Storify
from storify.engine import MemoryCatalog, MemoryEngine
from storify.engine.protocol import SYNC_INTERVAL_S


class Lagging(MemoryEngine):
    """An engine whose commits are not durable at once."""

    syncs = 0
    lacking = False
    broken = False

    def commit(self, commit):
        """Commit, and owe a sync."""
        version = super().commit(commit)
        self.lacking = True
        return version

    def unsynced(self):
        """Whether one is owed."""
        return self.lacking

    def sync(self):
        """Count the syncs."""
        if self.broken:
            raise OSError(5, "Input/output error")
        self.syncs += self.lacking
        self.lacking = False

    def close(self):
        """Sync, as every engine does."""
        self.sync()


@pytest.fixture
def clock():
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def log():
    """A logger that keeps its lines."""
    return Log()


@pytest.fixture
def sf(clock, log, monkeypatch):
    """A Storify over lagging engines."""
    engines = {}

    def engine(self, name, *, readonly=False):
        if name not in engines:
            engines[name] = Lagging(name, root_format=self._format, readonly=readonly)
        return engines[name]

    monkeypatch.setattr(MemoryCatalog, "engine", engine)
    sf = Storify(
        "memory://",
        save_interval=None,
        sync="interval",
        sync_interval=10,
        clock=clock,
        log=log,
    )
    yield sf
    for db in sf.databases:
        db._session.engine.broken = False
        db.close(discard=True)


def test_commits_are_synced_in_the_background(sf, clock):
    """The first sync is due an interval after the first commit."""
    db = sf.get_db("d")
    engine = db._session.engine
    idle_s = sf.autosave()
    db["a"] = 1
    db.flush()
    clock.now_s += 4
    db["a"] = 2
    db.flush()

    early_s = sf.autosave()
    early = engine.syncs
    clock.now_s += 6
    late_s = sf.autosave()

    assert (idle_s, early_s, early) == (10, 6, 0)
    assert (late_s, engine.syncs, engine.unsynced()) == (10, 1, False)
    clock.now_s += 100
    sf.autosave()
    assert engine.syncs == 1


def test_a_tick_syncs_what_is_due(sf, clock):
    """A program without the background thread leaves nothing to a power cut for long."""
    db = sf.get_db("d")
    engine = db._session.engine
    db["a"] = 1
    db.flush()

    clock.now_s += 9
    sf.tick()
    early = engine.syncs
    clock.now_s += 1
    sf.tick()

    assert (early, engine.syncs, engine.unsynced()) == (0, 1, False)


def test_sync_is_public(sf):
    """When it returns, all commits are durable; unflushed changes stay."""
    db = sf.get_db("d")
    db["a"] = 1
    db.flush()
    db["b"] = 2

    db.sync()

    assert not db._session.engine.unsynced()
    assert db.dirty() == {"b"}


def test_closing_syncs(sf):
    """Nothing is left to a power cut."""
    db = sf.get_db("d")
    db["a"] = 1

    db.close()
    db.sync()

    assert not db._session.engine.unsynced()


def test_a_late_flush_syncs_by_itself(sf, clock):
    """A database that no background thread cares for is not left behind."""
    db = sf.get_db("d")
    engine = db._session.engine
    db["a"] = 1
    db.flush()
    clock.now_s += 11
    db["a"] = 2
    db.flush()

    assert engine.syncs == 1
    assert not engine.unsynced()


def test_a_failed_sync_is_logged_kept_and_tried_again(sf, clock, log):
    """The next flush or close raises what still stands in the way."""
    db = sf.get_db("d")
    engine = db._session.engine
    db["a"] = 1
    db.flush()
    engine.broken = True

    for _ in range(2):
        clock.now_s += 11
        sf.autosave()

    assert isinstance(db.last_error, OSError)
    assert len([line for line in log.warnings if "sync" in line]) == 1
    with pytest.raises(OSError, match="Input/output"):
        db.sync()
    engine.broken = False
    clock.now_s += 11
    sf.autosave()
    assert not engine.unsynced()
    db.flush()
    assert db.last_error is None


@pytest.mark.parametrize(
    "arguments",
    [{"sync": "always"}, {"sync_interval": 0}, {"keep": -1}, {"sync_interval": -1}],
    ids=repr,
)
def test_what_cannot_be_is_refused(anywhere, arguments):
    """At the start, not at the first flush."""
    with pytest.raises(ValueError, match="must"):
        Storify(anywhere, **arguments)


def test_what_was_flushed_is_in_the_file(anywhere):
    """The end of the process costs nothing, whatever the interval."""
    sf = Storify(anywhere, save_interval=None, sync="interval", sync_interval=3600)
    db = sf.get_db("d")
    db["a"] = 1
    db.flush()

    found = stored(anywhere)

    assert found == {"a": 1}
    sf.close()


@pytest.mark.files("commits of files alone are synced later")
def test_a_database_alone_may_have_an_interval_too(root):
    """It is synced at the latest when it is closed."""
    db = Database(name="d", root=root, sync="interval", keep=2, journal=False)
    db["a"] = 1
    db.flush()
    db.close()
    gc.collect()

    assert msgpack.unpackb((root / "d.mpack").read_bytes()) == {"a": 1}
    assert SYNC_INTERVAL_S > 0
