"""The databases of one schema of a server."""

import errno
import threading
from typing import TYPE_CHECKING, Any, Final, cast

from storify.engine.moment import Keep
from storify.engine.names import check_name, check_new_name
from storify.engine.postgres.address import Address
from storify.engine.postgres.driver import failure, psycopg_of
from storify.engine.postgres.engine import PostgresEngine
from storify.engine.postgres.head import Head
from storify.engine.postgres.link import Link, Pool, cursor_of
from storify.engine.postgres.tables import SCHEMA, VERSION, Tables
from storify.engine.protocol import LOCK_TIMEOUT_S, Clock, Format, utc_now
from storify.exceptions import DatabaseLoadError
from storify.threads import uncut

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

__all__ = ["PostgresCatalog"]

#: Another process makes the same tables at the same moment.
_MADE_BY_OTHERS: Final = frozenset({"23505", "42P06", "42P07", "42710", "40P01"})
_ATTEMPTS: Final = 5


class PostgresCatalog:
    """The databases of one schema of a server.

    Args:
        url: As ``postgresql://user@host/db``; what follows ``?`` goes to libpq.
        root_format: How a root parts into entries.
        schema: The schema that the tables are in.
        pool: A `psycopg_pool.ConnectionPool` to take connections from.
        create_schema: Whether the tables are made if they are missing.
        clock: Gives the times of backups.
        lock_timeout_s: How long to wait for another writer.
        keep: Which older states are kept.

    Raises:
        ValueError: The URL or the name of the schema is none.
        ModuleNotFoundError: The driver is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        root_format: Format,
        schema: str = SCHEMA,
        pool: Pool | None = None,
        create_schema: bool = True,
        clock: Clock = utc_now,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        keep: Keep | int | None = None,
    ) -> None:
        address = Address(url)
        self._link = Link(address, pool)
        self._tables = Tables(schema)
        self._format = root_format
        self._creates = create_schema
        self._clock = clock
        self._lock_timeout_s = lock_timeout_s
        self._keep = Keep.of(keep)
        self._is_made = False
        self._making = threading.Lock()

    @property
    def location(self) -> str:
        """The URL without its password."""
        return self._link.address.shown

    # -- the tables --------------------------------------------------------------------

    @uncut
    def create(self) -> None:
        """Make the tables if they are missing.

        Raises:
            OSError: The server does not answer, or the role may not make them.
            DatabaseLoadError: They are of another release.
        """
        if self._is_made:
            return
        with self._making:
            version = self._version()
            if version is None and self._creates:
                self._make()
                version = self._version()
        if version is None:
            msg = (
                f"there are no tables of storify in the schema "
                f"{self._tables.schema!r}; `storify postgres init URL` makes them"
            )
            raise FileNotFoundError(errno.ENOENT, msg, self.location)
        if version != VERSION:
            msg = (
                f"the tables in the schema {self._tables.schema!r} of "
                f"{self.location!r} are of version {version}, and this release of "
                f"storify knows version {VERSION}; install the release that made them"
            )
            raise DatabaseLoadError(msg)
        self._is_made = True

    def _version(self) -> int | None:
        """The version of the tables; None if there are none."""
        psycopg = psycopg_of()

        def look(connection: "Connection") -> int | None:
            try:
                with cursor_of(connection) as cursor:
                    row = cursor.execute(
                        self._tables.sql("select max(version) from @version")
                    ).fetchone()
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                return None
            return None if row is None else cast("int | None", row[0])

        return self._link.run("open", self.location, look)

    def _make(self) -> None:
        """Make the tables, beside others that may be making them.

        ``if not exists`` looks first and makes then: of two that look at one moment
        the second one fails, and finds them when it looks again.
        """
        psycopg = psycopg_of()
        statements = self._tables.make.encode()
        patience = self._link.patience()
        for attempt in range(_ATTEMPTS):
            try:
                with self._link.connection() as connection, connection.transaction():
                    connection.execute(statements)
            except psycopg.Error as error:
                is_theirs = error.sqlstate in _MADE_BY_OTHERS
                is_last = attempt == _ATTEMPTS - 1
                if is_last or not (is_theirs or patience.is_left(error)):
                    doing = f"make the tables in the schema {self._tables.schema!r}"
                    raise failure(error, doing, self.location) from error
                continue
            return

    # -- databases ---------------------------------------------------------------------

    def engine(self, name: str, *, readonly: bool = False) -> PostgresEngine:
        """An engine of a database, which need not exist.

        Raises:
            DatabaseNameError: The name is not allowed.
            OSError: The server does not answer.
        """
        normal = check_name(name)
        if not self._is_there(normal):
            check_new_name(name, self.names())
        return PostgresEngine(
            normal,
            self._link,
            self._tables,
            location=self.location,
            root_format=self._format,
            clock=self._clock,
            lock_timeout_s=self._lock_timeout_s,
            readonly=readonly,
            keep=self._keep,
        )

    @uncut
    def _is_there(self, normal: str) -> bool:
        self.create()
        head = self._link.run(
            "read", self.location, lambda link: Head.of(link, self._tables, normal)
        )
        return head is not None and head.alive

    @uncut
    def names(self) -> list[str]:
        """The databases that were committed, sorted."""
        self.create()

        def read(connection: "Connection") -> list[str]:
            with cursor_of(connection) as cursor:
                statement = "select name from @database where alive"
                rows = cursor.execute(self._tables.sql(statement)).fetchall()
            return sorted(row[0] for row in rows)

        return self._link.run("read", self.location, read)

    def nameless(self) -> dict[str, str]:
        """None: all is made under a name."""
        return {}

    def exists(self, name: str) -> bool:
        """Whether there is such a database."""
        return self._is_there(check_name(name))

    @uncut
    def rename(self, old: str, new: str) -> None:
        """Rename a database and its history; see `Catalog.rename`.

        The backups of a former database *new* stay under a name of their own.
        """
        source = self._existing(old)
        if self.exists(new):
            raise FileExistsError(
                errno.EEXIST, "the database exists already", check_name(new)
            )
        others = [name for name in self.names() if name != source]
        target = check_new_name(new, others)
        engines = [
            self.engine(source),
            PostgresEngine(
                target,
                self._link,
                self._tables,
                location=self.location,
                root_format=self._format,
                clock=self._clock,
                lock_timeout_s=self._lock_timeout_s,
            ),
        ]
        # In one order, so that two who rename do not wait for each other.
        first, second = sorted(engines, key=lambda engine: engine.location)
        with first.locked(), second.locked():
            self._link.run(
                "rename",
                self.location,
                lambda link: self._rename(link, source, target),
            )

    def _rename(self, connection: "Connection", source: str, target: str) -> None:
        with connection.transaction():
            head = Head.of(connection, self._tables, source)
            former = Head.of(connection, self._tables, target)
            if former is not None and former.alive:
                if head is None:
                    return  # it was done, and the connection lost
                raise FileExistsError(
                    errno.EEXIST, "the database exists already", target
                )
            if head is None or not head.alive:
                raise FileNotFoundError(errno.ENOENT, "no such database", source)
            rename = self._tables.sql("update @database set name = %s where id = %s")
            if former is not None:
                # No database can have this name, so it is in nobody's way.
                connection.execute(rename, (f"{target}/{former.id}", former.id))
            connection.execute(rename, (target, head.id))

    @uncut
    def remove(self, name: str) -> None:
        """Destroy a database; its history stays.

        Raises:
            FileNotFoundError: There is no such database.
        """
        self.engine(self._existing(name)).destroy()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._link.rest()

    def _existing(self, name: str) -> str:
        normal = check_name(name)
        if not self._is_there(normal):
            raise FileNotFoundError(errno.ENOENT, "no such database", name)
        return normal
