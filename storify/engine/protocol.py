"""What every engine does: bytes and versions in, durable state out.

An engine keeps *one* database; a catalog keeps a folder of them. Neither knows
models or MessagePack: keys and values are ``bytes``, and a caller passes the
function that parses a whole root. Nothing here assumes files, so that an
engine over a journal or another database can stand behind the same names.

The cycle of a caller::

    loaded = engine.load(parse)             # a version, its bytes, its value
    engine.commit(Commit(loaded.version, changes, payload))
        -> the new version, durable
        -> StaleVersionError: somebody committed since; load, merge, commit again
        -> OSError: the old state stands; commit again when the cause is gone
"""

from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Generic, Literal, NamedTuple, NewType, Protocol, TypeVar

__all__ = [
    "DEFAULT_BACKUPS",
    "LOCK_TIMEOUT_S",
    "BackupInfo",
    "BackupKind",
    "Catalog",
    "Clock",
    "Commit",
    "Engine",
    "Loaded",
    "StaleVersionError",
    "Version",
    "utc_now",
    "version_of",
]

T = TypeVar("T")

DEFAULT_BACKUPS = 5
"""How many snapshots an engine keeps unless told otherwise, as in release 0.0.11."""

LOCK_TIMEOUT_S = 30.0
"""How long an engine waits for another writer unless told otherwise."""

Version = NewType("Version", str)
"""An opaque name of a state; equal versions mean equal content."""

BackupKind = Literal["snapshot", "unsaved", "legacy"]

Clock = Callable[[], datetime]
"""Gives the wall-clock time as an aware datetime."""


def utc_now() -> datetime:
    """The default `Clock`."""
    return datetime.now(UTC)


def version_of(payload: bytes) -> Version:
    """The version of a whole root, for engines that name states by content."""
    return Version(sha256(payload).hexdigest())


class StaleVersionError(Exception):
    """Somebody committed since the base of this commit; nothing was written.

    The caller loads, merges its changes and commits again, so this error never
    reaches a user and stands outside the tree of `storify.exceptions`.
    """


class Loaded(NamedTuple, Generic[T]):
    """A state as it was read.

    Attributes:
        version: Names the state; the base of the next commit.
        payload: Its bytes, a whole root.
        value: What the caller's parser made of them.
        recovered_from: The backup that was used because the state itself was
            lost or damaged; None in the normal case.
    """

    version: Version
    payload: bytes
    value: T
    recovered_from: str | None = None


class Commit(NamedTuple):
    """One atomic change.

    Attributes:
        base: The version that the change was made from; None says that the
            database does not exist yet.
        changes: Encoded value by encoded key; None deletes the key. For engines
            that append.
        payload: Gives the whole new root. For engines that rewrite. Called at
            most once, possibly under the lock, before anything is written.
    """

    base: Version | None
    changes: Mapping[bytes, bytes | None]
    payload: Callable[[], bytes]


class BackupInfo(NamedTuple):
    """An older state, or one that could not be saved.

    Attributes:
        id: Names it in `Engine.read_backup`.
        time: When the state inside was committed, in UTC; None if unknown.
        size_bytes: Its size.
        kind: ``snapshot`` was durable once; ``unsaved`` never became the state
            of the database; ``legacy`` is a numbered backup of release 0.0.11.
    """

    id: str
    time: datetime | None
    size_bytes: int
    kind: BackupKind


class Engine(Protocol):
    """One database: bytes and versions to durable state.

    Methods may be called from any thread. An engine holds no handle and no
    lock between calls, except inside `locked`.
    """

    max_backups: int
    """How many snapshots are kept. The newest good one is never pruned."""

    @property
    def location(self) -> str:
        """The path or URL, for messages."""
        ...

    @property
    def identity(self) -> Hashable:
        """Equal for the engines of one database in this process."""
        ...

    @property
    def backup_location(self) -> str:
        """The path or URL of the backups, which need not exist."""
        ...

    def load(self, parse: Callable[[bytes], T]) -> Loaded[T] | None:
        """Read the present state, or the newest good backup if it is damaged.

        Args:
            parse: Makes the value; raises ValueError for bytes that are no
                database. May be called once for each copy that is tried.

        Returns:
            The state; None if the database does not exist.

        Raises:
            DatabaseLoadError: The state is intact but *parse* refuses it, or it
                is no regular file. Nothing was changed.
            CorruptionError: The state is damaged and no backup can replace it.
                Nothing was changed.
            DatabaseLockedError: Another writer held the lock for too long.
            OSError: The state could not be read.
        """
        ...

    def commit(self, commit: Commit) -> Version:
        """Make a change durable, all of it or nothing.

        Raises:
            StaleVersionError: The state is no longer at ``commit.base``.
            DatabaseReadOnlyError: The engine was opened for reading.
            DatabaseLockedError: Another writer held the lock for too long.
            PermissionError: The state may not be written; nothing was.
            OSError: Nothing is acknowledged; the old state (or, if only the last
                sync failed, perhaps the new one) is on disk, whole. The same
                commit may be tried again with the same base.
        """
        ...

    def changed_since(self, version: Version | None) -> bool:
        """Whether the state is another one than *version*; cheap if it is not.

        A damaged state is another one.

        Raises:
            OSError: The state could not be read.
        """
        ...

    def writable(self) -> bool:
        """Whether a commit could succeed here, as far as can be seen."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Keep every other writer out for the length of a ``with`` block.

        The calls of the same engine in the same thread go through. Blocks nest.
        Another engine in this thread is told at once that it would wait for ever.

        Raises:
            DatabaseReadOnlyError: The engine was opened for reading.
            DatabaseLockedError: Another writer held the lock for too long.
            OSError: The lock could not be made.
        """
        ...

    def backup(self) -> str | None:
        """Copy the present state into the backups now.

        Returns:
            The id; None if there is no state. A state that has a backup already
            is not copied again.

        Raises:
            CorruptionError: The state is damaged; load it, so that it is recovered.
            DatabaseReadOnlyError: The engine was opened for reading.
            DatabaseLockedError: Another writer held the lock for too long.
            OSError: Nothing was added.
        """
        ...

    def backups(self) -> list[BackupInfo]:
        """All backups, newest first."""
        ...

    def backup_path(self, backup_id: str) -> str:
        """Where a backup is.

        Raises:
            FileNotFoundError: There is no such backup.
        """
        ...

    def read_backup(self, backup_id: str) -> bytes:
        """The bytes of a backup, a whole root.

        Raises:
            FileNotFoundError: There is no such backup.
            CorruptionError: It is damaged.
        """
        ...

    def save_unsaved(self, payload: bytes) -> str:
        """Keep a state that cannot be committed and give the place it is in.

        Takes no lock, for the last moments of a process. Of several states each
        gets a place of its own, and none is ever pruned.

        Raises:
            OSError: There is no place that can be written.
        """
        ...

    def set_aside(self) -> str | None:
        """Put a damaged state away, so that the database can start afresh.

        Returns:
            Where it is now; None if there was none.

        Raises:
            DatabaseReadOnlyError: The engine was opened for reading.
            DatabaseLockedError: Another writer held the lock for too long.
            OSError: It is where it was, or put away already.
        """
        ...

    def destroy(self, *, backups: bool = False) -> None:
        """Remove the database; its last state joins the backups.

        A damaged state is kept apart from them. A database that does not exist
        is no error.

        Args:
            backups: Erase all backups as well.

        Raises:
            DatabaseReadOnlyError: The engine was opened for reading.
            DatabaseLockedError: Another writer held the lock for too long.
            OSError: The database is there still, or its last state is a backup.
        """
        ...

    def close(self) -> None:
        """Release what is held; calling it twice is fine."""
        ...


class Catalog(Protocol):
    """A set of databases under names."""

    @property
    def location(self) -> str:
        """The path or URL, for messages."""
        ...

    def create(self) -> None:
        """Make the place of the databases, durable, if it is missing.

        Raises:
            OSError: It cannot be made.
        """
        ...

    def engine(self, name: str, *, readonly: bool = False) -> Engine:
        """The engine of a database that exists or is to be created.

        Raises:
            DatabaseNameError: The name is unsafe, unportable or too close to
                the name of another database.
        """
        ...

    def names(self) -> list[str]:
        """The names of all databases, sorted."""
        ...

    def exists(self, name: str) -> bool:
        """Whether a database of this name was committed and not removed."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Rename a database together with its backups.

        Raises:
            FileNotFoundError: There is no *old*.
            FileExistsError: There is a *new* already.
            DatabaseNameError: A name is not allowed.
            DatabaseLockedError: One of them was in use for too long.
            OSError: It has exactly one of the names, with its backups.
        """
        ...

    def remove(self, name: str) -> None:
        """Destroy a database; its backups stay. Raises as `Engine.destroy` too.

        Raises:
            FileNotFoundError: There is no such database.
            DatabaseNameError: No database can have this name.
        """
        ...
