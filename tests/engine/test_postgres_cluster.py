"""What becomes of acknowledged flushes when servers die, and behind a pooler."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise

import pytest

import pg_servers as servers
from faults.database import FORMAT, whole_of
from storify import Storify
from storify.engine import Commit
from storify.testing._connection import Server, fresh_schema, why_no_server

pytestmark = pytest.mark.skipif(
    why_no_server() is not None, reason=f"{why_no_server()}"
)

DEEP = os.environ.get("STORIFY_DEPTH") == "soak"
FAILOVERS, WRITERS = (10, 8) if DEEP else (1, 3)
#: How much each writer has told between two failovers, in bytes.
TOLD = 4_000 if DEEP else 1

# Each flush sets two keys to one number; the number is told when it is acknowledged.
WRITER = """
import os, sys, time, storify
url, me, stop = sys.argv[1:]
sf = storify.Storify(url, save_interval=None)
db = sf.get_db("numbers")
number = 0
while not os.path.exists(stop):
    number += 1
    db[f"{me} one"] = db[f"{me} two"] = number
    while True:
        try:
            db.flush()
        except OSError:
            if os.path.exists(stop):
                sys.exit(1)
            time.sleep(0.02)
        else:
            break
    os.write(1, f"{number} {time.monotonic()}\\n".encode())
sf.close()
"""


def wait_until(condition, seconds=60):
    """Wait for servers; the errors of those that are away count as no."""
    until = time.monotonic() + seconds
    while not holds(condition):
        assert time.monotonic() < until
        time.sleep(0.02)


def holds(condition):
    """Whether a condition holds."""
    import psycopg  # noqa: PLC0415 - it may not be there

    try:
        return condition()
    except psycopg.Error:
        return False


def record(figures):
    """Write figures where the option -s shows them."""
    sys.stdout.write(f"{figures}\n")


def is_followed(primary):
    """Whether commits of a primary are confirmed by a standby."""
    return primary.execute(
        "select 1 from pg_stat_replication where sync_state = 'sync'"
    )


def test_no_acknowledged_flush_is_lost_when_the_primary_dies(tmp_path):
    """Killed under writers, its standby promoted, again and again; none is torn."""
    options = {"wal_level": "replica", "max_wal_senders": "8", "hot_standby": "on"}
    primary = Server(options).start()
    # Whoever is the primary acknowledges nothing that the other one does not have.
    primary.reload(synchronous_standby_names="s1")
    standby = Server(options, copy_of=primary, name="s1").start()
    stop = tmp_path / "stop"
    try:
        wait_until(partial(is_followed, primary))
        url = primary.url_of(standby, connect_timeout="2")
        Storify(url, save_interval=None).close()
        acknowledged = [tmp_path / f"{number}" for number in range(WRITERS)]
        running = []
        for number, file in enumerate(acknowledged):
            with file.open("wb") as out:
                running.append(
                    subprocess.Popen(  # noqa: S603 - our own
                        [sys.executable, "-c", WRITER, url, f"{number}", str(stop)],
                        stdout=out,
                        stderr=subprocess.DEVNULL,
                        # What one saves that ends without a server stays here.
                        cwd=tmp_path,
                        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                    )
                )
        wait_until(lambda: all(file.stat().st_size for file in acknowledged))
        for _ in range(FAILOVERS):
            before = [file.stat().st_size for file in acknowledged]
            primary.kill()
            standby.promote()
            primary, standby = standby, primary
            standby.follow(primary, "s1")
            standby.start()
            wait_until(partial(is_followed, primary))
            wait_until(
                lambda: all(
                    file.stat().st_size >= size + TOLD
                    for file, size in zip(acknowledged, before, strict=True)  # noqa: B023 - at once
                )
            )
        stop.touch()
        assert [each.wait(60) for each in running] == [0] * WRITERS

        sf = Storify(url, save_interval=None)
        db = sf["numbers"]
        total, outage_s = 0, 0.0
        for number, file in enumerate(acknowledged):
            lines = [line.split() for line in file.read_text().splitlines()]
            last = int(lines[-1][0])
            times = [float(time) for _, time in lines]
            gaps = [b - a for a, b in pairwise(times)]
            outage_s = max(outage_s, *gaps)
            total += len(lines)
            assert db[f"{number} one"] == db[f"{number} two"] == last
        assert db._session.engine.verify() == []
        sf.close()
        record(f"{total:,} flushes, {FAILOVERS} failovers, {outage_s:.1f} s at most")
    finally:
        stop.touch()
        for server in (primary, standby):
            server.stop()


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="there is no PgBouncer")
def test_a_pooler_that_mixes_transactions_is_no_obstacle():
    """PgBouncer in transaction mode: each transaction may get another connection."""
    server = Server().start()
    folder = server.folder / "pool"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host={server.folder}\n[pgbouncer]\n"
        f"listen_addr =\nlisten_port = 5432\nunix_socket_dir = {folder}\n"
        f"auth_type = trust\nauth_file = {folder}/users\npool_mode = transaction\n"
        f"default_pool_size = 8\nlogfile = {folder}/log\n"
        f"ignore_startup_parameters = extra_float_digits\n"
    )
    program = shutil.which("pgbouncer") or ""
    user = "nobody" if os.geteuid() == 0 else None
    bouncer = subprocess.Popen(  # noqa: S603 - our own
        [program, str(folder / "ini")],
        user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until((folder / ".s.PGSQL.5432").exists)
        host = str(server.folder)
        url = server.url.replace(f"host={host}", f"host={host}/pool")
        count_through(url)
    finally:
        bouncer.send_signal(signal.SIGTERM)
        bouncer.wait()
        server.stop()


def count(db):
    """Add one."""
    db["n"] = db.get("n", 0) + 1


def count_through(url):
    """Write, in transactions and without, from several connections at once."""
    schema = fresh_schema()
    catalog = servers.catalog(schema, root_format=FORMAT, url=url)
    key = FORMAT.encode("value")
    engines = [
        servers.catalog(schema, root_format=FORMAT, url=url).engine("users")
        for _ in range(4)
    ]
    version = engines[0].commit(Commit(None, [(key, b"\x00")]))
    for number in range(1, 60):
        engine = engines[number % 4]
        with engine.locked():
            version = engine.commit(Commit(version, [(key, bytes([number]))]))
        for each in engines:
            assert whole_of(each.open())[-1] == number
    catalog.close()
    sf = Storify(url, schema=schema, save_interval=None)
    db = sf["counter"]
    for _ in range(30):
        db.run(count)
    assert db["n"] == 30
    assert len(db.backups.list) == 5
    sf.close()
