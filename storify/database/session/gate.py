"""Writers wait while another caller has a dict for itself.

The dict is of another class meanwhile, whose methods look whose turn it is; so
that writing costs nothing more outside of transactions.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from storify.database.live.data import Data

__all__ = ["close_gate", "open_gate"]

#: By the id of a dict that is guarded: waits its turn, and gives whether it waited.
_waits: dict[int, Callable[[], bool]] = {}

#: What changes a dict.
_WRITERS = (
    "__setitem__",
    "__delitem__",
    "__ior__",
    "clear",
    "pop",
    "popitem",
    "setdefault",
    "update",
)


class _Guarded(Data):
    """A `Data` in a transaction."""

    __slots__ = ()


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def wait_and_write(self: Data, /, *args: Any, **keywords: Any) -> Any:
        # Again after waiting: the next transaction may have begun.
        while (wait := _waits.get(id(self))) is not None and wait():
            pass
        return method(self, *args, **keywords)

    return wait_and_write


for _name in _WRITERS:
    setattr(_Guarded, _name, _guarded(getattr(Data, _name)))


def close_gate(data: Data, wait: Callable[[], bool]) -> None:
    """Let the writers of *data* wait for their turn.

    Args:
        data: The dict.
        wait: Called before each write, in the thread that writes. It waits for the
            end of another caller's turn and gives whether it had to.
    """
    _waits[id(data)] = wait
    data.__class__ = _Guarded


def open_gate(data: Data) -> None:
    """Let everybody write again."""
    data.__class__ = Data
    _waits.pop(id(data), None)
