"""A state machine: whatever is done to a Database, it equals a dict.

The model is a plain dict beside the database and a deep copy of it for what
was last flushed. Values are changed in place at any depth, two instances share
the file, and every reopening compares everything, order and types included.
"""

import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from same import same
from storify import Database, Model, Storify
from storify.codec import Codec
from strategies import hashables, storable


def finds_itself(key: Any) -> bool:
    """Whether an equal key finds it in a dict: not so a NaN, deep inside or not."""
    codec = Codec()
    return bool(codec.decode(codec.encode(key)) == key)


KEYS = st.sampled_from(["a", "b", "c", "d"]) | hashables().filter(finds_itself)


class Person(Model):
    """A declared model with room for anything."""

    name: str
    notes: list[Any] = []


VALUES = storable(max_leaves=8) | st.builds(
    Person, st.text(max_size=3), st.lists(storable(max_leaves=4), max_size=2)
)


class DatabaseIsADict(RuleBasedStateMachine):
    """Compare a database on disk with a dict in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.expected: dict[Any, Any] = {}
        self.durable: dict[Any, Any] | None = None
        self.db = self._open()

    def _open(self) -> Database[Any, Any]:
        sf = Storify(self.folder, save_interval=None, models=[Person])
        return sf.get_db("d")

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.db.close(discard=True)
        shutil.rmtree(self.folder)

    @rule(key=KEYS, value=VALUES)
    def set(self, key: Any, value: Any) -> None:
        """Set a key; the model gets a copy of the value."""
        self.expected[key] = copy.deepcopy(value)
        self.db[key] = value

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Delete a key."""
        key = data.draw(st.sampled_from(list(self.expected)))
        del self.expected[key]
        del self.db[key]

    @precondition(lambda self: self.expected)
    @rule(data=st.data(), value=storable(max_leaves=3))
    def change_in_place(self, data: st.DataObject, value: Any) -> None:
        """Change a value that has an inside, without telling the database."""
        key = data.draw(st.sampled_from(list(self.expected)))
        for target in (self.db[key], self.expected[key]):
            part = copy.deepcopy(value)
            if isinstance(target, Person):
                target.notes.append(part)
            elif type(target) is list:
                target.append(part)
            elif type(target) is dict:
                target["new"] = part

    @rule()
    def flush(self) -> None:
        """Make it durable; nothing is dirty after it."""
        self.db.flush()
        self.durable = copy.deepcopy(self.expected)
        assert self.db.dirty() == set()

    @rule()
    def reload(self) -> None:
        """Go back to what is durable."""
        self.db.load()
        if self.durable is not None:
            self.expected = copy.deepcopy(self.durable)

    @rule()
    def reopen(self) -> None:
        """Close, which flushes, and open anew."""
        self.db.close()
        self.durable = copy.deepcopy(self.expected)
        self.db = self._open()

    @rule()
    def abandon(self) -> None:
        """Lose everything since the last flush, as a killed program does."""
        self.db.close(discard=True)
        self.expected = copy.deepcopy(self.durable or {})
        self.db = self._open()

    @rule(value=storable(max_leaves=3))
    def another_writer(self, value: Any) -> None:
        """Another instance commits a key of its own; a flush adopts it."""
        self.db.flush()
        other = self._open()
        other["theirs"] = copy.deepcopy(value)
        other.close()
        self.db.flush()
        self.expected["theirs"] = value
        self.durable = copy.deepcopy(self.expected)

    @precondition(lambda self: self.durable is not None)
    @rule(value=storable(max_leaves=3))
    def another_writer_meanwhile(self, value: Any) -> None:
        """Another instance commits while this one has changes to other keys."""
        assert self.durable is not None
        mine, base = (each.get("theirs", ...) for each in (self.expected, self.durable))
        if not same(mine, base):
            return  # both sides changed it: a conflict, which has tests of its own
        other = self._open()
        other["theirs"] = copy.deepcopy(value)
        other.close()
        self.db.flush()
        self.expected["theirs"] = value
        self.durable = copy.deepcopy(self.expected)

    @invariant()
    def equal(self) -> None:
        """The live data are the model's, in order, with the same types."""
        assert same(dict(self.db.data), self.expected)
        assert len(self.db) == len(self.expected)

    @invariant()
    def readable(self) -> None:
        """A new instance reads what was last flushed."""
        if self.durable is not None:
            other = self._open()
            found = dict(other.data)
            other.close(discard=True)
            assert same(found, self.durable)


TestDatabaseIsADict = DatabaseIsADict.TestCase
TestDatabaseIsADict.settings = settings(
    settings.default, max_examples=settings.default.max_examples // 3
)
