"""All errors, in one tree; this module imports nothing of storify.

::

    StorifyError
    ├── DatabaseLoadError            no usable copy of the data could be read
    │   └── CorruptionError            …because the bytes on disk are damaged
    ├── ConflictError                somebody else changed the same key
    ├── StaleStateError              also RuntimeError: what is read is not kept any more
    ├── DatabaseClosedError          also ValueError
    ├── DatabaseNameError            also ValueError
    ├── DatabaseLockedError          also TimeoutError: somebody else has the lock
    ├── DatabaseReadOnlyError        also PermissionError
    ├── DatabaseOpenError            also RuntimeError: an open database is in the way
    ├── MisdatedError                also FileNotFoundError: which state, is not known
    ├── TransactionError             also RuntimeError: not inside a transaction, not now
    ├── CheckError                   also TypeError: a value of another type than declared
    ├── DuplicateKeyError            also ValueError: two keys in a unique index
    ├── QueryError                   also LookupError: not exactly one match
    ├── DanglingRefError             also LookupError: a reference to nothing
    ├── UnstorableError              also TypeError
    ├── ModelError                   also TypeError: a class that cannot be a model
    │   └── DuplicateKeynameError
    ├── ModelLoadError               also ValueError: a record that does not fit its class
    │   └── NewerVersionError
    └── MigrationError

Each leaf also derives from the builtin that a caller would catch. A missing
key stays a ``KeyError`` and a failed disk call stays an ``OSError``. Messages
name paths and types inside the data (``$.users['u1'].age``), never values.
Facts are attributes, and every exception survives pickling.
"""

from collections.abc import Iterable

__all__ = [
    "CheckError",
    "ConflictError",
    "CorruptionError",
    "DanglingRefError",
    "DatabaseClosedError",
    "DatabaseLoadError",
    "DatabaseLockedError",
    "DatabaseNameError",
    "DatabaseOpenError",
    "DatabaseReadOnlyError",
    "DuplicateKeyError",
    "DuplicateKeynameError",
    "LocatedError",
    "MigrationError",
    "MisdatedError",
    "ModelError",
    "ModelLoadError",
    "NetworkFilesystemError",
    "NewerVersionError",
    "QueryError",
    "StaleStateError",
    "StorifyError",
    "TransactionError",
    "UnstorableError",
]


class StorifyError(Exception):
    """Base of every error that storify raises by itself."""


class LocatedError(StorifyError):
    """Base of the errors that point at a place inside the data.

    Attributes:
        path: The place, as ``$['key'][0].field``.
    """

    def __init__(self, message: str, path: str = "$") -> None:
        self.path = path
        super().__init__(message, path)

    def __str__(self) -> str:
        return str(self.args[0])


class DatabaseLoadError(StorifyError):
    """No usable copy of a database could be read: not the file, not a backup.

    The files are left as they were.
    """


class CorruptionError(DatabaseLoadError):
    """The bytes on disk are damaged and no backup could replace them.

    Attributes:
        causes: One line for each copy that was tried, newest first.
    """

    def __init__(self, message: str, causes: Iterable[str] = ()) -> None:
        self.causes: tuple[str, ...] = tuple(causes)
        super().__init__(message, self.causes)

    def __str__(self) -> str:
        return str(self.args[0])


class ConflictError(StorifyError):
    """Another writer changed the same keys to other values since the last load.

    Nothing was written; memory keeps your values and stays dirty.
    `Database.reload` resolves it, with ``keep="mine"`` or ``keep="theirs"``.

    Attributes:
        keys: The keys on both sides; empty when a whole list root conflicts.
    """

    def __init__(self, message: str, keys: Iterable[object] = ()) -> None:
        self.keys: tuple[object, ...] = tuple(keys)
        super().__init__(message, self.keys)

    def __str__(self) -> str:
        return str(self.args[0])


class StaleStateError(StorifyError, RuntimeError):
    """The state that a database reads is not kept any more, and others changed it since.

    On a server alone, after a quarter of an hour without `Database.reload`, a flush or
    a transaction. Each of them goes on with the present state; nothing is lost.
    """


class DatabaseClosedError(StorifyError, ValueError):
    """The database was closed or destroyed; get it anew to use it."""


class DatabaseNameError(StorifyError, ValueError):
    """A database name that is not portable or could leave the root folder."""


class DatabaseLockedError(StorifyError, TimeoutError):
    """Somebody else held the database's lock for longer than the timeout.

    Nothing was written; memory keeps your changes and stays dirty. Also what a save
    raises that was given up, as by a task that was cancelled, before it wrote.
    """


class DatabaseReadOnlyError(StorifyError, PermissionError):
    """The database was opened with ``readonly=True`` and cannot be changed."""


class NetworkFilesystemError(StorifyError, OSError):
    """A folder is on a network file system, which does not keep what is promised."""


class DatabaseOpenError(StorifyError, RuntimeError):
    """The database is open in this process, so its files cannot be moved."""


class MisdatedError(StorifyError, FileNotFoundError):
    """The state of a time is not known, as the clock was wrong then.

    Each state is there by its id, as `Backups.list` gives it.
    """


class TransactionError(StorifyError, RuntimeError):
    """A step that cannot be done inside of a transaction, or not by who asks for it.

    It is what the transaction does at its end, or would end it; or it would wait for
    itself: another task of the same thread has the lock, or a thread that waits for
    what the caller has. Nothing was done; the transaction goes on.
    """


class CheckError(LocatedError, TypeError):
    """A value that does not fit the declared type, refused by ``strict=True``.

    The database keeps what it had under the key.
    """


class DuplicateKeyError(StorifyError, ValueError):
    """Two records have one value in a unique index.

    Nothing was written; memory keeps both.

    Attributes:
        keys: The keys of the two records.
    """

    def __init__(self, message: str, keys: Iterable[object] = ()) -> None:
        self.keys: tuple[object, ...] = tuple(keys)
        super().__init__(message, self.keys)

    def __str__(self) -> str:
        return str(self.args[0])


class QueryError(StorifyError, LookupError):
    """A query that was to give exactly one record gave none or several."""


class DanglingRefError(StorifyError, LookupError):
    """A reference to a record that is not there, or that nobody can look up."""


class UnstorableError(LocatedError, TypeError):
    """A value that could not be read back equal, refused before it is written.

    Nothing was written; memory keeps the value.
    """


class ModelError(StorifyError, TypeError):
    """A class that cannot be used as a model, with the reason."""


class DuplicateKeynameError(ModelError):
    """Two classes claim one keyname, so a stored record would be ambiguous."""


class ModelLoadError(LocatedError, ValueError):
    """A stored record does not fit its class; the record is kept as it was."""


class NewerVersionError(ModelLoadError):
    """A record was written by a newer version of its class; it is kept raw."""


class MigrationError(StorifyError):
    """A migration failed or is missing; the record is kept as it was."""
