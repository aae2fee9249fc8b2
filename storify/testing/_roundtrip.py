"""`assert_roundtrip` and `assert_upgrades`: what is stored comes back, or as the new class.

Hypothesis finds and shrinks; what the user reads is one `AssertionError` with the
example, the place inside it, and what is wrong there.
"""

import copy
import hashlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn, Self, TypeVar, cast, get_origin

import attrs
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from hypothesis.errors import FailedHealthCheck, Flaky, Unsatisfiable

from storify import CustomType, Storify
from storify.codec import Codec
from storify.models import Misfit, Model, Unloaded
from storify.models.fields import default_of
from storify.models.hints import text_of
from storify.models.options import class_options, is_classvar, own_annotations
from storify.models.state import public, state_of

from ._models import Written, all_of, models_with_defaults
from ._same import MAIN, Fact, difference, facts, first_difference, looks
from ._scalars import refusals

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
        """The codec that the database writes with."""
        return self._sf._schema.codec

    def register_of(self, value: object) -> dict[type[Model], Model]:
        """Register the classes of the models in *value*; give an object of each."""
        parts = [fact.value for fact in facts(value)]
        found = {type(part): part for part in parts if isinstance(part, Model)}
        # in an order, so that a clash of keynames is always the same one
        self._registry.register(*sorted(found, key=lambda cls: cls.__qualname__))
        return found

    def misfits(self, value: object, hint: object) -> Iterator[Misfit]:
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
            "from storify.testing._roundtrip import main; main()",
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


# --- `assert_roundtrip`: what is stored comes back ------------------------------------


def assert_roundtrip(
    what: object,
    *,
    examples: int = 200,
    new_process: bool = False,
    models: Iterable[type[Any]] = (),
    types: Classes = (),
) -> None:
    """Assert that objects come back from a database as they were stored.

    Equal and of the same types, to the bit; saved again, the same bytes; and the
    object that was stored is not changed by it. Objects of model classes that are
    made with defaults share nothing that can be changed.

    ::

        def test_user():
            assert_roundtrip(User)

    Args:
        what: A model class; or a strategy for values of any kind; or one value.
        examples: How many values are stored.
        new_process: Also written to a file and read from it by a new interpreter,
            all examples at once. It imports the module of the classes, as
            `multiprocessing` does; a script then needs ``if __name__ ==
            "__main__"``.
        models: Further model classes to register; those of the examples are.
        types: Enums, dataclasses and the like to register, as in `Storify`.

    Raises:
        AssertionError: With the least example that was found, the place inside it,
            and what was stored and came back.
    """
    __tracebackhide__ = True
    if is_fresh():
        return  # in the new interpreter itself, which imports the caller
    strategy, name, count = strategy_of(what, examples)
    call = f"assert_roundtrip({name})"
    found: dict[type[Model], Model] = {}
    types = list(types)
    fresh = Fresh()
    with Bench(models, types) as bench:

        def check(value: Any) -> None:
            found.update(_check(bench, value))
            if new_process:
                fresh.add(value)

        for_each(strategy, check, examples=count, call=call)
        if new_process:
            fresh.check([*models, *_ordered(found)], types, call)
    for cls in _ordered(found):
        check_defaults(found[cls], call)


def _ordered(found: Iterable[type[Model]]) -> list[type[Model]]:
    return sorted(found, key=lambda cls: cls.__qualname__)


def strategy_of(what: object, examples: int) -> tuple[Any, str, int]:
    """Return the strategy that *what* is or stands for, a name, how many examples."""
    if isinstance(what, st.SearchStrategy):
        strategy: Any = cast("Any", what)
        name = looks(strategy)
        if name.startswith("deferred("):  # as `models` gives them
            name = name.removeprefix("deferred(")[:-1]
        return strategy, name, examples
    origin: object = get_origin(what)
    if origin is not None or isinstance(what, type):
        return all_of(cast("Any", what)), text_of(what), examples
    return st.just(what), type(what).__qualname__, 1


def _check(bench: Bench, value: Any) -> dict[type[Model], Model]:
    __tracebackhide__ = True
    before = _remembered(value)
    try:
        found = bench.register_of(value)
        bench.store(value)
        first = bench.codec.encode(value)
    except Exception as err:
        problem = f"it cannot be stored: {type(err).__name__}: {err}"
        raise Failed(problem) from err
    changed = first_difference(before, facts(value))
    if changed is not None:
        msg = "storing it changed the object itself"
        raise Failed(msg, ("where", changed), ("now", looks(value)))
    loaded = bench.load()
    other = difference(value, loaded)
    if other is not None:
        msg = "it came back different"
        raise Failed(msg, ("where", other), ("came back", looks(loaded)))
    # what is equal to nothing, as NaN, is not equal to itself read twice
    if not _are_equal(value, loaded) and _are_equal(loaded, bench.load()):
        msg = "it came back with the same content, but == says it is not equal"
        raise Failed(msg, ("came back", looks(loaded)))
    if bench.codec.encode(loaded) != first:
        msg = "it came back the same, but saved again it is other bytes"
        raise Failed(msg, ("came back", looks(loaded)))
    return found


def _remembered(value: object) -> Iterable[Fact]:
    """Return what is known of *value* now, whatever becomes of it."""
    try:
        return facts(copy.deepcopy(value))
    except Exception:  # noqa: BLE001 -- a frozen class, a validator: whatever it raises
        with suppress(Exception):
            return list(facts(value))
    return facts(value)


def _are_equal(one: object, other: object) -> bool:
    """Ask ``==``; NaN is equal to nothing, and some raise."""
    try:
        return bool(one == other)
    except ArithmeticError:
        return False  # a signalling NaN


# --- objects that are made with defaults share nothing that can be changed ------------

_EXAMPLES: Final = 3
_MUTABLE: Final = (list, dict, set, bytearray, deque)

_DECLARED_HINT: Final = "its factory must make a new one each time"
_WRITTEN_HINT: Final = "make it in __init__, or declare it on the class"


def check_defaults(example: Model, call: str) -> None:
    """Make two objects like *example* with defaults; a change of one is none of both.

    What the constructor needs is what *example* has.

    Raises:
        AssertionError: They share something, or a default cannot be made.
    """
    __tracebackhide__ = True
    try:
        one, other = _with_defaults(example), _with_defaults(example)
    except Failed as err:
        raise AssertionError(err.text(call, example)) from err.__cause__
    if one is not None and other is not None:
        try:
            _check_unshared(one, other)
        except Failed as err:
            raise AssertionError(err.text(call, (one, other))) from err.__cause__
        return
    if class_options(type(example)).declared:
        return  # what it needs can be made by the user's strategies alone
    drawn = models_with_defaults(type(example))
    if drawn is not None:
        pairs = st.tuples(drawn, drawn)
        for_each(
            pairs, lambda pair: _check_unshared(*pair), examples=_EXAMPLES, call=call
        )


def _with_defaults(example: Model) -> Model | None:
    """Make an object with what the constructor needs, and no more; None if it cannot be."""
    cls = type(example)
    state = state_of(example)
    if class_options(cls).declared:
        attributes = [a for a in class_options(cls).attributes if a.init]
        needed = {
            str(a.alias): a.name for a in attributes if a.default is attrs.NOTHING
        }
    else:
        needed = {name: name for name in Written(cls).required}
    if not state.keys() >= set(needed.values()):
        return None
    try:
        return cls(**{n: copy.deepcopy(state[name]) for n, name in needed.items()})
    except Exception:  # noqa: BLE001 -- a frozen class, a validator: whatever it raises
        _check_factories(example)
        return None


def _check_factories(example: Model) -> None:
    """Raise if a default of the class of *example* cannot be made."""
    cls = type(example)
    for attribute in class_options(cls).attributes:
        if attribute.default is attrs.NOTHING:
            continue
        try:
            default_of(attribute, example)
        except Exception as err:
            problem = (
                f"the default of {cls.__qualname__}.{attribute.name} cannot be made: "
                f"{type(err).__name__}: {err}"
            )
            raise Failed(problem) from err


def _check_unshared(one: Model, other: Model) -> None:
    theirs = {id(value) for _, value in _changeable(other)}
    shared = [path for path, value in _changeable(one) if id(value) in theirs]
    if not shared:
        return
    kind = type(one).__qualname__
    problem = (
        f"two {kind} objects made with defaults share {kind}{shared[0][1:]}: a change "
        f"of one changes the other"
    )
    declared = class_options(type(one)).declared
    hint = _DECLARED_HINT if declared else _WRITTEN_HINT
    raise Failed(problem, ("hint", hint))


def _changeable(obj: Model) -> Iterator[tuple[str, Any]]:
    cls = type(obj)
    for fact in facts(obj):
        if _can_change(fact.value):
            yield fact.path, fact.value
    if class_options(cls).declared:
        return
    # a hand-written class may leave an attribute to its class body
    for base in cls.__mro__:
        hints = own_annotations(base)
        for name, value in vars(base).items():
            is_default = not name.startswith("_") and name not in public(obj)
            on_class = name.isupper() or is_classvar(hints.get(name, ""))
            if isinstance(value, _MUTABLE) and is_default and not on_class:
                yield f"$.{name}", value


def _can_change(value: object) -> bool:
    if isinstance(value, Model):
        return not attrs.has(type(value)) or type(value).__hash__ is None
    return isinstance(value, _MUTABLE)


# --- `assert_upgrades`: what an older class stored loads as the new one, and back -----

A = TypeVar("A", bound=Model)
B = TypeVar("B", bound=Model)


def assert_upgrades(
    old: type[A],
    new: type[B],
    *,
    check: Callable[[A, B], object] | None = None,
    examples: int = 200,
    models: Iterable[type[Any]] = (),
    types: Classes = (),
) -> None:
    """Assert that records of an older class survive the change to a newer one.

    Each loads as the new class and fits its annotations, and what is saved then
    stays the same. And where an old program, which still runs somewhere, reads what
    the new one wrote and saves it again, nothing that the new class needs is lost.

    ::

        class UserV1(Model, keyname="__User__"):  # as it was
            name: str

        def test_user():
            assert_upgrades(UserV1, User)

    Args:
        old: The class as it was, with the keyname that it had.
        new: The class as it is.
        check: Called with each old object and what it became; it raises, or gives
            False, if that is wrong.
        examples: How many objects are stored.
        models: Further classes of the new program. Those in annotations of *new*
            are registered by themselves.
        types: Enums, dataclasses and the like of both programs.

    Raises:
        AssertionError: With the least example that was found.
        ValueError: *new* does not read the keyname of *old*.
    """
    __tracebackhide__ = True
    if is_fresh():
        return
    name = old._keyname()
    if name not in {new._keyname(), *class_options(new).was}:
        msg = (
            f"{new.__qualname__} does not read {name!r}, which {old.__qualname__} "
            f"writes; give {old.__qualname__} the keyname that it had, or "
            f"{new.__qualname__} was={name!r}"
        )
        raise ValueError(msg)
    types = list(types)
    with Bench([old], types) as before, Bench([new, *models], types) as after:
        programs = _Programs(before, after, new, cast("Any", check))
        call = f"assert_upgrades({old.__qualname__}, {new.__qualname__})"
        for_each(all_of(old), programs.upgrade, examples=examples, call=call)
        for_each(all_of(new), programs.downgrade, examples=examples, call=call)


class _Programs:
    """The old program and the new one, with one database."""

    def __init__(
        self,
        old: Bench,
        new: Bench,
        cls: type[Model],
        check: Callable[[Any, Any], object] | None,
    ) -> None:
        self._old = old.codec
        self._new = new.codec
        self._misfits = new.misfits
        self._cls = cls
        self._check = check

    def upgrade(self, value: Model) -> None:
        """Take an object of the old class to the new one."""
        loaded = self._load(value)
        saved = self._saved(loaded)
        again = self._new.decode(saved)
        self._expect(loaded, again, "saved by the new class it came back different")
        if self._new.encode(again) != saved:
            msg = "each save of the new class writes other bytes"
            raise Failed(msg, ("loaded", looks(loaded)))
        self._ask(value, loaded)

    def downgrade(self, value: Model) -> None:
        """Let an old program save what the new one wrote."""
        saved = self._saved(value)
        loaded = self._new.decode(saved)
        back = self._new.decode(self._old.encode(self._old.decode(saved)))
        self._expect(loaded, back, "an old program that saves it again loses something")

    def _saved(self, value: Model) -> bytes:
        try:
            return self._new.encode(value)
        except Exception as err:
            problem = f"the new class cannot store it: {type(err).__name__}: {err}"
            raise Failed(problem) from err

    def _load(self, value: Model) -> Model:
        try:
            stored = self._old.encode(value)
        except Exception as err:
            problem = f"the old class cannot store it: {type(err).__name__}: {err}"
            raise Failed(problem) from err
        loaded = self._new.decode(stored)
        name = self._cls.__qualname__
        if not isinstance(loaded, self._cls):
            reason = loaded.error if isinstance(loaded, Unloaded) else looks(loaded)
            msg = f"it does not load as {name}"
            raise Failed(msg, ("reason", reason))
        for misfit in self._misfits(loaded, self._cls):
            if misfit.kind == "unknown":
                continue  # of a field that was removed: kept until it is dropped
            where = f"{misfit.path}: expected {misfit.expected}, found {misfit.found}"
            msg = f"it does not fit the annotations of {name}"
            raise Failed(msg, ("where", where), ("loaded", looks(loaded)))
        return loaded

    def _expect(self, one: object, other: object, problem: str) -> None:
        # an old program may add what the new class does not know
        found = first_difference(facts(one, unknown=False), facts(other, unknown=False))
        if found is not None:
            details = ("loaded", looks(one)), ("came back", looks(other))
            raise Failed(problem, ("where", found), *details)

    def _ask(self, old: Model, new: Model) -> None:
        if self._check is None:
            return
        try:
            verdict = self._check(old, new)
        except AssertionError as err:
            problem = f"check says no: {err}"
            raise Failed(problem, ("loaded", looks(new))) from err
        if verdict is False:
            msg = "check says no"
            raise Failed(msg, ("loaded", looks(new)))
