"""A main file that another program edits while commits stand in the journal."""

import errno
import os
import shutil
import struct
from contextlib import suppress
from datetime import timedelta

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.database import (
    FORMAT,
    backups,
    commit,
    content,
    encoded,
    entries_of,
    everything,
    found,
    generations,
    grow,
    journal,
    journaling,
    main,
    make_catalog,
    make_engine,
    parse,
    state,
    whole_of,
)
from stand_ins import Log
from storify.engine import Commit, Keep, StaleVersionError, apply, difference
from storify.exceptions import CorruptionError
from storify.testing._disk import Fault, injected

#: Changed by each commit of a generation.
MINE = "text"


@pytest.fixture(autouse=True)
def _with_a_journal():
    with journaling():
        yield


@pytest.fixture
def large(tmp_path):
    """A folder with a database at generation 3: one root, two frames."""
    grow(tmp_path, 3)
    assert journal(tmp_path).exists()
    return tmp_path


def edit(folder, *gone, **changes):
    """Change the main file as a program would that knows MessagePack alone."""
    data = msgpack.unpackb(main(folder).read_bytes(), strict_map_key=False)
    for key in gone:
        del data[key]
    data.update(changes)
    main(folder).write_bytes(msgpack.packb(data))


def read(engine):
    """The content, as it is loaded."""
    loaded = engine.load()
    return FORMAT.decode_root(FORMAT.join(entries_of(loaded)))


def plain(folder):
    """The content of the main file alone."""
    return msgpack.unpackb(main(folder).read_bytes(), strict_map_key=False)


def with_id(engine, warning):
    """The content of the backup that a warning names."""
    (named,) = [info.id for info in engine.backups() if repr(info.id) in warning]
    return parse(whole_of(engine.state(named)))


def test_an_edit_is_brought_in_on_top_of_the_journal(large):
    """Nothing of what was committed is lost; it is told, once."""
    edit(large, tool=[1])
    log = Log()

    data = read(make_engine(large, log=log))

    assert data == {**content(3), "tool": [1]}
    assert plain(large) == data
    assert list(data) == [*content(3), "tool"]
    assert not journal(large).exists()
    (line,) = log.warnings
    assert "another program" in line
    assert "2 commits" in line
    later = Log()
    engine = make_engine(large, log=later)
    assert read(engine) == data
    assert engine.verify() == []
    assert generations(engine) == [3, 2, 1]
    commit(engine, 4)
    assert later.warnings == []


def test_where_both_changed_a_key_the_edit_counts_and_ours_is_a_backup(large):
    """The warning names the key and the backup."""
    edit(large, "turn 1", text="tool", generation=1)
    log = Log()
    engine = make_engine(large, log=log)

    data = read(engine)

    assert data == {**content(3), "text": "tool"}
    (line,) = log.warnings
    assert repr(FORMAT.encode(MINE)) in line
    assert "generation" not in line
    assert with_id(engine, line) == 3
    assert generations(engine) == [3, 2, 1]


def test_a_key_that_one_side_deleted_and_the_other_changed_is_as_the_edit_has_it(large):
    """Whichever side it was."""
    engine = make_engine(large)
    loaded = engine.load()
    changes = [(FORMAT.encode("bulk"), None), (FORMAT.encode("new"), b"\x01")]
    engine.commit(Commit(loaded.version, changes))
    edit(large, "long", bulk="tool", new=1)
    log = Log()

    data = read(make_engine(large, log=log))

    assert data["bulk"] == "tool"
    assert data["new"] == 1
    assert "long" not in data
    (line,) = log.warnings
    assert repr(FORMAT.encode("bulk")) in line
    assert repr(FORMAT.encode("long")) in line
    assert repr(FORMAT.encode("new")) not in line


def test_a_program_that_spells_all_otherwise_changes_what_it_changes(large):
    """Longer integers and lengths than needed mean the same."""

    def text(value):
        blob = value.encode()
        return b"\xdb" + struct.pack(">I", len(blob)) + blob

    data = {**content(1), "tool": "new", "turn 0": 3}
    raw = b"\xdf" + struct.pack(">I", len(data))
    for key, value in data.items():
        raw += text(key)
        raw += b"\xd3" + struct.pack(">q", value) if type(value) is int else text(value)
    main(large).write_bytes(raw)
    log = Log()

    found = read(make_engine(large, log=log))

    assert found == {**content(3), "tool": "new"}
    assert "backup" not in log.warnings[0]


def test_other_instances_are_told_of_the_edit_alone(large):
    """Their own commits are no news to them."""
    one, other = make_engine(large), make_engine(large)
    version = one.load().version
    known = other.load().version
    edit(large, tool=1)

    news = one.changes_since(version)
    assert news.changes is None
    loaded = one.load()
    assert FORMAT.decode_root(whole_of(loaded)) == {**content(3), "tool": 1}
    assert one.changes_since(loaded.version) is None
    news = other.changes_since(known)

    assert list(news.changes) == [(FORMAT.encode("tool"), b"\x01")]
    assert news.version == loaded.version
    assert other.changes_since(news.version) is None


def test_a_commit_beside_an_edit_is_stale_and_goes_on_top(large):
    """Nothing is committed over what the other program wrote."""
    engine = make_engine(large)
    version = engine.load().version
    edit(large, tool=1)
    change = [(FORMAT.encode("mine"), b"\x02")]

    with pytest.raises(StaleVersionError):
        engine.commit(Commit(version, change))
    news = engine.changes_since(version)
    engine.commit(Commit(news.version, change))

    assert list(news.changes) == [(FORMAT.encode("tool"), b"\x01")]
    assert read(make_engine(large)) == {**content(3), "tool": 1, "mine": 2}


def test_a_reader_is_served_what_a_writer_would_save(large):
    """And writes nothing; later it hears of no change."""
    edit(large, tool=1)
    before = everything(large)
    log = Log()
    reader = make_engine(large, readonly=True, log=log)

    loaded = reader.load()

    assert FORMAT.decode_root(whole_of(loaded)) == {**content(3), "tool": 1}
    assert len(log.warnings) == 1
    assert reader.changes_since(loaded.version) is None
    assert reader.load().version == loaded.version
    assert [info.kind for info in reader.backups()] == ["commit", "commit", "snapshot"]
    assert [parse(whole_of(reader.state(each.id))) for each in reader.backups()] == [
        3,
        2,
        1,
    ]
    present = whole_of(reader.state(reader.backups()[0].time + timedelta(days=9999)))
    assert FORMAT.decode_root(present) == {**content(3), "tool": 1}
    assert everything(large) == before
    make_engine(large).load()
    news = reader.changes_since(loaded.version)
    assert list(news.changes) == []
    commit(make_engine(large), 4)
    assert reader.changes_since(news.version) is not None


def test_a_reader_that_has_it_open_hears_of_the_edit(large):
    """Before and after a writer has saved it."""
    reader = make_engine(large, readonly=True)
    version = reader.load().version
    edit(large, tool=1)

    assert reader.changes_since(version).changes is None
    assert read(reader) == {**content(3), "tool": 1}


@pytest.mark.parametrize("act", ["backup", "destroy", "close", "purge", "rename"])
def test_whatever_is_done_first_keeps_the_commits(large, act):
    """An edit is brought in before anything else is done with the files."""
    engine = make_engine(large)
    commit(engine, 4)
    edit(large, tool=1)
    if act == "rename":
        make_catalog(large).rename("users", "people")
        engine = make_engine(large, "people")
    else:
        getattr(engine, act)()
        engine = make_engine(large)

    if act == "destroy":
        (last, *_) = engine.backups()
        data = FORMAT.decode_root(whole_of(engine.state(last.id)))
    else:
        data = read(engine)

    assert data == {**content(4), "tool": 1}
    kept = [FORMAT.decode_root(whole_of(engine.state(i.id))) for i in engine.backups()]
    if act != "purge":
        assert [each["generation"] for each in kept if "tool" not in each] == [
            4,
            3,
            2,
            1,
        ]


def test_edits_between_commits_are_all_there(tmp_path):
    """The file is whole again after each, and a journal begins anew."""
    engine = grow(tmp_path, 3)
    for number in range(4):
        edit(tmp_path, **{f"tool {number}": number})
        version = engine.load().version
        for each in range(2):
            change = [(FORMAT.encode(f"mine {number} {each}"), b"\x01")]
            version = engine.commit(Commit(version, change))
        assert journal(tmp_path).exists()

    data = read(make_engine(tmp_path))

    tools = {f"tool {number}": number for number in range(4)}
    mine = {f"mine {number} {each}": 1 for number in range(4) for each in range(2)}
    assert data == {**content(3), **tools, **mine}
    assert make_engine(tmp_path).verify() == []


def test_a_root_without_a_backup_of_its_own_is_rebuilt_for_it(tmp_path):
    """From the one before it and the commits beside that."""
    grow(tmp_path, 8)
    (copy,) = backups(tmp_path).glob("*.mpack")
    assert (parse(copy.read_bytes()), parse(main(tmp_path).read_bytes())) == (1, 7)
    edit(tmp_path, tool=1)
    log = Log()
    engine = make_engine(tmp_path, log=log)

    assert read(engine) == {**content(8), "tool": 1}
    assert engine.verify() == []
    assert generations(engine) == [8, 7, 6, 5, 4, 3, 2, 1]


def test_an_edit_that_changes_nothing_folds_the_journal(large):
    """Keys in another order, say."""
    data = plain(large)
    main(large).write_bytes(msgpack.packb(dict(reversed(data.items()))))
    version = make_engine(large, readonly=True).load().version
    log = Log()
    engine = make_engine(large, log=log)

    assert found(engine) == 3
    assert len(log.warnings) == 1
    assert "backup" not in log.warnings[0]
    assert list(engine.changes_since(version).changes) == []


# A file that was put back


def old_file(folder):
    """The file of an older generation, that is in the backups."""
    (path, *_) = sorted(backups(folder).glob("*.mpack"))
    return path


@pytest.mark.parametrize("how", ["backup", "elsewhere"])
def test_an_older_file_that_is_put_back_counts_and_undoes_nothing_for_good(
    tmp_path, how
):
    """It is known by its content or its time; the commits are a backup."""
    engine = grow(tmp_path, 8)
    copy = tmp_path / "copy"
    shutil.copy2(old_file(tmp_path), copy)
    if how == "elsewhere":
        edit(tmp_path, other=1)
        shutil.move(main(tmp_path), copy)
        os.utime(copy, ns=(1, 10**18))
    shutil.copy2(copy, main(tmp_path)) if how == "elsewhere" else shutil.copy(
        copy, main(tmp_path)
    )
    log = Log()
    engine = make_engine(tmp_path, log=log)

    data = read(engine)

    expected = content(1) if how == "backup" else {**content(7), "other": 1}
    assert data == expected
    (line,) = log.warnings
    assert "1 commit " in line
    assert with_id(engine, line) == 8
    assert generations(engine)[:2] == [8, 7]
    commit(make_engine(tmp_path), 9)
    assert found(make_engine(tmp_path)) == 9


def test_the_file_that_the_journal_belongs_to_may_be_put_back(large):
    """It is the file that was there; the commits go on."""
    shutil.copy(old_file(large), main(large))
    log = Log()

    assert found(make_engine(large, log=log)) == 3
    assert log.warnings == []


def test_a_copy_of_the_present_state_undoes_nothing(large):
    """The journal is folded into it."""
    made = make_engine(large).backup()
    shutil.copy(backups(large) / f"{made}.mpack", main(large))
    log = Log()

    assert found(make_engine(large, log=log)) == 3
    assert "older" not in log.warnings[0]
    assert not journal(large).exists()


# What cannot be merged


def test_without_the_file_of_before_the_edit_counts_and_the_journal_is_kept(large):
    """The warning says how many commits are in it, and where."""
    old_file(large).unlink()
    raw = journal(large).read_bytes()
    edit(large, tool=1)
    log = Log()

    assert read(make_engine(large, log=log)) == {**content(1), "tool": 1}

    (kept,) = backups(large).glob("*.corrupt")
    assert kept.read_bytes() == raw
    assert not journal(large).exists()
    lines = [line for line in log.warnings if "2 commits" in line]
    assert len(lines) == 1
    assert repr(str(kept)) in lines[0]
    later = Log()
    commit(make_engine(large, log=later), 5)
    assert later.warnings == []
    assert found(make_engine(large)) == 5


def test_a_reader_leaves_what_cannot_be_merged_as_it_is(large):
    """It sees the edit, and the log says what is not in it."""
    old_file(large).unlink()
    edit(large, tool=1)
    before = everything(large)
    log = Log()
    reader = make_engine(large, readonly=True, log=log)

    assert read(reader) == {**content(1), "tool": 1}

    (line,) = log.warnings
    assert "2 commits" in line
    assert everything(large) == before
    assert reader.backups() == []


def test_a_journal_that_cannot_be_kept_is_not_dropped(large):
    """A full disk costs nothing; it is tried again."""
    old_file(large).unlink()
    edit(large, tool=1)
    raw = journal(large).read_bytes()
    for at in range(1, 200):
        with injected(Fault(at, errno.ENOSPC)) as fault, suppress(OSError):
            engine = make_engine(large)
            engine.load()
            commit(engine, 5)
        copies = [path.read_bytes() for path in backups(large).glob("*.corrupt")]
        assert raw in copies or journal(large).read_bytes() == raw, fault.trace
        if raw in copies:
            return
    raise AssertionError


def test_an_edit_that_does_not_parse_is_undone_with_all_commits(large):
    """As any damage."""
    main(large).write_bytes(b"\x81\xa1" + main(large).read_bytes()[:-9])
    log = Log()

    assert found(make_engine(large, log=log)) == 3

    assert any("is damaged" in line for line in log.warnings)
    assert list(backups(large).glob("*.corrupt"))


@pytest.mark.parametrize("act", ["purge", "backup"])
@pytest.mark.parametrize("journaled", [True, False])
def test_what_does_not_parse_is_recovered_first(tmp_path, act, journaled):
    """It may need the backups, and does not become one."""
    engine = grow(tmp_path, 3, journal=journaled)
    main(tmp_path).write_bytes(b"?")

    with pytest.raises(CorruptionError, match="load it"):
        getattr(engine, act)()

    assert found(make_engine(tmp_path)) == 3


@pytest.mark.parametrize("act", ["destroy", "set_aside"])
def test_what_does_not_parse_takes_no_commits_along(large, act):
    """They are put away with it."""
    raw = journal(large).read_bytes()
    main(large).write_bytes(b"?")

    getattr(make_engine(large), act)()

    assert raw in [path.read_bytes() for path in backups(large).glob("*.corrupt")]


def test_a_journal_beside_a_file_of_unknown_origin_is_put_away(large):
    """Nobody knows whether it belonged to this database."""
    (backups(large) / ".sum").unlink()
    raw = journal(large).read_bytes()
    edit(large, tool=1)
    log = Log()

    assert read(make_engine(large, log=log)) == {**content(1), "tool": 1}

    (kept,) = backups(large).glob("*.corrupt")
    assert kept.read_bytes() == raw
    assert any(repr(str(kept)) in line for line in log.warnings)


def test_a_damaged_journal_counts_as_far_as_it_goes(large):
    """It is healed from its mirror, or cut."""
    payload = bytearray(journal(large).read_bytes())
    payload[120] ^= 1
    journal(large).write_bytes(bytes(payload) + b"\x93\xce?")
    edit(large, tool=1)
    log = Log()

    assert read(make_engine(large, log=log)) == {**content(3), "tool": 1}

    assert len([line for line in log.warnings if "was damaged" in line]) == 1
    assert make_engine(large).verify() == []


# Other roots


def list_engine(folder):
    """A list with one commit in its journal."""
    engine = make_engine(folder)
    items = [f"{number:09}" for number in range(200)]
    version = engine.commit(Commit(None, [(b"", FORMAT.encode(items))]))
    change = [(b"", FORMAT.encode([*items[:-1], "mine.mine"]))]
    stored = {b"": FORMAT.encode(items)}
    engine.commit(Commit(version, change, stored=stored.get))
    assert journal(folder).exists()
    return engine


def test_of_a_list_the_edit_counts_and_ours_is_a_backup(tmp_path):
    """It is one value."""
    list_engine(tmp_path)
    main(tmp_path).write_bytes(FORMAT.encode(["tool"]))
    log = Log()
    engine = make_engine(tmp_path, log=log)

    assert read(engine) == ["tool"]

    (line,) = log.warnings
    assert "the whole list" in line
    (named,) = [info.id for info in engine.backups() if repr(info.id) in line]
    assert FORMAT.decode_root(whole_of(engine.state(named)))[-1] == "mine.mine"


def test_an_edit_at_once_is_no_older_file(tmp_path):
    """The system's clock for files may stand still for longer than our time is ahead."""
    list_engine(tmp_path)
    ours_ns = main(tmp_path).stat().st_mtime_ns
    main(tmp_path).write_bytes(FORMAT.encode(["tool"]))
    os.utime(main(tmp_path), ns=(0, ours_ns - 10**6))
    log = Log()

    assert read(make_engine(tmp_path, log=log)) == ["tool"]

    (line,) = log.warnings
    assert "the whole list" in line


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_an_edit_that_makes_another_kind_of_root_counts(tmp_path, kind):
    """There is no merging the two."""
    if kind == "list":
        list_engine(tmp_path)
        new = {"tool": 1}
    else:
        grow(tmp_path, 3)
        new = ["tool"]
    main(tmp_path).write_bytes(FORMAT.encode(new))
    log = Log()
    engine = make_engine(tmp_path, log=log)

    assert read(engine) == new

    assert "backup" in log.warnings[0]
    assert len(engine.backups()) == (2 if kind == "list" else 3)


def test_keys_that_are_one_for_python_are_not_both_kept(large):
    """The edit counts, or nobody could open it."""
    engine = make_engine(large)
    engine.commit(Commit(engine.load().version, [(b"\x01", b"\x01")]))
    data = plain(large)
    main(large).write_bytes(msgpack.packb({**data, True: "tool"}))
    log = Log()
    engine = make_engine(large, log=log)

    data = read(engine)

    assert data == {**content(1), True: "tool"}
    assert "backup" in log.warnings[0]
    assert [info.kind for info in engine.backups()] == ["commit"] * 3 + ["snapshot"]


# Small files, and policies


def test_the_warning_of_a_small_file_names_the_state_before(tmp_path):
    """Or says that there is no backup of it."""
    log = Log()
    engine = grow(tmp_path, 1, log=log, journal=False)
    main(tmp_path).write_bytes(state(5))
    assert found(engine) == 5
    assert "no backup" in log.warnings[0]
    commit(engine, 6)
    log.lines.clear()
    main(tmp_path).write_bytes(state(7))

    assert found(engine) == 7

    (line,) = log.warnings
    assert with_id(engine, line) == 6


@pytest.mark.parametrize("keep", [0, 1])
def test_no_policy_drops_what_the_warning_names(large, keep):
    """Until the next commit."""
    make_engine(large, keep=9).backup()
    commit(make_engine(large, keep=9), 4)
    edit(large, text="tool")
    log = Log()
    engine = make_engine(large, log=log, keep=keep)

    assert read(engine)["text"] == "tool"

    assert with_id(engine, log.warnings[0]) == 4
    assert engine.keep == Keep(keep)


def test_without_a_policy_there_may_be_nothing_to_merge_with(tmp_path):
    """Then the journal is put away."""
    grow(tmp_path, 3, keep=0)
    edit(tmp_path, tool=1)
    log = Log()

    assert read(make_engine(tmp_path, log=log, keep=0)) == {**content(1), "tool": 1}
    assert any(".corrupt" in line and "2 commits" in line for line in log.warnings)


# The parts


def test_a_value_of_unknown_origin_is_spelled_as_we_do():
    """What cannot be read stays as it is."""
    assert FORMAT.canonical(b"\xd3" + bytes(7) + b"\x05") == b"\x05"
    assert FORMAT.canonical(b"\xdb\x00\x00\x00\x01a") == b"\xa1a"
    for odd in (b"", b"\xc1", b"\x92\x01", encoded({"a": 1})[FORMAT.encode("a")]):
        assert FORMAT.canonical(odd) == odd


ENTRIES = st.dictionaries(st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), st.binary())
STATES = ENTRIES.flatmap(lambda found: st.permutations(list(found.items())))


@given(STATES, STATES)
def test_the_difference_of_two_roots_leads_from_one_to_the_other(old, new):
    """The order of the keys included; what stands where it did is not touched."""
    changes = difference(iter(old), iter(new))

    assert list(apply(dict(old), changes).items()) == new
    assert {key for key, _ in changes} == changed(dict(old), dict(new))


def changed(old, new):
    """The keys that must change, found with both roots in memory."""
    gone = old.keys() - new.keys()
    places = {key: place for place, key in enumerate(old)}
    reached = -1
    for count, key in enumerate(new):
        if places.get(key, -1) < reached or key not in places:
            kept = list(new)[:count]
            break
        reached = places[key]
    else:
        kept = list(new)
    return gone | {key for key in new if key not in kept or old[key] != new[key]}
