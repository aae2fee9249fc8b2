"""Salvage of a database that neither its file nor a backup can give."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Final, NamedTuple

from storify.codec import Codec
from storify.database.session.keys import LIST, decode_keys
from storify.engine import Commit, Engine, each_entry
from storify.exceptions import DatabaseLoadError
from storify.logger import LoggerLike

__all__ = ["Salvage", "salvage", "set_aside"]

#: So many records are decoded at a time.
_MANY: Final = 256


class Salvage(NamedTuple):
    """The result of `Storify.salvage`: the records saved, and those lost.

    Attributes:
        recovered: How many records the database has again.
        lost: The keys of the records that are damaged and in no backup; of a list
            the indexes. A key that cannot be read any more is given as the bytes
            that it was.
        older: The keys of the records that were taken from an older state.
        notes: What is known about damage that no key can be given for.
        unnamed: How many more records are lost, whose keys are lost with them.
    """

    recovered: int
    lost: tuple[Any, ...] = ()
    older: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()
    unnamed: int = 0

    @property
    def lost_count(self) -> int:
        """The number of records lost, with keys that can be given or without."""
        return len(self.lost) + self.unnamed


def salvage(name: str, engine: Engine, codec: Codec, log: LoggerLike) -> Salvage:
    """Commit what is intact of a damaged database, and keep the damaged file.

    Raises:
        FileNotFoundError: There is no such database.
        ValueError: It can be loaded.
    """
    with engine.locked():
        _require_damage(name, engine, codec, "salvage", "open it as always")
        saved = engine.salvage()
        if saved is None:
            msg = f"cannot salvage database {name!r}: {engine.location} does not exist"
            raise FileNotFoundError(msg)
        count = _count(codec, saved.entries.items())
        kept = engine.set_aside()
        try:
            engine.commit(Commit(None, saved.entries.items()))
        except BaseException:
            where = engine.save_unsaved(codec.join(saved.entries))
            log.error(f"what was saved of database {name!r} is in {where}")
            raise
    found = Salvage(
        count,
        _keys(codec, saved.lost),
        _keys(codec, saved.older),
        tuple(saved.notes),
        saved.unnamed,
    )
    what = "items" if LIST in saved.entries else "records"
    more = f" ({saved.unnamed} without a legible key)" if saved.unnamed else ""
    notes = "".join(f"{note}; " for note in saved.notes)
    log.warning(
        f"database {name!r} was salvaged: {count} {what} are there, "
        f"{found.lost_count} lost{more}, {len(saved.older)} from an older state; "
        f"{notes}the damaged file was moved to {kept}"
    )
    return found


def _count(codec: Codec, entries: Iterable[tuple[bytes, bytes]]) -> int:
    """Decode all records, some at a time, and count them; of a list its items.

    Raises:
        ValueError: One cannot be decoded, or two keys are one for Python.
    """
    keys: list[bytes] = []
    left = iter(entries)
    while part := dict(islice(left, _MANY)):
        root = codec.decode_root(codec.join(part))
        if LIST in part:
            return len(root)
        keys += part
    return len(decode_keys(codec, keys))


def _keys(codec: Codec, keys: Sequence[bytes | int]) -> tuple[Any, ...]:
    """Return keys as the user has them; those of a list are numbers."""
    numbers = [key for key in keys if isinstance(key, int)]
    blobs = [key for key in keys if isinstance(key, bytes)]
    return *numbers, *decode_keys(codec, blobs)


def set_aside(name: str, engine: Engine, codec: Codec, log: LoggerLike) -> str:
    """Put a damaged database away, so that it can be made anew; give where it is.

    Raises:
        FileNotFoundError: There is no such database.
        ValueError: It can be loaded.
    """
    with engine.locked():
        _require_damage(name, engine, codec, "set aside", "remove_db removes it")
        kept = engine.set_aside() or engine.backup_location
    log.warning(f"database {name!r} starts afresh; it was moved to {kept}")
    return kept


def _require_damage(
    name: str, engine: Engine, codec: Codec, what: str, else_do: str
) -> None:
    """See that a database is there and cannot be read.

    Raises:
        FileNotFoundError: There is no such database.
        ValueError: It can be loaded.
    """
    try:
        snapshot = engine.open()
        if snapshot is None:
            msg = f"cannot {what} database {name!r}: {engine.location} does not exist"
            raise FileNotFoundError(msg)
        with closing(snapshot):
            _count(codec, each_entry(snapshot))
    except (DatabaseLoadError, ValueError):
        return
    msg = f"cannot {what} database {name!r}: it is intact; {else_do}"
    raise ValueError(msg)
