"""What a database should hold: a plain dict, the durable state below it, a merge.

Here the rules of two writers are said once more, by whole values and without any
of the library's own code: what is compared with it cannot share its mistakes.
"""

from collections.abc import Collection, Mapping
from copy import deepcopy
from enum import Enum
from typing import Any, Final, Self

from ._changes import Change
from ._same import same

__all__ = ["GONE", "Durable", "Expected", "State", "value_of", "with_keys"]

State = dict[Any, Any]


class Gone(Enum):
    """The type of `GONE`; no stored value is of it."""

    GONE = "gone"


GONE: Final = Gone.GONE
"""Stands where a state has no value for a key."""


def value_of(state: Mapping[Any, Any] | None, key: Any) -> Any:
    """Return the value of a key in a state, `GONE` if there is none."""
    return (state or {}).get(key, GONE)


class Durable:
    """What was committed last, and before.

    Attributes:
        state: None as long as the database does not exist.
        past: The states before it.
    """

    def __init__(self) -> None:
        self.state: State | None = None
        self.past: list[State] = []
        self._knows_all = True

    def commit(self, state: State) -> None:
        """Replace the state, which joins the past."""
        if self.state is not None:
            self.past.append(self.state)
        self.state = state

    def forget_past(self) -> None:
        """Take it that there may have been other states, too."""
        self._knows_all = False

    def knows(self, state: Any) -> bool:
        """Whether *state* is or was the durable one, as far as is known."""
        known = any(same(each, state) for each in (*self.past, self.state))
        return known or not self._knows_all


class Expected:
    """What one open database should hold.

    Attributes:
        live: Its content.
        base: The durable state that it knows; None if there was none.
        moved: The keys of `base` that were taken out, be it to be put in again.
        is_touched: Whether something was done to it since it was as the base.
    """

    def __init__(self, durable: State | None) -> None:
        self.rebase(durable)

    def rebase(self, durable: State | None) -> None:
        """Start anew from a durable state."""
        self.live: State = deepcopy(durable or {})
        self.base: State | None = deepcopy(durable)
        self.moved: set[Any] = set()
        self.is_touched = False

    def settle(self, durable: State) -> None:
        """Take it that this is durable; a live value that it has stays the same object."""
        live = self.live
        self.rebase(durable)
        self._keep(live)

    def adopt(self, durable: State | None, live: State, theirs: set[Any]) -> None:
        """Take over what others saved, as `settle` does; the rest stays unsaved.

        Args:
            durable: What was committed last.
            live: What is held then.
            theirs: The keys whose value here is given up.
        """
        before, self.live = self.live, live
        self._keep(before)
        self.base = deepcopy(durable)
        self.moved &= {*(durable or {})} - theirs

    def _keep(self, before: State) -> None:
        for key in self.live.keys() & before.keys():
            if same(self.live[key], before[key]):
                self.live[key] = before[key]

    def copy(self) -> Self:
        """Return what is expected now, to come back to it."""
        return deepcopy(self)

    def do(self, change: Change) -> Any:
        """Do a change as a database should; give what it gives."""
        self.is_touched = True
        # a copy: what is put in here must not be what is put in there
        given = deepcopy(change).apply(self.live)
        self.moved |= {key for key in change.removes if key in (self.base or {})}
        return deepcopy(given)

    def changed(self) -> set[Any]:
        """Return the keys that hold something else than the state that it knows."""
        return {
            key
            for key in {*self.live, *(self.base or {})}
            if not same(value_of(self.live, key), value_of(self.base, key))
        }

    def conflicts(self, durable: State | None) -> set[Any]:
        """Return the keys that were changed here and there, to different values."""
        return {
            key
            for key in self.changed()
            if not same(value_of(durable, key), value_of(self.base, key))
            and not same(value_of(durable, key), value_of(self.live, key))
        }

    def merged(
        self,
        durable: State | None,
        order: Collection[Any],
        theirs: Collection[Any] = (),
    ) -> State:
        """Return what is held here on top of a durable state, in the file's order.

        Args:
            durable: What was committed last.
            order: The keys of the database as they are, for what the rules leave
                open: where a key goes that the other writer deleted.
            theirs: The keys whose value here is given up.
        """
        file, live = dict(durable or {}), self.live
        moves = self.moved.difference(theirs)
        mine = self.changed().difference(theirs)
        content = {
            **{key: value for key, value in file.items() if key not in mine},
            **{key: live[key] for key in mine if key in live},
        }
        moved = [key for key in live if key in moves or key not in file]
        # What the other writer deleted and I keep is new in the file: it goes last.
        again = {key for key in moved if key in (self.base or {})} - file.keys() - moves
        places = {key: place for place, key in enumerate(order, 1) if key in again}
        moved.sort(key=lambda key: places.get(key, 0))
        kept = [key for key in file if key not in moved]
        return deepcopy(
            {key: content[key] for key in [*kept, *moved] if key in content}
        )


def with_keys(durable: State | None, then: State, keys: Collection[Any]) -> State:
    """Return the durable state with some keys as they were in an older one."""
    target = deepcopy(durable or {})
    for key in keys:
        was, now = (
            next((own for own in each if own == key), GONE) for each in (then, target)
        )
        if not same(was, now):  # 1 then and True now, or one is missing
            target.pop(key, None)
        if was is not GONE:
            target[was] = deepcopy(then[was])
    return target
