"""Saving: what the owner of a folder chose, and its engines.

With ``sync="interval"`` a commit may be lost by a power cut until it is synced; when
that is due is known to `Syncing`.
"""

import os
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self, get_args

from storify.codec import Codec
from storify.engine import (
    Catalog,
    Engine,
    FileCatalog,
    FileEngine,
    Keep,
    Sync,
    open_catalog,
)
from storify.engine.protocol import SYNC_INTERVAL_S, Clock, utc_now
from storify.logger import LoggerLike

__all__ = ["CACHE_BYTES", "Saving", "Syncing"]

#: When to ask again whether something is to be synced, if nothing ever is.
_NEVER_S = 3600.0


CACHE_BYTES = 32 << 20
"""How much of a large database stays in memory, encoded: five times that, as objects."""


class Saving(NamedTuple):  # made in a tenth of a dataclass's time
    """The choices about saving, and memory, that all databases of a folder share.

    Attributes:
        keep: Which older states are kept.
        sync: When a commit is synced.
        sync_interval_s: How old an unsynced commit may become.
        journal: Whether a large database is saved at the cost of the change.
        clock: Seconds that only grow.
        cache_bytes: How much of a large database is kept in memory, encoded, though
            nobody holds it.
        options: What else the engine is told, as the schema on a server.
    """

    keep: Keep = Keep()
    sync: Sync = "commit"
    sync_interval_s: float = SYNC_INTERVAL_S
    journal: bool = True
    clock: Callable[[], float] = time.monotonic
    cache_bytes: int = CACHE_BYTES
    options: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def of(
        cls,
        *,
        keep: Keep | int | None,
        sync: Sync,
        journal: bool,
        sync_interval_s: float = SYNC_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
        cache_bytes: int = CACHE_BYTES,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> Self:
        """Make one of what a user passed in.

        Raises:
            ValueError: A number or word that cannot be.
        """
        if sync not in get_args(Sync):
            msg = f"sync must be one of {get_args(Sync)}: {sync!r}"
            raise ValueError(msg)
        if not sync_interval_s > 0:
            msg = f"sync_interval must be seconds, more than 0: {sync_interval_s}"
            raise ValueError(msg)
        if type(cache_bytes) is not int or cache_bytes < 0:
            msg = f"cache_bytes must be a number of bytes, 0 or more: {cache_bytes!r}"
            raise ValueError(msg)
        return cls(
            keep=Keep.of(keep),
            sync=sync,
            sync_interval_s=sync_interval_s,
            journal=journal,
            clock=clock,
            cache_bytes=cache_bytes,
            options=options,
        )

    def open_catalog(
        self,
        root: str | os.PathLike[str],
        codec: Codec,
        log: LoggerLike,
        *,
        allow_network_filesystem: bool = False,
        clock: Clock = utc_now,
    ) -> Catalog:
        """Return the databases of a folder, of memory or of a server."""
        return open_catalog(
            root,
            log,
            root_format=codec,
            keep=self.keep,
            sync=self.sync,
            journal=self.journal,
            allow_network_filesystem=allow_network_filesystem,
            clock=clock,
            options=self.options,
        )

    def folder(
        self, root: str | os.PathLike[str], codec: Codec, log: LoggerLike
    ) -> FileCatalog:
        """Return the databases of a folder."""
        return FileCatalog(
            root,
            root_format=codec,
            log=log,
            keep=self.keep,
            sync=self.sync,
            journal=self.journal,
        )

    def file(
        self,
        path: str | os.PathLike[str],
        codec: Codec,
        log: LoggerLike,
        *,
        readonly: bool = False,
    ) -> FileEngine:
        """Return the engine of one file.

        Raises:
            ValueError: It is a URL.
        """
        if "://" in os.fspath(path):
            msg = (
                "a URL is no path of a file; open a database on a server by its name, "
                "as Storify(url).get_db(name)"
            )
            raise ValueError(msg)
        return FileEngine(
            path,
            root_format=codec,
            log=log,
            readonly=readonly,
            keep=self.keep,
            sync=self.sync,
            journal=self.journal,
        )


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
        """Count a commit that is not synced."""
        if self._since_s is None:
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
        """The seconds until `sync` is to be called, or asked for again."""
        if self._saving.sync != "interval":
            return _NEVER_S
        if self._since_s is None:
            return self._saving.sync_interval_s
        return self._since_s + self._saving.sync_interval_s - self._saving.clock()

    def put_off(self) -> None:
        """Try again after another interval: it failed."""
        self._since_s = self._saving.clock()
