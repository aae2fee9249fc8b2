"""The unit of work: live data, the durable state they came from, and flush.

A session holds everything that saving needs and nothing that the user holds,
so a `Database` that is collected can still be flushed by its session.

Change is found by truth, not by flags: `Session.flush` encodes the live data
and compares each value with the bytes it was loaded from or last committed as.
Nested mutation at any depth is therefore always saved, and a flush without
changes writes nothing.

Writers meet by compare-and-swap. A commit names the version it was made
against; if the engine has moved on, it refuses, and the session merges by key
(`_merge`) and tries again.

Nothing here opens a file; the engine may be a folder, memory or a server.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn, cast

from storify.codec import Codec
from storify.database import _farewell
from storify.database._merge import Changes, Live, adopt, changes_of, conflicts
from storify.database._refresh import refresh
from storify.engine import Commit, Engine, Loaded, StaleVersionError, Version
from storify.exceptions import ConflictError, UnstorableError
from storify.logger import LoggerLike

__all__ = ["Root", "Session"]

Root = dict[Any, Any] | list[Any]

#: How often a flush starts anew because another thread changed a value meanwhile.
_RACES = 5
#: How often a flush merges and tries again before it gives other writers way.
_MERGES = 100
#: How many keys an error names.
_SHOWN = 5


class Session:
    """One open database: its live root and the state it is based on.

    Attributes:
        data: The live root, a dict or a list.
        lock: Held by load, flush and close; users take it for changes of
            several records that must be saved together.
        last_error: Why the last autosave failed, None if it did not.
        flushed_at_s: When flush was last tried, on the clock.
        pid: The process it was opened in.

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
        self.pid = os.getpid()
        self._version: Version | None = None
        self._payload = b""
        self._entries: dict[bytes, bytes] | None = {}
        self.load()
        _farewell.remember(self)

    # -- reading ---------------------------------------------------------------

    def load(self) -> None:
        """Replace the live root by the durable state; unsaved changes are dropped.

        A database that does not exist keeps its live root.

        Raises:
            DatabaseLoadError: No usable copy; the live root is unchanged.
            FileNotFoundError: It does not exist and was opened read-only.
        """
        with self.lock, _farewell.occupied():
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

    def _encode(self) -> Live:
        """Encode the live root, with a value's durable bytes where it is equal.

        Raises:
            UnstorableError: A value that could not be read back equal.
            RuntimeError: Another thread kept changing the data.
        """
        for attempt in range(_RACES):
            try:
                encoded = self._encode_now()
            except RuntimeError:
                if attempt == _RACES - 1:
                    raise
            except UnstorableError as error:
                msg = f"cannot flush database {self.name!r}: {error}"
                raise UnstorableError(msg, error.path) from error
            else:
                self._settle(encoded.entries)
                return encoded
        raise AssertionError  # pragma: no cover - the loop returns or raises

    def _encode_now(self) -> Live:
        if isinstance(self.data, list):
            return Live({b"": self._codec.encode(self.data)}, {b"": None})
        # A copy: threads may add and delete keys meanwhile.
        data = dict(self.data)
        entries = self._codec.encode_items(data)
        return Live(entries, dict(zip(entries, data, strict=True)))

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

    def _changes(self, live: Live) -> Changes:
        """What differs from the durable state."""
        return changes_of(live.entries, self._base)

    def dirty(self) -> set[Any]:
        """The keys whose values differ from the durable state.

        Deleted keys are among them. For a list root it is ``{None}`` when the
        list differs. A database that does not exist yet is dirty in every key.
        """
        with self.lock:
            changes = self._changes(self._encode())
            return {self._key(key) for key in changes}

    def _key(self, key: bytes) -> Any:
        if not key:
            return None
        # As a key of a root: what cannot be hashed is something else there.
        return next(iter(self._codec.decode_root(b"\x81" + key + b"\xc0")))

    # -- writing ---------------------------------------------------------------

    def flush(self) -> bool:
        """Make the live data durable; give whether anything was written.

        Changes that others committed to keys not changed here are adopted.

        Raises:
            ConflictError, UnstorableError, OSError, DatabaseLockedError,
            RuntimeError: Nothing was written; memory is as it was, and dirty.
        """
        with self.lock, _farewell.occupied():
            for _ in range(_MERGES):
                live = self._encode()
                changes = self._changes(live)
                if not changes and self._is_durable(live.entries):
                    if not self.engine.changed_since(self._version):
                        break
                    self._merge(live)
                    continue
                try:
                    self._commit(live.entries, changes)
                except StaleVersionError:
                    self._merge(live)
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

    def _is_durable(self, entries: dict[bytes, bytes]) -> bool:
        """Whether a file is there and its keys are in this order."""
        return self._version is not None and list(entries) == list(self._base)

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

    def _merge(self, live: Live) -> None:
        """Adopt what others committed since the base.

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
        mine = self._changes(live)
        split = self._spell(self._codec.split(loaded.payload), self._base)
        theirs = changes_of(split, self._base)
        if isinstance(self.data, dict) and isinstance(loaded.value, dict):
            if both := conflicts(mine, theirs):
                self._refuse(both)
            found = dict(zip(split, loaded.value, strict=False))
            adopted = theirs.keys() - mine.keys()
            adopt(self.data, live.keys, loaded.value, found, adopted, ordered=not mine)
        elif not mine:
            self.data = cast("Root", refresh(self.data, loaded.value))
        elif theirs and mine != theirs:
            self._refuse([b""])
        self._rebase(loaded)

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

    # -- the end ---------------------------------------------------------------

    def close(self) -> None:
        """Release the engine; nothing is written."""
        _farewell.forget(self)
        self.engine.close()

    def try_flush(self) -> bool:
        """Flush for the autosave: an error is logged and kept, not raised.

        Skipped while another thread holds the lock: it is changing records
        that belong together. Gives whether it was flushed.
        """
        if self.pid != os.getpid() or not self.lock.acquire(blocking=False):
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

    def is_worth_a_flush(self) -> bool:
        """Whether a flush that nobody asked for should write.

        Not a read-only database, nor an empty one that was never saved, nor
        one that was removed meanwhile.
        """
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

    def encode_storable(self) -> bytes:
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
