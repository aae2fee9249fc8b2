"""`assert_roundtrip`: what is stored comes back, whatever it is."""

import copy
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast, get_origin

from hypothesis import strategies as st

from storify.models import Model
from storify.models.hints import text_of

from ._bench import Bench, Classes
from ._defaults import check_defaults
from ._fresh import Fresh
from ._models import all_of
from ._running import Failed, for_each, is_fresh
from ._same import Fact, difference, facts, first_difference, looks

__all__ = ["assert_roundtrip", "strategy_of"]


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
    except Exception:  # noqa: BLE001 -- what cannot be copied may still be stored
        with suppress(Exception):
            return list(facts(value))
    return facts(value)


def _are_equal(one: object, other: object) -> bool:
    """Ask ``==``; NaN is equal to nothing, and some raise."""
    try:
        return bool(one == other)
    except ArithmeticError:
        return False  # a signalling NaN
