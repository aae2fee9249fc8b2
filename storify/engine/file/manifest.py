"""The checksum record ``.sum``: what the main file must hold.

It holds one line of JSON before a commit and a second one after; the last line
whose ``check`` is right counts::

    {"current": SUM | null,     the state that was acknowledged last
     "next":    SUM | null,     the state that a commit is about to install
     "since":   TIME | null,    when this database was created
     "check":   16 hex digits}  of the record itself
    SUM = {"size": int, "mtime_ns": int, "sha256": hex, "time": TIME of the commit,
           "follows": VERSION | null}
    TIME as in the names of backups, see `moment`

``next`` is written before the main file is renamed and becomes ``current``
after, by a line that is appended and not synced: it saves a sync for each
commit, and if it is torn or lost the first line still says enough. So a crash at
any step leaves a main file that matches one of the two, and is neither rot nor a
foreign write. ``since`` keeps a recovery from bringing
back a predecessor of the same name that was destroyed. The inode is never
noted, so that a copied folder stays verified. ``follows`` names the state that
this one was as the last frame of a journal, so that whoever is there need not
read the file anew. A line with a wrong ``check``
counts for nothing: else a rotten record would condemn a good file.
"""

import errno
import json
from hashlib import sha256
from typing import Any, NamedTuple

from storify.engine.file import vfs

__all__ = [
    "DamagedRecordError",
    "Record",
    "Sum",
    "read_record",
    "settle_record",
    "write_record",
]

CHECK_DIGITS = 16


class DamagedRecordError(ValueError):
    """A record is there and says nothing that can be trusted."""


class Sum(NamedTuple):  # made in a tenth of a dataclass's time
    """What is known of one state of the main file.

    Attributes:
        size: In bytes.
        mtime_ns: Time of the file. Same size and time but another hash is rot.
        sha256: Hex digest of the whole file.
        time: When the state was committed, as in the names of backups.
        follows: The version of the same content in the journal before.
    """

    size: int
    mtime_ns: int
    sha256: str
    time: str
    follows: str | None = None

    def fits(self, found: vfs.Found) -> bool:
        """Whether nobody has written to the file since, going by size and time."""
        return (self.size, self.mtime_ns) == (found.size, found.mtime_ns)


class Record(NamedTuple):
    """The content of ``.sum``; without arguments, that of a missing one."""

    current: Sum | None = None
    next: Sum | None = None
    since: str | None = None

    def sums(self) -> list[Sum]:
        """The states that the main file may rightly be in."""
        return [known for known in (self.current, self.next) if known is not None]

    def by_hash(self, digest: str) -> Sum | None:
        """The known state with this content."""
        return next((known for known in self.sums() if known.sha256 == digest), None)

    def settled(self) -> "Record":
        """The record after the commit."""
        return self._replace(current=self.next, next=None)


def _check(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True)
    return sha256(text.encode()).hexdigest()[:CHECK_DIGITS]


def _sum(tree: dict[str, Any] | None) -> Sum | None:
    return None if tree is None else Sum(**tree)


def read_record(path: str) -> Record | None:
    """Read ``.sum``; None if there is none.

    Raises:
        DamagedRecordError: It is torn, rotten, unreadable, or of an unknown format.
        OSError: It could not be read now.
    """
    try:
        payload, _ = vfs.read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as err:
        if err.errno != errno.EIO:
            raise
        msg = f"checksum record {path!r} is damaged: {err}"
        raise DamagedRecordError(msg) from err
    damage: Exception = ValueError("it is empty")
    for line in reversed(payload.splitlines()):
        try:
            return _parse(line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
            damage = err
    msg = f"checksum record {path!r} is damaged: {damage}"
    raise DamagedRecordError(msg) from damage


def _parse(line: bytes) -> Record:
    body: dict[str, Any] = json.loads(line)
    if body.pop("check") != _check(body):
        msg = "its own checksum is wrong"
        raise ValueError(msg)
    return Record(_sum(body["current"]), _sum(body["next"]), body["since"])


def _line(record: Record) -> bytes:
    states = record.current, record.next
    current, after = (known and known._asdict() for known in states)
    body = {"current": current, "next": after, "since": record.since}
    body["check"] = _check(body)
    return (json.dumps(body) + "\n").encode()


def write_record(
    path: str, record: Record, prefix: str, *, durable: bool = True
) -> None:
    """Replace ``.sum``; if durable, new links in its folder are so as well."""
    vfs.replace_bytes(path, _line(record), prefix, durable=durable)


def settle_record(path: str, record: Record) -> None:
    """Add what counts after the commit to a record that was just written.

    Not synced: if a power cut takes it, the line before it names this state too.
    """
    vfs.append_bytes(path, _line(record))
