"""What can be saved of a database that cannot be opened any more."""

import msgpack
import pytest

from stand_ins import Log
from storify import DatabaseLoadError, DatabaseOpenError, Storify


@pytest.fixture
def log():
    """A logger that keeps its lines."""
    return Log()


@pytest.fixture
def damaged(root):
    """A folder with a database of ten records, one damaged, and no backup."""
    sf = Storify(root, save_interval=None)
    db = sf.get_db("d")
    db.update({f"key-{number}": "value" * 20 for number in range(10)})
    db.flush()
    db.backups.purge()
    db.close()
    db = sf.get_db("d")
    db.backups.purge()
    db.close()
    path = root / "d.mpack"
    blob = bytearray(path.read_bytes())
    at = blob.index(b"key-4") + 6
    blob[at : at + 2] = b"\xc1\xc1"
    path.write_bytes(blob)
    return root


def test_what_is_whole_is_saved(damaged, log):
    """The rest is named, the damaged file is kept, and the database opens."""
    sf = Storify(damaged, save_interval=None, log=log)
    with pytest.raises(DatabaseLoadError):
        sf.get_db("d")

    saved = sf.salvage("d")
    db = sf.get_db("d")

    assert saved.recovered == len(db) >= 8
    assert "key-4" not in db or "key-4" in saved.older
    assert set(db) >= {"key-0", "key-1", "key-2", "key-3", "key-8", "key-9"}
    assert db["key-9"] == "value" * 20
    assert list(damaged.rglob("*.corrupt"))
    assert any("salvaged" in line for line in log.warnings)
    db.close()


def test_a_sound_database_is_not_salvaged(root):
    """The error says to open it."""
    with Storify(root, save_interval=None) as sf:
        sf.get_db("d")["a"] = 1
        sf.get_db("d").close()

        with pytest.raises(ValueError, match="intact"):
            sf.salvage("d")

    assert msgpack.unpackb((root / "d.mpack").read_bytes()) == {"a": 1}


def test_an_open_database_is_not_salvaged(root):
    """Nor one that another Storify of this process has open."""
    with Storify(root, save_interval=None) as sf:
        sf.get_db("d").flush()

        with pytest.raises(DatabaseOpenError):
            sf.salvage("d")
        with pytest.raises(DatabaseOpenError):
            Storify(root, save_interval=None).salvage("d")


def test_a_database_that_is_not_there_is_not_salvaged(root):
    """There is nothing to save."""
    with (
        Storify(root, save_interval=None) as sf,
        pytest.raises(FileNotFoundError, match="nothing"),
    ):
        sf.salvage("nothing")


def test_what_was_saved_is_kept_if_it_cannot_be_committed(damaged, monkeypatch, log):
    """The log says where."""
    sf = Storify(damaged, save_interval=None, log=log)
    engine = sf._catalog.engine("d")
    monkeypatch.setattr(sf._catalog, "engine", lambda _name: engine)

    def full(_commit):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine, "commit", full)

    with pytest.raises(OSError, match="No space"):
        sf.salvage("d")

    [kept] = damaged.rglob("*.unsaved.mpack")
    assert "key-9" in msgpack.unpackb(kept.read_bytes())
    assert any(kept.name in line for line in log.warnings)
