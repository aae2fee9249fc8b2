"""The unit of work: live data, the durable state they came from, and flush.

A session holds everything that saving needs and nothing that the user holds,
so a `Database` that is collected can still be flushed by its session.

Change is found by truth, not by flags: `Session.flush` encodes the live data
and compares each value with the bytes it was loaded from or last committed as.
Nested mutation at any depth is therefore always saved, and a flush without
changes writes nothing.

Writers meet by compare-and-swap. A commit names the version it was made
against; if the engine has moved on, it refuses, and the session merges by key::

    base ──── mine ────┐
      │                ├── same key, other value on both sides: ConflictError
      └───── theirs ───┘   else theirs are adopted in place, mine are committed

Nothing here opens a file; the engine may be a folder, memory or a server.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, NoReturn, cast

from storify.codec import Codec
from storify.database._refresh import refresh
from storify.engine import Commit, Engine, Loaded, StaleVersionError, Version
from storify.exceptions import ConflictError, UnstorableError
from storify.logger import LoggerLike

__all__ = ["Session", "flush_orphans", "is_open"]

Root = dict[Any, Any] | list[Any]

#: How often a flush starts anew because another thread changed a dict meanwhile.
_RACES = 5
#: How many keys an error names.
_SHOWN = 5
#: How often a flush merges and tries again before it gives other writers way.
_MERGES = 100

#: Every session that may still write, to refuse moving files under one.
_open_sessions: weakref.WeakSet["Session"] = weakref.WeakSet()
#: Sessions whose Database was collected while this thread was busy with another.
_orphans: SimpleQueue["Session"] = SimpleQueue()
_busy = threading.local()


def is_open(engine: Engine) -> bool:
    """Whether a live database of this process uses what *engine* keeps."""
    identity = engine.identity
    return any(each.engine.identity == identity for each in list(_open_sessions))


def flush_orphans() -> None:
    """Flush the databases that were collected while a flush was under way."""
    while not getattr(_busy, "depth", 0):
        try:
            session = _orphans.get_nowait()
        except Empty:
            return
        session.abandon()


@contextmanager
def _occupied() -> Generator[None]:
    # The collector may run a finalizer in the middle of a commit, in the very
    # thread that holds the engine's lock; it sees this mark and waits its turn.
    _busy.depth = getattr(_busy, "depth", 0) + 1
    try:
        yield
    finally:
        _busy.depth -= 1


class Session:
    """One open database: its live root and the state it is based on.

    Attributes:
        data: The live root, a dict or a list.
        lock: Held by load, flush and close; users take it for changes of
            several records that must be saved together.
        last_error: Why the last autosave failed, None if it did not.
        flushed_at_s: When flush was last tried, on the clock.

    Args:
        name: For messages.
        engine: Where the durable state lives.
        codec: Values to bytes and back.
        log: For what the owner of the data should know.
        initial: The root of a database that does not exist yet; used as it is.
        readonly: Whether the database must exist and must not be written.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        codec: Codec,
        log: LoggerLike,
        initial: Root,
        *,
        readonly: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.engine = engine
        self.log = log
        self.readonly = readonly
        self.lock = threading.RLock()
        self.data: Root = initial
        self.last_error: Exception | None = None
        self.flushed_at_s = clock()
        self._clock = clock
        self._codec = codec
        self._pid = os.getpid()
        self._version: Version | None = None
        self._payload = b""
        self._entries: dict[bytes, bytes] | None = {}
        self.load()
        _open_sessions.add(self)

    # -- reading ---------------------------------------------------------------

    def load(self) -> None:
        """Replace the live root by the durable state; unsaved changes are dropped.

        A database that does not exist keeps its live root.

        Raises:
            DatabaseLoadError: No usable copy; the live root is unchanged.
            FileNotFoundError: It does not exist and was opened read-only.
        """
        flush_orphans()
        with self.lock, _occupied():
            loaded = self.engine.load(self._codec.decode_root)
            if loaded is not None:
                self._rebase(loaded)
                self.data = loaded.value
            elif self.readonly:
                msg = (
                    f"cannot open database {self.name!r} read-only: "
                    f"{self.engine.location} does not exist"
                )
                raise FileNotFoundError(msg)

    def _rebase(self, loaded: Loaded[Root]) -> None:
        self._version = loaded.version
        self._payload = loaded.payload
        self._entries = None

    @property
    def _base(self) -> dict[bytes, bytes]:
        """The durable entries, key bytes to value bytes, split on first need."""
        if self._entries is None:
            self._entries = self._codec.split(self._payload)
            self._payload = b""
        return self._entries

    # -- comparing -------------------------------------------------------------

    def _encode(self) -> dict[bytes, bytes]:
        """Encode the live root, with a value's durable bytes where it is equal.

        Raises:
            UnstorableError: A value that could not be read back equal.
            RuntimeError: Another thread kept changing the data.
        """
        for attempt in range(_RACES):
            try:
                if isinstance(self.data, dict):
                    entries = self._codec.encode_items(self.data)
                else:
                    entries = {b"": self._codec.encode(self.data)}
            except RuntimeError:
                if attempt == _RACES - 1:
                    raise
            except UnstorableError as error:
                msg = f"cannot flush database {self.name!r}: {error}"
                raise UnstorableError(msg, error.path) from error
            else:
                self._settle(entries)
                return entries
        raise AssertionError  # pragma: no cover - the loop returns or raises

    def _settle(self, entries: dict[bytes, bytes]) -> None:
        """Give *entries* the durable bytes of values that mean the same.

        Another writer may have written a value in another spelling (a longer
        integer, an old field name). Only our own spelling can be compared, so
        its bytes are read and encoded once more, and kept if nothing changed.
        """
        self._entries = base = self._spell(self._base, entries)
        for key, value in entries.items():
            stored = base.get(key)
            if stored is None or stored == value:
                continue
            with suppress(ValueError, UnstorableError):
                if self._codec.encode(self._codec.decode(stored)) == value:
                    entries[key] = stored

    def _spell(
        self, stored: dict[bytes, bytes], known: Mapping[bytes, bytes]
    ) -> dict[bytes, bytes]:
        """Give *stored* with its keys spelled as in *known*, where they are there."""
        odd = {key: self._spelled(key) for key in stored if key and key not in known}
        if all(odd[key] == key for key in odd):
            return stored
        return {odd.get(key, key): value for key, value in stored.items()}

    def _spelled(self, key: bytes) -> bytes:
        return self._codec.encode_key(self._codec.decode(key))

    def _changes(self, entries: dict[bytes, bytes]) -> dict[bytes, bytes | None]:
        """What differs from the durable state; None is a deleted key."""
        base = self._base
        changes: dict[bytes, bytes | None] = {
            key: value for key, value in entries.items() if base.get(key) != value
        }
        changes.update((key, None) for key in base if key not in entries)
        return changes

    def dirty(self) -> set[Any]:
        """The keys whose values differ from the durable state.

        Deleted keys are among them. For a list root it is ``{None}`` when the
        list differs. A database that does not exist yet is dirty in every key.
        """
        with self.lock:
            return {self._key(key) for key in self._changes(self._encode())}

    def _key(self, key: bytes) -> Any:
        return self._codec.decode(key) if key else None

    # -- writing ---------------------------------------------------------------

    def flush(self) -> bool:
        """Make the live data durable; give whether anything was written.

        Changes that others committed to keys not changed here are adopted.

        Raises:
            ConflictError, UnstorableError, OSError, DatabaseLockedError,
            RuntimeError: Nothing was written; memory is as it was, and dirty.
        """
        flush_orphans()
        with self.lock, _occupied():
            for _ in range(_MERGES):
                entries = self._encode()
                changes = self._changes(entries)
                exists = self._version is not None
                if exists and not changes and list(entries) == list(self._base):
                    if not self.engine.changed_since(self._version):
                        break
                    self._merge(entries)
                    continue
                try:
                    self._commit(entries, changes)
                except StaleVersionError:
                    self._merge(entries)
                else:
                    self._flushed()
                    return True
            else:
                msg = (
                    f"cannot flush database {self.name!r}: other writers committed "
                    f"{_MERGES} times meanwhile; try again"
                )
                raise ConflictError(msg)
            self._flushed()
            return False

    def _flushed(self) -> None:
        self.last_error = None
        self.flushed_at_s = self._clock()

    def _commit(
        self, entries: dict[bytes, bytes], changes: Mapping[bytes, bytes | None]
    ) -> None:
        commit = Commit(
            base=self._version,
            changes=changes,
            payload=lambda: self._codec.join(entries),
        )
        self._version = self.engine.commit(commit)
        self._entries = entries
        self._payload = b""

    def _merge(self, entries: dict[bytes, bytes]) -> None:
        """Adopt what others committed since the base; *entries* are the live data.

        Raises:
            ConflictError: A key was changed on both sides, to different values.
        """
        loaded = self.engine.load(self._codec.decode_root)
        if loaded is None:
            self.log.warning(
                f"database {self.name!r} was removed by another program; "
                f"it is written again from memory"
            )
            self._version, self._payload, self._entries = None, b"", {}
            return
        base, mine = self._base, self._changes(entries)
        split = self._spell(self._codec.split(loaded.payload), base)
        theirs: dict[bytes, bytes | None] = {
            key: value for key, value in split.items() if base.get(key) != value
        }
        theirs.update((key, None) for key in base if key not in split)
        if isinstance(self.data, dict) and isinstance(loaded.value, dict):
            self._refuse_conflicts(mine, theirs)
            self._adopt(entries, self.data, split, loaded.value, theirs.keys() - mine)
            if not mine and list(self.data) != list(loaded.value):
                self._reorder(self.data, loaded.value)
        elif not mine:
            self.data = cast("Root", refresh(self.data, loaded.value))
        elif theirs and mine != theirs:
            self._refuse([b""])
        self._rebase(loaded)

    def _refuse_conflicts(
        self,
        mine: Mapping[bytes, bytes | None],
        theirs: Mapping[bytes, bytes | None],
    ) -> None:
        both = [key for key in mine if key in theirs and mine[key] != theirs[key]]
        if both:
            self._refuse(both)

    def _refuse(self, both: list[bytes]) -> NoReturn:
        keys = [self._key(key) for key in both if key]
        which = ", ".join(repr(key) for key in keys[:_SHOWN]) or "the whole list"
        more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        msg = (
            f"cannot flush database {self.name!r}: {which}{more} changed here and by "
            f"another writer; nothing was written, your values are in memory; "
            f"keep a copy of them and load() to take the other writer's"
        )
        raise ConflictError(msg, keys)

    def _adopt(
        self,
        entries: Mapping[bytes, bytes],
        data: dict[Any, Any],
        split: Mapping[bytes, bytes],
        value: dict[Any, Any],
        keys: AbstractSet[bytes],
    ) -> None:
        """Bring *keys* of the other writer's *value* into *data*, in its order."""
        # By position, not by look-up: a NaN is a key that only itself finds.
        mine = dict(zip(entries, data, strict=False))
        theirs = dict(zip(split, value, strict=False))
        # Deleted first: of two equal keys, as 1 and True, a dict keeps the old one.
        for encoded in keys - split.keys():
            data.pop(mine[encoded], None)
        for encoded, key in theirs.items():
            if encoded in keys:
                held = mine.get(encoded, key)
                data[held] = refresh(data.get(held), value[key])

    def _reorder(self, data: dict[Any, Any], like: dict[Any, Any]) -> None:
        ordered = {key: data[key] for key in like if key in data}
        data.clear()
        data.update(ordered)

    # -- the end ---------------------------------------------------------------

    def close(self) -> None:
        """Release the engine; nothing is written."""
        _open_sessions.discard(self)
        self.engine.close()

    def try_flush(self) -> bool:
        """Flush for the autosave: an error is logged and kept, not raised.

        Skipped while another thread holds the lock: it is changing records
        that belong together. Gives whether it was flushed.
        """
        if self._pid != os.getpid() or not self.lock.acquire(blocking=False):
            return False
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to
            if repr(self.last_error) != repr(error):
                self.log.traceback(f"autosave of database {self.name!r} failed")
            self.last_error = error
            self.flushed_at_s = self._clock()
            return False
        else:
            return True
        finally:
            self.lock.release()

    def finalize(self) -> None:
        """Flush a database that nobody holds any more, now or in its turn."""
        if getattr(_busy, "depth", 0):
            _orphans.put(self)
        else:
            self.abandon()

    def abandon(self) -> None:
        """Flush for the last time; what cannot be committed is put aside.

        A forked child does not write what its parent will. A database that was
        removed meanwhile is not made again, nor an empty one that never was.
        """
        if self._pid != os.getpid() or self not in _open_sessions:
            return
        try:
            if self._worth_a_flush():
                self.flush()
        except Exception:  # noqa: BLE001 - there is no next call to raise it in
            self.log.traceback(f"last flush of database {self.name!r} failed")
            self._put_aside()
        finally:
            self.close()

    def _worth_a_flush(self) -> bool:
        if self.readonly:
            return False
        if self._version is None:
            return bool(self.data)
        if not self.engine.changed_since(self._version):
            return True
        if self.engine.load(self._codec.decode_root) is not None:
            return True
        self.log.warning(f"database {self.name!r} was removed while it was open")
        return False

    def _put_aside(self) -> None:
        try:
            where = self.engine.save_unsaved(self._encode_storable())
        except OSError:
            self.log.traceback(f"unsaved data of database {self.name!r} are lost")
        else:
            self.log.error(f"unsaved data of database {self.name!r} are in {where}")

    def _encode_storable(self) -> bytes:
        """Encode all that can be; what cannot is named in the log."""
        if isinstance(self.data, list):
            items = [each for each in list(self.data) if self._storable(None, each)]
            return self._codec.encode(items)
        root = {
            key: value
            for key, value in list(self.data.items())
            if self._storable(key, value)
        }
        return self._codec.join(self._codec.encode_items(root))

    def _storable(self, key: object, value: object) -> bool:
        try:
            self._codec.encode_items({key: value})
        except (UnstorableError, RuntimeError) as error:
            self.log.error(f"lost from database {self.name!r}: {error}")
            return False
        return True
