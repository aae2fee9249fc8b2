"""SQLModel: a table model on SQLite, with the defaults of SQLAlchemy."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from contents import Role, contents
from dataclass_records import Address
from sqlalchemy import JSON, Column, DateTime, Dialect, TypeDecorator
from sqlmodel import Field, Session, SQLModel, create_engine, select


class UtcDateTime(TypeDecorator[datetime]):
    """A column of aware datetimes: SQLite drops the zone, so it is set again."""

    impl = DateTime
    cache_ok = True

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - the signature is given
    ) -> datetime | None:
        """Give what was stored, in UTC."""
        return value and value.replace(tzinfo=UTC)


class User(SQLModel, table=True):
    """The benchmark's record: the address in three columns, lists as JSON."""

    key: str = Field(primary_key=True)
    name: str
    email: str
    age: int
    score: float
    active: bool
    joined: datetime = Field(sa_column=Column(UtcDateTime))
    role: Role
    tags: list[str] = Field(sa_column=Column(JSON))
    counts: dict[str, int] = Field(sa_column=Column(JSON))
    street: str
    city: str
    zip_code: str
    nickname: str | None = None

    @property
    def address(self) -> Address:
        """The nested record, from its columns."""
        return Address(self.street, self.city, self.zip_code)


class SqlModelPeer:
    """One session, as a script has it."""

    CHUNK = 10_000

    _session: Session

    def __init__(self) -> None:
        self._engine: Any = None

    def make(self, number: int) -> User:
        """Give the table model; its key is a field."""
        fields = contents(number)
        return User(key="", **fields.pop("address"), **fields)

    def open(self, folder: Path) -> None:
        """Create the engine and the table, and a session."""
        self._engine = create_engine(f"sqlite:///{folder / 'users.sqlite'}")
        SQLModel.metadata.create_all(self._engine)
        self._session = Session(self._engine)

    def load(self, records: Iterable[tuple[str, User]]) -> None:
        """Add all in one transaction, in chunks that bound the session's memory."""
        pairs = iter(records)
        while chunk := list(islice(pairs, self.CHUNK)):
            for key, record in chunk:
                record.key = key
                self._session.add(record)
            self._session.flush()
            self._session.expunge_all()
        self._session.commit()

    def get(self, key: str) -> User:
        """Get one by its primary key."""
        return self._session.get_one(User, key)

    def read_all(self) -> dict[str, User]:
        """Select all."""
        return {record.key: record for record in self._session.exec(select(User))}

    def change(self, keys: Sequence[str]) -> None:
        """Get, change, commit."""
        for key in keys:
            self.get(key).age += 1
        self._session.commit()

    def close(self) -> None:
        """Close the session and its connections."""
        self._session.close()
        self._engine.dispose()
