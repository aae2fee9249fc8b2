"""The temporary files that crashed writers left, found by few looks at a folder.

One look finds those of all databases of the folder. So a folder of thousands is not
listed for each of them: a look that found hundreds of names serves as many openings
as it found hundreds. What is left there meanwhile is found by a later look.
"""

import os
from typing import Final

from storify.engine.file import vfs

__all__ = ["leftovers"]

#: For each opening that a look serves, after the one it was made for.
_NAMES_PER_OPENING: Final = 100
#: Folders that are remembered at most.
_FOLDERS: Final = 1000


class _Look:
    """What was in a folder.

    Args:
        directory: The folder.
    """

    def __init__(self, directory: str) -> None:
        names = vfs.list_seen(directory)
        self.openings_left = len(names) // _NAMES_PER_OPENING
        self.temporary = [name for name in names if name.endswith(vfs.TEMPORARY_SUFFIX)]


#: The last looks at large folders, by their paths.
_looks: dict[str, _Look] = {}


def leftovers(directory: str, prefix: str) -> list[str]:
    """Return the temporary files in a folder whose names start with *prefix*."""
    look = _looks.get(directory)
    if look is None or look.openings_left <= 0:
        look = _look_again(directory)
    else:
        look.openings_left -= 1
    return [
        name
        for name in look.temporary
        if name.startswith(prefix) and os.path.lexists(os.path.join(directory, name))
    ]


def _look_again(directory: str) -> _Look:
    look = _Look(directory)
    if len(_looks) >= _FOLDERS:
        _looks.clear()
    if look.openings_left:
        _looks[directory] = look
    else:
        _looks.pop(directory, None)
    return look
