"""Rare turns of the engine: races, broken folders, the end of time."""

import errno
import os
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

import pytest

from faults.database import (
    FORMAT,
    TICKS,
    commit,
    flip,
    found,
    generations,
    grow,
    make_catalog,
    make_engine,
    parse,
    whole_of,
)
from stand_ins import Log
from storify.engine import Commit, Keep, MemoryCatalog
from storify.engine.file import renaming, vfs
from storify.engine.file.manifest import DamagedManifestError, read_manifest
from storify.engine.file.renaming import finish_rename, rename
from storify.engine.file.root import HASHED_BYTES, after, hashed
from storify.engine.moment import stamp_of, time_of
from storify.exceptions import (
    DatabaseLockedError,
    DatabaseNameError,
)


class Os:
    """The os module with some functions replaced."""

    def __init__(self, **replaced):
        self.__dict__.update(replaced)

    def __getattr__(self, name):
        return getattr(os, name)


@pytest.mark.parametrize("count", [1, 15, 16, 300])
@pytest.mark.parametrize("size", [0, 7, 40, 3000])
def test_a_root_with_one_other_value_is_what_joining_it_anew_gives(count, size):
    """Wherever the value stands, and however long the new one is."""
    entries = {FORMAT.encode_key(f"k{n}"): FORMAT.encode("v" * n) for n in range(count)}
    value = FORMAT.encode(b"n" * size)

    for key in (next(iter(entries)), list(entries)[count // 2], list(entries)[-1]):
        new = after(FORMAT, dict(entries), [(key, value)], FORMAT.join(entries))

        assert new.payload == FORMAT.join({**entries, key: value})
        assert new.entries == {**entries, key: value}
        assert new.payload[: new.same_bytes] == FORMAT.join(entries)[: new.same_bytes]


def test_a_file_of_which_the_begin_is_known_has_the_hash_of_all(tmp_path):
    """However long it is, and wherever it was changed, also at the borders of hashes."""
    engine = make_engine(tmp_path)
    sizes = 1, HASHED_BYTES - 3, HASHED_BYTES, 2 * HASHED_BYTES, 100_000
    content = {f"k{n:03}": b"v" * (n * 37 % 900) for n in range(300)}
    version = engine.commit(Commit(None, list(FORMAT.encode_items(content).items())))
    for step in range(60):
        key = f"k{step * 7 % 16:03}"
        content[key] = bytes([step]) * (sizes[step % len(sizes)] // (1 + step % 3))
        change = FORMAT.encode_items({key: content[key]})

        version = engine.commit(Commit(version, list(change.items())))

        payload = Path(engine.location).read_bytes()
        assert version == sha256(payload).hexdigest()
        assert FORMAT.decode_root(payload) == content


@pytest.mark.parametrize("more", [0, 1, HASHED_BYTES - 1])
def test_a_root_is_hashed_on_from_what_is_known(more):
    """Where it ends at a hash, or just behind one, or it is empty."""
    for count in range(4):
        payload = bytes(count * HASHED_BYTES + more)
        hashes = hashed(payload)

        assert hashes[-1].digest() == sha256(payload).digest()
        for known in range(count):
            again = hashed(payload, hashes[:known])
            assert again[-1].digest() == sha256(payload).digest()
            assert [each.digest() for each in again] == [h.digest() for h in hashes]


def test_what_a_root_before_does_not_help_with_is_joined():
    """More changes than one, a new key, a key that goes, a list."""
    entries = {FORMAT.encode_key(key): FORMAT.encode(key) for key in "abc"}
    (a, one), (b, other) = list(entries.items())[:2]
    new_key = FORMAT.encode_key("new")
    whole = FORMAT.join(entries)

    for changes, wanted in (
        ([(a, other), (b, one)], {**entries, a: other, b: one}),
        ([(new_key, one)], {**entries, new_key: one}),
        ([(a, None)], {key: entries[key] for key in entries if key != a}),
        ([(b"", FORMAT.encode([1]))], {b"": FORMAT.encode([1])}),
    ):
        new = after(FORMAT, dict(entries), changes, whole)

        assert new.payload == FORMAT.join(wanted)


def failing(code):
    """A call that fails."""

    def fail(*_arguments, **_options):
        raise OSError(code, os.strerror(code))

    return fail


def test_times_in_names_are_utc_and_sort_as_text():
    """Whatever zone the clock has."""
    noon = datetime(2026, 11, 23, 12, tzinfo=timezone(timedelta(hours=5)))

    assert stamp_of(noon) == "20261123T070000.000000Z"
    assert time_of(stamp_of(noon)) == noon
    assert stamp_of(datetime(1, 1, 1, tzinfo=UTC)) < stamp_of(noon)
    assert time_of("20261399T000000.000000Z") is None
    assert time_of("yesterday") is None


def test_a_name_with_an_impossible_time_is_a_strangers(tmp_path):
    """It is neither listed nor deleted."""
    engine = grow(tmp_path, 2)
    stranger = tmp_path / ".backups/users" / f"20261399T000000.000000Z-{'a' * 32}.mpack"
    stranger.write_bytes(b"")

    engine.keep = Keep(0)
    commit(engine, 3)

    # The last one stays, with the commit that led to the one after it.
    assert generations(engine) == [2, 1]
    assert stranger.exists()


def test_a_backup_at_the_end_of_time_stops_nothing(tmp_path):
    """It cannot be topped, but commits go on."""
    engine = grow(tmp_path, 1)
    newest = tmp_path / ".backups/users" / f"99991231T235959.999999Z-{'a' * 32}.mpack"
    newest.write_bytes(b"")

    commit(engine, 2)
    commit(engine, 3)

    assert found(engine) == 3


def test_a_file_time_beyond_the_calendar_stops_nothing(tmp_path, monkeypatch):
    """Some file systems can have it."""
    engine = grow(tmp_path, 1)
    (tmp_path / ".backups/users/.sum").unlink()
    real = os.fstat

    def late(fd):
        found = real(fd)
        return os.stat_result(list(found), {"st_mtime_ns": 10**22})

    monkeypatch.setattr(vfs, "os", Os(fstat=late))

    assert found(engine) == 1
    assert engine.backup() is not None


def test_a_damaged_backup_of_the_present_state_is_replaced(tmp_path):
    """The name is taken by bytes that do not match it."""
    log = Log()
    engine = grow(tmp_path, 1)
    made = engine.backup()
    Path(engine.backup_path(made)).write_bytes(b"rot")

    commit(make_engine(tmp_path, log=log), 2)

    assert parse(whole_of(engine.state(made))) == 1
    assert "was damaged" in log.warnings[0]


def test_a_backup_that_vanishes_is_a_missing_file(tmp_path):
    """By its id; the list leaves it out."""
    engine = grow(tmp_path, 2)
    (backup,) = engine.backups()
    path = Path(engine.backup_path(backup.id))
    path.unlink()
    path.symlink_to("nowhere")

    assert engine.backups() == []
    path.unlink()
    with pytest.raises(FileNotFoundError):
        engine.backup_path(backup.id)
    with pytest.raises(FileNotFoundError):
        whole_of(engine.state(backup.id))


def test_a_list_made_while_a_backup_is_pruned_leaves_it_out(tmp_path, monkeypatch):
    """Reading takes no lock."""
    engine = grow(tmp_path, 2)
    names = [backup.id + ".mpack" for backup in engine.backups()]
    gone = f"20200101T000000.000000Z-{'a' * 32}.mpack"
    monkeypatch.setattr(vfs, "list_names", lambda _: [*names, gone])

    assert [backup.id + ".mpack" for backup in engine.backups()] == names


def test_a_write_that_takes_nothing_is_an_error(tmp_path, monkeypatch):
    """Not an endless loop."""
    engine = grow(tmp_path, 1)
    monkeypatch.setattr(vfs, "os", Os(write=lambda _fd, _data: 0))

    with pytest.raises(OSError, match="took nothing"):
        commit(engine, 2)


def test_a_folder_that_is_not_empty_stays(tmp_path, monkeypatch):
    """Any other failure is raised."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"")

    vfs.remove_directory(str(tmp_path / "a"))
    vfs.remove_directory(str(tmp_path / "c"))

    assert (tmp_path / "a").exists()
    monkeypatch.setattr(vfs, "os", Os(rmdir=failing(errno.EACCES)))
    with pytest.raises(PermissionError):
        vfs.remove_directory(str(tmp_path / "a"))


def test_a_record_that_cannot_be_read_now_is_no_damaged_one(tmp_path, monkeypatch):
    """Only a bad sector counts as damage."""
    path = str(tmp_path / ".sum")
    Path(path).write_bytes(b"{}")

    monkeypatch.setattr(vfs, "os", Os(read=failing(errno.EMFILE)))
    with pytest.raises(OSError, match="open files"):
        read_manifest(path)
    monkeypatch.setattr(vfs, "os", Os(read=failing(errno.EIO)))
    with pytest.raises(DamagedManifestError, match="Input/output"):
        read_manifest(path)


@pytest.mark.parametrize("suffix", [".mpack", ".journal"])
def test_a_process_out_of_files_does_not_fall_back_to_older_backups(
    tmp_path, monkeypatch, suffix
):
    """The newest good one may be the one that could not be opened."""
    grow(tmp_path, 3)
    (tmp_path / "users.mpack").unlink()
    engine = make_engine(tmp_path)
    real = os.open

    def out_of_files(path, *arguments):
        if str(path).endswith(suffix):
            raise OSError(errno.EMFILE, "too many open files")
        return real(path, *arguments)

    monkeypatch.setattr(vfs, "os", Os(open=out_of_files))
    monkeypatch.setattr(vfs, "_open", out_of_files)
    with pytest.raises(OSError, match="too many"):
        engine.load()
    monkeypatch.undo()

    assert found(engine) == 3


def test_an_unsaved_state_finds_a_place(tmp_path, monkeypatch):
    """In the temporary folder, if not beside the backups."""
    log = Log()
    engine = make_engine(tmp_path, log=log)
    monkeypatch.setattr(vfs, "make_directory", failing(errno.EROFS))

    where = Path(engine.save_unsaved(b"x"))

    assert where.read_bytes() == b"x"
    assert "cannot write" in log.warnings[0]
    where.unlink()


def test_unsaved_states_of_one_moment_get_different_names(tmp_path):
    """The clock may stand still."""
    engine = make_engine(tmp_path, clock=lambda: datetime(2026, 11, 23, tzinfo=UTC))

    assert engine.save_unsaved(b"x") != engine.save_unsaved(b"x")
    assert len(engine.backups()) == 2


def test_a_rotten_unlinked_file_is_judged_by_content(tmp_path):
    """Two engines that repair at once do not disturb each other."""
    grow(tmp_path, 3)
    flip(tmp_path / "users.mpack")
    one, other = make_engine(tmp_path), make_engine(tmp_path)

    assert one.load().version == other.load().version
    assert not one.changes_since(other.load().version)


def test_a_name_never_leads_out_of_the_folder(tmp_path):
    """Even if the check of names had a hole."""
    catalog = make_catalog(tmp_path / "data")

    with pytest.raises(DatabaseNameError, match="leads out"):
        catalog._path("../x")


# Renames


def test_a_rename_that_loses_a_race_is_refused(tmp_path, monkeypatch):
    """Existence counts under the lock."""
    folder = str(tmp_path)
    grow(tmp_path, 1)
    log = Log()
    with pytest.raises(FileNotFoundError):
        rename(folder, "nothing", "people", log, 1)
    commit(make_engine(tmp_path, "people"), 1)
    with pytest.raises(FileExistsError):
        rename(folder, "users", "people", log, 1)
    real = renaming._lock_of

    def vanish(*arguments):
        (tmp_path / "users.mpack").unlink()
        return real(*arguments)

    monkeypatch.setattr(renaming, "_lock_of", vanish)
    with pytest.raises(FileNotFoundError):
        rename(folder, "users", "other", log, 1)


def test_backups_of_former_databases_are_put_aside_one_by_one(tmp_path):
    """Each rename onto a former name keeps them."""
    catalog = make_catalog(tmp_path)
    for generation in (1, 2):
        commit(catalog.engine("people"), generation)
        catalog.remove("people")
        commit(catalog.engine("users"), 5)
        catalog.rename("users", "people")
        catalog.remove("people")

    aside = sorted((tmp_path / ".backups").glob("people.*.replaced"))
    assert [path.name for path in aside] == [
        "people.1.replaced",
        "people.2.replaced",
    ]
    assert catalog.names() == []


@pytest.mark.parametrize(
    "intent",
    [b"", b"x", b"[]", b'{"old": "users"}', b'{"old": "../users", "new": "x"}'],
)
def test_a_damaged_intent_is_dropped(tmp_path, intent):
    """It moves nothing, least of all outside the folder."""
    grow(tmp_path, 2)
    (tmp_path / ".backups/.rename").write_bytes(intent)
    log = Log()

    assert found(make_engine(tmp_path, log=log)) == 2
    assert "intent" in log.warnings[0]
    assert not (tmp_path / ".backups/.rename").exists()


def test_an_intent_that_somebody_else_settled_is_no_error(tmp_path):
    """We waited for its lock, and it is gone."""
    engine = grow(tmp_path, 1)
    log = Log()

    finish_rename(engine._access.paths(), log, 1)

    assert log.lines == []


def test_a_catalog_settles_a_cut_rename(tmp_path, monkeypatch):
    """Before it says what there is; a folder of others is left alone."""
    grow(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(renaming._Move, "finish", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            make_catalog(tmp_path).rename("users", "people")
    assert (tmp_path / ".backups/.rename").exists()

    assert make_catalog(tmp_path).names() == ["people"]
    assert len(make_catalog(tmp_path).engine("people").backups()) == 1


def test_a_commit_onto_a_cut_rename_finds_the_database_removed(tmp_path, monkeypatch):
    """An engine that was open under the old name."""
    engine = grow(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(renaming._Move, "finish", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            make_catalog(tmp_path).rename("users", "people")

    assert engine.load() is None
    assert make_catalog(tmp_path).names() == ["people"]


def test_two_memory_engines_in_one_thread_share_the_lock():
    """As nobody waits for anybody, neither is told to."""
    catalog = MemoryCatalog(root_format=FORMAT, clock=TICKS, lock_timeout_s=0.01)
    one, other = catalog.engine("a"), catalog.engine("a")

    with one.locked(), other.locked():
        commit(one, 1)
    commit(other, 2)

    assert issubclass(DatabaseLockedError, TimeoutError)
    assert found(one) == 2
    assert parse(whole_of(other.open())) == 2


def test_a_folder_that_another_program_makes_meanwhile_is_used(tmp_path, monkeypatch):
    """Both see that it is missing, and one is later; a file there is an error."""

    class Later:
        def __getattr__(self, name):
            return getattr(os, name)

        def mkdir(self, path, mode):
            Path(path).mkdir(mode)
            raise FileExistsError(errno.EEXIST, "exists", path)

    monkeypatch.setattr(vfs, "os", Later())
    commit(make_engine(tmp_path / "a" / "b"), 1)
    monkeypatch.undo()
    (tmp_path / "file").write_bytes(b"mine")

    assert found(make_engine(tmp_path / "a" / "b")) == 1
    with pytest.raises(NotADirectoryError) as caught:
        make_catalog(tmp_path / "file").create()
    assert caught.value.filename == str(tmp_path / "file")
