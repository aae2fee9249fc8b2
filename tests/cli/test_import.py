"""``storify import``: the data of other stores arrive in a folder."""

import json
import shelve
import shlex

import msgpack
import pytest
import sqlitedict
import tinydb

from storify import Storify


def content(folder, name):
    """What a database holds."""
    with Storify(folder, save_interval=None) as sf:
        return dict(sf.get_db(name))


@pytest.fixture
def shelf(here):
    """A shelf of two records."""
    with shelve.open(str(here / "users")) as shelf:  # noqa: S301 - our own
        shelf["u1"] = {"name": "ann", "tags": {"a"}}
        shelf["u2"] = {"name": "bob"}
    return "users"


def test_a_shelf_becomes_a_database_of_its_name(run, here, shelf):
    """With --unpickle, and told how many records."""
    result = run("import", "shelve", shelf, "data", "--unpickle")

    assert result.exit_code == 0, result.output
    assert result.stdout == "users: 2 records imported\n"
    assert content(here / "data", "users") == {
        "u1": {"name": "ann", "tags": {"a"}},
        "u2": {"name": "bob"},
    }


def test_pickles_are_not_loaded_unasked(run, here, shelf):
    """They run code: it is said, and nothing is made."""
    result = run("import", "shelve", shelf, "data")

    assert result.exit_code == 2
    assert "it holds pickles" in result.stderr
    assert "add --unpickle" in result.stderr
    assert not (here / "data").exists()


def test_a_pickle_that_cannot_be_loaded_is_a_failure(run, here):
    """As of a class that is not there."""
    with shelve.open(str(here / "users")) as shelf:  # noqa: S301 - our own
        shelf.dict[b"u1"] = b"cnowhere\nThing\n."

    result = run("import", "shelve", "users", "data", "--unpickle")

    assert result.exit_code == 2
    assert "No module named 'nowhere'" in result.stderr
    assert "Traceback" not in result.output


def test_objects_of_the_models_arrive_as_such(run, here):
    """Their classes are those of --models."""
    run("schema", "show", "-m", "shop")
    import shop  # noqa: PLC0415 - of this test's folder

    with shelve.open(str(here / "old")) as shelf:  # noqa: S301 - our own
        shelf["u1"] = shop.User("ann", 7)

    result = run(
        "import", "shelve", "old", "data", "--unpickle", "-m", "shop", "--name", "users"
    )

    assert result.exit_code == 0, result.output
    with Storify(here / "data", save_interval=None, models=[shop.User]) as sf:
        assert sf["users"]["u1"] == shop.User("ann", 7)


def test_what_is_there_already_is_replaced_only_if_asked(run, here, shelf):
    """A second import is refused, with --overwrite it goes."""
    run("import", "shelve", shelf, "data", "--unpickle")

    again = run("import", "shelve", shelf, "data", "--unpickle")
    forced = run("import", "shelve", shelf, "data", "--unpickle", "--overwrite")

    assert again.exit_code == 2
    assert forced.exit_code == 0


def test_a_table_of_sqlitedict_becomes_a_database(run, here):
    """Pickled, or encoded as JSON; named like the file, or the table."""
    with sqlitedict.SqliteDict(str(here / "a.sqlite")) as db:
        db["k"] = (1, 2)
        db.commit()
    with sqlitedict.SqliteDict(
        str(here / "b.sqlite"), tablename="cache", encode=json.dumps, decode=json.loads
    ) as db:
        db["k"] = [1, 2]
        db.commit()

    pickled = run("import", "sqlitedict", "a.sqlite", "data", "--unpickle")
    encoded = run(
        "import", "sqlitedict", "b.sqlite", "data", "--table", "cache", "--json"
    )

    assert pickled.stdout == "a: 1 record imported\n", pickled.output
    assert encoded.stdout == "cache: 1 record imported\n", encoded.output
    assert content(here / "data", "a") == {"k": (1, 2)}
    assert content(here / "data", "cache") == {"k": [1, 2]}


def test_sqlitedict_needs_to_be_told_how_its_values_are_encoded(run):
    """The file does not say."""
    result = run("import", "sqlitedict", "a.sqlite", "data")

    assert result.exit_code == 2
    assert "add --unpickle" in result.stderr


def test_the_tables_of_a_tinydb_become_databases(run, here):
    """Each under its name."""
    with tinydb.TinyDB(here / "db.json") as db:
        db.table("users").insert({"name": "ann"})
        db.table("tags").insert_multiple([{"t": 1}, {"t": 2}])

    result = run("import", "tinydb", "db.json", "data")

    assert result.exit_code == 0, result.output
    assert set(result.stdout.splitlines()) == {
        "users: 1 record imported",
        "tags: 2 records imported",
    }
    assert content(here / "data", "users") == {1: {"name": "ann"}}


def test_a_folder_of_storify_is_copied(run, fill, here):
    """In the present form of the models."""
    fill("old", u1=7)

    result = run("import", "storify", "old", "data", "--models", "shop")

    assert result.exit_code == 0, result.output
    assert result.stdout == "users: 1 record imported\n"
    with Storify(here / "data", save_interval=None) as sf:
        assert sf["users"]["u1"]["__User__"]["name"] == "ANN"


def test_what_cannot_keep_its_name_is_named_and_ends_with_1(run, here):
    """The rest is imported; what is offered works when it is pasted."""
    (here / "old").mkdir()
    for name in ("users", "user:123", "my db: 1"):
        (here / "old" / f"{name}.mpack").write_bytes(msgpack.packb({"k": name}))

    result = run("import", "storify", "old", "data")

    assert result.exit_code == 1
    assert result.stdout == "users: 1 record imported\n"
    lines = result.stderr.splitlines()
    assert [line.count("not imported") for line in lines] == [1, 1]
    assert "'user:123'" in result.stderr
    assert "'my db: 1'" in result.stderr

    options = [part for line in lines for part in shlex.split(line)[-2:]]
    result = run("import", "storify", "old", "data", "--overwrite", *options)

    assert result.exit_code == 0, result.output
    assert content(here / "data", "user-123") == {"k": "user:123"}


def test_a_database_may_be_left_out(run, here):
    """On purpose it is no failure; a wrong name is one."""
    (here / "old").mkdir()
    (here / "old" / "user:123.mpack").write_bytes(msgpack.packb({"k": 1}))

    assert (
        run("import", "storify", "old", "data", "--rename", "user:123=").exit_code == 0
    )
    assert run("import", "storify", "old", "data", "--rename", "who=x").exit_code == 2
    assert run("import", "storify", "old", "data", "--rename", "nothing").exit_code == 2


@pytest.mark.parametrize("store", ["shelve", "sqlitedict", "tinydb", "storify"])
def test_a_source_that_is_not_there_ends_with_2(run, store):
    """One line on the standard error."""
    options = ["--unpickle"] if store in {"shelve", "sqlitedict"} else []

    result = run("import", store, "nowhere", "data", *options)

    assert result.exit_code == 2
    assert result.stderr.startswith("storify: ")
    assert "nowhere" in result.stderr
