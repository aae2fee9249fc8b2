"""Walking through a value, to find each place where it does not conform.

Data may be deeper than Python's stack, so nothing here calls itself: a walk works a
list off, and where it has to know how much is wrong in a part, it gives the part to
who runs it and waits for the answer.
"""

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .conform import LISTED, conforms, fits_outside, is_told_by_class
from .hints import (
    Anything,
    Instance,
    Items,
    Later,
    Pairs,
    Record,
    Shape,
    Tuple,
    Union,
    describe,
)
from .misfit import Misfit, key_step
from .options import class_of
from .state import Unloaded, items_of, pairs

__all__ = ["Findings", "Inspect", "Part", "misfits", "name_beside"]


class Part(NamedTuple):
    """Something in a value: the step that leads to it, and what it should be."""

    step: str
    value: Any
    shape: Shape


class Findings(NamedTuple):
    """What somebody who knows classes finds out about one value.

    Attributes:
        misfits: With paths that start at the value.
        parts: What is in it.
        is_object: Whether it is what it should be an object of; else its own type
            says nothing, as that of a record that could not be loaded.
    """

    misfits: Sequence[Misfit]
    parts: Sequence[Part]
    is_object: bool = True


Inspect = Callable[[Any, Shape], Findings | None]
"""Tells about a value and what it should be; None for plain data."""

_Walk = Generator[Misfit | Part, int | None, int]
"""Gives misfits, and parts of which it has to be told how many there are in them.

In the end it tells how many it knew of and passed over."""

_ANYTHING = Anything()
_LEAVES = frozenset({type(None), bool, int, float, str, bytes})


def misfits(value: object, shape: Shape, inspect: Inspect) -> Iterator[Misfit]:
    """Find all that is wrong inside *value*, in order.

    Objects are looked into wherever they stand, also where the annotation says
    ``Any``. What is shared is visited once, so cycles end.

    Args:
        value: What to check.
        shape: What it should be.
        inspect: Knows models and other classes.
    """
    counts = _Counts(inspect)
    walk = _walk(Part("$", value, shape), inspect, passes_over=False)
    answer: int | None = None
    while True:
        try:
            found = walk.send(answer)
        except StopIteration:
            return
        if isinstance(found, Misfit):
            answer = None
            yield found
        else:
            answer = counts.of(found)


class _Counts:
    """Tells of parts how many misfits are in them; counts once.

    There is none in a part that is still being counted, so that cycles end.

    Args:
        inspect: Knows models and other classes.
    """

    def __init__(self, inspect: Inspect) -> None:
        self._inspect = inspect
        self._known: dict[tuple[int, int], int] = {}
        self._parts: list[Part] = []  # they live on, so that nothing gets their ids
        self._walks: list[tuple[tuple[int, int], _Walk]] = []

    def of(self, part: Part) -> int:
        """Tell of *part*, and find out what it depends on."""
        answer = self._look(part)
        while self._walks:
            key, walk = self._walks[-1]
            try:
                found = walk.send(answer)
            except StopIteration as end:
                self._walks.pop()
                self._known[key] += end.value
                answer = self._known[key]
                continue
            if isinstance(found, Part):
                answer = self._look(found)
            else:
                answer = None
                self._known[key] += 1
        return answer or 0

    def _look(self, part: Part) -> int | None:
        """Tell what is known of a part; None if a walk through it began just now."""
        key = id(part.value), id(part.shape)
        if key in self._known:
            return self._known[key]
        self._known[key] = 0
        self._parts.append(part)
        walk = _walk(part, self._inspect, passes_over=True)
        self._walks.append((key, walk))
        return None


def _walk(start: Part, inspect: Inspect, *, passes_over: bool) -> _Walk:
    """Walk through a part.

    Args:
        start: The part; its step is the path to it.
        inspect: Knows models and other classes.
        passes_over: Whether to leave out parts of which the number is known.
    """
    todo = [start]
    seen: dict[tuple[int, int], Part] = {}
    passed_over = 0
    while todo:
        part = todo.pop()
        path, item, expected = part
        expected = _now(expected)
        is_leaf = type(item) in _LEAVES
        if not is_leaf:
            visit = (id(item), id(expected))
            if visit in seen:
                continue
            seen[visit] = part  # it lives on, so that nothing else gets its id
        if isinstance(expected, Union) and not isinstance(item, Unloaded):
            expected, count = yield from _choose(item, expected)
            if passes_over and count is not None:
                passed_over += count
                continue
        findings = None if is_leaf else inspect(item, expected)
        if (findings is None or findings.is_object) and not fits_outside(
            item, expected
        ):
            if isinstance(expected, Record) and isinstance(item, dict):
                yield from _wrong_keys(path, item, expected)
            else:
                yield _wrong_type(path, item, expected)
                expected = _ANYTHING  # look for objects inside all the same
        if findings is None:
            inside: Sequence[Part] = list(_parts(item, expected))
        else:
            inside = findings.parts
            for misfit in findings.misfits:
                yield misfit._replace(path=path + misfit.path)
        todo.extend(
            Part(path + step, inner, shape)
            for step, inner, shape in reversed(inside)
            if not _is_settled(inner, shape)
        )
    return passed_over


def _now(shape: Shape) -> Shape:
    while isinstance(shape, Later):
        shape = shape.get()
    return shape


def _wrong_type(path: str, value: Any, shape: Shape) -> Misfit:
    wanted = describe(shape)
    return Misfit(path, "wrong type", wanted, name_beside(value, wanted))


def _wrong_keys(path: str, value: Any, shape: Record) -> Iterator[Misfit]:
    """List the keys that a dict lacks, and those that its type does not know."""
    found = dict(pairs(value))
    for key, expected in shape.keys.items():
        if key in shape.required and key not in found:
            yield Misfit(path + key_step(key), "missing", describe(expected), "nothing")
    for key, item in found.items():
        if key not in shape.keys:
            wanted, kind = f"no such key of {shape.name}", class_of(item).__name__
            yield Misfit(path + key_step(key), "wrong type", wanted, kind)


def name_beside(value: Any, wanted: str) -> str:
    """Return the name of the class of *value*, which is not what *wanted* says."""
    kind = class_of(value)
    name, module = kind.__name__, kind.__module__
    # another class of a name that stands in it, as numpy's bool beside ``bool | None``
    is_named = module != "builtins" and name in re.findall(r"\w+", wanted)
    return f"{module}.{name}" if is_named else name


def _is_settled(value: Any, shape: Shape) -> bool:
    """Tell of a leaf at once that it conforms, as most do."""
    kind = class_of(value)
    return kind in _LEAVES and (
        shape.__class__ is Anything
        or (isinstance(shape, Instance) and shape.cls is kind)
    )


def _choose(
    value: Any, union: Union
) -> Generator[Part, int | None, tuple[Shape, int | None]]:
    """Choose the arm to judge *value* by, or the union itself if none is near.

    Of several that take it, the first; but where their classes do not tell which is
    right, as of ``Box[int] | Box[str]``, one that leaves the fewest misfits in it.

    Returns:
        The arm, and how many misfits there are, if they were counted.
    """
    fitting = (arm for arm in union.arms if conforms(value, arm))
    first = next(fitting, None)
    if first is None:
        near = [arm for arm in union.arms if fits_outside(value, arm)]
        if not near and isinstance(value, dict):  # whose keys tell what is wrong
            near = _nearest(value, union.arms)
        return (near[0] if len(near) == 1 else union), None
    arms = (first,) if is_told_by_class(first, behind_refs=True) else (first, *fitting)
    if len(arms) == 1:
        return first, None
    counts: list[int] = []
    for arm in arms:
        counts.append((yield Part("$", value, arm)) or 0)
        if not counts[-1]:
            break
    least = min(counts)
    return arms[counts.index(least)], least


def _nearest(value: Any, arms: Iterable[Shape]) -> list[Shape]:
    """Return the typed dicts among *arms* of which the fewest keys are wrong.

    One of which it has no key is not near, unless it is the only one.
    """
    keys = {key for key, _ in pairs(value)}
    records = [arm for arm in map(_now, arms) if isinstance(arm, Record)]
    wrong: dict[Shape, int] = {
        arm: len(arm.required - keys) + len(keys - arm.keys.keys())
        for arm in records
        if len(records) == 1 or keys & arm.keys.keys()
    }
    least = min(wrong.values(), default=0)
    return [arm for arm, count in wrong.items() if count == least]


def _parts(value: Any, shape: Shape) -> Iterator[Part]:
    """List what is inside *value* and what each part should be."""
    if isinstance(value, dict):
        for key, item in pairs(value):
            expected_key, expected = _pair(key, shape)
            if _is_settled(key, expected_key) and _is_settled(item, expected):
                continue
            step = key_step(key)
            yield Part(f"{step} (key)", key, expected_key)
            yield Part(step, item, expected)
    elif isinstance(value, LISTED):
        is_set = isinstance(value, (set, frozenset))
        for index, item in enumerate(items_of(value)):
            if isinstance(shape, Tuple):
                expected = shape.items[index]
            else:
                expected = shape.item if isinstance(shape, Items) else _ANYTHING
            # the items of a set have no place, and a value is never named
            where = "*" if is_set else index
            yield Part(f"[{where}]", item, expected)


def _pair(key: Any, shape: Shape) -> tuple[Shape, Shape]:
    match shape:
        case Pairs(_, expected_key, expected):
            return expected_key, expected
        case Record(_, keys):
            return _ANYTHING, keys.get(key, _ANYTHING)
        case Items(_, item):
            return item, _ANYTHING
        case _:
            return _ANYTHING, _ANYTHING
