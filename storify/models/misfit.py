"""How it is told where stored data do not fit their types, and what is wrong there."""

from typing import Literal, NamedTuple

__all__ = ["Misfit", "MisfitKind", "field_step", "key_step"]

MisfitKind = Literal[
    "missing",
    "unknown",
    "wrong type",
    "unregistered class",
    "newer version",
    "dangling ref",
    "wrong ref",
    "unreadable",
    "unloadable",
    "unstorable",
    "bad name",
]
"""What is wrong with a value.

* ``"missing"``: a field that has no default is not there.
* ``"unknown"``: a stored name that the class does not know.
* ``"wrong type"``: a value does not conform to its annotation.
* ``"unregistered class"``: a record or value of a class that is not known here.
* ``"newer version"``: a record of a newer version than the class.
* ``"dangling ref"``: a reference to a record that is not there.
* ``"wrong ref"``: a reference to a record of another class than its annotation names.
* ``"unreadable"``: bytes that stand for nothing here.
* ``"unloadable"``: code of the class, or a migration, failed.
* ``"unstorable"``: a value or an attribute in memory that a flush refuses.
* ``"bad name"``: a database of an older release whose name is not portable.
"""


class Misfit(NamedTuple):
    """A place where stored data do not fit their types.

    Attributes:
        path: Where: ``$['u1'].address.city``. ``*`` is an item of a set.
        kind: What is wrong.
        expected: The annotation, or what else should be there.
        found: A type, a keyname or a version; never the value.
        database: The name of the database, if one was checked.
    """

    path: str
    kind: MisfitKind
    expected: str
    found: str
    database: str = ""

    def __str__(self) -> str:
        """Return one line for people, as ``storify check`` prints it."""
        where = f"{self.database} {self.path}".lstrip()
        return f"{where}: {self.kind}: expected {self.expected}, found {self.found}"


def key_step(key: object) -> str:
    """Write the step to the value of *key*: a key is part of a place, no secret."""
    try:
        return f"[{key!r}]"
    except Exception:  # noqa: BLE001 -- a repr may fail, as that of a huge int does
        return f"[<{type(key).__qualname__}>]"


def field_step(name: object) -> str:
    """Write the step to a field, whose stored name may be anything."""
    if isinstance(name, str) and name.isidentifier():
        return f".{name}"
    return key_step(name)
