"""Every statement and example of the API guide, section by section.

The calls are the guide's; the words and the data are ours.
"""

import logging
import os
import shutil
from pathlib import Path

import msgpack
import pytest

import storify
from places import stored
from stand_ins import Clock
from storify import Database, Storify
from storify.database.backups import Backups
from storify.exceptions import DatabaseLoadError
from storify.logger import Logger
from storify.model import Model


class User(Model):
    """The guide's hand-written model: every argument has a default."""

    def __init__(self, user_id=None, name=None, email=None):
        self.user_id = user_id
        self.name = name
        self.email = email
        self._session = None

    def __repr__(self):
        """Show id and name."""
        return f"<User(id={self.user_id}, name='{self.name}')>"


class Product(Model):
    """The guide's second model."""

    def __init__(self, product_id=None, name=None, price=0.0):
        self.product_id = product_id
        self.name = name
        self.price = price


class Task(Model):
    """The model of the guide's full example."""

    def __init__(self, task_id=None, description=None, completed=False):
        self.task_id = task_id
        self.description = description
        self.completed = completed


# -- 1, 3: what it is ----------------------------------------------------------


def test_the_import_paths_of_the_guide_are_there():
    """Storify, Database, Model, Backups, Logger and the errors are found."""
    assert storify.Storify is Storify
    assert storify.database.Database is Database
    assert storify.database.backups.Backups is Backups
    assert storify.model.Model is Model
    assert issubclass(storify.exceptions.DatabaseLoadError, Exception)
    assert storify.logger.Logger is Logger


@pytest.mark.files("it looks at the file")
def test_a_database_is_one_messagepack_file(sf, root):
    """Any MessagePack reader opens the file and finds the dict."""
    db = sf.get_db("plain")
    db["k"] = {"list": [1, 2.5, None, True], "text": "✓"}

    db.flush()

    blob = (root / "plain.mpack").read_bytes()
    assert msgpack.unpackb(blob) == {"k": {"list": [1, 2.5, None, True], "text": "✓"}}
    assert blob == msgpack.packb({"k": {"list": [1, 2.5, None, True], "text": "✓"}})


@pytest.mark.files("it looks at the file")
def test_storify_manages_several_databases(sf, root):
    """Each name is a file of its own in the root folder."""
    sf.get_db("users")["a"] = 1
    sf.get_db("orders")["a"] = 2

    sf.flush()

    assert sorted(path.name for path in root.glob("*.mpack")) == [
        "orders.mpack",
        "users.mpack",
    ]


# -- 4: getting started --------------------------------------------------------


@pytest.mark.files("the default is a folder")
def test_storify_takes_root_and_save_interval(tmp_path):
    """The root folder is made, the interval is kept."""
    sf = Storify(root=str(tmp_path / "my_app_data"), save_interval=300)

    assert (tmp_path / "my_app_data").is_dir()
    assert sf.save_interval == 300


def test_storify_takes_models_and_verbose(anywhere):
    """Models are a list of classes; verbose is accepted beside them."""
    sf = Storify(root=anywhere, models=[User, Product], verbose=True)

    assert sf.models == [User, Product]


@pytest.mark.files("the default is a folder")
def test_the_defaults_are_those_of_the_first_release(tmp_path, monkeypatch):
    """The root is ``data`` in the working folder, the interval 60 seconds."""
    monkeypatch.chdir(tmp_path)

    sf = Storify()

    assert sf.root == "data"
    assert sf.save_interval == 60
    assert (tmp_path / "data").is_dir()


@pytest.mark.files("it looks at the file")
def test_a_database_that_does_not_exist_is_made(sf, root):
    """It starts as an empty dict and its file is there once it is saved."""
    db = sf.get_db("users")

    assert db.data == {}
    db.flush()
    assert (root / "users.mpack").is_file()


def test_a_new_database_takes_an_initial_root(sf):
    """The root argument is the content of a new database, as a copy."""
    initial = {"items": [], "categories": {}}

    db = sf.get_db("products", root=initial)

    db["items"].append("lamp")
    assert db.data == {"items": ["lamp"], "categories": {}}
    assert initial == {"items": [], "categories": {}}


def test_an_existing_database_keeps_its_content_over_an_initial_root(sf, anywhere):
    """The root argument counts only for a database that does not exist."""
    sf.get_db("products")["a"] = 1
    sf.close()

    db = Storify(anywhere).get_db("products", root={"b": 2})

    assert db.data == {"a": 1}


def test_a_database_can_be_got_like_an_item(sf):
    """``sf["users"]`` opens the same database as ``get_db``."""
    db = sf["users"]

    assert isinstance(db, Database)
    assert sf.get_db("users") is db


# -- 5.1: create, read, update, delete -----------------------------------------


def test_a_database_behaves_like_a_dict(sf):
    """Setting, getting, deleting, membership, iteration and length work."""
    db = sf.get_db("users")

    db["user123"] = {"name": "Ann", "email": "ann@example.com"}
    db["user456"] = {"name": "Bob", "age": 30}

    assert db["user123"] == {"name": "Ann", "email": "ann@example.com"}
    assert "user456" in db
    assert "user789" not in db
    assert len(db) == 2
    assert [(key, db[key]["name"]) for key in db] == [
        ("user123", "Ann"),
        ("user456", "Bob"),
    ]
    del db["user456"]
    assert "user456" not in db
    assert len(db) == 1


def test_a_missing_key_is_a_key_error(sf):
    """Reading and deleting a key that is not there raise KeyError."""
    db = sf.get_db("users")

    with pytest.raises(KeyError):
        db["nobody"]
    with pytest.raises(KeyError):
        del db["nobody"]


def test_a_list_root_has_append_remove_and_pop(sf, anywhere):
    """They work on a database whose root is a list, and are saved."""
    db = sf.get_db("log", root=[])

    db.append("a")
    db.append({"b": 1})
    db.append("c")
    db.remove("a")
    assert db.pop() == "c"
    db.flush()

    assert Storify(anywhere).get_db("log").data == [{"b": 1}]


# -- 5.2: saving ---------------------------------------------------------------


def test_tick_flushes_what_is_due(anywhere):
    """Tick flushes a database whose last flush is longer ago than the interval."""
    clock = Clock()
    sf = Storify(anywhere, save_interval=10, clock=clock)
    db = sf.get_db("users")
    db.flush()
    db["a"] = 1

    clock.now_s += 9
    sf.tick()
    early = stored(anywhere, "users")
    clock.now_s += 2
    sf.tick()

    assert early == {}
    assert stored(anywhere, "users") == {"a": 1}


def test_tick_can_be_forced(anywhere):
    """``tick(force=True)`` flushes whatever the clock says."""
    sf = Storify(anywhere, save_interval=1000)
    sf.get_db("users")["a"] = 1

    sf.tick(force=True)

    assert stored(anywhere, "users") == {"a": 1}


def test_flush_saves_one_database(sf, anywhere):
    """``db.flush()`` saves that database and no other."""
    users, orders = sf.get_db("users"), sf.get_db("orders")
    users["a"] = orders["b"] = 1

    users.flush()

    assert stored(anywhere, "users") == {"a": 1}
    assert stored(anywhere, "orders") is None


@pytest.mark.files("backups are files there")
def test_flush_makes_a_backup_of_what_it_replaces(sf):
    """Flush keeps the state that it replaces as a backup."""
    db = sf.get_db("users")
    db["a"] = 1
    db.flush()
    db["a"] = 2

    db.flush()

    [backup] = db.backups.list
    assert msgpack.unpackb(
        Path(db.backups.get_path_of_backup(backup)).read_bytes()
    ) == {"a": 1}


def test_storify_flush_saves_all_databases(sf, anywhere):
    """``sf.flush()`` saves every open database."""
    sf.get_db("users")["a"] = 1
    sf.get_db("orders")["b"] = 2

    sf.flush()

    assert stored(anywhere, "users") == {"a": 1}
    assert stored(anywhere, "orders") == {"b": 2}


# -- 5.3: loading --------------------------------------------------------------


def test_data_are_loaded_when_the_database_is_made(sf, anywhere):
    """A new object for an existing file holds the file's content."""
    sf.get_db("users")["a"] = [1, 2]
    sf.flush()

    assert Storify(anywhere).get_db("users").data == {"a": [1, 2]}


def test_a_database_made_by_itself_is_loaded_too(sf, anywhere):
    """Its name and root lead to it."""
    sf.get_db("users")["a"] = [1, 2]
    sf.flush()

    assert Database(name="users", root=anywhere).data == {"a": [1, 2]}


def test_load_goes_back_to_what_was_saved(sf):
    """``db.load()`` replaces unsaved changes by the durable state."""
    db = sf.get_db("users")
    db["a"] = 1
    db.flush()
    db["a"] = 2

    db.load()

    assert db["a"] == 1


@pytest.mark.files("it damages the file")
def test_load_restores_from_a_backup_if_the_file_is_damaged(sf, root):
    """The newest state that the backups give is served; the file is good again."""
    db = sf.get_db("users")
    db["a"] = 1
    db.flush()
    db["b"] = 2
    db.close()
    (root / "users.mpack").write_bytes(b"\xc1 this is no MessagePack")

    again = Storify(root).get_db("users")

    assert again.data == {"a": 1, "b": 2}
    assert stored(root, "users") == {"a": 1, "b": 2}


# -- 5.4, 5.5: the life of a database ------------------------------------------


def test_close_saves_and_makes_the_object_unusable(sf, anywhere):
    """The file remains, the object is defunct."""
    db = sf.get_db("users")
    db["a"] = 1

    db.close()

    assert db.defunct
    assert stored(anywhere, "users") == {"a": 1}
    with pytest.raises(ValueError, match="users"):
        db["a"]


@pytest.mark.files("backups are files there")
def test_destroy_deletes_the_file_and_keeps_backups(sf, root):
    """The state that was destroyed can be had from the backups."""
    db = sf.get_db("users")
    db["a"] = 1
    db.flush()
    db["b"] = 2

    db.destroy()

    assert db.defunct
    assert db.destroyed
    assert not (root / "users.mpack").exists()
    kept = [
        msgpack.unpackb(path.read_bytes())
        for path in sorted((root / ".backups" / "users").glob("*.mpack"))
    ]
    assert {"a": 1} in kept
    assert {"a": 1, "b": 2} in kept


def test_db_exists_tells_of_the_file(sf):
    """A database exists once it has been saved."""
    before = sf.db_exists("users")
    sf.get_db("users").flush()

    assert before is False
    assert sf.db_exists("users") is True


def test_rename_db_renames_the_file(sf, anywhere):
    """The content is found under the new name only."""
    sf.get_db("old_users_db")["a"] = 1
    sf.close()

    sf.rename_db("old_users_db", "archived_users_db")

    assert not sf.db_exists("old_users_db")
    assert sf.get_db("archived_users_db").data == {"a": 1}
    assert stored(anywhere, "old_users_db") is None


def test_remove_db_removes_the_file(sf, anywhere):
    """Both spellings delete the file."""
    for name in ("one", "two"):
        sf.get_db(name).close()

    sf.remove_db("one")
    del sf["two"]

    assert [stored(anywhere, name) for name in ("one", "two")] == [None, None]


def test_the_safe_way_to_remove_a_database(sf):
    """Getting the database and destroying it removes it."""
    sf.get_db("temp_db")["a"] = 1
    sf.flush()

    if sf.db_exists("temp_db"):
        temp_db = sf.get_db("temp_db")
        temp_db.destroy()

    assert not sf.db_exists("temp_db")


# -- 6: models -----------------------------------------------------------------


def test_models_are_stored_and_come_back_as_objects(anywhere):
    """In another session the values are objects of their classes again."""
    sf = Storify(root=anywhere, models=[User, Product])
    db = sf.get_db("my_data")
    db["alice_profile"] = User(user_id="u001", name="Alice", email="alice@example.com")
    db["potion_item"] = Product(product_id="p001", name="Potion", price=10.99)
    db.flush()

    again = Storify(root=anywhere, models=[User, Product]).get_db("my_data")

    alice, potion = again["alice_profile"], again["potion_item"]
    assert type(alice) is User
    assert repr(alice) == "<User(id=u001, name='Alice')>"
    assert alice.email == "alice@example.com"
    assert type(potion) is Product
    assert (potion.product_id, potion.name, potion.price) == ("p001", "Potion", 10.99)


def test_a_model_is_stored_under_its_keyname(sf, anywhere):
    """The record is ``{"__User__": {public attributes}}``, in order."""
    sf.get_db("my_data")["a"] = User("u001", "Alice", "a@x")
    sf.flush()

    assert stored(anywhere, "my_data") == {
        "a": {"__User__": {"user_id": "u001", "name": "Alice", "email": "a@x"}}
    }


@pytest.mark.files("it looks at the file")
def test_underscored_attributes_are_not_stored(root):
    """They come back as ``__init__`` sets them."""
    sf = Storify(root, models=[User])
    alice = User("u001")
    alice._session = "hidden"
    sf.get_db("my_data")["a"] = alice
    sf.flush()

    again = Storify(root, models=[User]).get_db("my_data")["a"]

    assert again._session is None
    assert b"hidden" not in (root / "my_data.mpack").read_bytes()


def test_keyname_is_the_class_name_and_can_be_overridden(anywhere):
    """``_keyname`` gives ``__User__`` by default; an override is used on disk."""

    class Custom(Model):
        def __init__(self, a=None):
            self.a = a

        @classmethod
        def _keyname(cls):
            return "v1_user_model"

    sf = Storify(anywhere, models=[Custom])
    sf.get_db("db")["c"] = Custom(5)
    sf.flush()

    assert User._keyname() == "__User__"
    assert stored(anywhere, "db") == {"c": {"v1_user_model": {"a": 5}}}
    assert Storify(anywhere, models=[Custom]).get_db("db")["c"].a == 5


def test_to_dict_and_from_dict_can_be_overridden(anywhere):
    """The overrides decide what is stored and how it comes back."""

    class Temperature(Model):
        def __init__(self, celsius=0.0):
            self.celsius = celsius

        def _to_dict(self):
            return {"kelvin": self.celsius + 273.0}

        def _from_dict(self, data):
            self.celsius = data["kelvin"] - 273.0
            return self

    sf = Storify(anywhere, models=[Temperature])
    sf.get_db("db")["t"] = Temperature(20.0)
    sf.flush()

    assert stored(anywhere, "db") == {"t": {"__Temperature__": {"kelvin": 293.0}}}
    again = Storify(anywhere, models=[Temperature]).get_db("db")["t"]
    assert type(again) is Temperature
    assert again.celsius == 20.0


def test_deserialize_recreates_the_object(anywhere):
    """``_deserialize`` is called with the stored fields and gives the object."""
    calls = []

    class Traced(Model):
        def __init__(self, a=None):
            self.a = a

        @classmethod
        def _deserialize(cls, data):
            calls.append(dict(data))
            return super()._deserialize(data)

    Storify(anywhere, models=[Traced]).get_db("db")["t"] = Traced(3)
    again = Storify(anywhere, models=[Traced]).get_db("db")["t"]

    assert calls == [{"a": 3}]
    assert type(again) is Traced
    assert again.a == 3


@pytest.mark.files("a path is one of files")
def test_models_are_registered_with_a_database_directly(tmp_path):
    """``Database(path=…, models=[…])`` gives objects too."""
    path = tmp_path / "direct.mpack"
    with Database(path=path, models=[User]) as db:
        db["a"] = User("u1", "Ann")

    assert Database(path=path, models=[User])["a"].name == "Ann"


# -- 7: errors -----------------------------------------------------------------


@pytest.mark.files("it damages the file")
def test_a_database_without_any_good_copy_is_a_load_error(root):
    """DatabaseLoadError names the database; nothing is overwritten."""
    sf = Storify(root)
    (root / "corrupt_db.mpack").write_bytes(b"\xc1\xc1\xc1")

    with pytest.raises(DatabaseLoadError, match="corrupt_db"):
        sf.get_db("corrupt_db")

    assert (root / "corrupt_db.mpack").read_bytes() == b"\xc1\xc1\xc1"


@pytest.mark.files("it damages the file")
def test_after_a_load_error_the_database_can_be_made_afresh(root):
    """Giving a root starts it empty; the damaged file is kept aside."""
    sf = Storify(root)
    (root / "corrupt_db.mpack").write_bytes(b"\xc1\xc1\xc1")
    with pytest.raises(DatabaseLoadError):
        sf.get_db("corrupt_db")

    db = sf.get_db("corrupt_db", root={})

    db["a"] = 1
    db.flush()
    assert stored(root, "corrupt_db") == {"a": 1}
    assert [path.read_bytes() for path in root.rglob("*.corrupt")] == [b"\xc1\xc1\xc1"]


@pytest.mark.files("it damages the file")
def test_a_damaged_database_is_not_started_afresh_unasked(root):
    """A root given at the first open does not hide the damage."""
    sf = Storify(root)
    (root / "corrupt_db.mpack").write_bytes(b"\xc1\xc1\xc1")

    with pytest.raises(DatabaseLoadError):
        sf.get_db("corrupt_db", root={})


# -- 8: logging ----------------------------------------------------------------


class GuideLogger:
    """The guide's own wrapper class, with its five methods."""

    def __init__(self):
        self.lines = []

    def info(self, msg):
        """Take an info line."""
        self.lines.append(("info", msg))

    def debug(self, msg):
        """Take a debug line."""
        self.lines.append(("debug", msg))

    def error(self, msg):
        """Take an error line."""
        self.lines.append(("error", msg))

    def warning(self, msg):
        """Take a warning line."""
        self.lines.append(("warning", msg))

    def traceback(self, msg):
        """Take a line with an exception."""
        self.lines.append(("traceback", msg))


def damage(root: Path) -> None:
    """Leave a database whose file is damaged and whose backup is good."""
    with Storify(root, log=GuideLogger()) as sf:
        db = sf.get_db("users")
        db["a"] = 1
        db.flush()
        db["a"] = 2
    (root / "users.mpack").write_bytes(b"")


@pytest.mark.files("it damages the file")
def test_a_logger_with_the_guides_methods_is_used(root):
    """What the owner should know arrives as one finished string."""
    damage(root)
    log = GuideLogger()

    db = Storify(root=root, log=log).get_db("users")

    assert db["a"] == 2  # the last commit is in the backups as a change
    warnings = [msg for level, msg in log.lines if level == "warning"]
    assert any(db.backups.list[0] in msg for msg in warnings)


@pytest.mark.files("it damages the file")
def test_a_standard_logger_works_as_it_is(root, caplog):
    """``logging.getLogger`` needs no wrapper."""
    damage(root)

    Storify(root=root, log=logging.getLogger("MyApplication")).get_db("users")

    assert any(record.name == "MyApplication" for record in caplog.records)


def test_without_a_logger_a_default_one_is_made(anywhere):
    """It logs at INFO, with verbose at DEBUG."""
    quiet = Storify(anywhere)
    level = logging.getLogger("storify").level
    Storify(anywhere, verbose=True)

    assert isinstance(quiet.log, Logger)
    assert level == logging.INFO
    assert logging.getLogger("storify").level == logging.DEBUG


def test_storifys_logger_class_is_a_compatible_logger(anywhere, caplog):
    """``Logger`` has the five methods; traceback adds the exception."""
    log = Logger(logging.DEBUG)
    try:
        raise RuntimeError("boom")  # noqa: EM101, TRY301 - a test's own error
    except RuntimeError:
        log.traceback("it failed")
    for method in (log.debug, log.info, log.warning, log.error):
        method("a line")

    assert Storify(anywhere, log=log).log is log
    assert "boom" in caplog.text
    assert caplog.text.count("a line") == 4


# -- 9: advanced ---------------------------------------------------------------


@pytest.mark.files("a path is one of files")
def test_a_database_can_be_opened_by_path(tmp_path):
    """``get_db_by_path`` uses the models of the Storify, for any folder."""
    sf = Storify(root=tmp_path / "source", models=[User])
    path = tmp_path / "elsewhere" / "external_db.mpack"
    path.parent.mkdir()

    db = sf.get_db_by_path(str(path))
    db["some_key"] = User("u1", "Ann")
    db.flush()
    db["some_key"].name = "Bea"
    db.flush()

    assert Database(path=path, models=[User])["some_key"].name == "Bea"


@pytest.mark.files("a path is one of files")
def test_a_database_got_by_path_is_not_ticked_unless_it_is_added(tmp_path):
    """Only what is in ``sf.databases`` is saved by tick."""
    sf = Storify(root=tmp_path / "source", save_interval=None)
    path = tmp_path / "external.mpack"
    db = sf.get_db_by_path(path)
    db["a"] = 1

    sf.tick(force=True)
    before = path.exists()
    sf.databases.append(db)
    sf.tick(force=True)

    assert before is False
    assert msgpack.unpackb(path.read_bytes()) == {"a": 1}


@pytest.mark.files("backups are files there")
def test_backups_are_in_a_folder_beside_the_database(sf, root):
    """They stand in ``.backups/<name>/`` under a time stamp."""
    db = sf.get_db("your_db_name")
    for number in range(3):
        db["a"] = number
        db.flush()

    folder = root / ".backups" / "your_db_name"
    assert Path(db.backups.backup_path) == folder
    assert sorted(path.stem for path in folder.glob("*.mpack")) == sorted(
        db.backups.list
    )
    assert all(each[:8].isdigit() and each[8] == "T" for each in db.backups.list)


@pytest.mark.files("backups are files there")
def test_the_number_of_backups_can_be_set(sf):
    """``max_backups`` are kept, 5 unless set, the newest ones."""
    db = sf.get_db("users")
    db.backups.max_backups = 2
    for number in range(6):
        db["a"] = number
        db.flush()

    contents = [
        msgpack.unpackb(Path(db.backups.get_path_of_backup(each)).read_bytes())
        for each in db.backups.list
    ]
    assert contents == [{"a": 4}, {"a": 3}]
    assert sf.get_db("other").backups.max_backups == 5


# -- 10: the full example ------------------------------------------------------


def test_the_full_example(tmp_path, monkeypatch, capsys):
    """A to-do list is made, changed, saved, reopened and changed again."""
    monkeypatch.chdir(tmp_path)
    data_root = "todo_app_data"
    if os.path.exists(data_root):  # noqa: PTH110 - as the guide calls it
        shutil.rmtree(data_root)

    sf = Storify(root=data_root, models=[Task], verbose=True, save_interval=10)
    todo_db = sf.get_db("daily_tasks")
    print(f"Database loaded/created at: {todo_db.path}")  # noqa: T201 - as the guide
    assert "daily_tasks.mpack" in capsys.readouterr().out
    todo_db["t1"] = Task(task_id="t1", description="Buy groceries")
    todo_db["t2"] = Task(task_id="t2", description="Read", completed=True)
    todo_db["some_other_data"] = {"info": "no Task"}
    todo_db["t3"] = Task(task_id="t3", description="Write")

    current = todo_db["t3"]
    assert isinstance(current, Task)
    current.description = "Write well"
    assert todo_db.data["t3"].description == "Write well"
    assert list(todo_db.data) == ["t1", "t2", "some_other_data", "t3"]
    todo_db.flush()

    reloaded = Storify(root=data_root, models=[Task], verbose=True).get_db(
        "daily_tasks"
    )
    assert {key: type(value) for key, value in reloaded.data.items()} == {
        "t1": Task,
        "t2": Task,
        "some_other_data": dict,
        "t3": Task,
    }
    assert reloaded.data["t2"].completed is True
    assert reloaded.data["t3"].description == "Write well"

    first = reloaded.get("t1")
    first.completed = True
    assert reloaded.data["t1"].completed is True
    reloaded.flush()
    assert Storify(root=data_root, models=[Task]).get_db("daily_tasks")["t1"].completed
