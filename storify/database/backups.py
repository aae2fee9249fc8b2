"""The backups of one database, as the guide describes them (section 9.2).

Before a flush replaces a database its durable state is kept in
``.backups/<name>/``, under the UTC time at which that state was saved. Only
states that were verified count, and only after the new state is durable are
old ones pruned. This class is a view: the engine keeps and finds the backups.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storify.database._database import Database

__all__ = ["Backups"]


class Backups:
    """What can be restored of one database; got as ``db.backups``.

    Attributes:
        db: The database.
    """

    def __init__(self, db: "Database[Any, Any]") -> None:
        self.db = db
        self._engine = db._session.engine  # noqa: SLF001 - two halves of one class

    @property
    def name(self) -> str:
        """The database's name."""
        return self.db.name

    @property
    def root(self) -> str:
        """The folder that the database stands in."""
        return self.db.root

    @property
    def db_path(self) -> str:
        """The path of the database itself."""
        return self.db.path

    @property
    def backup_path(self) -> str:
        """The folder of the backups; it may not exist yet."""
        return self._engine.backup_location

    @property
    def max_backups(self) -> int:
        """How many backups are kept, at least 1; 5 unless set."""
        return self._engine.max_backups

    @max_backups.setter
    def max_backups(self, count: int) -> None:
        if count < 1:
            msg = f"max_backups must be at least 1, got {count}"
            raise ValueError(msg)
        self._engine.max_backups = count

    @property
    def list(self) -> "list[str]":
        """The ids of all backups, newest first, as a new list.

        An id starts with the time of the state in it; those of release 0.0.11
        are numbers (``"7"``) and come after. Files that are no backups are
        passed over.
        """
        return [each.id for each in self._engine.backups()]

    @property
    def latest(self) -> str | None:
        """The id of the newest backup, None if there is none."""
        return next(iter(self.list), None)

    @property
    def last(self) -> str | None:
        """The id of the oldest backup, None if there is none."""
        return next(reversed(self.list), None)

    def backup(self) -> str | None:
        """Back up the durable state now and give the backup's id.

        Changes that are not flushed are not in it. None if the database has
        not been written yet.

        Raises:
            OSError: The backup could not be written; nothing else changed.
        """
        return self._engine.backup()

    def get_path_of_backup(self, backup_id: str | int) -> str:
        """Give the path of a backup; `Database.load` takes it."""
        return self._engine.backup_path(str(backup_id))

    def __repr__(self) -> str:
        return f"<Backups of {self.name!r} ({len(self.list)} kept)>"
