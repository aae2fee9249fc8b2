"""The code that stores and loads one class, generated for it and made cattrs hooks.

For a declared class two functions are written and compiled. ``unstructure`` gives
the fields as they are (values live, nothing walked). ``structure`` takes the fields
of a record, checks the exact type of each value as it goes, and sets the attributes
directly, without converters and validators. Anything unexpected (a missing or
unknown name, another type, another version) leaves the fast path for
`_Reader.structure_slowly`, which handles it by the rules and in plain Python.

A hand-written class gets the same pair of hooks around its own methods.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, NoReturn, cast

import attrs

from storify.exceptions import ModelLoadError, UnstorableError

from .conform import CannotConvert, Check, Conversions, Hook, checker, is_told_by_class
from .fields import FieldOptions, default_of, options_of
from .fitting import Bind, Checks, Fitting, compiled
from .hints import Anything, Shape, describe, name_beside
from .lower import Found, Layout, Lower, LoweredField, Lowering
from .misfits import Examined, misfits
from .options import VERSION_KEY, History, class_options, copy_plain
from .state import (
    Unloaded,
    aside,
    assign,
    bare,
    blank,
    extras,
    holds_unloaded,
    is_lone_dict,
    public,
    refuse_lost,
)

Report = Callable[[str], object]
Unstructure = Callable[[Any], dict[str, Any]]
Refuse = Callable[[Mapping[str, Any]], str]
Supply = Mapping[str, Callable[[Any], Any]]


class Hooks(NamedTuple):  # made in a tenth of a dataclass's time
    """The functions that store and load objects of one class.

    Attributes:
        unstructure: The cattrs hook: object to ``{name on disk: live value}``.
        structure: The cattrs hook: such fields to an object.
        wrap: Object to ``{keyname: fields}``, for the codec: in one call, and with
            fields that may be the live ``__dict__``, only to be read.
        lower: Makes what gives the same all the way down (see `lower`), with what
            knows the nested classes. It gives None where no code is written for it.
        to_dict: The same as ``unstructure`` without overrides and version.
        from_dict: The same as ``structure`` without overrides and migrations.
        revive: ``from_dict`` that honours an overridden ``_from_dict``.
        examine: Tells what the class makes of stored fields that it could not load.
            It raises what their migration raises.
    """

    unstructure: Unstructure
    structure: Hook
    wrap: Unstructure
    lower: Callable[[Callable[[type], Found]], Found]
    to_dict: Unstructure
    from_dict: Callable[[dict[str, Any]], Any]
    revive: Callable[[dict[str, Any]], Any]
    examine: Callable[[dict[str, Any]], Examined]


class Surroundings(NamedTuple):
    """The rest of a registry, as its hooks see it.

    Attributes:
        conversions: Where hooks for values that do not conform come from; asked only
            when such a value appears.
        report: Told once about each field and kind of misfit.
        note_misfit: Called for each value that stays though it does not conform.
        note_odd: Called for each object of which it is not proven that all in it
            conforms: it took the slow path, or the generated checks do not say all.
        refuse: Tells by class why an object with that state is not stored here; "" if
            it is.
        supply: Makes the values of unstored fields of loaded objects, by class and
            name, in place of their defaults; called with the object.
        fitting: Makes the checks of what is in parametrised models.
    """

    conversions: Conversions
    report: Report
    note_misfit: Callable[[], object]
    note_odd: Callable[[], object]
    refuse: Mapping[type, Refuse]
    supply: Mapping[type, Supply]
    fitting: Fitting


def make_hooks(
    cls: type,
    keyname: str,
    base: type,
    shapes: Mapping[str, Shape],
    around: Surroundings,
) -> Hooks:
    """Write the hooks of *cls*, of whose methods those count that *base* has not."""
    options = class_options(cls)
    history = History(cls.__qualname__, options.version, options.migrations)
    wrap: Unstructure | None = None
    examine: Callable[[dict[str, Any]], Examined]
    layout: Layout | None = None
    if options.declared:
        reader = _Reader(cls, shapes, history, around)
        writer = _Writer(cls, reader.fields, around.refuse.get(cls))
        to_dict, from_dict = writer.to_dict, reader.build
        examine = reader.examine
        unstructure, structure = writer.unstructure, reader.structure
        wrap = writer.wrapper(keyname)
        layout = writer.layout(keyname)
    else:
        by_hand = _HandWritten(cls, history, shapes)
        to_dict, from_dict = public, by_hand.build
        examine = by_hand.examine
        unstructure, structure = _versioned(_public, options.version), None
    revive = _reviver(cls, base, from_dict)
    if _overrides(cls, base, "_to_dict"):
        unstructure = _versioned(_called(cls), options.version)
        wrap = layout = None
    if _overrides(cls, base, "_deserialize"):
        revive_fully: Callable[[dict[str, Any]], Any] = _checked(cls, "_deserialize")
    else:
        revive_fully = revive
    if structure is None or revive_fully is not from_dict:
        # a class without versions and with methods of its own may use "_v" itself
        plain = not options.version and revive_fully is not from_dict
        known = None if plain else history
        structure = _around(cls, revive_fully, known, around.note_odd)
    if revive_fully is not from_dict:
        examine = _take_all  # only the class's own method knows
    wrap = wrap or (lambda obj: {keyname: unstructure(obj)})
    lower = partial(_lower, layout)
    out = unstructure, structure, wrap, lower, to_dict
    return Hooks(*out, from_dict, revive, examine)


def _overrides(cls: type, base: type, name: str) -> bool:
    return inspect.getattr_static(cls, name) is not inspect.getattr_static(base, name)


# --- classes with methods of their own ----------------------------------------------


def _versioned(to_dict: Unstructure, version: int) -> Unstructure:
    if not version:
        return to_dict
    return lambda obj: {**to_dict(obj), VERSION_KEY: version}


def _public(obj: Any) -> dict[str, Any]:
    refuse_lost(obj)
    return public(obj)


def _called(cls: type) -> Unstructure:
    name = cls.__qualname__

    def unstructure(obj: Any) -> dict[str, Any]:
        fields: Any = obj._to_dict()
        if not isinstance(fields, dict):
            msg = f"{name}._to_dict() gave {type(fields).__name__}; it must give a dict"
            raise UnstorableError(msg)
        found = cast("dict[str, Any]", fields)
        return found if type(found) is dict else dict(found)

    return unstructure


def _is_property(cls: type, name: str) -> bool:
    """Tell whether reading the attribute *name* runs code of the class."""
    found: object = inspect.getattr_static(cls, name, None)
    return hasattr(cast("object", type(found)), "__set__")


def _reviver(
    cls: type, base: type, from_dict: Callable[[dict[str, Any]], Any]
) -> Callable[[dict[str, Any]], Any]:
    if not _overrides(cls, base, "_from_dict"):
        return from_dict
    static = inspect.getattr_static(cls, "_from_dict")
    if isinstance(static, (classmethod, staticmethod)):
        return _checked(cls, "_from_dict")

    def revive(data: dict[str, Any]) -> Any:
        obj = blank(cls)
        made = obj._from_dict(data)
        return obj if made is None else made

    return revive


def _checked(cls: type, method: str) -> Callable[[dict[str, Any]], Any]:
    def revive(data: dict[str, Any]) -> Any:
        made = getattr(cls, method)(data)
        if made is None:
            msg = f"{cls.__qualname__}.{method}() gave None; it must give the object"
            raise ModelLoadError(msg)
        return made

    return revive


def _around(
    cls: type,
    revive: Callable[[dict[str, Any]], Any],
    history: History | None,
    note_odd: Callable[[], object],
) -> Hook:
    tags = _tags(cls)
    # a subclass may have a field again that its base dropped
    dropped = class_options(cls).dropped - _names_on_disk(cls)

    def structure(stored: Any, hint: Any = None) -> Any:
        note_odd()
        if type(stored) is not dict:
            raise CannotConvert(type(stored).__name__)
        fields = cast("dict[str, Any]", stored)
        if hint is not None and is_lone_dict(fields):
            ((tag, inner),) = fields.items()
            if tag not in tags or type(inner) is not dict:
                raise CannotConvert(dict.__name__)
            # still wrapped, as a migration may give it
            fields = cast("dict[str, Any]", inner)
        if history is not None:
            fields = history.upgrade(fields)
        # a copy: the class's own method may take it apart, and if it fails the
        # record is kept as it was
        return revive({k: v for k, v in fields.items() if k not in dropped})

    return structure


def _tags(cls: type) -> set[str]:
    """Return the keynames under which objects of *cls* are or were stored."""
    return {cast("Any", cls)._keyname(), *class_options(cls).was}


def _names_on_disk(cls: type) -> set[str]:
    all_options = [(a, options_of(a)) for a in class_options(cls).attributes]
    return {
        name
        for attribute, options in all_options
        if options.stored
        for name in (options.key or attribute.name, *options.was)
    }


def _take_all(fields: dict[str, Any]) -> Examined:
    return Examined([(*pair, Anything()) for pair in fields.items()], (), {})


class _HandWritten:
    """Loads classes whose public attributes are what is stored."""

    def __init__(
        self, cls: type, history: History, shapes: Mapping[str, Shape]
    ) -> None:
        self._cls = cls
        self._history = history
        self._shapes = shapes
        self._forbid = class_options(cls).extra == "forbid"

    def build(self, data: dict[str, Any]) -> Any:
        obj = blank(self._cls)
        assign(obj, data)
        unknown = aside(obj)
        if self._forbid and unknown:
            _refuse_unknown(self._cls, next(iter(unknown)))
        return obj

    def examine(self, stored: dict[str, Any]) -> Examined:
        """Tell which names the class takes."""
        obj = blank(self._cls)
        fields = self._history.upgrade(stored)
        dropped = class_options(self._cls).dropped
        assign(obj, {k: v for k, v in fields.items() if k not in dropped})
        unknown = aside(obj)
        taken = [
            (name, value, self._shapes.get(name, Anything()))
            for name, value in public(obj).items()
            if name not in unknown
        ]
        return Examined(taken, (), unknown)


def _refuse_unknown(cls: type, name: Any) -> NoReturn:
    msg = (
        f"{cls.__qualname__}: unknown field {name!r}, and the class has extra='forbid'"
    )
    raise ModelLoadError(msg, f"$.{name}")


# --- declared classes ---------------------------------------------------------------


class _Field:
    """One attrs field with all that loading needs."""

    __slots__ = (
        *("attribute", "bind", "check", "convert", "key", "look", "options", "shape"),
    )

    def __init__(
        self,
        attribute: "attrs.Attribute[Any]",
        options: FieldOptions,
        key: str,
        shape: Shape,
        check: Check,
        look: Check | None,
        bind: Bind | None,
    ) -> None:
        self.attribute = attribute
        self.options = options
        self.key = key
        self.shape = shape
        self.check = check
        self.look = look
        self.bind = bind
        self.convert: Hook | None = None

    @property
    def name(self) -> str:
        return self.attribute.name

    @property
    def has_default(self) -> bool:
        return self.attribute.default is not attrs.NOTHING


def _fields(cls: type, shapes: Mapping[str, Shape], fitting: Fitting) -> list[_Field]:
    return [
        _Field(
            attribute=attribute,
            options=(ours := options_of(attribute)),
            key=ours.key or attribute.name,
            shape=(shape := shapes.get(attribute.name, Anything())),
            check=checker(shape),
            look=fitting.within(shape),
            bind=fitting.binding.of(shape, f"{cls.__qualname__}.{attribute.name}"),
        )
        for attribute in class_options(cls).attributes
    ]


class _Writer:
    """The fields of an object, as its class has them; as a rule by generated code."""

    def __init__(self, cls: type, fields: list[_Field], refuse: Refuse | None) -> None:
        self._cls = cls
        self._refuse: dict[str, Refuse] = {}
        if refuse is not None:
            self._refuse["refuse"] = refuse
        self._stored = [f for f in fields if f.options.stored]
        self._names = {f.name for f in fields}
        self._items = [f"{f.key!r}: o.{f.name}" for f in self._stored]
        version = class_options(cls).version
        self.to_dict = self._compile("d")
        if version:
            self._items.append(f"{VERSION_KEY!r}: {version}")
        self.unstructure = self._compile("d") if version else self.to_dict

    def wrapper(self, keyname: str) -> Unstructure:
        """Return `unstructure` that puts the fields under *keyname*.

        Where the attributes are just the fields in their order, it gives the live
        ``__dict__``: a quarter off the time of writing a record of ten fields.
        """
        shortcut = [
            "    s = o.__dict__",
            "    if [*s] == names:",
            f"        return {{{keyname!r}: s}}",
        ]
        return self._compile(
            f"{{{keyname!r}: d}}", shortcut if self._mirrors_attributes() else []
        )

    def layout(self, keyname: str) -> Layout | None:
        """Return what lowering an object whole needs to know; None if it cannot be."""
        if not self._has_plain_attributes() or not self._stored:
            return None
        fields = [LoweredField(f.name, f.key, f.shape) for f in self._stored]
        version = class_options(self._cls).version
        constants = {VERSION_KEY: version} if version else {}
        more = self._has_more, self._refuse
        return Layout(self._cls, keyname, fields, constants, *more)

    def _has_plain_attributes(self) -> bool:
        """Tell whether reading ``__dict__`` reads the attributes."""
        reading: object = self._cls.__getattribute__
        return reading is object.__getattribute__ and not any(
            _is_property(self._cls, f.name) for f in self._stored
        )

    def _mirrors_attributes(self) -> bool:
        """Tell whether the fields stored are the attributes, by name and by value."""
        names = [f.name for f in self._stored]
        return (
            [f.key for f in self._stored] == names
            and len(names) == len(self._names)
            and not class_options(self._cls).version
            and not self._refuse
            and self._has_plain_attributes()
        )

    def _has_more(self, state: str) -> str:
        """Write the test whether there are other attributes than the fields.

        The stored fields are there, so it is enough to look for the others.
        """
        stored = {f.name for f in self._stored}
        others = sorted(self._names - stored)
        tests = [f"{name!r} not in {state}" for name in others]
        tests += [f"{name}({state})" for name in self._refuse]
        return " or ".join([f"len({state}) != {len(self._names)}", *tests])

    def _compile(self, result: str, shortcut: Sequence[str] = ()) -> Unstructure:
        lines = [
            "def unstructure(o):",
            *shortcut,
            "    try:",
            f"        d = {{{', '.join(self._items)}}}",
            "    except AttributeError:",
            "        d = partial(o)",
            "        more(o, d)",
            "    else:",
            f"        if {self._has_more('o.__dict__')}:",
            "            more(o, d)",
            f"    return {result}",
        ]
        names = {
            "partial": self._partial,
            "more": self._more,
            "names": [f.name for f in self._stored],
            **self._refuse,
        }
        made: Unstructure = compiled(self._cls.__qualname__, lines, names)[
            "unstructure"
        ]
        return made

    def _partial(self, obj: Any) -> dict[str, Any]:
        """Return the fields of an object that lacks some."""
        fields: dict[str, Any] = {}
        for f in self._stored:
            if hasattr(obj, f.name):
                fields[f.key] = getattr(obj, f.name)
            elif f.attribute.init or f.has_default:
                msg = (
                    f"{self._cls.__qualname__}.{f.name} was deleted, so the record "
                    "could not be loaded; set it, or delete the object"
                )
                raise UnstorableError(msg, f"$.{f.name}")
        version = class_options(self._cls).version
        return {**fields, VERSION_KEY: version} if version else fields

    def _more(self, obj: Any, fields: dict[str, Any]) -> None:
        """Add the undeclared public attributes and the names kept aside."""
        refuse_lost(obj)
        for refuse in self._refuse.values():
            why = refuse(cast("Mapping[str, Any]", vars(obj)))
            if why:
                raise UnstorableError(why)
        for name, value in extras(obj).items():
            fields.setdefault(name, value)


def _lower(layout: Layout | None, find: Callable[[type], Found]) -> Found:
    """Compile what lowers the objects of a class whole."""
    if layout is None:
        return None
    code = Lowering(layout, find)
    if not code.lines:
        return None
    made: Lower = compiled(layout.cls.__qualname__, code.lines, code.names)["lower"]
    return made, layout


class _Reader:
    """Makes objects from stored fields; the usual case is generated code."""

    def __init__(
        self,
        cls: type,
        shapes: Mapping[str, Shape],
        history: History,
        around: Surroundings,
    ) -> None:
        self.fields = _fields(cls, shapes, around.fitting)
        self._fitting = around.fitting
        self._cls = cls
        self._history = history
        self._conversions = around.conversions
        self._report = around.report
        self._note_misfit = around.note_misfit
        self._note_odd = around.note_odd
        self._supply = around.supply.get(cls, {})
        self._options = class_options(cls)
        self._tags = _tags(cls) - {f.key for f in self.fields if f.options.stored}
        self._known = self._tags | _names_on_disk(cls) | self._options.dropped
        self._post_init = getattr(cls, "__attrs_post_init__", None)
        self.structure: Hook = self._compile()

    # The fast path: generated code

    def _compile(self) -> Hook:
        stored = [(i, f) for i, f in enumerate(self.fields) if f.options.stored]
        code = Checks(self._fitting.inside)
        for i, f in stored:
            code.add(f"v{i}", f.shape)
        version = self._options.version
        count = len(stored) + bool(version)
        conditions = [f"len(o) == {count}", *code.conditions]
        if version:
            conditions.insert(1, f"o.get({VERSION_KEY!r}) == {version}")
        lines = ["def structure(o, hint=None):", "    if o.__class__ is not dict:"]
        lines += ["        return slow(o, hint)", "    try:"]
        lines += [f"        v{i} = o[{f.key!r}]" for i, f in stored] or ["        pass"]
        lines += ["    except KeyError:", "        return slow(o, hint)"]
        lines += [f"    if not ({' and '.join(conditions)}):"]
        lines += ["        return slow(o, hint)"]
        lines += [f"    {line}" for line in code.loops]
        if not self._checks_all():
            lines += ["    note_odd()"]
        for i, f in stored:
            if f.bind is not None:
                code.names[f"b{i}"] = f.bind
                lines += [f"    b{i}(v{i})"]
        lines += ["    n = new(cls)"]
        lines += [f"    {line}" for line in self._assignments(code.names)]
        lines += ["    return n"]
        names = {
            "slow": self.structure_slowly,
            "new": object.__new__,
            "cls": self._cls,
            "note_odd": self._note_odd,
        }
        made: Hook = compiled(self._cls.__qualname__, lines, names | code.names)[
            "structure"
        ]
        return made

    def _checks_all(self) -> bool:
        """Tell whether the generated code proves that all in an object conforms."""
        shapes = [f.shape for f in self.fields if f.options.stored]
        return self._post_init is None and all(map(is_told_by_class, shapes))

    def _assignments(self, names: dict[str, Any]) -> Iterator[str]:
        # Without hooks on assignment, plain attributes: touching __dict__ makes
        # objects larger, and slower to read on Python 3.11 and 3.12.
        guard: object = self._cls.__setattr__
        plain = guard is object.__setattr__
        target = "n.{}" if plain else "d[{!r}]"
        if not plain:
            yield "d = n.__dict__"
        for i, f in enumerate(self.fields):
            value = f"v{i}"
            if f.name in self._supply:
                names[f"a{i}"] = self._supply[f.name]
                value = f"a{i}(n)"
            elif not f.options.stored:
                names[f"a{i}"] = f.attribute
                names["made_default"] = _made_default
                value = f"made_default(a{i}, n)"
            yield f"{target.format(f.name)} = {value}"
        if self._post_init is not None:
            yield "n.__attrs_post_init__()"
            for i, f in enumerate(self.fields):
                if f.options.stored:  # what it computed anew must not change data
                    yield f"{target.format(f.name)} = v{i}"

    # The slow path: everything that may be odd about a record

    def structure_slowly(  # noqa: C901, PLR0912 -- as the docstring says
        self, stored: Any, hint: Any = None, *, history: bool = True
    ) -> Any:
        """Make an object from fields that are not just as the class says.

        One long function, for the sake of deep data that somebody stored without
        wrappers: each call between two levels would cost depth.

        Raises:
            ModelLoadError: A required field is missing, an unknown one forbidden,
                a migration failed, or the record is newer than the class.
            CannotConvert: *stored* is no dict, or a record of another class.
        """
        if type(stored) is not dict:
            raise CannotConvert(type(stored).__name__)
        self._note_odd()
        data = cast("dict[str, Any]", stored)
        if hint is not None and is_lone_dict(data) and not self._known & data.keys():
            raise CannotConvert(dict.__name__)
        data = self._present_form(data, history=history)
        obj, state = bare(self._cls)
        values: dict[str, Any] = {}
        used: set[str] = set()
        for f in self.fields:
            key = self._key_in(data, f)
            if key is not None:
                used.add(key)
                value = data[key]
                if not f.check(value):
                    convert = f.convert or self._hook_of(f)
                    try:
                        value = convert(value, f.attribute.type)
                    except RecursionError:
                        raise
                    except Exception:  # noqa: BLE001 -- whatever it was, the value stays
                        self._report_misfit(f, value)
                elif f.look is not None and not f.look(value):
                    self._note_misfit()
                if f.bind is not None:
                    f.bind(value)
                state[f.name] = values[f.name] = value
            elif f.has_default:
                state[f.name] = _made_default(f.attribute, obj)
            elif f.attribute.init:
                msg = (
                    f"{self._cls.__qualname__}: required field {f.key!r} is missing; "
                    f"with a default such records load"
                )
                raise ModelLoadError(msg, f"$.{f.name}")
        if self._post_init is not None:
            obj.__attrs_post_init__()
            state.update(values)  # what it computed anew must not change data
        for name, make in self._supply.items():
            state[name] = make(obj)
        if len(used) != len(data):
            self._keep_unknown(obj, data, used)
        return obj

    def build(self, data: dict[str, Any]) -> Any:
        """Make an object from fields of the present version."""
        return self.structure_slowly(data, history=False)

    def examine(self, stored: dict[str, Any]) -> Examined:
        """Tell what `structure_slowly` makes of each field, without an object."""
        data = self._present_form(stored, history=True)
        fields: list[tuple[Any, Any, Shape]] = []
        missing: list[tuple[str, Shape]] = []
        used: set[str] = set()
        for f in self.fields:
            key = self._key_in(data, f)
            if key is not None:
                used.add(key)
                fields.append((f.name, self._converted(f, data[key]), f.shape))
            elif f.options.stored and f.attribute.init and not f.has_default:
                missing.append((f.name, f.shape))
        return Examined(fields, missing, self._unknown(data, used))

    def _converted(self, f: _Field, value: Any) -> Any:
        if not f.check(value):
            with suppress(Exception):  # it stays as it is, as in a load
                return (f.convert or self._hook_of(f))(value, f.attribute.type)
        return value

    def _present_form(self, data: dict[str, Any], *, history: bool) -> dict[str, Any]:
        """Return the fields without wrapper and as of the present version."""
        if len(data) == 1:
            ((tag, fields),) = data.items()
            if tag in self._tags and type(fields) is dict:
                data = cast(
                    "dict[str, Any]", fields
                )  # still wrapped, as somebody gave it to the hook
        return self._history.upgrade(data) if history else data

    def _hook_of(self, f: _Field) -> Hook:
        """Make what converts values of the field that do not conform."""
        upgrade = f.options.upgrade
        hook = self._conversions.hook_for(f.shape)

        def upgraded(value: Any, hint: Any) -> Any:
            if upgrade is None or holds_unloaded(value):  # a newer one, not an older
                return hook(value, hint)
            # a copy: it may fail half-way, and then the value stays as it was
            return hook(upgrade(copy_plain(value)), hint)

        f.convert = hook if upgrade is None else upgraded
        return f.convert

    def _report_misfit(self, f: _Field, value: Any) -> None:
        self._note_misfit()
        if isinstance(value, Unloaded):
            return  # reported when it could not be loaded
        reason = _reason(value, f.shape)
        self._report(f"{self._cls.__qualname__}.{f.name}: {reason}; kept as it is")

    def _key_in(self, data: dict[str, Any], f: _Field) -> str | None:
        if not f.options.stored:
            return None
        if f.key in data:
            return f.key
        return next((old for old in f.options.was if old in data), None)

    def _keep_unknown(self, obj: Any, data: dict[str, Any], used: set[str]) -> None:
        unknown = self._unknown(data, used)
        if self._options.extra == "forbid":
            # an old name beside the new one: an older program saved the record too
            former = {old for f in self.fields for old in f.options.was}
            for name in unknown:
                if name not in former:
                    _refuse_unknown(self._cls, name)
        if unknown:
            assign(obj, unknown)

    def _unknown(self, data: dict[str, Any], used: set[str]) -> dict[str, Any]:
        known = used | self._options.dropped
        return {name: value for name, value in data.items() if name not in known}


def _made_default(attribute: "attrs.Attribute[Any]", obj: object) -> Any:
    """Make a default for an object that is being loaded.

    Raises:
        ModelLoadError: The factory failed. Its words are told, because it sees nothing
            of what is stored; one that takes the object may repeat its values.
    """
    try:
        return default_of(attribute, obj)
    except RecursionError:
        raise
    except Exception as err:
        if getattr(attribute.default, "takes_self", False):
            raise
        msg = (
            f"{type(obj).__qualname__}: the default of {attribute.name!r} cannot be "
            f"made: {type(err).__name__}: {err}"
        )
        raise ModelLoadError(msg, f"$.{attribute.name}") from err


def _reason(value: Any, shape: Shape) -> str:
    """Say what is wrong with *value*, without any part of it.

    Not the path either: its keys are data, and each would be another message; but
    what is missing is a key of the type.
    """
    found = next(misfits(value, shape, lambda _, __: None), None)
    if found is None:
        wanted = describe(shape)
        return f"expected {wanted}, found {name_beside(value, wanted)}"
    inside = "" if found.path == "$" else " inside"
    if found.kind == "missing":
        inside = f" at {found.path[found.path.rindex('[') :]}{inside}"
    return f"expected {found.expected}, found {found.found}{inside}"
