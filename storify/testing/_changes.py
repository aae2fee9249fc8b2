"""Changes to a dict of records, and what a database should hold then.

One and the same is done to a database and to its model.

A change is drawn for what the dict holds at that moment, and its repr is the line
of Python that does it. Values are also changed in place: a field gets another
value, a list, dict or set at any depth grows or shrinks.
"""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Self

import attrs
from hypothesis import strategies as st

from storify.models import Model
from storify.models.fields import options_of
from storify.models.options import class_of, class_options
from storify.models.state import public

from ._same import Fact, facts, same

Content = MutableMapping[Any, Any]
Call = tuple[str, tuple[Any, ...]]
"""A method of a container, or ``.name`` of a field that is set, with arguments."""


class Change(ABC):
    """Something that is done to a dict; its repr is the line of Python that it is."""

    @property
    def removes(self) -> tuple[Any, ...]:
        """The keys that it takes out, be it to put them in again."""
        return ()

    @property
    def replaces(self) -> tuple[Any, ...]:
        """The keys whose objects are not in the dict any more."""
        return ()

    @abstractmethod
    def apply(self, content: Content) -> Any:
        """Do it to a database, or to a dict; give what that gave."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 -- IPython's protocol
        # Hypothesis would print the fields of a dataclass
        printer.text(repr(self))


@dataclass(frozen=True, repr=False)
class Write(Change):
    """Keys are set."""

    items: dict[Any, Any]

    @property
    def replaces(self) -> tuple[Any, ...]:
        return tuple(self.items)

    def apply(self, content: Content) -> None:
        if len(self.items) == 1:
            ((key, value),) = self.items.items()
            content[key] = value
        else:
            content.update(self.items)

    def __repr__(self) -> str:
        if len(self.items) == 1:
            ((key, value),) = self.items.items()
            return f"<db[{key!r}] = {value!r}>"
        return f"<db.update({self.items!r})>"


@dataclass(frozen=True, repr=False)
class Again(Change):
    """A value is put under another key, too: one object, and two values in a file."""

    key: Any
    of: Any

    @property
    def replaces(self) -> tuple[Any, ...]:
        return (self.key,)

    def apply(self, content: Content) -> None:
        content[self.key] = content[self.of]

    def __repr__(self) -> str:
        return f"<db[{self.key!r}] = db[{self.of!r}]>"


@dataclass(frozen=True, repr=False)
class Remove(Change):
    """A key is taken out, by ``del``, by ``pop``, or to be put in again as the last."""

    key: Any
    how: str = "del"

    @property
    def removes(self) -> tuple[Any, ...]:
        return (self.key,)

    @property
    def replaces(self) -> tuple[Any, ...]:
        """The key, unless its object is put in again."""
        return () if self.how == "move" else (self.key,)

    def apply(self, content: Content) -> Any:
        """Take it out; give its value if it is popped."""
        if self.how == "del":
            del content[self.key]
            return None
        value = content.pop(self.key)
        if self.how == "move":
            content[self.key] = value
        return value

    def __repr__(self) -> str:
        key = repr(self.key)
        texts = {
            "del": f"del db[{key}]",
            "pop": f"db.pop({key})",
            "move": f"db[{key}] = db.pop({key})",
        }
        return f"<{texts[self.how]}>"


@dataclass(frozen=True, repr=False)
class Edit(Change):
    """A value is changed in place.

    Attributes:
        key: Of the value.
        at: Which of its `facts` the changed part is.
        path: The same as text, as ``.address.tags``.
        call: What is called there; None to look at the value only.
    """

    key: Any
    at: int = 0
    path: str = ""
    call: Call | None = None

    def apply(self, content: Content) -> None:
        self.change(content[self.key])

    def change(self, value: Any) -> None:
        """Change *value*, which is the one that it was drawn for, or the same."""
        self.change_within(value, 0)

    def change_within(self, part: Any, start: int) -> None:
        """Change a part of such a value, the one of its `facts` that is number *start*."""
        if self.call is None:
            return
        method, arguments = self.call
        part = part_at(part, self.at - start)
        if method.startswith("."):
            setattr(part, method[1:], *arguments)
        else:
            getattr(part, method)(*arguments)

    def __repr__(self) -> str:
        where = f"db[{self.key!r}]{self.path}"
        if self.call is None:
            return f"<{where}>"
        method, arguments = self.call
        if method.startswith("."):
            return f"<{where}{method} = {arguments[0]!r}>"
        if method == "__setitem__":
            return f"<{where}[{arguments[0]!r}] = {arguments[1]!r}>"
        return f"<{where}.{method}({', '.join(map(repr, arguments))})>"


@st.composite
def changes(
    draw: st.DrawFn,
    content: Mapping[Any, Any],
    keys: st.SearchStrategy[Any],
    values: st.SearchStrategy[Any],
    fits: Callable[[Any], bool],
) -> Change:
    """Draw any change of what *content* holds now that *fits*."""
    kinds = ["write"]
    if content:
        kinds += ["again", "del", "pop", "move", "edit"]
    kind = draw(st.sampled_from(kinds))
    if kind == "write":
        return Write({draw(keys): draw(values)})
    if kind == "edit":
        return draw(edits(content, values, fits))
    key = draw(st.sampled_from(list(content)))
    return Again(draw(keys), key) if kind == "again" else Remove(key, kind)


@st.composite
def edits(
    draw: st.DrawFn,
    content: Mapping[Any, Any],
    values: st.SearchStrategy[Any],
    fits: Callable[[Any], bool],
    within: Mapping[Any, Any] | None = None,
) -> Edit:
    """Draw a change of one value of *content*, or of its parts *within*, in place.

    Its parts come from another value, drawn for that. What cannot be changed so, or
    does not fit then, is only looked at.
    """
    parts = content if within is None else within
    key = draw(st.sampled_from(list(parts)))
    other = draw(values)
    found = _drawn_place(draw, content, key, parts[key])
    if found is None:
        return Edit(key)
    at, place = found
    calls = list(_calls(place.value, other))
    if not calls:
        return Edit(key)
    # a copy: what it puts there may be a part of *content*
    call = deepcopy(draw(st.sampled_from(calls)))
    edit = Edit(key, at, place.path[1:], call)
    return edit if _can_be(edit, content[key], fits) else Edit(key)


@st.composite
def looks_at(draw: st.DrawFn, content: Mapping[Any, Any]) -> Edit:
    """Draw a look at something in *content* that can be changed in place."""
    key = draw(st.sampled_from(list(content)))
    found = _drawn_place(draw, content, key, content[key])
    return Edit(key) if found is None else Edit(key, found[0], found[1].path[1:])


def place_of(part: object, value: object) -> int | None:
    """Return which of the `facts` of *value* an object is; None if it is not there."""
    return next((n for n, fact in enumerate(facts(value)) if fact.value is part), None)


def part_at(value: object, at: int) -> Any:
    """Return the object that is one of the `facts` of *value*."""
    return next(fact.value for n, fact in enumerate(facts(value)) if n == at)


def is_mutable(value: object) -> bool:
    return _kind(value) is not None


def _can_be(edit: Edit, value: Any, fits: Callable[[Any], bool]) -> bool:
    edit, value = deepcopy((edit, value))
    try:
        edit.change(value)
    except Exception:  # noqa: BLE001 -- a frozen class, a validator: whatever it raises
        return False
    return fits(value)


# --- where ----------------------------------------------------------------------------


def _drawn_place(
    draw: st.DrawFn, content: Mapping[Any, Any], key: Any, part: object
) -> tuple[int, Fact] | None:
    places = list(_places(content, key, part))
    return draw(st.sampled_from(places)) if places else None


def _places(
    content: Mapping[Any, Any], key: Any, part: object
) -> Iterator[tuple[int, Fact]]:
    """Find what can be changed within a part of a value, by its number in the whole.

    Outermost first. What stands in two places is left alone: it is two after the next
    load.
    """
    counts = Counter(id(f.value) for each in content.values() for f in facts(each))
    inside = {id(fact.value) for fact in facts(part)}
    for number, fact in enumerate(facts(content[key])):
        if not _kind(fact.value) or "._to_dict()" in fact.path:
            continue
        if id(fact.value) in inside and counts[id(fact.value)] == 1:
            yield number, fact


def _kind(value: object) -> type | None:
    return next((kind for kind in _CALLS if isinstance(value, kind)), None)


def _calls(place: Any, other: Any) -> Iterator[Call]:
    """List what can be done to a container or model, with parts of another value."""
    kind = _kind(place)
    if kind is None:
        return
    alike = (fact.value for fact in facts(other) if class_of(fact.value) is type(place))
    yield from _CALLS[kind](place, next(alike, None), other)


# --- what -----------------------------------------------------------------------------


def _of_model(_place: Model, alike: Model | None, _: Any) -> Iterator[Call]:
    if alike is None:
        return
    for name in _names(alike):
        if hasattr(alike, name):
            yield f".{name}", (getattr(alike, name),)


def _names(model: Model) -> list[str]:
    options = class_options(class_of(model))
    if not options.declared:
        return list(public(model))
    found: list[attrs.Attribute[Any]] = [
        each for each in options.attributes if options_of(each).stored
    ]
    return [each.name for each in found]


def _of_dict(
    place: dict[Any, Any], alike: dict[Any, Any] | None, other: Any
) -> Iterator[Call]:
    if alike:
        yield "update", (alike,)
    for key in list(place)[:1]:
        yield "pop", (key,)
        yield "__setitem__", (key, place[key] if alike is None else other)
    yield "__setitem__", ("new", other)
    yield "clear", ()


def _of_list(place: list[Any], alike: list[Any] | None, other: Any) -> Iterator[Call]:
    if alike:
        yield "extend", (alike,)
        yield "insert", (0, alike[0])
    yield "append", (other,)
    if place:
        yield "pop", ()
        yield "__setitem__", (0, alike[0] if alike else other)
        yield "reverse", ()
        yield "clear", ()


def _of_deque(place: deque[Any], alike: deque[Any] | None, _: Any) -> Iterator[Call]:
    if alike:
        yield "extend", (list(alike),)
    if place:
        yield "popleft", ()
        yield "rotate", (1,)
        yield "clear", ()


def _of_set(place: set[Any], alike: set[Any] | None, _: Any) -> Iterator[Call]:
    if alike:
        yield "update", (alike,)
    for item in sorted(place, key=repr)[:1]:
        yield "discard", (item,)
        yield "clear", ()


def _of_bytearray(place: bytearray, alike: bytearray | None, _: Any) -> Iterator[Call]:
    yield "extend", (alike or b"\0",)
    if place:
        yield "pop", ()


_CALLS: Final[dict[type, Callable[[Any, Any, Any], Iterator[Call]]]] = {
    Model: _of_model,
    dict: _of_dict,
    list: _of_list,
    deque: _of_deque,
    set: _of_set,
    bytearray: _of_bytearray,
}
"""What can be changed in place, with what can be done to it."""


# --- what a database should hold: a plain dict, the durable state below it, a merge ---
#
# Here the rules of two writers are said once more, by whole values and without any
# of the library's own code: what is compared with it cannot share its mistakes.

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
    """The last commit, and the ones before.

    Attributes:
        state: None as long as the database does not exist.
        past: The states before it.
    """

    def __init__(self) -> None:
        self.state: State | None = None
        self.past: list[State] = []
        self._knows_all = True

    def commit(self, state: State) -> None:
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
    """The expected content of one open database.

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

        *theirs* are the keys whose value here is given up.
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

        *order* are the keys of the database as they are, for what the rules leave open:
        where a key goes that the other writer deleted. *theirs* are the keys whose value
        here is given up.
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
