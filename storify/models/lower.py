"""Whole records at once, as source code: the fast path of writing.

The C packer of the codec calls back for each model, enum and datetime it meets, and
what it cannot tell apart is looked for in its bytes afterwards. The function made
here gives a tree that needs neither: every value in it is of a class that the packer
writes by itself, checked exactly and copied, so that another thread cannot change
it. For an object that holds anything else it gives None, and the usual way is gone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from .conform import accepted_classes
from .hints import Anything, Instance, Items, OneOf, Pairs, Shape, arms_of
from .options import is_model_class

Encoders = Mapping[type, Callable[[Any], Any]]
"""Exact class to what gives one extension value for an object of it."""

Lower = Callable[[Any, Encoders], dict[str, Any] | None]
"""Gives ``{keyname: fields}`` of an object, ready for the packer, or None."""

_NATIVE: Final = frozenset({type(None), bool, int, float, str, bytes})
# More fields than this are lowered by a call.
_INLINED: Final = 16
# Lists and dicts in one another, within one field: nobody checks the depth again.
_LEVELS: Final = 6


class LoweredField(NamedTuple):
    """One stored field: its attribute, its name on disk, and what it admits."""

    name: str
    key: str
    shape: Shape


class _Kinds(NamedTuple):
    """The exact classes of values that the fast path takes."""

    native: tuple[type, ...]
    models: tuple[type, ...]
    holders: tuple[Items | Pairs, ...]
    has_more: bool  # scalars that the encoders know, or anything of the user's
    has_times: bool  # datetimes, which are among the former

    @property
    def is_flat(self) -> bool:
        """Tell whether no dict can come of it, nor anything that the packer lacks."""
        return not (self.models or self.holders or self.has_more)

    @property
    def is_single(self) -> bool:
        """Tell whether the value is never a dict or a list."""
        return not (self.models or self.holders)


def _kinds(shape: Shape, find: "Callable[[type], Found]", level: int = 0) -> _Kinds:
    native: dict[type, None] = {}
    models: dict[type, None] = {}
    holders: dict[type, Items | Pairs] = {}
    others: set[type | None] = set()
    for arm in arms_of(shape):
        match arm:
            case Instance(cls) if cls in _NATIVE:
                native |= dict.fromkeys(accepted_classes(cls))
            case Instance(cls) if is_model_class(cls):
                models |= {cls: None} if find(cls) else {}
            case Items(cls) | Pairs(cls) if cls in {list, dict} and level < _LEVELS:
                holders.setdefault(cls, arm)
            case Instance(cls):
                others.add(cls)
            case OneOf() | Anything():
                others.add(None)
            case _:
                pass  # not taken: a tuple, a TypedDict, a type within itself
    found = tuple(native), tuple(models), tuple(holders.values())
    return _Kinds(*found, bool(others), datetime in others)


class Layout(NamedTuple):
    """The stored form of the objects of one class.

    Attributes:
        cls: The class.
        keyname: Its tag.
        fields: What is stored, in order.
        constants: Further names on disk with their values.
        has_more: Writes the test whether a state holds more than the fields.
        names: What that test refers to.
    """

    cls: type
    keyname: str
    fields: Sequence[LoweredField]
    constants: Mapping[str, int]
    has_more: Callable[[str], str]
    names: Mapping[str, Any]


Found = tuple[Lower, Layout] | None
"""What is known of a nested class, if its objects can be lowered."""


class Lowering:
    """Writes the function for one class; *find* knows the nested ones.

    Attributes:
        lines: Its source, or empty if no object of the class is worth trying.
        names: What the source refers to.
    """

    def __init__(self, layout: Layout, find: Callable[[type], Found]) -> None:
        self._find = find
        self.names: dict[str, Any] = {
            "native": _NATIVE,
            "datetime": datetime,
            "UTC": UTC,
        }
        self.lines: list[str] = []
        names = [*layout.fields, *layout.constants]
        if len(names) == 1 and not _kinds(layout.fields[0].shape, find).is_single:
            return  # fields that may look like a record themselves
        self.lines = [
            "def lower(o, e):",
            "    try:",
            *(f"        {line}" for line in self._record("o", layout)),
            "        return o",
            "    except KeyError:",  # an attribute or an encoder that is not there
            "        return None",
        ]

    def _record(self, value: str, layout: Layout) -> list[str]:
        """Write what makes of an object of the class its wrapper, or gives None."""
        state, fields = f"{value}_s", layout.fields
        names = [f"{value}_{i}" for i in range(len(fields))]
        conditions: list[str] = []
        body: list[str] = []
        for name, field in zip(names, fields, strict=True):
            kinds = _kinds(field.shape, self._find)
            if kinds.is_flat:
                conditions.append(self._test(name, kinds.native))
            else:
                body += self._lower(name, kinds)
        keys = [field.key for field in fields]
        items = [f"{key!r}: {name}" for key, name in zip(keys, names, strict=True)]
        items += [f"{key!r}: {number}" for key, number in layout.constants.items()]
        lines = [
            f"{state} = {value}.__dict__",
            # or a class for which the user registered hooks of its own
            f"if {layout.has_more(state)} or {self._name(layout.cls)} in e:",
            "    return None",
        ]
        self.names |= layout.names
        attributes = [field.name for field in fields]
        pairs = zip(names, attributes, strict=True)
        lines += [f"{name} = {state}[{attribute!r}]" for name, attribute in pairs]
        if conditions:
            lines += [f"if not ({' and '.join(conditions)}):", "    return None"]
        made = f"{{{layout.keyname!r}: {{{', '.join(items)}}}}}"
        return [*lines, *body, f"{value} = {made}"]

    def _name(self, thing: Any) -> str:
        """Name what the source refers to, the same thing once."""
        for name, known in self.names.items():
            if known is thing:
                return name
        name = f"t{len(self.names)}"
        self.names[name] = thing
        return name

    def _test(self, value: str, native: Iterable[type]) -> str:
        """Write the exact test for classes that the packer writes by itself."""
        tests = [
            f"{value} is None"
            if cls is type(None)
            else f"{value}.__class__ is {cls.__name__}"
            for cls in native
        ]
        return f"({' or '.join(tests)})" if tests else "False"

    def _lower(self, value: str, kinds: _Kinds, level: int = 0) -> list[str]:
        """Write what makes of *value* what the packer writes, or gives None."""
        branches: list[tuple[str, list[str]]] = []
        if kinds.native:
            branches.append((self._test(value, kinds.native), ["pass"]))
        for cls in kinds.models:
            test = f"{value}.__class__ is {self._name(cls)}"
            branches.append((test, self._model(value, cls)))
        for holder in kinds.holders:
            copy = self._items if isinstance(holder, Items) else self._pairs
            test = f"{value}.__class__ is {holder.cls.__name__}"
            branches.append((test, copy(value, holder, level + 1)))
        if kinds.has_times:
            # in UTC the packer writes it by itself
            test = f"{value}.__class__ is datetime and {value}.tzinfo is UTC"
            branches.append((f"{test} and not {value}.fold", ["pass"]))
        if kinds.has_more:
            last = [f"{value} = e[{value}.__class__]({value})"]
            branches.append((f"{value}.__class__ not in native", last))
        else:
            branches.append(("", ["return None"]))
        lines: list[str] = []
        for test, body in branches:
            word = "elif" if lines else "if"
            lines.append(f"{word} {test}:" if test else "else:")
            lines += [f"    {line}" for line in body]
        return lines

    def _model(self, value: str, cls: type) -> list[str]:
        found = self._find(cls)
        if found is None:  # pragma: no cover - it was there when the kinds were told
            return ["return None"]
        lower, layout = found
        # A call costs a third of a small record; within another, the code doubles.
        if value.count("_") == 1 and len(layout.fields) <= _INLINED:
            return self._record(value, layout)
        lines = [f"{value} = {self._name(lower)}({value}, e)"]
        return [*lines, f"if {value} is None:", "    return None"]

    def _items(self, value: str, shape: Any, level: int) -> list[str]:
        item = f"{value}i"
        kinds = _kinds(shape.item, self._find, level)
        if kinds.is_flat:
            test = f"    if not {self._test(item, kinds.native)}:"
            lines = [f"{value} = [*{value}]", f"for {item} in {value}:", test]
            return [*lines, "        return None"]
        return [
            f"{value}w = []",
            f"for {item} in [*{value}]:",
            *(f"    {line}" for line in self._lower(item, kinds, level)),
            f"    {value}w.append({item})",
            f"{value} = {value}w",
        ]

    def _pairs(self, value: str, shape: Any, level: int) -> list[str]:
        key, item = f"{value}k", f"{value}i"
        kinds = _kinds(shape.value, self._find, level)
        keys = _kinds(shape.key, self._find).native
        test = self._test(key, keys) if keys else f"{key}.__class__ in native"
        lines = [f"{value} = {{**{value}}}"]
        if kinds.is_flat:
            both = f"{test} and {self._test(item, kinds.native)}"
            lines += [f"for {key}, {item} in {value}.items():", f"    if not ({both}):"]
            return [*lines, "        return None"]
        if not kinds.is_single:  # one pair may look like a record
            lines += [f"if len({value}) == 1:", "    return None"]
        return [
            *lines,
            f"{value}w = {{}}",
            f"for {key}, {item} in {value}.items():",
            f"    if not {test}:",
            "        return None",
            *(f"    {line}" for line in self._lower(item, kinds, level)),
            f"    {value}w[{key}] = {item}",
            f"{value} = {value}w",
        ]
