"""Generated checks of what was loaded: does it fit what its annotations say of it.

The class of a model checks its own fields when it makes an object. It cannot know what
an annotation elsewhere says of them, as ``Box[int]`` does; nobody converts or refuses
the fields of plain classes; and a database may be one of ``list[int]``. Each quick check
is generated for one of these. It may be false although all is right, as for what is
too deep, and then a walk tells; it is never true for what is wrong.
"""

import enum
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from types import CodeType
from typing import Any, cast

from .base import Expected, Ref
from .conform import (
    LISTED,
    Check,
    Inside,
    accepted_classes,
    checker,
    classes_in,
    conforms,
    is_told_by_class,
    is_told_outside,
    says_more,
    says_open,
)
from .hints import (
    ANYTHING,
    Anything,
    Instance,
    Items,
    Lookup,
    OneOf,
    Pairs,
    Record,
    Shape,
    Tuple,
    Union,
    UnresolvedError,
    annotations,
    describe,
    name_beside,
)
from .options import class_of, is_model_class
from .state import items_of, pairs, state_of

# --- type checks as source code, for the fast path of the generated ``structure`` -----
#
# One condition for the values themselves and loops for what is in containers; each
# leaves for ``slow(o)`` at the first value that is not of the exact type.


class Checks:
    """Writes the exact type checks of values as source code.

    Attributes:
        conditions: Expressions, true if the values are as expected so far.
        loops: Statements that look into containers and leave for ``slow(o)``.
        names: What the code refers to.

    Args:
        inside: Makes the checks of what is in objects of parametrised models.
    """

    # for these the class itself is compared; a subclass takes the slow path
    _EXACT = frozenset({str, bytes, int, bool, float, bytearray, type(None)})

    def __init__(self, inside: Inside | None = None) -> None:
        self._inside_of = inside
        self.conditions: list[str] = []
        self.loops: list[str] = []
        self.names: dict[str, Any] = {}

    def add(self, value: str, shape: Shape) -> None:
        """Add the check that the variable *value* is a *shape*."""
        condition = self._outside(value, shape)
        if condition:
            self.conditions.append(condition)
        self.loops += self._inside(value, shape)

    def _name(self, thing: Any) -> str:
        name = f"t{len(self.names)}"
        self.names[name] = thing
        return name

    def _call(self, value: str, shape: Shape) -> str:
        return f"{self._name(checker(shape, self._inside_of))}({value})"

    def _outside(self, value: str, shape: Shape) -> str:
        """Write the check of the value itself; "" if there is nothing to check."""
        match shape:
            case Anything():
                return ""
            case Instance(cls, args) if not says_more(cls, args):
                return self._instance(value, cls)
            case Items(cls) | Pairs(cls) if self._loopable(shape):
                return f"{value}.__class__ is {self._name(cls)}"
            case Union(arms) if self._containers(arms) is not None:
                return f"({' or '.join(self._outside(value, arm) for arm in arms)})"
            case OneOf(values) if len(values) == 1 and values[0] is None:
                return f"{value} is None"
            case _:
                return self._call(value, shape)

    def _instance(self, value: str, cls: type) -> str:
        if cls is type(None):
            return f"{value} is None"
        if cls in self._EXACT:
            exact = [
                f"{value}.__class__ is {c.__name__}" for c in accepted_classes(cls)
            ]
            return exact[0] if len(exact) == 1 else f"({' or '.join(exact)})"
        name = self._name(cls)
        return f"({value}.__class__ is {name} or isinstance({value}, {name}))"

    def _inside(self, value: str, shape: Shape) -> list[str]:
        """Write the loops over what is in the value."""
        match shape:
            case Items(_, item) if self._loopable(shape):
                return self._loop(f"for {value}i in {value}:", [(f"{value}i", item)])
            case Pairs(_, key, item) if self._loopable(shape):
                head = f"for {value}k, {value}i in {value}.items():"
                return self._loop(head, [(f"{value}k", key), (f"{value}i", item)])
            case Union(arms):
                container = self._containers(arms)
                if not container:
                    return []
                loop = self._inside(value, container[0])
                kind = self._name(cast("Items | Pairs", container[0]).cls)
                head = f"if {value}.__class__ is {kind}:"
                return [head, *(f"    {line}" for line in loop)] if loop else []
            case _:
                return []

    def _loop(self, head: str, parts: list[tuple[str, Shape]]) -> list[str]:
        conditions = [c for name, s in parts if (c := self._outside(name, s))]
        body: list[str] = []
        if conditions:
            body = [f"if not ({' and '.join(conditions)}):", "    return slow(o)"]
        for name, shape in parts:
            body += self._inside(name, shape)
        return [head, *(f"    {line}" for line in body)] if body else []

    @staticmethod
    def _loopable(shape: Shape) -> bool:
        """Tell whether a loop in the generated code can check this container."""
        match shape:
            case Items(cls):
                return cls in {list, tuple, set, frozenset}
            case Pairs(cls):
                return cls is dict
            case _:
                return False

    def _containers(self, arms: tuple[Shape, ...]) -> list[Shape] | None:
        """Return the one container among *arms*; None if they need a call instead."""
        containers = [arm for arm in arms if self._loopable(arm)]
        simple = [arm for arm in arms if isinstance(arm, Instance)]
        if len(containers) > 1 or len(containers) + len(simple) != len(arms):
            return None
        return containers


def compiled(name: str, lines: Sequence[str], names: dict[str, Any]) -> dict[str, Any]:
    """Run generated code and give what it defines; *name* is what tracebacks show."""
    namespace = dict(names)
    exec(_code("\n".join(lines), f"<storify {name}>"), namespace)  # noqa: S102 -- our own source: field names are identifiers, keys are repr
    return namespace


@lru_cache(maxsize=1024)
def _code(source: str, filename: str) -> CodeType:
    # each registry plans its own functions, mostly from the same source
    return compile(source, filename, "exec")


# --- references learn what the annotation says at which they are loaded ---------------
#
# A `Ref` is stored as a name and a key. What ``Ref[User]`` says of the record stands in
# the annotation, so each reference that is loaded there is told; it is checked when the
# reference is followed.

Bind = Callable[[Any], object]
"""Tells the references in a value what they should lead to."""


class Binding:
    """Makes what tells references, for one registry."""

    def __init__(
        self,
        parse: Callable[[Any], Shape],
        shapes_of: Callable[[type, tuple[Any, ...]], Mapping[str, Shape]],
    ) -> None:
        self._parse = parse
        self._shapes_of = shapes_of
        self._above: list[tuple[type, tuple[Any, ...]]] = []

    def of(  # noqa: PLR0911 -- a table of the shapes
        self, shape: Shape, place: str
    ) -> Bind | None:
        """Return what tells the references in values of *shape*; None if it names none."""
        match shape:
            case Instance(cls, args) if cls is Ref and not says_open(args):
                return self._tell(args[0], place)
            case Instance(cls, args) if args and cls is not Ref and is_model_class(cls):
                return self._in_object(cls, args, place)
            case Union(arms):
                return self._in_one_of(arms, place)
            case Items(_, item):
                bind = self.of(item, place)
                return None if bind is None else partial(_each_item, bind=bind)
            case Pairs(_, key, item):
                return self._in_pairs(key, item, place)
            case Tuple(items):
                return _at_places([self.of(item, place) for item in items])
            case Record(_, keys):
                binds = {name: self.of(item, place) for name, item in keys.items()}
                return _at_keys(binds, pairs)
            case _:
                return None

    def _tell(self, hint: Any, place: str) -> Bind:
        def judge(record: Any) -> tuple[str, str] | None:
            shape = self._parse(hint)  # each time: a class may be defined again
            if conforms(record, shape):
                return None
            wanted = describe(shape)
            return wanted, name_beside(record, wanted)

        expected = Expected(place, judge)

        def tell(value: Any) -> None:
            if type(value) is Ref:
                state_of(cast("object", value))["_expected"] = expected

        return tell

    def _in_object(self, cls: type, args: tuple[Any, ...], place: str) -> Bind | None:
        if (cls, args) in self._above:
            return None  # it is in itself, and the outer one is told
        self._above.append((cls, args))
        try:
            shapes = self._shapes_of(cls, args)
            binds = {name: self.of(shape, place) for name, shape in shapes.items()}
        finally:
            self._above.pop()
        bind = _at_keys(binds, lambda obj: state_of(obj).items())
        if bind is None:
            return None
        return lambda obj: bind(obj) if isinstance(obj, cls) else None

    def _in_one_of(self, arms: tuple[Shape, ...], place: str) -> Bind | None:
        """Tell the references of one arm: those of several may be of any of them."""
        found = {arm: bind for arm in arms if (bind := self.of(arm, place)) is not None}
        if len(found) != 1:
            return None
        ((arm, only),) = found.items()
        fits = checker(arm)
        return lambda value: only(value) if fits(value) else None

    def _in_pairs(self, key: Shape, item: Shape, place: str) -> Bind | None:
        of_keys, of_items = self.of(key, place), self.of(item, place)
        if of_keys is None and of_items is None:
            return None

        def bind(value: Any) -> None:
            if isinstance(value, dict):
                for each, inner in pairs(value):
                    if of_keys is not None:
                        of_keys(each)
                    if of_items is not None:
                        of_items(inner)

        return bind


def _each_item(value: Any, bind: Bind) -> None:
    if isinstance(value, LISTED):
        for item in items_of(value):
            bind(item)


def _at_places(binds: list[Bind | None]) -> Bind | None:
    found = [(at, bind) for at, bind in enumerate(binds) if bind is not None]

    def bind_all(value: Any) -> None:
        if isinstance(value, tuple) and len(cast("Any", value)) == len(binds):
            for at, bind in found:
                bind(value[at])

    return bind_all if found else None


def _at_keys(
    binds: dict[str, Bind | None], pairs_of: Callable[[Any], Any]
) -> Bind | None:
    found = {name: bind for name, bind in binds.items() if bind is not None}

    def bind_all(value: Any) -> None:
        for name, item in pairs_of(value):
            if name in found:
                found[name](item)

    return bind_all if found else None


# --- plain classes: what the fields of named tuples, dataclasses and attrs classes admit ---
#
# They are no models: the codec stores their objects field by field, and nothing
# converts or refuses a value. Only a check looks at their annotations. They were not
# written for it, so what one of them does not tell is ``Any``.


class PlainClasses:
    """The plain classes that one registry knows.

    Where *hooked* tells that the user said how the objects of a class are stored, its
    annotations need not hold for what comes back.
    """

    def __init__(
        self,
        parse: Callable[[Any, type], Shape],
        lookup: Lookup,
        hooked: Callable[[type], bool],
    ) -> None:
        self._parse = parse
        self._lookup = lookup
        self._hooked = hooked
        self._known: dict[type, Mapping[str, Shape]] = {}

    def shapes_of(self, cls: type) -> Mapping[str, Shape]:
        """Return what the fields of *cls* admit, in order; empty if it is no such class.

        Where a name is not defined yet, the next call tries it again.
        """
        if self._hooked(cls):
            return _unjudged(cls)
        known = self._known.get(cls)
        if known is None:
            known, is_final = self._find_out(cls)
            if is_final:
                self._known[cls] = known
        return known

    def hints_of(self, cls: type) -> tuple[list[Any], bool]:
        """Return the resolved annotations of the fields, and whether that is all."""
        if self._hooked(cls):
            return [], True
        found = list(self._resolve(cls))
        hints = [h for _, h in found if not isinstance(h, _Pending)]
        return hints, len(hints) == len(found)

    def check(self) -> Check:
        """Make a check of objects of all classes, for use within a short time.

        If it is true for an object, a walk through it finds nothing wrong but in
        objects in its fields. It may be false although nothing is.
        """
        checks: dict[type, Check] = {}

        def check(obj: Any) -> bool:
            cls = class_of(obj)
            if cls not in checks:
                checks[cls] = _checker(self.shapes_of(cls))
            return checks[cls](obj)

        return check

    def _find_out(self, cls: type[Any]) -> tuple[Mapping[str, Shape], bool]:
        if not _has_fields(cls):
            return _unjudged(cls), True
        shapes: dict[str, Shape] = {}
        is_final = True
        for name, hint in self._resolve(cls):
            shapes[name] = ANYTHING
            is_final = is_final and not isinstance(hint, _Pending)
            with suppress(Exception):  # there may be any code in it
                shapes[name] = self._shape_of(hint, cls)
        return shapes, is_final

    def _resolve(self, cls: type[Any]) -> Iterator[tuple[str, Any]]:
        """Return the fields of *cls* with their annotations.

        A `_Pending` stands for one that names what is not defined yet.
        """
        if not _has_fields(cls):
            return
        try:
            resolving = annotations(cls, self._lookup)
        except Exception:  # noqa: BLE001 -- a class may say anything about its bases
            resolving = {}
        for name, hint in _names_of(cls).items():
            resolve = resolving.get(name)
            try:
                yield name, resolve() if resolve else hint
            except (UnresolvedError, NameError):
                yield name, _Pending()
            except Exception:  # noqa: BLE001 -- there may be any code in it
                yield name, Any

    def _shape_of(self, hint: Any, cls: type) -> Shape:
        if hasattr(hint, "__get__") or isinstance(hint, _Pending):
            return ANYTHING  # a descriptor, whose values are of another class
        return self._parse(hint, cls)


class _Pending:
    """Stands for an annotation that names what is not defined yet."""


def _has_fields(cls: type[Any]) -> bool:
    # members of an enum stand in the program, not in a file
    return bool(_names_of(cls)) and not issubclass(cls, enum.Enum)


def fields_of(obj: Any, names: Iterable[str]) -> Iterable[tuple[str, Any]]:
    """Return the fields *names* of an object of a plain class, as they are stored."""
    if isinstance(obj, tuple):
        return zip(names, items_of(obj), strict=False)
    return [(name, getattr(obj, name)) for name in names if hasattr(obj, name)]


def _unjudged(cls: type[Any]) -> Mapping[str, Shape]:
    """Return the fields in which objects may stand, whatever the annotations say."""
    return {} if issubclass(cls, tuple) else dict.fromkeys(_names_of(cls), ANYTHING)


def _names_of(cls: Any) -> dict[str, Any]:
    """Return the stored fields of *cls*, with types for those without annotation."""
    if tuple in cls.__mro__:
        names: Any = getattr(cls, "_fields", ())
        return dict.fromkeys(names, Any) if class_of(names) is tuple else {}
    if "__attrs_attrs__" not in vars(cls) and hasattr(cls, "__dataclass_fields__"):
        import dataclasses  # noqa: PLC0415 -- who made the class has loaded it

        return {field.name: field.type for field in dataclasses.fields(cls)}
    attributes: Any = getattr(cls, "__attrs_attrs__", ())
    return {each.name: Any if each.type is None else each.type for each in attributes}


def _checker(shapes: Mapping[str, Shape]) -> Check:
    if all(isinstance(shape, Anything) for shape in shapes.values()):
        return lambda _: True
    if not all(map(is_told_by_class, shapes.values())):
        return lambda _: False
    checks = {name: checker(shape) for name, shape in shapes.items()}

    def check(obj: Any) -> bool:
        try:
            return all(checks[name](value) for name, value in fields_of(obj, checks))
        except Exception:  # noqa: BLE001 -- of a class of the user's, or too deep
            return False

    return check


# --- the quick checks of one registry -------------------------------------------------


class Fitting:
    """The quick checks of one registry; its *binding* tells references where they lead."""

    def __init__(
        self,
        shapes_of: Callable[[type, tuple[Any, ...]], Mapping[str, Shape]],
        plain: PlainClasses,
        parse: Callable[[Any], Shape],
    ) -> None:
        self.binding: Binding = Binding(parse, shapes_of)
        self._shapes_of = shapes_of
        self._plain = plain
        self._inside: dict[tuple[type, tuple[Any, ...]], dict[str, Check]] = {}
        self._checks: dict[type, Check] = {}

    def forget(self) -> None:
        """Make the checks of plain classes anew: more may be known of them."""
        self._checks.clear()

    def of(self, shape: Shape) -> Check | None:
        """Return a check of *shape*; None if the class of a value tells all.

        The references in a value learn by it what they should lead to.
        """
        check = None if is_told_outside(shape) else self._made(shape)
        bind = self.binding.of(shape, f"a value of {describe(shape)}")
        if bind is None:
            return check

        def look(value: Any) -> bool:
            bind(value)
            return check is None or check(value)

        return look

    def within(self, shape: Shape) -> Check | None:
        """Return a check of values of *shape*; None if no model in it is parametrised."""
        return self._made(shape) if needs_look(shape) else None

    def plain(self, obj: object) -> bool:
        """Tell whether the fields of an object of a plain class fit; others do."""
        cls = class_of(obj)
        check = self._checks.get(cls)
        if check is None:
            check = self._checks[cls] = self._of_fields(cls)
        try:
            return check(obj)
        except Exception:  # noqa: BLE001 -- of a class of the user's, or too deep
            return False

    def inside(self, cls: type, args: tuple[Any, ...]) -> Check:
        """Return a check of what is in objects of a parametrised model."""

        def check(obj: Any) -> bool:
            own = class_of(obj)
            if (own, args) not in self._inside:  # made when needed: it may be in itself
                self._inside[own, args] = self._checks_of(own, args)
            state = state_of(obj)
            checks = self._inside[own, args].items()
            return all(fits(state[name]) for name, fits in checks if name in state)

        del cls  # an object of a subclass knows better
        return check

    def _checks_of(self, cls: type, args: tuple[Any, ...]) -> dict[str, Check]:
        return {
            name: checker(shape, self.inside)
            for name, shape in self._shapes_of(cls, args).items()
            if not isinstance(shape, Anything)
        }

    def _made(self, shape: Shape) -> Check:
        """Generate a check; false for what is too deep."""
        thorough = checker(shape, self.inside)

        def slow(value: Any) -> bool:
            try:
                return thorough(value)
            except RecursionError:
                return False

        code = Checks(self.inside)
        code.add("o", shape)
        quick = _compile(code, [], slow)

        def check(value: Any) -> bool:
            try:
                return quick(value)
            except RecursionError:
                return False

        return check

    def _of_fields(self, cls: type) -> Check:
        shapes = {
            name: shape
            for name, shape in self._plain.shapes_of(cls).items()
            if not isinstance(shape, Anything) and not _runs_code(cls, name)
        }
        checks = {name: checker(shape, self.inside) for name, shape in shapes.items()}

        def slow(obj: Any) -> bool:
            return all(fits(getattr(obj, name)) for name, fits in checks.items())

        code = Checks(self.inside)
        lines: list[str] = []
        for at, (name, shape) in enumerate(shapes.items()):
            lines.append(f"v{at} = o.{name}")
            code.add(f"v{at}", shape)
            bind = self.binding.of(shape, f"{cls.__qualname__}.{name}")
            if bind is not None:
                code.names[f"b{at}"] = bind
                lines.append(f"b{at}(v{at})")
        return _compile(code, lines, slow)


def _compile(code: Checks, lines: list[str], slow: Check) -> Check:
    conditions = " and ".join(code.conditions) or "True"
    body = [*lines, f"if not ({conditions}):", "    return slow(o)", *code.loops]
    source = ["def fits(o):", *(f"    {line}" for line in body), "    return True"]
    made: Check = compiled("fits", source, {"slow": slow, **code.names})["fits"]
    return made


def _runs_code(cls: type, name: str) -> bool:
    """Tell whether reading an attribute calls something of the class."""
    found: object = inspect.getattr_static(cls, name, None)
    return hasattr(class_of(found), "__get__") and not (
        inspect.ismemberdescriptor(found) or issubclass(cls, tuple)
    )


def needs_look(shape: Shape) -> bool:
    """Tell whether *shape* names a parametrised model."""
    return any(says_more(named.cls, named.args) for named in classes_in(shape))
