"""The same program on files and on a PostgreSQL server, and a server that dies.

``make demo-postgres`` runs this. It starts a server of its own, with a standby.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

from storify import Model, Storify
from storify.testing._connection import Server, why_no_server


class Account(Model):
    """A declared model."""

    owner: str
    balance: int = 0


def program(root: str | Path) -> None:
    """Move some money; nothing in it says where the data are."""
    with Storify(root, models=[Account]) as sf:
        accounts = sf.get_db("accounts", model=Account)
        if not accounts:
            accounts.update(ann=Account("Ann", 100), bob=Account("Bob"))
            accounts.flush()
        with accounts.transaction():
            accounts["ann"].balance -= 10
            accounts["bob"].balance += 10
        balances = {key: each.balance for key, each in accounts.items()}
        print(f"    {sf.root}\n    {balances}, {len(accounts.backups.list)} backups")


def wait_for_standby(primary: Server) -> None:
    """Wait until commits are confirmed by the standby."""
    question = "select 1 from pg_stat_replication where sync_state = 'sync'"
    while not primary.execute(question):
        time.sleep(0.05)


def main() -> None:
    """Run the program on both, copy between them, and kill the server."""
    reason = why_no_server()
    if reason is not None:
        sys.exit(reason)
    folder = Path(tempfile.mkdtemp(prefix="storify-demo-"))
    settings = {"wal_level": "replica", "hot_standby": "on"}
    primary = Server(settings).start()
    primary.reload(synchronous_standby_names="s1")
    standby = Server(settings, copy_of=primary, name="s1").start()
    wait_for_standby(primary)
    url = primary.url_of(standby)
    try:
        print("1. The program on files")
        program(folder / "data")
        print("2. Its data copied to a server, with their past")
        with Storify(folder / "data") as files, Storify(url) as server:
            print(f"    {files.copy_to(server)}")
        print("3. The same program on the server")
        program(url)
        print("4. The primary is killed, the standby promoted; the program runs again")
        primary.kill()
        standby.promote()
        standby.reload(synchronous_standby_names="")
        program(url)
        print("5. And back to files")
        with Storify(url) as server, Storify(folder / "back") as files:
            print(f"    {server.copy_to(files)}")
        program(folder / "back")
    finally:
        primary.stop()
        standby.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
