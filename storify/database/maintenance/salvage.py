"""What can be saved of a database that neither its file nor a backup can give."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from storify.codec import Codec
from storify.database.session.keys import decode_keys
from storify.engine import Commit, Engine, entries_of
from storify.exceptions import DatabaseLoadError
from storify.logger import LoggerLike

__all__ = ["Salvage", "salvage", "set_aside"]


class Salvage(NamedTuple):
    """What `Storify.salvage` saved, and what is lost.

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
        """How many records are lost, with keys that can be given or without."""
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
        root = codec.decode_root(saved.payload)
        kept = engine.set_aside()
        entries = codec.split(saved.payload)
        try:
            engine.commit(Commit(None, list(entries.items())))
        except BaseException:
            where = engine.save_unsaved(saved.payload)
            log.error(f"what was saved of database {name!r} is in {where}")
            raise
    found = Salvage(
        len(root),
        _keys(codec, saved.lost),
        _keys(codec, saved.older),
        tuple(saved.notes),
        saved.unnamed,
    )
    what = "items" if isinstance(root, list) else "records"
    more = f" ({saved.unnamed} without a legible key)" if saved.unnamed else ""
    notes = "".join(f"{note}; " for note in saved.notes)
    log.warning(
        f"database {name!r} was salvaged: {len(root)} {what} are there, "
        f"{found.lost_count} lost{more}, {len(saved.older)} from an older state; "
        f"{notes}the damaged file was moved to {kept}"
    )
    return found


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
        codec.decode_root(codec.join(entries_of(snapshot)))
    except (DatabaseLoadError, ValueError):
        return
    msg = f"cannot {what} database {name!r}: it is intact; {else_do}"
    raise ValueError(msg)
