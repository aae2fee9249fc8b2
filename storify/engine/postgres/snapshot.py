"""A state on the server that is asked for single keys, or read in order by pages.

Each question is one statement, which sees one moment of the server. What was not
changed since is the present entry, and stands there for ever; of what was, the first
change since has what was replaced, as long as that is kept.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from storify.engine.postgres.head import LIST, MIXED, NONE, number_of, version_of
from storify.engine.postgres.keys import index_key
from storify.engine.postgres.link import Link, cursor_of
from storify.engine.postgres.tables import Tables
from storify.engine.protocol import Version
from storify.exceptions import StaleStateError
from storify.threads import uncut

if TYPE_CHECKING:
    import psycopg

__all__ = ["ServerSnapshot"]

# Of the key now, of the first change since, whether the state is kept, and from which
# one on it is known what was deleted.
_GET = """
select e.seq, e.value, c.seq, c.value,
    exists (select from @state where db = %(db)s and seq = %(seq)s
            and token = %(token)s),
    (select floor from @database where id = %(db)s)
from (values (1)) one
left join @entry e on e.db = %(db)s and e.key = %(key)b
left join lateral (
    select seq, value from @change
    where db = %(db)s and key = %(key)b and seq > %(seq)s order by seq limit 1
) c on true
"""

# The index of places leads to the next entries (`seq + 0` keeps the server from taking
# another one, and from reading all of them for each page); those that were changed since are left out, and
# come from what was replaced.
_PAGE = """
select exists (select from @state where db = %(db)s and seq = %(seq)s
               and token = %(token)s), p.*
from (values (1)) one left join lateral (
    (select pos, key, long, value from @entry e
     where db = %(db)s and pos > %(pos)s and value is not null and seq + 0 <= %(seq)s
     order by pos limit %(most)s)
    union all
    (select pos, key, long, value from @change c
     where db = %(db)s and pos > %(pos)s and value is not null and seq > %(seq)s
     and not exists (select from @change d where d.db = %(db)s and d.key = c.key
                     and d.seq > %(seq)s and d.seq < c.seq)
     order by pos limit %(most)s)
    order by pos limit %(most)s
) p on true order by p.pos
"""

#: How many entries a page has: the first few come soon, the last ones many at a time.
_FEW: Final = 64
_MANY: Final = 4096
#: So large that a page is not made larger, in bytes.
_LARGE: Final = 1 << 20


class ServerSnapshot:
    """A state on the server.

    Attributes:
        version: Names the state.
        kind: The one type of its keys.

    Args:
        link: The way to the server.
        tables: Their names.
        location: Of the database, for messages.
        db: The id of the database.
        seq: The number of the state.
        token: Of its commit.
        kind: As the state has it.
        count: The number of its keys.
    """

    def __init__(
        self,
        link: Link,
        tables: Tables,
        location: str,
        *,
        db: int,
        seq: int,
        token: str,
        kind: str,
        count: int,
    ) -> None:
        self.version: Version = version_of(seq, token)
        self.kind: str = "" if kind in {LIST, MIXED, NONE} else kind
        self._link = link
        self._location = location
        self._count = count
        self._db = db
        self._number = self._later = (seq, token)
        self._get = tables.sql(_GET)
        self._page = tables.sql(_PAGE)

    def __len__(self) -> int:
        """The number of keys."""
        return self._count

    def note_known(self, version: Version) -> None:
        """Take that whoever asks knows what was committed up to another state.

        So what is asked for may be answered out of that one, too: when this one is not
        kept any more. A program that is open for days has one snapshot all the time.
        """
        self._later = number_of(version)

    @uncut
    def get(self, key: bytes) -> bytes | None:
        """Return the bytes of a value; None if there is no such key.

        Raises:
            StaleStateError: It was changed since, and the state is not kept any more.
            OSError: The server does not answer.
        """
        for seq, token in dict.fromkeys([self._number, self._later]):
            asked = {"db": self._db, "seq": seq, "token": token, "key": index_key(key)}
            row = self._ask(self._get, asked)[0]
            now, value, then, before, is_kept, floor = row
            if then is not None and is_kept:
                return None if before is None else bytes(before)
            if now is not None and now <= seq:
                return None if value is None else bytes(value)
            if now is None and (is_kept or (floor is not None and floor <= seq)):
                return None
        raise self._gone()

    def _ask(self, statement: bytes, asked: dict[str, Any]) -> list[Any]:
        def ask(connection: "psycopg.Connection[Any]") -> list[Any]:
            with cursor_of(connection) as cursor:
                return cursor.execute(statement, asked).fetchall()

        return self._link.run("read", self._location, ask)

    def _gone(self) -> StaleStateError:
        return StaleStateError(
            f"cannot read an older state of {self._location!r}: others have changed it "
            f"since, and it is not kept any more; reload() brings the present one"
        )

    def items(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Iterate over keys and values in order, a page at a time.

        Raises:
            StaleStateError: The state is not kept any more.
            OSError: The server does not answer.
        """
        pos, most = -1, _FEW
        while True:
            rows = self._rows(pos, most)
            if not rows:
                return
            yield [
                (bytes(key if long is None else long), bytes(value))
                for _, key, long, value in rows
            ]
            if len(rows) < most:
                return
            pos = rows[-1][0]
            size = sum(len(row[3]) for row in rows)
            most = min(most * 4, _MANY) if size < _LARGE else max(most // 2, 1)

    @uncut
    def _rows(self, pos: int, most: int) -> list[Any]:
        for seq, token in dict.fromkeys([self._number, self._later]):
            place = {"db": self._db, "seq": seq, "token": token}
            rows = self._ask(self._page, {**place, "pos": pos, "most": most})
            if rows[0][0]:
                return [row[1:] for row in rows if row[1] is not None]
        raise self._gone()

    def close(self) -> None:
        """Nothing is held between two questions."""
