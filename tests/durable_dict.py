"""What an engine would keep of a `Data`, and the flush that brings it there."""

from collections.abc import Callable, Mapping
from typing import Any

from storify import Model, Storify
from storify.codec import Codec
from storify.database.live.data import Data
from storify.database.live.refresh import Incoming
from storify.database.live.slots import MISSING
from storify.engine import Change, apply

__all__ = ["CODEC", "Durable", "Point", "adopt", "opened", "revert", "unmoved"]


class Point(Model):
    """A model with a mutable field."""

    x: int
    tags: list[str] = []


CODEC: Codec = Storify("memory://", models=[Point], save_interval=None)._schema.codec


def unmoved() -> None:
    """Do nothing, where another thread could do something."""


class Durable:
    """The durable entries of one root: key bytes to value bytes, in order."""

    def __init__(self, content: Mapping[Any, Any] = {}) -> None:
        self.entries: dict[bytes, bytes] = CODEC.encode_items(content)

    @property
    def payload(self) -> bytes:
        """The whole root."""
        return CODEC.join(self.entries)

    @property
    def content(self) -> Any:
        """What a program that opens the file finds."""
        return CODEC.decode_root(self.payload)

    def open(self) -> Data:
        """Open it as it is now."""
        return Data.opened(CODEC, self.entries)

    def flush(
        self,
        data: Data,
        *,
        fails: bool = False,
        begun: Callable[[], object] = unmoved,
        encoded: Callable[[], object] = unmoved,
    ) -> list[Change]:
        """Bring what changed in *data* here, as a session does, and give it.

        Args:
            data: The live data.
            fails: Whether the commit fails, after the encoding.
            begun: What another thread does after the begin.
            encoded: What another thread does after the encoding.
        """
        work = data.begin_flush()
        begun()
        changes: list[Change] = [(CODEC.encode_key(key), None) for key in work.gone]
        deleted = {key for key, _ in changes}
        durable: dict[Any, bytes] = {}
        blobs = CODEC.encode_items(work.touched)
        for (key_bytes, blob), key in zip(blobs.items(), work.touched, strict=True):
            if key_bytes in deleted or work.base(key) != blob:
                changes.append((key_bytes, blob))
                durable[key] = blob
        encoded()
        if fails:
            data.abandon(work)
            return changes
        apply(self.entries, changes)
        data.end_flush(work, durable.keys(), durable.values())
        return changes

    def agrees_with(self, data: Data) -> bool:
        """Whether the durable view of *data* is what is here, order apart."""
        stored = {CODEC.encode_key(key): value for key, value in data.stored_items()}
        return stored == self.entries


def adopt(data: Data, key: Any, value: bytes | None) -> None:
    """Take what another writer committed for one key, as a merge does."""
    content = MISSING if value is None else Incoming(data).content_of(key, value)
    Incoming(data).adopt(key, value, content)


def revert(data: Data, key: Any) -> None:
    """Drop what was changed under one key, as a merge does."""
    blob = data.durable(key)
    Incoming(data).revert(
        key, MISSING if blob is None else Incoming(data).content_of(key, blob)
    )


def opened(content: Mapping[Any, Any]) -> tuple[Durable, Data]:
    """Make a durable root and open it."""
    durable = Durable(content)
    return durable, durable.open()
