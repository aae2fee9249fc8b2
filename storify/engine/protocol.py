"""The contract of engines: keys, bytes and versions in, durable state out.

An engine keeps *one* database; a catalog keeps a folder of them. Neither knows
models or MessagePack: keys and values are ``bytes``, and a `Format` says how a
whole root parts into them. Nothing here assumes files, so that an engine over
another database can stand behind the same names.

The cycle of a caller::

    snapshot = engine.open()            # a version, and what answers by key
    engine.commit(Commit(snapshot.version, changes))
        -> the new version, durable
        -> StaleVersionError: somebody committed since; catch up, commit again
        -> OSError: the old state stands; commit again when the cause is gone
    engine.changes_since(version)       # what others committed, None if nothing

Changes are ordered: a key that is set keeps its place or goes last, a key that is
deleted and set in one commit goes last.
"""

from collections.abc import (
    Callable,
    Collection,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain
from typing import Literal, NamedTuple, NewType, Protocol, cast

from storify.engine.moment import Keep

LOCK_TIMEOUT_S = 30.0
"""How long an engine waits for another writer unless told otherwise."""

SYNC_INTERVAL_S = 1.0
"""How old an unsynced commit may become with ``sync="interval"``."""

Sync = Literal["commit", "interval"]
"""``commit``: durable when `Engine.commit` returns. ``interval``: whole at every
instant, but a power cut may cost the commits since the last sync."""

Version = NewType("Version", str)
"""An opaque name of a state; equal versions mean equal content."""

BackupKind = Literal["snapshot", "commit", "unsaved", "legacy"]

Clock = Callable[[], datetime]
"""Gives the wall-clock time as an aware datetime."""

Change = tuple[bytes, bytes | None]
"""Encoded key and encoded value; None deletes the key."""

Changes = Collection[Change]
"""Changes in the order in which they take place; perhaps the items of a dict."""

Entry = tuple[bytes, bytes]
"""Encoded key and encoded value."""


def utc_now() -> datetime:
    """The default `Clock`."""
    return datetime.now(UTC)


def version_of(payload: bytes) -> Version:
    """The version of a whole root, for engines that name states by content."""
    return Version(sha256(payload).hexdigest())


def apply(entries: dict[bytes, bytes], changes: Changes) -> dict[bytes, bytes]:
    """Bring *changes* into *entries*, in place, and give them.

    A root without keys and one with keys exclude each other: the later one holds.
    """
    if not entries:
        whole = dict(changes)  # of a whole new root: no look at each
        if (
            len(whole) == len(changes)
            and b"" not in whole
            and None not in whole.values()
        ):
            entries.update(cast("dict[bytes, bytes]", whole))
            return entries
    for key, value in changes:
        if value is None:
            entries.pop(key, None)
        elif key:
            entries[key] = value
        else:
            entries.clear()
            entries[key] = value
    if b"" in entries and len(entries) > 1:
        del entries[b""]
    return entries


def difference(old: Iterable[Entry], new: Iterable[Entry]) -> list[Change]:
    """Return the fewest changes that make *new* of *old*, its order included.

    Both are read once, side by side. A set key keeps its place and a key that is deleted
    and set goes last, so what stays in its place is what *new* begins with.
    """
    befores = iter(old)
    gone: list[Change] = []
    later: list[Change] = []
    for key, value in new:
        for before, held in befores:
            if before != key:
                gone.append((before, None))
                continue
            if held != value:
                later.append((key, value))
            break
        else:
            later.append((key, value))
    gone += ((key, None) for key, _ in befores)
    return gone + later


class Format(Protocol):
    """The format of the bytes of a root; the codec is one."""

    def split(self, payload: bytes) -> dict[bytes, bytes]:
        """Part a root into key bytes and value bytes, in order.

        A root that has no keys is one value under the key ``b""``.

        Raises:
            ValueError: The payload is no root.
        """
        ...

    def join(self, entries: Mapping[bytes, bytes]) -> bytes:
        """Return the root that `split` would part into *entries*."""
        ...

    def head(self, count: int) -> bytes:
        """Return what a root with so many keys begins with, before its entries."""
        ...

    def check(self, payload: bytes) -> None:
        """Decode a root of unknown origin to its end.

        Raises:
            ValueError: It is not whole.
        """
        ...

    def canonical(self, blob: bytes) -> bytes:
        """Return a key or value of unknown origin in the bytes that we would write.

        As it is, if it cannot be read: only to compare it with another one.
        """
        ...

    def keyed(self, entries: Mapping[bytes, bytes]) -> str:
        """Return the one type of all keys, if each key can be found by its bytes.

        Returns:
            An empty text where a root must be read whole: keys that are equal may have
            other bytes, or a value depends on another one.
        """
        ...

    def part(self, entry: bytes) -> tuple[bytes, bytes]:
        """Part the bytes of one entry into key and value.

        Raises:
            ValueError: They are no entry.
        """
        ...

    def part_all(self, entries: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Part the bytes of so many entries, as they stand in a root, in order.

        Raises:
            ValueError: They are not as many entries.
        """
        ...

    def part_some(self, begin: bytes, most: int) -> list[tuple[bytes, bytes]]:
        """Part the entries, at most so many, that are whole in *begin*.

        Args:
            begin: Bytes of a root from where an entry begins.
            most: How many are left in the root.

        Raises:
            ValueError: What comes next is no entry, or can be told only in the whole.
        """
        ...

    def salvage(self, payload: bytes) -> list[tuple[bytes, bytes] | None]:
        """Return the entries of a damaged root, None for each damaged stretch."""
        ...

    def salvage_items(self, payload: bytes) -> list[bytes | None] | None:
        """Return the first items of a damaged root without keys, None for damaged ones.

        None alone if it does not begin as one.
        """
        ...

    def claimed(self, payload: bytes) -> int | None:
        """Return how many entries or items a damaged root says it has, if legible."""
        ...

    def items(self, payload: bytes) -> list[bytes]:
        """Part a root without keys into its items."""
        ...

    def join_items(self, items: Sequence[bytes]) -> bytes:
        """Return the root that `items` would part into *items*."""
        ...


class StaleVersionError(Exception):
    """Somebody committed since the base of this commit; nothing was written.

    The caller loads, merges its changes and commits again, so this error never
    reaches a user and stands outside the tree of `storify.exceptions`.
    """


class Snapshot(Protocol):
    """A state that answers questions; what is committed later does not change it.

    Attributes:
        version: Names the state.
        kind: The one type that all its keys have: `Format.keyed`. An empty text if it
            is to be read whole: that is as fast, or there is no other way.
    """

    version: Version
    kind: str

    def __len__(self) -> int:
        """The number of keys."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """Return the bytes of a value; None if there is no such key.

        Raises:
            CorruptionError: They are damaged and in no backup.
            StaleStateError: The state is not kept any more.
            OSError: They cannot be read now.
        """
        ...

    def items(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Iterate over keys and values in order, so many at a time that they are few.

        Raises:
            CorruptionError: The state is damaged and cannot be rebuilt as it was.
            StaleStateError: It is not kept any more.
            OSError: It cannot be read now.
        """
        ...

    def close(self) -> None:
        """Let go of what it takes from the system; it cannot be asked any more."""
        ...


class WholeSnapshot:
    """A `Snapshot` of what is in memory as a whole.

    Args:
        version: Names the state.
        entries: Its keys and values, in order; they are not changed any more.
        recovered_from: The backup that was used because the state itself was lost or
            damaged; None in the normal case.
        kind: The one type of its keys, if it is to be asked for single ones.
    """

    def __init__(
        self,
        version: Version,
        entries: Mapping[bytes, bytes],
        recovered_from: str | None = None,
        kind: str = "",
    ) -> None:
        self.version: Version = version
        self.kind: str = kind
        self.recovered_from: str | None = recovered_from
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> bytes | None:
        """Return the bytes of a value; None if there is no such key."""
        return self._entries.get(key)

    def items(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Return all keys and values at once: they are in memory."""
        yield list(self._entries.items())

    def close(self) -> None:
        """Do nothing: it takes nothing from the system."""


def each_entry(snapshot: "Snapshot | None") -> Iterator[Entry]:
    """Iterate over a state in order; there is nothing in one that is not there."""
    return chain.from_iterable(() if snapshot is None else snapshot.items())


def entries_of(snapshot: "Snapshot | None") -> dict[bytes, bytes]:
    """Return all keys and values of a state in order; none of one that is not there."""
    return dict(each_entry(snapshot))


class Newer(NamedTuple):
    """A notice that a state is no longer the present one.

    Attributes:
        version: The present state; None if the database is gone.
        changes: What was committed since; None if only `Engine.open` tells.
    """

    version: Version | None
    changes: Changes | None


def _nothing(_: bytes) -> None:
    return None


class Commit(NamedTuple):
    """One atomic change.

    Attributes:
        base: The version that the change was made from; None says that the
            database does not exist yet.
        changes: What is to change.
        stored: Gives the durable value of a key, or None. An engine may write
            the difference to it alone; it is asked for large values only.
        compact: Leave one whole root, whatever it costs.
        whole: Gives all entries after the changes. Asked for only if the present
            state turns out to be damaged.
        undone_on_error: The caller gives up what it wanted if this fails. Should it
            have come through all the same, it counts as the commit of somebody else,
            which the caller is to bring in; else it would be made stale by nothing.
    """

    base: Version | None
    changes: Changes
    stored: Callable[[bytes], bytes | None] = _nothing
    compact: bool = False
    whole: Callable[[], dict[bytes, bytes]] | None = None
    undone_on_error: bool = False


class Problem(NamedTuple):
    """Something that `Engine.verify` found.

    Attributes:
        place: The file or URL.
        what: What is wrong with it.
    """

    place: str
    what: str


class Salvaged(NamedTuple):
    """The part of a damaged database that could be saved.

    Attributes:
        entries: All that is intact, in order.
        lost: The key bytes of entries that are damaged and in no backup; of a root
            without keys the numbers of its items.
        older: The key bytes, or numbers, of what was taken from an older state.
        unnamed: How many more are lost.
        notes: What else is not known, such as a number that is illegible.
    """

    entries: Mapping[bytes, bytes]
    lost: Sequence[bytes | int] = ()
    older: Sequence[bytes | int] = ()
    unnamed: int = 0
    notes: Sequence[str] = ()


class BackupInfo(NamedTuple):
    """An older state, or one that could not be saved.

    Attributes:
        id: Names it in `Engine.state`; later ones sort after.
        time: When the state inside was committed, in UTC, as the clock said, which
            may have been wrong; None if unknown.
        size_bytes: What it takes: a whole root, or the change alone.
        kind: ``snapshot`` and ``commit`` were durable once, the second is kept
            as the change that led to it; ``unsaved`` never became the state of
            the database; ``legacy`` is a numbered backup of release 0.0.11.
    """

    id: str
    time: datetime | None
    size_bytes: int
    kind: BackupKind


class Engine(Protocol):
    """One database: keys, bytes and versions to durable state.

    Methods may be called from any thread, and from the handler of a signal. None is
    cut in half by one: what a call does on disk and in the engine it does as a whole,
    in a thread of its own (`storify.threads`). An engine holds no lock between calls,
    except inside `locked`.
    """

    keep: Keep
    """Which older states are kept. The newest good one is never pruned."""

    streams: bool
    """Whether no state is in memory whole here, so that a large one comes in parts."""

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

    def open(self) -> Snapshot | None:
        """Open the present state, recovered if it is damaged.

        Returns:
            The state; None if the database does not exist.

        Raises:
            DatabaseLoadError: The state is no root, or no regular file. Nothing
                was changed.
            CorruptionError: The state is damaged and no backup can replace it.
                Nothing was changed.
            DatabaseLockedError: Another writer held the lock for too long.
            OSError: The state could not be read.
        """
        ...

    def committed_at(self) -> datetime | None:
        """The time of the commit that was opened or made last.

        None if that is not known, as of a file that another program has written.

        Raises:
            OSError: The state could not be read.
        """
        ...

    def commit(self, commit: Commit) -> Version:
        """Make a change durable, all of it or nothing.

        With ``sync="interval"`` it is durable only after `sync`.

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

    def changes_since(self, version: Version | None) -> Newer | None:
        """The changes committed since *version*; None, and cheap, if there are none.

        None as a version stands for a database that does not exist. A damaged
        state is news. Takes no lock.

        Raises:
            OSError: The state could not be read.
        """
        ...

    def sync(self) -> None:
        """Make every commit durable that is not yet.

        Raises:
            OSError: They are not; the next call tries again.
        """
        ...

    def unsynced(self) -> bool:
        """Whether there are commits of this engine that a power cut may cost."""
        ...

    def writable(self) -> bool:
        """Whether a commit could succeed here, as far as can be seen."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Keep every other writer out for the length of a ``with`` block.

        The calls of the same engine by the same caller, a task or a thread, go
        through. Blocks nest. Another engine of this caller is told at once that it
        would wait for ever. A block that is dropped without being left gives the lock
        back.

        Raises:
            DatabaseReadOnlyError: The engine was opened for reading.
            DatabaseLockedError: Another writer held the lock for too long.
            OSError: The lock could not be made.
        """
        ...

    def is_locked_by_caller(self) -> bool:
        """Whether the caller is inside `locked` of this database, by any engine."""
        ...

    def backup(self) -> str | None:
        """Copy the present state into the backups now.

        Returns:
            The id; None if there is no state. A state that has a backup already
            is not copied again.

        Raises:
            CorruptionError: The state is damaged; open it, so that it is recovered.
            DatabaseReadOnlyError: The engine was opened for reading.
            DatabaseLockedError: Another writer held the lock for too long.
            OSError: Nothing was added.
        """
        ...

    def backups(self) -> list[BackupInfo]:
        """All older states, newest first; those without a time last."""
        ...

    def backup_path(self, backup_id: str) -> str:
        """The path of a backup; for a ``commit`` that of the file that holds it.

        Raises:
            FileNotFoundError: There is no such backup.
        """
        ...

    def state(self, which: str | datetime) -> Snapshot:
        """Open an older state.

        Args:
            which: The id of a backup; or a time, for the state that was committed last
                at or before it.

        Raises:
            FileNotFoundError: There is no such backup; no state that old is kept.
            MisdatedError: It is not known which one that is: the clock was wrong
                about then. It is a FileNotFoundError, too.
            CorruptionError: That state is damaged.
        """
        ...

    def verify(self) -> list[Problem]:
        """Read everything that is kept and give what is wrong; changes nothing.

        Raises:
            OSError: Something could not be read now.
        """
        ...

    def salvage(self) -> Salvaged | None:
        """Return what can be saved, entry by entry; changes nothing.

        For a database that `open` cannot recover. None if there is none.

        Raises:
            OSError: Something could not be read now.
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

    def purge(self) -> None:
        """Erase all backups, unsaved and damaged states too; the database stays.

        Raises:
            DatabaseReadOnlyError: The engine was opened for reading.
            DatabaseLockedError: Another writer held the lock for too long.
            OSError: Some may be there still.
        """
        ...

    def is_worth_folding(self) -> bool:
        """Whether to leave one whole root is worth the time of an idle moment.

        By a commit without changes, with ``compact=True``.
        """
        ...

    def close(self) -> None:
        """Release what is held, and make the state one whole root where that pays.

        Only what this engine committed is its to fold. Calling it twice is fine.

        Raises:
            OSError: The state is durable all the same, as changes to a root.
        """
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

    def nameless(self) -> dict[str, str]:
        """The paths of what stands among the databases and no name leads to.

        As a file of an older release whose name is not portable; by the names that
        they had, sorted.
        """
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

    def close(self) -> None:
        """Release what is held for all databases; they can be used again."""
        ...
