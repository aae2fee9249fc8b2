"""Our tables on the server, and the statements that make them.

::

    storify_version    version                               of these tables
    storify_database   id  name  alive  seq  token           the present state of each
                       floor  copied
    storify_lock       name                                  held inside `locked`
    storify_state      db  seq  token  stamp  kind  count    what was committed when
                       size  kept  anew
    storify_entry      db  key  long  value  seq  pos        the present entries
    storify_change     db  seq  key  long  value  pos        what a commit has replaced
    storify_unsaved    db  stamp  payload                    what could not be committed

A key is the bytes of its MessagePack, or a digest of those that no index would take,
which then stand in *long*. A value of NULL says that there is no such key: kept, so
that others learn of it, as long as a state before it is.

The state that was number n is the present one with the changes after n undone: of each
key the first of them. So a state is kept as long as those are.

Several of these systems take the same statements: the id of a database is their
distribution key, and one statement changes one table.
"""

from typing import Final
from urllib.parse import quote

from storify.engine.postgres.driver import psycopg_of

__all__ = ["SCHEMA", "VERSION", "Tables"]

SCHEMA: Final = "storify"
"""The schema that the tables are in unless told otherwise."""

VERSION: Final = 1
"""Of these tables."""

_MAKE: Final = """\
create schema if not exists {s};
create table if not exists {s}.storify_version (
    one boolean primary key default true check (one),
    version integer not null
);
create table if not exists {s}.storify_database (
    id bigint generated always as identity primary key,
    name text collate "C" not null unique,
    alive boolean not null default false,
    seq bigint not null default 0,
    token text not null default '',
    floor bigint not null default 0,
    copied bigint not null default 0
) with (fillfactor = 50);
create table if not exists {s}.storify_lock (
    name text collate "C" primary key
) with (fillfactor = 50);
create table if not exists {s}.storify_state (
    db bigint not null,
    seq bigint not null,
    token text not null,
    stamp text collate "C" not null,
    kind text not null,
    count bigint not null,
    size bigint not null,
    kept boolean not null default true,
    anew boolean not null,
    primary key (db, seq)
) with (fillfactor = 80);
create table if not exists {s}.storify_entry (
    db bigint not null,
    key bytea not null,
    long bytea,
    value bytea,
    seq bigint not null,
    pos bigint not null,
    primary key (db, key)
) with (fillfactor = 80);
create index if not exists storify_entry_seq on {s}.storify_entry (db, seq);
create index if not exists storify_entry_pos on {s}.storify_entry (db, pos);
create table if not exists {s}.storify_change (
    db bigint not null,
    seq bigint not null,
    key bytea not null,
    long bytea,
    value bytea,
    pos bigint,
    primary key (db, key, seq)
);
create index if not exists storify_change_seq on {s}.storify_change (db, seq);
create index if not exists storify_change_pos on {s}.storify_change (db, pos);
create table if not exists {s}.storify_unsaved (
    db bigint not null,
    stamp text collate "C" not null,
    payload bytea not null,
    primary key (db, stamp)
);
insert into {s}.storify_version (version) values ({v}) on conflict do nothing;
"""


class Tables:
    """The names of the tables, with the schema they are in.

    No statement relies on a setting of the session, such as a search path: a pooler
    may give each transaction another one.

    Attributes:
        schema: The name of the schema.
        make: The statements that make all of them.
        fragment: What stands between the URL and the name of a database.

    Args:
        schema: The name of the schema.

    Raises:
        ValueError: No schema has this name.
    """

    def __init__(self, schema: str) -> None:
        if not schema or "\0" in schema or len(schema.encode()) > 63:  # noqa: PLR2004 - of the server
            msg = f"schema must be a name of 1 to 63 bytes: {schema!r}"
            raise ValueError(msg)
        self.schema: str = schema
        quoted = psycopg_of().sql.Identifier(schema).as_string()
        self.make: str = _MAKE.format(s=quoted, v=VERSION)
        #: What stands between the URL and the name of a database.
        self.fragment: str = "#" if schema == SCHEMA else f"#{quote(schema, safe='')}/"
        self._quoted: str = quoted

    def sql(self, text: str) -> bytes:
        """Return a statement, in which ``@name`` stands for the table storify_name."""
        return text.replace("@", f"{self._quoted}.storify_").encode()
