"""A state machine: whatever is done to a Database, it equals a dict.

The model is a plain dict beside each of two databases on one state, and a copy of
that state. Values are changed in place at any depth, both databases write, in
transactions and without, and every step compares everything, order and types
included.
"""

import copy
import shutil
import tempfile
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from same import same
from storify import ConflictError, Database, Model, Storify
from storify.codec import Codec
from strategies import hashables, storable


def finds_itself(key: Any) -> bool:
    """Whether an equal key finds it in a dict: not so a NaN, deep inside or not."""
    codec = Codec()
    return bool(codec.decode(codec.encode(key)) == key)


KEYS = (
    st.sampled_from(["a", "b", "c", "d"])
    | st.sampled_from([1, True, 2.0, (1, "x"), b"a", None])
    | hashables().filter(finds_itself)
)
#: The second writer has these alone, so that 1 here never meets True there.
OTHER_KEYS = st.sampled_from(["a", "b", "c", "theirs"])


class Person(Model):
    """A declared model with room for anything."""

    name: str
    notes: list[Any] = []


VALUES = storable(max_leaves=8) | st.builds(
    Person, st.text(max_size=3), st.lists(storable(max_leaves=4), max_size=2)
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "delete", "move", "change"]), KEYS, VALUES),
    max_size=4,
)


class StopItError(Exception):
    """Leaves a block."""


class Handle:
    """A database and what it should hold.

    Attributes:
        db: The database.
        live: What it should hold.
        base: The durable state that it knows; None if there was none.
        moved: The keys of `base` that were deleted and set again.
    """

    def __init__(self, db: Database[Any, Any], durable: dict[Any, Any] | None):
        self.db = db
        self.rebase(durable)

    def rebase(self, durable: dict[Any, Any] | None) -> None:
        """Start anew from a durable state."""
        self.live = copy.deepcopy(durable or {})
        self.base = copy.deepcopy(durable)
        self.moved: set[Any] = set()

    def was(self, key: Any) -> Any:
        """The durable value that it knows; no value is a class."""
        return (self.base or {}).get(key, StopItError)

    def changed(self) -> set[Any]:
        """The keys that hold something else than the state that it knows."""
        return {
            key
            for key in {*self.live, *(self.base or {})}
            if not same(self.live.get(key, StopItError), self.was(key))
        }

    def do(self, step: str, key: Any, value: Any) -> None:
        """Change the database and the model alike."""
        if step == "set":
            self.db[key] = value
            self.live[key] = copy.deepcopy(value)
        elif key not in self.live:
            assert key not in self.db
        elif step == "delete":
            del self.db[key]
            del self.live[key]
            self._moves(key)
        elif step == "move":
            self.db[key] = self.db.pop(key)
            self.live[key] = self.live.pop(key)
            self._moves(key)
        else:
            for target in (self.db[key], self.live[key]):
                part = copy.deepcopy(value)
                if isinstance(target, Person):
                    target.notes.append(part)
                elif type(target) is list:
                    target.append(part)
                elif type(target) is dict:
                    target["new"] = part

    def _moves(self, key: Any) -> None:
        if key in (self.base or {}):
            self.moved.add(key)


class DatabaseIsADict(RuleBasedStateMachine):
    """Compare two databases on one state with dicts in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.place = self.make_place()
        self.managers: list[Storify] = []
        self.durable: dict[Any, Any] | None = None
        self.past: list[dict[Any, Any]] = []
        self.mine = Handle(self._open(), None)
        self.other = Handle(self._open(), None)

    def make_place(self) -> str:
        """A place for the databases of this run."""
        return tempfile.mkdtemp()

    def remove_place(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.place)

    def _open(self) -> Database[Any, Any]:
        sf = Storify(self.place, save_interval=None, models=[Person], keep=1000)
        self.managers.append(sf)
        return sf.get_db("d")

    def teardown(self) -> None:
        """Close all."""
        for handle in (self.mine, self.other):
            handle.db.close(discard=True)
        self.managers.clear()
        self.remove_place()

    # -- the model of a flush --------------------------------------------------

    def _conflicts(self, handle: Handle) -> set[Any]:
        """The keys that were changed on both sides, to different values."""
        return {
            key
            for key in handle.changed()
            if not same(self._now(key), handle.was(key))
            and not same(self._now(key), handle.live.get(key, StopItError))
        }

    def _now(self, key: Any) -> Any:
        return (self.durable or {}).get(key, StopItError)

    def _merged(self, handle: Handle, theirs: set[Any]) -> dict[Any, Any]:
        """What *handle* holds on top of the durable state, in the file's order."""
        durable, live = dict(self.durable or {}), handle.live
        moves = handle.moved - theirs
        mine = handle.changed() - theirs
        content = {
            **{key: value for key, value in durable.items() if key not in mine},
            **{key: live[key] for key in mine if key in live},
        }
        moved = [key for key in live if key in moves or key not in durable]
        # What the other writer deleted and I keep is new in the file: it goes last.
        again = (
            {key for key in moved if key in (handle.base or {})}
            - durable.keys()
            - moves
        )
        now = [] if handle.db.defunct else list(handle.db)
        moved.sort(key=lambda key: 1 + now.index(key) if key in again & {*now} else 0)
        order = [key for key in durable if key not in moved]
        return copy.deepcopy(
            {key: content[key] for key in [*order, *moved] if key in content}
        )

    def _commit(self, handle: Handle) -> None:
        merged = self._merged(handle, set())
        if self.durable is not None:
            self.past.append(copy.deepcopy(self.durable))
        self.durable = merged
        handle.rebase(merged)

    # -- rules -----------------------------------------------------------------

    @rule(key=KEYS, value=VALUES)
    def set(self, key: Any, value: Any) -> None:
        """Set a key; the model gets a copy of the value."""
        self.mine.do("set", key, value)

    @precondition(lambda self: self.mine.live)
    @rule(
        data=st.data(),
        step=st.sampled_from(["delete", "move", "change"]),
        value=storable(max_leaves=3),
    )
    def change(self, data: st.DataObject, step: str, value: Any) -> None:
        """Delete a key, move it to the end, or change inside of its value."""
        key = data.draw(st.sampled_from(list(self.mine.live)))
        self.mine.do(step, key, value)

    @rule(
        key=OTHER_KEYS,
        step=st.sampled_from(["set", "delete", "move", "change"]),
        value=storable(max_leaves=3),
    )
    def change_other(self, key: str, step: str, value: Any) -> None:
        """The other writer changes something, which is in its memory alone."""
        self.other.do(step, key, value)

    @rule(
        mine=st.booleans(),
        side=st.sampled_from(["mine", "theirs", None]),
        compact=st.booleans(),
    )
    def flush(self, mine: bool, side: Any, compact: bool) -> None:
        """Make one of them durable; a conflict changes nothing and is resolved."""
        handle = self.mine if mine else self.other
        conflicts = self._conflicts(handle)
        if conflicts:
            with pytest.raises(ConflictError) as caught:
                handle.db.flush()
            assert set(caught.value.keys) == conflicts
            assert same(dict(handle.db.data), handle.live)
            if side is None:
                return
            self.reload(mine, side)
        handle.db.flush(compact=compact)
        self._commit(handle)
        assert handle.db.dirty() == set()

    @rule(mine=st.booleans(), side=st.sampled_from(["mine", "theirs", None]))
    def reload(self, mine: bool, side: Any) -> None:
        """Adopt what the other one wrote; what is changed here stays unsaved."""
        handle = self.mine if mine else self.other
        conflicts = self._conflicts(handle)
        if conflicts and side is None:
            with pytest.raises(ConflictError):
                handle.db.reload()
            return
        handle.db.reload(keep=side)
        taken = conflicts if side == "theirs" else set()
        handle.live = self._merged(handle, taken)
        handle.base = copy.deepcopy(self.durable)
        handle.moved &= {*(self.durable or {})} - taken
        assert handle.changed() <= handle.db.dirty()

    @rule()
    def load(self) -> None:
        """Go back to what is durable."""
        self.mine.db.load()
        if self.durable is not None:
            self.mine.rebase(self.durable)

    @contextmanager
    def _settled(self) -> Any:
        """Have no conflict at the start of what flushes first."""
        if self._conflicts(self.mine):
            self.reload(mine=True, side="theirs")
        yield

    @rule(
        changes=CHANGES, inner=CHANGES, fails=st.booleans(), inner_fails=st.booleans()
    )
    def transaction(
        self, changes: list[Any], inner: list[Any], fails: bool, inner_fails: bool
    ) -> None:
        """Change several records at once, or not at all; with a savepoint inside."""
        with self._settled(), suppress(StopItError):
            db = self.mine.db
            with db.transaction():
                self._commit(self.mine)
                before = copy.deepcopy(vars(self.mine) | {"db": None})
                for change in changes:
                    self.mine.do(*change)
                middle = copy.deepcopy(vars(self.mine) | {"db": None})
                with suppress(StopItError), db.transaction():
                    for change in inner:
                        self.mine.do(*change)
                    if inner_fails:
                        vars(self.mine).update(middle, db=db)
                        raise StopItError
                assert same(dict(db.data), self.mine.live)
                if fails:
                    vars(self.mine).update(before, db=db)
                    raise StopItError
        if not fails:
            self._commit(self.mine)
        assert self.mine.db.dirty() == set()

    @precondition(lambda self: self.past)
    @rule(data=st.data(), some=st.booleans())
    def restore(self, data: st.DataObject, some: bool) -> None:
        """Make an older state the present one, or some keys of it."""
        db = self.mine.db
        if not db.backups.list:
            return  # nothing was written by what was done since
        with self._settled():
            which = data.draw(st.sampled_from(db.backups.list))
            sf = self.managers[0]
            then: Any = sf._schema.codec.decode_root(
                db._session.engine.read_backup(which)
            )
            assert any(same(then, each) for each in [*self.past, self.durable])
            keys = None
            if some:
                here = list({**then, **self._merged(self.mine, set())})
                keys = (
                    data.draw(st.lists(st.sampled_from(here), max_size=2))
                    if here
                    else []
                )
            self._commit(self.mine)
            if keys is None:
                target = then
            else:
                target = copy.deepcopy(self.durable or {})
                for key in keys:
                    was, now = (
                        next((own for own in each if own == key), StopItError)
                        for each in (then, target)
                    )
                    if not same(was, now):  # 1 then and True now, or one is missing
                        target.pop(key, None)
                    if was is not StopItError:
                        target[was] = then[was]
            db.backups.restore(which, keys)
            self.past.append(copy.deepcopy(self.durable or {}))
            self.durable = copy.deepcopy(target)
            self.mine.rebase(target)

    @rule()
    def reopen(self) -> None:
        """Close, which flushes, and open anew."""
        with self._settled():
            self.mine.db.close()
            self._commit(self.mine)
            self.mine = Handle(self._open(), self.durable)

    @rule()
    def abandon(self) -> None:
        """Lose everything since the last flush, as a killed program does."""
        self.mine.db.close(discard=True)
        self.mine = Handle(self._open(), self.durable)

    # -- laws ------------------------------------------------------------------

    @invariant()
    def equal(self) -> None:
        """The live data are the model's, in order, with the same types."""
        for handle in (self.mine, self.other):
            assert same(dict(handle.db.data), handle.live)
            assert len(handle.db) == len(handle.live)

    @invariant()
    def readable(self) -> None:
        """A new instance reads what was last flushed."""
        if self.durable is not None:
            other = self._open()
            found = dict(other.data)
            other.close(discard=True)
            assert same(found, self.durable)


class MemoryDatabaseIsADict(DatabaseIsADict):
    """The same over an engine that always tells what was changed."""

    _number = 0

    def make_place(self) -> str:
        """A place that lives as long as one of its users."""
        MemoryDatabaseIsADict._number += 1
        return f"memory://machine-{self._number}"

    def remove_place(self) -> None:
        """It goes with its users."""


SETTINGS = settings(settings.default, max_examples=settings.default.max_examples // 3)
TestDatabaseIsADict = DatabaseIsADict.TestCase
TestDatabaseIsADict.settings = SETTINGS
TestMemoryDatabaseIsADict = MemoryDatabaseIsADict.TestCase
TestMemoryDatabaseIsADict.settings = SETTINGS
