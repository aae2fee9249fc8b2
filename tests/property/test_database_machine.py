"""The state machine of the kit, over our own databases and all that they can store.

What the kit leaves out is added here: keys of every type, values of none, what a
rule of a user's does, and files that are journaled although they are small.
"""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from faults.database import journaling, paging
from storify import Model
from storify.codec import Codec
from storify.database.live.data import Data
from storify.testing import DatabaseMachine, models, storable
from storify.testing._scalars import hashables


def finds_itself(key: Any) -> bool:
    """Whether an equal key finds it in a dict: not so a NaN, deep inside or not."""
    codec = Codec()
    return bool(codec.decode(codec.encode(key)) == key)


class Person(Model):
    """A declared model with room for anything."""

    name: str
    notes: list[Any] = []


KEYS = (
    st.sampled_from(["a", "b", "c", "d"])
    | st.sampled_from([1, True, 2.0, (1, "x"), b"a", None])
    | hashables(adversarial=True).filter(finds_itself)
)


class AnyDatabase(DatabaseMachine[Any]):
    """Untyped, with keys and values of every kind."""

    values = storable(max_leaves=8) | models(Person)
    keys = KEYS
    # these alone, so that 1 here never meets True there
    other_keys = st.sampled_from(["a", "b", "c", "theirs"])

    def open_db(self) -> Any:
        """Open it without a model, but with the class."""
        db = super().open_db()
        db._schema.registry.register(Person)
        return db

    @precondition(lambda self: self.expected)
    @rule(value=storable(adversarial=True, max_leaves=3))
    def replace_all(self, value: Any) -> None:
        """Assign the whole content, as a user's rule."""
        self.db.data = {"all": value, **dict(self.db.data)}
        self.accept()


class AnyDatabaseInMemory(AnyDatabase):
    """The same over an engine that always tells what was changed."""

    engine = "memory"


class JournaledDatabase(AnyDatabase):
    """The same with journals, which only large files have."""

    def __init__(self) -> None:
        self._journaling = journaling()
        self._journaling.__enter__()
        super().__init__()

    def teardown(self) -> None:
        """Let small files be small again."""
        try:
            super().teardown()
        finally:
            self._journaling.__exit__(None, None, None)


class PagedDatabase(JournaledDatabase):
    """The same, asked for single keys: where all are of one plain type."""

    keys = st.sampled_from(["a", "b", "c", "d", "e"])
    other_keys = st.sampled_from(["a", "b", "c", "theirs"])

    def __init__(self) -> None:
        self._paging = paging(cache_bytes=0)
        self._paging.__enter__()
        super().__init__()

    @rule(size=st.sampled_from([0, 30, 1 << 30]))
    def make_room(self, size: int) -> None:
        """Have room for nothing, for a record, or for all that nobody holds."""
        data: Any = self.db._session.data
        if isinstance(data, Data):
            data.cache_bytes = size
            data.page_out()

    def teardown(self) -> None:
        """Read small files whole again."""
        try:
            super().teardown()
        finally:
            self._paging.__exit__(None, None, None)


class PersonDatabase(DatabaseMachine[Person]):
    """A typed one."""

    classes = (Person,)


TestAnyDatabase = AnyDatabase.TestCase
TestAnyDatabaseInMemory = AnyDatabaseInMemory.TestCase
TestJournaledDatabase = JournaledDatabase.TestCase
TestPagedDatabase = PagedDatabase.TestCase
TestPersonDatabase = PersonDatabase.TestCase
