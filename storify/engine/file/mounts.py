"""Whether a folder is on a network file system, by Linux's list of what is mounted.

Locks and renames of such a file system do not do what is needed here: a lock may be one
machine's alone, and a file that was replaced may be seen by another one as it was.

9p is not among them. It is what containers have as their disk (gVisor), and Windows for
its Linux, where one machine alone uses it; a network of machines that share one is rare.
Other systems than Linux are not asked.
"""

import os
import re
from typing import Final

from storify.exceptions import NetworkFilesystemError

__all__ = ["MOUNTS", "network_filesystem", "require_local"]

MOUNTS: Final = "/proc/self/mountinfo"
_KINDS: Final = rb"nfs4?|cifs|smb3|smbfs|fuse\.sshfs"


def require_local(directory: str, mounts: str = MOUNTS) -> None:
    """Refuse a folder on a network file system; it need not exist.

    Raises:
        NetworkFilesystemError: It is on one.
    """
    kind = network_filesystem(directory, mounts)
    if kind is not None:
        msg = (
            f"cannot keep databases in {directory!r}: it is on a network file system "
            f"({kind}), whose locks and renames are not safe; use a folder on a local "
            f"disk, or pass allow_network_filesystem=True if this machine alone uses it"
        )
        raise NetworkFilesystemError(msg)


def network_filesystem(directory: str, mounts: str = MOUNTS) -> str | None:
    """Return the kind of network file system that a folder is on; None if it is none.

    Args:
        directory: The folder; it need not exist.
        mounts: The list of what is mounted, in the form of ``mountinfo``.
    """
    try:
        with open(mounts, "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    networks = re.compile(rb" - (%b) " % _KINDS)
    if not any(map(networks.search, lines)):
        return None
    path = os.fsencode(os.path.realpath(directory))
    longest, kind = -1, None
    for line in lines:
        fields = line.split(b" ")
        if len(fields) < 5:  # noqa: PLR2004 - the mount point is the fifth
            continue
        point = _unescaped(fields[4])
        within = path == point or path.startswith(point.rstrip(b"/") + b"/")
        # What is mounted over another one at the same place comes later.
        if within and len(point) >= longest:
            longest, kind = len(point), networks.search(line)
    return None if kind is None else kind[1].decode()


def _unescaped(point: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), point)
