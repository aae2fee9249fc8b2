"""The older states of one database, as the guide describes them (section 9.2).

Each flush that replaces a state keeps it: as a whole root in ``.backups/<name>/``
or, for a large database, as the change that led away from it. Only states that
were verified count, and only after the new state is durable are old ones pruned.
`Backups` is a view: the engine keeps and finds the states; here one is compared with
the live content, and restored.
"""

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from storify.database.session.keys import LIST, contents, decode_keys
from storify.database.session.merge import catch_up
from storify.database.session.root import Pending
from storify.database.session.session import Session
from storify.engine import (
    Change,
    Commit,
    Keep,
    Newer,
    Problem,
    Snapshot,
    Version,
    WholeSnapshot,
    difference,
    each_entry,
)

if TYPE_CHECKING:
    from storify.codec import Codec
    from storify.database._database import BaseDatabase
    from storify.database._source import Source

__all__ = ["Backups", "Diff"]

Entry = tuple[bytes, bytes]

_NOTHING: Final = WholeSnapshot(Version(""), {})


class Diff(NamedTuple):
    """The differences of the live content from an older state.

    Attributes:
        added: The keys that are there now and were not then.
        removed: The keys that were there then.
        changed: The keys whose values are others. A list root has no keys: it
            is None.
    """

    added: set[Any]
    removed: set[Any]
    changed: set[Any]


class Backups:
    """The older states of one database, as ``db.backups``.

    Where a method takes *which* state: the id of a backup (`list`), the number of
    one of release 0.0.11, or an aware datetime for the state that was committed
    last at or before it.

    Attributes:
        db: The database.
    """

    def __init__(self, db: "BaseDatabase[Any, Any]", source: "Source") -> None:
        self.db = db
        self._source = source
        self._session = source.session
        self._engine = self._session.engine

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
    def keep(self) -> Keep:
        """The number of older states kept as long as the database is open.

        Set it to a number or a `Keep`; the next flush prunes by it. The newest
        good state is always kept.
        """
        return self._engine.keep

    @keep.setter
    def keep(self, keep: Keep | int) -> None:
        self._engine.keep = Keep.of(keep)

    @property
    def max_backups(self) -> int:
        """The number of newest states kept, at least 1; 5 unless set.

        It is ``keep.last``, under its name in release 0.0.11.
        """
        return self.keep.last

    @max_backups.setter
    def max_backups(self, count: int) -> None:
        if count < 1:
            msg = f"max_backups must be at least 1, got {count}"
            raise ValueError(msg)
        self.keep = self.keep._replace(last=count)

    @property
    def list(self) -> "list[str]":
        """The ids of all backups, newest first, as a new list.

        An id starts with the time of the state in it, or, where the clock went
        back, with one that keeps the order of the commits; those of release 0.0.11
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
        """Return the path of a backup; `Database.load` takes that of a whole state.

        In a large database a backup may be one commit in a journal (``….journal``):
        the path is the journal's then, which cannot be loaded. `restore` takes
        every id.

        Raises:
            FileNotFoundError: There is no such backup.
        """
        return self._engine.backup_path(str(backup_id))

    def restore(
        self, which: str | int | datetime, keys: Iterable[Any] | None = None
    ) -> set[Any]:
        """Make an older state the present one, or some keys of it.

        Unsaved changes are flushed first, so that the state before can be
        restored in turn. The restored state is durable on return. Objects that
        you hold stay live: lists, dicts, sets and models take the old content in
        place.

        Args:
            which: The state.
            keys: What to restore, all of it unless given. A key that was not
                there then is deleted.

        Returns:
            The keys that changed; ``{None}`` for a list root.

        Raises:
            FileNotFoundError: There is no such backup, no state that old.
            MisdatedError: As `Database.at`.
            CorruptionError: That state is damaged; others may be good.
            KeyError: One of *keys* is neither in that state nor in the present.
            TypeError: *keys* were given, and a root is a list.
            ValueError: A datetime without a time zone.
            TransactionError: Inside a transaction.
            DatabaseReadOnlyError: The database was opened read-only.
            The errors of `Database.flush`: nothing was restored.
        """
        self._source.writable()
        session = self._session
        with session.lock:
            session.ready("restore a backup of")
            return _restore(session, state_of(session, which), keys)

    def diff(self, which: str | int | datetime) -> Diff:
        """Compare an older state with the live content, unsaved changes included.

        Raises:
            FileNotFoundError: There is no such backup, no state that old.
            MisdatedError: As `Database.at`.
            CorruptionError: That state is damaged.
            ValueError: A datetime without a time zone.
        """
        return _compare(self._session, state_of(self._session, which))

    def verify(self) -> Sequence[Problem]:
        """Read everything that is kept and give what is wrong; changes nothing.

        The file, its journal and all backups are compared with their checksums.

        Raises:
            OSError: Something could not be read now.
        """
        return self._engine.verify()

    def purge(self) -> None:
        """Erase all backups, unsaved and damaged states too; the database stays.

        Raises:
            DatabaseReadOnlyError: The database was opened read-only.
            DatabaseLockedError: Another process kept the lock.
            OSError: Some may be there still.
        """
        self._engine.purge()

    def __repr__(self) -> str:
        return f"<Backups of {self.name!r} ({len(self.list)} kept)>"


def state_of(session: Session, which: datetime | str | int) -> Snapshot:
    """Open the state that was committed last at or before a time, or a backup by id.

    Raises:
        TypeError: *which* is neither.
        ValueError: The time has no time zone.
        FileNotFoundError: No state that old is kept, no such backup.
        MisdatedError: It is not known which state that is.
    """
    if isinstance(which, (str, int)):
        try:
            return session.engine.state(str(which))
        except FileNotFoundError as error:
            msg = (
                f"database {session.name!r} has no backup {which!r}; db.backups.list "
                f"gives their ids, an aware datetime is a time"
            )
            raise FileNotFoundError(errno.ENOENT, msg, error.filename) from error
    time: Any = which
    if not isinstance(time, datetime):
        msg = (
            f"cannot look up database {session.name!r} at a "
            f"{type(time).__qualname__}: pass the id of a backup or an aware datetime"
        )
        raise TypeError(msg)
    if time.utcoffset() is None:
        msg = (
            f"cannot look up database {session.name!r} at {time}: it has no time "
            f"zone; pass an aware datetime, as datetime.now(UTC)"
        )
        raise ValueError(msg)
    return session.engine.state(time)


def _restore(session: Session, state: Snapshot, keys: Iterable[Any] | None) -> set[Any]:
    """Commit an older state, or some keys of it, and bring it into memory.

    Raises:
        KeyError: A key is in neither state.
        TypeError: There are no keys in a list root.
        As `Session.flush`: nothing was restored.
    """
    with session.lock, session.locked(), closing(state):
        session.flush()
        with closing(session.engine.open() or _NOTHING) as present:
            if keys is not None:
                changes = _of_keys(session, present, state, [*dict.fromkeys(keys)])
            else:
                changes = difference(each_entry(present), each_entry(state))
            if not changes:
                return set()
            version = session.engine.commit(
                Commit(session.version, changes, present.get, undone_on_error=True)
            )
        session.sync()
        catch_up(session, "restore a backup of", known=Newer(version, changes))
        session.make_room()
        return set(decode_keys(session.codec, contents(changes)))


def _of_keys(
    session: Session, present: Snapshot, state: Snapshot, keys: list[Any]
) -> list[Change]:
    """Return the changes that make some keys what they were."""
    # By equality, as a dict finds them: 1 there takes the place of True here.
    here = _some(session, present, set(keys))
    there = _some(session, state, set(keys))
    gone: list[Change] = []
    found: list[Change] = []
    for key in keys:
        if key not in here and key not in there:
            raise KeyError(key)
        now, then = here.get(key), there.get(key)
        if now is not None and (then is None or now[0] != then[0]):
            gone.append((now[0], None))
        if then is not None and now != then:
            found.append(then)
    return gone + found


def _some(
    session: Session, state: Snapshot, keys: set[Any]
) -> dict[Any, tuple[bytes, bytes]]:
    """Return the entries of some keys; nothing else is held in memory.

    Raises:
        TypeError: There are no keys in a list root.
    """
    found: dict[Any, tuple[bytes, bytes]] = {}
    for entries in state.items():
        blobs = [key for key, _ in entries]
        if LIST in blobs:
            msg = (
                f"cannot restore keys of database {session.name!r}: its root is a list"
            )
            raise TypeError(msg)
        pairs = zip(decode_keys(session.codec, blobs), entries, strict=True)
        found |= {key: entry for key, entry in pairs if key in keys}
    return found


def _compare(session: Session, state: Snapshot) -> Diff:
    """Return how the live content differs from an older state."""
    codec, root = session.codec, session.root
    with session.lock:
        session.finish_cut_off()
        pending, refused = session.begin_look()
        # What cannot be stored is there all the same.
        here = {None} if root.is_list and refused else set(refused)
        before: set[Any] = set()

        def old() -> Iterator[Entry]:
            for some in state.items():
                canonical = root.canonical_entries(dict(some))
                if here:
                    before.update(here.intersection(decode_keys(codec, canonical)))
                yield from canonical.items()

        try:
            added, removed, changed = _differing(
                codec, old(), _present(session, pending)
            )
        finally:
            pending.drop()
    return Diff(added | here - before, removed - here, changed | here & before)


def _present(session: Session, pending: Pending) -> Iterator[Entry]:
    """Iterate over the live content; what is not in memory is not brought there."""
    root, new = session.root, contents(pending.changes)
    snapshot = None if root.slots.is_filled() else session.engine.open()
    if snapshot is None or snapshot.version != session.version:
        yield from root.entries(pending.changes).items()
        return
    for key, value in each_entry(snapshot):
        after = new.pop(key, value)
        if after is not None:
            yield key, after
    snapshot.close()
    yield from ((key, value) for key, value in new.items() if value is not None)


def _differing(
    codec: "Codec", old: Iterable[Entry], new: Iterable[Entry]
) -> tuple[set[Any], set[Any], set[Any]]:
    """Return the keys that were added, removed and changed.

    Both are gone through side by side: what is in memory is what stands in other places.
    """
    gone: dict[bytes, bytes] = {}
    added: dict[bytes, bytes] = {}
    changed: list[bytes] = []
    for pair in zip_longest(old, new):
        for entry, side in zip(pair, (gone, added), strict=True):
            if entry is not None:
                side[entry[0]] = entry[1]
        for key in {entry[0] for entry in pair if entry is not None}:
            if key in gone and key in added:
                was, now = gone.pop(key), added.pop(key)
                if not codec.same_value(was, now):
                    changed.append(key)
    new_keys, old_keys = decode_keys(codec, added), decode_keys(codec, gone)
    return set(new_keys), set(old_keys), set(decode_keys(codec, changed))
