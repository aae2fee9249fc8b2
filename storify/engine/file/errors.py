"""What the system refused, with the database, the file and what to do about it."""

import errno
import os
from typing import Final

from storify.engine.file.paths import Place, stem_of
from storify.exceptions import StorifyError

__all__ = ["explain"]

#: What to do, where that is not plain.
_REMEDIES: Final = {
    errno.EACCES: "see that this user may write the folder, and all in it",
    errno.EPERM: "see that this user may write the folder, and all in it",
    errno.ENOLCK: "its file system has no locks; readonly=True does without",
    errno.EBUSY: (
        "it cannot be replaced, as a file that is mounted by itself, into a "
        "container perhaps; mount its folder"
    ),
}
_REMEDIES[errno.EXDEV] = _REMEDIES[errno.EBUSY]


def explain(err: OSError, place: Place) -> None:
    """Say in an error of the system which database and file it is about.

    Args:
        err: The error; one of ours says so already.
        place: Where the files of the database are.
    """
    if isinstance(err, StorifyError) or err.errno is None:
        return
    if err.strerror != os.strerror(err.errno):
        return
    file = err.filename
    is_temporary = isinstance(file, str) and os.path.basename(file).startswith(
        place.prefix
    )
    if file is None or is_temporary:
        err.filename, err.filename2 = place.main, None
    remedy = _REMEDIES.get(err.errno)
    more = f"; {remedy}" if remedy else ""
    err.strerror = f"{err.strerror}, database {stem_of(place.link)!r}{more}"
