"""The memory engine: the same promises without a disk, for tests and scratch data.

Values are bytes, as on a disk, so that what comes back is a copy and what cannot
be stored is refused. They live as long as their catalog. A commit costs what it
changes: the past is kept as the oldest state and the steps from there::

    oldest --step--> state --step--> state --step--> present
"""

import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import NamedTuple, TypeVar

from storify.engine.moment import (
    Keep,
    Moment,
    current_at,
    dropped,
    next_moment,
    stamp_of,
)
from storify.engine.names import check_name, check_new_name
from storify.engine.protocol import (
    LOCK_TIMEOUT_S,
    BackupInfo,
    Changes,
    Clock,
    Commit,
    Format,
    Newer,
    Problem,
    Salvaged,
    Snapshot,
    StaleVersionError,
    Version,
    WholeSnapshot,
    apply,
    entries_of,
    utc_now,
)
from storify.exceptions import DatabaseReadOnlyError
from storify.threads import InTurn, TurnLock, uncut

T = TypeVar("T")

SCHEME = "memory://"


class _Step(NamedTuple):
    """A state that is or was committed, by the changes that led to it.

    Attributes:
        version: Of the state.
        moment: When it was committed.
        changes: Since the step before.
        anew: Whether the step before counts for nothing: a new database.
        gap: Whether states between it and the step before were forgotten.
    """

    version: Version
    moment: Moment
    changes: Changes
    anew: bool
    gap: bool = False

    @property
    def id(self) -> str:
        return f"{stamp_of(*self.moment)}-{self.version}"


class _Unsaved(NamedTuple):
    """A state that never was the present one, or that was put aside."""

    moment: Moment
    payload: bytes

    @property
    def id(self) -> str:
        return f"{stamp_of(self.moment.order)}.unsaved"


class _Store:
    """One database, shared by all its engines.

    Attributes:
        entries: The present state; None if there is none.
        oldest: The state before the first of the steps.
        steps: What is kept of the past, and the present.
        copied: The version of the present state if it is a backup already.
        unsaved: What is kept beside the past.
        held: The only state, if it is that of another engine.
    """

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] | None = None
        self.oldest: dict[bytes, bytes] = {}
        self.steps: list[_Step] = []
        self.copied: Version | None = None
        self.unsaved: list[_Unsaved] = []
        self.held: _Lent | None = None
        self.commits: int = 0
        self.lock: TurnLock = TurnLock()

    @property
    def version(self) -> Version | None:
        return None if self.entries is None else self.steps[-1].version

    def next_moment(self, clock: Clock) -> Moment:
        """The moment of what comes now, later than every state known."""
        known = [each.moment for each in self.unsaved]
        known += [step.moment for step in self.steps[-1:]]
        if not known:
            return next_moment(None, clock())
        order = max(each.order for each in known)
        return next_moment(known[-1]._replace(order=order), clock())

    def past(self) -> list[_Step]:
        """The steps that are backups, oldest first."""
        present = self.version
        if present is None or present == self.copied:
            return list(self.steps)
        return self.steps[:-1]

    def state(self, step: _Step) -> dict[bytes, bytes]:
        """The entries that a step led to."""
        entries = dict(self.oldest)
        for each in self.steps:
            if each.anew:
                entries.clear()
            apply(entries, each.changes)
            if each is step:
                break
        return entries

    def prune(self, keep: Keep, now: datetime) -> None:
        """Forget states, by joining the step to each with the one after it."""
        past = self.past()[::-1]
        times = [step.moment.clock for step in past]
        gone = {past[place].version for place in dropped(times, keep, now)}
        if not keep.last and past:
            gone.add(past[0].version)  # 0 makes none at a commit
        steps: list[_Step] = []
        for step in self.steps:
            joined = step
            if steps and steps[-1].version in gone:
                before = steps.pop()
                joined = step._replace(gap=True)
                if not step.anew:
                    changes = (*before.changes, *step.changes)
                    joined = joined._replace(changes=changes, anew=before.anew)
            steps.append(joined)
        self.steps = steps
        self._advance()

    def _advance(self) -> None:
        """Let the first step begin at nothing, so that joined steps stay short."""
        first = self.steps[0]
        if len(first.changes) > 2 * len(self.oldest) + 8:
            self.oldest = self.state(first)
            self.steps[0] = first._replace(changes=(), anew=False)


class _Lent:
    """A state that who asks it need not close.

    Args:
        state: The state.
    """

    def __init__(self, state: Snapshot) -> None:
        self.version: Version = state.version
        self.kind: str = state.kind
        self._state = state

    def __len__(self) -> int:
        return len(self._state)

    def get(self, key: bytes) -> bytes | None:
        """The value of a key in the state."""
        return self._state.get(key)

    def items(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """The entries of the state."""
        return self._state.items()

    def close(self) -> None:
        """Do nothing: others may be asking it."""

    def let_go(self) -> None:
        """Close it for all."""
        self._state.close()


class MemoryEngine:
    """One database in memory.

    Args:
        name: For messages.
        root_format: How a root parts into entries.
        clock: Gives the times of backups.
        lock_timeout_s: How long to wait for another thread.
        readonly: Refuse to commit.
        keep: Which older states are kept.
        store: The states, shared by the engines of one catalog and name.
        location: What to show as the location.
    """

    def __init__(
        self,
        name: str = "",
        *,
        root_format: Format,
        clock: Clock = utc_now,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        readonly: bool = False,
        keep: Keep | int | None = None,
        store: "_Store | None" = None,
        location: str | None = None,
    ) -> None:
        self.keep: Keep = Keep.of(keep)
        self.streams: bool = False
        self.readonly = readonly
        self._location = f"{SCHEME}{name}" if location is None else location
        self._format = root_format
        self._clock = clock
        self._lock_timeout_s = lock_timeout_s
        self._store = _Store() if store is None else store

    @classmethod
    def holding(
        cls, snapshot: Snapshot, *, root_format: Format, location: str, time: datetime
    ) -> "MemoryEngine":
        """A read-only database of one state, such as an older one; it closes it."""
        store = _Store()
        moment = next_moment(None, time)
        store.steps = [_Step(snapshot.version, moment, (), anew=True)]
        store.entries, store.held = {}, _Lent(snapshot)
        return cls(
            root_format=root_format,
            clock=lambda: time,
            readonly=True,
            store=store,
            location=location,
        )

    @property
    def location(self) -> str:
        """``memory://`` and the name, unless another one was given."""
        return self._location

    @property
    def identity(self) -> int:
        """The same as long as one catalog keeps the database."""
        return id(self._store)

    @property
    def backup_location(self) -> str:
        """Backups have no place of their own here."""
        return f"{self.location}/.backups"

    def open(self) -> Snapshot | None:
        """Return the present state; None if nothing was committed."""
        with self._held() as store:
            if store.held is not None:
                return store.held
            if store.entries is None or store.version is None:
                return None
            return WholeSnapshot(store.version, dict(store.entries))

    def committed_at(self) -> datetime | None:
        """The time of the present state's commit."""
        with self._held() as store:
            return None if store.entries is None else store.steps[-1].moment.clock

    @uncut
    def commit(self, commit: Commit) -> Version:
        """Bring the changes into the present state.

        Raises:
            StaleVersionError: It is no longer at ``commit.base``.
            DatabaseReadOnlyError: Opened with ``readonly=True``.
        """
        with self._writing("commit to") as store:
            if store.version != commit.base:
                msg = f"{self.location!r} was changed since version {commit.base}"
                raise StaleVersionError(msg)
            store.commits += 1
            version = Version(f"{store.commits:08}")
            anew = store.entries is None
            moment = store.next_moment(self._clock)
            changes = tuple(commit.changes)
            store.entries = apply(
                {} if store.entries is None else store.entries, changes
            )
            store.steps.append(_Step(version, moment, changes, anew))
            store.prune(self.keep, moment.clock)
            return version

    def changes_since(self, version: Version | None) -> Newer | None:
        """The changes committed since, as far back as the past is kept."""
        if self._store.version == version:
            return None
        return self._changes_since(version)

    @uncut
    def _changes_since(self, version: Version | None) -> Newer | None:
        with self._held() as store:
            if store.version == version:
                return None
            if store.entries is None:
                return Newer(None, None)
            versions = [step.version for step in store.steps]
            if version is None or version not in versions:
                return Newer(store.version, None)
            later = store.steps[versions.index(version) + 1 :]
            if any(step.anew for step in later):
                return Newer(store.version, None)
            return Newer(
                store.version, [each for step in later for each in step.changes]
            )

    def sync(self) -> None:
        """There is nothing to make durable."""

    def unsynced(self) -> bool:
        """There is no disk that could lack a commit."""
        return False

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return not self.readonly

    def locked(self) -> AbstractContextManager[None]:
        """Keep other callers out; see `Engine.locked`."""
        self._require_writable("lock")
        return self._turn(None)

    def is_locked_by_caller(self) -> bool:
        """Whether the caller is inside `locked`."""
        return self._store.lock.is_mine()

    @uncut
    def backup(self) -> str | None:
        """Count the present state as a backup from now on; give its id."""
        with self._writing("back up") as store:
            if store.entries is None:
                return None
            store.copied = store.version
            kept = store.steps[-1].id
            store.prune(self.keep, self._clock())
            return kept

    @uncut
    def backups(self) -> list[BackupInfo]:
        """The past, newest first."""
        with self._held() as store:
            infos = [
                BackupInfo(step.id, step.moment.clock, _size(step.changes), "snapshot")
                for step in store.past()
            ]
            infos += [
                BackupInfo(each.id, each.moment.clock, len(each.payload), "unsaved")
                for each in store.unsaved
            ]
        return sorted(infos, key=lambda info: info.id, reverse=True)

    @uncut
    def backup_path(self, backup_id: str) -> str:
        """A URL of the backup, for messages only.

        Raises:
            FileNotFoundError: There is no such backup.
        """
        self.state(backup_id)
        return f"{self.location}#{backup_id}"

    @uncut
    def state(self, which: str | datetime) -> Snapshot:
        """Open an older state.

        Raises:
            As `Engine.state`.
        """
        if isinstance(which, datetime):
            return self._state_at(which)
        with self._held() as store:
            for each in store.unsaved:
                if each.id == which:
                    return WholeSnapshot(
                        Version(which), self._format.split(each.payload)
                    )
            for step in store.past():
                if step.id == which:
                    return WholeSnapshot(step.version, store.state(step))
        msg = "no such backup"
        raise FileNotFoundError(2, msg, which)

    def _state_at(self, time: datetime) -> Snapshot:
        with self._held() as store:
            moments = [step.moment for step in store.steps]
            place = current_at(moments, time, self._clock())
            if place is not None:
                step = store.steps[place]
                gap = any(each.gap for each in store.steps[place + 1 : place + 2])
                if store.held is not None:
                    return store.held
                if not gap or step.moment.clock == time:
                    return WholeSnapshot(step.version, store.state(step))
        msg = f"no state of {time} is kept"
        raise FileNotFoundError(2, msg, self.location)

    def verify(self) -> list[Problem]:
        """Nothing can be wrong with what is in memory."""
        return []

    @uncut
    def salvage(self) -> Salvaged | None:
        """All of it."""
        state = self.open()
        if state is None:
            return None
        return Salvaged(entries_of(state))

    @uncut
    def save_unsaved(self, payload: bytes) -> str:
        """Keep a state that cannot be committed beside the past."""
        return self._put_aside(payload)

    @uncut
    def set_aside(self) -> str | None:
        """Move the present state beside the past as unsaved."""
        with self._writing("set aside") as store:
            entries, store.entries = store.entries, None
            return (
                None if entries is None else self._put_aside(self._format.join(entries))
            )

    def _put_aside(self, payload: bytes) -> str:
        store = self._store
        aside = _Unsaved(store.next_moment(self._clock), payload)
        store.unsaved.append(aside)
        return f"{self.location}#{aside.id}"

    @uncut
    def destroy(self, *, backups: bool = False) -> None:
        """Forget the present state; it joins the past, or all is erased."""
        with self._writing("destroy") as store:
            store.entries = None
        if backups:
            self.purge()

    @uncut
    def purge(self) -> None:
        """Erase the past; the present state stays."""
        with self._writing("purge") as store:
            store.unsaved.clear()
            store.copied = None
            present = store.entries
            last = store.steps[-1:]
            store.oldest = {} if present is None else dict(present)
            # It changes nothing of the oldest state, nor begins a new database.
            store.steps = [
                step._replace(changes=(), anew=False, gap=False)
                for step in last
                if present is not None
            ]

    def is_worth_folding(self) -> bool:
        """Always False: a state is a root."""
        return False

    def close(self) -> None:
        """Let go of a state that is another engine's."""
        if self._store.held is not None:
            self._store.held.let_go()

    def _held(self) -> InTurn[_Store]:
        return self._turn(self._store)

    def _turn(self, held: T) -> InTurn[T]:
        return InTurn(self._store.lock, held, self._lock_timeout_s, self.location)

    def _writing(self, doing: str) -> InTurn[_Store]:
        self._require_writable(doing)
        return self._held()

    def _require_writable(self, doing: str) -> None:
        if self.readonly:
            msg = f"cannot {doing} {self.location!r}: opened with readonly=True"
            raise DatabaseReadOnlyError(msg)


def _size(changes: Changes) -> int:
    return sum(len(key) + len(value or b"") for key, value in changes)


class MemoryCatalog:
    """Databases in memory; each new catalog is empty.

    Args:
        name: For messages.
        root_format: How a root parts into entries.
        clock: Gives the times of backups.
        lock_timeout_s: How long to wait for another thread.
        keep: Which older states are kept.
    """

    def __init__(
        self,
        name: str = "",
        *,
        root_format: Format,
        clock: Clock = utc_now,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        keep: Keep | int | None = None,
    ) -> None:
        self._name = name
        self._format = root_format
        self._clock = clock
        self._lock_timeout_s = lock_timeout_s
        self._keep = Keep.of(keep)
        self._stores: dict[str, _Store] = {}
        self._lock = threading.RLock()

    @classmethod
    @uncut
    def named(
        cls,
        name: str,
        *,
        root_format: Format,
        keep: Keep | int | None = None,
    ) -> "MemoryCatalog":
        """The catalog that this process shares under a name while it is in use."""
        with _named_lock:
            catalog = _named.get(name)
            if catalog is None:
                catalog = _named[name] = cls(name, root_format=root_format, keep=keep)
            return catalog

    @property
    def location(self) -> str:
        """``memory://`` and the name of the catalog."""
        return f"{SCHEME}{self._name}"

    def create(self) -> None:
        """There is nothing to make."""

    @uncut
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
                root_format=self._format,
                clock=self._clock,
                lock_timeout_s=self._lock_timeout_s,
                readonly=readonly,
                keep=self._keep,
                store=self._stores[normal],
            )

    @uncut
    def names(self) -> list[str]:
        """The databases that were committed, sorted."""
        with self._lock:
            return sorted(
                name
                for name, store in self._stores.items()
                if store.entries is not None
            )

    def nameless(self) -> dict[str, str]:
        """None: all is made under a name."""
        return {}

    def exists(self, name: str) -> bool:
        """Whether there is such a database."""
        return check_name(name) in self.names()

    @uncut
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
            with (
                InTurn(moved.lock, None, self._lock_timeout_s, source),
                InTurn(there.lock, None, self._lock_timeout_s, target),
            ):
                for part in ("entries", "oldest", "steps", "copied", "unsaved"):
                    setattr(there, part, getattr(moved, part))
                there.commits = max(there.commits, moved.commits)
                moved.entries, moved.oldest, moved.copied = None, {}, None
                moved.steps, moved.unsaved = [], []

    @uncut
    def remove(self, name: str) -> None:
        """Destroy a database; its history stays."""
        with self._lock:
            self.engine(self._existing(name)).destroy()

    def close(self) -> None:
        """Nothing is held."""

    def _existing(self, name: str) -> str:
        if not self.exists(name):
            raise FileNotFoundError(2, "no such database", name)
        return check_name(name)


_named: "weakref.WeakValueDictionary[str, MemoryCatalog]" = (
    weakref.WeakValueDictionary()
)
_named_lock = threading.Lock()
