"""All databases copied to another place, with their past."""

import pytest

import pg_servers as servers
from storify import DatabaseOpenError, Storify
from storify.database.maintenance import copy as copying
from storify.engine import entries_of


def options_of(kind, place):
    """Where a Storify is: in a folder, in memory or on a server."""
    if kind == "postgres":
        return servers.url(), {"schema": servers.fresh_schema()}
    if kind == "memory":
        return f"memory://{place}", {}
    return str(place), {}


@pytest.fixture(
    params=[("file", "postgres"), ("postgres", "file"), ("file", "memory")],
    ids="-".join,
)
def places(request, tmp_path):
    """A Storify with databases, and an empty one."""
    made = []
    for kind, folder in zip(request.param, ("one", "two"), strict=True):
        root, options = options_of(kind, tmp_path / folder)
        made.append(Storify(root, save_interval=None, keep=7, **options))
    one = made[0]
    users = one["users"]
    for number in range(6):
        users[f"u{number}"] = {"n": number}
        users["moved"] = users.pop("moved", 0) + 1
        users.flush()
    one.get_db("list", [1, "two", None]).flush()
    one.get_db("empty", {}).flush()
    users._session.engine.save_unsaved(one._schema.codec.encode({"a": 1}))
    yield made
    for sf in made:
        for db in list(sf.databases):
            db.close(discard=True)
        sf.close()


def content(sf):
    """All that is in it: the present, and what was, with the times."""
    found = {}
    for name in sf:
        db = sf.get_db(name, root=[] if name == "list" else None)
        data = db.data
        engine = db._session.engine
        past = [
            list(entries_of(engine.state(each)).items()) for each in db.backups.list
        ]
        found[name] = data if isinstance(data, list) else list(data.items()), past
        db.close()
    return found


def times(sf):
    """When each state was committed, the present one first."""
    engine = sf._catalog.engine("users")
    engine.open()
    kept = [info.time for info in engine.backups() if info.kind != "unsaved"]
    return [engine.committed_at(), *kept]


def test_a_copy_has_the_same_content_order_and_past(places):
    """And the same times of what was."""
    one, two = places
    told = []

    copied = one.copy_to(two, lambda done, total: told.append((done, total)))

    assert copied == {"empty": 0, "list": 1, "users": 7}
    assert told[-1][0] == told[-1][1]
    assert content(two) == content(one)
    if not two.root.startswith("memory"):  # that has its own clock
        assert times(two) == times(one)


@pytest.mark.parametrize("most", [2, 50_000], ids=["parts", "whole"])
def test_a_copy_that_was_cut_off_is_finished_by_the_same_call(
    places, monkeypatch, most
):
    """Wherever it was; a copy that is finished is left as it is."""
    one, two = places
    monkeypatch.setattr(copying, "_MANY", most)
    long = one["long"]
    long.update({f"k{number}": number for number in range(7)})
    long.flush()
    long["k8"] = long.pop("k3")
    long.flush()
    commit = copying.Commit
    for at in range(1, 9):
        calls = iter(range(1, 99))

        def cut(*args, at=at, calls=calls):
            if next(calls) == 2:
                raise OSError(at)
            return commit(*args)

        monkeypatch.setattr(copying, "Commit", cut)
        with pytest.raises(OSError, match=str(at)):
            one.copy_to(two)
        monkeypatch.setattr(copying, "Commit", commit)
        if at == 4:
            break

    one.copy_to(two)
    one.copy_to(two)

    assert content(two) == content(one)
    if not two.root.startswith("memory"):
        assert times(two) == times(one)


def test_another_database_of_the_name_is_not_overwritten(places):
    """Nor one that is open."""
    one, two = places
    other = two["users"]
    other["mine"] = 1
    other.flush()

    with pytest.raises(DatabaseOpenError):
        one.copy_to(two)
    other.close()
    with pytest.raises(FileExistsError, match="another one of this name"):
        one.copy_to(two)

    assert two["users"].data == {"mine": 1}


def test_a_memory_without_a_name_cannot_be_copied_to(places):
    """It could not be opened a second time."""
    with (
        Storify("memory://", save_interval=None) as nameless,
        pytest.raises(ValueError, match="name"),
    ):
        places[0].copy_to(nameless)
