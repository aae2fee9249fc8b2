"""Another program edits the file while the database is open, or was left open."""

import subprocess
import sys

import msgpack
import pytest

from stand_ins import Log
from storify import ConflictError, Model, Storify

pytestmark = pytest.mark.files("somebody edits the file")

#: Large enough to have a journal.
BULK = {f"k{number}": "x" * 2000 for number in range(1000)}


class User(Model):
    """A declared model."""

    name: str
    age: int = 0


def open_db(root, *, readonly=False):
    """Open a database as a program of its own would."""
    sf = Storify(root, save_interval=None, log=Log(), models=[User])
    return sf.get_db("users", readonly=readonly)


def content(root):
    """What stands in the file."""
    return msgpack.unpackb((root / "users.mpack").read_bytes())


def edit(root, *gone, **changes):
    """Change the file as a program would that knows MessagePack alone."""
    data = content(root)
    for key in gone:
        del data[key]
    (root / "users.mpack").write_bytes(msgpack.packb({**data, **changes}))


@pytest.fixture
def db(root):
    """A large database with two commits in its journal."""
    db = open_db(root)
    db.update(BULK, bob=User("Bob"))
    db.flush()
    db["ann"] = User("Ann")
    db.flush()
    db["bob"].age = 5
    db.flush()
    assert (root / "users.mpack.journal").exists()
    yield db
    db.close(discard=True)


def test_what_was_flushed_is_there_with_what_was_edited(db, root):
    """In memory and in the file; objects held are live."""
    ann = db["ann"]
    edit(root, tool=1)

    db.flush()

    assert db["tool"] == 1
    assert db["ann"] is ann
    assert db["bob"] == User("Bob", 5)
    assert db.dirty() == set()
    assert open_db(root)["ann"] == User("Ann")
    assert content(root).keys() == {*BULK, "ann", "bob", "tool"}


def test_what_a_killed_program_has_flushed_is_there_with_what_was_edited(root):
    """The file is as it was before the journal; the next program has both."""
    script = (
        "import os, sys; from storify import Storify\n"
        "db = Storify(sys.argv[1], save_interval=None).get_db('users')\n"
        "db.update({f'k{n}': 'x' * 2000 for n in range(1000)}); db.flush()\n"
        "db['ann'] = 'committed'; db.flush()\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(root)], check=True)  # noqa: S603 - our own
    edit(root, tool=1)

    db = open_db(root)

    assert (db["ann"], db["tool"]) == ("committed", 1)
    assert db._session.log.warnings != []
    db.close()


def test_unsaved_changes_stay_and_are_saved_on_top(db, root):
    """To other keys than those that were edited."""
    db["new"] = 1
    db["k1"] = "mine"
    edit(root, "k3", k2="tool")

    db.flush()

    again = open_db(root)
    assert (again["new"], again["k1"], again["k2"]) == (1, "mine", "tool")
    assert "k3" not in again
    assert "k3" not in db
    assert db["ann"] == User("Ann")


def test_a_key_that_is_unsaved_here_and_was_edited_is_a_conflict(db, root):
    """As with any other writer; what only the journal had is none."""
    db["k1"] = "mine"
    db["ann"].age = 7
    edit(root, k1="tool")

    with pytest.raises(ConflictError) as caught:
        db.flush()
    assert caught.value.keys == ("k1",)
    db.reload(keep="mine")
    db.flush()

    assert (db["k1"], db["ann"].age) == ("mine", 7)


def test_an_edit_of_what_was_flushed_here_comes_into_the_object(db, root):
    """The value of before is a backup, which the log names."""
    bob = db["bob"]
    edit(root, bob={"__User__": {"name": "Tool", "age": 0}})

    db.flush()

    assert db["bob"] is bob
    assert bob == User("Tool", 0)
    (line,) = db._session.log.warnings
    assert "bob" in line
    assert "ann" not in line
    (named,) = [each for each in db.backups.list if repr(each) in line]
    assert db.backups.restore(named, keys=["bob"]) == {"bob"}
    assert bob == User("Bob", 5)


def test_another_instance_that_has_it_open_adopts_the_edit_alone(db, root):
    """Each has what the other has committed."""
    other = open_db(root)
    other["theirs"] = 1
    other.flush()
    edit(root, tool=1)
    db.flush()
    other["k1"] = "theirs"

    other.flush()

    assert (other["tool"], other["ann"]) == (1, User("Ann"))
    db.flush()
    assert (db["theirs"], db["k1"]) == (1, "theirs")
    assert db._session.log.warnings[:1] != []
    assert other._session.log.warnings == []
    other.close()


def test_a_reader_sees_both(db, root):
    """And writes nothing, whether it opens the file before or after."""
    before = open_db(root, readonly=True)
    edit(root, tool=1)
    raw = (root / "users.mpack").read_bytes()
    after = open_db(root, readonly=True)
    before.reload()

    for reader in (before, after):
        assert (reader["tool"], reader["bob"]) == (1, User("Bob", 5))
        assert len(reader.backups.list) == 3
        reader.reload()
    assert (root / "users.mpack").read_bytes() == raw
    db.flush()
    before.reload()
    assert before["ann"] == User("Ann")


def test_a_transaction_begins_with_the_edit_and_one_inside_ends_it(db, root):
    """All of it or nothing."""
    edit(root, tool=1)
    with db.transaction():
        db["sum"] = db["tool"] + 1

    def count():
        with db.transaction():
            db["sum"] = 9
            edit(root, tool=7)

    with pytest.raises(ConflictError, match="takes no lock"):
        count()

    assert db["sum"] == 2
    db.flush()
    assert (db["sum"], db["tool"], db["ann"]) == (2, 7, User("Ann"))


def test_a_list_is_as_it_was_edited(root):
    """What was flushed is a backup."""
    sf = Storify(root, save_interval=None, log=Log())
    db = sf.get_db("list", root=[])
    db.data[:] = [f"{number:09}" for number in range(200_000)]
    db.flush()
    db.data[7] = "committed"
    db.flush()
    assert (root / "list.mpack.journal").exists()
    (root / "list.mpack").write_bytes(msgpack.packb(["tool"]))

    db.flush()

    assert db.data == ["tool"]
    assert db._session.log.warnings != []
    db.backups.restore(db.backups.list[0])
    assert db.data[7] == "committed"
    sf.close()


def test_an_edit_of_a_small_file_is_merged_as_that_of_any_writer(root):
    """There is no journal: the file is what was flushed last."""
    db = open_db(root)
    db.update(a=1, b=2, c=3)
    db.flush()
    db["a"] = 9
    db["b"] = 8
    db.flush()
    db["c"] = 7
    edit(root, b="tool")

    db.flush()

    assert dict(db.items()) == {"a": 9, "b": "tool", "c": 7}
    assert dict(open_db(root).items()) == {"a": 9, "b": "tool", "c": 7}
    db.close()


def test_an_older_file_put_back_by_hand_can_be_taken_back(db, root):
    """Its keys come in; what it took the place of is a backup that the log names."""
    db.flush(compact=True)
    db["ann"].name = "Anna"
    db.flush()
    old = min((root / ".backups" / "users").glob("*.mpack"))
    (root / "users.mpack").write_bytes(old.read_bytes())

    db.flush()

    assert "ann" not in db
    (line,) = db._session.log.warnings
    (named,) = [each for each in db.backups.list if repr(each) in line]
    db.backups.restore(named)
    assert db["ann"] == User("Anna")
