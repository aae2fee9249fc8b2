"""The bugs of release 0.0.11, each as a test that it would fail.

Found by running it against faults and hostile input; each docstring says what
it did. Names that leave the folder are also tested in ``tests/manager``.
"""

import errno
import os
from contextlib import nullcontext
from pathlib import Path

import msgpack
import pytest

from faults.process import open_measured, run
from faults.surroundings import mode
from stand_ins import Log
from storify import (
    Database,
    DatabaseLoadError,
    DatabaseNameError,
    Model,
    ModelLoadError,
    Storify,
    UnstorableError,
)
from storify.testing._disk import Fault, Recorder, injected, recorded


class User(Model):
    """A declared model."""

    name: str
    age: int = 0


@pytest.fixture
def sf(root):
    """A Storify that knows the model; its folder need not be closed well."""
    storify = Storify(root, save_interval=None, models=[User])
    yield storify
    for db in storify.databases:
        db.close(discard=True)


def write(root: Path, tree: object) -> Path:
    """Put plain MessagePack where the database ``db`` is."""
    root.mkdir(exist_ok=True)
    path = root / "db.mpack"
    path.write_bytes(msgpack.packb(tree))
    return path


def read(path: Path) -> object:
    """What any other MessagePack reader finds in a file."""
    return msgpack.unpackb(path.read_bytes(), strict_map_key=False)


def contents(db: Database) -> list[object]:
    """What the backups hold, newest first."""
    return [read(Path(db.backups.get_path_of_backup(id_))) for id_ in db.backups.list]


# -- saving --------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_failed_flush_raises_and_keeps_the_data(sf, root, code):
    """It logged the error and returned as if the data were saved."""
    db = sf.get_db("db")
    db["a"] = "old"
    db.flush()

    failures = 0
    for at in range(1, 200):  # each disk call in turn
        db["a"] = f"new {at}"
        failure = None
        with injected(Fault(at, code)) as fault:
            try:
                db.flush()
            except OSError as err:
                failure = err
        if not fault.struck:
            break
        assert db["a"] == f"new {at}"
        if failure is not None:
            failures += 1
            assert failure.errno == code
            assert db.dirty() == {"a"}
            db.flush()
        assert read(root / "db.mpack") == {"a": f"new {at}"}

    assert not fault.struck
    assert failures > 10


def test_a_flush_replaces_the_file_and_never_writes_into_it(sf, root):
    """It copied over the live file, so a reader or a crash could meet a half."""
    db = sf.get_db("db")
    db["a"] = "old"
    db.flush()

    with (root / "db.mpack").open("rb") as reader:
        db["a"] = "new" * 1000
        db.flush()
        seen = reader.read()

    assert msgpack.unpackb(seen) == {"a": "old"}


def test_a_flush_reaches_the_disk_before_the_name_and_the_name_after(sf, root):
    """It called no fsync, so a power cut emptied files it had reported as saved."""
    db = sf.get_db("db")
    db["a"] = 1
    main = str(root / "db.mpack")

    with recorded(Recorder()) as recorder:
        db.flush()

    steps = [step[:3] for step in recorder.log]
    (renamed,) = [step for step in steps if step[0] == "rename" and step[2] == main]
    at = steps.index(renamed)
    temporary = renamed[1]
    written = max(n for n, step in enumerate(steps) if step[:2] == ("write", temporary))
    assert ("fsync", temporary) in steps[written:at]
    assert ("fsync", str(root)) in steps[at:]


DYING = """
import os, sys
from pathlib import Path
from stand_ins import Log
from storify import Storify
from storify.testing._disk import Fault, injected

class Death(Fault):
    def call(self, name, *args, **kwargs):
        if name == "write":
            os.write(args[0], bytes(args[1])[:5])
            os._exit(9)
        return super().call(name, *args, **kwargs)

for turn in range(8):
    if os.fork() == 0:
        db = Storify(sys.argv[1], save_interval=None).get_db("db")
        db["turn"] = f"never saved {turn}"
        with injected(Death(0, 0)):
            db.flush()
    status = os.wait()[1]
    assert os.waitstatus_to_exitcode(status) == 9
"""


def test_eight_deaths_in_a_row_cost_no_backup(sf, root):
    """It copied the torn file into the backups until no good one was left."""
    db = sf.get_db("db")
    for turn in range(7):
        db["turn"] = turn
        db.flush()
    db.close()

    run(DYING, root)

    db = sf.get_db("db")
    assert db["turn"] == 6
    assert contents(db) == [{"turn": turn} for turn in (5, 4, 3, 2, 1)]


def test_a_torn_file_never_becomes_a_backup(sf, root):
    """It backed up whatever stood there, and each flush pushed a good one out."""
    for turn in (1, 2, 3, 4):
        db = sf.get_db("db")
        db["turn"] = turn
        db.close()
    for turn in range(5, 13):
        torn = (root / "db.mpack").read_bytes()[:-1]
        (root / "db.mpack").write_bytes(torn)
        db = sf.get_db("db")
        assert db["turn"] == turn - 1  # of the last commit its change is kept
        db["turn"] = turn
        db.close()

    db = sf.get_db("db")

    assert db["turn"] == 12
    assert contents(db) == [{"turn": turn} for turn in (11, 10, 9, 8, 7)]


def test_a_stray_file_among_the_backups_is_ignored(sf, root):
    """It took every name for a number, so any other file broke each flush."""
    db = sf.get_db("db")
    db["a"] = 1
    db.flush()
    stray = root / ".backups" / "db" / "notes.txt"
    stray.write_text("mine")

    for turn in range(8):
        db["a"] = turn
        db.flush()

    assert read(root / "db.mpack") == {"a": 7}
    assert len(db.backups.list) == 5
    assert stray.read_text() == "mine"


def test_a_value_that_cannot_be_stored_leaves_nothing_behind(sf, root):
    """It left a half-written temporary file beside the database."""
    db = sf.get_db("db")
    db["a"] = 1
    db.flush()
    before = sorted(root.rglob("*"))
    db["bad"] = [object()]

    with pytest.raises(UnstorableError) as caught:
        db.flush()

    assert caught.value.path == "$['bad'][0]"
    assert sorted(root.rglob("*")) == before
    assert read(root / "db.mpack") == {"a": 1}


# -- values --------------------------------------------------------------------


def test_int_keys_come_back_in_the_next_session(sf, root):
    """It saved them, could not read them, and served an older backup instead."""
    db = sf.get_db("db")
    db["v"] = "older"
    db.flush()
    db["v"] = {1: 2}
    db[3] = {4: {5: 6}}
    db.close()

    again = Storify(root).get_db("db")

    assert again.data == {"v": {1: 2}, 3: {4: {5: 6}}}


@pytest.mark.parametrize("value", [b"text", b"", b"\xc3\xa9", b"\xff"])
def test_bytes_stay_bytes(sf, root, value):
    """It made text of bytes that happened to be UTF-8."""
    db = sf.get_db("db")
    db["v"] = [value]
    db.close()

    (found,) = Storify(root).get_db("db")["v"]

    assert type(found) is bytes
    assert found == value


def test_tuples_stay_tuples(sf, root):
    """It gave lists back."""
    db = sf.get_db("db")
    db["v"] = [(1, (2,)), [3], ()]
    db.close()

    assert Storify(root).get_db("db")["v"] == [(1, (2,)), [3], ()]


@pytest.mark.parametrize("depth", [10, 400, 498, 499, 500, 501, 1000, 5000])
def test_what_is_saved_can_be_loaded_however_deep(sf, root, depth):
    """It saved lists 500 deep without a word, and could never load them again."""
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    db = sf.get_db("db")
    db["a"] = 1
    db.flush()
    db["deep"] = value

    fits = depth < 500  # and the root makes 500
    with nullcontext() if fits else pytest.raises(UnstorableError, match="nest"):
        db.flush()

    again = Storify(root).get_db("db")
    assert list(again) == (["a", "deep"] if fits else ["a"])
    found = again.get("deep")
    while found:
        (found,) = found
        depth -= 1
    assert depth == 1 or not fits


# -- records -------------------------------------------------------------------


def test_a_field_named_like_a_method_does_not_replace_it(sf, root):
    """It put ``_to_dict`` of the file on the object, and the next flush broke."""
    fields = {"name": "a", "age": 1, "_to_dict": "x", "_keyname": "y"}
    path = write(root, {"u": {"__User__": fields}})
    db = sf.get_db("db", model=User)

    user = db["u"]
    user.age = 2
    db.flush()

    assert user == User("a", 2)
    assert callable(user._to_dict)
    assert callable(user._keyname)
    assert read(path) == {"u": {"__User__": {**fields, "age": 2}}}


@pytest.mark.parametrize("name", ["__class__", "__dict__", "__init__", "evolve"])
def test_a_field_named_like_an_attribute_of_objects_stays_in_the_file(sf, root, name):
    """It wrote any name of the file into the object's ``__dict__``."""
    path = write(root, {"u": {"__User__": {"name": "a", name: {"b": 1}}}})
    db = sf.get_db("db", model=User)

    user = db["u"]
    user.age = 2
    db.flush()

    assert type(user) is User
    assert user == User("a", 2)
    assert callable(user.evolve)
    (found,) = read(path)["u"].values()
    assert found == {"name": "a", name: {"b": 1}, "age": 2}


def test_an_unknown_field_hides_nothing_of_the_class_and_is_kept(sf, root):
    """It set every field that the file had, also over a method."""
    fields = {"name": "a", "evolve": True, "note": 1}
    path = write(root, {"u": {"__User__": fields}})
    db = sf.get_db("db", model=User)

    user = db["u"]
    user.age = 2
    db.flush()

    assert callable(user.evolve)
    assert user.note == 1
    (found,) = read(path)["u"].values()
    assert found == {**fields, "age": 2}


def test_a_field_of_a_wrong_type_is_reported(root):
    """It took any type without a word."""
    log = Log()
    path = write(root, {"u": {"__User__": {"name": "a", "age": "private"}}})
    before = path.read_bytes()

    db = Storify(root, log=log, models=[User]).get_db("db", model=User)

    with pytest.raises(ModelLoadError, match=r"\['u'\]\.age of database 'db'"):
        db["u"]
    assert db.raw("u").name == "a"
    (line,) = [line for line in log.warnings if "User.age" in line]
    assert "expected int, found str" in line
    assert "private" not in "".join(log.warnings)
    db.close()
    assert path.read_bytes() == before


def test_a_record_without_a_required_field_is_an_error_where_it_is_read(sf, root):
    """It made an object without the attribute."""
    tree = {"bad": {"__User__": {"age": 3}}, "good": {"__User__": {"name": "b"}}}
    path = write(root, tree)
    db = sf.get_db("db", model=User)

    with pytest.raises(ModelLoadError, match="'name' is missing") as caught:
        db["bad"]

    assert "'db'" in str(caught.value)
    assert caught.value.path == "$['bad'].name"
    assert db["good"] == User("b")
    db["good"].age = 4
    db.flush()
    assert read(path)["bad"] == tree["bad"]


def test_a_key_beside_a_keyname_is_not_lost(sf, root):
    """It read such a dict as a record, and dropped what stood beside it."""
    tree = {"u": {"__User__": {"name": "a"}, "sibling": 2}}
    path = write(root, tree)
    db = sf.get_db("db")

    db["other"] = 1
    db.flush()

    assert db["u"] == tree["u"]
    assert read(path) == {**tree, "other": 1}


# -- handles and names ---------------------------------------------------------


def test_two_handles_lose_nothing(sf, root):
    """Getting a database twice gave two copies, and the later flush won."""
    db, same = sf.get_db("db"), sf.get_db("db")
    other = Storify(root).get_db("db")
    db["x"] = 1
    same["y"] = 2
    other["z"] = 3

    for each in (db, same, other):
        each.flush()

    assert same is db
    assert read(root / "db.mpack") == {"x": 1, "y": 2, "z": 3}


def test_a_database_got_by_path_can_be_flushed_again(sf, tmp_path):
    """The second flush failed, because the folder was not known."""
    path = tmp_path / "db.mpack"
    db = sf.get_db_by_path(path)

    for turn in range(3):
        db["turn"] = turn
        db.flush()

    assert db.root == str(tmp_path)
    assert read(path) == {"turn": 2}
    assert contents(db) == [{"turn": 1}, {"turn": 0}]


@pytest.mark.parametrize("name", ["a/b", "x" * 250, "é" * 123, "x" * 201])
def test_a_name_that_cannot_be_a_file_is_refused_at_once(sf, root, name):
    """Its flush returned, and there was no file."""
    with pytest.raises(DatabaseNameError):
        sf.get_db(name)

    longest = sf.get_db("x" * 200)
    longest["a"] = 1
    longest.flush()
    longest["a"] = 2
    longest.flush()
    assert read(root / f"{'x' * 200}.mpack") == {"a": 2}


@pytest.mark.parametrize("name", ["../x", "../../x", "{}/x"])
def test_no_name_leads_out_of_the_folder(sf, tmp_path, name):
    """It wrote beside its folder, above it, and anywhere by an absolute path."""
    name = name.format(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    for use in (sf.get_db, sf.db_exists, sf.remove_db, sf.__getitem__):
        with pytest.raises(DatabaseNameError):
            use(name)

    assert sorted(tmp_path.rglob("*")) == before


# -- files ---------------------------------------------------------------------


def names_of(recorder: Recorder) -> list[str]:
    """Every path that was created, linked to or renamed to."""
    found = []
    for kind, path, *rest in recorder.log:
        if kind == "create":
            found.append(path)
        elif kind in {"rename", "link"}:
            found.append(rest[0])
    return found


def test_names_that_a_flush_writes_cannot_be_foreseen(sf, root):
    """It wrote ``db.mpack.tmp`` and the next number, whatever stood there."""
    db = sf.get_db("db")
    db["a"] = 0
    db.flush()
    before = {str(path) for path in root.rglob("*")}
    seen = []
    for turn in (1, 2):
        db["a"] = turn
        with recorded(Recorder()) as recorder:
            db.flush()
        seen.append(set(names_of(recorder)) - before)

    assert len(seen[0]) >= 3
    assert not seen[0] & seen[1]


def test_a_link_planted_under_a_name_is_not_written_through(sf, root, tmp_path):
    """It followed links at its temporary and backup names, and wrote the victim."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    db = sf.get_db("db")
    db["a"] = 0
    db.flush()
    for name in ("db.mpack.tmp", "db.tmp", ".db.mpack.tmp"):
        (root / name).symlink_to(victim)
    for name in ("0", "1", "2", "latest"):
        (root / ".backups" / "db" / name).symlink_to(victim)

    for turn in range(1, 9):
        db["a"] = turn
        db.flush()
    db.backups.backup()

    assert victim.read_bytes() == b"precious"
    assert read(root / "db.mpack") == {"a": 8}


def test_new_files_are_private_and_an_existing_mode_is_kept(sf, root):
    """New files and all backups could be read by everybody."""
    before = os.umask(0)
    try:
        db = sf.get_db("db")
        for turn in range(3):
            db["turn"] = turn
            db.flush()
        (root / "db.mpack").chmod(0o640)
        db["turn"] = 3
        db.flush()
    finally:
        os.umask(before)

    assert mode(root / "db.mpack") == 0o640
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) > 4
    for path in files:
        # The newest backup is the former file itself, with the mode it had.
        assert mode(path) in {0o600, 0o640}, path
        assert mode(path.parent) == 0o700


def test_a_fifo_does_not_hang(sf, root):
    """It waited for ever for somebody to write into it."""
    os.mkfifo(root / "db.mpack")

    with pytest.raises(DatabaseLoadError, match=r"db\.mpack.*not a regular file"):
        sf.get_db("db")


@pytest.mark.parametrize("tree", [None, 5, "text", True, 1.5, b"bytes"], ids=repr)
def test_a_root_that_is_no_container_is_refused(sf, root, tree):
    """It loaded whatever stood at the top, and broke at the first use."""
    path = write(root, tree)
    before = path.read_bytes()

    with pytest.raises(DatabaseLoadError, match="neither a map nor an array"):
        sf.get_db("db")

    assert path.read_bytes() == before


def test_a_list_root_is_a_list(sf, root):
    """It took a list as it took a number, and then had no way to append."""
    write(root, [1, {"a": 2}])
    db = sf.get_db("db")

    db.append(3)
    db.flush()

    assert db.data == [1, {"a": 2}, 3]
    assert read(root / "db.mpack") == [1, {"a": 2}, 3]


@pytest.mark.parametrize(
    ("claimed", "there", "verdict"),
    [
        (2**32 - 1, 1000, "refused"),
        (10**9, 10**6, "refused"),
        (10**6,) * 2 + ("loaded",),
    ],
    ids=["4 GB claimed", "1 GB claimed", "a million nils"],
)
def test_memory_follows_the_file_not_its_header(root, claimed, there, verdict):
    """An array of 2e8 nils took 25 seconds and gigabytes before it failed."""
    root.mkdir()
    header = b"\x81\xa1a\xdd" + claimed.to_bytes(4, "big")
    (root / "db.mpack").write_bytes(header + b"\xc0" * there)

    found, seconds, kib = open_measured(root)

    assert found == verdict
    # Eight bytes for each nil that is there, and what a first load imports.
    assert kib < 30_000 + 20 * there // 1024
    assert seconds < 3
