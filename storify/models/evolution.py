"""How stored records follow a class that changes: versions and migrations.

The version of a record lies in its fields as ``"_v"``, written only when it is
above 0, so an unversioned model keeps the bytes of the original package. Steps
lead from each version to the next; a record newer than the class is not guessed
at: it is kept raw.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from storify.exceptions import (
    MigrationError,
    ModelError,
    ModelLoadError,
    NewerVersionError,
)

__all__ = [
    "VERSION_KEY",
    "History",
    "Migration",
    "copy_plain",
    "migration",
    "migrations_in",
]

VERSION_KEY = "_v"

Fields = dict[str, Any]
Migration = Callable[[Fields], Fields | None]
Step: TypeAlias = "staticmethod[[Fields], Fields | None]"

_MARK = "__storify_migration__"


def migration(version: int) -> Callable[[Migration], Step]:
    """Mark a function of a model class as the step *version* -> *version* + 1.

    The function takes the stored fields (a copy, nested models already built)
    and gives the new ones, or changes them in place and gives None. It needs no
    ``self``; a ``@staticmethod`` above or below the decorator is fine too, and
    spares mypy's remark on the missing ``self``.

    Raises:
        ModelError: A negative version.
    """
    if version < 0:
        msg = f"migration({version}): versions start at 0"
        raise ModelError(msg)

    def mark(function: Migration) -> Step:
        plain = _function(function)
        setattr(plain, _MARK, version)
        return staticmethod(plain)

    return mark


def _function(value: Any) -> Any:
    while isinstance(value, staticmethod):
        value = value.__func__
    return value


def migrations_in(cls: type) -> dict[int, Migration]:
    """Return the steps of *cls*, also inherited ones.

    A subclass replaces a step of its base as it would any attribute, by the name.

    Raises:
        ModelError: There are two steps from one version. Of a class and its base,
            either would be left out, and with it what changed in some records.
    """
    named: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        named |= vars(base)
    steps: dict[int, Migration] = {}
    names: dict[int, str] = {}
    for name, value in named.items():
        plain = _function(value)
        version = getattr(plain, _MARK, None)
        if not isinstance(version, int):
            continue
        if version in steps:
            msg = (
                f"{cls.__qualname__} has two migrations from version {version}: "
                f"{names[version]} and {name}; make one of them, which replaces an "
                "inherited one by having its name"
            )
            raise ModelError(msg)
        steps[version], names[version] = plain, name
    return steps


class History:
    """The versions of one class, ``{version: step to the next}``: brings records to today.

    Raises:
        ModelError: The steps have a gap, or go beyond *version*.
    """

    def __init__(self, name: str, version: int, steps: Mapping[int, Migration]) -> None:
        self.name = name
        self.version = version
        self.steps = steps
        if steps and set(steps) != set(range(version)):
            missing = sorted(set(range(version)) - set(steps))
            problem = (
                f"there is no migration from version {missing[0]}"
                if missing
                else f"migration({max(steps)}) leads beyond it"
            )
            msg = (
                f"{name} has version={version}, but {problem}; the steps must "
                "chain from 0 to the class's version"
            )
            raise ModelError(msg)

    def upgrade(self, fields: Fields) -> Fields:
        """Return *fields* at the present version and without the version's key.

        *fields* is left as it was, also when a step fails.

        Raises:
            NewerVersionError: The record is newer than the class.
            ModelLoadError: A step failed, caused by a `MigrationError`.
        """
        stored = fields.get(VERSION_KEY, 0)
        if type(stored) is not int or stored < 0:
            return fields  # not written by us: an unknown name like others
        if stored > self.version:
            msg = (
                f"a stored {self.name} has version {stored}, this class knows "
                f"version {self.version}; update the program"
            )
            raise NewerVersionError(msg)
        if VERSION_KEY not in fields and (stored == self.version or not self.steps):
            return fields
        fields = {k: v for k, v in fields.items() if k != VERSION_KEY}
        if stored < self.version and self.steps:
            fields = copy_plain(fields)  # a failing step must not spoil the raw record
            for version in range(stored, self.version):
                fields = self._step(version, fields)
        return fields

    def _step(self, version: int, fields: Fields) -> Fields:
        where = f"{self.name}: the migration from version {version}"
        try:
            result: Any = self.steps[version](fields)
        except Exception as err:  # noqa: BLE001 -- the user's code
            # the text of the user's exception may hold stored values
            cause = MigrationError(f"{where} raised {type(err).__name__}")
            cause.__cause__ = err
            raise ModelLoadError(str(cause)) from cause
        if result is None:
            return fields
        if not isinstance(result, dict):
            cause = MigrationError(f"{where} gave {type(result).__name__}, not a dict")
            raise ModelLoadError(str(cause)) from cause
        return cast("Fields", result)


def copy_plain(value: Any) -> Any:
    """Copy plain containers all the way down, and nothing else.

    Nested models are shared: copying them at each level of a deep record would
    cost the square of its size.
    """
    kind = cast("object", type(value))
    if kind is dict:
        return {key: copy_plain(item) for key, item in value.items()}
    if kind is list:
        return [copy_plain(item) for item in value]
    return set(value) if kind is set else value
