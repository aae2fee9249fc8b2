"""The bench that examples are tried on: run, stored, read anew, told of when they fail.

Hypothesis finds and shrinks; what the user reads is one `AssertionError` with the
example, the place inside it, and what is wrong there.
"""

import hashlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn, Self, cast

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from hypothesis.errors import FailedHealthCheck, Flaky, Unsatisfiable

from storify import CustomType, Model, Storify
from storify.codec import Codec
from storify.models import Misfit

from ._bounds import refusals
from ._same import MAIN, Fact, facts, first_difference, looks

__all__ = [
    "FRESH",
    "Bench",
    "Classes",
    "Failed",
    "Fresh",
    "for_each",
    "is_fresh",
]

FRESH: Final = "STORIFY_TESTING_FRESH"
"""Set in the environment of a new interpreter that only reads what was stored."""

_SLOW: Final = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.nested_given,
)


class Failed(AssertionError):  # noqa: N818 -- a signal inside this package
    """One example failed.

    Attributes:
        problem: What is wrong.
        details: Lines of ``(heading, text)``.
    """

    def __init__(self, problem: str, *details: tuple[str, object]) -> None:
        self.problem = problem
        self.details = details
        super().__init__(problem)

    def text(self, call: str, example: object) -> str:
        """Return the whole message of a call that failed with *example*."""
        lines = [("minimal example", looks(example)), *self.details]
        return "\n".join(
            [f"{call}: {self.problem}", *(f"  {name}: {text}" for name, text in lines)]
        )


def is_fresh() -> bool:
    """Tell whether this interpreter only reads what another one stored."""
    return FRESH in os.environ


def for_each(
    strategy: st.SearchStrategy[Any],
    check: Callable[[Any], None],
    *,
    examples: int,
    call: str,
) -> None:
    """Run *check* on so many *examples*.

    Raises:
        AssertionError: It raised `Failed` for one; this one is the least that was
            found. Or it did so only sometimes.
    """
    __tracebackhide__ = True
    last: list[Any] = []
    refusals.last = ""

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=_SLOW,
        verbosity=Verbosity.quiet,
    )
    @given(strategy)
    def run(example: Any) -> None:
        __tracebackhide__ = True
        last[:] = [example]
        check(example)

    try:
        run()
    except Failed as err:
        raise AssertionError(err.text(call, last[0])) from err.__cause__
    except (FailedHealthCheck, Unsatisfiable) as err:
        _refuse(call, err)
    except Flaky as err:
        msg = (
            f"{call}: an example failed once and then passed, so something outlives "
            f"an example: a counter, a cache, a default that objects share"
        )
        raise AssertionError(msg) from err


def _refuse(call: str, err: Exception) -> NoReturn:
    why = f" ({refusals.last})" if refusals.last else ""
    msg = (
        f"{call}: nearly nothing that was drawn is valid{why}; give strategies for the "
        f"fields with validators of their own: models(..., name=...)"
    )
    raise AssertionError(msg) from err


# --- a real database to store examples in and to load them from, all in memory --------

Classes = Iterable[type[Any] | CustomType[Any]]

_NAME: Final = "examples"
_KEY: Final = "example"

QUIET: Final = logging.Logger("quiet", logging.CRITICAL + 1)  # noqa: LOG001 -- in no tree
"""What goes wrong is told by the assertion."""


class Bench:
    """Stores and loads one value after the other, of *models* besides its own classes."""

    def __init__(self, models: Iterable[type[Any]], types: Classes) -> None:
        self._sf = Storify(
            "memory://", None, QUIET, models=list(models), types=types, keep=0
        )
        self._registry = self._sf._schema.registry

    @property
    def codec(self) -> Codec:
        """What the database writes with."""
        return self._sf._schema.codec

    def register_of(self, value: object) -> dict[type[Model], Model]:
        """Register the classes of the models in *value*; give an object of each."""
        parts = [fact.value for fact in facts(value)]
        found = {type(part): part for part in parts if isinstance(part, Model)}
        # in an order, so that a clash of keynames is always the same one
        self._registry.register(*sorted(found, key=lambda cls: cls.__qualname__))
        return found

    def misfits(self, value: object, hint: object) -> Iterator[Misfit]:
        """List what in *value* does not fit *hint* or its own class."""
        return self._registry.misfits(value, hint)

    def store(self, value: object) -> None:
        """Store *value* as a program does, and close the database."""
        __tracebackhide__ = True
        db = self._sf.get_db(_NAME)
        try:
            db[_KEY] = value
            db.flush()
        finally:
            db.close(discard=True)  # what cannot be stored would fail again

    def load(self) -> Any:
        """Return what was stored last, read from bytes."""
        with self._sf.get_db(_NAME) as db:
            return db[_KEY]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sf.close()


# --- reading in a new interpreter what this one stored in a file ----------------------
#
# What was stored goes along as facts, so that nothing but the file and the classes
# of the user is needed there to compare.

_TASK: Final = "task.json"
_TIMEOUT_S: Final = 600

_Named = dict[str, Any]


class Fresh:
    """The values that a new interpreter is to read."""

    def __init__(self) -> None:
        self._values: list[Any] = []

    def add(self, value: object) -> None:
        """Let it read *value*, too."""
        self._values.append(value)

    def check(self, models: Iterable[type[Any]], types: Classes, call: str) -> None:
        """Store all values in one file, and compare what a new interpreter reads.

        Raises:
            AssertionError: The first value that is not what it was.
            ValueError: A class that it cannot import.
        """
        __tracebackhide__ = True
        named_models = [_named(cls) for cls in dict.fromkeys(models)]
        named_types = [_named(each) for each in types]
        with tempfile.TemporaryDirectory(prefix="storify-") as folder:
            with Storify(folder, None, QUIET, models=list(models), types=types) as sf:
                db = sf.get_db(_NAME)
                db.update({str(i): value for i, value in enumerate(self._values)})
                encode = sf._schema.codec.encode
                stored = [
                    [[fact[:3] for fact in facts(value)], _digest(encode(value))]
                    for value in self._values
                ]
            task = {
                "path": sys.path,
                "models": named_models,
                "types": named_types,
                "stored": stored,
            }
            Path(folder, _TASK).write_text(json.dumps(task), encoding="utf-8")
            found = _run(folder, call)
        if found is None:
            return
        index, where, reason = found
        value = self._values[index]
        shown = next((f.shown for f in facts(value) if f.path == where), "nothing")
        failed = Failed(
            "a new process reads it different",
            ("where", f"{where}: expected {shown}, found {reason}"),
        )
        raise AssertionError(failed.text(call, value))


def _run(folder: str, call: str) -> tuple[int, str, str] | None:
    done = subprocess.run(  # noqa: S603 -- this interpreter, with our own program
        [
            sys.executable,
            "-c",
            "from storify.testing._bench import main; main()",
            folder,
        ],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_TIMEOUT_S,
        env={**os.environ, FRESH: "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if done.returncode:
        msg = f"{call}: the new process failed:\n{done.stderr}"
        raise AssertionError(msg)
    found: Any = json.loads(done.stdout.splitlines()[-1])
    return None if found is None else cast("tuple[int, str, str]", tuple(found))


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


# --- classes by name ------------------------------------------------------------------


def _named(given: type[Any] | CustomType[Any]) -> _Named:
    """Say where another process finds a class, or a `CustomType`."""
    if isinstance(given, CustomType):
        return _named_custom(given)
    name = given.__qualname__
    if "<locals>" in name:
        msg = (
            f"new_process: {name} is made in a function, where a new process does "
            f"not find it; define it in the module"
        )
        raise ValueError(msg)
    return {**_module(given.__module__), "name": name, "index": None}


def _named_custom(custom: CustomType[Any]) -> _Named:
    places = {custom.cls.__module__, custom.encode.__module__, "__main__"}
    for module in sorted(places & sys.modules.keys()):
        for name, value in vars(sys.modules[module]).items():
            if value is custom:
                return {**_module(module), "name": name, "index": None}
            if isinstance(value, (list, tuple)) and custom in value:
                index = cast("list[Any]", value).index(custom)
                return {**_module(module), "name": name, "index": index}
    msg = (
        f"new_process: a new process does not find CustomType({custom.key}); keep it, "
        f"or a list with it, in a variable of the module"
    )
    raise ValueError(msg)


def _module(name: str) -> _Named:
    file = getattr(sys.modules.get(name), "__file__", None)
    return {"module": MAIN if name == "__main__" else name, "file": file}


def _found(named: _Named) -> Any:
    found: Any = _imported(named["module"], named["file"])
    for part in named["name"].split("."):
        found = getattr(found, part)
    return found if named["index"] is None else found[named["index"]]


def _imported(name: str, file: str | None) -> ModuleType:
    """Import a module by its name, or by its file where its name leads elsewhere."""
    if name in sys.modules:
        return sys.modules[name]
    known = None if name == MAIN else _spec(name)
    if known is not None and (file is None or known.origin == file):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        msg = f"no module {name!r}, and no file of it"
        raise ImportError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _spec(name: str) -> Any:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None  # a test in a folder that is no package


# --- the new interpreter --------------------------------------------------------------


def main() -> None:
    """Read the file in the folder that is the argument, and print what differs."""
    folder = Path(sys.argv[1])
    task = json.loads((folder / _TASK).read_text(encoding="utf-8"))
    sys.path[:] = task["path"]
    models = [_found(named) for named in task["models"]]
    types = [_found(named) for named in task["types"]]
    with Storify(folder, None, QUIET, models=models, types=types) as sf:
        db = sf.get_db(_NAME, readonly=True)
        encode = sf._schema.codec.encode
        print(json.dumps(next(_differences(db, task["stored"], encode), None)))  # noqa: T201 -- the answer


def _differences(db: Any, stored: list[Any], encode: Any) -> Iterator[Any]:
    for index, (known, digest) in enumerate(stored):
        value = db[str(index)]
        expected = [Fact(*each) for each in known]
        found = first_difference(expected, facts(value))
        if found is not None:
            yield index, found.path, found.reason.partition("found ")[2]
        elif _digest(encode(value)) != digest:
            yield index, "$", f"the same, but saved as other bytes: {looks(value)}"
