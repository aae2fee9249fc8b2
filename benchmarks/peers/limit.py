"""What the machine can do with the same bytes: msgpack and a file, no classes."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgpack
from contents import contents, number_of


class LimitPeer:
    """Plain dicts packed into one file; a changed record is appended to a log.

    Nothing reads the log: it is what any store must at least do to keep a change.
    """

    def __init__(self) -> None:
        self._path = Path()
        self._log = -1
        self._all: dict[str, Any] | None = None

    def make(self, number: int) -> dict[str, Any]:
        """Give plain dicts, the enum as its value."""
        fields = contents(number)
        fields["role"] = fields["role"].value
        return fields

    def open(self, folder: Path) -> None:
        """Open the log; the snapshot is read when something is asked of it."""
        self._path = folder / "users.mpack"
        self._log = os.open(
            folder / "users.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
        )

    def load(self, records: Iterable[tuple[str, Any]]) -> None:
        """Pack, write and sync."""
        with self._path.open("wb") as file:
            file.write(msgpack.packb(dict(records), datetime=True))
            file.flush()
            os.fsync(file.fileno())

    def get(self, key: str) -> dict[str, Any]:
        """Skip through the file, or look it up when all of it is read."""
        if self._all is not None:
            record: dict[str, Any] = self._all[key]
            return record
        found: dict[str, Any] = {}
        data = self._path.read_bytes()
        unpacker = msgpack.Unpacker(timestamp=3, max_buffer_size=len(data))
        unpacker.feed(data)
        for _ in range(unpacker.read_map_header()):
            if unpacker.unpack() == key:
                found = unpacker.unpack()
            else:
                unpacker.skip()
        return found

    def read_all(self) -> dict[str, Any]:
        """Unpack all."""
        records: dict[str, Any] = msgpack.unpackb(self._path.read_bytes(), timestamp=3)
        self._all = records
        return records

    def change(self, keys: Sequence[str]) -> None:
        """Append the records and sync the log's data."""
        records = {key: self.make(number_of(key)) for key in keys}
        os.write(self._log, msgpack.packb(records, datetime=True))
        os.fdatasync(self._log)

    def close(self) -> None:
        """Close the log."""
        os.close(self._log)
        self._all = None
