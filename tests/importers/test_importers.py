"""Each importer brings everything over, exactly, or nothing at all."""

import dbm
import dbm.dumb
import json
import pickle
import shelve
import shutil
import sqlite3
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds import KINDS
from reader import open_database
from sqlitedict import SqliteDict
from tinydb import TinyDB

from storify import (
    DatabaseLoadError,
    DatabaseNameError,
    Model,
    Storify,
    UnstorableError,
    extras,
)
from storify.importers import (
    copy_items,
    import_shelve,
    import_sqlitedict,
    import_storify,
    import_tinydb,
    portable,
)
from storify.testing import same

LEGACY = Path(__file__).parent.parent / "legacy" / "files"


class Colour(Enum):
    """Something that no JSON holds."""

    RED = 1


class Person(Model):
    """What a dict of another store is converted to."""

    name: str
    age: int = 0


VALUES = {
    "tuple": (1, 2.5, "three"),
    "set": {1, 2},
    "bytes": b"\x00\xff",
    "zone": datetime(2026, 11, 24, tzinfo=UTC),
    "naive": datetime(2026, 11, 24),  # noqa: DTZ001 - it must stay naive
    "decimal": Decimal("1.10"),
    "nested": {"list": [None, True, {"k": (1,)}], (1, 2): "tuple key"},
    "é ✓": "text",
    "": 2**70,
}


def reopened(sf, name="imported"):
    """What lies on disk, read by another object."""
    with Storify(sf.root, save_interval=None, types=[Colour], models=[Person]) as again:
        return dict(again[name].items())


def by_key(values):
    """The same in the order of the keys: a dbm has one of its own."""
    return dict(sorted(values.items()))


def files_in(folder):
    """All that is in a folder, byte by byte."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def make_shelf(path, values):
    """Write a real shelf."""
    with shelve.open(str(path)) as shelf:  # noqa: S301 - our own
        shelf.update(values)


def make_sqlitedict(path, values, **options):
    """Write a real table of sqlitedict."""
    with SqliteDict(str(path), autocommit=True, **options) as table:
        table.update(values)


# -- copy_items ----------------------------------------------------------------


def test_a_dict_is_copied_with_its_keys_and_types(sf):
    """Keys of any type and values come over equal and of the same type."""
    source = {**VALUES, 3: "int key", (1, "a"): "tuple key", b"b": [1]}

    count = copy_items(source, sf["imported"])

    assert count == len(source)
    assert same(reopened(sf), source)


@given(st.dictionaries(st.text(), st.integers() | st.binary() | st.none()))
def test_copying_is_the_identity(source):
    """Whatever is in the source, the database equals it afterwards."""
    db = Storify("memory://").get_db("imported")

    copy_items(source, db)

    assert same(dict(db.items()), source)
    db.close()


def test_the_whole_import_is_one_restore_point(sf):
    """What was there before can be restored in one step."""
    db = sf["imported"]
    db["old"] = 1
    db.flush()

    copy_items({"new": 2, "newer": 3}, db)

    assert not db.dirty()
    assert db.backups.diff(db.backups.list[0]).added == {"new", "newer"}


def test_an_open_shelf_is_copied_without_a_decoder(sf, tmp_path):
    """Any open mapping will do: the store that wrote it reads it."""
    make_shelf(tmp_path / "shelf", VALUES)

    with shelve.open(str(tmp_path / "shelf"), "r") as shelf:  # noqa: S301 - our own
        copy_items(shelf, sf["imported"])

    assert same(by_key(reopened(sf)), by_key(VALUES))


def test_a_bare_dbm_file_is_copied_as_bytes(sf, tmp_path):
    """A dbm object is no Mapping, but has keys."""
    with dbm.dumb.open(str(tmp_path / "file"), "c") as file:
        file[b"key"] = b"value"
        copy_items(file, sf["imported"])

    assert reopened(sf) == {b"key": b"value"}


def test_convert_makes_models(sf):
    """What convert gives is stored, and live at once."""
    db = sf.get_db("imported", model=Person)

    copy_items({"ann": {"age": 30}}, db, convert=lambda k, v: Person(k, **v))

    assert db["ann"] == Person("ann", 30)
    assert reopened(sf) == {"ann": Person("ann", 30)}


def test_an_error_of_convert_names_the_key(sf):
    """The error of the program's own code comes out, with a note."""
    with pytest.raises(ZeroDivisionError) as caught:
        copy_items({"a": 1, "b": 0}, sf["imported"], convert=lambda _, v: 1 // v)

    assert caught.value.__notes__ == ["the source's key is 'b'"]
    assert len(sf["imported"]) == 0


def test_a_key_that_is_there_already_is_refused(sf):
    """Nothing is overwritten unless that is asked for."""
    db = sf["imported"]
    db["b"] = "mine"

    with pytest.raises(ValueError, match="has the key 'b' already"):
        copy_items({"a": 1, "b": 2}, db)

    assert dict(db.items()) == {"b": "mine"}
    copy_items({"a": 1, "b": 2}, db, overwrite=True)
    assert reopened(sf) == {"b": 2, "a": 1}


def test_a_value_that_cannot_be_stored_leaves_all_as_it_was(sf):
    """The error has the path of the value; no record of the source is there."""
    db = sf["imported"]
    db["old"] = 1

    with pytest.raises(UnstorableError) as caught:
        copy_items({"a": 1, "b": [len]}, db)

    assert caught.value.path == "$['b'][0]"
    assert dict(db.items()) == {"old": 1}
    assert reopened(sf) == {"old": 1}


def test_a_list_root_is_refused(sf):
    """A mapping has no place in a list."""
    with pytest.raises(TypeError, match="its root is a list"):
        copy_items({"a": 1}, sf.get_db("log", root=[]))


def test_progress_counts_to_the_end(sf):
    """It is told every thousand records, and at the end, never twice the same."""
    told = []
    source = dict.fromkeys(range(2500))

    copy_items(source, sf["a"], progress=lambda *numbers: told.append(numbers))
    copy_items(source, sf["b"], convert=lambda *_: 1)

    assert told == [(1000, 2500), (2000, 2500), (2500, 2500)]
    told.clear()
    copy_items(
        dict.fromkeys(range(1000), 0), sf["c"], progress=lambda *n: told.append(n)
    )
    assert told == [(1000, 1000)]


# -- shelve --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dbm.dumb", "dbm.gnu", "dbm.ndbm", "dbm.sqlite3"])
def test_a_shelf_round_trips(sf, tmp_path, monkeypatch, kind):
    """All kinds of dbm that this Python has: in exactly, and back again."""
    module = pytest.importorskip(kind)
    monkeypatch.setattr(dbm, "_defaultmod", module)
    monkeypatch.setitem(dbm._modules, kind, module)  # what opens an existing one
    make_shelf(tmp_path / "shelf", VALUES)

    count = import_shelve(tmp_path / "shelf", sf["imported"], decode=pickle.loads)

    assert count == len(VALUES)
    assert same(by_key(reopened(sf)), by_key(VALUES))
    make_shelf(tmp_path / "back", dict(sf["imported"].items()))
    with shelve.open(str(tmp_path / "back"), "r") as back:  # noqa: S301 - our own
        assert same(by_key(dict(back)), by_key(VALUES))


def test_every_kind_of_value_comes_from_a_shelf(tmp_path):
    """All kinds of the table of types, models and enums too, are as in the shelf."""
    make_shelf(tmp_path / "shelf", {kind.name: kind.value for kind in KINDS})

    with open_database(tmp_path / "data", "imported") as db:
        import_shelve(tmp_path / "shelf", db, decode=pickle.loads)

    with (
        shelve.open(str(tmp_path / "shelf"), "r") as shelf,  # noqa: S301 - our own
        open_database(tmp_path / "data", "imported") as db,
    ):
        assert {key for key in shelf if not same(db[key], shelf[key])} == set()
        assert len(db) == len(KINDS)


def test_a_shelf_is_not_changed(sf, tmp_path):
    """The files of the source are the same bytes afterwards.

    SQLite, which Python 3.13 uses, may leave files of its own beside them.
    """
    (tmp_path / "shelves").mkdir()
    make_shelf(tmp_path / "shelves" / "shelf", VALUES)
    before = files_in(tmp_path / "shelves")

    import_shelve(tmp_path / "shelves/shelf", sf["imported"], decode=pickle.loads)

    assert before.items() <= files_in(tmp_path / "shelves").items()


def test_a_shelf_of_another_key_encoding_and_serializer(sf, tmp_path):
    """Keys are decoded as the shelf encoded them, values by what the caller says."""
    with dbm.open(str(tmp_path / "shelf"), "c") as file:
        file["é".encode("latin-1")] = b"[1, 2]"

    import_shelve(
        tmp_path / "shelf",
        sf["imported"],
        decode=json.loads,
        keyencoding="latin-1",
        convert=lambda _, value: tuple(value),
    )

    assert reopened(sf) == {"é": (1, 2)}


def test_a_shelf_with_a_broken_value_names_it(sf, tmp_path):
    """The decoder's error comes out with the key; nothing is imported."""
    with dbm.open(str(tmp_path / "shelf"), "c") as file:
        file[b"bad"] = b"no pickle"

    with pytest.raises(pickle.UnpicklingError) as caught:
        import_shelve(tmp_path / "shelf", sf["imported"], decode=pickle.loads)

    assert caught.value.__notes__ == ["the source's key is b'bad'"]


def test_a_shelf_that_is_not_there(sf, tmp_path):
    """No file is made where there was none."""
    with pytest.raises(FileNotFoundError, match="no such shelf"):
        import_shelve(tmp_path / "none", sf["imported"], decode=pickle.loads)


def test_a_file_that_is_no_shelf(sf, tmp_path):
    """A file of another format is named."""
    (tmp_path / "shelf").write_text("nothing of the kind")

    with pytest.raises(ValueError, match="it is no dbm file"):
        import_shelve(tmp_path / "shelf", sf["imported"], decode=pickle.loads)


def test_a_kind_of_shelf_that_this_python_cannot_open(sf, tmp_path, monkeypatch):
    """The kind is named, so that the reader knows what to install."""
    make_shelf(tmp_path / "shelf", VALUES)
    monkeypatch.setattr(dbm, "whichdb", lambda _: "dbm.of_tomorrow")

    with pytest.raises(ValueError, match=r"dbm\.of_tomorrow"):
        import_shelve(tmp_path / "shelf", sf["imported"], decode=pickle.loads)


# -- sqlitedict ----------------------------------------------------------------


def test_a_table_of_sqlitedict_round_trips(sf, tmp_path):
    """In exactly, in the order of the table, and back again."""
    make_sqlitedict(tmp_path / "file.sqlite", VALUES)

    count = import_sqlitedict(
        tmp_path / "file.sqlite", sf["imported"], decode=pickle.loads
    )

    assert count == len(VALUES)
    assert same(reopened(sf), VALUES)
    make_sqlitedict(tmp_path / "back.sqlite", dict(sf["imported"].items()))
    with SqliteDict(str(tmp_path / "back.sqlite")) as back:
        assert same(dict(back.items()), VALUES)


def test_a_named_table_of_another_encoding(sf, tmp_path):
    """A table of any name, and values that are no pickles."""
    values = {"ann": {"name": "Ann"}}
    name = "odd?#name"
    path = tmp_path / "file %41?#.sqlite"
    make_sqlitedict(path, values, tablename=name, encode=json.dumps, decode=json.loads)

    import_sqlitedict(
        path,
        sf["imported"],
        decode=json.loads,
        table=name,
        convert=lambda _, value: Person(**value),
    )

    assert reopened(sf) == {"ann": Person("Ann")}


def test_a_file_of_sqlitedict_is_not_changed(sf, tmp_path):
    """It is opened read-only: its bytes stay and no file joins it."""
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "file.sqlite"
    make_sqlitedict(path, VALUES)
    before = files_in(tmp_path / "source")

    import_sqlitedict(path, sf["imported"], decode=pickle.loads)

    assert files_in(tmp_path / "source") == before


def test_a_table_that_is_not_there(sf, tmp_path):
    """The missing table is named, also if its name is hostile."""
    path = tmp_path / "file.sqlite"
    make_sqlitedict(path, VALUES)

    with pytest.raises(ValueError, match="no such table"):
        import_sqlitedict(
            path,
            sf["imported"],
            decode=pickle.loads,
            table='x"; DROP TABLE unnamed; --',
        )

    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT count(*) FROM unnamed").fetchone()
    connection.close()
    assert rows == (len(VALUES),)


def test_a_file_that_is_no_sqlite(sf, tmp_path):
    """A file of another format is an error that says so."""
    (tmp_path / "file.sqlite").write_text("nothing of the kind" * 100)

    with pytest.raises(ValueError, match="not a database"):
        import_sqlitedict(tmp_path / "file.sqlite", sf["imported"], decode=pickle.loads)


def test_a_sqlite_file_that_is_not_there(sf, tmp_path):
    """No file is made where there was none."""
    with pytest.raises(FileNotFoundError):
        import_sqlitedict(tmp_path / "none", sf["imported"], decode=pickle.loads)

    assert not (tmp_path / "none").exists()


# -- TinyDB --------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path):
    """A file of two tables."""
    path = tmp_path / "tiny.json"
    with TinyDB(path) as tinydb:
        tinydb.insert({"colour": "réd", "numbers": [1, 2.5, None]})
        tinydb.table("people").insert_multiple([{"name": "Ann"}, {"name": "Bo"}])
        tinydb.table("people").remove(doc_ids=[1])
    return path


def test_each_table_of_tinydb_becomes_a_database(sf, tiny):
    """The keys are the document ids, as int; the files of the source stay."""
    before = tiny.read_bytes()

    counts = import_tinydb(tiny, sf)

    assert counts == {"_default": 1, "people": 1}
    assert same(
        reopened(sf, "_default"), {1: {"colour": "réd", "numbers": [1, 2.5, None]}}
    )
    assert same(reopened(sf, "people"), {2: {"name": "Bo"}})
    assert tiny.read_bytes() == before


def test_tinydb_round_trips(sf, tiny, tmp_path):
    """Written back table by table, TinyDB's own documents are the same."""
    import_tinydb(tiny, sf)

    back = {
        name: {str(number): document for number, document in sf[name].items()}
        for name in sf
    }

    assert back == json.loads(tiny.read_text(encoding="utf-8"))


def test_a_table_is_converted(sf, tiny):
    """Each table has its own function; the others stay dicts."""
    people = sf.get_db("people", model=Person, key=int)

    import_tinydb(tiny, sf, convert={"people": lambda id_, doc: Person(age=id_, **doc)})

    assert people[2] == Person("Bo", 2)
    assert sf.get_loaded_db("people") is people
    assert sf.get_loaded_db("_default") is None


def test_a_table_that_is_to_be_converted_must_be_there(sf, tiny):
    """A typo is an error, before anything is written."""
    with pytest.raises(ValueError, match=r"'poeple'.*'_default', 'people'"):
        import_tinydb(tiny, sf, convert={"poeple": lambda *_: None})

    assert list(sf) == []


def test_an_empty_tinydb(sf, tmp_path):
    """What TinyDB makes before the first insert has no tables."""
    with TinyDB(tmp_path / "tiny.json"):
        pass

    assert import_tinydb(tmp_path / "tiny.json", sf) == {}


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"t": []}', '{"t": {"one": {}}}', '{"t": 1}']
)
def test_json_of_something_else(sf, tmp_path, text):
    """A file that TinyDB did not write is refused."""
    (tmp_path / "tiny.json").write_text(text)

    with pytest.raises(ValueError, match="it is no file of TinyDB"):
        import_tinydb(tmp_path / "tiny.json", sf)

    assert list(sf) == []


def test_a_table_whose_name_no_database_can_have(sf, tmp_path):
    """The rules for names hold for tables too."""
    (tmp_path / "tiny.json").write_text('{"../up": {"1": {}}}')

    with pytest.raises(DatabaseNameError):
        import_tinydb(tmp_path / "tiny.json", sf)


def test_tinydb_progress(sf, tiny):
    """It counts per table."""
    told = []

    import_tinydb(tiny, sf, progress=lambda *numbers: told.append(numbers))

    assert told == [(1, 1), (1, 1)]


# -- storify -------------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    """A folder with a typed database, a list, a journal and unknown fields."""
    folder = tmp_path / "source"
    with Storify(folder, save_interval=None, types=[Colour]) as sf:
        sf["plain"].update(VALUES)
        sf["plain"]["enum"] = Colour.RED
        sf.get_db("log", root=[]).append((1, 2))
        sf["empty"].flush()
    Older = type(  # noqa: N806 - a class
        "Person",
        (Model,),
        {"__annotations__": {"name": str, "gone": list[int]}, "__module__": __name__},
    )
    with Storify(folder, save_interval=None, models=[Older]) as sf:
        sf["people"]["ann"] = Older("Ann", [1])
        sf["people"]["other"] = {"__Unheard__": 1}
    return folder


def test_a_folder_is_copied_whole(sf, source):
    """Dicts, lists, empty databases: by name, exact, and the folder stays."""
    before = files_in(source)

    counts = import_storify(source, sf)

    assert counts == {"empty": 0, "log": 1, "people": 2, "plain": len(VALUES) + 1}
    assert list(sf) == ["empty", "log", "people", "plain"]
    assert same(reopened(sf, "plain"), {**VALUES, "enum": Colour.RED})
    with Storify(sf.root, save_interval=None) as again:
        assert again.get_db("log", root=[]).data == [(1, 2)]
    assert files_in(source) == before


def test_records_become_objects_of_the_classes_at_the_target(tmp_path, source):
    """They are live at once; a field that no class knows comes along."""
    with Storify(tmp_path / "data", save_interval=None, models=[Person]) as sf:
        people = sf.get_db("people")

        import_storify(source, sf)

        assert people["ann"] == Person("Ann")
        assert extras(people["ann"]) == {"gone": [1]}
        assert people["other"] == {"__Unheard__": 1}
        assert extras(reopened(sf, "people")["ann"]) == {"gone": [1]}


@pytest.mark.files("what is imported is a folder")
def test_a_folder_is_copied_back(sf, source, tmp_path):
    """There and back again: each main file has the bytes that it had."""
    import_storify(source, sf)

    with Storify(tmp_path / "back", save_interval=None) as back:
        import_storify(sf.root, back)

    for name in ("empty", "log", "people", "plain"):
        file = f"{name}.mpack"
        assert (tmp_path / "back" / file).read_bytes() == (source / file).read_bytes()


def test_a_journal_is_copied_too(sf, tmp_path):
    """A large database that is open elsewhere is copied as it was last flushed."""
    with Storify(tmp_path / "source", save_interval=None) as other:
        large = other["large"]
        large.update({str(n): b"x" * 1000 for n in range(1500)})
        large.flush()
        large["last"] = "in the journal"
        large.flush()
        assert Path(large.path + ".journal").exists()

        counts = import_storify(tmp_path / "source", sf)

    assert counts == {"large": 1501}
    assert sf["large"]["last"] == "in the journal"


ODD_NAMES = [".hidden", "CON", "a.", "my db: 1", "user:123"]


@pytest.fixture
def old(tmp_path):
    """A folder as release 0.0.11 leaves it, with names that are not portable."""
    old = tmp_path / "old"
    (old / "players").mkdir(parents=True)
    for name in (*ODD_NAMES, "users", "Users", "players/ann"):
        (old / f"{name}.mpack").write_bytes(msgpack.packb({"name": name}))
    backup = old / ".backups" / "users"
    backup.mkdir(parents=True)
    (backup / "1.mpack").write_bytes(msgpack.packb({"name": "older"}))
    return old


def test_each_database_that_cannot_keep_its_name_is_named(sf, old):
    """All others are copied; the error offers a way."""
    before = files_in(old)

    with pytest.raises(DatabaseNameError) as caught:
        import_storify(old, sf)

    message = str(caught.value)
    assert all(repr(name) in message for name in (*ODD_NAMES, "players/ann", "users"))
    assert "names={" in message
    assert list(sf) == ["Users"]
    assert files_in(old) == before


def test_other_names_may_be_given(sf, old):
    """None leaves one out; the rest keep theirs."""
    names = {name: f"odd-{at}" for at, name in enumerate(ODD_NAMES)}
    names |= {"players/ann": "players-ann", "Users": None}

    counts = import_storify(old, sf, names=names)

    assert counts == dict.fromkeys([*names.values(), "users"] - {None: 1}.keys(), 1)
    for name, new in {**names, "users": "users"}.items():
        if new is not None:
            assert sf[new]["name"] == name
    with pytest.raises(FileNotFoundError, match="nobody"):
        import_storify(old, sf, names={"nobody": "x"})


@pytest.mark.parametrize("name", [*ODD_NAMES, "players/ann", "..", "", "é:", "x" * 300])
def test_a_name_is_made_portable(name, tmp_path):
    """So that what the message offers can be used."""
    with Storify(tmp_path / "p", save_interval=None) as sf:
        sf[portable(name)]["a"] = 1


def test_a_folder_of_release_0_0_11(sf, tmp_path):
    """What the first release wrote comes over, and the folder stays as it was."""
    shutil.copytree(LEGACY, tmp_path / "legacy")
    before = files_in(tmp_path / "legacy")

    counts = import_storify(tmp_path / "legacy", sf)

    assert set(counts) == {"binary", "list_root", "my_data"}
    assert files_in(tmp_path / "legacy") == before
    with Storify(tmp_path / "legacy", save_interval=None) as old:
        for name in counts:
            assert same(sf[name].data, old[name].data)
            assert counts[name] == len(old[name])


def test_a_list_that_has_items_is_refused(sf, source):
    """A list is replaced only if that is asked for."""
    log = sf.get_db("log", root=["mine"])

    with pytest.raises(ValueError, match="has items already"):
        import_storify(source, sf)

    assert log.data == ["mine"]
    import_storify(source, sf, overwrite=True)
    assert log.data == [(1, 2)]


def test_a_list_is_refused_by_a_dict(sf, source):
    """The roots must be of one kind."""
    sf["log"]["mine"] = 1

    with pytest.raises(TypeError, match="its root is a dict"):
        import_storify(source, sf)


def test_a_folder_that_is_not_there(sf, tmp_path):
    """None is made."""
    with pytest.raises(FileNotFoundError, match="no such folder"):
        import_storify(tmp_path / "none", sf)

    assert not (tmp_path / "none").exists()


def test_a_database_that_cannot_be_read(sf, tmp_path):
    """It is an error that names the file, and the folder stays as it was."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "bad.mpack").write_bytes(b"\xc1\xc1\xc1")
    before = files_in(tmp_path / "source")

    with pytest.raises(DatabaseLoadError, match="bad"):
        import_storify(tmp_path / "source", sf)

    assert files_in(tmp_path / "source") == before
