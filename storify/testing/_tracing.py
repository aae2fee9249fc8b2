"""The places of an interrupt in a call of Storify: the bytecodes a scenario runs there.

Python looks for signals when a function begins, after a call, and where a loop turns
back; nowhere else can Ctrl-C come. Seen by `sys.settrace`, which knows one thread::

    event      place
    call       the begin of a function of ours, or of one that ours calls
    opcode     before a bytecode of ours: one that follows a call, or turns back
    line       before a line of ours

What a trace function raises is raised at that place, and ends the tracing. Our own
finalizers and what they call are no places: what is raised in them Python drops, and when
they run is chance.
"""

import dis
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache, partial
from types import CodeType, FrameType
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import storify

By = Literal["signal", "opcode", "line"]
"""What counts as a place: ``signal``, where Python looks for signals; ``opcode``, each
bytecode, also where no signal can come; ``line``, each line.
"""

BYS: Final[tuple[By, ...]] = get_args(By)

_OURS: Final = os.path.dirname(storify.__file__) + os.sep
_KIT: Final = os.path.join(_OURS, "testing") + os.sep
#: The source that is made for a class of models has a name that begins so.
_MADE: Final = "<storify "


class Spot(NamedTuple):
    """A line of code at which a place is.

    Attributes:
        code: Of the function.
        at: The offset of the bytecode, or the number of the line.
        kind: ``call``, ``into`` for a call of a function that is not ours,
            ``opcode`` or ``line``.
        line: The number of the line.
    """

    code: CodeType
    at: int
    kind: str
    line: int

    def __str__(self) -> str:
        path = self.code.co_filename
        shown = path.removeprefix(_OURS).replace(os.sep, "/")
        way = {"call": "at the begin of", "into": "in what is called by"}
        return f"{shown}:{self.line} {way.get(self.kind, 'in')} {self.code.co_qualname}"


class Place(NamedTuple):
    """One place, as often as a run comes by; ``str()`` of it is one line.

    Attributes:
        number: Its number among the places of the scenario, from 1.
        places: How many there are.
        spot: Where it is in the code.
        visit: The number of the time that a run comes by there, from 1.
        what: What happens there.
        done: How often the scenario had said that something is done.
    """

    number: int
    places: int
    spot: Spot
    visit: int
    what: str
    done: int

    def __str__(self) -> str:
        again = "" if self.visit == 1 else f", time {self.visit}"
        where = f"place {self.number} of {self.places} ({self.spot}{again})"
        return f"{self.what} at {where}"


def number_visits(spots: Iterable[Spot]) -> list[int]:
    """Say of each spot that a run came by which time that was."""
    seen: Counter[tuple[int, int, str]] = Counter()
    found: list[int] = []
    for spot in spots:
        key = (id(spot.code), spot.at, spot.kind)
        seen[key] += 1
        found.append(seen[key])
    return found


Trace: TypeAlias = Callable[[FrameType, str, Any], Any]


def call_traced(
    action: Callable[[], object],
    by: By,
    meet: Callable[[Spot], object],
    only: Spot | None = None,
) -> None:
    """Call a function, and have *meet* called at each place that it comes by.

    In this thread; what *meet* raises is raised there, and is the last place. If *only*
    one spot is wanted, that saves time. What traced before, as coverage does, traces
    again afterwards.
    """
    before, here = sys.gettrace(), sys._getframe()
    # Python 3.12 looks whether anybody wants opcodes when the tracing begins.
    here.f_trace_opcodes = True
    # Begun and ended in one function: coverage counts calls and returns.
    sys.settrace(_Tracer(by, meet, only).enter)
    try:
        action()
    finally:
        sys.settrace(before)
        here.f_trace_opcodes = False
        _wake()


def _wake() -> None:
    """Be called: until then coverage does not see that it traces again."""


class _Tracer:  # pragma: no cover - untraced
    def __init__(
        self, by: By, meet: Callable[[Spot], object], only: Spot | None
    ) -> None:
        self._by = by
        self._meet = meet
        self._only = only

    def enter(self, frame: FrameType, *_: object) -> Trace | None:
        """See a function begin; give what sees its bytecodes."""
        code = frame.f_code
        if not _is_ours(code.co_filename):
            self._see_foreign(frame)
            return None
        if not self._wants(code) or _is_in_finalizer(frame):
            return None
        self._meet_at(frame, frame.f_lasti, "call")
        step: Trace = (
            self._see_line
            if self._by == "line"
            else partial(self._see_opcode, _offsets(code, self._by))
        )
        # In this order: Python 3.13 notes the wish for opcodes of a traced frame alone.
        frame.f_trace = step
        frame.f_trace_lines = self._by == "line"
        frame.f_trace_opcodes = self._by != "line"
        return step

    def _see_foreign(self, frame: FrameType) -> None:
        """A function that is not ours begins: a place, if one of ours called it."""
        caller = frame.f_back
        if caller is None or frame.f_code.co_filename.startswith(_KIT):
            return
        if (
            _is_ours(caller.f_code.co_filename)
            and self._wants(caller.f_code)
            and not _is_in_finalizer(caller)
        ):
            self._meet_at(caller, caller.f_lasti, "into")

    def _see_opcode(
        self, offsets: frozenset[int], frame: FrameType, event: str, _: object
    ) -> Trace | None:
        if event == "opcode" and frame.f_lasti in offsets:
            self._meet_at(frame, frame.f_lasti, "opcode")
        return frame.f_trace

    def _see_line(self, frame: FrameType, event: str, _: object) -> Trace | None:
        if event == "line":
            self._meet_at(frame, frame.f_lineno, "line")
        return frame.f_trace

    def _wants(self, code: CodeType) -> bool:
        return self._only is None or code is self._only.code

    def _meet_at(self, frame: FrameType, at: int, kind: str) -> None:
        wanted = self._only
        if wanted is None or (at == wanted.at and kind == wanted.kind):
            self._meet(Spot(frame.f_code, at, kind, frame.f_lineno or 0))


def _is_in_finalizer(frame: FrameType | None) -> bool:  # pragma: no cover - untraced
    while frame is not None:
        code, frame = frame.f_code, frame.f_back
        if code.co_name == "__del__" and _is_ours(code.co_filename):
            return True
    return False


@cache
def _is_ours(path: str) -> bool:  # pragma: no cover - untraced
    """Whether a file belongs to Storify, and not to its test kit."""
    return path.startswith((_OURS, _MADE)) and not path.startswith(_KIT)


@cache
def _offsets(code: CodeType, by: By) -> frozenset[int]:  # pragma: no cover - untraced
    """Return the offsets of the bytecodes before which it may be interrupted."""
    found: set[int] = set()
    bytecode: Any = dis.Bytecode(code)  # the stubs know nothing of its entries
    handlers = [range(each.start, each.end) for each in bytecode.exception_entries]
    called: int | None = None
    for step in bytecode:
        at = step.offset
        # A signal after a call is raised as if by the call. So what follows stands for
        # it only if both are in the same blocks: `with lock: return call()` has left
        # the block then.
        is_looked_at = step.opname.startswith("JUMP_BACKWARD") or (
            called is not None
            and all((called in each) == (at in each) for each in handlers)
        )
        is_begin = step.opname == "RESUME"  # told of by the event of the call
        if not is_begin and (by == "opcode" or is_looked_at):
            found.add(at)
        called = at if step.opname.startswith("CALL") else None
    return frozenset(found)
