"""What can be saved of a database that cannot be opened any more."""

from pathlib import Path

import msgpack
import pytest

from stand_ins import Log
from storify import DatabaseLoadError, DatabaseOpenError, Storify

pytestmark = pytest.mark.files("the file is damaged")


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


def closed_once(root, content):
    """Save a database that has no older state; give its file."""
    with Storify(root, save_interval=None) as sf:
        sf.get_db("d", root=content)
    return root / "d.mpack"


def salvage(root, log):
    """Salvage the damaged database; give the report and what it has again."""
    sf = Storify(root, save_interval=None, log=log)
    with pytest.raises(DatabaseLoadError):
        sf.get_db("d")
    saved = sf.salvage("d")
    db = sf.get_db("d")
    data = db.data.copy()
    db.close()
    return saved, data


@pytest.mark.parametrize("with_checksums", [True, False])
def test_what_has_no_legible_key_any_more_is_counted(root, log, with_checksums):
    """The report and the log say how many records are lost, by key or not."""
    path = closed_once(root, {f"k{at}": f"value {at}" for at in range(50)})
    path.write_bytes(path.read_bytes()[:200])
    if not with_checksums:
        (root / ".backups" / "d" / ".index").unlink()

    saved, data = salvage(root, log)

    assert saved.recovered == len(data)
    assert 0 < len(data) < 50
    assert saved.lost_count == 50 - len(data)
    assert saved.unnamed == 50 - len(data) - len(saved.lost)
    said = f"{len(data)} records are there, {50 - len(data)} lost"
    assert any(said in line for line in log.warnings)


def test_a_record_that_a_backup_has_is_not_counted_as_lost(damaged, log):
    """Nor one whose key is legible twice."""
    saved, data = salvage(damaged, log)

    assert saved.recovered == len(data)
    assert saved.lost_count == 10 - len(data)


@pytest.mark.parametrize("with_checksums", [True, False])
def test_a_list_that_was_cut_gives_its_first_items(root, log, with_checksums):
    """The others are named by their indexes."""
    items = [f"item {at}" for at in range(50)]
    path = closed_once(root, list(items))
    path.write_bytes(path.read_bytes()[:100])
    if not with_checksums:
        (root / ".backups" / "d" / ".index").unlink()

    saved, data = salvage(root, log)

    assert data == items[: len(data)]
    assert len(data) >= 10
    assert saved.recovered == len(data)
    assert saved.lost == tuple(range(len(data), 50))
    assert saved.lost_count == 50 - len(data)
    said = f"{len(data)} items are there, {50 - len(data)} lost"
    assert any(said in line for line in log.warnings)


def test_a_damaged_item_of_a_list_is_named_and_the_others_are_kept(root, log):
    """Also those behind it, by their checksums."""
    items = [{"name": f"item {at}", "at": at} for at in range(50)]
    path = closed_once(root, list(items))
    blob = path.read_bytes()
    at = blob.index(b"item 7") - 1
    path.write_bytes(blob[:at] + b"\xc1" + blob[at + 1 :])

    saved, data = salvage(root, log)

    assert data == items[:7] + items[8:]
    assert saved.lost == (7,)
    assert saved.lost_count == 1


def test_a_changed_byte_in_a_list_gives_no_other_item(root, log):
    """Without the checksums, what follows a shift is not taken for items."""
    items = [f"item {at}" for at in range(50)]
    path = closed_once(root, list(items))
    (root / ".backups" / "d" / ".index").unlink()
    blob = bytearray(path.read_bytes())
    blob[blob.index(b"item 7") - 1] += 3
    path.write_bytes(blob)

    saved, data = salvage(root, log)

    assert data[:7] == items[:7]
    assert len(set(data) - set(items)) <= 1
    assert saved.recovered + saved.lost_count == 50


# -- starting afresh -------------------------------------------------------------------


@pytest.fixture
def unreadable(root):
    """A folder with a database of which nothing is whole."""
    root.mkdir(exist_ok=True)
    (root / "l.mpack").write_bytes(b"\xc1")
    return root


def test_a_damaged_database_stays_an_error_to_who_gives_a_root_each_time(unreadable):
    """As a handler does, which opens a list per request."""
    with Storify(unreadable, save_interval=None) as sf:
        for _ in range(3):
            with pytest.raises(DatabaseLoadError, match="set_aside"):
                sf.get_db("l", root=[])
        with pytest.raises(DatabaseLoadError):
            sf.get_db("l")
        with pytest.raises(DatabaseLoadError):
            sf.get_db("l", root=[])

    assert (unreadable / "l.mpack").read_bytes() == b"\xc1"


def test_set_aside_says_that_it_is_to_start_afresh(unreadable, log):
    """The damaged file is kept, and the log says where."""
    with Storify(unreadable, save_interval=None, log=log) as sf:
        with pytest.raises(DatabaseLoadError):
            sf.get_db("l", root=[])

        kept = sf.set_aside("l")

        sf.get_db("l", root=[]).append(1)
    assert Path(kept).read_bytes() == b"\xc1"
    assert any(kept in line for line in log.warnings)
    assert msgpack.unpackb((unreadable / "l.mpack").read_bytes()) == [1]


def test_only_a_damaged_database_is_set_aside(root):
    """One that can be opened is not, nor one that is open or not there."""
    with Storify(root, save_interval=None) as sf:
        sf.get_db("d")["a"] = 1
        with pytest.raises(DatabaseOpenError):
            sf.set_aside("d")
        sf.get_db("d").close()

        with pytest.raises(ValueError, match="intact; remove_db"):
            sf.set_aside("d")
        with pytest.raises(FileNotFoundError, match="nothing"):
            sf.set_aside("nothing")

    assert msgpack.unpackb((root / "d.mpack").read_bytes()) == {"a": 1}
