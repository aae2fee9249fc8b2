"""The manifest, ``.sum``: what the main file must hold.

It holds lines of JSON, of which the last one whose ``check`` is right counts::

    {"current": SUM | null,     the state that was acknowledged last
     "next":    SUM | null,     the state that a commit is about to install
     "since":   TIME | null,    when this database was created
     "check":   16 hex digits}  of the manifest itself
    SUM = {"size": int, "mtime_ns": int, "sha256": hex, "time": TIME of the commit,
           "follows": VERSION | null}
    TIME as in the names of backups, see `moment`

The manifest of a large file is written before that is renamed, durable, with ``next``:
so a crash at any step leaves a main file that matches one of the two. ``next`` becomes
``current`` after, by a line that is appended and not synced. For a small file that line
is all: after a power cut it may be torn or lost, and the lines before it stay. A main
file of which no line knows is told by its seal (below), and is neither rot nor a foreign
write. When the lines are many, the last one takes their place.

``since`` keeps a recovery from bringing
back a predecessor of the same name that was destroyed. The inode is never
noted, so that a copied folder stays verified. ``follows`` names the state that
this one was as the last frame of a journal, so that whoever is there need not
read the file anew. A line with a wrong ``check``
counts for nothing: else a corrupt manifest would condemn a good file.
"""

import errno
import json
from hashlib import sha256
from typing import Any, Final, NamedTuple

from storify.engine.file import vfs

__all__ = [
    "AHEAD_NS",
    "DamagedManifestError",
    "Manifest",
    "Sum",
    "is_sealed",
    "read_manifest",
    "sealed_ns",
    "settle_manifest",
    "write_manifest",
]

CHECK_DIGITS = 16
#: From which size on the last line takes the place of all.
MOST_BYTES = 1 << 16


class DamagedManifestError(ValueError):
    """A manifest is there and says nothing that can be trusted."""


class Sum(NamedTuple):  # made in a tenth of a dataclass's time
    """The size, time and hash of one state of the main file.

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


class Manifest(NamedTuple):
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


_text: Final = json.JSONEncoder(sort_keys=True).encode
_quoted: Final = json.encoder.encode_basestring_ascii


def _check(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:CHECK_DIGITS]


def _sum(tree: dict[str, Any] | None) -> Sum | None:
    return None if tree is None else Sum(**tree)


def read_manifest(path: str) -> Manifest | None:
    """Read ``.sum``; None if there is none.

    Raises:
        DamagedManifestError: It is torn, corrupt, unreadable, or of an unknown format.
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
        raise DamagedManifestError(msg) from err
    damage: Exception = ValueError("it is empty")
    for line in reversed(payload.splitlines()):
        try:
            return _parse(line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
            damage = err
    msg = f"checksum record {path!r} is damaged: {damage}"
    raise DamagedManifestError(msg) from damage


def _parse(line: bytes) -> Manifest:
    body: dict[str, Any] = json.loads(line)
    noted = body.pop("check")
    # As `_line` wrote it; older records have the check first.
    text = line.decode().rpartition(', "check"')[0] + "}"
    if noted != _check(text) and noted != _check(_text(body)):
        msg = "its own checksum is wrong"
        raise ValueError(msg)
    return Manifest(_sum(body["current"]), _sum(body["next"]), body["since"])


def _sum_text(known: Sum) -> str:
    size, mtime_ns, digest, time, follows = known
    after = "null" if follows is None else _quoted(follows)
    return (
        f'{{"follows": {after}, "mtime_ns": {mtime_ns}, "sha256": {_quoted(digest)}, '
        f'"size": {size}, "time": {_quoted(time)}}}'
    )


def _line(manifest: Manifest) -> bytes:
    # By hand, in a quarter of the time that `json` takes.
    current = "null" if manifest.current is None else _sum_text(manifest.current)
    later = "null" if manifest.next is None else _sum_text(manifest.next)
    since = "null" if manifest.since is None else _quoted(manifest.since)
    text = f'{{"current": {current}, "next": {later}, "since": {since}}}'
    return f'{text[:-1]}, "check": "{_check(text)}"}}\n'.encode()


def write_manifest(
    path: str, manifest: Manifest, prefix: str, *, durable: bool = True
) -> None:
    """Replace ``.sum``; if durable, new links in its folder are so as well."""
    vfs.replace_bytes(path, _line(manifest), prefix, durable=durable)


def settle_manifest(path: str, manifest: Manifest, prefix: str) -> None:
    """Add what counts after a commit; not synced.

    On a line of its own, whatever a crash has left of the last one.
    """
    try:
        size = vfs.append_bytes(path, b"\n" + _line(manifest))
    except FileNotFoundError:
        write_manifest(path, manifest, prefix)
    else:
        if size > MOST_BYTES:
            write_manifest(path, manifest, prefix, durable=False)


# --- the seal of a main file: its own time says that we have written it --------------
#
# ::
#
#     mtime_ns := milliseconds since 1970, then the sha256 of the content modulo 10**6
#
# The time is synced with the bytes, in one call. So after a power cut a main file tells
# by itself whether it is a commit of ours, even if the manifest, which is not synced by
# each commit, does not know of it. It grants no more than that: a sealed file is parsed
# before it counts. A program that writes into the file gives it another time, or leaves
# the time to other bytes; one in a million edits looks sealed, and is then taken over
# without a word in the log. Less than a millisecond of the true time is lost.
#
# Each time is later than the one before, so that no two states of ours look alike: the
# clock of a file system stands still for some milliseconds.

_STEP_NS: Final = 10**6
AHEAD_NS: Final = 10**9
"""Our files may be so far ahead of the system's clock for files. One that is further got
its time from somebody, or the clock went back."""


def is_sealed(mtime_ns: int, digest: str) -> bool:
    """Whether a file with this time and sha256 is one that we have written."""
    return mtime_ns % _STEP_NS == int(digest[:16], 16) % _STEP_NS


def sealed_ns(now_ns: int, before_ns: int, digest: str) -> int:
    """Return the time for a new file.

    Args:
        now_ns: The time that the file system gives it.
        before_ns: That of the file before.
        digest: The sha256 of the new one, in hex.
    """
    seal = int(digest[:16], 16) % _STEP_NS
    sealed = now_ns - now_ns % _STEP_NS + seal
    if sealed <= before_ns < now_ns + AHEAD_NS:
        return before_ns - before_ns % _STEP_NS + _STEP_NS + seal
    return sealed
