"""A disk, as a program: it passes calls through to a folder, and can lie.

``python -m faults.fuse_server FOLDER MOUNTED`` says ``ready`` once it is
mounted, and ends when it is unmounted. Written pages stay in memory until they
are synced, as in a kernel. The attribute ``user.fault`` of the root takes orders:

- ``fsync N``: the Nth sync from now fails with EIO, once. As ext4, xfs and btrfs
  do, the lost pages count as clean from then on: another sync of the same file
  succeeds without them (Rebello et al., ATC 2020).
- ``read NAME``: reading a file of this name, or any with ``*``, fails with EIO.
- ``cut``: the power fails; what has not been synced is gone.
- ``none``: no further faults.

``user.syncs`` gives the number of syncs so far.
"""

import errno
import fnmatch
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import mfusepy

from faults.programs import say

PAGE = 4096

FACTS = ["st_ino", "st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks"]


class LyingDisk(mfusepy.Operations):
    """The operations; a file is known by its inode, since it may have many names."""

    use_ns = True

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.syncs = 0
        self.fails_at = 0
        self.unreadable = ""
        #: What programs see of files that were written, and what a sync would write.
        self.cached: dict[int, bytearray] = {}
        self.dirty: defaultdict[int, set[int]] = defaultdict(set)

    def init(self, path):
        """It is mounted."""
        say("ready")

    # Orders

    def setxattr(self, path, name, value, options, position=0):
        """Take an order."""
        order, _, what = value.decode().partition(" ")
        if order == "cut":
            self.cached.clear()
            self.dirty.clear()
        self.fails_at = self.syncs + int(what) if order == "fsync" else 0
        self.unreadable = what if order == "read" else ""
        return 0

    def getxattr(self, path, name, position=0):
        """Tell the number of syncs."""
        if name == "user.syncs":
            return str(self.syncs).encode()
        raise mfusepy.FuseOSError(errno.ENODATA)

    # Files

    def _at(self, path):
        return self.folder / path.lstrip("/")

    def create(self, path, mode, fi=None):
        """Make a file; the number of one that is gone may come again."""
        fd = os.open(self._at(path), os.O_RDWR | os.O_CREAT, mode)
        if os.fstat(fd).st_size == 0:
            self.cached.pop(os.fstat(fd).st_ino, None)
            self.dirty.pop(os.fstat(fd).st_ino, None)
        return fd

    def open(self, path, flags):
        """Open a file; what may be done with it is the kernel's to check."""
        return os.open(self._at(path), os.O_RDWR)

    def release(self, path, fh):
        """Close it; nothing is written by that."""
        os.close(fh)
        return 0

    def read(self, path, size, offset, fh):
        """Read what was written, synced or not."""
        if self.unreadable and fnmatch.fnmatch(path, f"*/{self.unreadable}"):
            raise mfusepy.FuseOSError(errno.EIO)
        cached = self.cached.get(os.fstat(fh).st_ino)
        if cached is None:
            return os.pread(fh, size, offset)
        return bytes(cached[offset : offset + size])

    def write(self, path, data, offset, fh):
        """Write into memory."""
        inode = os.fstat(fh).st_ino
        cached = self._cached(inode, fh)
        end = offset + len(data)
        cached.extend(bytes(max(0, end - len(cached))))
        cached[offset:end] = data
        self.dirty[inode].update(range(offset // PAGE, (end - 1) // PAGE + 1))
        return len(data)

    def _cached(self, inode, fd):
        if inode not in self.cached:
            self.cached[inode] = bytearray(os.pread(fd, os.fstat(fd).st_size, 0))
        return self.cached[inode]

    def truncate(self, path, length, fh=None):
        """Change the length, at once and durable."""
        os.truncate(self._at(path), length)
        inode = self._at(path).stat().st_ino
        if (cached := self.cached.get(inode)) is not None:
            del cached[length:]
            cached.extend(bytes(length - len(cached)))
            pages = self.dirty[inode]
            pages.intersection_update(range((length + PAGE - 1) // PAGE))
        return 0

    def fsync(self, path, datasync, fh):
        """Write what is dirty; or fail, and forget that it was."""
        inode = os.fstat(fh).st_ino
        pages = self.dirty.pop(inode, set())
        self._count()
        for page in sorted(pages):
            start = page * PAGE
            os.pwrite(fh, self.cached[inode][start : start + PAGE], start)
        return 0

    def fsyncdir(self, path, datasync, fh):
        """Names are durable at once, but a sync of them may fail too."""
        self._count()
        return 0

    def _count(self):
        self.syncs += 1
        if self.syncs == self.fails_at:
            raise mfusepy.FuseOSError(errno.EIO)

    # Names

    def getattr(self, path, fh=None):
        """Tell what is known of a file."""
        found = self._at(path).lstat()
        facts: dict[str, Any] = {name: getattr(found, name) for name in FACTS}
        for name in ("st_atime", "st_mtime", "st_ctime"):
            facts[name] = getattr(found, f"{name}_ns")
        if found.st_ino in self.cached:
            facts["st_size"] = len(self.cached[found.st_ino])
        return facts

    def readdir(self, path, fh):
        """List a folder; the C library skips what has no inode."""
        for name in [".", "..", *(each.name for each in self._at(path).iterdir())]:
            yield name, self.getattr(f"{path}/{name}"), 0

    def link(self, target, source):
        """Give a file a second name."""
        self._at(target).hardlink_to(self._at(source))
        return 0

    def rename(self, old, new):
        """Rename a file or folder."""
        self._at(old).rename(self._at(new))
        return 0

    def unlink(self, path):
        """Remove a name."""
        self._at(path).unlink()
        return 0

    def mkdir(self, path, mode):
        """Make a folder."""
        self._at(path).mkdir(mode)
        return 0

    def rmdir(self, path):
        """Remove a folder."""
        self._at(path).rmdir()
        return 0

    def chmod(self, path, mode):
        """Change permissions."""
        self._at(path).chmod(mode)
        return 0

    def chown(self, path, uid, gid):
        """Change the owner."""
        os.chown(self._at(path), uid, gid)
        return 0

    def utimens(self, path, times=None):
        """Change the times."""
        os.utime(self._at(path), ns=times)
        return 0

    def statfs(self, path):
        """Tell the space."""
        space = os.statvfs(self.folder)
        names = "f_bavail f_bfree f_blocks f_bsize f_frsize f_files f_ffree f_namemax"
        return {name: getattr(space, name) for name in names.split()}


def main(folder: str, mounted: str) -> None:
    """Serve until it is unmounted."""
    mfusepy.FUSE(
        LyingDisk(folder),
        mounted,
        foreground=True,
        nothreads=True,
        # The kernel is to remember nothing, or a cut would not be seen.
        direct_io=True,
        attr_timeout=0,
        entry_timeout=0,
        use_ino=True,
        hard_remove=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
