"""The planted faults: what is replaced in a copy of the library, and what finds it.

Each is a slip that a programmer could make. What is replaced stands in its file just
once; else the list is out of date, and its test fails.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["FAULTS", "Fault"]

#: Names of tools.
UNTYPED: Final = "untyped"
ROUNDTRIP: Final = "roundtrip"
UPGRADES: Final = "upgrades"
MACHINE: Final = "machine"
TWO: Final = "two_writers"
CRASHES: Final = "crashes"
JOURNAL: Final = "journal"
TEMPORARY: Final = "temporary"


@dataclass(frozen=True)
class Fault:
    """One slip.

    Attributes:
        what: What it does wrong, in words; its name.
        path: The file, below ``storify/``.
        old: What is replaced.
        new: What takes its place.
        caught_by: The first tool that finds it, in the order of `kit.TOOLS`.
    """

    what: str
    path: str
    old: str
    new: str
    caught_by: str


FAULTS: Final = (
    # -- values ------------------------------------------------------------------
    Fault(
        "a field is dropped",
        "models/plan.py",
        "LoweredField(f.name, f.key, f.shape) for f in self._stored",
        "LoweredField(f.name, f.key, f.shape) for f in self._stored[:2]",
        ROUNDTRIP,
    ),
    Fault(
        "a tuple comes back as a list",
        "codec/_builtin.py",
        "lambda items: tuple(items[1:])",
        "lambda items: items[1:]",
        UNTYPED,
    ),
    Fault(
        "a time zone becomes its offset",
        "codec/_builtin.py",
        "ext(Ext.AWARE_DATETIME, _state(value) + _encode_zone(zone))",
        "ext(Ext.AWARE_DATETIME, _state(value) + "
        "_encode_zone(timezone(value.utcoffset())))",
        UNTYPED,
    ),
    Fault(
        "the zone of a time is lost",
        "codec/_builtin.py",
        "state if zone is None else state + _encode_zone(zone)",
        "state",
        UNTYPED,
    ),
    Fault(
        "the fold of a time is lost",
        "codec/_builtin.py",
        "value.__reduce_ex__(4)",
        "value.__reduce_ex__(2)",
        UNTYPED,
    ),
    Fault(
        "-0.0 becomes 0.0",
        "models/lower.py",
        'lines = [f"{value} = [*{value}]"',
        'lines = [f"{value} = [x or x.__class__() for x in {value}]"',
        ROUNDTRIP,
    ),
    Fault(
        "-0.0 becomes 0.0 in a complex number",
        "codec/_builtin.py",
        'struct.pack(">dd", value.real, value.imag)',
        'struct.pack(">dd", value.real, value.imag + 0.0)',
        UNTYPED,
    ),
    Fault(
        "a Decimal loses its trailing zeros",
        "codec/_builtin.py",
        "ext(Ext.DECIMAL, str(value).encode())",
        "ext(Ext.DECIMAL, str(value.normalize() if value.is_finite() else value)"
        ".encode())",
        UNTYPED,
    ),
    Fault(
        "an integer of 65 bits loses its sign",
        "codec/_builtin.py",
        'int.from_bytes(data, "big", signed=True)\n    _check(not',
        'int.from_bytes(data, "big", signed=False)\n    _check(not',
        UNTYPED,
    ),
    Fault(
        "lone surrogates are replaced",
        "codec/_builtin.py",
        'ext(Ext.TEXT, value.encode("utf-8", _SURROGATES))',
        'ext(Ext.TEXT, value.encode("utf-8", "replace"))',
        UNTYPED,
    ),
    Fault(
        "the order of keys is lost",
        "codec/_builtin.py",
        "[_ORDERED_DICT, dict(value)]",
        "[_ORDERED_DICT, dict(reversed(value.items()))]",
        UNTYPED,
    ),
    Fault(
        "the length of a deque is not bounded any more",
        "codec/_builtin.py",
        "return deque(rest, maxlen)",
        "return deque(rest)",
        UNTYPED,
    ),
    Fault(
        "the counts of a Counter are added up",
        "codec/_builtin.py",
        "_dict.update(value, _only_dict(items[1:]))",
        "value = +Counter(_only_dict(items[1:]))",
        UNTYPED,
    ),
    Fault(
        "an Enum is stored by its value",
        "codec/_types.py",
        "self.encoders[cls] = self.singles[cls] = encode_member",
        "self.encoders[cls] = self.singles[cls] = lambda member: member.value",
        ROUNDTRIP,
    ),
    Fault(
        "a bool comes back as an int",
        "models/lower.py",
        'lines += [f"{name} = {state}[{attribute!r}]" for name, attribute in pairs]',
        'lines += [f"{name} = {state}[{attribute!r}]; {name} = int({name}) '
        "if {name}.__class__.__name__ == 'bool' else {name}\" "
        "for name, attribute in pairs]",
        ROUNDTRIP,
    ),
    Fault(
        "what looks like a record is taken for one",
        "codec/_codec.py",
        'return key.startswith("__") or key in self._keynames',
        "return key in self._keynames",
        UNTYPED,
    ),
    Fault(
        "all objects share one default",
        "models/fields.py",
        "attrs.Factory(partial(copy.deepcopy, default))",
        "attrs.Factory(lambda: default)",
        ROUNDTRIP,
    ),
    # -- classes that change -------------------------------------------------------
    Fault(
        "was= is ignored",
        "models/plan.py",
        "return next((old for old in f.options.was if old in data), None)",
        "return None",
        UPGRADES,
    ),
    Fault(
        "upgrade= is not called",
        "models/plan.py",
        "return hook(upgrade(copy_plain(value)), hint)",
        "return hook(value, hint)",
        UPGRADES,
    ),
    Fault(
        "a migration is applied twice",
        "models/options.py",
        "fields = self._step(version, fields)",
        "fields = self._step(version, self._step(version, fields))",
        UPGRADES,
    ),
    Fault(
        "the version is not written",
        "models/plan.py",
        "constants = {VERSION_KEY: version} if version else {}",
        "constants = {}",
        ROUNDTRIP,
    ),
    Fault(
        "fields that the class does not know are dropped",
        "models/plan.py",
        "if unknown:\n            assign(obj, unknown)",
        "if unknown and not used:\n            assign(obj, unknown)",
        UPGRADES,
    ),
    Fault(
        "a record of an unknown class is dropped",
        "models/registry.py",
        "            self.count_odd()\n            return Unloaded(tree)",
        "            return None",
        UPGRADES,
    ),
    # -- a database ----------------------------------------------------------------
    Fault(
        "a change that leaves the size of a value as it was is forgotten",
        "database/session/root.py",
        "if stored == blob:",
        "if stored is not None and len(stored) == len(blob):",
        UNTYPED,
    ),
    Fault(
        "a change inside a value that was held during a flush is forgotten",
        "database/live/ownership.py",
        "if kind != UNKNOWN and counts[at] == expected and not weak[at]:",
        "if kind != UNKNOWN:",
        MACHINE,
    ),
    Fault(
        "a delete is lost",
        "database/session/root.py",
        "for key in (*root.over, *gone))",
        "for key in (*root.over, *gone) if key in blobs)",
        MACHINE,
    ),
    Fault(
        "a transaction is not rolled back",
        "database/session/transaction.py",
        "root.roll_back() if root.depth()",
        "root.release if root.depth()",
        MACHINE,
    ),
    Fault(
        "a savepoint inside a transaction is not merged into it",
        "database/live/savepoints.py",
        "if len(slots.points) > 1:\n            outer = slots.points[-2]\n"
        "            for key, before in point.before.copy().items():\n"
        "                outer.note(",
        "if len(slots.points) > 2:\n            outer = slots.points[-2]\n"
        "            for key, before in point.before.copy().items():\n"
        "                outer.note(",
        MACHINE,
    ),
    Fault(
        "a rollback loses the order of the keys",
        "database/live/savepoints.py",
        "        if point.order is not None:\n",
        "        if point.order is None:\n            return\n        if False:\n",
        MACHINE,
    ),
    Fault(
        "all keys are restored instead of some",
        "database/backups.py",
        "if keys is not None:\n                changes =",
        "if keys is not None and not keys:\n                changes =",
        MACHINE,
    ),
    Fault(
        "closing does not save",
        "database/_database.py",
        "            elif not discard:\n                self.flush()\n"
        "            self._session.run_uncut",
        "            self._session.run_uncut",
        MACHINE,
    ),
    # -- two writers ---------------------------------------------------------------
    Fault(
        "a conflict is ignored",
        "database/session/merge.py",
        "if both and keep is None:",
        'if both and keep == "none":',
        TWO,
    ),
    Fault(
        "a reload keeps theirs instead of mine",
        "database/session/merge.py",
        'if side == "theirs"\n',
        'if side == "mine"\n',
        TWO,
    ),
    Fault(
        "the delete of another writer is not adopted",
        "database/session/merge.py",
        "            elif key_bytes not in mine:\n",
        "            elif value is None and key_bytes not in mine:\n"
        "                continue\n"
        "            elif key_bytes not in mine:\n",
        MACHINE,
    ),
    Fault(
        "the last writer wins, whatever was there",
        "engine/file/state.py",
        '        msg = f"{paths.link!r} was changed since version {base}"\n'
        "        raise StaleVersionError(msg)\n",
        "",
        TWO,
    ),
    # -- the disk ------------------------------------------------------------------
    Fault(
        "the bytes of a file are not synced",
        "engine/file/vfs.py",
        "_sync(fd)\n            found = ",
        "found = ",
        CRASHES,
    ),
    Fault(
        "the names in a folder are not synced",
        "engine/file/vfs.py",
        "DIRECTORY | CLOEXEC)\n    try:\n        _sync(fd)",
        "DIRECTORY | CLOEXEC)\n    try:\n        pass",
        CRASHES,
    ),
    Fault(
        "a file is renamed before it is written",
        "engine/file/vfs.py",
        "    temporary, _ = write_temporary(directory, prefix, payload, like)\n"
        "    try:\n        put_in_place(temporary, path)\n",
        '    temporary, _ = write_temporary(directory, prefix, b"", like)\n'
        "    try:\n        put_in_place(temporary, path)\n"
        "        append_bytes(path, payload)\n",
        CRASHES,
    ),
    Fault(
        "a file is overwritten in place",
        "engine/file/vfs.py",
        "    os.replace(temporary, path)\n",
        '    with open(temporary, "rb") as file:\n'
        "        write_spare(path, file.read())\n"
        "    os.unlink(temporary)\n",
        CRASHES,
    ),
    Fault(
        "a flush that failed counts as done",
        "database/session/session.py",
        "            self.version = self.engine.commit(commit)\n",
        "            pending.done()\n"
        "            self.version = self.engine.commit(commit)\n",
        TWO,
    ),
    Fault(
        "the journal is not synced",
        "engine/file/vfs.py",
        "            if sync:\n                _sync_data(fd)\n",
        "",
        JOURNAL,
    ),
    Fault(
        "the checksum of a commit in the journal is not looked at",
        "engine/file/log.py",
        "if zlib.crc32(checked) != crc:",
        "if zlib.crc32(checked) != crc and not payload:",
        JOURNAL,
    ),
    Fault(
        "the first commit of a journal is not synced",
        "engine/file/append.py",
        "vfs.replace_bytes(paths.journal, payload, paths.prefix, like=like)",
        "vfs.write_spare(paths.journal, payload)",
        JOURNAL,
    ),
    # -- older states --------------------------------------------------------------
    Fault(
        "a backup is the state before it",
        "engine/file/history.py",
        "if frame_id(frame) == backup_id:\n                return epoch, count",
        "if frame_id(frame) == backup_id:\n                return epoch, count - 1",
        TEMPORARY,
    ),
    Fault(
        "what was committed after a backup is not kept beside it",
        "engine/file/checkpoint.py",
        "            vfs.write_spare(folder.journal(backup), head_frame(before), delta)\n",
        "            pass\n",
        TEMPORARY,
    ),
    Fault(
        "an older backup is used although the newest is good",
        "engine/file/backups.py",
        'for entry in self.entries():\n            if entry.kind != "unsaved" and',
        'for entry in self.entries()[1:]:\n            if entry.kind != "unsaved" and',
        TEMPORARY,
    ),
)
