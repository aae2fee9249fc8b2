"""The past: states that are kept, swept and erased; the end of a database.

A state is kept by what each commit after it has replaced. When states between two that
are kept are forgotten, of what was replaced since the first one only the first of each
key tells anything.
"""

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from storify.engine.moment import stamp_of
from storify.engine.postgres.driver import psycopg_of
from storify.engine.postgres.head import Head, State
from storify.engine.postgres.link import Link, cursor_of
from storify.engine.postgres.tables import Tables
from storify.engine.protocol import Format

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

__all__ = [
    "UNSAVED",
    "backups_of",
    "bury",
    "erase",
    "is_placed_after",
    "is_whole",
    "purge",
    "sweep",
    "verify",
    "write_file",
]

UNSAVED: Final = ".unsaved"
"""How the id of a state ends that could not be committed."""

GRACE: Final = timedelta(minutes=15)
"""How long a state is kept at least: somebody may be reading it."""

#: Where the places of one commit begin, as in `commit`.
_PLACES: Final = 1 << 24


def is_placed_after(pos: int, seq: int) -> bool:
    """Whether a key got its place in the order after a state."""
    return pos >= (seq + 1) * _PLACES


def backups_of(head: Head, states: Sequence[State]) -> list[State]:
    """The states that are backups: all that are kept, but perhaps the present one."""
    if not head.alive or head.copied == head.seq:
        return list(states)
    return [each for each in states if each.seq != head.seq]


# -- the end of a database -------------------------------------------------------------

_BURY = (
    """
insert into @change (db, seq, key, long, value, pos)
select db, %(next)s, key, long, value, pos from @entry
where db = %(db)s and value is not null
""",
    """
update @entry set value = null, seq = %(next)s where db = %(db)s and value is not null
""",
    """
update @database set alive = false, seq = %(next)s, token = %(token)s,
    floor = %(next)s where id = %(db)s
""",
)


def bury(connection: "Connection", tables: Tables, head: Head) -> None:
    """Remove a database; what it was joins the past."""
    asked = {"db": head.id, "next": head.seq + 1, "token": token_hex(12)}
    for statement in _BURY:
        connection.execute(tables.sql(statement), asked)


def erase(connection: "Connection", tables: Tables, head: Head) -> None:
    """Remove a database and its past."""
    for table in ("entry", "change", "state", "unsaved"):
        statement = f"delete from @{table} where db = %s"  # noqa: S608 - no input
        connection.execute(tables.sql(statement), (head.id,))
    connection.execute(tables.sql("delete from @database where id = %s"), (head.id,))


_PURGE = (
    "delete from @change where db = %(db)s",
    "delete from @unsaved where db = %(db)s",
    "delete from @state where db = %(db)s and seq <> %(seq)s",
    "delete from @entry where db = %(db)s and value is null",
    "update @database set floor = seq, copied = 0 where id = %(db)s",
)


def purge(connection: "Connection", tables: Tables, head: Head) -> None:
    """Remove the past of a database that is there."""
    for statement in _PURGE:
        connection.execute(tables.sql(statement), {"db": head.id, "seq": head.seq})


# -- sweeping --------------------------------------------------------------------------

_SWEEP = (
    # Others commit meanwhile: what they add is younger than all that goes here.
    """
delete from @state where db = %(db)s and not kept and stamp < %(until)s
and seq < (select seq from @database where id = %(db)s)
""",
    """
delete from @change c where db = %(db)s and seq <= %(last)s and (
    seq <= (select min(seq) from @state where db = %(db)s)
    or exists (
        select from @change d where d.db = c.db and d.key = c.key and d.seq < c.seq
        and d.seq > (select max(s.seq) from @state s
                     where s.db = c.db and s.seq < c.seq)
    )
)
""",
    """
update @database set floor = greatest(floor, (
    select min(seq) from @state where db = %(db)s
)) where id = %(db)s
""",
    """
delete from @entry e using @database d
where e.db = %(db)s and d.id = e.db and e.value is null and e.seq <= d.floor
""",
)
_LAST = """
select min(later.seq) from @state gone join @state later
on later.db = gone.db and later.seq > gone.seq
where gone.db = %(db)s and not gone.kept and gone.stamp < %(until)s
and not exists (select from @state n where n.db = gone.db and n.seq > gone.seq
                and not n.kept and n.stamp < %(until)s)
"""


def sweep(link: Link, tables: Tables, db: int, now: datetime) -> bool:
    """Forget the states that are not kept, if nobody can be reading them any more.

    It serves space alone, so an error is no reason to fail: the next one does it.

    Returns:
        Whether there was something.
    """
    asked: dict[str, Any] = {"db": db, "until": stamp_of(now - GRACE)}
    try:
        # Each statement by itself: no commit waits for them all.
        with link.connection() as connection, cursor_of(connection) as cursor:
            row = cursor.execute(tables.sql(_LAST), asked).fetchone()
            if row is None or row[0] is None:
                return False
            for statement in _SWEEP:
                cursor.execute(tables.sql(statement), {**asked, "last": row[0]})
    except psycopg_of().Error:
        return False
    return True


# -- when there is no server -----------------------------------------------------------


def write_file(name: str, payload: bytes) -> str:
    """Write a new file in the current folder, for its owner alone; give its path.

    Raises:
        OSError: It cannot be written.
    """
    path = os.path.abspath(name)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(fd)
    return path


# -- verifying -------------------------------------------------------------------------


def is_whole(root_format: Format, key: bytes, value: bytes) -> bool:
    """Whether an entry can be read."""
    try:
        root_format.check(root_format.join({key: value}))
    except ValueError:
        return False
    return True


_PAGES = {
    "entry": """
select e.key, e.seq, e.long, e.value from @entry e join @database d on d.id = e.db
where d.name = %(name)s and (e.key, e.seq) > (%(key)b, %(seq)s)
order by e.key, e.seq limit 1000
""",
    "change": """
select e.key, e.seq, e.long, e.value from @change e join @database d on d.id = e.db
where d.name = %(name)s and (e.key, e.seq) > (%(key)b, %(seq)s)
order by e.key, e.seq limit 1000
""",
}
_COUNTS = """
select s.count, (select count(*) from @entry e where e.db = d.id and e.value is not null)
from @database d join @state s on s.db = d.id and s.seq = d.seq
where d.name = %s and d.alive
"""


def verify(
    run: "Callable[[str, Callable[[Connection], list[Any]]], list[Any]]",
    tables: Tables,
    name: str,
    root_format: Format,
) -> list[tuple[str, str]]:
    """Read all that is kept of a database and give what is wrong, and where."""
    found: list[tuple[str, str]] = []
    for table, page in _PAGES.items():
        key, seq = b"", -1
        while True:
            asked = {"name": name, "key": key, "seq": seq}
            rows = run("verify", _asking(tables.sql(page), asked))
            if not rows:
                break
            for digest, number, long, value in rows:
                whole = digest if long is None else long
                if value is not None and not is_whole(root_format, whole, value):
                    found.append((table, f"the entry of key {whole[:60]!r} is damaged"))
                key, seq = digest, number
    for said, there in run("verify", _asking(tables.sql(_COUNTS), (name,))):
        if said != there:
            found.append(("state", f"it has {there} keys, and is to have {said}"))
    return found


def _asking(statement: bytes, asked: Any) -> "Callable[[Connection], list[Any]]":
    def ask(connection: "Connection") -> list[Any]:
        with cursor_of(connection) as cursor:
            return cursor.execute(statement, asked).fetchall()

    return ask
