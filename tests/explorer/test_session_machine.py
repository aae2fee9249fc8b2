"""A session shows at each moment what a dict of the same history holds."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from storify import Storify
from storify.explorer import MISSING, NotThereError, Session

KEYS = st.sampled_from(["a", "b", "c", "7"])
VALUES = st.integers(0, 3) | st.sampled_from(["x", "y"])


class SessionMachine(RuleBasedStateMachine):
    """A writer that commits, a session beside it, and dicts of what was."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.sf = Storify(self.folder, save_interval=None, background=False, keep=50)
        self.db = self.sf.get_db("d")
        self.db["a"] = 0
        self.db.flush()
        self.now: dict = {"a": 0}
        self.past: list[dict] = []
        self.session = Session(self.folder, write=True)

    def committed(self, new: dict) -> None:
        if new != self.now:
            self.past.append(self.now)
            self.now = new

    @rule(key=KEYS, value=VALUES)
    def write(self, key: str, value: object) -> None:
        self.db[key] = value
        self.db.flush()
        self.committed({**self.now, key: value})

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.db.pop(key, None)
        self.db.flush()
        self.committed({k: v for k, v in self.now.items() if k != key})

    @rule(key=KEYS, value=st.integers(0, 3))
    def draft(self, key: str, value: int) -> None:
        self.session.stage("d", f"'{key}'", str(value))
        self.session.apply()
        self.db.reload()
        is_text = isinstance(
            self.now.get(key), str
        )  # what stands there says what it is
        self.committed({**self.now, key: str(value) if is_text else value})

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        if not self.past:
            return
        back = data.draw(st.integers(1, min(len(self.past), 5)))
        state = self.session.states("d")[back].id
        self.session.restore("d", state)
        self.db.reload()
        self.committed(dict(self.past[-back]))

    @invariant()
    def pages_show_what_is_there(self) -> None:
        if not hasattr(self, "session"):
            return
        page, _ = self.session.page("d", limit=100)
        assert {row.key: row.value for row in page.rows} == self.now
        found, _ = self.session.page("d", where="_value = 2", limit=100)
        assert {row.key for row in found.rows} == {
            k for k, v in self.now.items() if v in {2, "2"}
        }

    @invariant()
    def older_states_and_histories_are_those_that_were(self) -> None:
        if not hasattr(self, "session"):
            return
        states = self.session.states("d")
        assert len(states) == len(self.past) + 1
        for back in range(1, min(len(states), 4)):
            page, _ = self.session.page("d", state=states[back].id, limit=100)
            assert {row.key: row.value for row in page.rows} == self.past[-back]
        line = [*self.past, self.now]
        for key in ("a", "7"):
            wanted: list = []
            for each in line:
                value = each.get(key, MISSING)
                if value is not MISSING if not wanted else value != wanted[-1]:
                    wanted.append(value)
            try:
                shown = [each.value for each in self.session.history("d", f"'{key}'")]
            except NotThereError:
                shown = []
            assert shown[::-1] == wanted

    def teardown(self) -> None:
        if hasattr(self, "session"):
            self.session.close()
            self.sf.close()
            shutil.rmtree(self.folder)


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
