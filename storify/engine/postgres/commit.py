"""A commit as one transaction that compares the version and sets it.

::

    begin
      the lock row          whoever is inside `locked` holds it
      storify_database      set seq = seq + 1 where seq = base: the writers of one
                            database follow each other here
      storify_change        what is replaced
      storify_entry         what replaces it
      storify_state         when, and how many keys there are
    commit

All of it is known before and goes to the server at once, so that the row is locked for
one round trip. Each statement asks for the token of this commit in the row: if the
base was an old one, it finds another there and does nothing.

A connection that dies in the midst leaves it open whether it was done. The next one
tells by the token.
"""

import errno
from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from storify.engine.moment import stamp_of
from storify.engine.postgres.driver import failure, psycopg_of
from storify.engine.postgres.head import LIST, MIXED, NONE, Head, State, version_of
from storify.engine.postgres.keys import index_key, long_key
from storify.engine.postgres.link import Link, Notes, cursor_of
from storify.engine.postgres.tables import Tables
from storify.engine.protocol import Changes, Format, StaleVersionError, Version

if TYPE_CHECKING:
    import psycopg

    from storify.engine.moment import Moment

    Cursor = psycopg.Cursor[Any]

__all__ = ["Plan", "Sets", "combined", "do_commit", "plan_of"]

LARGEST: Final = 256 << 20
"""The largest value that is taken, in bytes."""

#: How many entries, or bytes, go in one statement.
_MANY: Final = 2000
_LARGE: Final = 8 << 20
#: Where the places of one commit begin, in the order of all entries.
_PLACES: Final = 1 << 24

_TIMEOUT = "select set_config('lock_timeout', %s, true)"
_LOCK = "select from @lock where name = %s for update"
# `limit 1` lets the server look each key up, instead of reading all there are: it knows
# little of a table that was filled a moment ago.
# Where the row has the token of this commit: $ours.
_SWAP = """
update @database set seq = seq + 1, token = %(new)s, alive = true
where id = %(db)s and name = %(name)s and seq = %(base)s and token = %(token)s
returning seq
"""
_OURS = "exists (select from @database where id = %(db)s and token = %(new)s)"
_REPLACED = """
insert into @change (db, seq, key, long, value, pos)
select %(db)s, %(seq)s, u.key, e.long, e.value, e.pos
from unnest(%(keys)b::bytea[]) u(key)
left join lateral (
    select long, value, pos from @entry where db = %(db)s and key = u.key limit 1
) e on true
where $ours
"""
_ALL_REPLACED = """
insert into @change (db, seq, key, long, value, pos)
select db, %(seq)s, key, long, value, pos from @entry
where db = %(db)s and value is not null and key <> all(%(keys)b::bytea[]) and $ours
"""
_CLEARED = """
update @entry set value = null, seq = %(seq)s
where db = %(db)s and value is not null and $ours
"""
_DELETED = """
update @entry set value = null, seq = %(seq)s
where db = %(db)s and key = any(%(keys)b::bytea[]) and value is not null and $ours
"""
_SET = """
insert into @entry as e (db, key, long, value, seq, pos)
select %(db)s, u.key, u.long, u.value, %(seq)s, u.pos
from unnest(%(keys)b::bytea[], %(longs)b::bytea[], %(values)b::bytea[],
            %(places)b::bigint[]) u(key, long, value, pos)
where $ours
on conflict (db, key) do update set value = excluded.value, seq = excluded.seq,
    pos = case when e.value is null then excluded.pos else e.pos end
"""
_STATE = """
insert into @state (db, seq, token, stamp, kind, count, size, anew)
select %(db)s, %(seq)s, %(new)s, %(stamp)s, %(kind)s, %(count)s + (
    select coalesce(sum((e.value is not null)::int - (c.value is not null)::int), 0)
    from @change c left join lateral (
        select value from @entry where db = c.db and key = c.key limit 1
    ) e on true
    where c.db = %(db)s and c.seq = %(seq)s
), %(size)s, %(anew)s
where $ours returning count
"""
_DROPPED = """
update @state set kept = false
where db = %(db)s and seq = any(%(dropped)b::bigint[]) and $ours
"""
_COPY = "copy @entry (db, key, long, value, seq, pos) from stdin (format binary)"


class Sets(NamedTuple):
    """The sets and deletions of a commit, each key once.

    Attributes:
        gone: The keys that are deleted.
        moved: Those that are deleted and set again, and go last.
        set: The keys with their values, in order.
        clears: Whether all others are deleted: a root with keys and one without
            exclude each other.
        size: Of it all, in bytes.
    """

    gone: list[bytes]
    moved: list[bytes]
    set: dict[bytes, bytes]
    clears: bool
    size: int

    @classmethod
    def of(cls, changes: Changes, before: str) -> "Sets":
        """Bring changes, which take place in order, to what they lead to.

        Args:
            changes: The changes.
            before: The kind of the keys before.
        """
        gone: dict[bytes, None] = {}
        found: dict[bytes, bytes] = {}
        clears = False
        for key, value in changes:
            if value is None:
                found.pop(key, None)
                gone[key] = None
                continue
            if bool(key) == (b"" in found):
                found.clear()
            found[key] = value
            clears |= before not in {LIST, NONE} and not key
        clears |= before == LIST and bool(found) and b"" not in found
        size = sum(len(key) + len(value) for key, value in found.items())
        return cls(
            [key for key in gone if key not in found],
            [key for key in gone if key in found],
            found,
            clears,
            size + sum(map(len, gone)),
        )


def combined(before: str, sets: Sets, root_format: Format) -> str:
    """The one type of all keys after a commit; MIXED where it cannot be told."""
    if not sets.set:
        return before
    if b"" in sets.set:
        return LIST
    kind = root_format.keyed(sets.set)
    return kind if before in {NONE, LIST, kind} or sets.clears else MIXED


class Plan(NamedTuple):
    """A commit that is all known.

    Attributes:
        base: The state that it goes on top of.
        sets: What it does.
        kind: The one type of the keys after it.
        stamp: When it is made.
        dropped: The states that are not kept any more.
        token: By which it is told from every other one.
    """

    base: Head
    sets: Sets
    kind: str
    stamp: str
    dropped: list[int]
    token: str

    @property
    def version(self) -> Version:
        """The name of the state that it leads to."""
        return version_of(self.base.seq + 1, self.token)

    def state(self, count: int) -> State:
        """The state that it leads to."""
        anew = not self.base.alive
        where = self.base.seq + 1, self.token, self.stamp
        return State(*where, self.kind, count, self.sets.size, anew)

    def head(self, count: int) -> Head:
        """The same as the present state."""
        return self.base._replace(
            seq=self.base.seq + 1,
            token=self.token,
            alive=True,
            stamp=self.stamp,
            kind=self.kind,
            keys=count,
        )


def plan_of(
    base: Head,
    changes: Changes,
    moment: "Moment",
    dropped: list[int],
    root_format: Format,
    location: str,
) -> Plan:
    """Return what is to be done.

    Raises:
        OSError: A value is larger than any server takes.
    """
    before = base.kind if base.alive and base.kind is not None else NONE
    sets = Sets.of(changes, before)
    for key, value in sets.set.items():
        if len(value) > LARGEST:
            msg = (
                f"cannot commit: the value of key {key[:60]!r} takes "
                f"{len(value) >> 20} MB, and at most {LARGEST >> 20} can be kept on a "
                f"server; part it into several records"
            )
            raise OSError(errno.EFBIG, msg, location)
    kind = combined(before, sets, root_format)
    return Plan(base, sets, kind, stamp_of(*moment), dropped, token_hex(12))


class _Work:
    """The statements of one commit.

    Args:
        plan: What is to be done.
        tables: Their names.
        name: Of the database: another program may have renamed it.
        has_lock: Whether this caller is inside `locked`.
        timeout_s: How long to wait for others.
    """

    def __init__(
        self,
        plan: Plan,
        tables: Tables,
        name: str,
        timeout_s: float,
        *,
        has_lock: bool,
    ) -> None:
        self._plan = plan
        self._sql = tables.sql
        self._name = name
        self._has_lock = has_lock
        self._timeout_s = timeout_s
        base = plan.base
        self._place: dict[str, Any] = {
            "db": base.id,
            "base": base.seq,
            "token": base.token,
            "new": plan.token,
            "seq": base.seq + 1,
        }

    def do(self, connection: "psycopg.Connection[Any]") -> int | None:
        """Do it; give the number of keys there are then, or None if the base is old."""
        sets = self._plan.sets
        is_large = sets.size > _LARGE or len(sets.set) + len(sets.gone) > _MANY
        with cursor_of(connection) as cursor, cursor_of(connection) as last:
            if is_large:
                with connection.transaction():
                    if not self._begin(cursor).fetchone():
                        return None
                    self._replace(cursor)
                    self._end(last)
            else:
                # psycopg's own transaction would wait for an answer to each end of it.
                with connection.pipeline(), cursor_of(connection) as frame:
                    frame.execute("begin")
                    self._begin(cursor)
                    self._replace(cursor)
                    self._end(last)
                    frame.execute("commit")
            row = last.fetchone()
            return None if row is None else int(row[0])

    def _run(self, cursor: "Cursor", statement: str, **more: Any) -> "Cursor":
        return cursor.execute(
            self._sql(statement.replace("$ours", _OURS)), {**self._place, **more}
        )

    def _begin(self, cursor: "Cursor") -> "Cursor":
        limit = f"{max(int(self._timeout_s * 1000), 1)}ms"
        cursor.execute(self._sql(_TIMEOUT), (limit,))
        if not self._has_lock:
            cursor.execute(self._sql(_LOCK), (self._name,))
        return self._run(cursor, _SWAP, name=self._name)

    def _replace(self, cursor: "Cursor") -> None:
        sets, base = self._plan.sets, self._plan.base
        keys = sorted({*sets.gone, *sets.moved, *sets.set})
        if base.seq:  # there is something that could be replaced
            for some in _parts(keys, len):
                self._run(cursor, _REPLACED, keys=list(map(index_key, some)))
        if sets.clears and base.alive:
            self._run(cursor, _ALL_REPLACED, keys=list(map(index_key, keys)))
            self._run(cursor, _CLEARED)
        for some in _parts(sorted({*sets.gone, *sets.moved}), len):
            self._run(cursor, _DELETED, keys=list(map(index_key, some)))
        places = self._places()
        if not base.seq and len(places) > _MANY:
            self._copy(cursor, places)
            return
        # In the order of the keys, so that no two wait for each other.
        for some in _parts(sorted(places), self._size):
            self._run(
                cursor,
                _SET,
                keys=list(map(index_key, some)),
                longs=list(map(long_key, some)),
                values=[sets.set[key] for key in some],
                places=[places[key] for key in some],
            )

    def _places(self) -> dict[bytes, int]:
        first = (self._plan.base.seq + 1) * _PLACES
        return {key: first + at for at, key in enumerate(self._plan.sets.set)}

    def _size(self, key: bytes) -> int:
        return len(key) + len(self._plan.sets.set[key])

    def _copy(self, cursor: "Cursor", places: dict[bytes, int]) -> None:
        """Let a new database come in as one stream."""
        db, seq = self._plan.base.id, self._plan.base.seq + 1
        with cursor.copy(self._sql(_COPY)) as copy:
            copy.set_types(["int8", "bytea", "bytea", "bytea", "int8", "int8"])
            for key, value in self._plan.sets.set.items():
                row = db, index_key(key), long_key(key), value, seq, places[key]
                copy.write_row(row)

    def _end(self, cursor: "Cursor") -> None:
        plan = self._plan
        if plan.dropped:
            self._run(cursor, _DROPPED, dropped=plan.dropped)
        self._run(
            cursor,
            _STATE,
            stamp=plan.stamp,
            kind=plan.kind,
            count=plan.base.keys or 0 if plan.base.seq else len(plan.sets.set),
            size=plan.sets.size,
            anew=not plan.base.alive,
        )


def do_commit(
    link: Link,
    tables: Tables,
    plan: Plan,
    *,
    name: str,
    location: str,
    has_lock: Callable[[], bool],
    timeout_s: float,
) -> int:
    """Do what is planned, once, whatever becomes of the connection.

    Args:
        link: The way to the server.
        tables: Their names.
        plan: What is to be done.
        name: Of the database.
        location: For messages.
        has_lock: Whether the caller is inside `locked`.
        timeout_s: How long to wait for others.

    Returns:
        The number of keys there are then.

    Raises:
        StaleVersionError: The base is not the present state.
        DatabaseLockedError: Another writer held the lock for too long.
        OSError: Nothing was written, or it is not known: the message says so.
    """
    psycopg = psycopg_of()
    patience = link.patience()
    is_open = was_open = False  # whether an attempt before may have done it
    while True:
        notes = Notes()
        work = _Work(plan, tables, name, timeout_s, has_lock=has_lock())
        try:
            with link.connection() as connection:
                if is_open:
                    count = _count_if_done(connection, tables, plan)
                    if count is not None:
                        return count
                connection.add_notice_handler(notes.note)
                try:
                    is_open, was_open = True, is_open or was_open
                    count = work.do(connection)
                finally:
                    connection.remove_notice_handler(notes.note)
                if count is None and was_open:
                    # It was under way still when it was looked for.
                    count = _count_if_done(connection, tables, plan)
        except psycopg.Error as error:
            is_open = is_open and _leaves_open(error)
            if patience.is_left(error):
                continue
            raise (
                _unknown(location, error)
                if is_open
                else failure(error, "commit to", location)
            ) from error
        if notes.unconfirmed:
            raise _unknown(location, "no standby confirmed it")
        if count is None:
            msg = f"{location!r} was changed since version {plan.base.version}"
            raise StaleVersionError(msg)
        return count


def _leaves_open(error: "psycopg.Error") -> bool:
    """Whether the server went away, perhaps after it had committed."""
    return error.sqlstate is None or error.sqlstate.startswith(("57P", "08"))


_DONE = "select count from @state where db = %s and seq = %s and token = %s"


def _count_if_done(
    connection: "psycopg.Connection[Any]", tables: Tables, plan: Plan
) -> int | None:
    asked = plan.base.id, plan.base.seq + 1, plan.token
    with cursor_of(connection) as cursor:
        row = cursor.execute(tables.sql(_DONE), asked).fetchone()
    return None if row is None else int(row[0])


def _unknown(location: str, why: object) -> OSError:
    msg = (
        f"cannot tell whether a commit was done: {str(why).strip()}; it is whole or "
        f"not there at all, your changes are in memory: flush again, which finds out"
    )
    return OSError(errno.EIO, msg, location)


def _parts(
    keys: Sequence[bytes], size_of: Callable[[bytes], int]
) -> "list[list[bytes]]":
    """Part keys so that each part is for one statement."""
    parts: list[list[bytes]] = []
    size = _LARGE
    for key in keys:
        size += size_of(key)
        if size >= _LARGE or len(parts[-1]) >= _MANY:
            parts.append([])
            size = size_of(key)
        parts[-1].append(key)
    return parts
