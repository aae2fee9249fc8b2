"""Parts of a cluster that fail: a full disk, a cut line, a server that hangs."""

import ipaddress
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial

import pytest

import pg_servers as servers
from faults import requires
from faults.database import FORMAT
from faults.mounts import command, small_disk
from faults.sampling import runs
from storify import Storify
from storify.engine import Commit
from storify.testing._connection import Proxy, Server, fresh_schema, why_no_server

pytestmark = pytest.mark.skipif(
    why_no_server() is not None, reason=f"{why_no_server()}"
)

if why_no_server() is None:
    import psycopg

KEY = FORMAT.encode("value")


def wait_until(condition):
    """Wait for servers."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def server():
    """A server that a test may do anything with."""
    made = Server().start()
    yield made
    made.stop()


# A full disk


@requires.tmpfs()
def test_a_full_disk_of_the_server_loses_nothing(server):
    """One clear error; what is in memory is saved when there is room again."""
    disk = server.folder / "disk"
    with small_disk(disk, "size=24m,mode=777"):
        try:
            place = disk / "place"
            place.mkdir()
            shutil.chown(place, disk.owner() if server._user is None else server._user)
            server.execute(f"create tablespace small location '{place}'")
            server.execute("create table filler (x bytea) tablespace small")
            url = f"{server.url}&options=-c%20default_tablespace%3Dsmall"
            sf = Storify(url, save_interval=None)
            db = sf["users"]
            db["a"] = 1
            db.flush()
            server.execute(
                "alter table filler alter x set storage external; insert into filler "
                "select repeat('x', 1000000)::bytea from generate_series(1, 8)"
            )
            db.update({f"k{number}": os.urandom(100_000) for number in range(200)})

            with pytest.raises(OSError, match="disk of the server is full"):
                db.flush()

            assert len(db.dirty()) == 200
            with Storify(url, save_interval=None) as other:
                assert other["users"].data == {"a": 1}
            server.execute("drop table filler")
            for number in range(100):
                del db[f"k{number}"]
            server.execute("vacuum full")
            db.flush()
            assert db.dirty() == set()
            with Storify(url, save_interval=None) as other:
                assert len(other["users"]) == 101
                assert other["users"]._session.engine.verify() == []
            sf.close()
        finally:
            server.kill()


# A primary that nobody hears of any more


@contextmanager
def replicated():
    """A primary whose commits wait for a standby, and that one."""
    primary = Server({"wal_level": "replica", "max_wal_senders": "8"}).start()
    standby = Server({"hot_standby": "on"}, copy_of=primary, name="s1").start()
    try:
        primary.reload(synchronous_standby_names="s1", synchronous_commit="on")
        wait_until(
            lambda: primary.execute(
                "select 1 from pg_stat_replication where sync_state = 'sync'"
            )
        )
        yield primary, standby
    finally:
        primary.freeze(stop=False)
        standby.stop()
        primary.stop()


def test_a_server_that_writes_no_more_is_left_for_one_that_does(server):
    """After a switchover it answers still, and takes nothing; nothing is lost."""
    catalog = servers.catalog("storify", root_format=FORMAT, url=server.url)
    engine = catalog.engine("users")
    version = engine.commit(Commit(None, [(KEY, b"\x01")]))
    server.reload(default_transaction_read_only="on")
    wait_until(lambda: server.execute("show transaction_read_only") == [("on",)])
    catalog._link.retry_s = 0.1
    with pytest.raises(OSError, match=r"session is read-only|only reads"):
        engine.commit(Commit(version, [(KEY, b"\x02")]))

    catalog._link.retry_s = 30.0
    done = []
    writer = threading.Thread(
        target=lambda: done.append(engine.commit(Commit(version, [(KEY, b"\x02")])))
    )
    writer.start()
    as_before = server.url_of(options="-c default_transaction_read_only=off")
    with psycopg.connect(as_before, autocommit=True) as connection:
        connection.execute("alter system reset default_transaction_read_only")
        connection.execute("select pg_reload_conf()")
    writer.join()

    assert done[0].startswith("2.")
    assert engine.open().get(KEY) == b"\x02"


def test_a_primary_that_hangs_is_waited_for_until_it_is_ended():
    """What was under way is done by the one that was promoted; once."""
    with replicated() as (primary, standby):
        url = primary.url_of(
            standby, connect_timeout="2", options="-c synchronous_commit=on"
        )
        db = Storify(url, save_interval=None)["users"]
        db["n"] = 1
        db.flush()
        db["n"] = 2

        primary.freeze()
        writer = threading.Thread(target=db.flush)
        writer.start()
        standby.promote()
        primary.freeze(stop=False)  # it goes on, and nobody confirms its commits
        wait_until(
            lambda: primary.execute(
                "select 1 from pg_stat_activity where wait_event = 'SyncRep'"
            )
        )
        assert writer.is_alive()
        primary.kill()
        writer.join()

        assert db.dirty() == set()
        assert db._session.version.startswith("2.")
        with Storify(standby.url, save_interval=None) as sf:
            assert sf["users"].data == {"n": 2}
        db.close()


#: Carries what comes to an address of a namespace to the socket of a server.
RELAY = """
import asyncio, sys
async def carry(reader, writer):
    try:
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    writer.close()
async def relay(reader, writer):
    there = await asyncio.open_unix_connection(sys.argv[2])
    await asyncio.gather(carry(reader, there[1]), carry(there[0], writer))
async def main():
    server = await asyncio.start_server(relay, sys.argv[1], 5432)
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
# Addresses of this process alone: others may run the same tests.
_OURS = ipaddress.ip_address("10.213.0.0") + 4 * (os.getpid() % 16_384)
HERE, THERE = str(_OURS + 1), str(_OURS + 2)


@contextmanager
def namespace():
    """A network of its own with a line to it: its name, and what runs a command in it."""
    name = f"sf{os.getpid()}"
    command("ip", "netns", "add", name)
    try:
        ends = name, "type", "veth", "peer", "name", "eth0", "netns", name
        command("ip", "link", "add", *ends)
        yield name, partial(command, "ip", "netns", "exec", name)
    finally:
        command("ip", "netns", "delete", name)


def why_no_namespace():
    """Why there can be none here."""
    try:
        with namespace():
            return None
    except OSError as error:
        return str(error)


@pytest.mark.skipif(
    why_no_namespace() is not None, reason="needs network namespaces (root, iproute2)"
)
def test_a_primary_that_is_cut_off_is_given_up():
    """No packet comes through; its connections are found dead, the standby is taken."""
    with replicated() as (primary, standby), namespace() as (name, inside):
        command("ip", "address", "add", f"{HERE}/30", "dev", name)
        command("ip", "link", "set", name, "up")
        inside("ip", "address", "add", f"{THERE}/30", "dev", "eth0")
        inside("ip", "link", "set", "eth0", "up")
        relay = subprocess.Popen(  # noqa: S603 - our own
            [shutil.which("ip") or "", "netns", "exec", name, sys.executable, "-c",
             RELAY, THERE, str(primary.folder / ".s.PGSQL.5432")],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert relay.stdout.readline() == b"ready\n"
            url = (
                f"postgresql://postgres@/postgres?host={THERE},{standby.folder}"
                f"&connect_timeout=2&tcp_user_timeout=1000"
                f"&options=-c%20synchronous_commit%3Don"
            )
            db = Storify(url, save_interval=None)["users"]
            db["n"] = 1
            db.flush()
            db["n"] = 2

            inside("ip", "link", "set", "eth0", "down")
            standby.promote()
            db.flush()

            with Storify(standby.url, save_interval=None) as sf:
                assert sf["users"].data == {"n": 2}
            db.close()
        finally:
            relay.kill()
            relay.wait()
            relay.stdout.close()


# A server that is far away


@pytest.fixture
def far():
    """A way to the server, on which each question and answer takes a while."""
    made = Proxy(servers.url())
    yield made
    made.close()


def test_few_questions_are_asked(far):
    """Each is a round trip, which takes longer than the work if the server is far."""
    sf = Storify(far.url, schema=fresh_schema(), save_interval=None)
    db = sf["users"]
    db.update({f"k{number}": number for number in range(1_000)})
    db.flush()
    asked = {}

    def asking(what, work):
        far.count()
        work()
        asked[what] = far.questions

    def change(count):
        for number in range(count):
            db[f"k{number}"] += 1
        db.flush()

    change(1)
    asking("flush of 1", lambda: change(1))
    asking("flush of 1000", lambda: change(1_000))
    asking("reload without news", db.reload)
    with Storify(far.url, schema=sf._catalog._tables.schema, save_interval=None) as two:
        asking("open and read one", lambda: two["users"]["k7"])
        asking("read another", lambda: two["users"]["k8"])
        asking("read all", lambda: dict(two["users"]))
    asking("transaction", lambda: db.run(lambda mine: mine.pop("k1")))

    assert asked["flush of 1"] == asked["flush of 1000"] == 1
    assert asked["reload without news"] == asked["read another"] == 1
    assert asked["open and read one"] <= 3
    assert asked["read all"] <= 3
    assert asked["transaction"] <= 8
    sf.close()


def test_a_far_server_is_as_safe(far):
    """Writers on a slow way follow each other, and time alone is no error."""
    schema = fresh_schema()
    far.delay_s = 0.005
    dbs = [Storify(far.url, schema=schema, save_interval=None)["n"] for _ in range(3)]

    def step(db):
        db["n"] = db.get("n", 0) + 1

    threads = [
        threading.Thread(target=lambda db=db: [db.run(step) for _ in range(4)])
        for db in dbs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for db in dbs:
        db.reload()
        assert db["n"] == 12
        db.close()


# What the server has to clean up


def test_a_hot_key_leaves_little_behind(server):
    """Nothing keeps the server from cleaning up: neither readers nor writers."""
    catalog = servers.catalog("storify", root_format=FORMAT, url=server.url)
    engine = catalog.engine("users")
    reader = servers.catalog("storify", root_format=FORMAT, url=server.url)
    version = engine.commit(Commit(None, [(KEY, b"\x00")]))
    snapshot = reader.engine("users").open()
    pages = snapshot.items()
    next(pages)
    flushes = runs(400, 20_000)
    for number in range(flushes):
        version = engine.commit(Commit(version, [(KEY, bytes([number % 100]))]))

    server.execute("vacuum")
    dead = server.execute(
        "select relname, n_dead_tup from pg_stat_all_tables "
        "where schemaname = 'storify' and n_dead_tup > 0"
    )
    sizes = dict(
        server.execute(
            "select relname, pg_relation_size(relid) from pg_stat_all_tables "
            "where schemaname = 'storify'"
        )
    )

    assert dead == []
    # Versions of one row make room for each other in the page they are in.
    assert sizes["storify_database"] <= 40 * 8192
    assert sizes["storify_entry"] <= 40 * 8192
    # For those who are reading, what was replaced is kept a quarter of an hour.
    assert sizes["storify_change"] <= flushes * 100 + 8192
    assert snapshot.get(KEY) == b"\x00"
