"""Reading in a new interpreter what this one stored in a file.

What was stored goes along as facts, so that nothing but the file and the classes
of the user is needed there to compare.
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from storify import CustomType, Storify

from ._bench import QUIET, Classes
from ._running import FRESH, Failed
from ._same import MAIN, Fact, facts, first_difference, looks

__all__ = ["Fresh", "main"]

_NAME: Final = "examples"
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
            "from storify.testing._fresh import main; main()",
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
