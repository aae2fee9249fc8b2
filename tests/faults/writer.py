"""A program that commits one generation after the other until it is stopped.

It says ``opening``, then ``found <generation>``, then ``kept <generation> <time>``
when one was acknowledged, and ``refused <why>`` if the disk gave up::

    python -m faults.writer STORE SHAPE FOLDER REOPEN

STORE is ``flush``, ``autosave``, ``interval``, or one of the references that
show whether the test can see anything: ``atomic``, ``nofsync``, ``late``,
``inplace``. With REOPEN the database is closed and opened after so many commits.
"""

import itertools
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Protocol

from faults.generations import MANY, NAME, SHAPES, Shape, backups_of, open_db
from faults.programs import say
from storify import StorifyError

#: Of the stores that save or sync at intervals.
INTERVAL_S = 0.1


class Store(Protocol):
    """Keeps a generation in a folder."""

    def __init__(self, folder: Path, shape: Shape) -> None: ...

    def found(self) -> int:
        """What is there; raises if it is not whole."""
        ...

    def commit(self, generation: int) -> None:
        """Keep a generation; it is acknowledged on return."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class Flushed:
    """The library: a generation is acknowledged by `flush`."""

    options = {}

    def __init__(self, folder: Path, shape: Shape) -> None:
        self.sf, self.db = open_db(folder, **self.options)
        self.shape = shape

    def found(self) -> int:
        """What is there, with backups that are all good."""
        backups_of(self.db, self.shape, MANY)
        return self.shape.generation(self.db.data)

    def commit(self, generation: int) -> None:
        """Change and flush."""
        self.shape.move(self.db, generation)
        self.db.flush()

    def close(self) -> None:
        """Close all."""
        self.sf.close()


class Interval(Flushed):
    """The library, which syncs at intervals only."""

    options = {"sync": "interval", "sync_interval": INTERVAL_S}


class Autosaved(Flushed):
    """The library: a generation is acknowledged when the thread has saved it."""

    options = {"save_interval": 0.01}

    def commit(self, generation: int) -> None:
        """Change, and see when nothing is unsaved."""
        self.shape.move(self.db, generation)
        while self.db.dirty():
            # The thread passes over a database that is locked, as it is by dirty().
            time.sleep(0.005)


class Atomic:
    """The reference: whole in a temporary file, synced, renamed, folder synced."""

    syncs_file, syncs_folder = True, True

    def __init__(self, folder: Path, shape: Shape) -> None:
        self.folder, self.path, self.shape = folder, folder / NAME, shape
        folder.mkdir(exist_ok=True)

    def found(self) -> int:
        """What is there; 0 is nothing."""
        if not self.path.exists():
            return 0
        payload = self.path.read_bytes()
        generation = int(payload[:7])
        if payload != self._payload(generation):
            message = f"torn: {len(payload)} bytes of {generation}"
            raise ValueError(message)
        return generation

    def commit(self, generation: int) -> None:
        """Replace the file."""
        temporary = self.folder / "tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, self._payload(generation))
        if self.syncs_file:
            os.fsync(fd)
        os.close(fd)
        temporary.replace(self.path)
        if self.syncs_folder:
            self.sync_folder()

    def sync_folder(self) -> None:
        """Make the rename durable."""
        fd = os.open(self.folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    def close(self) -> None:
        """Nothing is held."""

    def _payload(self, generation: int) -> bytes:
        body = b"%07d " % generation * (self.shape.keys * self.shape.width // 8)
        return body + b"%08x" % zlib.crc32(body)


class Unsynced(Atomic):
    """The reference without any sync: a power cut must be seen to break it."""

    syncs_file, syncs_folder = False, False


class Late(Atomic):
    """The reference that syncs its folder at intervals only."""

    syncs_folder = False
    synced_at_s = 0.0

    def commit(self, generation: int) -> None:
        """Replace the file; the old one may come back for a while."""
        super().commit(generation)
        if time.monotonic() - self.synced_at_s >= INTERVAL_S:
            self.sync_folder()
            self.synced_at_s = time.monotonic()


class InPlace(Atomic):
    """A writer that overwrites its only copy: a kill must be seen to tear it."""

    def commit(self, generation: int) -> None:
        """Overwrite the file, in the pieces that a buffered writer makes."""
        payload = self._payload(generation)
        with self.path.open("wb") as file:
            for start in range(0, len(payload), 8192):
                file.write(payload[start : start + 8192])


STORES: dict[str, type[Store]] = {
    "flush": Flushed,
    "autosave": Autosaved,
    "interval": Interval,
    "atomic": Atomic,
    "nofsync": Unsynced,
    "late": Late,
    "inplace": InPlace,
}


def main(kind: str, shape: str, folder: str, reopen: str) -> None:
    """Commit until the end."""

    def opened() -> Store:
        return STORES[kind](Path(folder), SHAPES[shape])

    say("opening")
    store = opened()
    generation = store.found()
    say("found", generation)
    try:
        for step in itertools.count(1):
            generation += 1
            store.commit(generation)
            say("kept", generation, time.monotonic())
            if int(reopen) and step % int(reopen) == 0:
                store.close()
                store = opened()
    except (OSError, StorifyError) as err:
        say("refused", err)
        # The end of the program is not to save on a disk that is gone.
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
