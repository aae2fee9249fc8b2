"""The names that a database may have: safe here, portable elsewhere.

A name becomes a file name, so it must not leave the folder, hide, or mean
another file on another system. Names come back in Unicode normal form C.
"""

import os
import unicodedata
from collections.abc import Iterable

from storify.exceptions import DatabaseNameError

MAX_NAME_BYTES = 200
# Windows opens a device under these names, with any suffix.
DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{n}" for port in ("COM", "LPT") for n in "0123456789¹²³"}
)
SEPARATORS = frozenset("/\\:")
# Windows refuses them; older files of other systems may have them.
UNPORTABLE = frozenset('<>"|?*')
# They make a name look like another one.
BIDI = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
# Control characters, surrogates, line and paragraph separators.
UNSAFE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


#: What to do about a name that is a path, as 0.0.11 took it.
_IS_PATH = " (a file by its path is opened by get_db_by_path)"


def name_in(path: str) -> str:
    """Return the name that a database has which is opened by its path."""
    return os.path.splitext(os.path.basename(path))[0]


def _bad_character(name: str) -> str | None:
    if name.isascii() and name.isprintable() and SEPARATORS.isdisjoint(name):
        return None
    for character in name:
        if character in SEPARATORS:
            return f"it contains {character!r}{_IS_PATH}"
        if character in BIDI or unicodedata.category(character) in UNSAFE_CATEGORIES:
            return f"it contains the control character {character!r}"
    return None


def _flaw(name: str) -> str | None:
    if bad := _bad_character(name):
        return bad
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"it is longer than {MAX_NAME_BYTES} bytes"
    if name.partition(".")[0].rstrip(" ").upper() in DEVICES:
        return "it is a device on Windows"
    return _bad_end(name)


def _bad_end(name: str) -> str | None:
    if not name:
        return "it is empty"
    if name.startswith("."):
        return "it starts with a dot"
    return "it ends with a dot or a space" if name.endswith((".", " ")) else None


def _refuse(name: object, flaw: str) -> DatabaseNameError:
    # Cut: a name of a megabyte would fill the log.
    shown = repr(name)
    shown = shown if len(shown) <= MAX_NAME_BYTES else f"{shown[:60]}…"
    return DatabaseNameError(
        f"bad database name {shown}: {flaw}; use letters, digits, '-', '_' or spaces"
    )


def check_name(name: str) -> str:
    """Return *name* in normal form C if it is safe and portable.

    Raises:
        DatabaseNameError: It is not; the message says why.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users pass anything
        raise _refuse(name, "it is no str")
    normal = unicodedata.normalize("NFC", name)
    flaw = _flaw(normal)
    if flaw is not None:
        raise _refuse(name, flaw)
    return normal


def is_name(name: str) -> bool:
    """Whether a database that is there may have this name."""
    return _flaw(unicodedata.normalize("NFC", name)) is None


def collation_key(name: str) -> str:
    """Equal for names that some file system takes for one."""
    if name.isascii():
        return name.lower()
    folded = unicodedata.normalize("NFC", name).casefold()
    return unicodedata.normalize("NFC", folded)


def check_new_name(name: str, existing: Iterable[str]) -> str:
    """`check_name` for a database that is to be created beside others.

    Raises:
        DatabaseNameError: Also if it differs from an existing name only by case
            or normal form, or Windows could not have it.
    """
    normal = check_name(name)
    bad = UNPORTABLE.intersection(normal)
    if bad:
        raise _refuse(name, f"it contains {min(bad)!r}")
    key = collation_key(normal)
    for other in existing:
        if other != normal and collation_key(other) == key:
            raise _refuse(name, f"only case or normal form tells it from {other!r}")
    return normal
