"""What can go wrong on the way to a server, each against a real one."""

import importlib.metadata
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import pg_servers as servers
from faults.database import FORMAT, present, whole_of
from stand_ins import Log
from storify import ConflictError, DatabaseLoadError, DatabaseLockedError, Storify
from storify.engine import Commit, Keep, MemoryCatalog, StaleVersionError, open_catalog
from storify.exceptions import DatabaseNameError, StaleStateError
from storify.testing._connection import Proxy, Server, fresh_schema, why_no_server

pytestmark = pytest.mark.skipif(
    why_no_server() is not None, reason=f"{why_no_server()}"
)

if why_no_server() is None:
    import psycopg

    from storify.engine.postgres import commit as commits
    from storify.engine.postgres import past
    from storify.engine.postgres.address import Address

KEY = FORMAT.encode("value")


def put(engine, value, base=None, key=KEY):
    """Commit a value under one key."""
    return engine.commit(Commit(base, [(key, FORMAT.encode(value))]))


def read(engine):
    """What `put` has committed last."""
    return FORMAT.decode_root(whole_of(engine.open()))["value"]


@pytest.fixture
def place():
    """A URL and a schema."""
    return servers.url(), fresh_schema()


@pytest.fixture
def catalog():
    """A catalog without databases."""
    return servers.catalog(root_format=FORMAT)


@pytest.fixture
def open_sf(place):
    """What opens a Storify in the schema of this test."""
    made = []

    def make(url=None, **options):
        given = {"schema": place[1], "save_interval": None, **options}
        made.append(Storify(url or place[0], **given))
        return made[-1]

    yield make
    for sf in made:
        for db in list(sf.databases):
            db.close(discard=True)
        sf.close()


@pytest.fixture
def proxy(place):
    """A way to the server that can be cut."""
    made = Proxy(place[0])
    yield made
    made.close()


@pytest.fixture
def own_server():
    """A server that a test may do anything with."""
    server = Server().start()
    yield server
    server.stop()


def administer(statement, *values, url=None):
    """Run a statement as the owner of the server."""
    with psycopg.connect(url or servers.url(), autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


# URLs, passwords, drivers


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_urls_are_taken_as_people_paste_them(scheme):
    """All that follows ``?`` goes to libpq; several hosts may be named."""
    url = f"{scheme}://ann:p%40ss@one:1,two:2/shop?sslmode=require&connect_timeout=3"

    address = Address(url)

    shown = "postgresql://ann@one:1,two:2/shop?connect_timeout=3&sslmode=require"
    assert address.shown == shown
    assert address.options["password"] == "p@ss"  # noqa: S105 - of nobody
    assert address.options["connect_timeout"] == "3"
    assert address.options["target_session_attrs"] == "read-write"


def test_a_url_that_nobody_understands_does_not_show_its_password():
    """Libpq would quote it."""
    with pytest.raises(ValueError, match="%-codes") as caught:
        Address("postgresql://ann:s%ecret@host/db")

    assert "ecret" not in f"{caught.value}{caught.value.__context__!r}" or (
        caught.value.__suppress_context__
    )


def test_a_password_is_shown_nowhere(place, open_sf):
    """Not in names, errors or what is logged."""
    log = Log()
    url = place[0].replace("postgres@", "postgres:s3cret@")
    sf = open_sf(url, log=log)
    db = sf["users"]
    with pytest.raises(OSError, match="no connection") as caught:
        open_sf("postgresql://ann:s3cret@/x?host=/nowhere")

    told = f"{sf!r}{sf.root}{db.path}{db!r}{caught.value!r}{vars(log)}"
    assert "s3cret" not in told


def test_a_missing_driver_is_told_with_the_line_for_pip(monkeypatch):
    """As it is for a plain ``pip install storify``."""
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(ModuleNotFoundError, match=r'pip install "storify\[postgres\]"'):
        Storify("postgresql://host/db")


def test_who_uses_files_imports_nothing_of_it(tmp_path):
    """The driver is not looked for."""
    program = (
        f"import sys, storify; sf = storify.Storify({str(tmp_path)!r}); "
        f"sf['users']['a'] = 1; sf.close(); "
        f"print([m for m in sys.modules if 'psycopg' in m or 'postgres' in m])"
    )
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_others_add_engines_by_an_entry_point(monkeypatch):
    """It is called with the URL, and by name with what Storify was told."""
    given = []

    def couch(url, *, root_format, keep, **more):
        given.append((url, keep, more["speed"]))
        return MemoryCatalog(root_format=root_format)

    point = importlib.metadata.EntryPoint("couch", "x:y", "storify.engines")
    monkeypatch.setattr(type(point), "load", lambda _: couch)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [point])

    open_catalog("couch://x", Log(), root_format=FORMAT, keep=3, options={"speed": 1})

    assert given == [("couch://x", 3, 1)]
    with pytest.raises(TypeError, match="schema"):
        open_catalog("memory://", Log(), root_format=FORMAT, options={"schema": "x"})


# Tables


def test_many_may_make_the_tables_at_one_moment(place):
    """Who is second finds them when it looks again."""
    errors = []

    def make():
        try:
            servers.catalog(place[1], root_format=FORMAT)
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []


def test_tables_of_another_release_are_refused(place):
    """Nothing is written into them."""
    url, schema = place
    servers.catalog(schema, root_format=FORMAT)
    administer(f"update {schema}.storify_version set version = 99")  # noqa: S608 - our own

    with pytest.raises(DatabaseLoadError, match="version 99"):
        Storify(url, schema=schema)


def test_tables_are_not_made_where_an_administrator_makes_them(place):
    """The error says how."""
    with pytest.raises(FileNotFoundError, match="storify postgres init"):
        Storify(place[0], schema=place[1], create_schema=False)


@pytest.mark.parametrize("schema", ["", "a\0b", "x" * 64])
def test_a_schema_has_a_name_that_the_server_takes(place, schema):
    """It is refused before anything is sent."""
    with pytest.raises(ValueError, match="schema must be a name"):
        Storify(place[0], schema=schema)


def test_any_schema_name_is_quoted(place):
    """It is a name, whatever is in it."""
    schema = f'{place[1]}"; drop schema x; --'
    catalog = servers.catalog(schema, root_format=FORMAT)

    put(catalog.engine("users"), "one")

    assert catalog.names() == ["users"]


@pytest.mark.parametrize("name", ["a\0b", "a\ud800"])
def test_a_name_that_no_text_of_a_server_holds_is_refused(catalog, name):
    """As on files."""
    with pytest.raises(DatabaseNameError):
        catalog.engine(name)


# Entries


def test_a_key_may_be_longer_than_an_index_takes(catalog):
    """Also one that differs at its end alone."""
    engine = catalog.engine("users")
    keys = [FORMAT.encode("x" * 9_000 + end) for end in "ab"] + [b"\xc1\x00"]
    version = engine.commit(Commit(None, [(key, FORMAT.encode(1)) for key in keys]))
    put(engine, 2, version, keys[1])

    snapshot = engine.open()
    assert [snapshot.get(key) for key in keys] == [b"\x01", b"\x02", b"\x01"]
    assert [key for page in snapshot.items() for key, _ in page] == keys


def test_a_value_that_is_too_large_is_refused(open_sf, monkeypatch):
    """The error names it; memory stays dirty, the others can be saved."""
    monkeypatch.setattr(commits, "LARGEST", 1_000)
    db = open_sf()["files"]
    db["small"], db["large"] = 1, b"x" * 2_000

    with pytest.raises(OSError, match="large"):
        db.flush()

    assert db.dirty() == {"small", "large"}
    del db["large"]
    db.flush()
    assert open_sf()["files"].data == {"small": 1}


def test_a_large_commit_is_parted_and_is_one(open_sf):
    """In the order of the keys as they were set."""
    db = open_sf()["numbers"]
    db.update({f"k{number:05}": number for number in range(5_000, 0, -1)})
    db.flush()
    for number in range(3_000):
        db[f"k{number + 1:05}"] = -number
    db.flush()

    again = open_sf()["numbers"]
    assert len(again) == 5_000
    assert list(again.data) == [f"k{number:05}" for number in range(5_000, 0, -1)]
    assert again["k00003"] == -2


# The way to the server


def test_a_connection_that_was_ended_is_replaced(catalog):
    """Nobody notices."""
    engine = catalog.engine("users")
    version = put(engine, "one")

    end_connections()
    assert read(engine) == "one"
    end_connections()
    assert put(engine, "two", version)


def end_connections():
    """As an administrator does, or a server that restarts."""
    administer(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
        "where pid <> pg_backend_pid() and application_name = 'storify'"
    )


def test_no_transaction_is_open_between_two_calls(catalog):
    """It would keep the server from cleaning up."""
    engine = catalog.engine("users")
    version = put(engine, "one")
    snapshot = engine.open()
    pages = snapshot.items()
    next(pages)
    with pytest.raises(StaleVersionError):
        put(engine, "two", "7.none")
    put(engine, "two", version)
    engine.backups()

    states = administer(
        "select state from pg_stat_activity where application_name = 'storify' "
        "and state like '%%transaction%%'"
    )
    assert states == []


@pytest.mark.parametrize("what", ["question", "answer"])
def test_a_commit_is_done_once_whatever_is_lost_of_it(proxy, what):
    """The token tells; of each question of the commit one is lost, or its answer."""
    catalog = servers.catalog(fresh_schema(), root_format=FORMAT, url=proxy.url)
    engine = catalog.engine("users")
    version = put(engine, 0)
    proxy.count()
    version = put(engine, 1, version)
    questions = proxy.questions

    for number in range(2, questions + 2):
        proxy.cut(number - 1, what)
        version = put(engine, number, version)
        proxy.pause()
        assert read(engine) == number
        assert version.startswith(f"{number + 1}.")


def test_a_commit_without_a_server_says_whether_it_was_done(own_server):
    """Here it was not; the same commit can be made when there is one again."""
    catalog = servers.catalog("storify", root_format=FORMAT, url=own_server.url)
    engine = catalog.engine("users")
    version = put(engine, "one")
    catalog._link.retry_s = 0.2
    own_server.kill()

    with pytest.raises(OSError, match=r"no connection|cannot tell"):
        put(engine, "two", version)
    own_server.start()
    put(engine, "two", version)

    assert read(engine) == "two"


def test_a_server_that_restarts_is_waited_for(own_server):
    """Reads and commits go on when it is there again."""
    catalog = servers.catalog("storify", root_format=FORMAT, url=own_server.url)
    engine = catalog.engine("users")
    version = put(engine, "one")
    own_server.kill()
    found = []
    reader = threading.Thread(target=lambda: found.append(read(engine)))
    reader.start()
    writer = threading.Thread(target=lambda: put(engine, "two", version))
    writer.start()

    own_server.start()
    reader.join()
    writer.join()

    assert found[0] in {"one", "two"}
    assert read(engine) == "two"


def test_a_timeout_of_the_server_writes_nothing(place, open_sf):
    """Memory stays dirty; the same flush works when the cause is gone."""
    url, schema = place
    limited = f"{url}&options=-c%20statement_timeout%3D150"
    db = open_sf(limited)["users"]
    db["a"] = 1
    db.flush()
    db["a"] = 2
    with psycopg.connect(url) as other:
        other.execute(f"select from {schema}.storify_database for update")
        with pytest.raises(TimeoutError, match="statement_timeout"):
            db.flush()

    assert db.dirty() == {"a"}
    db.flush()
    assert open_sf()["users"]["a"] == 2


def test_a_writer_that_does_not_end_is_not_waited_for(place, open_sf):
    """The error is that of a lock."""
    url, schema = place
    sf = open_sf()
    sf._catalog._lock_timeout_s = 0.1
    db = sf["users"]
    db["a"] = 1
    db.flush()
    db["a"] = 2
    with psycopg.connect(url) as other:
        other.execute(f"select from {schema}.storify_database for update")
        with pytest.raises(DatabaseLockedError):
            db.flush()

    assert db.dirty() == {"a"}


def test_a_role_that_only_reads_opens_for_reading(place, open_sf):
    """What it changes cannot be flushed, and is not lost."""
    url, schema = place
    db = open_sf()["users"]
    db["a"] = 1
    db.flush()
    role = f"reader_{schema}"
    for statement in (
        f"create role {role} login",
        f"grant usage on schema {schema} to {role}",
        f"grant select on all tables in schema {schema} to {role}",
    ):
        administer(statement)

    reader = open_sf(url.replace("postgres@", f"{role}@"))["users"]
    assert reader["a"] == 1
    reader["a"] = 2
    with pytest.raises(PermissionError, match="role"):
        reader.flush()

    assert reader.dirty() == {"a"}
    db.reload()
    assert db["a"] == 1
    reader.close(discard=True)
    administer(f"drop owned by {role}")
    administer(f"drop role {role}")


def test_stricter_isolation_makes_no_commit_fail(place):
    """What the server undoes is done again."""
    url = f"{place[0]}&options=-c%20default_transaction_isolation%3Dserializable"
    catalogs = [
        servers.catalog(place[1], root_format=FORMAT, url=url) for _ in range(4)
    ]
    put(catalogs[0].engine("users"), 0)

    def work(catalog):
        engine = catalog.engine("users")
        done = 0
        while done < 10:
            state = engine.open()
            number = FORMAT.decode_root(whole_of(state))["value"]
            try:
                put(engine, number + 1, state.version)
            except StaleVersionError:
                continue
            done += 1

    threads = [threading.Thread(target=work, args=(each,)) for each in catalogs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read(catalogs[0].engine("users")) == 40


# Pools, forks, the end


def test_connections_come_from_a_pool_of_the_programs(place, open_sf):
    """They are given back as they were, also those that were lost."""
    pools = pytest.importorskip("psycopg_pool")
    with pools.ConnectionPool(place[0], min_size=1, max_size=2, open=True) as pool:
        db = open_sf(pool=pool)["users"]
        db["a"] = 1
        db.flush()
        with pool.connection() as connection:
            assert not connection.autocommit
            administer("select pg_terminate_backend(%s)", connection.info.backend_pid)
        db["a"] = 2
        db.flush()
        with db.transaction():
            db["a"] += 1
        db.close()

    assert open_sf()["users"]["a"] == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_connections_of_its_own(catalog):
    """The parent's go on; a lock of the parent's is not the child's."""
    engine = catalog.engine("users")
    version = put(engine, "one")
    with engine.locked():
        pid = os.fork()
        if not pid:
            code = 1
            try:
                code = 0 if read(engine) == "one" else 2
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        version = put(engine, "two", version)

    pid = os.fork()
    if not pid:
        code = 1
        try:
            put(engine, "three", version)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert read(engine) == "three"


def test_the_end_of_a_program_saves_and_leaves_no_connection(place):
    """As with files; nothing is said."""
    url, schema = place
    program = (
        f"import storify; sf = storify.Storify({url!r}, schema={schema!r}); "
        f"db = sf['users']; db['a'] = 1; db.flush(); db['a'] = 2"
    )
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("", "")
    sf = Storify(url, schema=schema, save_interval=None)
    assert sf["users"]["a"] == 2
    sf.close()


def test_the_end_without_a_server_puts_unsaved_records_in_a_file(own_server, tmp_path):
    """The line on the log says which; nothing is said of what was saved."""
    program = (
        f"import os, signal, storify; "
        f"sf = storify.Storify({own_server.url!r}, save_interval=None); "
        f"clean = sf['clean']; clean['a'] = 1; clean.flush(); "
        f"db = sf['users']; db['a'] = 1; db.flush(); db['b'] = 2; "
        f"sf._catalog._link.retry_s = 0.1; "
        f"os.kill({own_server._postgres.pid}, signal.SIGKILL); "
        f"sf._catalog._link.rest()"  # who serves one goes on for a moment
    )
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip

    (file,) = tmp_path.glob("users.*.unsaved.mpack")
    assert str(file) in done.stderr + done.stdout
    assert "clean" not in done.stderr + done.stdout
    assert FORMAT.decode_root(file.read_bytes())["b"] == 2


def test_the_end_of_one_that_others_left_behind_keeps_what_it_changed(place):
    """Over a state that is not kept any more, and not all of it can be stored."""
    url, schema = place
    program = f"""
from datetime import timedelta
from storify import Storify
from storify.engine.postgres import past

past.GRACE = timedelta(seconds=-1)
one, two = (Storify({url!r}, schema={schema!r}, save_interval=None) for _ in "12")
db = one["d"]
db.update({{f"k{{number}}": 0 for number in range(90)}})
db.flush()
mine = two["d"]
mine["k1"] = mine["new"] = "mine"
mine["bad"] = object()
for number in range(130):
    db["k1"] = db["k2"] = number
    db.flush()
"""
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "set or changed are in" in done.stderr
    sf = Storify(url, schema=schema, save_interval=None)
    (aside,) = [each for each in sf["d"].backups.list if each.endswith(".unsaved")]
    path = sf["d"].backups.get_path_of_backup(aside)
    assert path in done.stderr
    assert "$['bad']" in done.stderr
    assert sf["d"].unpack(path) == {"k1": "mine", "new": "mine"}
    sf.close()


def test_the_row_of_a_lock_is_there_for_others_at_once(catalog):
    """Also if there is no such database yet: who commits there waits for it, too."""
    engine = catalog.engine("new")
    statement = catalog._tables.sql("select name from @lock").decode()

    with engine.locked():
        assert administer(statement) == [("new",)]
    assert administer(statement) == [("new",)]


def test_a_block_that_is_dropped_gives_the_lock_back(catalog):
    """The server, too, lets others in."""
    one, other = (
        catalog.engine("users"),
        servers.catalog(catalog._tables.schema, root_format=FORMAT).engine("users"),
    )
    version = put(one, "one")
    block = one.locked()
    block.__enter__()
    assert one.is_locked_by_caller()

    del block

    assert put(other, "two", version)


# Standbys


@pytest.fixture(scope="module")
def cluster():
    """A primary whose commits wait for a standby, and that one."""
    primary = Server({"wal_level": "replica", "max_wal_senders": "8"}).start()
    standby = Server({"hot_standby": "on"}, copy_of=primary, name="s1").start()
    primary.reload(synchronous_standby_names="s1", synchronous_commit="on")
    wait_until(
        lambda: primary.execute(
            "select 1 from pg_stat_replication where sync_state = 'sync'"
        )
    )
    yield primary, standby
    standby.freeze(stop=False)
    standby.stop()
    primary.stop()


def wait_until(condition):
    """Wait for the server; it takes some milliseconds."""
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@contextmanager
def frozen(standby):
    """Let a standby stand still."""
    standby.freeze()
    try:
        yield
    finally:
        standby.freeze(stop=False)


def waiting(primary):
    """Who waits for the standby."""
    return primary.execute(
        "select pid from pg_stat_activity where wait_event = 'SyncRep'"
    )


def test_a_commit_that_no_standby_confirmed_is_not_called_done(cluster):
    """PostgreSQL reports success for one whose wait was cancelled."""
    primary, standby = cluster
    sf = Storify(primary_url(primary), schema=fresh_schema(), save_interval=None)
    db = sf["users"]
    db["a"] = 1
    db.flush()
    db["a"] = 2

    with frozen(standby):
        canceller = threading.Thread(target=cancel_waiting, args=(primary,))
        canceller.start()
        with pytest.raises(OSError, match="cannot tell whether"):
            db.flush()
        canceller.join()

    assert db.dirty() == {"a"}
    db.flush()
    assert db.dirty() == set()
    sf.close()


def primary_url(primary):
    """With commits that wait; the servers of the tests do not wait for the disk."""
    return f"{primary.url}&options=-c%20synchronous_commit%3Don"


def cancel_waiting(primary):
    """As an administrator does who wants to be rid of it."""
    wait_until(lambda: waiting(primary))
    for (pid,) in waiting(primary):
        primary.execute(f"select pg_cancel_backend({pid})")


def test_a_standby_that_hangs_holds_up_commits_alone(cluster):
    """Readers go on, other writers time out; it is done when the standby is back."""
    primary, standby = cluster
    schema = fresh_schema()
    url = primary_url(primary)
    catalog = servers.catalog(schema, root_format=FORMAT, url=url)
    one = catalog.engine("users")
    version = put(one, "one")
    other = servers.catalog(schema, root_format=FORMAT, url=url, lock_timeout_s=0.1)
    made = []

    with frozen(standby):
        writer = threading.Thread(target=lambda: made.append(put(one, "two", version)))
        writer.start()
        wait_until(lambda: waiting(primary))
        assert read(other.engine("users")) == "one"
        with pytest.raises(DatabaseLockedError):
            put(other.engine("users"), "three", version)
    writer.join()

    assert read(other.engine("users")) == "two"
    assert other.engine("users").changes_since(made[0]) is None


def test_a_standby_is_read_if_one_insists_and_never_written(cluster):
    """Else no connection is made to it, so that a write finds the primary."""
    primary, standby = cluster
    schema = fresh_schema()
    put(servers.catalog(schema, root_format=FORMAT, url=primary.url).engine("a"), 1)
    wait_until(
        lambda: standby.execute(
            f"select 1 from pg_tables where schemaname = '{schema}'"  # noqa: S608 - our own
        )
    )
    with pytest.raises(OSError, match="read-only"):
        servers.catalog(schema, root_format=FORMAT, url=standby.url)

    url = f"{standby.url}&target_session_attrs=any"
    catalog = servers.catalog(schema, root_format=FORMAT, url=url)
    catalog._link.retry_s = 0
    engine = catalog.engine("a")
    wait_until(lambda: engine.open() is not None)

    assert read(engine) == 1
    with pytest.raises(OSError, match="only reads"):
        put(engine, 2, engine.open().version)


# The past


def test_a_snapshot_stays_while_others_commit_and_sweep(catalog, monkeypatch):
    """As long as somebody may read it; then it says so."""
    engine = catalog.engine("users")
    keys = [FORMAT.encode(f"k{number}") for number in range(300)]
    version = engine.commit(Commit(None, [(key, b"\x01") for key in keys]))
    other = servers.catalog(catalog._tables.schema, root_format=FORMAT)
    reader = other.engine("users").open()
    pages = reader.items()
    first = next(pages)
    for number in range(8):
        changes = [(key, FORMAT.encode(number)) for key in keys[1::2]]
        version = engine.commit(Commit(version, [*changes, (keys[0], None)]))
    past.sweep(engine._link, engine._tables, engine._head.id, datetime.now(UTC))

    entries = [*first, *(pair for page in pages for pair in page)]
    assert entries == [(key, b"\x01") for key in keys]
    assert reader.get(keys[0]) == b"\x01"

    monkeypatch.setattr(past, "GRACE", timedelta(seconds=-1))
    assert past.sweep(engine._link, engine._tables, engine._head.id, datetime.now(UTC))
    with pytest.raises(StaleStateError, match="reload"):
        list(reader.items())
    with pytest.raises(StaleStateError, match="reload"):
        reader.get(keys[1])
    assert reader.get(keys[2]) == b"\x01"  # nobody has changed it


@pytest.mark.parametrize("go_on", ["reload", "flush", "transaction", "run"])
def test_a_reader_that_never_caught_up_is_told_so_and_goes_on(
    open_sf, monkeypatch, go_on
):
    """What others changed is not kept for it for ever; what they left, it reads."""
    monkeypatch.setattr(past, "GRACE", timedelta(seconds=-1))
    db = open_sf()["users"]
    db.update({f"k{number:02}": number for number in range(90)})
    db.flush()
    reader = open_sf()["users"]
    reader["mine"] = 1
    for number in range(130):
        db["k01"] = -number
        db["new"] = number
        db.pop("k02", None)
        db.flush()

    assert reader["k03"] == 3
    for read in (
        lambda: reader["k01"],
        lambda: "k02" in reader,
        lambda: list(reader),
        lambda: reader.where(lambda value: value < 0).count(),
        lambda: reader.data,
    ):
        with pytest.raises(StaleStateError, match=r"reload\(\)"):
            read()
    assert reader.dirty() == {"mine"}
    if go_on == "transaction":
        with reader.transaction():
            assert reader["k01"] == -129
    elif go_on == "run":
        assert reader.run(lambda mine: mine["k01"]) == -129
    else:
        getattr(reader, go_on)()

    assert (reader["k01"], reader["new"], "k02" in reader) == (-129, 129, False)
    assert reader["mine"] == 1
    assert list(reader) == [
        "k00",
        "k01",
        *(f"k{n:02}" for n in range(3, 90)),
        "new",
        "mine",
    ]
    reader.flush()
    db.reload()
    assert db.data == reader.data


def test_a_program_that_is_open_for_long_reads_on(open_sf, monkeypatch):
    """What it has committed itself it knows; the rest is there."""
    monkeypatch.setattr(past, "GRACE", timedelta(seconds=-1))
    db = open_sf()["users"]
    db.update({f"k{number}": number for number in range(100)})
    db.flush()
    sf = open_sf()
    db = sf["users"]
    for number in range(130):
        db["counter"] = number
        if number % 10 == 0:
            del db[f"k{number // 10}"]
        db.flush()

    assert "nobody" not in db
    assert db["k50"] == 50
    assert "k3" not in db
    assert len(list(db)) == 88


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["set", "delete", "move", "destroy", "backup", "hour"]),
            st.sampled_from("abc"),
            st.integers(0, 99),
        ),
        max_size=14,
    ),
    keep=st.builds(Keep, st.integers(0, 3), st.integers(0, 2), st.integers(0, 1)),
)
@example(steps=[("set", "a", 0), ("backup", "a", 0), ("destroy", "a", 0)], keep=Keep(0))
def test_what_is_kept_is_what_memory_keeps(steps, keep):
    """The same states, with the same content, whatever was swept between them."""
    servers.require()
    grace, past.GRACE = past.GRACE, timedelta(days=-9999)
    now = [datetime(2026, 11, 23, 5, 41, tzinfo=UTC)]
    options = {"root_format": FORMAT, "clock": lambda: now[0], "keep": keep}
    catalogs = [MemoryCatalog(**options), servers.catalog(**options)]
    engines = [each.engine("users") for each in catalogs]
    try:
        for what, name, number in steps:
            now[0] += timedelta(hours=1) if what == "hour" else timedelta(seconds=5)
            key = FORMAT.encode(name)
            for engine in engines:
                state = engine.open()
                base = None if state is None else state.version
                if what == "destroy":
                    engine.destroy()
                elif what == "backup":
                    engine.backup()
                else:
                    changes = [(key, FORMAT.encode(number))]
                    if what == "delete":
                        changes = [(key, None)]
                    elif what == "move":
                        changes.insert(0, (key, None))
                    engine.commit(Commit(base, changes))
            server = engines[1]
            head = server._look(make=False)
            if head is not None:
                past.sweep(server._link, server._tables, head.id, now[0])
            memory, found = (
                [
                    (each.time, whole_of(engine.state(each.id)))
                    for each in engine.backups()
                ]
                for engine in engines
            )
            assert found == memory
            assert server.verify() == []
            one, two = (present(engine) for engine in engines)
            assert (one and one.payload) == (two and two.payload)
    finally:
        past.GRACE = grace
        catalogs[1].close()


# Transactions


def test_a_transaction_is_run_again_on_conflict(open_sf, place):
    """A program that takes no lock was in its way."""
    db = open_sf()["users"]
    db["n"] = 0
    db.flush()
    # As a writer that has no part in the lock, nor is of this process.
    elsewhere = f"{place[0]}&port=5432"
    rival = servers.catalog(place[1], root_format=FORMAT, url=elsewhere).engine("users")
    rival._place.has_row = lambda: True
    runs = []

    def count(mine):
        runs.append(mine["n"])
        if len(runs) < 3:
            put(rival, len(runs), rival.open().version)
        mine["n"] += 1
        return mine["n"]

    assert db.run(count) == 1
    assert len(runs) == 3
    with pytest.raises(ValueError, match="tries"):
        db.run(count, tries=0)
    runs.clear()
    with pytest.raises(ConflictError):
        db.run(count, tries=2)
    assert db["n"] == 1


def test_processes_that_count_lose_no_step(place):
    """Each in transactions of its own; 8 of 500 with STORIFY_DEPTH=soak."""
    url, schema = place
    deep = os.environ.get("STORIFY_DEPTH") == "soak"
    processes, steps = (8, 500) if deep else (3, 20)
    program = (
        f"import storify; sf = storify.Storify({url!r}, schema={schema!r}); "
        f"db = sf.get_db('n');\n"
        f"def step(db): db['n'] = db.get('n', 0) + 1\n"
        f"for _ in range({steps}): db.run(step)\n"
        f"sf.close()"
    )
    running = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", program])  # noqa: S603 - our own
        for _ in range(processes)
    ]
    assert [each.wait() for each in running] == [0] * processes

    sf = Storify(url, schema=schema, save_interval=None)
    assert sf["n"]["n"] == processes * steps
    assert sf["n"]._session.engine.verify() == []
    sf.close()
