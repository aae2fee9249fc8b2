"""The registry: which class a keyname stands for, and the way through its hooks.

One registry has one cattrs converter; two databases with different models never
meet in it. A class is found out about when it is registered (its annotations are
resolved and checked, the models and enums in them join), and planned when its first
record is stored or loaded.
"""

import itertools
import threading
from collections.abc import (
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin

from storify.exceptions import (
    DuplicateKeynameError,
    ModelError,
    ModelLoadError,
    StorifyError,
    UnstorableError,
)

from .base import Model, Ref
from .conform import (
    Check,
    Conversions,
    Hook,
    checker,
    conforms,
    is_told_by_class,
    outer_classes,
)
from .fields import options_of
from .fitting import Fitting, PlainClasses
from .hints import (
    ANYTHING,
    Instance,
    Parser,
    Shape,
    UnresolvedError,
    Unsupported,
    refuse_unstorable,
    resolve,
    subclasses,
    text_of,
)
from .misfits import Inspection, Kept, Lead, Leads, Misfit, misfits, unstored
from .options import (
    History,
    class_of,
    class_options,
    definitions,
    is_model,
    is_model_class,
    refuse_decorator,
)
from .plan import Hooks, Refuse, Supply, Surroundings, make_hooks
from .state import Unloaded, adopt

if TYPE_CHECKING:
    from .cattrs_hooks import StorifyConverter
    from .lower import Found, Lower


_MISSES_KEPT = 10_000
_LOWERED_LEVELS = 16
# Found in files and objects without being registered, and without a warning.
_OWN: tuple[type, ...] = (Ref,)


class Refusing(threading.local):
    """A block in which this thread refuses unknown classes; each flush enters it.

    Attributes:
        depth: In how many of these blocks this thread is.
    """

    def __init__(self) -> None:
        self.depth: int = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1


def _warn(message: str) -> None:
    """Warn of a class outside of any database, as its own methods do."""
    import logging  # noqa: PLC0415 -- it takes 3 ms

    logging.getLogger("storify").warning(message)


def _know_none(_: object) -> None:
    """Take each value for one that the codec could read."""


def _trust(_: object) -> Lead:
    """Take each reference for one that leads somewhere."""
    return Lead.UNKNOWN


def _store_by_field(_: type) -> bool:
    """Take each class for one that has no hooks of the user's."""
    return False


class Entry:
    """One registered class. Its hooks are planned at the first use.

    Attributes:
        cls: The class.
        keyname: The tag it is written with.
        structure: The cattrs hook: fields to object.
    """

    def __init__(
        self, cls: type[Model], keyname: str, plan: Callable[["Entry"], Hooks]
    ) -> None:
        self.cls = cls
        self.keyname = keyname
        self.shapes: dict[str, Shape] | None = None
        self.hooks: Hooks | None = None
        self._plan = plan
        self.structure: Hook = self._first_structure

    def planned(self) -> Hooks:
        """Return the hooks, made now if need be.

        Raises:
            ModelError: An annotation that still cannot be resolved or stored.
        """
        hooks = self.hooks
        if hooks is None:
            hooks = self._plan(self)
            self.hooks, self.structure = hooks, hooks.structure
        return hooks

    def forget(self) -> None:
        """Plan anew at the next use."""
        self.shapes = self.hooks = None
        self.structure = self._first_structure

    def _first_structure(self, fields: Any, hint: Any = None) -> Any:
        return self.planned().structure(fields, hint)


class Registry:
    """The models of one Storify or Database, and their one cattrs converter.

    All methods may be called from any thread.

    Attributes:
        count_odd: Gives a number that grows by one with each call, and with each
            object that took no short way.
        count_misfits: The same with each value that stays though it does not conform.
        has_met_misfits: Whether there was one.

    Args:
        models: Classes to register.
        warn: Called with one finished sentence, once for each class and reason.
        register_type: Called with each enum, dataclass, namedtuple and the like
            found in annotations; it raises for what cannot be stored.
        supply: Makes the values of unstored fields of the objects that are loaded,
            by class and name, in place of their defaults.
        refuse: Tells by class why an object with that state is not stored here.
        hooked: Tells of a class that is no model whether hooks of the user's store
            its objects; otherwise what its fields admit is checked.

    Raises:
        ModelError: As `register`.
        DuplicateKeynameError: As `register`.
    """

    def __init__(
        self,
        models: Iterable[type[Model]] = (),
        *,
        warn: Callable[[str], object] = _warn,
        register_type: Callable[[type], object] = refuse_unstorable,
        supply: Mapping[type, Supply] = MappingProxyType({}),
        refuse: Mapping[type, Refuse] = MappingProxyType({}),
        hooked: Callable[[type], bool] = _store_by_field,
    ) -> None:
        self._lock = threading.RLock()
        self._warn = warn
        self._warned: set[str] = set()
        self._quiet = threading.local()
        #: A block that refuses objects of classes that are not registered: they would
        #: come back as dicts, where a type promises objects.
        self.refusing: Refusing = Refusing()
        # Known only because an object was stored: another process does not know them.
        self._by_use: set[type] = set()
        self._entries: dict[str, Entry | None] = {}  # None: learned, no class
        self._by_class: dict[type, Entry] = {}
        self._wraps: dict[type, Callable[[Any], dict[str, Any]]] = {}
        self._lowers: dict[type, Lower] = {}
        # with how many records may lie in one another
        self._found_lowers: dict[type, tuple[Found, int]] = {}
        self._misses: set[str] = set()
        self._misses_at = -1
        self._made_converter: StorifyConverter | None = None
        self._conversions = Conversions(self._hook)
        self._found: list[type] = []
        self._register_type = register_type
        self._hooked = hooked
        self._newer: dict[type, type] = {}
        self._plain_names: dict[str, type] = {}
        self._followed: set[type] = set()
        self._unfinished: set[type] = set()
        self._supply = supply
        self._refuse = refuse
        self._forget_annotations()
        self.count_misfits: Callable[[], int] = itertools.count().__next__
        self.has_met_misfits: bool = False
        self.count_odd: Callable[[], int] = itertools.count().__next__
        self.register(*models)

    def _note_misfit(self) -> None:
        self.has_met_misfits = True
        self.count_misfits()

    @property
    def keynames(self) -> Collection[str]:
        """Every keyname known: registered, earlier (``was=``) and learned. Live."""
        return self._entries.keys()

    @property
    def wraps(self) -> Mapping[type, Callable[[Any], dict[str, Any]]]:
        """Classes that were stored before, to what gives their wrappers. Live.

        The same wrappers as of `unstructure`, in less time; but their fields may be
        the live ``__dict__`` of the object, so they are only to be read.
        """
        return self._wraps

    @property
    def lowers(self) -> "Mapping[type, Lower]":
        """Classes that were stored before, to what lowers their objects whole. Live.

        Called with an object and the codec's encoders of single values, it gives the
        same wrapper as `unstructure` would, copied and lowered all the way down; or
        None for an object that holds anything unexpected.
        """
        return self._lowers

    @property
    def converter(self) -> "StorifyConverter":
        """The cattrs converter that holds the hooks; made at the first use."""
        with self._lock:
            if self._made_converter is None:
                # cattrs takes long to import, and no database asks for it
                from .cattrs_hooks import StorifyConverter  # noqa: PLC0415 -- as said

                made = StorifyConverter(self._parse, self._conversions)
                for cls, entry in self._by_class.items():
                    if entry.hooks is not None:
                        hooks = entry.hooks
                        made.register_model(cls, hooks.structure, hooks.unstructure)
                self._made_converter = made
            return self._made_converter

    # Registering

    def register(self, *models: type[Model]) -> None:
        """Register classes, with the models, enums and the like they name.

        The same class twice is fine. A class of the same module and qualified
        name as one registered before (a notebook cell that ran again) takes its
        keyname over: records load as the new class, objects of the old one become
        its own, and annotations that name the old one mean the new one. Nothing is registered if anything is refused.

        Raises:
            ModelError: No Model class, a field that cannot be stored, or a gap
                in its migrations.
            DuplicateKeynameError: Two classes claim one keyname.
        """
        with self._lock:
            entries, by_class = dict(self._entries), dict(self._by_class)
            newer, by_use = dict(self._newer), set(self._by_use)
            try:
                explicit = {id(cls) for cls in models}
                self._register_all(models, explicit)
            except BaseException:
                # in place: keynames is a live view of this dict
                for name in self._entries.keys() - entries.keys():
                    del self._entries[name]
                self._entries.update(entries)
                self._by_class, self._by_use = by_class, by_use
                self._forget_wraps()
                # it remembers recursive types whose models were just taken back
                self._newer = newer
                self._forget_annotations()
                raise
            if self._newer != newer:
                self._take_over(newer)

    def register_hint(self, hint: object) -> None:
        """Register the models, enums and the like that *hint* names, at any depth.

        Raises:
            ModelError: As `register`; or no value of *hint* can be stored.
            DuplicateKeynameError: As `register`.
        """
        with self._lock:
            del self._found[:]
            try:
                self._finder.parse(hint)
            except Unsupported as err:
                raise _not_stored(hint, err) from err
            self.register(*(cast("type[Model]", cls) for cls in tuple(self._found)))

    def follow(self, cls: type) -> None:
        """Register what the annotations of the fields of a plain class name.

        That is, of a dataclass, attrs class or named tuple. What cannot be stored is
        passed over: only a value can tell whether it matters.

        Raises:
            ModelError: As `register`.
            DuplicateKeynameError: As `register`.
        """
        with self._lock:
            del self._found[:]
            before = dict(self._newer)
            self._note_plain(cls)
            self._follow(cls)
            if self._newer != before:
                self._take_over(before)
            self.register(*(cast("type[Model]", each) for each in tuple(self._found)))

    def _meet(self, cls: type) -> None:
        """Register a class that is no model, and what its annotations name."""
        self._register_type(cls)
        self._note_plain(cls)
        self._follow(cls)

    def _note_plain(self, cls: type) -> None:
        old = self._plain_names.setdefault(_name(cls), cls)
        if old is not cls:
            self._newer.pop(cls, None)
            self._newer[old] = self._plain_names[_name(cls)] = cls

    def _follow(self, cls: type) -> None:
        if cls in self._followed:
            return
        self._followed.add(cls)
        self._unfinished.discard(cls)
        hints, is_final = self._plain.hints_of(cls)
        if not is_final:
            self._unfinished.add(cls)
        for hint in hints:
            with suppress(Unsupported):
                self._finder.parse(hint, cls)

    def _follow_unfinished(self) -> None:
        """Look again for names that were not defined yet."""
        for cls in tuple(self._unfinished):
            self._followed.discard(cls)
            self._follow(cls)

    def newest(self, cls: type) -> type:
        """Return the class that took the place of *cls*, or *cls* itself."""
        while cls in self._newer:
            cls = self._newer[cls]
        return cls

    def count_newer(self) -> int:
        """Count the classes of which another one took the place."""
        return len(self._newer)

    def _take_over(self, before: Mapping[type, type]) -> None:
        """Have classes that were defined again take the place of the old ones."""
        for entry in self._by_class.values():
            entry.forget()
        self._forget_annotations()
        self._forget_wraps()
        self._made_converter = None
        self._conversions = Conversions(self._hook)
        for old, new in self._newer.items():
            if before.get(old) is not new:
                adopt(old, new)

    def _forget_annotations(self) -> None:
        """Parse all annotations anew when they are needed."""
        self._finder = Parser(self._found.append, self._meet, self.newest)
        self._parser = Parser(newest=self.newest)
        self._plain = PlainClasses(self._parse, self._named, self._hooked)
        self._fitting = Fitting(self.shapes_of_model, self._plain, self._shape_behind)
        self._shapes: dict[Any, dict[str, Shape]] = {}
        self._followed.clear()

    def learn(self, keyname: str) -> None:
        """Note that *keyname* tags models in some file, though none is known."""
        with self._lock:
            self._entries.setdefault(keyname, None)

    def _register_all(self, models: Iterable[type], explicit: set[int]) -> None:
        self._fitting.forget()  # what an annotation names may be known now
        pending = list(reversed(list(models)))
        del self._found[:]
        self._follow_unfinished()
        pending += self._found
        del self._found[:]
        while pending:
            cls = pending.pop()
            if not is_model_class(cls):
                what = getattr(cls, "__qualname__", type(cls).__name__)
                msg = f"{what} is no Model class, and only those are registered"
                raise ModelError(msg)
            if cls in self._by_use:
                self._by_use.discard(cls)
                self._forget_wraps()
            entry = self._by_class.get(cls)
            # one that is settled already; a taken-over keyname is not
            if (
                entry is None
                or entry.shapes is None
                or (id(cls) in explicit and self._entries[entry.keyname] is not entry)
            ):
                self._add(cls, explicit)
                pending += reversed(self._found)
                del self._found[:]

    def _add(self, cls: type, explicit: set[int]) -> None:
        options = class_options(cls)
        if options.declared and (
            vars(cls).get("__attrs_attrs__") is not options.attributes
            or "__dataclass_fields__" in vars(cls)
        ):
            refuse_decorator(cls)  # one that looks at no base
        keyname = _keyname(cls)
        History(cls.__qualname__, options.version, options.migrations)
        entry = self._by_class.get(cls)
        if entry is None or entry.keyname != keyname:
            entry = Entry(cast("type[Model]", cls), keyname, self._plan)
            self._forget_wraps()  # which may have a former keyname
        for name in (keyname, *options.was):
            other = self._entries.get(name)
            if other is not None and other.cls is not cls:
                if _name(other.cls) != _name(cls):
                    raise _duplicate(name, other.cls, cls)
                if id(other.cls) in explicit:
                    if id(cls) in explicit:
                        raise _duplicate(name, other.cls, cls)
                    continue  # found in an annotation that is older than the new class
                if id(cls) not in explicit:
                    continue
                self._newer.pop(cls, None)
                self._newer[other.cls] = cls
            self._entries[name] = entry
        self._by_class[cls] = entry
        entry.shapes = self._shapes_so_far(cls)

    def _shapes_so_far(self, cls: type) -> dict[str, Shape] | None:
        """Find out what *cls* stores; None if planning is to try again."""
        try:
            return self._find_out(cls, resolve(cls, self._named_so_far))
        except ModelError as err:
            if class_options(cls).declared and not isinstance(err, UnresolvedError):
                raise
            return None  # a class still to be defined

    def _find_out(self, cls: type, hints: dict[str, Any]) -> dict[str, Shape]:
        """Find the classes that the annotations of *cls* name."""
        options = class_options(cls)
        if not options.declared:
            return _shapes_in(hints, cls, self._finder)
        shapes: dict[str, Shape] = {}
        for attribute in options.attributes:
            hint = hints.get(attribute.name, attribute.type)
            # attrs keeps strings; hypothesis and cattrs ask it for the types
            object.__setattr__(attribute, "type", hint)
            if not options_of(attribute).stored:
                continue
            try:
                shapes[attribute.name] = self._finder.parse(hint, cls)
            except Unsupported as err:
                msg = (
                    f"{cls.__qualname__}.{attribute.name}: the annotation "
                    f"{text_of(hint)} cannot be stored: {err}; use another type, or "
                    "field(stored=False, default=...)"
                )
                raise ModelError(msg) from err
        cast("Any", cls).__attrs_types_resolved__ = cls
        return shapes

    def _hints(self, cls: type, args: tuple[Any, ...] = ()) -> dict[str, Any]:
        """Resolve the annotations of *cls*; those of a hand-written one are only hints."""
        try:
            return resolve(cls, self._named, args)
        except ModelError:
            if class_options(cls).declared:
                raise
            return {}

    def _named(self, owner: type, name: str) -> type | None:
        """Find the Model class that a name means which its module does not define.

        One that stands beside *owner* (as in a function), or one of this
        registry, or else the only one of that name: imports for type checkers
        alone need it.
        """
        classes = [cls for cls in subclasses(Model) if cls.__name__ == name]
        beside = f"{owner.__qualname__.rpartition('.')[0]}.{name}".lstrip(".")
        for found in (
            [c for c in classes if _name(c) == f"{owner.__module__}.{beside}"],
            [c for c in classes if c in self._by_class],
            classes,
        ):
            if found and len({_name(cls) for cls in found}) == 1:
                return found[-1]  # the newest, if it was defined again
        return None

    def _named_so_far(self, owner: type, name: str) -> type | None:
        """Find it when *owner* is registered: one in its function may come later."""
        found = self._named(owner, name)
        if found is None or found in self._by_class or "<locals>" not in _name(owner):
            return found
        here, there = (_name(cls).rpartition(".")[0] for cls in (owner, found))
        return found if here == there else None

    # Planning

    def _plan(self, entry: Entry) -> Hooks:
        with self._lock:
            if entry.hooks is not None:
                return entry.hooks  # another thread was quicker
            if entry.shapes is None:
                entry.shapes = self._find_out(entry.cls, self._hints(entry.cls))
                found = [cls for cls in self._found if cls not in self._by_class]
                self.register(*cast("list[type[Model]]", found))
            elif self._unfinished:
                self.register()
            hooks = self._make_hooks(entry, entry.shapes)
            if self._made_converter is not None:
                pair = hooks.structure, hooks.unstructure
                self._made_converter.register_model(entry.cls, *pair)
            return hooks

    def _parse(self, hint: Any, owner: type | None = None) -> Shape:
        with self._lock:  # the parser remembers what is half parsed
            return self._parser.parse(hint, owner)

    def _make_hooks(self, entry: Entry, shapes: dict[str, Shape]) -> Hooks:
        surroundings = Surroundings(
            self._conversions,
            self._warn_once,
            self._note_misfit,
            self.count_odd,
            self._refuse,
            self._supply,
            self._fitting,
        )
        return make_hooks(entry.cls, entry.keyname, Model, shapes, surroundings)

    def _hook(self, hint: Any) -> Hook:
        """Plan the structure hook of a model class or of a parametrised one."""
        origin = get_origin(hint)
        if origin is None:
            return self._entry_of(hint).planned().structure
        entry = self._entry_of(origin)
        return self._make_hooks(
            entry, self.shapes_of_model(origin, get_args(hint))
        ).structure

    def _entry_of(self, cls: type) -> Entry:
        entry = self._by_class.get(cls)
        if entry is None:
            self.register(cast("type[Model]", cls))
            entry = self._by_class[cls]
        return entry

    # Objects to trees

    def unstructure(self, obj: object) -> dict[str, Any] | None:
        """Return a model object as ``{keyname: fields}``, its values live.

        A class that is not registered is registered now, with a warning; or it is
        refused, within `refusing`.

        Returns:
            The wrapper, also of an `Unloaded` record; None if *obj* is no model.

        Raises:
            ModelError: Its class cannot be a model, or claims a taken keyname.
            UnstorableError: The object lacks a field, or has a forbidden one; or its
                class is not known and that is refused.
        """
        wrapper = self._wrap(obj)
        cls = class_of(obj)
        if cls in self._by_use and self.refusing.depth:
            msg = (
                f"{_name(cls)} is not registered, so its objects would come back as "
                "dicts; pass it in Storify(models=[...]), or name it in an annotation "
                "of what is registered"
            )
            raise UnstorableError(msg)
        return wrapper

    def _wrap(self, obj: object) -> dict[str, Any] | None:
        cls = cast("type[Model]", obj.__class__)
        entry = self._by_class.get(cls)
        if entry is None:
            if isinstance(obj, Unloaded):
                return _wrapper(obj)
            if not is_model(obj):
                return None
            cls = cast("type[Model]", type(obj))
            self._register_by_use(cls)
            entry = self._by_class[cls]
        if cls not in self._wraps and cls not in self._by_use:
            self._add_wrap(entry)
        return {entry.keyname: entry.planned().unstructure(obj)}

    def _register_by_use(self, cls: type[Model]) -> None:
        """Register the class of an object that is stored.

        The next process knows it too if it is a new definition of a known one. It
        finds one with a base that is registered, if it is imported.
        """
        with self._lock:
            known, replaced = set(self._by_class), dict(self._newer)
            self.register(cls)
            news = self._newer.items() - replaced.items()
            if cls in _OWN or {old for old, _ in news} - self._by_use:
                return
            if not any(base in known - self._by_use for base in cls.__mro__[1:]):
                self._by_use |= set(self._by_class) - known
                self._forget_wraps()
                if self.refusing.depth:
                    return
        self._warn_once(
            f"{_name(cls)} was not registered; its objects are stored all the "
            "same, but pass it in models=[...] so that they load as objects"
        )

    def _add_wrap(self, entry: Entry) -> None:
        with self._lock:
            wrap = entry.planned().wrap
            if self._by_class.get(entry.cls) is entry:  # it was not taken back
                self._wraps[entry.cls] = wrap
                self._find_lower(entry.cls)

    def _find_lower(self, cls: type, above: tuple[type, ...] = ()) -> "Found":
        """Return what lowers objects of *cls*, or None, as for a class within itself.

        How deep its trees may be is bounded, because nobody checks their depth again.
        """
        entry = self._by_class.get(cls)
        if entry is None or cls in above or len(above) > _LOWERED_LEVELS:
            return None
        if cls in self._by_use:
            return None  # each object of it is looked at
        if cls in self._found_lowers:
            return self._found_lowers[cls][0]
        try:
            hooks = entry.planned()
        except StorifyError:
            return None  # a nested class, and perhaps no object of it is ever stored
        levels = [0]

        def find(nested: type) -> "Found":
            found = self._find_lower(nested, (*above, cls))
            if found is not None:
                levels.append(self._found_lowers[nested][1])
            return found

        found = hooks.lower(find)
        if found is None or max(levels) >= _LOWERED_LEVELS:
            return None
        self._lowers[cls] = found[0]
        self._found_lowers[cls] = found, max(levels) + 1
        return found

    def _forget_wraps(self) -> None:
        self._wraps.clear()
        self._lowers.clear()
        self._found_lowers.clear()

    # Trees to objects

    def structure(self, tree: dict[Any, Any]) -> object:
        """Return the object that a decoded dict stands for, or the dict itself.

        It is called inner-first: nested records are objects already. It never
        raises for a bad record: that one comes back as `Unloaded`.
        """
        if len(tree) != 1:
            return tree
        ((keyname, fields),) = tree.items()
        entry = self._entries.get(keyname)
        if entry is None or fields.__class__ is not dict:
            return self._structure_other(tree, keyname, fields)
        try:
            return entry.structure(fields, None)
        except Exception as err:  # noqa: BLE001 -- the class's own code ran
            return self._unloaded(tree, entry, err)

    def _structure_other(
        self, tree: dict[Any, Any], keyname: object, fields: Any
    ) -> object:
        if not isinstance(keyname, str):
            return tree
        if fields.__class__ is not dict:
            fields = self._fields_taken_for_record(fields)
            if fields is None:
                return tree
            tree = {keyname: fields}
        entry = self._entries.get(keyname) or self._discover(keyname)
        if entry is not None:
            try:
                return entry.structure(fields, None)
            except Exception as err:  # noqa: BLE001 -- the class's own code ran
                return self._unloaded(tree, entry, err)
        if keyname.startswith("__") or keyname in self._entries:
            self.count_odd()
            return Unloaded(tree)
        return tree

    def _fields_taken_for_record(self, value: object) -> dict[str, Any] | None:
        """Undo what inner-first decoding did to fields that look like a record.

        A record whose only field is named like a keyname of another class, as
        ``{"__Post__": {"tags": {...}}}`` where ``tags`` is a keyname too. No field
        starts with ``__``, so ordinary keynames cannot be meant.
        """
        if not isinstance(value, Unloaded) and not is_model(value):
            return None
        record = self._wrap(value)
        if record is None or next(iter(record)).startswith("__"):
            return None
        return record

    def _unloaded(self, tree: dict[Any, Any], entry: Entry, err: Exception) -> Unloaded:
        self.count_odd()
        if isinstance(err, ModelLoadError):
            error = err
        else:
            error = ModelLoadError(
                f"{entry.cls.__qualname__}: {type(err).__name__} while loading"
                f"{_hint_of_arguments(err)}"
            )
            error.__cause__ = err
        self._warn_once(f"{_name(entry.cls)}: {error}; the record is kept as it is")
        # frames would keep the data of each failed record alive
        for each in (error, error.__cause__, err):
            if each is not None:
                each.__traceback__ = None
        return Unloaded(tree, error)

    def _discover(self, keyname: str) -> Entry | None:
        """Look for a subclass of a registered model, or our own, with *keyname*."""
        with self._lock:
            if self._misses_at != definitions.count or len(self._misses) > _MISSES_KEPT:
                self._misses.clear()
                self._misses_at = definitions.count
            if keyname in self._misses or keyname in self._entries:
                return self._entries.get(keyname)
            below = (sub for cls in list(self._by_class) for sub in subclasses(cls))
            found = [
                cls
                for cls in dict.fromkeys((*_OWN, *below))
                if cls not in self._by_class and keyname in _tags(cls)
            ]
            try:
                if len({(c.__module__, c.__qualname__) for c in found}) > 1:
                    raise _duplicate(keyname, found[0], found[-1])
                if found:
                    self.register(cast("type[Model]", found[-1]))
                    return self._entries.get(keyname)
            except ModelError as err:
                self._warn_once(f"records {keyname!r} are kept as they are: {err}")
            self._misses.add(keyname)
            return None

    # Checking

    def misfits(
        self,
        value: object,
        hint: object,
        *,
        kept: Kept = _know_none,
        leads: Leads = _trust,
    ) -> Iterator[Misfit]:
        """List what inside *value* does not conform to *hint* or its own class.

        Objects of models, and of other classes that are stored field by field, are
        looked into wherever they stand. Nothing is changed.

        Args:
            value: What to check.
            hint: The annotation.
            kept: Knows what the codec could not read.
            leads: Knows where references lead.

        Raises:
            ModelError: No value of *hint* can be stored.
        """
        shapes_of = self.shapes_of_model, self._plain.shapes_of
        inspect = Inspection(self._entries, *shapes_of, kept, leads, self._shape_behind)
        return misfits(value, self.shape_of(hint), inspect)

    def outer_classes(self, hint: object) -> tuple[type, ...] | None:
        """Return the classes whose objects may be of *hint*, seen from outside.

        Returns:
            The classes; None if it is not told by them.

        Raises:
            ModelError: No value of *hint* can be stored.
        """
        return outer_classes(self.shape_of(hint))

    def judge_plain(self, obj: object) -> None:
        """Count a misfit if the fields of an object that was loaded do not fit.

        It is for objects of plain classes; of others it knows nothing.
        """
        if not self._fitting.plain(obj):
            self._note_misfit()

    def forget_checks(self) -> None:
        """Make the checks of plain classes anew, as when hooks were registered."""
        self._fitting.forget()

    def fit_check(self, hint: object) -> Check | None:
        """Return a check of loaded values of *hint*; None if their class tells all.

        It may be false although nothing is wrong, and then `misfits` tells.

        Raises:
            ModelError: No value of *hint* can be stored.
        """
        return self._fitting.of(self.shape_of(hint))

    def quick_check(self, hint: object) -> Check | None:
        """Return a check of values that were structured without any oddity.

        If `count_odd` counted none while a value was structured, and this check is
        true for it, `misfits` would find nothing but references that lead nowhere or
        to a record that `check_behind_refs` is false for, and what is wrong in objects
        that `plain_check` is false for.

        Returns:
            The check; None if there is none that short.

        Raises:
            ModelError: No value of *hint* can be stored.
        """
        shape = self.shape_of(hint)
        return checker(shape) if is_told_by_class(shape) else None

    def plain_check(self) -> Check:
        """Return a check of the objects that are no models, each by its own fields.

        True for objects of classes that are not stored field by field. It is made
        anew for each use, because annotations may name what is defined later.
        """
        return self._plain.check()

    def check_behind_refs(self) -> Check:
        """Return a check of the records that any references lead to.

        True for what may stand behind a reference of each annotation that is known:
        it may be false of a record although no reference to it is wrong.
        """
        with self._lock:
            found = [
                hint
                for parser in (self._finder, self._parser)
                for hints in parser.arguments.get(Ref, ())
                for hint in hints
            ]
        shapes = [self._shape_behind(hint) for hint in found]
        return lambda record: all(conforms(record, shape) for shape in shapes)

    def _shape_behind(self, hint: object) -> Shape:
        try:
            return self._parse(hint)
        except Unsupported:  # a base whose subclasses are stored, or one of no model
            return Instance(hint) if isinstance(hint, type) else ANYTHING

    def shapes_of_plain(self, cls: type) -> Mapping[str, Shape]:
        """Return what the fields of a dataclass, attrs class or named tuple admit."""
        return self._plain.shapes_of(cls)

    def keyname_of(self, cls: type) -> str:
        """Return the name that a registered class is stored under."""
        return self._by_class[cls].keyname

    def class_named(self, keyname: str) -> type | None:
        """Return the registered class that is stored under a name; None if none is."""
        entry = self._entries.get(keyname)
        return None if entry is None else entry.cls

    def shape_of(self, hint: object) -> Shape:
        """Return what an annotation admits.

        Raises:
            ModelError: No value of it can be stored.
        """
        try:
            return self._parse(hint)
        except Unsupported as err:
            raise _not_stored(hint, err) from err

    def shapes_of_model(self, cls: type, args: tuple[Any, ...]) -> dict[str, Shape]:
        """Return what the fields of a model admit, in their order, registered or not."""
        with self._lock:
            entry = self._by_class.get(cls)
            if not args and entry is not None and entry.shapes is not None:
                return entry.shapes
            if (cls, args) not in self._shapes:
                hints = self._hints(cls, args)
                self._shapes[cls, args] = _shapes_in(hints, cls, self._parser)
            return self._shapes[cls, args]

    @contextmanager
    def quietly(self) -> Generator[None]:
        """Warn of nothing that this thread meets in the block."""
        outer = getattr(self._quiet, "on", False)
        self._quiet.on = True
        try:
            yield
        finally:
            self._quiet.on = outer

    def _warn_once(self, message: str) -> None:
        if getattr(self._quiet, "on", False):
            return
        with self._lock:
            if message in self._warned:
                return
            self._warned.add(message)
        self._warn(message)


def _not_stored(hint: object, cause: Unsupported) -> ModelError:
    return ModelError(f"the annotation {text_of(hint)} cannot be stored: {cause}")


def _ignore(_: object) -> None:
    """Take a class that a parser met, and do nothing."""


def _shapes_in(hints: dict[str, Any], cls: type, parser: Parser) -> dict[str, Shape]:
    """Parse the annotations of what *cls* stores, as far as they can be stored."""
    not_stored = unstored(cls)
    shapes: dict[str, Shape] = {}
    for name in (each for each in hints if each not in not_stored):
        with suppress(Unsupported):  # a hand-written class: they are only hints
            shapes[name] = parser.parse(hints[name], cls)
    return shapes


def _wrapper(record: Unloaded) -> dict[str, Any]:
    if len(record) == 1:
        ((keyname, fields),) = record.items()
        if type(keyname) is str and type(fields) is dict:
            return {keyname: fields}
    msg = "an unloaded record was changed and is no {keyname: fields} any more"
    raise UnstorableError(msg)


def _keyname(cls: type) -> str:
    keyname: Any = cast("Any", cls)._keyname()
    if not isinstance(keyname, str) or not keyname:
        msg = f"{_name(cls)}._keyname() must give a str that is not empty"
        raise ModelError(msg)
    return keyname


def _tags(cls: type) -> set[str]:
    try:
        return {_keyname(cls), *class_options(cls).was}
    except Exception:  # noqa: BLE001 -- an override of the user's; never at load
        return set()


def _hint_of_arguments(err: Exception) -> str:
    """Tell which arguments an ``__init__`` lacked, as Python says it.

    No other text of the user's errors is told: it may hold stored values.
    """
    if not isinstance(err, TypeError) or "__init__() missing" not in str(err):
        return ""
    return f": {err}; give these parameters a default"


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _duplicate(keyname: str, one: type, other: type) -> DuplicateKeynameError:
    msg = (
        f"the keyname {keyname!r} is claimed by both {_name(one)} and {_name(other)}; "
        "give one of them keyname= in its class line, or override _keyname() there"
    )
    return DuplicateKeynameError(msg)


def own_hooks(cls: type[Model]) -> Hooks:
    """Return hooks of *cls* outside any database: what its own methods use."""
    found: Hooks | None = vars(cls).get("__storify_hooks__")
    if found is None:
        registry = Registry([cls], register_type=_ignore)
        found = registry._by_class[cls].planned()  # noqa: SLF001 -- same module
        cast("Any", cls).__storify_hooks__ = found
    return found
