"""What is saved of a database that cannot be loaded."""

import pytest

from faults import database
from faults.database import (
    FORMAT,
    backups,
    commit,
    encoded,
    flip,
    grow,
    journal,
    journaling,
    keep_times,
    main,
    make_engine,
)
from faults.sampling import sample
from storify.engine import Commit
from storify.exceptions import CorruptionError

#: Entries that tell which they are, so that a mix of two is seen.
DATA = {f"key {at:02}": {"name": f"value {at:02}", "at": [at] * 5} for at in range(20)}
OLDER = {key: {"name": "older", "at": value["at"]} for key, value in DATA.items()}


def decoded(keys):
    """Keys as a user has them."""
    return [FORMAT.decode(key) for key in keys]


def put(engine, data, **options):
    """Commit data; give the version."""
    loaded = engine.load()
    base = None if loaded is None else loaded.version
    return engine.commit(Commit(base, list(encoded(data).items()), **options))


def lone(folder, data=DATA):
    """A database without any backup."""
    put(make_engine(folder), data)
    return main(folder).read_bytes()


def saved(folder):
    """What salvage gives: the data, and the rest of what it says."""
    found = make_engine(folder).salvage()
    return FORMAT.decode_root(FORMAT.join(found.entries)), found


def test_a_flipped_byte_costs_one_entry_at_most(tmp_path):
    """Each of the others comes back exactly, and the lost one is named."""
    good = lone(tmp_path)
    for at in sample(range(len(good)), 60):
        keep_times(main(tmp_path), good[:at] + bytes([good[at] ^ 5]) + good[at + 1 :])
        with pytest.raises(CorruptionError, match="salvage"):
            make_engine(tmp_path).load()

        data, found = saved(tmp_path)

        lost = DATA.keys() - data.keys()
        assert all(data[key] == DATA[key] for key in data), at
        assert len(lost) <= 1, at
        assert not lost or found.lost or found.unnamed, at
        assert not found.older


def test_a_file_that_was_cut_gives_what_is_before_the_end(tmp_path):
    """Entry by entry; the rest is told of."""
    good = lone(tmp_path)
    for size in sample(range(1, len(good)), 40):
        keep_times(main(tmp_path), good[:size])

        data, found = saved(tmp_path)

        assert list(data) == list(DATA)[: len(data)], size
        assert all(data[key] == DATA[key] for key in data), size
        assert len(data) >= len(DATA) * size // len(good) - 1, size
        assert found.lost or found.unnamed, size


@pytest.mark.parametrize("harm", ["zeros", "moved", "garbage"])
def test_a_stretch_of_bytes_costs_the_entries_that_it_touches(tmp_path, harm):
    """With the checksums of the entries, or by the look of what follows."""
    good = lone(tmp_path)
    start, end = len(good) // 3, len(good) // 3 + 100
    middle = {
        "zeros": bytes(100),
        "moved": good[start + 50 : end + 50],
        "garbage": b"\xc1" * 100,
    }
    keep_times(main(tmp_path), good[:start] + middle[harm] + good[end:])
    for with_checksums in (True, False):
        if not with_checksums:
            (backups(tmp_path) / ".index").unlink()

        data, found = saved(tmp_path)

        exact = [key for key in data if data[key] == DATA.get(key)]
        assert len(exact) >= len(DATA) - 5
        if with_checksums:
            assert len(exact) == len(data)
        assert found.lost or found.unnamed


def test_a_damaged_list_of_entries_is_not_gone_by(tmp_path):
    """Nor one of another file."""
    good = lone(tmp_path)
    keep_times(main(tmp_path), good[:-30])
    path = backups(tmp_path) / ".index"
    whole = path.read_bytes()
    for bad in (b"", whole[:-1], whole[:60] + b"?" + whole[61:], b"?" + whole[1:]):
        path.write_bytes(bad)

        data, _ = saved(tmp_path)

        assert all(data[key] == DATA[key] for key in data)
        assert len(data) >= len(DATA) - 2
    flip(path, 20)


def test_what_is_lost_is_taken_from_the_backups(tmp_path):
    """It is older, and is named."""
    engine = make_engine(tmp_path)
    put(engine, OLDER)
    put(engine, DATA)
    engine.close()
    for path in backups(tmp_path).glob("*.journal"):
        path.unlink()  # which would rebuild it exactly
    good = main(tmp_path).read_bytes()
    at = good.index(b"value 07")
    keep_times(main(tmp_path), good[:at] + b"VALUE" + good[at + 5 :])

    data, found = saved(tmp_path)

    assert decoded(found.older) == ["key 07"]
    assert not found.lost
    assert data == {**DATA, "key 07": OLDER["key 07"]}
    assert list(data) == list(DATA)


def test_a_key_that_is_damaged_is_taken_from_the_backups(tmp_path):
    """By its place between two that are whole."""
    engine = make_engine(tmp_path)
    put(engine, OLDER)
    put(engine, DATA)
    engine.close()
    for path in backups(tmp_path).glob("*.journal"):
        path.unlink()
    good = main(tmp_path).read_bytes()
    at = good.index(b"key 07") - 1
    keep_times(main(tmp_path), good[:at] + b"\xc1" + good[at + 1 :])

    data, found = saved(tmp_path)

    assert data["key 07"] == OLDER["key 07"]
    assert "key 07" in decoded(found.older)
    assert {**data, "key 07": DATA["key 07"]} == DATA


def test_what_the_journal_has_is_newest(tmp_path):
    """Also over what the main file has whole, and instead of what is damaged."""
    with journaling():
        engine = make_engine(tmp_path, sync="interval")
        put(engine, DATA)
        put(engine, {"key 03": "newer", "key 07": "newer"})
        assert journal(tmp_path).exists()
    for path in backups(tmp_path).glob("*.mpack"):
        path.write_bytes(b"bad")
    good = main(tmp_path).read_bytes()
    for mark in (b"value 07", b"value 11"):
        at = good.index(mark)
        good = good[:at] + b"VALUE" + good[at + 5 :]
    keep_times(main(tmp_path), good)

    data, found = saved(tmp_path)

    assert decoded(found.lost) == ["key 11"]
    assert not found.older
    expected = {**DATA, "key 03": "newer", "key 07": "newer"}
    del expected["key 11"]
    assert data == expected


def test_a_lost_file_gives_its_journal_and_its_backups(tmp_path):
    """Nothing of it is left but what stands elsewhere."""
    with journaling():
        engine = make_engine(tmp_path, sync="interval")
        put(engine, DATA)
        put(engine, {"key 03": "newer"})
    main(tmp_path).unlink()
    for path in backups(tmp_path).glob("*.mpack"):
        path.write_bytes(b"bad")

    data, found = saved(tmp_path)

    assert data == {"key 03": "newer"}
    assert found.unnamed or found.lost


@pytest.mark.parametrize(
    ("now", "saved", "older"),
    [
        ([1, 2, 3, 99], [1, 2, 3], []),  # a log that grew
        ([1, 2, 99], [1, 2, 3], [2]),
        ([1, 99, 3, 4], [1, 2, 3, 4], [1]),
        ([0, 1, 99, 3], [0, 1, 3], []),  # it moved: the older one there is another
    ],
)
def test_the_items_of_a_list_are_taken_from_the_backups(tmp_path, now, saved, older):
    """By their numbers, where their neighbours did not move."""
    engine = make_engine(tmp_path)
    first = engine.commit(Commit(None, [(b"", FORMAT.encode([1, 2, 3]))]))
    engine.commit(Commit(first, [(b"", FORMAT.encode(now))]))
    engine.close()
    for path in backups(tmp_path).glob("*.journal"):
        path.unlink()
    good = main(tmp_path).read_bytes()
    keep_times(main(tmp_path), good.replace(bytes([99]), b"\x62"))

    found = make_engine(tmp_path).salvage()

    assert FORMAT.decode_root(FORMAT.join(found.entries)) == saved
    assert list(found.older) == older
    assert list(found.lost) == ([] if older else [now.index(99)])


def test_salvage_changes_nothing(tmp_path):
    """Whoever looks may look again."""
    good = lone(tmp_path)
    keep_times(main(tmp_path), good[:-30])
    before = database.everything(tmp_path)

    make_engine(tmp_path).salvage()

    assert database.everything(tmp_path) == before


def test_a_good_database_is_salvaged_whole(tmp_path):
    """With a journal or without."""
    with journaling():
        engine = grow(tmp_path, 3)
        commit(engine, 4)

        found = engine.salvage()

    assert database.parse(FORMAT.join(found.entries)) == 4
    assert [*found.lost, *found.older, *found.notes] == []
