"""The folder of databases: names, opening once, renaming, removing, closing."""

import os
from collections.abc import Sequence
from enum import Enum
from functools import partial

import pytest

from places import stored
from stand_ins import Log
from storify import (
    CheckError,
    Database,
    DatabaseNameError,
    DatabaseOpenError,
    DuplicateKeynameError,
    Model,
    Storify,
    UnstorableError,
)


class User(Model):
    """A declared model."""

    name: str


class Colour(Enum):
    """A type to register."""

    RED = "r"


class Money:
    """A class of the user's that is no model."""

    def __init__(self, cents: int):
        self.cents = cents

    def __eq__(self, other):
        """Compare by amount."""
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self):
        """Hash by amount."""
        return hash(self.cents)


# -- opening -------------------------------------------------------------------


def test_a_database_is_opened_once(sf):
    """Getting it twice gives the same open object, so no save is lost."""
    one = sf.get_db("d")
    one["x"] = 1

    two = sf.get_db("d")
    two["y"] = 2
    sf.flush()

    assert one is two
    assert sf.databases == [one]


def test_a_closed_database_can_be_got_anew(sf):
    """The new object has what was saved."""
    one = sf.get_db("d")
    one["x"] = 1
    one.close()

    two = sf.get_db("d")

    assert two is not one
    assert two.data == {"x": 1}
    assert sf.databases == [two]


def test_get_loaded_db_gives_only_what_is_open(sf):
    """It opens nothing."""
    assert sf.get_loaded_db("d") is None

    db = sf.get_db("d")

    assert sf.get_loaded_db("d") is db
    db.close()
    assert sf.get_loaded_db("d") is None


def test_an_open_database_may_get_its_type_later(sf):
    """The same object is typed from then on."""
    untyped = sf.get_db("d")
    untyped["a"] = User("Ann")

    typed = sf.get_db("d", model=User)

    assert typed is untyped
    assert typed["a"] == User("Ann")


def test_an_open_database_keeps_its_type(sf):
    """Another type is refused, not silently ignored."""
    sf.get_db("d", model=User)

    with pytest.raises(ValueError, match="close it first"):
        sf.get_db("d", model=int)


def test_a_path_like_root_is_taken(tmp_path):
    """So is a path for get_db_by_path."""
    sf = Storify(root=tmp_path / "a" / "b")
    sf.get_db("d").flush()

    assert (tmp_path / "a" / "b" / "d.mpack").is_file()
    assert sf.get_db_by_path(tmp_path / "a" / "b" / "d.mpack").data == {}


def test_models_appended_later_count_for_the_next_database(anywhere):
    """``sf.models`` is a live list, as in release 0.0.11."""
    Storify(anywhere, models=[User]).get_db("d")["a"] = User("Ann")
    sf = Storify(anywhere)
    sf.models.append(User)

    assert sf.get_db("d")["a"] == User("Ann")


def test_a_negative_interval_is_refused(anywhere):
    """None or 0 turn autosave off."""
    with pytest.raises(ValueError, match="save_interval"):
        Storify(anywhere, save_interval=-1)


def test_repr_tells_folder_and_open_databases(sf, anywhere):
    """It opens nothing."""
    sf.get_db("d")

    assert repr(sf) == f"<Storify {anywhere!r} (1 open)>"


def test_a_memory_storify_touches_no_disk(tmp_path, monkeypatch):
    """It works like a folder and is gone with the object."""
    monkeypatch.chdir(tmp_path)
    sf = Storify("memory://")
    db = sf.get_db("d")
    db["a"] = User("Ann")
    db.close()

    again = sf.get_db("d")

    assert again["a"] == User("Ann")
    assert again.path == "memory://d"
    assert "d" in sf
    assert list(tmp_path.iterdir()) == []
    assert Storify("memory://").get_db("d").data == {}


# -- names ---------------------------------------------------------------------

BAD_NAMES = [
    "",
    ".",
    "..",
    "../x",
    "../../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    ".hidden",
    "CON",
    "nul",
    "COM1",
    "a:b",
    "a.",
    "a ",
    "x" * 300,
    "é" * 101,
    "\u202eabc",
    "\ud800",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_bad_name_is_refused_everywhere(sf, tmp_path, name):
    """The error is a ValueError; nothing is written inside or outside."""
    before = sorted(tmp_path.rglob("*"))

    for use in (
        sf.get_db,
        sf.db_exists,
        sf.remove_db,
        sf.get_loaded_db,
        lambda bad: sf.rename_db("a", bad),
        lambda bad: sf.rename_db(bad, "a"),
        lambda bad: Database(name=bad, root=tmp_path),
    ):
        with pytest.raises(DatabaseNameError):
            use(name)

    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["users", "my-db_2", "naïve", "データ", "a.b", "a b"])
def test_an_ordinary_name_is_taken(sf, anywhere, name):
    """Letters of any script, digits, inner dots and spaces."""
    sf.get_db(name)["a"] = 1
    sf.close()

    assert sf.get_db(name).data == {"a": 1}
    assert list(Storify(anywhere)) == [name]


def test_a_name_that_is_no_string_is_refused(sf):
    """The message says what a name is."""
    with pytest.raises((DatabaseNameError, TypeError)):
        sf.get_db(5)


# -- the folder ----------------------------------------------------------------


def test_the_folder_is_iterated_by_name(sf):
    """Saved and open databases are there, sorted, each once."""
    sf.get_db("b").close()
    sf.get_db("a")

    assert list(sf) == ["a", "b"]
    assert len(sf) == 2
    assert "a" in sf
    assert "b" in sf
    assert "c" not in sf
    assert 5 not in sf


def test_rename_refuses_an_existing_name(sf):
    """Both databases stay as they are."""
    sf.get_db("a")["x"] = 1
    sf.get_db("b")["x"] = 2
    sf.close()

    with pytest.raises(FileExistsError):
        sf.rename_db("a", "b")

    assert (sf["a"]["x"], sf["b"]["x"]) == (1, 2)


def test_rename_of_a_missing_database_is_an_error(sf):
    """There is nothing to rename."""
    with pytest.raises(FileNotFoundError):
        sf.rename_db("nothing", "b")


def test_rename_refuses_an_open_database(sf, anywhere):
    """Also one that another Storify of this process has open."""
    sf.get_db("a").flush()
    other = Storify(anywhere)

    with pytest.raises(DatabaseOpenError, match="close it first"):
        sf.rename_db("a", "b")
    with pytest.raises(DatabaseOpenError):
        other.rename_db("a", "b")

    sf.close()
    other.rename_db("a", "b")
    assert list(other) == ["b"]


def test_backups_move_with_a_renamed_database(sf):
    """What could be restored can be restored under the new name."""
    db = sf.get_db("a")
    for number in range(3):
        db["x"] = number
        db.flush()
    kept = db.backups.list
    sf.close()

    sf.rename_db("a", "b")

    assert sf["b"].backups.list == kept


def test_removing_an_open_database_destroys_its_object(sf):
    """The object cannot write the file again."""
    db = sf.get_db("a")
    db["x"] = 1
    db.flush()

    sf.remove_db("a")

    assert db.destroyed
    assert not sf.db_exists("a")


def test_removing_what_another_storify_has_open_is_refused(sf, anywhere):
    """Close it there first."""
    other = Storify(anywhere)
    other.get_db("a").flush()

    with pytest.raises(DatabaseOpenError):
        sf.remove_db("a")

    assert sf.db_exists("a")


def test_removing_a_missing_database_is_an_error(sf):
    """There is nothing to remove."""
    with pytest.raises(FileNotFoundError):
        sf.remove_db("nothing")


def test_the_removed_state_is_in_the_backups(sf):
    """The removal can be undone."""
    sf.get_db("a")["x"] = 1
    sf.close()

    sf.remove_db("a")

    backups = sf["a"].backups
    assert sf["a"].unpack(backups.get_path_of_backup(backups.latest)) == {"x": 1}


# -- saving and closing --------------------------------------------------------


def test_flush_tries_all_and_raises_the_first_error(anywhere):
    """One database that cannot be saved does not keep the others from it."""
    log = Log()
    sf = Storify(anywhere, save_interval=None, log=log)
    sf.get_db("a")["x"] = object()
    sf.get_db("b")["y"] = object()
    sf.get_db("c")["z"] = 1

    with pytest.raises(UnstorableError, match="'a'"):
        sf.flush()

    assert stored(anywhere, "c") == {"z": 1}
    assert any("'b'" in line for line in log.warnings)
    for db in sf.databases:
        db.close(discard=True)


def test_close_closes_what_it_can(anywhere):
    """The database that cannot be saved stays open, the rest is closed."""
    sf = Storify(anywhere, save_interval=None)
    bad, good = sf.get_db("bad"), sf.get_db("good")
    bad["x"] = object()

    with pytest.raises(UnstorableError):
        sf.close()

    assert sf.databases == [bad]
    assert good.defunct
    bad.close(discard=True)


def test_the_with_block_closes_all(anywhere):
    """After it, both are saved and defunct."""
    with Storify(anywhere) as sf:
        one, two = sf["one"], sf["two"]
        one["a"] = two["a"] = 1

    assert one.defunct
    assert two.defunct
    assert stored(anywhere, "two") == {"a": 1}


# -- types ---------------------------------------------------------------------


def test_types_are_registered_at_the_start(anywhere):
    """An enum member is stored and comes back as itself."""
    Storify(anywhere, types=[Colour]).get_db("d")["a"] = Colour.RED

    assert Storify(anywhere, types=[Colour]).get_db("d")["a"] is Colour.RED


def test_a_custom_class_is_registered_with_hooks(anywhere):
    """``register_type`` gives and takes a storable value."""
    for _ in range(2):
        sf = Storify(anywhere)
        sf.register_type(Money, encode=lambda each: each.cents, decode=Money)
        db = sf.get_db("d")
        db.setdefault("price", Money(250))
        sf.close()

    sf = Storify(anywhere)
    sf.register_type(Money, encode=lambda each: each.cents, decode=Money)
    assert sf.get_db("d")["price"] == Money(250)


def test_one_hook_alone_is_refused(sf):
    """What is written must be readable."""
    with pytest.raises(TypeError, match="together"):
        sf.register_type(Money, encode=lambda each: each.cents)


def test_an_enum_is_registered_without_hooks(sf):
    """Its members are the hooks."""
    sf.register_type(Colour)
    db = sf.get_db("d")
    db["a"] = Colour.RED

    db.flush()

    assert db.dirty() == set()


def test_an_unregistered_class_is_refused(sf):
    """The message says where to register it."""
    db = sf.get_db("d")
    db["a"] = Money(5)

    with pytest.raises(UnstorableError, match="types"):
        db.flush()

    db.clear()


def test_two_models_of_one_name_are_refused(anywhere):
    """The error names both classes."""

    def make():
        class User(Model):
            name: str

        return User

    with pytest.raises(DuplicateKeynameError, match="__User__"):
        Storify(anywhere, models=[User, make()])


def test_an_unregistered_model_is_stored_with_a_warning(anywhere):
    """It is registered from then on; the warning says to pass it."""
    log = Log()
    sf = Storify(anywhere, log=log)
    sf.get_db("d")["a"] = User("Ann")

    sf.close()

    assert any("models" in line and "User" in line for line in log.warnings)
    assert sf.get_db("d")["a"] == User("Ann")


@pytest.mark.parametrize(
    "arguments", [{"models": User}, {"types": Colour}], ids=["models", "types"]
)
def test_one_class_instead_of_a_list_is_refused(anywhere, arguments):
    """An enum would even be iterable."""
    with pytest.raises(TypeError, match="pass a list"):
        Storify(anywhere, **arguments)


def test_a_type_must_be_a_class(anywhere):
    """The message says what is expected."""
    with pytest.raises(TypeError, match="CustomType"):
        Storify(anywhere, types=["Colour"])


@pytest.mark.parametrize("initial", [5, (1,), "text", {1}], ids=repr)
def test_a_root_is_a_dict_or_a_list(sf, initial):
    """Nothing else could be saved as one."""
    with pytest.raises(TypeError, match="dict or a list"):
        sf.get_db("d", root=initial)

    assert not sf.db_exists("d")


def test_an_abstract_class_as_model_registers_nothing(sf):
    """Its subclasses are what is stored."""
    db = sf.get_db("d", model=Sequence)
    db["a"] = [1]

    db.flush()

    assert db.dirty() == set()


def test_a_generic_as_model_registers_its_parts(anywhere):
    """The enum inside of it needs no other mention."""
    Storify(anywhere).get_db("d", model=list[Colour])["a"] = [Colour.RED]

    assert Storify(anywhere).get_db("d", model=list[Colour])["a"] == [Colour.RED]


def test_two_types_of_one_name_are_refused(sf):
    """Also when the second one comes with a model= hint."""
    sf.register_type(Colour)
    other = Enum("Colour", ["RED"])

    with pytest.raises(DuplicateKeynameError):
        sf.get_db("d", model=other)


def test_a_tuple_of_models_is_a_union(anywhere):
    """Objects of each are found again, and others are refused if it is strict."""

    class Order(Model):
        total: float

    with Storify(anywhere) as sf:
        db = sf.get_db("d", model=(User, Order), strict=True)
        db["u"], db["o"] = User("Ann"), Order(1.5)
        with pytest.raises(CheckError):
            db["x"] = 5

    again = Storify(anywhere).get_db("d", model=(User, Order))
    assert again.data == {"u": User("Ann"), "o": Order(1.5)}


def test_a_database_got_by_path_knows_the_types_of_its_storify(tmp_path):
    """Enums and custom classes as well as models."""
    path = tmp_path / "external.mpack"
    for _ in range(2):
        sf = Storify(tmp_path / "data", types=[Colour])
        sf.register_type(Money, encode=lambda each: each.cents, decode=Money)
        db = sf.get_db_by_path(path)
        db.setdefault("all", [Colour.RED, Money(5)])
        db.close()

        assert sf.get_db_by_path(path)["all"] == [Colour.RED, Money(5)]


@pytest.mark.parametrize("make", [Storify, partial(Database, "d")])
def test_models_may_come_from_a_generator(anywhere, make):
    """They are kept, although it can be run through only once."""
    made = make(root=anywhere, models=(each for each in [User]))

    assert made.models == [User]


def test_getting_an_open_database_touches_no_disk(sf, monkeypatch):
    """``sf["users"]`` in a loop costs a look-up, however large the folder."""
    db = sf.get_db("users")

    def refuse(*_arguments):
        raise AssertionError

    monkeypatch.setattr(os, "lstat", refuse)
    monkeypatch.setattr(os, "listdir", refuse)

    assert sf["users"] is db
    assert sf.get_loaded_db("users") is db
    monkeypatch.undo()


def test_another_spelling_of_an_open_name_gives_the_same_database(sf):
    """A letter with its accent, in one character or in two."""
    db = sf.get_db("caf\u00e9")

    assert sf.get_db("cafe\u0301") is db
