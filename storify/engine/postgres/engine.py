"""The engine: one database on a server."""

import errno
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

from storify.engine.moment import (
    Keep,
    Moment,
    current_at,
    dropped,
    moment_of,
    next_moment,
    stamp_of,
)
from storify.engine.postgres import past
from storify.engine.postgres.commit import do_commit, plan_of
from storify.engine.postgres.head import Head, State, number_of
from storify.engine.postgres.link import Link, cursor_of
from storify.engine.postgres.lock import Block, Place, place_of
from storify.engine.postgres.snapshot import ServerSnapshot
from storify.engine.postgres.tables import Tables
from storify.engine.protocol import (
    BackupInfo,
    Change,
    Clock,
    Commit,
    Format,
    Newer,
    Problem,
    Salvaged,
    Snapshot,
    StaleVersionError,
    Version,
    WholeSnapshot,
)
from storify.exceptions import DatabaseReadOnlyError
from storify.threads import InTurn, uncut

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

__all__ = ["PostgresEngine"]

T = TypeVar("T")

#: How many changes are read one by one; more are a whole state.
_MOST_NEWS: Final = 100_000
#: After how many commits of one engine what is not kept is swept.
_SWEEP_EVERY: Final = 64

# All in one statement, so that it sees one moment.
_NEWS = """
select d.seq, d.token, d.alive, e.key, e.long, e.value, e.pos, (
    select c.value is not null from @change c
    where c.db = e.db and c.key = e.key and c.seq > %(seq)s order by c.seq limit 1
)
from @database d
join @state s on s.db = d.id and s.seq = %(seq)s and s.token = %(token)s
left join @entry e on e.db = d.id and e.seq > %(seq)s
where d.name = %(name)s and d.floor <= %(seq)s
order by e.pos limit %(most)s
"""

_FORGET = """
update @state set kept = false where db = %(db)s and seq = any(%(gone)s)
"""
_MAKE = "insert into @database (name) values (%s) on conflict do nothing"
_MAKE_LOCK = "insert into @lock (name) values (%s) on conflict do nothing"


class PostgresEngine:
    """One database on a server.

    Args:
        name: Of the database.
        link: The way to the server.
        tables: Their names.
        location: Of the catalog, for messages.
        root_format: How a root parts into entries.
        clock: Gives the times of backups.
        lock_timeout_s: How long to wait for another writer.
        readonly: Refuse to commit.
        keep: Which older states are kept.
    """

    def __init__(
        self,
        name: str,
        link: Link,
        tables: Tables,
        *,
        location: str,
        root_format: Format,
        clock: Clock,
        lock_timeout_s: float,
        readonly: bool = False,
        keep: Keep | int | None = None,
    ) -> None:
        self.keep: Keep = Keep.of(keep)
        self.streams: bool = True
        self._name = name
        self._link = link
        self._tables = tables
        self._location = f"{location}{tables.fragment}{name}"
        self._format = root_format
        self._clock = clock
        self._lock_timeout_s = lock_timeout_s
        self._readonly = readonly
        self._place: Place = place_of(self.identity)
        #: The present state, and what is kept, as it was after the last commit.
        self._head: Head | None = None
        self._states: list[State] = []
        self._commits = 0
        self._given: WeakSet[ServerSnapshot] = WeakSet()

    @property
    def location(self) -> str:
        """The URL without its password, and the name."""
        return self._location

    @property
    def identity(self) -> Hashable:
        """Of the server, the schema and the name."""
        return self._link.address.identity(), self._tables.schema, self._name

    @property
    def backup_location(self) -> str:
        """Backups have no place of their own here."""
        return f"{self._location}/backups"

    # -- reading -----------------------------------------------------------------------

    def _run(self, doing: str, work: "Callable[[Connection], T]") -> T:
        return self._link.run(doing, self._location, work)

    def _read_head(self) -> Head | None:
        head = self._run("read", lambda link: Head.of(link, self._tables, self._name))
        return head if head is not None and head.alive else None

    def _snapshot_of(self, db: int, state: State) -> ServerSnapshot:
        return ServerSnapshot(
            self._link,
            self._tables,
            self._location,
            db=db,
            seq=state.seq,
            token=state.token,
            kind=state.kind,
            count=state.keys,
        )

    @uncut
    def open(self) -> ServerSnapshot | None:
        """Open the present state; None if nothing was committed."""
        head = self._read_head()
        if head is None:
            return None
        snapshot = self._snapshot_of(head.id, head.state())
        self._given.add(snapshot)
        return snapshot

    @uncut
    def committed_at(self) -> datetime | None:
        """The time of the present state's commit."""
        head = self._read_head()
        return None if head is None else head.state().moment.clock

    @uncut
    def changes_since(self, version: Version | None) -> Newer | None:
        """The changes committed since, as far back as they are known."""
        head = self._read_head()
        if head is None:
            return None if version is None else Newer(None, None)
        if version is not None:
            self._note_known(version)
        if head.version == version:
            return None
        if version is None:
            return Newer(head.version, None)
        seq, token = number_of(version)
        return self._changes_since(seq, token) or Newer(head.version, None)

    def _changes_since(self, seq: int, token: str) -> Newer | None:
        asked = {"seq": seq, "token": token, "name": self._name, "most": _MOST_NEWS + 1}

        def ask(connection: "Connection") -> list[Any]:
            with cursor_of(connection) as cursor:
                return cursor.execute(self._tables.sql(_NEWS), asked).fetchall()

        rows = self._run("read", ask)
        if not rows or len(rows) > _MOST_NEWS:
            return None
        now, its_token, is_alive = rows[0][:3]
        if not is_alive:
            return Newer(None, None)
        return Newer(Version(f"{now}.{its_token}"), _changes_of(rows, seq))

    def _note_known(self, version: Version) -> None:
        for snapshot in list(self._given):
            snapshot.note_known(version)

    # -- writing -----------------------------------------------------------------------

    @uncut
    def commit(self, commit: Commit) -> Version:
        """Bring the changes into the present state.

        Raises:
            StaleVersionError: It is no longer at ``commit.base``.
            DatabaseReadOnlyError: Opened with ``readonly=True``.
            DatabaseLockedError: Another writer held the lock for too long.
            OSError: Nothing was written, or it is not known: the message says so.
        """
        with self._writing("commit to"):
            base = self._base(commit.base)
            moment = self._next_moment()
            gone = self._dropped(moment.clock)
            plan = plan_of(
                base, commit.changes, moment, gone, self._format, self._location
            )
            self._head = None
            count = do_commit(
                self._link,
                self._tables,
                plan,
                name=self._name,
                location=self._location,
                has_lock=self._place.has_row,
                timeout_s=self._lock_timeout_s,
            )
            self._head = plan.head(count)
            self._states = [
                *(each for each in self._states if each.seq not in gone),
                plan.state(count),
            ]
            self._note_known(plan.version)
            self._sweep_now_and_then()
            return plan.version

    def _base(self, version: Version | None) -> Head:
        """The present state, which is to be *version*.

        Raises:
            StaleVersionError: It is another one.
        """
        head = self._head
        if head is None or head.version != version:
            head = self._look(make=version is None)
        if head is None or head.version != version:
            msg = f"{self._location!r} was changed since version {version}"
            raise StaleVersionError(msg)
        return head

    def _look(self, *, make: bool) -> Head | None:
        """Read the present state and what is kept, from a row that is made if need be."""

        def look(connection: "Connection") -> tuple[Head | None, list[State]]:
            head = Head.of(connection, self._tables, self._name)
            if head is None and make:
                for statement in (_MAKE, _MAKE_LOCK):
                    connection.execute(self._tables.sql(statement), (self._name,))
                head = Head.of(connection, self._tables, self._name)
            states: list[State] = []
            if head is not None:
                states = State.all_of(connection, self._tables, head)
            return head, states

        self._head, self._states = self._run("read", look)
        return self._head

    def _next_moment(self) -> Moment:
        """The moment of what comes now, later than every state known."""
        if not self._states:
            return next_moment(None, self._clock())
        moments = [each.moment for each in self._states]
        order = max(each.order for each in moments)
        return next_moment(moments[-1]._replace(order=order), self._clock())

    def _dropped(self, now: datetime) -> list[int]:
        """The states that are not kept when another one follows."""
        states = self._states[::-1]
        times = [each.moment.clock for each in states]
        gone = {states[place].seq for place in dropped(times, self.keep, now)}
        if not self.keep.last and states:
            gone.add(states[0].seq)
        return sorted(gone)

    def _sweep_now_and_then(self) -> None:
        self._commits += 1
        if self._commits % _SWEEP_EVERY == 0 and self._head is not None:
            past.sweep(self._link, self._tables, self._head.id, self._clock())

    def sync(self) -> None:
        """Each commit is durable already."""

    def unsynced(self) -> bool:
        """Each commit is durable already."""
        return False

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return not self._readonly

    # -- the lock ----------------------------------------------------------------------

    def locked(self) -> AbstractContextManager[None]:
        """Keep other callers out, of all machines; see `Engine.locked`."""
        self._require_writable("lock")
        return Block(
            self._place,
            self._link,
            self._tables,
            name=self._name,
            location=self._location,
            timeout_s=self._lock_timeout_s,
        )

    def is_locked_by_caller(self) -> bool:
        """Whether the caller is inside `locked`."""
        return self._place.lock.is_mine() and self._place.has_row()

    def _writing(self, doing: str) -> InTurn[None]:
        self._require_writable(doing)
        return InTurn(self._place.lock, None, self._lock_timeout_s, self._location)

    def _require_writable(self, doing: str) -> None:
        if self._readonly:
            msg = f"cannot {doing} {self._location!r}: opened with readonly=True"
            raise DatabaseReadOnlyError(msg)

    def _change(self, doing: str, work: "Callable[[Connection, Head], T]") -> T | None:
        """Do something with the row of the database, in a transaction that has it.

        Returns:
            None if there is no such row.

        Raises:
            OSError: Nothing was done.
        """

        def change(connection: "Connection") -> T | None:
            limit = f"{max(int(self._lock_timeout_s * 1000), 1)}ms"
            with connection.transaction(), cursor_of(connection) as cursor:
                cursor.execute("select set_config('lock_timeout', %s, true)", (limit,))
                if not self._place.has_row():
                    cursor.execute(
                        self._tables.sql(
                            "select from @lock where name = %s for update"
                        ),
                        (self._name,),
                    )
                cursor.execute(
                    self._tables.sql(
                        "select from @database where name = %s for update"
                    ),
                    (self._name,),
                )
                head = Head.of(connection, self._tables, self._name)
                return None if head is None else work(connection, head)

        with self._writing(doing):
            self._head = None
            return self._run(doing, change)

    # -- the past ----------------------------------------------------------------------

    @uncut
    def backup(self) -> str | None:
        """Count the present state as a backup from now on; give its id."""

        def keep(connection: "Connection", head: Head) -> str | None:
            if not head.alive:
                return None
            self._states = State.all_of(connection, self._tables, head)
            # Not the present one, of which nothing younger has the content.
            gone = [seq for seq in self._dropped(self._clock()) if seq != head.seq]
            asked = {"db": head.id, "gone": gone}
            for statement in (
                "update @database set copied = seq where id = %(db)s",
                _FORGET,
            ):
                connection.execute(self._tables.sql(statement), asked)
            return head.state().id

        return self._change("back up", keep)

    @uncut
    def _past(self) -> tuple[Head | None, list[State], list[tuple[str, int]]]:
        def read(
            connection: "Connection",
        ) -> tuple[Head | None, list[State], list[tuple[str, int]]]:
            head = Head.of(connection, self._tables, self._name)
            if head is None:
                return None, [], []
            states = State.all_of(connection, self._tables, head)
            with cursor_of(connection) as cursor:
                cursor.execute(
                    self._tables.sql(
                        "select stamp, length(payload) from @unsaved where db = %s"
                    ),
                    (head.id,),
                )
                return head, states, cursor.fetchall()

        return self._run("read", read)

    def backups(self) -> list[BackupInfo]:
        """The past, newest first."""
        head, states, unsaved = self._past()
        if head is None:
            return []
        infos = [
            BackupInfo(each.id, each.moment.clock, max(each.size, 1), "snapshot")
            for each in past.backups_of(head, states)
        ]
        for stamp, size in unsaved:
            moment = moment_of(stamp)
            time = None if moment is None else moment.clock
            infos.append(BackupInfo(f"{stamp}{past.UNSAVED}", time, size, "unsaved"))
        return sorted(infos, key=lambda info: info.id, reverse=True)

    def backup_path(self, backup_id: str) -> str:
        """A URL of the backup, for messages only.

        Raises:
            FileNotFoundError: There is no such backup.
        """
        if backup_id not in {info.id for info in self.backups()}:
            raise _missing(backup_id)
        return f"{self.backup_location}/{backup_id}"

    def state(self, which: str | datetime) -> Snapshot:
        """Open an older state.

        Raises:
            As `Engine.state`.
        """
        if isinstance(which, datetime):
            return self._state_at(which)
        if which.endswith(past.UNSAVED):
            payload = self._read_unsaved(which)
            return WholeSnapshot(Version(which), self._format.split(payload))
        head, states, _ = self._past()
        for each in [] if head is None else past.backups_of(head, states):
            if head is not None and each.id == which:
                return self._snapshot_of(head.id, each)
        raise _missing(which)

    @uncut
    def _read_unsaved(self, backup_id: str) -> bytes:
        asked = self._name, backup_id.removesuffix(past.UNSAVED)

        def read(connection: "Connection") -> Any:
            with cursor_of(connection) as cursor:
                cursor.execute(
                    self._tables.sql(
                        "select u.payload from @unsaved u join @database d "
                        "on d.id = u.db where d.name = %s and u.stamp = %s"
                    ),
                    asked,
                )
                return cursor.fetchone()

        row = self._run("read", read)
        if row is None:
            raise _missing(backup_id)
        return bytes(row[0])

    def _state_at(self, time: datetime) -> ServerSnapshot:
        head, states, _ = self._past()
        moments = [each.moment for each in states]
        place = current_at(moments, time, self._clock())
        if place is not None and head is not None:
            later = states[place + 1 : place + 2]
            gap = any(each.seq - states[place].seq > 1 + each.anew for each in later)
            if not gap or moments[place].clock == time:
                return self._snapshot_of(head.id, states[place])
        msg = f"no state of {time} is kept"
        raise FileNotFoundError(errno.ENOENT, msg, self._location)

    def verify(self) -> list[Problem]:
        """Read all entries, and what they replaced, and give what is wrong."""
        found = past.verify(self._run, self._tables, self._name, self._format)
        return [Problem(f"{self._location}/{where}", what) for where, what in found]

    def salvage(self) -> Salvaged | None:
        """All entries that can be read."""
        snapshot = self.open()
        if snapshot is None:
            return None
        entries: dict[bytes, bytes] = {}
        lost: list[bytes | int] = []
        for page in snapshot.items():
            for key, value in page:
                if past.is_whole(self._format, key, value):
                    entries[key] = value
                else:
                    lost.append(key)
        return Salvaged(entries, lost)

    @uncut
    def save_unsaved(self, payload: bytes) -> str:
        """Keep a state that cannot be committed: beside the past, or else in a file.

        The server may be what is in the way. The file is in the current folder.
        """
        try:
            return self._save_unsaved(payload)
        except OSError:
            stamp = stamp_of(self._clock())
            return past.write_file(f"{self._name}.{stamp}.unsaved.mpack", payload)

    def _save_unsaved(self, payload: bytes) -> str:
        head = self._look(make=True)
        if head is None:
            raise _missing(self._name)
        _, states, unsaved = self._past()
        known = [each.moment for each in states]
        known += [moment for stamp, _ in unsaved if (moment := moment_of(stamp))]
        stamp = stamp_of(next_moment(max(known, default=None), self._clock()).order)
        statement = self._tables.sql(
            "insert into @unsaved (db, stamp, payload) values (%s, %s, %b) "
            "on conflict do nothing"
        )
        self._run(
            "save", lambda link: link.execute(statement, (head.id, stamp, payload))
        )
        return f"{self.backup_location}/{stamp}{past.UNSAVED}"

    @uncut
    def set_aside(self) -> str | None:
        """Remove the database; its state joins the backups, as it is."""

        def leave(connection: "Connection", head: Head) -> str | None:
            if not head.alive:
                return None
            past.bury(connection, self._tables, head)
            return f"{self.backup_location}/{head.state().id}"

        return self._change("set aside", leave)

    @uncut
    def destroy(self, *, backups: bool = False) -> None:
        """Remove the database; its state joins the past, or all is erased."""

        def destroy(connection: "Connection", head: Head) -> None:
            if backups:
                past.erase(connection, self._tables, head)
            elif head.alive:
                past.bury(connection, self._tables, head)

        self._change("destroy", destroy)

    @uncut
    def purge(self) -> None:
        """Erase the past; the present state stays."""

        def purge(connection: "Connection", head: Head) -> None:
            if head.alive:
                past.purge(connection, self._tables, head)
            else:
                past.erase(connection, self._tables, head)

        self._change("purge", purge)

    def is_worth_folding(self) -> bool:
        """There is nothing to fold."""
        return False

    def close(self) -> None:
        """Nothing is held; the connections are the catalog's."""


def _missing(backup_id: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "no such backup", backup_id)


def _changes_of(rows: list[Any], seq: int) -> list[Change]:
    """The changes since a state, by the rows of the entries that were changed."""
    gone: list[Change] = []
    later: list[Change] = []
    for _, _, _, key, long, value, pos, was_there in rows:
        if key is None:
            continue
        name = bytes(key if long is None else long)
        if value is None:
            if was_there:
                gone.append((name, None))
            continue
        if was_there and past.is_placed_after(pos, seq):
            later.append((name, None))
        later.append((name, bytes(value)))
    return [*gone, *later]
