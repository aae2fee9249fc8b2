"""The present state of a database on a server, as a row tells it."""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from storify.engine.moment import Moment, moment_of
from storify.engine.postgres.link import cursor_of
from storify.engine.postgres.tables import Tables
from storify.engine.protocol import Version

if TYPE_CHECKING:
    import psycopg

__all__ = ["LIST", "MIXED", "NONE", "Head", "State", "number_of", "version_of"]

#: What `storify_state.kind` says beside the types of keys.
MIXED: Final = ""
NONE: Final = "none"
LIST: Final = "list"

# A database that never was committed has no row, or one with no state.
_HEAD = """
select d.id, d.seq, d.token, d.alive, d.floor, d.copied, s.stamp, s.kind, s.count
from @database d left join @state s on s.db = d.id and s.seq = d.seq
where d.name = %s
"""

_STATES = """
select seq, token, stamp, kind, count, size, anew from @state
where db = %s and (kept or seq = %s) order by seq
"""


class Head(NamedTuple):
    """The present state.

    Attributes:
        id: Of the database.
        seq: How many commits there were.
        token: Of the last one, drawn by chance.
        alive: Whether it exists; else it was removed, or only prepared.
        floor: From which state on it is known what was committed since.
        copied: Which state counts as a backup though it is the present one.
        stamp: When it was committed.
        kind: The one type of its keys.
        keys: The number of its keys.
    """

    id: int
    seq: int
    token: str
    alive: bool
    floor: int
    copied: int
    stamp: str | None
    kind: str | None
    keys: int | None

    @property
    def version(self) -> Version | None:
        """The name of the state; None if there is none."""
        return version_of(self.seq, self.token) if self.alive else None

    def state(self) -> "State":
        """The same as a state that is kept."""
        stamp, kind, keys = self.stamp or "", self.kind or MIXED, self.keys or 0
        return State(self.seq, self.token, stamp, kind, keys, 0, anew=False)

    @classmethod
    def of(
        cls, connection: "psycopg.Connection[Any]", tables: Tables, name: str
    ) -> "Head | None":
        """Read it."""
        with cursor_of(connection) as cursor:
            row = cursor.execute(tables.sql(_HEAD), (name,)).fetchone()
        return None if row is None else cls(*row)


class State(NamedTuple):
    """A state that is kept.

    Attributes:
        seq: Its number.
        token: Of its commit.
        stamp: When that was.
        kind: The one type of its keys.
        keys: Their number.
        size: Of what the commit changed.
        anew: Whether there was no database before it.
    """

    seq: int
    token: str
    stamp: str
    kind: str
    keys: int
    size: int
    anew: bool

    @property
    def id(self) -> str:
        """The name of the state as a backup; later ones sort after."""
        return f"{self.stamp}-{self.seq:08}"

    @property
    def moment(self) -> Moment:
        """The time of its commit."""
        moment = moment_of(self.stamp)
        if moment is None:
            msg = f"no time is {self.stamp!r}, as state {self.seq} has it"
            raise OSError(msg)
        return moment

    @classmethod
    def all_of(
        cls, connection: "psycopg.Connection[Any]", tables: Tables, head: Head
    ) -> "list[State]":
        """Read those that are kept, and the present one, oldest first."""
        with cursor_of(connection) as cursor:
            rows = cursor.execute(tables.sql(_STATES), (head.id, head.seq)).fetchall()
        return [cls(*row) for row in rows]


def version_of(seq: int, token: str) -> Version:
    """The name of a state."""
    return Version(f"{seq}.{token}")


def number_of(version: Version) -> tuple[int, str]:
    """The number and token in a version; -1 for what is none of ours."""
    seq, _, token = version.partition(".")
    return (int(seq), token) if seq.isdecimal() else (-1, "")
