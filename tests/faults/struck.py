"""A program whose disk fails, or that is killed, at a call of a scenario.

``LD_PRELOAD=faultio.so python -m faults.struck SCENARIO TIMES FOLDER QUICK
FAULT...`` does the scenario in a child for calls in turn, of which a quick run takes
QUICK, with each fault there, so many TIMES in a row. A fault is one of faultio.c,
with an errno perhaps: ``kill``, ``stay:EIO``. It says each broken promise, and at
last how often it ``struck``.
"""

import ctypes
import errno
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faults.generations import NAME, backups_of
from faults.programs import say
from faults.sampling import sample
from faults.scenarios import SCENARIOS, Scenario
from stand_ins import Log
from storify import Storify, StorifyError

NEVER = 1 << 30

Say = Callable[[Any], None]


class Shim:
    """The faults of faultio.c, which is loaded before the C library."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL(None)
        self._lib.faultio_trace.restype = ctypes.c_char_p

    def arm(self, folder: Path, at: int, fault: str, error: int) -> None:
        """Let a fault happen at a call."""
        self._lib.faultio_arm(
            os.fsencode(folder), ctypes.c_long(at), fault.encode(), error
        )

    def disarm(self) -> None:
        """Let no fault happen."""
        self._lib.faultio_disarm()

    def trace(self) -> list[str]:
        """The calls since the arming."""
        return self._lib.faultio_trace().decode().split()


class Child:
    """A forked process: it says things, and waits until it may go on."""

    def __init__(self, work: Callable[[Say, Callable[[], object]], None]) -> None:
        from_child, said = os.pipe()
        allowed, to_child = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(from_child)
            os.close(to_child)

            def tell(what: Any) -> None:
                os.write(said, json.dumps(what).encode() + b"\n")

            try:
                work(tell, lambda: os.read(allowed, 1))
            except BaseException:  # noqa: BLE001 - the parent is to know
                tell({"error": traceback.format_exc()})
            finally:
                os._exit(0)
        os.close(said)
        os.close(allowed)
        self._output = os.fdopen(from_child)
        self._to_child = to_child

    def hear(self) -> Any:
        """What it says next; None if it died."""
        line = self._output.readline()
        return json.loads(line) if line else None

    def kill(self) -> None:
        """End it at once, if it did not die already."""
        self.hear()
        os.kill(self._pid, signal.SIGKILL)
        self.end()

    def end(self) -> Any:
        """Let it go on and end; give what it said last."""
        os.close(self._to_child)
        last = None
        while (said := self.hear()) is not None:
            last = said
        self._output.close()
        os.waitpid(self._pid, 0)
        return last


def result(work: Callable[[], Any]) -> Any:
    """What a function gives in a process of its own."""
    return Child(lambda tell, _: tell(work())).end()


def look(folder: Path, scenario: Scenario) -> dict[str, Any]:
    """What a new program finds: the state, and what is in the backups."""
    sf = Storify(folder, save_interval=None, log=Log())
    state, backups = {}, {}
    for name in list(sf):
        db = sf.get_db(name)
        state[name] = scenario.form.generation(db.data)
        backups[name] = backups_of(db, scenario.form)
    return {"state": state, "backups": backups}


class Trial:
    """A scenario with a fault at one call."""

    def __init__(
        self, scenario: Scenario, shim: Shim, folder: Path, fault: str
    ) -> None:
        self.scenario = scenario
        self.shim = shim
        self.folder = folder
        self.fault, _, error = fault.partition(":")
        self.error = getattr(errno, error, 0)

    def act(self, at: int) -> Callable[[Say, Callable[[], object]], None]:
        """Act with the fault; then, when we may go on, once more without."""

        def work(tell: Say, wait: Callable[[], object]) -> None:
            sf = None
            self.shim.arm(self.folder, at, self.fault, self.error)
            try:
                sf = Storify(self.folder, save_interval=None, log=Log())
                self.scenario.act(sf, self.scenario.form)
            except (OSError, StorifyError) as err:
                self.shim.disarm()
                tell({"raised": repr(err)})
            else:
                self.shim.disarm()
                tell({"done": self.shim.trace()})
            wait()
            sf = sf or Storify(self.folder, save_interval=None, log=Log())
            self.scenario.act(sf, self.scenario.form)
            tell({"again": True})

        return work

    def problems(self, at: int, times: int, kept: list[int]) -> Iterator[str]:
        """Do it so often; give what is wrong then."""
        scenario = self.scenario
        for _ in range(times - 1):
            Child(self.act(at)).kill()
        child = Child(self.act(at))
        outcome = child.hear()
        died = outcome is None
        if not died and "error" in outcome:
            yield f"broke: {outcome['error']}"
        found = self.look()
        if "error" in found:
            yield f"cannot be opened after {outcome}: {found['error']}"
            child.kill()
            return
        allowed = [scenario.after]
        if died or "raised" in outcome or scenario.damaged:
            allowed += scenario.before
        if found["state"] not in allowed:
            yield f"found {found['state']} after {outcome}"
        yield from self.lost(found, kept)

        if died:
            child.kill()
            child = Child(self.act(NEVER))
            child.hear()
        again, found = child.end(), self.look()
        if again is None or "error" in again:
            yield f"cannot be repeated: {again}"
        allowed = [scenario.after, *(scenario.before if scenario.damaged else [])]
        if found.get("state") not in allowed:
            yield f"after another try: {found}"

    def look(self) -> dict[str, Any]:
        """What a new program finds."""
        return result(lambda: look(self.folder, self.scenario)) or {"error": "died"}

    def lost(self, found: dict[str, Any], kept: list[int]) -> Iterator[str]:
        """Good backups that are gone: none may be, but to make room for another."""
        for name, generations in found["backups"].items():
            made = set(generations) - set(kept)
            if missing := set(kept[: len(kept) - len(made)]) - set(generations):
                yield f"the backups of {name} were {kept}, {missing} is gone: {generations}"


def main(name: str, times: str, folder: str, quick: str, *faults: str) -> None:
    """Strike at each call."""
    scenario, shim = SCENARIOS[name], Shim()
    home = Path(folder).resolve()
    start = home / "start"
    start.mkdir()
    assert result(lambda: scenario.prepare(start / "data", scenario.form)) is None
    seen = result(lambda: look(copied(start, home / "kept"), scenario))
    assert "error" not in seen, seen["error"]
    kept = seen["backups"].get(NAME, [])
    child = Child(Trial(scenario, shim, copied(start, home / "good"), "").act(NEVER))
    calls = child.hear()["done"]
    child.end()
    struck = 0
    for fault in faults:
        for at in chosen(calls, fault, int(quick), name):
            place = copied(start, home / f"{fault} {at}")
            trial = Trial(scenario, shim, place, fault)
            for problem in trial.problems(at, int(times), kept):
                say(f"{name} {fault} at {at} {calls[at - 1]}: {problem!r}")
            shutil.rmtree(place.parent)
            struck += 1
    say("struck", struck)


def chosen(calls: list[str], fault: str, quick: int, name: str) -> list[int]:
    """The numbers of the calls to strike at: a sample."""
    writes_only = fault in {"tear", "short"}
    numbers = [
        at
        for at, call in enumerate(calls, start=1)
        if "write" in call or not writes_only
    ]
    return sample(numbers, quick, name, fault)


def copied(start: Path, place: Path) -> Path:
    """A copy with the same file times; gives the folder of the databases."""
    shutil.copytree(start, place)
    return place / "data"


if __name__ == "__main__":
    main(*sys.argv[1:])
