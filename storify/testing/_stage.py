"""The stage of a machine: a database in a place, and what it should hold.

The rules are in `_machine`; here is what they are made of.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Final, Generic, Literal, NamedTuple, TypeVar, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from storify._manager import Storify
from storify.database import Database
from storify.database.live.slots import Stored
from storify.engine import entries_of
from storify.exceptions import ConflictError
from storify.models import Model, Unloaded

from ._changes import (
    Change,
    Durable,
    Edit,
    Expected,
    State,
    changes,
    edits,
    is_mutable,
    part_at,
    place_of,
)
from ._connection import drop_schema, fresh_schema, shared_url
from ._disk import Fault, Folder, Killed, injected, read, write_folder
from ._models import models
from ._same import difference, facts, same
from ._scalars import storable

# --- where a machine's database is: a folder that survives crashes, or memory ---------

_numbers = count(1)


class FilePlace:
    """A temporary folder; each life of the program has one of its own.

    Attributes:
        root: What a `Storify` is opened with.
        has_disk: Whether it makes disk calls, which can be the last.
    """

    has_disk = True

    def __init__(self) -> None:
        self._home = TemporaryDirectory(prefix="storify-machine-")
        self._lives = count(1)
        self.root = self._next()

    def _next(self) -> str:
        # A link in the path would make others of the paths that the engine uses.
        return str(Path(self._home.name).resolve() / f"life-{next(self._lives)}")

    def survive(self) -> None:
        """Go on with what there is now, out of reach for all that is open: copied."""
        old, self.root = Path(self.root), self._next()
        left = read(old) if old.exists() else Folder()
        assert isinstance(left, Folder)  # noqa: S101 -- a Storify made it
        write_folder(left, Path(self.root))

    def remove(self) -> None:
        self._home.cleanup()

    def kill(self, act: Callable[[], object], call: int, *, torn: bool) -> bool:
        """End the program at a disk call of *act*, of which half of a write may be done.

        Tell whether *act* was done before that.
        """
        fault = Fault(call, "tear" if torn else "kill", within=self.root)
        with injected(fault):
            try:
                act()
            except Killed:
                return False
        return True


class MemoryPlace:
    """Databases in memory, which live as long as this object."""

    has_disk = False

    def __init__(self) -> None:
        self.root = f"memory://storify-machine-{next(_numbers)}"
        self._keeper = Storify(self.root, save_interval=None)

    def survive(self) -> None:
        """Keep all: what was saved is there for the next one that opens it."""

    def remove(self) -> None:
        self._keeper.close()

    def kill(self, act: Callable[[], object], *_: object, **__: object) -> bool:
        """Do it: no disk call can be the last."""
        act()
        return True


class ServerPlace:
    """Databases on a PostgreSQL server, in a schema of their own.

    Args:
        url: Of the server; that of the fixture ``pg_sf`` unless given.
    """

    has_disk = False

    def __init__(self, url: str | None) -> None:
        self.root = url or shared_url()
        self.schema = fresh_schema()

    def survive(self) -> None:
        """Keep all: what was saved is on the server."""

    def remove(self) -> None:
        drop_schema(self.root, self.schema)

    def kill(self, act: Callable[[], object], *_: object, **__: object) -> bool:
        """Do it: no disk call can be the last."""
        act()
        return True


Place = FilePlace | MemoryPlace | ServerPlace


# --- the stage ------------------------------------------------------------------------

V = TypeVar("V")

Keep = Literal["mine", "theirs"] | None
Writer = Literal["first", "second"]

#: It tells warnings: that a crash has left something is no news here.
_LOG: Final = logging.getLogger("storify.machine")
_STEPS: Final = 30
_FEW_KEYS: Final = st.sampled_from(("a", "b", "c", "d", "", "ü"))


def agree(what: str, expected: object, found: object) -> None:
    __tracebackhide__ = True
    where = difference(expected, found)
    if where is not None:
        msg = f"{what}: {where}"
        raise AssertionError(msg)


class Held(NamedTuple):
    """A live object that a program keeps.

    Attributes:
        part: A value of the database, or something inside it.
        twin: What stands in its place in what is expected.
        at: Which of the `facts` of the value it is.
    """

    part: Any
    twin: Any
    at: int


class Opened(Generic[V]):
    """An open database, what it should hold, and what somebody else holds of it.

    Attributes:
        db: The database.
        expected: What it should hold.
        held: Live objects by their keys, for as long as they must stay the live ones.
    """

    def __init__(self, db: Database[V, Any], durable: State | None) -> None:
        self.db = db
        self.expected = Expected(durable)
        self.held: dict[Any, Held] = {}

    def do(self, change: Change) -> None:
        __tracebackhide__ = True
        expected = self.expected.do(change)
        agree(f"{change!r} gave", expected, change.apply(self.db))
        for key in change.replaces:
            self.held.pop(key, None)
        self._follow_held()

    def hold(self, look: Edit) -> None:
        """Hold a live object: whoever changes it changes the database."""
        __tracebackhide__ = True
        key, at = look.key, look.at
        expected, value = self.expected.live[key], self.db[key]
        agree(f"db[{key!r}]", expected, value)
        held = Held(part_at(value, at), part_at(expected, at), at)
        if is_mutable(held.part):
            self.held[key] = held

    def change_held(self, edit: Edit) -> None:
        """Change a held object; the database is not asked for it."""
        held = self.held[edit.key]
        self.expected.do(edit)
        edit.change_within(held.part, held.at)
        self._follow_held()

    def _follow_held(self) -> None:
        """Find where held objects are now; forget those that are in no value."""
        for key, held in list(self.held.items()):
            at = place_of(held.twin, self.expected.live[key])
            if at is None:
                del self.held[key]
            else:
                self.held[key] = held._replace(at=at)

    def compare(self) -> None:
        __tracebackhide__ = True
        agree("db", self.expected.live, dict(self.db.data))
        self._check_held()

    def _check_held(self) -> None:
        """See that what is held is in the values that were read.

        To read others would make them live, also those that are lost to whoever
        holds them: then only a change shows it.
        """
        __tracebackhide__ = True
        data: dict[Any, Any] = self.db.data
        for key, held in self.held.items():
            value = dict[Any, Any].get(data, key)
            if type(value) is not Stored:
                is_live = part_at(value, held.at) is held.part
                agree(f"what is held of db[{key!r}] is still in it", True, is_live)

    def check(self) -> None:
        """Compare what is in memory, without a look at what nobody has read."""
        __tracebackhide__ = True
        live = self.expected.live
        agree("the keys", list(live), list(self.db))
        agree("len(db)", len(live), len(self.db))
        data: dict[Any, Any] = self.db.data
        for key, value in dict[Any, Any].items(data):
            if type(value) is not Stored:
                agree("db", {key: live.get(key)}, {key: value})
        self._check_held()
        dirty, changed = self.db.dirty(), self.expected.changed()
        agree("changed, but not in dirty()", set[Any](), changed - dirty)
        more = dirty - changed - self.expected.moved
        agree("in dirty(), but not changed", set[Any](), more)


class Stage(RuleBasedStateMachine, Generic[V]):
    """A database that is open once or twice, and what is known of it."""

    classes: ClassVar[Sequence[type[Model]]] = ()
    values: ClassVar[st.SearchStrategy[Any]] = storable(max_leaves=8)
    keys: ClassVar[st.SearchStrategy[Any]] = _FEW_KEYS
    other_keys: ClassVar[st.SearchStrategy[Any] | None] = None
    engine: ClassVar[Literal["file", "memory", "postgres"]] = "file"
    url: ClassVar[str | None] = None
    second_writer: ClassVar[bool] = True
    at_random: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.classes and "classes" in vars(cls) and "values" not in vars(cls):
            cls.values = st.one_of([models(each) for each in cls.classes])
        default = settings.default or settings()
        cls.TestCase.settings = settings(
            max_examples=max(1, default.max_examples // 2),
            stateful_step_count=min(_STEPS, default.stateful_step_count),
            deadline=None,
            report_multiple_bugs=False,  # one is enough to read, and sooner there
            suppress_health_check=[*cast("Iterable[HealthCheck]", HealthCheck)],
            # which lines of ours are run only by failing programs explains nothing
            phases=[each for each in default.phases if each is not Phase.explain],
        )

    def __init__(self) -> None:
        super().__init__()
        self._place: Place = self._make_place()
        self._storifys: list[Storify] = []
        self._durable = Durable()
        self._checked: State | None = None
        self._opened: dict[Writer, Opened[V]] = {}
        self._open_all()

    def _make_place(self) -> Place:
        if self.engine == "postgres":
            return ServerPlace(self.url)
        return FilePlace() if self.engine == "file" else MemoryPlace()

    @property
    def place(self) -> str:
        """The folder or URL of the database."""
        return self._place.root

    @property
    def db(self) -> Database[V, Any]:
        """The database; it is another object after `reopen` and `crash`."""
        return self._opened["first"].db

    @property
    def expected(self) -> dict[Any, Any]:
        """The expected content; not to be changed."""
        return self._opened["first"].expected.live

    def open_db(self) -> Database[V, Any]:
        """Open the database in `place`, anew each time; yours to override."""
        idle = (sf for sf in self._storifys if sf.get_loaded_db("db") is None)
        sf = next(idle, None)
        if sf is None:
            sf = Storify(
                self.place,
                save_interval=None,
                models=self.classes,
                keep=1000,
                log=_LOG,
                schema=getattr(self._place, "schema", None),
            )
            self._storifys.append(sf)
        db: Any = sf.get_db("db", model=cast("Any", tuple(self.classes) or None))
        return cast("Database[V, Any]", db)

    def accept(self) -> None:
        """Take what the database holds as right, after a rule of yours changed it.

        It is flushed: from here on it must not be lost.
        """
        first = self._opened["first"]
        try:
            first.db.flush()
        except ConflictError:
            first.db.reload(keep="mine")
            first.db.flush()
        self._durable.commit(deepcopy(dict(first.db.data)))
        self._durable.forget_past()  # the rule may have flushed more than once
        first.held.clear()
        first.expected.rebase(self._durable.state)

    def teardown(self) -> None:
        """Compare everything once more; close and remove all."""
        try:
            if sys.exception() is None:
                self._check_saved()
                for opened in self._opened.values():
                    opened.compare()
        finally:
            self._drop_all()
            self._place.remove()

    def check_invariants(self, *args: Any, **kwargs: Any) -> None:
        """Compare all with what should be there, then check your invariants."""
        __tracebackhide__ = True
        for opened in self._opened.values():
            opened.check()
        # what nobody committed since is looked at in the end
        if self._durable.state is not self._checked:
            self._check_saved()
        super().check_invariants(*args, **kwargs)

    def _check_saved(self) -> None:
        """See that another program finds what was saved, and that it fits its type."""
        __tracebackhide__ = True
        self._checked = self._durable.state
        if self._checked is None:
            return
        db = self.open_db()
        try:
            agree("saved", self._checked, dict(db.data))
            if self.classes:
                misfits = [m for m in db.check() if not m.kind.endswith(" ref")]
                agree("db.check()", list[Any](), misfits)
        finally:
            db.close(discard=True)

    # -- opening and closing ---------------------------------------------------

    @property
    def _writers(self) -> tuple[Writer, ...]:
        return ("first", "second") if self.second_writer else ("first",)

    def _open_all(self) -> None:
        for writer in self._writers:
            self._opened[writer] = Opened(self.open_db(), self._durable.state)

    def _drop_all(self) -> None:
        for opened in self._opened.values():
            opened.db.close(discard=True)
        self._opened.clear()
        self._storifys.clear()

    def _start_again(self) -> None:
        """Let all that is open be gone without a flush, and open what is left."""
        self._place.survive()
        self._checked = None  # other files
        self._drop_all()
        self._open_all()

    # -- changing --------------------------------------------------------------

    def _do(self, change: Change) -> None:
        __tracebackhide__ = True
        self._opened["first"].do(change)

    def _changes(self, writer: Writer) -> st.SearchStrategy[Change]:
        keys = self.keys if writer == "first" else self.other_keys
        keys = self.keys if keys is None else keys
        content = self._opened[writer].expected.live
        return changes(content, keys, self.values, self._fits)

    def _do_some(self, data: st.DataObject) -> None:
        most = 3 if self.at_random else 0
        for _ in range(data.draw(st.integers(0, most), "number of changes")):
            holds = bool(self._held)
            if holds and data.draw(st.booleans(), "whether of what is held"):
                edit = data.draw(self._held_edits(), "change of it")
                self._opened["first"].change_held(edit)
            else:
                self._do(data.draw(self._changes("first"), "change"))

    @property
    def _held(self) -> dict[Any, Held]:
        return self._opened["first"].held

    def _held_edits(self) -> st.SearchStrategy[Edit]:
        parts = {key: held.twin for key, held in self._held.items()}
        return edits(self.expected, self.values, self._fits, parts)

    def _fits(self, value: Any) -> bool:
        """Tell whether a value that was changed in place can still be stored.

        What a class refuses or its annotations do not admit is no fair change.
        """
        schema = self.db._schema
        hint = self.db._source.use.hint
        try:
            if hint is not None:
                schema.check(value, hint, "$")
            loaded = schema.codec.decode(schema.codec.encode(value))
            return not any(isinstance(fact.value, Unloaded) for fact in facts(loaded))
        except Exception:  # noqa: BLE001 -- whatever the classes raise
            return False

    # -- saving ----------------------------------------------------------------

    def _settle(self) -> None:
        """Have no conflict at the start of what flushes first."""
        first = self._opened["first"]
        theirs = self._conflicts("first")
        if theirs:
            self._adopt(first, "theirs", theirs)

    def _adopt(self, opened: Opened[V], keep: Keep, theirs: set[Any]) -> None:
        """Reload: bring in what was saved, also over the keys *theirs*."""
        expected, durable = opened.expected, self._durable.state
        opened.db.reload(keep=keep)
        opened.held.clear()
        merged = expected.merged(durable, list(opened.db), theirs)
        expected.adopt(durable, merged, theirs)

    def _conflicts(self, writer: Writer) -> set[Any]:
        return self._opened[writer].expected.conflicts(self._durable.state)

    def _merged(self, opened: Opened[V], order: Sequence[Any] | None = None) -> State:
        order = list(opened.db) if order is None else order
        return opened.expected.merged(self._durable.state, order)

    def _commit(self, opened: Opened[V], order: Sequence[Any] | None = None) -> None:
        """Take it that all of *opened*, with its keys in *order*, was saved."""
        if not same(opened.expected.base, self._durable.state):
            opened.held.clear()  # what is adopted may replace them
        merged = self._merged(opened, order)
        self._durable.commit(merged)
        opened.expected.settle(merged)

    def _saved_before(self, which: str) -> State:
        """Return an older state, which must be one that was saved."""
        codec = self.db._schema.codec
        entries = entries_of(self.db._session.engine.state(which))
        then: Any = codec.decode_root(codec.join(entries))
        if not self._durable.knows(then):
            msg = f"the backup {which!r} holds what was never saved: {then!r}"
            raise AssertionError(msg)
        return cast("State", then)
