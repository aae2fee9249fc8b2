"""The folder of backups of one database: names, order, retention.

::

    20261123T054100.123456Z-<32 hex of its sha256>.mpack   a state and its commit time
    20261123T054100.123456Z-<32 hex of its sha256>.journal what was committed after it
    20261123T054100.123456Z.unsaved.mpack    what could not be saved at exit
    20261123T054100.123456Z.corrupt          a damaged main file, newest 5 kept
    7                                        a numbered backup of release 0.0.11

Where the clock went back, the time is two: see `moment`. The hash in the name proves
the content, so no backup depends on a record. One state has one name: backing it up
again changes nothing, and so a commit that fails many times cannot push good backups
out. Other names are never touched.
"""

import contextlib
import os
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter
from typing import NamedTuple

from storify.engine.file import vfs
from storify.engine.file.log import Frame, Frames, last_frame
from storify.engine.moment import (
    STAMP,
    Keep,
    dropped,
    moment_of,
    next_moment,
    stamp_of,
    time_of,
)
from storify.engine.protocol import BackupInfo, BackupKind, Clock
from storify.exceptions import CorruptionError
from storify.logger import LoggerLike

__all__ = ["BackupFolder", "Entry", "damage_of"]

# Compiled when they are needed: together they take 1.5 ms of each start.
SNAPSHOT = rf"({STAMP})-([0-9a-f]{{16,64}})\.mpack"
JOURNAL_SUFFIX = ".journal"
JOURNAL = rf"({STAMP})-([0-9a-f]{{16,64}})\.journal"
UNSAVED = rf"({STAMP})\.unsaved\.mpack"
CORRUPT = rf"({STAMP})\.corrupt"
LEGACY = r"0|[1-9]\d{0,17}"
HASH_DIGITS = 32
CORRUPT_KEPT = 5


class Entry(NamedTuple):
    """One backup file.

    Attributes:
        name: Of the file.
        kind: What it is.
        digest: Start of the hash that it must have; empty if none is known.
        stamp: When it was committed, as in its name; empty for legacy ones.
        number: Of a legacy backup, else 0.
    """

    name: str
    kind: BackupKind
    digest: str = ""
    stamp: str = ""
    number: int = 0

    @property
    def id(self) -> str:
        """The name that users see."""
        return self.name.removesuffix(".mpack")


_NAME = attrgetter("name")
#: Sorts older first; legacy ones, without a time, before all others.
_ORDER = attrgetter("stamp", "number", "name")


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _match(pattern: str, name: str) -> re.Match[str] | None:
    return _compiled(pattern).fullmatch(name)


@lru_cache(1024)  # each commit looks at all names
def _entry(name: str) -> Entry | None:
    if not name.endswith(".mpack"):
        number = _match(LEGACY, name)
        return Entry(name, "legacy", number=int(name)) if number else None
    if (match := _match(SNAPSHOT, name)) and time_of(match[1]):
        return Entry(name, "snapshot", digest=match[2], stamp=match[1])
    if (match := _match(UNSAVED, name)) and time_of(match[1]):
        return Entry(name, "unsaved", stamp=match[1])
    return None


def _entries(names: Iterable[str]) -> list[Entry]:
    found = [entry for entry in map(_entry, names) if entry is not None]
    return sorted(found, key=_ORDER, reverse=True)


def _same_file(one: str, other: str) -> bool:
    first, second = vfs.look(one), vfs.look(other)
    return first is not None and second is not None and first.inode == second.inode


def damage_of(path: str) -> CorruptionError:
    """Say what is wrong with a backup."""
    return CorruptionError(
        f"backup {path!r} is damaged: its content does not match the hash in its name; "
        f"use another backup"
    )


def _digest_of(path: str) -> str:
    """The sha256 of a file, in hex."""
    digest = sha256()
    for part in vfs.read_parts(path):
        digest.update(part)
    return digest.hexdigest()


def _checked(path: str, digest: str) -> Generator[bytes]:
    """Read a file in parts; at its end it must have had that sha256."""
    found = sha256()
    with closing(vfs.read_parts(path)) as parts:
        for part in parts:
            found.update(part)
            yield part
    if found.hexdigest() != digest:
        msg = f"{path!r} is damaged: it was whole when it was noted"
        raise CorruptionError(msg)


class BackupFolder:
    """Reads and writes the backups; the caller holds the lock for writing.

    Args:
        path: The folder; need not exist.
        prefix: Starts the names of temporary files.
        log: Told what is wrong with a backup.
    """

    def __init__(self, path: str, prefix: str, log: LoggerLike) -> None:
        self.path = path
        self._begin = os.path.join(path, "")
        self._prefix = prefix
        self._log = log
        #: What the last `prune` has left, newest first.
        self._left: list[Entry] | None = None

    def entries(self) -> list[Entry]:
        """All backups, newest first; legacy ones last, by number."""
        return _entries(vfs.list_names(self.path))

    def infos(self) -> list[BackupInfo]:
        """All backups that are regular files, newest first."""
        infos: list[BackupInfo] = []
        for entry in self.entries():
            with contextlib.suppress(vfs.NotRegularFileError):
                found = vfs.look(self.file(entry.name))
                if found is not None:
                    time = time_of(entry.stamp)
                    infos.append(BackupInfo(entry.id, time, found.size, entry.kind))
        return infos

    def journal(self, backup_id: str) -> str:
        """The path of what was committed on top of a backup; it need not exist."""
        return f"{self._begin}{backup_id}{JOURNAL_SUFFIX}"

    def file(self, name: str) -> str:
        """The path of a name in the folder."""
        return self._begin + name

    def find(self, backup_id: str) -> Entry:
        """The backup with an id, whether or not its file exists.

        Raises:
            FileNotFoundError: No backup can have this id; paths least of all.
        """
        entry = _entry(backup_id) or _entry(f"{backup_id}.mpack")
        if entry is None or entry.id != backup_id:
            msg = "no such backup"
            raise FileNotFoundError(2, msg, backup_id)
        return entry

    def own_file(self, backup_id: str) -> str | None:
        """The path of a backup that is a file; None if there is none of this id."""
        try:
            path = self.file(self.find(backup_id).name)
        except FileNotFoundError:
            return None
        return None if vfs.look(path) is None else path

    def check(self, entry: Entry) -> None:
        """Compare a backup with what its name says.

        Raises:
            CorruptionError: It is another one.
        """
        path = self.file(entry.name)
        if not _digest_of(path).startswith(entry.digest):
            raise damage_of(path)

    def candidates(self, since: str | None) -> Iterator[Entry]:
        """The backups a recovery may try, newest first: never an unsaved state.

        Args:
            since: Leave out what is older; it belonged to a predecessor.
        """
        for entry in self.entries():
            if entry.kind != "unsaved" and (since is None or entry.stamp >= since):
                yield entry

    def newest(self) -> Entry | None:
        """The newest state that is kept whole and has a time."""
        kept = (entry for entry in self.entries() if entry.kind == "snapshot")
        return next(kept, None)

    def frames(self, entry: Entry) -> Sequence[Frame]:
        """The commits kept beside a backup, as far as they are whole.

        Raises:
            OSError: This process cannot read them now.
        """
        try:
            source = vfs.source(self.journal(entry.id))
            frames = Frames.found(source, entry.digest or "-", source.found.size)
        except OSError as err:
            vfs.raise_if_passing(err)
            return ()  # it is missing, or as good as that
        return frames or ()

    def last(self, entry: Entry) -> Frame | None:
        """The last commit kept beside a backup, of others only the heads are read.

        Raises:
            OSError: This process cannot read it now.
        """
        try:
            source = vfs.source(self.journal(entry.id))
            frame = last_frame(source, entry.digest or "-", source.found.size)
        except OSError as err:
            vfs.raise_if_passing(err)
            return None
        if frame is None:  # it may be torn: then what is before that counts
            frames = self.frames(entry)
            frame = frames[-1] if frames else None
        return frame

    def keep(
        self,
        source: str,
        payload: bytes | Iterable[bytes] | None,
        digest: str,
        stamp: str,
        *,
        link: bool,
    ) -> tuple[str, bool]:
        """Back up one state, durable after the folder is synced.

        Args:
            source: The main file.
            payload: The state, or its parts; what the main file holds unless given.
            digest: Its sha256, in hex.
            stamp: When it was committed.
            link: Share the file instead of copying it. Only right if the main
                file is about to be replaced: a foreign program that writes into
                it would change the backup too.

        Returns:
            Its id, and whether it is new.

        Raises:
            CorruptionError: The main file does not hold it; nothing was written.
            OSError: Nothing was written.
        """
        backup = f"{stamp}-{digest[:HASH_DIGITS]}"
        path = f"{self._begin}{backup}.mpack"
        try:
            if link and vfs.hard_link(source, path):
                return backup, True
        except FileExistsError:
            if self._holds(path, digest):
                return backup, False
            self._log.warning(f"backup {path!r} was damaged and is replaced")
        else:
            if self._holds(path, digest) and (link or not _same_file(source, path)):
                return backup, False
        if payload is not None:
            vfs.replace_bytes(path, payload, self._prefix)
        else:
            with closing(_checked(source, digest)) as parts:
                vfs.replace_bytes(path, parts, self._prefix)
        return backup, True

    def _holds(self, path: str, digest: str) -> bool:
        try:
            return _digest_of(path) == digest
        except FileNotFoundError:
            return False

    def free_name(self, clock: Clock, suffix: str) -> str:
        """A path for a new file with a time in its name, after all others of its kind.

        Whatever the clock says: the newest ones are kept longest.
        """
        taken = [
            moment
            for name in vfs.list_names(self.path)
            if name.endswith(suffix)
            and (moment := moment_of(name.removesuffix(suffix))) is not None
        ]
        moment = next_moment(max(taken, default=None), clock())
        return self.file(f"{stamp_of(*moment)}{suffix}")

    def keep_corrupt(self, source: str, clock: Clock) -> str:
        """Link a damaged file under a second name here; durable on return.

        A link is preferred, since it needs no reading of what is unreadable.
        """
        damaged = vfs.look(source)
        for name in vfs.list_names(self.path):
            if _match(CORRUPT, name) and damaged is not None:
                # Kept already, by a recovery that was interrupted.
                other = vfs.look(self.file(name))
                if other is not None and other.inode == damaged.inode:
                    return self.file(name)
        path = self.free_name(clock, ".corrupt")
        if not vfs.hard_link(source, path):
            with closing(vfs.read_parts(source)) as parts:
                vfs.replace_bytes(path, parts, self._prefix)
        vfs.sync_directory(self.path)
        return path

    def prune(
        self, keep: Keep, good: str | None, clock: Clock, *, again: bool = False
    ) -> None:
        """Delete the snapshots that a policy drops, and old damaged files.

        Args:
            keep: Which ones stay; at least the newest good one does.
            good: The id of one that was verified just now.
            clock: Tells the time, where there are hours and days to keep.
            again: Whether nobody has committed since the last time: then *good* alone
                is new, and the folder need not be listed.
        """
        left, self._left = self._left, None
        names: list[str] = []
        if again and good is not None and left is not None:
            stamp, _, digest = good.rpartition("-")
            newest = Entry(f"{good}.mpack", "snapshot", digest, stamp)
            entries = left if newest in left else [newest, *left]
        else:
            names = vfs.list_names(self.path)
            entries = [entry for entry in _entries(names) if entry.kind != "unsaved"]
        excess = entries[max(keep.last, 1) :]
        if keep.hourly or keep.daily:
            times = [time_of(entry.stamp) for entry in entries]
            excess = [entries[place] for place in dropped(times, keep, clock())]
        # The first stays always; it is the good one as a rule.
        if excess and entries[0].name != f"{good}.mpack":
            gone = set(excess)
            stay = [entry for entry in entries if entry not in gone]
            if not any(entry.id == good for entry in stay):
                excess = self._without_newest_good(stay, excess)
        for entry in excess:
            self.remove(entry)
        self._left = [entry for entry in entries if entry not in excess]
        if names:
            self._sweep(names, entries)

    def _sweep(self, names: Iterable[str], entries: Iterable[Entry]) -> None:
        """Delete journals whose backups are gone, and old damaged files."""
        kept = set(map(_NAME, entries))
        corrupt: list[str] = []
        for name in names:
            if name.endswith(JOURNAL_SUFFIX):
                whole = name.removesuffix(JOURNAL_SUFFIX) + ".mpack"
                if whole not in kept and _match(JOURNAL, name):
                    vfs.remove(self.file(name))
            elif name.endswith(".corrupt") and _match(CORRUPT, name):
                corrupt.append(name)
        for name in sorted(corrupt, reverse=True)[CORRUPT_KEPT:]:
            # A folder that was set aside is nothing that grows.
            with contextlib.suppress(vfs.NotRegularFileError):
                vfs.look(self.file(name))
                vfs.remove(self.file(name))

    def remove(self, entry: Entry) -> None:
        """Delete a backup and what was committed on top of it."""
        path = self.file(entry.name)
        vfs.remove(path.removesuffix(".mpack") + JOURNAL_SUFFIX)
        vfs.remove(path)

    def _without_newest_good(
        self, stay: list[Entry], excess: list[Entry]
    ) -> list[Entry]:
        for entry in [*stay, *excess]:
            # A legacy backup proves nothing by itself.
            if entry.digest and self._is_good(entry):
                return [other for other in excess if other is not entry]
        return []

    def _is_good(self, entry: Entry) -> bool:
        try:
            self.check(entry)
        except (OSError, CorruptionError) as err:
            self._log.warning(f"backup {self.file(entry.name)!r} is not usable: {err}")
            return False
        return True

    def erase(self) -> None:
        """Delete every backup and damaged file; strangers stay."""
        for name in vfs.list_names(self.path):
            if _entry(name) or _match(CORRUPT, name) or _match(JOURNAL, name):
                vfs.remove(self.file(name))
        if os.path.isdir(self.path):
            vfs.sync_directory(self.path)
