"""What became of a schema since it was locked, and whether stored records follow.

A change *breaks* if records that were stored by the locked classes, or by those
before them, do not load into the present ones as what they were. Of a class whose
version was raised, and whose migrations lead up to it, the fields may change in any
way: what becomes of old records is said there.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from .schema_lock import FieldLock, ModelLock, SchemaLock, TypeLock, widens

__all__ = ["Change", "compare"]


class Change(NamedTuple):
    """One difference between two schemas.

    Attributes:
        keyname: The model, or the type that a field names.
        field: The field, by its name on disk; None for the whole class.
        what: What happened.
        breaking: Whether stored records do not follow.
        advice: What to do; empty if nothing is to be done.
    """

    keyname: str
    field: str | None
    what: str
    breaking: bool = False
    advice: str = ""

    def __str__(self) -> str:
        """Return it as one line."""
        where = self.keyname if self.field is None else f"{self.keyname}.{self.field}"
        return f"{where}: {self.what}" + (f"; {self.advice}" if self.advice else "")


def _breaks(keyname: str, field: str | None, what: str, advice: str) -> Change:
    return Change(keyname, field, what, breaking=True, advice=advice)


_NO_FIELD: Final[Mapping[str, FieldLock]] = {}
_MIGRATE: Final = "or raise version= and write a migration"
_OLD_NAME: Final = f"records may still have that name: put it back, {_MIGRATE}"


def compare(locked: SchemaLock, now: SchemaLock) -> list[Change]:
    """List the changes from a locked schema to the present one, by keyname.

    Raises:
        ValueError: A type of *locked* cannot be read.
    """
    renamed = {
        old: keyname for keyname, model in now["models"].items() for old in model["was"]
    }
    changes: list[Change] = []
    for keyname, old in locked["models"].items():
        name = keyname if keyname in now["models"] else renamed.get(keyname)
        if name is None:
            advice = f"keep the class, or give was={keyname!r} to the one in its place"
            gone = "no class has this keyname"
            changes.append(_breaks(keyname, None, gone, advice))
            continue
        if name != keyname:
            changes.append(Change(keyname, None, f"is {name} now"))
        changes += _Models(name, old, now["models"][name], renamed).changes()
        changes += _former(name, old, {*now["models"], *renamed})
    known = {renamed.get(keyname, keyname) for keyname in locked["models"]}
    for keyname in now["models"].keys() - known - locked["models"].keys():
        changes.append(Change(keyname, None, "is new"))
    for name in locked["types"].keys() & now["types"].keys():
        changes += _types(name, locked["types"][name], now["types"][name], renamed)
    return sorted(changes, key=lambda each: (each.keyname, each.field or "", each.what))


def _former(name: str, old: ModelLock, known: set[str]) -> Iterator[Change]:
    advice = "put it back: records may still be stored under that keyname"
    for former in old["was"]:
        if former not in known:
            yield _breaks(name, None, f"was={former!r} is gone", advice)


class _Models:
    """Compares two states of one model class."""

    def __init__(
        self, name: str, old: ModelLock, now: ModelLock, renamed: Mapping[str, str]
    ) -> None:
        self._name = name
        self._old = old
        self._now = now
        self._renamed = renamed
        is_higher = now["version"] > old["version"]
        self._is_migrated = is_higher and now["migrations"] == now["version"]

    def changes(self) -> Iterator[Change]:
        old, now = self._old, self._now
        yield from self._versions()
        if now["extra"] != old["extra"]:
            what = f"extra= is {now['extra']!r} now"
            if now["extra"] == "forbid":
                advice = "records with names that the class lacks do not load any more"
                yield _breaks(self._name, None, what, advice)
            else:
                yield Change(self._name, None, what)
        if ("fields" in old) != ("fields" in now):
            what = (
                "declares its fields now" if "fields" in now else "is hand-written now"
            )
            advice = "run storify check on what is stored"
            yield Change(self._name, None, what, advice=advice)
            return
        for change in self._fields():
            if self._is_migrated:
                yield change._replace(breaking=False, advice="")
            else:
                yield change

    def _versions(self) -> Iterator[Change]:
        before, after = self._old["version"], self._now["version"]
        if after < before:
            what = f"version {after} is lower than {before}, that of stored records"
            advice = "they are kept raw and do not load; put the version back"
            yield _breaks(self._name, None, what, advice)
        elif after > before:
            yield Change(self._name, None, f"version {before} is {after} now")
        if self._now["migrations"] < self._old["migrations"]:
            advice = "put them back: records of any version may be stored"
            yield _breaks(self._name, None, "migrations are gone", advice)

    def _fields(self) -> Iterator[Change]:
        old = self._old.get("fields", _NO_FIELD)
        now = self._now.get("fields", _NO_FIELD)
        names = {
            former: name
            for name, field in now.items()
            for former in field.get("was", ())
        }
        dropped = set(self._now["dropped"])
        taken: set[str] = set()
        for name, field in old.items():
            present = name if name in now else names.get(name)
            if present is not None:
                taken.add(present)
                if present != name:
                    yield Change(self._name, name, f"is {present} now")
                yield from self._field(present, field, now[present])
            elif name in dropped:
                yield Change(self._name, name, "was dropped")
            else:
                advice = f"give was={name!r} to the field in its place, or dropped={name!r} to the class"
                yield _breaks(self._name, name, "was removed", advice)
            for former in field.get("was", ()):
                if former not in {*now, *names, *dropped}:
                    yield _breaks(
                        self._name, name, f"was={former!r} is gone", _OLD_NAME
                    )
        for name in sorted(self._old["dropped"]):
            if name not in dropped:
                yield _breaks(self._name, name, f"dropped={name!r} is gone", _OLD_NAME)
        for name in now.keys() - taken:
            yield _added(self._name, name, now[name], "give it a default", _MIGRATE)

    def _field(self, name: str, old: FieldLock, now: FieldLock) -> Iterator[Change]:
        upgraded = now.get("upgrade", False)
        yield from _retyped(
            self._name, name, old, now, self._renamed, upgraded=upgraded
        )
        if old["default"] and not now["default"]:
            advice = f"records may lack the field: put the default back, {_MIGRATE}"
            yield _breaks(self._name, name, "its default is gone", advice)
        elif now["default"] and not old["default"]:
            yield Change(self._name, name, "has a default now")
        if old.get("upgrade") and not upgraded:
            advice = f"records may hold the former type: put it back, {_MIGRATE}"
            yield _breaks(self._name, name, "its upgrade= is gone", advice)
        for former in sorted({*now.get("was", ())} - {*old.get("was", ())}):
            if former not in self._old.get("fields", _NO_FIELD):
                yield Change(self._name, name, f"reads {former!r}, too")


def _added(owner: str, name: str, field: FieldLock, *advice: str) -> Change:
    if field["default"]:
        return Change(owner, name, "is new")
    lack = f"stored records lack it: {', '.join(advice)}"
    return _breaks(owner, name, "is new and has no default", lack)


def _retyped(
    owner: str,
    name: str,
    old: FieldLock,
    now: FieldLock,
    renamed: Mapping[str, str],
    *,
    upgraded: bool,
) -> Iterator[Change]:
    before, after = old["type"], now["type"]
    if widens(before, after, renamed):
        if not widens(after, before, renamed):
            yield Change(owner, name, f"takes {after} now, beyond {before}")
        return
    what = f"{before} became {after}"
    if upgraded:
        yield Change(owner, name, what)
    else:
        advice = f"keep the former type in a union, give upgrade=, {_MIGRATE}"
        yield _breaks(owner, name, what, advice)


# --- what the fields name ---------------------------------------------------------


def _types(
    name: str, old: TypeLock, now: TypeLock, renamed: Mapping[str, str]
) -> Iterator[Change]:
    if old["kind"] != now["kind"]:
        what = f"was stored as {old['kind']}, is stored as {now['kind']}"
        advice = "give the new class another name"
        yield _breaks(name, None, what, advice)
        return
    yield from _members(name, old.get("members", ()), now.get("members", ()))
    yield from _values(name, old.get("values", {}), now.get("values", {}))
    before, after = old.get("fields", _NO_FIELD), now.get("fields", _NO_FIELD)
    for field in before.keys() - after.keys():
        advice = "records that have it do not load any more: put it back"
        yield _breaks(name, field, "was removed", advice)
    for field in after.keys() - before.keys():
        yield _added(name, field, after[field], "give it a default")
    for field in before.keys() & after.keys():
        yield from _retyped(
            name, field, before[field], after[field], renamed, upgraded=False
        )
        if before[field]["default"] and not after[field]["default"]:
            advice = "stored ones may lack it: put it back"
            yield _breaks(name, field, "its default is gone", advice)


def _members(name: str, old: Iterable[str], now: Iterable[str]) -> Iterator[Change]:
    """Compare enums, of which members are stored by their names."""
    before, after = set(old), set(now)
    for member in before - after:
        advice = "it is stored by its name: keep it, as an alias of another if need be"
        yield _breaks(name, member, "is no member now", advice)
    for member in after - before:
        yield Change(name, member, "is new")


def _values(
    name: str, old: Mapping[str, int], now: Mapping[str, int]
) -> Iterator[Change]:
    """Compare flags, which are stored by their values."""
    for member, value in old.items():
        if value not in now.values():
            advice = "it is stored by its value: keep that"
            yield _breaks(name, member, f"no flag is {value}", advice)
        elif now.get(member, value) != value:
            advice = "stored flags mean something else now: keep the values"
            yield _breaks(name, member, "is another value", advice)
        elif member not in now:
            yield Change(name, member, "has another name now")
    for member in now.keys() - old.keys():
        if now[member] not in old.values():
            yield Change(name, member, "is new")
