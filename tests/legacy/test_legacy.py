"""Files that release 0.0.11 wrote: they load, recover, and stay readable.

``files/`` holds what the original package left on disk: models, nested models,
a list root, raw bytes, and numbered backups of ``my_data``.
"""

import shutil
from pathlib import Path

import msgpack
import pytest

from storify import Model, Storify

FILES = Path(__file__).parent / "files"


class User(Model):
    """As the program that wrote the files had it."""

    def __init__(self, user_id=None, name=None, email=None):
        self.user_id = user_id
        self.name = name
        self.email = email


class Product(Model):
    """As the program that wrote the files had it."""

    def __init__(self, product_id=None, name=None, price=0.0):
        self.product_id = product_id
        self.name = name
        self.price = price


class Cookie(Model):
    """Nested in a jar."""

    def __init__(self, name=None, flavor="", shape="round"):
        self.name = name
        self.flavor = flavor
        self.shape = shape


class CookieJar(Model):
    """A model that holds models."""

    def __init__(self):
        self.cookies = []


class Versioned(Model):
    """A model with a keyname of its own."""

    @classmethod
    def _keyname(cls):
        return "v1_user_model"


class Person(Model):
    """A model with overrides: short names on disk."""

    def __init__(self, name=None, age=0):
        self.name = name
        self.age = age

    def _to_dict(self):
        return {"n": self.name, "a": self.age}

    def _from_dict(self, data):
        self.name, self.age = data["n"], data["a"]
        return self


MODELS = [User, Product, Cookie, CookieJar, Versioned, Person]


@pytest.fixture
def legacy(tmp_path):
    """A copy of the files."""
    return shutil.copytree(FILES, tmp_path / "legacy")


def plain(path):
    """Read a file the plain way, with the order of its keys."""
    return msgpack.unpackb(path.read_bytes())


def items(tree):
    """Give *tree* with dicts as lists of pairs, so that order counts."""
    if isinstance(tree, dict):
        return [(key, items(value)) for key, value in tree.items()]
    if isinstance(tree, list):
        return [items(each) for each in tree]
    return tree


def test_models_come_back_as_objects(legacy):
    """Top level, in lists, in dicts and inside other models."""
    db = Storify(legacy, models=MODELS).get_db("my_data")

    assert type(db["alice_profile"]) is User
    assert db["alice_profile"].email == "alice@wonder.land"
    assert db["potion_item"].price == 10.99
    assert type(db["jar"]) is CookieJar
    assert [(type(each), each.name) for each in db["jar"].cookies] == [
        (Cookie, f"c{number}") for number in range(4)
    ]
    assert {type(each) for each in db["users_list"]} == {User}
    assert db["nested"]["deep"]["user"].name == "D"
    assert db["ver"].a == 1
    assert (db["person"].name, db["person"].age) == ("Zoë", 41)
    assert db["big"] == 2**63
    assert db["plain"]["n"] == [1, 2.5, None, True, "✓ 😀"]


@pytest.mark.parametrize("models", [[], MODELS], ids=["without models", "with models"])
@pytest.mark.parametrize("name", ["my_data", "list_root", "binary"])
def test_a_flush_keeps_content_and_order(legacy, name, models):
    """After a change is made and taken back the file reads the same."""
    before = items(plain(legacy / f"{name}.mpack"))
    db = Storify(legacy, models=models).get_db(name)

    db.flush()
    untouched = (legacy / f"{name}.mpack").read_bytes()
    for change in ("make", "undo"):
        if isinstance(db.data, list):
            db.append("x") if change == "make" else db.pop()
        elif change == "make":
            db["x"] = 1
        else:
            del db["x"]
        db.flush()

    assert untouched == (FILES / f"{name}.mpack").read_bytes()
    assert items(plain(legacy / f"{name}.mpack")) == before


def test_a_list_root_opens_as_a_list(legacy):
    """Nobody has to say so."""
    db = Storify(legacy, models=MODELS).get_db("list_root")

    assert db[0] == {"a": 1}
    assert type(db[1]) is User


def test_bytes_stay_bytes(legacy):
    """Release 0.0.11 turned bytes that happen to be UTF-8 into text."""
    db = Storify(legacy).get_db("binary")

    assert db["blob"] == bytes(range(256))
    assert db["text"] == b"hello"


def test_numbered_backups_are_found(legacy):
    """The newest number comes first; paths are given for them too."""
    db = Storify(legacy).get_db("my_data")

    assert db.backups.list == ["7", "6", "5", "4", "3"]
    assert db.backups.latest == "7"
    assert db.backups.last == "3"
    assert db.backups.get_path_of_backup(7) == str(legacy / ".backups/my_data/7")


def test_a_damaged_file_recovers_from_its_numbered_backup(legacy):
    """The newest one that is whole."""
    (legacy / "my_data.mpack").write_bytes(b"\xc1")
    (legacy / ".backups/my_data/7").write_bytes(b"")

    db = Storify(legacy, models=MODELS).get_db("my_data")

    assert items(plain(legacy / "my_data.mpack")) == items(
        plain(FILES / ".backups/my_data/6")
    )
    assert type(db["alice_profile"]) is User


def test_new_backups_come_before_the_numbered_ones(legacy):
    """They are timestamped; old ones are pruned first."""
    db = Storify(legacy).get_db("my_data")
    db["x"] = 1
    db.flush()

    assert db.backups.list[1:] == ["7", "6", "5", "4"]
    assert "T" in db.backups.list[0]
