"""The mapping that the user holds: its methods, its life, its refusals."""

import copy
from collections import deque

import msgpack
import pytest

from places import store, stored, version
from storify import (
    CheckError,
    Database,
    DatabaseClosedError,
    DatabaseReadOnlyError,
    Model,
    ModelLoadError,
    Storify,
    UnstorableError,
)


class User(Model):
    """A declared model."""

    name: str
    age: int = 0


class Admin(User):
    """A subclass, to be found in a typed database."""

    rights: list[str] = []


# -- the mapping ---------------------------------------------------------------


def test_the_dict_methods_work(sf):
    """Get, setdefault, update, pop, popitem, clear, keys, values, items."""
    db = sf.get_db("d")

    db.update({"a": 1}, b=2)

    assert db.get("a") == 1
    assert db.get("z", 5) == 5
    assert db.setdefault("c", 3) == 3
    assert db.pop("c") == 3
    assert db.pop("c", None) is None
    assert list(db.keys()) == ["a", "b"]
    assert list(db.values()) == [1, 2]
    assert list(db.items()) == [("a", 1), ("b", 2)]
    assert db.popitem() in [("a", 1), ("b", 2)]
    db.clear()
    assert len(db) == 0


def test_pop_of_a_missing_key_is_a_key_error(sf):
    """Without a default the key must be there."""
    with pytest.raises(KeyError):
        sf.get_db("d").pop("a")


def test_pop_of_a_dict_needs_a_key(sf):
    """Only a list root pops its last item."""
    with pytest.raises(TypeError, match="needs a key"):
        sf.get_db("d").pop()


def test_a_list_root_is_indexed_and_iterated(sf):
    """Items are read, set and deleted by index; iteration gives the items."""
    db = sf.get_db("log", root=["a", "b", "c"])

    db[0] = "A"
    del db[1]

    assert list(db) == ["A", "c"]
    assert "c" in db
    assert db[-1] == "c"
    assert db.pop(0) == "A"


@pytest.mark.parametrize("method", ["append", "remove"])
def test_list_methods_of_a_dict_root_are_refused(sf, method):
    """The message says how a list root is made."""
    with pytest.raises(TypeError, match=r"root=\[\]"):
        getattr(sf.get_db("d"), method)(1)


def test_data_is_a_real_dict_of_live_objects(sf):
    """``db.data`` is no copy: changing it changes the database."""
    db = sf.get_db("d")
    db["a"] = [1]

    db.data["a"].append(2)
    db.data["b"] = 3

    assert isinstance(db.data, dict)
    assert db["a"] is db.data["a"]
    assert (db["a"], db["b"]) == ([1, 2], 3)


def test_data_can_be_replaced(sf, anywhere):
    """Assigning ``db.data`` replaces the whole content, also by a list."""
    db = sf.get_db("d")
    db["a"] = 1
    db.flush()

    db.data = [1, 2]
    db.flush()

    assert Storify(anywhere).get_db("d").data == [1, 2]


def test_data_must_be_a_dict_or_a_list(sf):
    """Anything else is refused and the content stays."""
    db = sf.get_db("d")
    db["a"] = 1

    with pytest.raises(TypeError, match="dict or a list"):
        db.data = {1, 2}

    assert db.data == {"a": 1}


def test_databases_are_equal_by_identity(sf):
    """Two databases with equal content are not equal, and both hash."""
    one, two = sf.get_db("one"), sf.get_db("two")

    assert one != two
    assert one == sf.get_db("one")
    assert {one, two} == {two, one}


def test_repr_tells_no_values(sf):
    """It gives name, size and place."""
    db = sf.get_db("d")
    db["a"] = "a secret"

    text = repr(db)
    db.close()

    assert "'d'" in text
    assert "1 items" in text
    assert "secret" not in text
    assert "closed" in repr(db)


@pytest.mark.parametrize(
    "key", [1, b"k", (1, "a"), None, 2.5, True, frozenset({1}), -(2**70)]
)
def test_any_hashable_storable_key_works(sf, anywhere, key):
    """Keys come back equal and of the same type."""
    db = sf.get_db("d")
    db[key] = "v"
    sf.close()

    [again] = Storify(anywhere).get_db("d")

    assert again == key
    assert type(again) is type(key)


# -- saving --------------------------------------------------------------------


def test_nested_changes_at_any_depth_are_saved(sf, anywhere):
    """Nobody has to tell the database that an inner object changed."""
    db = sf.get_db("d")
    db["a"] = {"b": [{"c": deque([User("Ann")])}]}
    db.flush()

    db["a"]["b"][0]["c"][0].name = "Bea"
    db.flush()

    again = Storify(anywhere, models=[User]).get_db("d")
    assert again["a"]["b"][0]["c"][0] == User("Bea")


def test_dirty_names_the_changed_keys(sf):
    """Set, changed in place and deleted keys are dirty until they are flushed."""
    db = sf.get_db("d")
    db.update(a=[1], b=2, c=3, d=4)
    new = db.dirty()
    db.flush()

    db["a"].append(2)
    db["b"] = 5
    del db["c"]
    db["d"] = 4

    assert new == {"a", "b", "c", "d"}
    assert db.dirty() == {"a", "b", "c"}
    db.flush()
    assert db.dirty() == set()


def test_a_changed_list_root_is_dirty(sf):
    """It has no keys: the set holds None."""
    db = sf.get_db("log", root=[])
    db.flush()

    db.append(1)

    assert db.dirty() == {None}


def test_flush_without_changes_writes_nothing(sf, anywhere):
    """Neither the file nor the backups are touched."""
    db = sf.get_db("d")
    db["a"] = {1, 2, 3}
    db.flush()
    before = version(anywhere)

    db.flush()

    assert version(anywhere) == before
    assert db.backups.list == []


def test_the_order_of_keys_is_saved(sf, anywhere):
    """Deleting a key and setting it anew moves it to the end, on disk too."""
    db = sf.get_db("d")
    db.update(a=1, b=2, c=3)
    db.flush()

    db["a"] = db.pop("a")
    db.flush()

    assert list(Storify(anywhere).get_db("d")) == ["b", "c", "a"]


def test_what_cannot_be_stored_is_refused_with_its_path(sf, anywhere):
    """The file keeps what it had, memory too; the flush after a mend works."""
    db = sf.get_db("d")
    db["ok"] = 1
    db.flush()
    db["a"] = {"t": object()}

    with pytest.raises(UnstorableError) as caught:
        db.flush()

    assert caught.value.path == "$['a']['t']"
    assert "'d'" in str(caught.value)
    assert stored(anywhere) == {"ok": 1}
    assert type(db["a"]["t"]) is object
    del db["a"]["t"]
    db.flush()
    assert stored(anywhere) == {"ok": 1, "a": {}}


def test_a_cycle_is_refused(sf):
    """A list that holds itself has no bytes."""
    db = sf.get_db("d")
    loop = []
    loop.append(loop)
    db["a"] = loop

    with pytest.raises(UnstorableError, match=r"\$\['a'\]"):
        db.flush()

    del db["a"]


@pytest.mark.files("it is the spelling in the file")
def test_foreign_spelling_of_equal_values_is_not_a_change(sf, root):
    """A file written with longer encodings than ours is not rewritten."""
    blob = b"\xde\x00\x02" + b"\xd9\x01a" + b"\xd3" + (5).to_bytes(8, "big") + b"\xa1b"
    blob += b"\xdc\x00\x01\xcd\x00\x07"
    (root / "d.mpack").write_bytes(blob)
    db = sf.get_db("d")

    db.flush()
    untouched = (root / "d.mpack").read_bytes()
    db["b"].append(8)
    db.flush()

    assert untouched == blob
    assert msgpack.unpackb((root / "d.mpack").read_bytes()) == {"a": 5, "b": [7, 8]}


# -- typed databases -----------------------------------------------------------


def test_a_record_that_does_not_fit_is_raised_when_it_is_read(sf, anywhere):
    """In a typed database; the others stay readable, the record is kept."""
    users = {"u1": {"__User__": {"age": 3}}, "u2": {"__User__": {"name": "B"}}}
    store(anywhere, "users", users)
    db = sf.get_db("users", model=User)

    with pytest.raises(ModelLoadError, match=r"\$\['u1'\]\.name") as caught:
        db["u1"]

    assert caught.value.path == "$['u1'].name"
    assert db["u2"] == User("B")
    assert db.data["u1"] == {"__User__": {"age": 3}}
    with pytest.raises(ModelLoadError):
        list(db.values())
    db["u2"].age = 7
    db.flush()
    assert stored(anywhere, "users") == {
        "u1": {"__User__": {"age": 3}},
        "u2": {"__User__": {"name": "B", "age": 7}},
    }


def test_an_untyped_database_gives_the_record_as_a_dict(sf, anywhere):
    """An unknown class is no error there, and is saved again as it was."""
    store(anywhere, "d", {"a": {"__Gone__": {"x": 1}}})
    db = sf.get_db("d")

    record = db["a"]
    db["b"] = 1
    db.flush()

    assert record == {"__Gone__": {"x": 1}}
    assert stored(anywhere) == {
        "a": {"__Gone__": {"x": 1}},
        "b": 1,
    }


def test_a_typed_database_raises_for_an_unknown_class(sf, anywhere):
    """The message names the class that is missing."""
    store(anywhere, "d", {"a": {"__Gone__": {"x": 1}}})

    with pytest.raises(ModelLoadError, match="__Gone__"):
        sf.get_db("d", model=User)["a"]


def test_a_subclass_is_stored_in_a_typed_database(sf, anywhere):
    """It comes back as itself although only its base was named."""
    db = sf.get_db("users", model=User)
    db["a"] = Admin("Ann", 1, ["all"])
    sf.close()

    again = Storify(anywhere).get_db("users", model=User)

    assert again["a"] == Admin("Ann", 1, ["all"])
    assert type(again["a"]) is Admin


def test_a_strict_database_refuses_what_misfits(sf):
    """The error has the path; the old value stays."""
    db = sf.get_db("users", model=User, strict=True)
    db["a"] = User("Ann")

    with pytest.raises(CheckError, match="int") as caught:
        db["a"] = User("Ann", "thirty")
    with pytest.raises(CheckError):
        db["b"] = {"name": "no user"}

    assert caught.value.path == "$['a'].age"
    assert db.data == {"a": User("Ann", 0)}


def test_a_strict_untyped_database_checks_models_by_their_class(sf):
    """Plain values pass, a model must fit its own annotations."""
    db = sf.get_db("d", strict=True)
    db["a"] = 5

    with pytest.raises(CheckError):
        db["b"] = User(7)


def test_a_strict_list_checks_what_is_appended(sf):
    """The path is the index."""
    db = sf.get_db("log", root=[], model=int, strict=True)
    db.append(1)

    with pytest.raises(CheckError) as caught:
        db.append("two")

    assert caught.value.path == "$[1]"


def test_a_strict_database_checks_its_keys(sf):
    """Keys have a declared type too."""
    db = sf.get_db("d", model=str, key=int, strict=True)
    db[1] = "one"

    with pytest.raises(CheckError):
        db["two"] = "two"


# -- read-only -----------------------------------------------------------------


def test_a_read_only_database_refuses_changes(sf, anywhere):
    """Setting raises at once, nested changes at flush; nothing is written."""
    sf.get_db("d")["a"] = [1]
    sf.close()
    before = stored(anywhere)
    db = sf.get_db("d", readonly=True)

    with pytest.raises(DatabaseReadOnlyError, match="readonly=True"):
        db["b"] = 1
    db.flush()
    db["a"].append(2)
    with pytest.raises(PermissionError):
        db.flush()

    assert db.readonly
    assert stored(anywhere) == before
    db.close(discard=True)


def test_a_read_only_database_must_exist(sf):
    """There is nothing to read otherwise."""
    with pytest.raises(FileNotFoundError, match="nothing"):
        sf.get_db("nothing", readonly=True)


def test_a_read_only_database_cannot_be_destroyed(sf):
    """Its file stays."""
    sf.get_db("d").close()
    db = sf.get_db("d", readonly=True)

    with pytest.raises(DatabaseReadOnlyError):
        db.destroy()

    assert sf.db_exists("d")


# -- the end -------------------------------------------------------------------


USES = {
    "get": lambda db: db["a"],
    "set": lambda db: db.__setitem__("a", 1),
    "delete": lambda db: db.__delitem__("a"),
    "contains": lambda db: "a" in db,
    "len": len,
    "iterate": list,
    "data": lambda db: db.data,
    "load": lambda db: db.load(),
    "dirty": lambda db: db.dirty(),
    "pop": lambda db: db.pop("a"),
    "append": lambda db: db.append(1),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_a_closed_database_cannot_be_used(sf, use):
    """Every use says which database and what to do."""
    db = sf.get_db("d")
    db.close()

    with pytest.raises(DatabaseClosedError, match="'d' is closed"):
        use(db)


def test_closing_and_flushing_a_closed_database_do_nothing(sf):
    """Both may be called again, as in release 0.0.11."""
    db = sf.get_db("d")
    db.close()

    db.close()
    db.flush()

    assert db.defunct


def test_close_can_discard_changes(sf, anywhere):
    """``discard=True`` leaves the file as it is."""
    db = sf.get_db("d")
    db["a"] = 1
    db.flush()
    db["a"] = 2

    db.close(discard=True)

    assert Storify(anywhere).get_db("d")["a"] == 1


def test_a_failing_close_leaves_the_database_open(sf):
    """What cannot be saved is still in memory."""
    db = sf.get_db("d")
    db["a"] = object()

    with pytest.raises(UnstorableError):
        db.close()

    assert not db.defunct
    del db["a"]


def test_the_with_block_closes(anywhere):
    """Leaving the block saves, also when it is left by an exception."""
    sf = Storify(anywhere)
    db = sf.get_db("d")

    def use():
        with db:
            db["a"] = 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        use()

    assert db.defunct
    assert sf.get_db("d")["a"] == 1


def test_destroy_twice_does_nothing(sf):
    """The second call finds nothing to do."""
    db = sf.get_db("d")
    db.destroy()

    db.destroy()

    assert "destroyed" in repr(db)
    with pytest.raises(DatabaseClosedError, match="destroyed"):
        len(db)


@pytest.mark.files("no byte of them is left on the disk")
def test_destroy_can_erase_the_backups(sf, root):
    """With ``backups=True`` no state is left on disk."""
    db = sf.get_db("d")
    db["a"] = "trace"
    db.flush()
    db["b"] = 1
    db.flush()

    db.destroy(backups=True)

    left = [path for path in root.rglob("*") if path.is_file()]
    assert not [path for path in left if b"trace" in path.read_bytes()]


def test_after_destroy_the_name_is_free(sf):
    """The next get_db makes a new, empty database."""
    sf.get_db("d")["a"] = 1
    sf.get_db("d").destroy()

    assert sf.get_db("d").data == {}


# -- loading from elsewhere ----------------------------------------------------


def test_load_takes_a_backup(sf, anywhere):
    """The content of another file becomes ours at the next flush."""
    db = sf.get_db("d")
    db["a"] = 1
    db.flush()
    db["a"] = 2
    db.flush()

    db.load(db.backups.get_path_of_backup(db.backups.latest))
    value = db["a"]
    db.flush()

    assert value == 1
    assert Storify(anywhere).get_db("d")["a"] == 1


@pytest.mark.lasting("what is in memory has no place that another one could have")
def test_a_backup_of_another_database_is_not_loaded_by_its_url(sf):
    """Files may be loaded from anywhere."""
    for name in ("d", "other"):
        sf[name]["name"] = name
        sf[name].flush()
        sf[name].backups.backup()
    path = sf["other"].backups.get_path_of_backup(sf["other"].backups.latest)

    if "://" not in path:
        assert sf["d"].unpack(path) == {"name": "other"}
        return
    with pytest.raises(FileNotFoundError):
        sf["d"].load(path)
    assert sf["d"].data == {"name": "d"}


def test_load_of_no_file_is_an_error(sf, tmp_path):
    """The content stays."""
    db = sf.get_db("d")
    db["a"] = 1

    with pytest.raises(FileNotFoundError):
        db.load(tmp_path / "nothing.mpack")

    assert db.data == {"a": 1}


def test_a_database_needs_a_place():
    """Name and root belong together; or give a path."""
    with pytest.raises(ValueError, match="path="):
        Database()
    with pytest.raises(ValueError, match="path="):
        Database(name="d")


@pytest.mark.parametrize("url", ["memory://x/d", "postgresql://ann:s3cret@host/db"])
def test_a_url_is_no_path_of_a_file(sf, tmp_path, monkeypatch, url):
    """No folder of that name is made, nor is its password told."""
    monkeypatch.chdir(tmp_path)
    for use in (lambda: Database(path=url), lambda: sf.get_db_by_path(url)):
        with pytest.raises(ValueError, match="no path of a file") as caught:
            use()

    assert "s3cret" not in str(caught.value)
    assert not [each for each in tmp_path.iterdir() if ":" in each.name]


def test_rootdata_is_copied(tmp_path):
    """The initial content is not the caller's object."""
    initial = {"a": [1]}

    with Database(name="d", root=tmp_path, rootdata=initial) as db:
        db["a"].append(2)

    assert initial == {"a": [1]}


# -- backups -------------------------------------------------------------------


def test_backups_of_a_new_database_are_none(sf):
    """There is no latest, no last and nothing to back up."""
    backups = sf.get_db("d").backups

    assert backups.list == []
    assert backups.latest is None
    assert backups.last is None
    assert backups.backup() is None
    assert repr(backups) == "<Backups of 'd' (0 kept)>"


def test_backup_makes_one_now(sf):
    """The durable state is kept; unflushed changes are not in it."""
    db = sf.get_db("d")
    db["a"] = 1
    db.flush()
    db["a"] = 2

    made = db.backups.backup()

    assert db.backups.list == [made]
    assert db.backups.latest == db.backups.last == made
    assert db.unpack(db.backups.get_path_of_backup(made)) == {"a": 1}


@pytest.mark.files("their paths are those of files")
def test_backups_know_their_database(sf, root):
    """The attributes of release 0.0.11 are there."""
    db = sf.get_db("d")

    assert db.backups.db is db
    assert db.backups.name == "d"
    assert db.backups.root == db.root == str(root)
    assert db.backups.db_path == db.path == str(root / "d.mpack")


def test_max_backups_is_at_least_one(sf):
    """The newest good state is never given up."""
    with pytest.raises(ValueError, match="at least 1"):
        sf.get_db("d").backups.max_backups = 0


def test_an_object_in_a_database_can_be_copied(sf):
    """A copy of a live value is independent of it."""
    db = sf.get_db("d")
    db["a"] = User("Ann")

    other = copy.deepcopy(db["a"])
    other.name = "Bea"

    assert db["a"].name == "Ann"


# -- the other public methods of release 0.0.11 --------------------------------


@pytest.mark.files("their paths are those of files")
def test_unpack_reads_a_file_and_changes_nothing(sf, root):
    """The objects in it are made; the database keeps its content."""
    db = sf.get_db("d", model=User)
    db["a"] = User("Ann")
    db.flush()
    db["b"] = User("Bea")

    assert db.unpack(root / "d.mpack", raw=True) == {"a": User("Ann")}
    assert list(db) == ["a", "b"]


@pytest.mark.files("their paths are those of files")
def test_unpack_of_no_file_is_an_error(sf, root):
    """The message names the file."""
    with pytest.raises(FileNotFoundError, match="nothing"):
        sf.get_db("d").unpack(root / "nothing.mpack")


def test_a_model_is_encoded_and_decoded_by_itself(sf):
    """Anything else stays as it is."""
    db = sf.get_db("d", model=User)

    assert db.encode_type(User("Ann")) == {"__User__": {"name": "Ann", "age": 0}}
    assert db.decode_type({"__User__": {"name": "Ann", "age": 0}}) == User("Ann")
    assert db.encode_type([1]) == [1]
    assert db.decode_type({"a": 1}) == {"a": 1}
    assert db.decode_type([1]) == [1]
