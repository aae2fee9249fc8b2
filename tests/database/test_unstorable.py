"""What answers though a value in memory cannot be stored."""

from datetime import UTC, datetime

import pytest

from storify import Model, Storify, UnstorableError


class User(Model):
    """A model with one field that takes anything."""

    name: str
    extra: object = None


@pytest.fixture
def db():
    """A saved database that holds what cannot be stored in three ways."""
    with Storify("memory://", save_interval=None, models=[User]) as sf:
        db = sf.get_db("d")
        db.update(same=1, other=2, gone=3, user=User("ann"))
        db.flush()
        db["good"] = 1
        db["other"] = 3
        db["bad"] = [object()]
        db["user"].extra = object()
        db[("key", User)] = 1
        del db["gone"]
        yield db
        db.close(discard=True)


def test_dirty_answers(db):
    """What cannot be stored differs from what is."""
    expected = {"good", "other", "bad", "user", ("key", User), "gone"}
    assert db.dirty() == expected
    assert db.dirty() == expected


def test_check_lists_what_cannot_be_stored(db):
    """With its place and the reason, beside all else."""
    db["strange"] = User(1)

    found = db.check()

    unstorable = [each for each in found if each.kind == "unstorable"]
    assert sorted(each.path for each in unstorable) == sorted(
        ["$['bad'][0]", "$['user'].extra", f"${[('key', User)]!r}[1]"]
    )
    assert all("stored" in str(each) for each in unstorable)
    assert [each.path for each in found if each.kind == "wrong type"] == [
        "$['strange'].name"
    ]


def test_diff_answers(db):
    """Each key is where it belongs."""
    then = db.backups.diff(datetime.now(UTC))

    assert then.added == {"good", "bad", ("key", User)}
    assert then.removed == {"gone"}
    assert then.changed == {"other", "user"}


def test_it_is_refused_by_a_flush_all_the_same(db):
    """As before the look, and when it is mended all is saved."""
    db.dirty()
    db.check()
    with pytest.raises(UnstorableError):
        db.flush()

    del db["bad"], db[("key", User)]
    db["user"].extra = None

    assert db.dirty() == {"good", "other", "gone"}
    db.flush()
    assert db.dirty() == set()


def test_a_new_database_answers():
    """Nothing of it is durable."""
    with Storify("memory://", save_interval=None) as sf:
        db = sf["x"]
        db["good"] = 1
        db["bad"] = object()

        assert db.dirty() == {"good", "bad"}
        assert [each.path for each in db.check()] == ["$['bad']"]
        db.close(discard=True)


def test_a_list_answers():
    """Its items have their own indexes."""
    with Storify("memory://", save_interval=None, models=[User]) as sf:
        db = sf.get_db("l", root=[User("ann")])
        db.flush()
        then = datetime.now(UTC)
        db.append(object())
        db.append(User(1))

        assert db.dirty() == {None}
        assert [(each.path, each.kind) for each in db.check()] == [
            ("$[1]", "unstorable"),
            ("$[2].name", "wrong type"),
        ]
        assert db.backups.diff(then).changed == {None}
        db.close(discard=True)
