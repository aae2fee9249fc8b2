"""``sync="interval"``: when commits that a power cut may cost are made durable."""

from storify.database.session.saving import Saving
from storify.engine import Engine

__all__ = ["Syncing"]

#: When to ask again whether something is to be synced, if nothing ever is.
_NEVER_S = 3600.0


class Syncing:
    """Keeps account of the oldest unsynced commit of one engine.

    Args:
        engine: What is synced.
        saving: Whether and how late.
    """

    def __init__(self, engine: Engine, saving: Saving) -> None:
        self._engine = engine
        self._saving = saving
        self._since_s: float | None = None

    def sync(self) -> None:
        """Make all commits durable.

        Raises:
            OSError: The next call tries again.
        """
        self._engine.sync()
        self._since_s = None

    def note_commit(self) -> None:
        """Count a commit."""
        if self._saving.sync == "interval" and self._since_s is None:
            self._since_s = self._saving.clock()

    def sync_what_is_due(self) -> None:
        """Sync if a commit is due.

        A database that no background thread cares for is synced here alone.

        Raises:
            OSError: The next call tries again.
        """
        if self._since_s is not None and self.due_in_s() <= 0:
            self.sync()

    def due_in_s(self) -> float:
        """How long it is until `sync` is to be called, or asked for again."""
        if self._saving.sync != "interval":
            return _NEVER_S
        if self._since_s is None:
            return self._saving.sync_interval_s
        return self._since_s + self._saving.sync_interval_s - self._saving.clock()

    def put_off(self) -> None:
        """Try again after another interval: it failed."""
        self._since_s = self._saving.clock()
