"""Bad files and bad surroundings: a clear error at once, and nothing is lost.

All through `Storify`, as a user meets it. Bad names are in ``tests/manager``,
the same surroundings seen from the engine in ``tests/engine``.
"""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from faults.process import open_measured, run
from faults.sampling import fewer
from faults.surroundings import NOBODY, as_root, mode, mounts, small_disk
from storify import (
    Database,
    DatabaseLoadError,
    Model,
    ModelLoadError,
    Storify,
    UnstorableError,
)


class Colour(Enum):
    """A registered type."""

    RED = "r"


class User(Model):
    """A declared model."""

    name: str
    age: int = 0


class Stranger:
    """A class that is neither a model nor registered."""


@pytest.fixture
def sf(root):
    """A Storify that knows the model; its databases need not close well."""
    storify = Storify(root, save_interval=None, models=[User], types=[Colour])
    yield storify
    for db in storify.databases:
        db.close(discard=True)


def read(path: Path) -> object:
    """What any other MessagePack reader finds in a file."""
    return msgpack.unpackb(path.read_bytes(), strict_map_key=False)


# -- no file at all ------------------------------------------------------------


def plant_directory(path: Path) -> None:
    """Make a folder with something in it."""
    path.mkdir()
    (path / "inside").write_bytes(b"mine")


@pytest.mark.parametrize("plant", [plant_directory, os.mkfifo])
def test_what_is_no_file_is_refused_at_once(sf, root, plant):
    """Opening, with or without a root, names it; it stays until started afresh."""
    plant(root / "db.mpack")
    before = (root / "db.mpack").stat()

    for opening in (
        lambda: sf.get_db("db"),
        lambda: sf["db"],
        lambda: sf.get_db_by_path(root / "db.mpack"),
        lambda: Database(path=root / "db.mpack", readonly=True),
        lambda: Storify(root).get_db("db", root={}),
    ):
        with pytest.raises(DatabaseLoadError, match=r"db\.mpack.*not a regular file"):
            opening()

    after = (root / "db.mpack").stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    db = sf.get_db("db", root={"a": 1})
    db.flush()
    assert read(root / "db.mpack") == {"a": 1}
    (kept,) = (root / ".backups" / "db").glob("*.corrupt")
    assert stat.S_IFMT(kept.stat().st_mode) == stat.S_IFMT(before.st_mode)


# -- bad bytes -----------------------------------------------------------------

HUGE = b"\xff\xff\xff\xff"
DEEP = 100_000
BAD_BYTES = {
    "empty": b"",
    "garbage": b"garbage",
    "zeros": bytes(4096),
    "text": b'{"a": 1}',
    "never used": b"\xc1",
    "two roots": msgpack.packb({}) * 2,
    "deep arrays": b"\x91" * DEEP + b"\xc0",
    "deep maps": b"\x81\xa1a" * DEEP + b"\xc0",
    "deep keys": b"\x81" * DEEP + b"\xc0" * (DEEP + 1),
    "cut deep arrays": b"\x91" * DEEP,
    "deep in a value": b"\x81\xa1a" + b"\x91" * DEEP + b"\xc0",
    **{
        f"4 GB {kind} {where}": prefix + code + HUGE + b"\x01" * 100
        for kind, code in {
            "array": b"\xdd",
            "map": b"\xdf",
            "str": b"\xdb",
            "bin": b"\xc6",
            "ext": b"\xc9",
        }.items()
        for where, prefix in {"root": b"", "value": b"\x81\xa1a"}.items()
    },
    "many 4 GB arrays": b"\xdd" + HUGE * 1000,
    "arrays that each claim 65535": b"\x81\xa1a" + b"\xdc\xff\xff" * 400,
}


@pytest.mark.parametrize("name", BAD_BYTES)
def test_bytes_that_are_no_database_are_refused(sf, root, name):
    """The error names the file, which stays as it is and is not replaced."""
    path = root / "db.mpack"
    path.write_bytes(BAD_BYTES[name])

    for _ in range(2):
        with pytest.raises(DatabaseLoadError, match=r"cannot load .*db\.mpack"):
            sf.get_db("db")
        with pytest.raises(DatabaseLoadError):
            sf.get_db("db", readonly=True)

        assert path.read_bytes() == BAD_BYTES[name]
        assert sf.databases == []
    assert [each.name for each in root.glob("**/*.mpack")] == ["db.mpack"]


@pytest.mark.parametrize(
    "name", ["deep arrays", "deep keys", "4 GB array root", "4 GB map value"]
)
def test_bad_bytes_cost_neither_memory_nor_time(root, name):
    """What a header claims is not believed."""
    root.mkdir()
    (root / "db.mpack").write_bytes(BAD_BYTES[name])

    verdict, seconds, kib = open_measured(root)

    assert verdict == "refused"
    assert seconds < 3
    assert kib < 30_000


def test_a_file_cut_at_any_length_is_refused(sf, root):
    """There is no length at which the rest passes for a smaller database."""
    db = sf.get_db("db")
    db.update({"u": User("a", 1), "t": (1, Colour.RED), "n": {1: [None, b"x"]}})
    db.close()
    whole = (root / "db.mpack").read_bytes()

    for length in range(len(whole)):
        path = root / f"{length}.mpack"
        path.write_bytes(whole[:length])
        with pytest.raises(DatabaseLoadError, match=rf"{length}\.mpack"):
            sf.get_db(str(length))
        assert path.read_bytes() == whole[:length]


def test_a_bad_file_beside_good_ones_is_one_bad_file(sf, root):
    """The others open and save; it counts as existing."""
    sf.get_db("good")["a"] = 1
    (root / "bad.mpack").write_bytes(b"garbage")

    with pytest.raises(DatabaseLoadError):
        sf.get_db("bad")

    assert list(sf) == ["bad", "good"]
    sf.flush()
    assert read(root / "good.mpack") == {"a": 1}
    assert (root / "bad.mpack").read_bytes() == b"garbage"


def rich() -> bytes:
    """A file with every kind of frame in it."""
    values = {
        "user": User("a", 1),
        "look-alike": {"__User__": {"name": "a"}},
        "tuple": (1, (2.5, None)),
        "set": {1, "a", frozenset({b"x"})},
        "time": datetime(2026, 11, 23, 5, 41, tzinfo=UTC),
        "date": date(2026, 11, 23),
        "decimal": Decimal("1.50"),
        "big": 10**40,
        "colour": Colour.RED,
        "keys": {1: "a", (1, 2): "b", None: "c", 1.5: "d"},
        "long": "x" * 300,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "db.mpack"
        with Database(path=path, models=[User], types=[Colour]) as db:
            db.update(values)
        return path.read_bytes()


RICH = rich()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The rich file after a few changes of bytes."""
    payload = bytearray(RICH)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(payload)))
        end = at + draw(st.integers(0, 8))
        other = draw(st.integers(0, len(payload)))
        payload[at:end] = draw(
            st.one_of(
                st.binary(max_size=6),
                st.just(bytes(payload[other : other + end - at])),
                st.sampled_from([b"", b"\xc0", b"\xdd\xff\xff\xff\xff", b"\xc7\x00"]),
            )
        )
    return bytes(payload)


def opened(folder: Path, payload: bytes) -> Database | None:
    """Open a file of these bytes; None if it is refused."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / "db.mpack"
    path.write_bytes(payload)
    try:
        sf = Storify(folder, save_interval=None, models=[User], types=[Colour])
        return sf.get_db("db")
    except DatabaseLoadError:
        assert path.read_bytes() == payload
        return None


@settings(max_examples=fewer(100, 300))
@example(b"")
@example(RICH)
@given(st.one_of(st.binary(max_size=40), mutated()))
def test_any_bytes_load_or_are_a_load_error(tmp_path_factory, payload):
    """And what loads is saved again without a loss, and never by itself."""
    folder = tmp_path_factory.getbasetemp() / "any bytes"

    db = opened(folder, payload)

    if db is None:
        return
    assert db.dirty() == set()
    db.flush()
    assert (folder / "db.mpack").read_bytes() == payload
    if isinstance(db.data, dict):
        db.data["new"] = 1
    else:
        db.data.append(1)
    size = len(db)
    db.close()
    again = Storify(folder, models=[User], types=[Colour]).get_db("db")
    assert len(again) == size
    assert again.dirty() == set()
    again.close()


# -- bad values ----------------------------------------------------------------


def test_a_nested_record_without_a_required_field_costs_nothing_else(sf, root):
    """It is the dict it was in the file, and is saved as such."""
    tree = {
        "list": [{"__User__": {"age": 1}}, {"__User__": {"name": "b", "age": 0}}],
        "deep": {"a": {"b": {"__User__": {}}}},
        "top": {"__User__": {"age": "x"}},
    }
    (root / "db.mpack").write_bytes(msgpack.packb(tree))
    db = sf.get_db("db")

    assert db["list"] == [{"__User__": {"age": 1}}, User("b")]
    assert db["deep"] == tree["deep"]
    db["list"].append(None)
    db.flush()

    assert read(root / "db.mpack") == tree | {"list": [*tree["list"], None]}
    db.close()
    typed = sf.get_db("db", model=User)
    with pytest.raises(ModelLoadError, match="required field 'name' is missing"):
        typed["top"]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Stranger(), "$['k']"),
        ([1, (Stranger(),)], "$['k'][1][0]"),
        ({"a": {2: Stranger()}}, "$['k']['a'][2]"),
        (User(Stranger()), "$['k'].name"),
        (Stranger, "$['k']"),
        (lambda: None, "$['k']"),
        (open, "$['k']"),
    ],
)
def test_an_object_of_a_class_that_is_not_registered_is_refused(sf, root, value, path):
    """Its place and its class are named; the file and the rest are as before."""
    db = sf.get_db("db")
    db["a"] = 1
    db.flush()
    before = (root / "db.mpack").read_bytes()
    db["k"] = value
    db["b"] = 2

    for use in (db.flush, db.close, sf.flush, db.destroy):
        with pytest.raises(UnstorableError) as caught:
            use()
        assert caught.value.path == path
        assert path in str(caught.value)

    assert (root / "db.mpack").read_bytes() == before
    assert db["k"] is value
    del db["k"]
    db.flush()
    assert read(root / "db.mpack") == {"a": 1, "b": 2}


# -- no space ------------------------------------------------------------------


@mounts
def test_a_full_disk_raises_and_loses_nothing(root):
    """Each flush raises; old file and memory stay; with space it is saved."""
    root.mkdir()
    with small_disk(root):
        db = Storify(root, save_interval=None).get_db("db")
        db["a"] = "old"
        db.flush()
        db["a"] = "n" * 2_000_000
        db["b"] = 1

        for _ in range(8):
            with pytest.raises(OSError, match="No space left") as caught:
                db.flush()
            assert caught.value.errno == errno.ENOSPC
            assert read(root / "db.mpack") == {"a": "old"}
            assert db.dirty() == {"a", "b"}
            assert not list(root.rglob("*.tmp"))
        with pytest.raises(OSError, match="No space left"):
            db.close()
        assert not db.defunct
        db["a"] = "new"
        db.close()

        assert read(root / "db.mpack") == {"a": "new", "b": 1}


LIMITED = """
import errno, resource, signal, sys
from pathlib import Path
from storify import Storify

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1], "db.mpack")
db = Storify(sys.argv[1], save_interval=None).get_db("db")
db["a"] = "old"
db.flush()
old = path.read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
db["a"] = "new" * 1000
for _ in range(8):
    try:
        db.flush()
    except OSError as err:
        assert err.errno == errno.EFBIG
    else:
        raise AssertionError
    assert db["a"] == "new" * 1000
    assert db.dirty() == {"a"}
    assert path.read_bytes() == old
    assert len(db.backups.list) == 0
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
db.flush()
"""


def test_a_limit_of_the_file_size_raises_and_loses_nothing(root):
    """As a full disk does, where no file system can be mounted."""
    run(LIMITED, root)

    assert read(root / "db.mpack") == {"a": "new" * 1000}
    assert not list(root.rglob("*.tmp"))


# -- no permission -------------------------------------------------------------

UNPRIVILEGED = """
import os, sys
from pathlib import Path
from storify import Backups, Database, DatabaseLoadError, Storify

os.setgroups([]); os.setgid(65534); os.setuid(65534)
root = Path(sys.argv[1])
sf = Storify(root, save_interval=None)

def refused(use):
    try:
        use()
    except PermissionError as err:
        print("refused", type(err).__name__, err.filename)
    else:
        print("done")
"""

READS_ONLY = """
db = sf.get_db("db")
def files():
    found = {path: path.stat() for path in root.rglob("*") if path.is_file()}
    return {path: (s.st_ino, s.st_mtime_ns, s.st_mode) for path, s in found.items()}
before = files()
print(db["a"], list(sf), len(db.backups.list), sf.db_exists("db"))
db.flush()
db["a"] = 2
print(db["a"], db.dirty())
for _ in range(2):
    refused(db.flush)
print(db["a"], db.dirty(), Storify(root).get_db("db")["a"])
refused(db.close)
refused(db.destroy)
db.close(discard=True)
assert files() == before
"""

OUTCOME = [
    "1 ['db'] 1 True",
    "2 {'a'}",
    "refused",
    "refused",
    "2 {'a'} 1",
    "refused",
    "refused",
    "",
]


@contextmanager
def readable_folder() -> Iterator[Path]:
    """A folder that everybody can reach, with a database that has a backup."""
    # pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Storify(folder, save_interval=None) as sf:
            for value in (0, 1):
                sf["db"]["a"] = value
                sf.flush()
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield folder


def outcome(script: str, folder: Path) -> list[str]:
    """Run a script as nobody; the first word of a refusal is enough."""
    lines = run(UNPRIVILEGED + script, folder).split("\n")
    return ["refused" if line.startswith("refused") else line for line in lines]


@as_root
def test_a_folder_without_write_permission_is_read():
    """Only what writes raises, and says so; memory keeps the change."""
    with readable_folder() as folder:
        assert outcome(READS_ONLY, folder) == OUTCOME


@as_root
@pytest.mark.parametrize("owner", [0, NOBODY], ids=["another's file", "own file"])
def test_a_file_without_write_permission_is_read(owner):
    """Though the folder would let it be replaced."""
    with readable_folder() as folder:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        os.chown(folder / "db.mpack", owner, owner)
        (folder / "db.mpack").chmod(0o444)

        printed = outcome(READS_ONLY.replace("refused(db.destroy)", ""), folder)

        assert printed == [*OUTCOME[:-2], ""]
        found = (folder / "db.mpack").stat()
        assert (found.st_uid, mode(folder / "db.mpack")) == (owner, 0o444)
        assert read(folder / "db.mpack") == {"a": 1}


@as_root
def test_a_file_that_may_not_be_read_is_a_permission_error():
    """Not a load error: it may be in the best of health."""
    with readable_folder() as folder:
        (folder / "db.mpack").chmod(0o600)
        script = "refused(lambda: sf.get_db('db')); refused(lambda: sf['db'])"

        printed = run(UNPRIVILEGED + script, folder).split("\n")

        assert printed[:2] == [f"refused PermissionError {folder}/db.mpack"] * 2
        assert read(folder / "db.mpack") == {"a": 1}


@as_root
def test_a_file_shared_with_a_group_stays_shared():
    """Who may write it saves, and the mode is kept for the others."""
    with readable_folder() as folder:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, 0, NOBODY)
            path.chmod(0o775 if path.is_dir() else 0o664)

        run(UNPRIVILEGED + "sf['db']['a'] = 2; sf.close()", folder)

        assert read(folder / "db.mpack") == {"a": 2}
        found = (folder / "db.mpack").stat()
        assert (found.st_gid, mode(folder / "db.mpack")) == (NOBODY, 0o664)


# -- no folder -----------------------------------------------------------------


def test_a_folder_that_vanished_is_made_again_by_a_flush(sf, root):
    """Memory has the whole content; the log says that it was gone."""
    db = sf.get_db("db")
    db["a"] = 1
    db.flush()
    shutil.rmtree(root)

    assert db["a"] == 1
    assert not sf.db_exists("db")
    db["b"] = 2
    db.flush()

    assert read(root / "db.mpack") == {"a": 1, "b": 2}
    assert sf.get_db("other").data == {}


def test_a_file_in_place_of_the_folder_raises_and_loses_nothing(sf, root):
    """Until it is out of the way."""
    db = sf.get_db("db")
    db["a"] = 1
    db.flush()
    shutil.rmtree(root)
    root.write_bytes(b"mine")
    db["b"] = 2

    for _ in range(2):
        with pytest.raises(NotADirectoryError):
            db.flush()

    assert root.read_bytes() == b"mine"
    assert db.data == {"a": 1, "b": 2}
    root.unlink()
    db.flush()
    assert read(root / "db.mpack") == {"a": 1, "b": 2}


@pytest.mark.parametrize("what", ["root", "above"])
def test_a_root_that_cannot_be_a_folder_is_refused(tmp_path, what):
    """At the start, not at the first save."""
    (tmp_path / "file").write_bytes(b"mine")
    root = tmp_path / "file" / ("" if what == "root" else "data")

    with pytest.raises((FileExistsError, NotADirectoryError)):
        Storify(root)

    assert (tmp_path / "file").read_bytes() == b"mine"
