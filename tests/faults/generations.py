"""Databases whose whole content follows from one number, their generation.

A mix of two generations, or a part of one, is therefore seen at once. Only the
public names of storify are used here, so any engine can be behind them.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from stand_ins import Log
from storify import Database, Storify

NAME = "users"

#: Backups that are enough to look at, where there may be hundreds.
MANY = 6

#: The id of a backup starts with its time.
STAMP = len("20261123T054100.123456Z")


class MixedError(ValueError):
    """The content is of no generation."""


@dataclass(frozen=True)
class Shape:
    """How large a database is, and what one commit changes.

    Attributes:
        keys: How many records.
        width: Bytes of each.
        all_move: Each commit changes every key; else one key, the counter, and
            each third time the ``bulk``, so that a journal grows.
        bulk: Bytes of the value ``bulk``.
        even_keys: How many records an even generation has, if not as many.
    """

    keys: int
    width: int
    all_move: bool = True
    bulk: int = 0
    even_keys: int | None = None

    def state(self, generation: int) -> dict[str, Any]:
        """The whole content."""
        if not generation:
            return {}
        keys = self.keys
        if self.even_keys is not None and generation % 2 == 0:
            keys = self.even_keys
        return {
            **{self._key(at): self._value(generation, at) for at in range(keys)},
            "bulk": self._text(generation - generation % 3, -1, self.bulk),
            "counter": generation,
        }

    def move(self, db: Database[Any, Any], generation: int) -> None:
        """Take a database from any other generation to this one, in memory."""
        with db.lock:  # no autosave in the middle
            if self.all_move or db.get("counter") != generation - 1 or not db:
                new = self.state(generation)
                for key in list(db):
                    if key not in new:
                        del db[key]
                db.update(new)
                return
            at = generation % self.keys
            db[self._key(at)] = self._value(generation, at)
            db["counter"] = generation
            if generation % 3 == 0:
                db["bulk"] = self._text(generation, -1, self.bulk)

    def generation(self, data: Any) -> int:
        """The generation of a whole content.

        Raises:
            MixedError: It is of none.
        """
        generation = data.get("counter") if data else 0
        if type(generation) is not int:
            message = f"the counter is {generation!r}"
            raise MixedError(message)
        expected = self.state(generation)
        wrong = {
            key for key in data if key not in expected or data[key] != expected[key]
        }
        wrong |= expected.keys() - data.keys()
        if wrong:
            some = ", ".join(
                f"{key}: {str(data.get(key))[:30]}" for key in sorted(wrong)[:5]
            )
            message = f"{len(wrong)} keys do not fit generation {generation}: {some}"
            raise MixedError(message)
        return generation

    def _value(self, generation: int, at: int) -> str:
        if not self.all_move:
            # It changed last when its turn was.
            generation = max(0, generation - (generation - at) % self.keys)
        return self._text(generation, at, self.width)

    @staticmethod
    def _key(at: int) -> str:
        return f"k{at:05}"

    @staticmethod
    def _text(generation: int, at: int, width: int) -> str:
        word = f"{generation:07}.{at:05} "
        return (word * (width // len(word) + 1))[:width]


SHAPES = {
    "tiny": Shape(20, 50),
    # 0.3 MB, which each flush rewrites.
    "small": Shape(1_000, 300),
    # Over 1 MiB, where a commit may append to a journal.
    "medium": Shape(300, 4_000, all_move=False, bulk=5_000),
    # From one way of saving to the other and back.
    "swinging": Shape(300, 4_000, even_keys=5),
    # The bulk makes a journal of 1.5 MiB, which is folded, in some 60 commits.
    "large": Shape(3_000, 1_000, all_move=False, bulk=80_000),
}


def open_db(
    folder: Path, name: str = NAME, log: Log | None = None, **options: Any
) -> tuple[Storify, Database[Any, Any]]:
    """Open a database as a program would; it is saved only when told to."""
    options.setdefault("save_interval", None)
    sf = Storify(folder, log=log or Log(), **options)
    return sf, sf.get_db(name)


def backups_of(
    db: Database[Any, Any], shape: Shape, most: int | None = None
) -> list[int]:
    """The generations in the backups, newest first; each of them is read.

    Args:
        db: The database.
        shape: Its shape.
        most: So many are enough, spread over all: with a journal, each commit
            is one.

    Raises:
        MixedError, StorifyError: One is not good.
    """
    ids = db.backups.list
    if most is not None:
        ids = ids[:: len(ids) // most + 1] + ids[-1:]
    if not hasattr(db, "at"):  # an engine without a journal
        paths = map(db.backups.get_path_of_backup, ids)
        return [shape.generation(db.unpack(path)) for path in paths]
    # Not verify(): what was kept beside the promised states may be torn by a cut.
    times = [datetime.fromisoformat(each[:STAMP]) for each in ids]
    return [shape.generation(db.at(time).data) for time in times]


def saved(folder: Path, shape: Shape, name: str = NAME) -> int:
    """The generation that a new program would find, with all its backups good."""
    sf, db = open_db(folder, name)
    with sf:
        backups_of(db, shape, MANY)
        found = shape.generation(db.data)
        db.close(discard=True)
    return found


def flip_byte(path: Path) -> None:
    """Change a byte in the middle as rot does: size and times stay."""
    before = path.stat()
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    path.write_bytes(payload)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
