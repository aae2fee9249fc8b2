"""The memory engine: the same promises without a disk, for tests and scratch data.

States are bytes, as on a disk, so that what comes back is a copy and what
cannot be stored is refused. They live as long as their catalog.
"""

import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from storify.engine._names import check_name, check_new_name
from storify.engine.protocol import (
    DEFAULT_BACKUPS,
    LOCK_TIMEOUT_S,
    BackupInfo,
    BackupKind,
    Clock,
    Commit,
    Loaded,
    StaleVersionError,
    Version,
    utc_now,
    version_of,
)
from storify.exceptions import (
    DatabaseLoadError,
    DatabaseLockedError,
    DatabaseReadOnlyError,
)

__all__ = ["MemoryCatalog", "MemoryEngine"]

T = TypeVar("T")

SCHEME = "memory://"


class _State(NamedTuple):
    """A state that is or was committed."""

    payload: bytes
    time: datetime
    kind: BackupKind = "snapshot"

    @property
    def id(self) -> str:
        end = version_of(self.payload)[:16] if self.kind == "snapshot" else self.kind
        return f"{self.time:%Y%m%dT%H%M%S.%fZ}-{end}"


@dataclass(slots=True)
class _Store:
    """One database, shared by all its engines."""

    present: _State | None = None
    history: list[_State] = field(default_factory=list[_State])
    lock: threading.RLock = field(default_factory=threading.RLock)

    def next_time(self, clock: Clock) -> datetime:
        """Now, but later than every state known."""
        states = [*self.history, *([self.present] if self.present else [])]
        now = clock().astimezone(UTC)
        latest = max((state.time for state in states), default=None)
        if latest is None or now > latest:
            return now
        return latest + timedelta(microseconds=1)

    def keep(self, state: _State) -> str:
        if state not in self.history:
            self.history.append(state)
            self.history.sort(key=lambda one: one.time)
        return state.id

    def prune(self, kept: int) -> None:
        snapshots = [state for state in self.history if state.kind == "snapshot"]
        for state in snapshots[: -max(kept, 1)]:
            self.history.remove(state)


class MemoryEngine:
    """One database in memory.

    Args:
        name: For messages.
        clock: Gives the times of backups.
        lock_timeout_s: How long to wait for another thread.
        readonly: Refuse to commit.
        max_backups: How many snapshots are kept; 0 makes none at a commit.
        store: The states, shared by the engines of one catalog and name.
    """

    def __init__(
        self,
        name: str = "",
        *,
        clock: Clock = utc_now,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        readonly: bool = False,
        max_backups: int = DEFAULT_BACKUPS,
        store: "_Store | None" = None,
    ) -> None:
        self.max_backups = max_backups
        self.readonly = readonly
        self._name = name
        self._clock = clock
        self._lock_timeout_s = lock_timeout_s
        self._store = _Store() if store is None else store

    @property
    def location(self) -> str:
        """``memory://`` and the name."""
        return f"{SCHEME}{self._name}"

    @property
    def identity(self) -> int:
        """The same as long as one catalog keeps the database."""
        return id(self._store)

    @property
    def backup_location(self) -> str:
        """Backups have no place of their own here."""
        return f"{self.location}/.backups"

    def load(self, parse: Callable[[bytes], T]) -> Loaded[T] | None:
        """Give the present state; None if nothing was committed.

        Raises:
            DatabaseLoadError: *parse* refuses it.
        """
        with self._held():
            present = self._store.present
        if present is None:
            return None
        try:
            value = parse(present.payload)
        except ValueError as err:
            msg = f"cannot load {self.location!r}: it cannot be read here: {err}"
            raise DatabaseLoadError(msg) from err
        return Loaded(version_of(present.payload), present.payload, value)

    def commit(self, commit: Commit) -> Version:
        """Make ``commit.payload()`` the present state.

        Raises:
            StaleVersionError: It is no longer at ``commit.base``.
            DatabaseReadOnlyError: Opened with ``readonly=True``.
        """
        with self._writing("commit to") as store:
            if self.changed_since(commit.base):
                msg = f"{self.location!r} was changed since version {commit.base}"
                raise StaleVersionError(msg)
            payload = commit.payload()
            new = _State(payload, store.next_time(self._clock))
            if store.present is not None and self.max_backups:
                store.keep(store.present)
            store.present = new
            store.prune(self.max_backups)
            return version_of(payload)

    def changed_since(self, version: Version | None) -> bool:
        """Whether the present state is another one."""
        present = self._store.present
        return version != (None if present is None else version_of(present.payload))

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return not self.readonly

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other threads out; see `Engine.locked`."""
        with self._writing("lock"):
            yield

    def backup(self) -> str | None:
        """Keep the present state in the history; give its id."""
        with self._writing("back up") as store:
            if store.present is None:
                return None
            kept = store.keep(store.present)
            store.prune(self.max_backups)
            return kept

    def backups(self) -> list[BackupInfo]:
        """The history, newest first."""
        with self._held():
            return [
                BackupInfo(state.id, state.time, len(state.payload), state.kind)
                for state in reversed(self._store.history)
            ]

    def backup_path(self, backup_id: str) -> str:
        """A URL of the backup, for messages only.

        Raises:
            FileNotFoundError: There is no such backup.
        """
        return f"{self.location}#{self._find(backup_id).id}"

    def read_backup(self, backup_id: str) -> bytes:
        """The bytes of a backup.

        Raises:
            FileNotFoundError: There is no such backup.
        """
        return self._find(backup_id).payload

    def save_unsaved(self, payload: bytes) -> str:
        """Keep a state that cannot be committed in the history."""
        store = self._store
        state = _State(payload, store.next_time(self._clock), "unsaved")
        return f"{self.location}#{store.keep(state)}"

    def set_aside(self) -> str | None:
        """Move the present state to the history as unsaved."""
        with self._writing("set aside") as store:
            present, store.present = store.present, None
            if present is None:
                return None
            state = _State(present.payload, present.time, "unsaved")
            return f"{self.location}#{store.keep(state)}"

    def destroy(self, *, backups: bool = False) -> None:
        """Forget the present state; it joins the history, or all are erased."""
        with self._writing("destroy") as store:
            present, store.present = store.present, None
            if backups:
                store.history.clear()
            elif present is not None:
                store.keep(present)

    def close(self) -> None:
        """Nothing is held."""

    def _find(self, backup_id: str) -> _State:
        with self._held():
            for state in self._store.history:
                if state.id == backup_id:
                    return state
        msg = "no such backup"
        raise FileNotFoundError(2, msg, backup_id)

    @contextmanager
    def _held(self) -> Generator[_Store]:
        lock = self._store.lock
        if not lock.acquire(timeout=self._lock_timeout_s):
            msg = f"cannot lock {self.location!r}: another thread holds it; try again"
            raise DatabaseLockedError(msg)
        try:
            yield self._store
        finally:
            lock.release()

    @contextmanager
    def _writing(self, doing: str) -> Generator[_Store]:
        if self.readonly:
            msg = f"cannot {doing} {self.location!r}: opened with readonly=True"
            raise DatabaseReadOnlyError(msg)
        with self._held() as store:
            yield store


class MemoryCatalog:
    """Databases in memory; each new catalog is empty.

    Args:
        name: For messages.
        clock: Gives the times of backups.
        lock_timeout_s: How long to wait for another thread.
    """

    def __init__(
        self,
        name: str = "",
        *,
        clock: Clock = utc_now,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> None:
        self._name = name
        self._clock = clock
        self._lock_timeout_s = lock_timeout_s
        self._stores: dict[str, _Store] = {}
        self._lock = threading.RLock()

    @classmethod
    def named(cls, name: str) -> "MemoryCatalog":
        """The catalog that this process shares under a name while it is in use."""
        with _named_lock:
            catalog = _named.get(name)
            if catalog is None:
                catalog = _named[name] = cls(name)
            return catalog

    @property
    def location(self) -> str:
        """``memory://`` and the name of the catalog."""
        return f"{SCHEME}{self._name}"

    def create(self) -> None:
        """There is nothing to make."""

    def engine(self, name: str, *, readonly: bool = False) -> MemoryEngine:
        """An engine of a database; engines of one name share their state."""
        with self._lock:
            normal = check_name(name)
            if normal not in self._stores:
                check_new_name(name, self.names())
                self._stores[normal] = _Store()
            path = f"{self._name}/{normal}" if self._name else normal
            return MemoryEngine(
                path,
                clock=self._clock,
                lock_timeout_s=self._lock_timeout_s,
                readonly=readonly,
                store=self._stores[normal],
            )

    def names(self) -> list[str]:
        """The databases that were committed, sorted."""
        with self._lock:
            return sorted(
                name
                for name, store in self._stores.items()
                if store.present is not None
            )

    def exists(self, name: str) -> bool:
        """Whether there is such a database."""
        return check_name(name) in self.names()

    def rename(self, old: str, new: str) -> None:
        """Rename a database and its history; see `Catalog.rename`."""
        with self._lock:
            source = self._existing(old)
            if self.exists(new):
                raise FileExistsError(17, "the database exists already", new)
            others = [name for name in self.names() if name != source]
            target = check_new_name(new, others)
            # Moved into the store there is: engines may have been given out for it.
            moved = self._stores[source]
            there = self._stores.setdefault(target, _Store())
            with moved.lock, there.lock:
                there.present, there.history = moved.present, moved.history
                moved.present, moved.history = None, []

    def remove(self, name: str) -> None:
        """Destroy a database; its history stays."""
        with self._lock:
            self.engine(self._existing(name)).destroy()

    def _existing(self, name: str) -> str:
        if not self.exists(name):
            raise FileNotFoundError(2, "no such database", name)
        return check_name(name)


_named: "weakref.WeakValueDictionary[str, MemoryCatalog]" = (
    weakref.WeakValueDictionary()
)
_named_lock = threading.Lock()
