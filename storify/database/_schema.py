"""The types of a database: declared, known, and judged.

`Use` says how one `Database` object uses its database, of what type its values are
declared to be, for one. `Schema` knows classes: the registry of models beside the
codec. The two never import each other; here they are introduced. The codec asks the
registry for what it cannot encode (`Registry.unstructure`) and hands it every dict it
decodes (`Registry.structure`); the registry tells the codec which enums and named
tuples it found in annotations. One schema serves all databases of a `Storify`, so a
class registered late is known to each of them.

`Judge` sees to it that what a typed database gives is of its type, or it is an error. A
value that was loaded is judged when it is read. The code that builds objects tells when
it left a value as it was because nothing made it fit, and the keys of what was decoded
then are doubtful: what lies there is walked through, until it was put right. So are
those of values that a quick look into them finds odd, where the type says more than a
class does, as ``list[int]``. Of all others a look at the class is enough.

`StorifyResolver` says where references lead. References hold it, and it holds the `Storify`
only weakly: a record that somebody keeps does not keep databases open.
"""

import os
import threading
import weakref
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    NamedTuple,
    Protocol,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

from storify.codec import Codec, CustomType
from storify.exceptions import (
    CheckError,
    DanglingRefError,
    DatabaseLoadError,
    DuplicateKeynameError,
    ModelError,
)
from storify.logger import LoggerLike
from storify.models import (
    Check,
    Leads,
    Misfit,
    Model,
    Ref,
    Registry,
    Resolver,
    Unloaded,
)
from storify.models.hints import key_step

if TYPE_CHECKING:
    from storify.database._source import Source


def is_several(model: object) -> bool:
    """Whether *model* is a tuple of types, which stands for their union."""
    return isinstance(model, tuple)


class Use(NamedTuple):  # made in a tenth of a dataclass's time
    """The use that one Database makes of its file.

    Attributes:
        hint: The declared type of the values, None if untyped.
        key: The declared type of the keys, None if untyped.
        readonly: Never written.
        strict: Values are checked against *hint* when they are set.
    """

    hint: Any = None
    key: Any = None
    readonly: bool = False
    strict: bool = False

    @classmethod
    def of(cls, model: Any, key: Any, *, readonly: bool, strict: bool) -> "Use":
        """Make one from `Storify.get_db`'s arguments; a tuple is a union."""
        hint = cls.hint_of(model)
        return cls(hint=hint, key=key, readonly=readonly, strict=strict)

    @staticmethod
    def hint_of(model: Any) -> Any:
        """Return the type that *model* stands for; a tuple is a union."""
        hint: Any = model
        if hint == ():
            msg = "model=() names no type; leave it out for values of any type"
            raise TypeError(msg)
        if is_several(hint):
            hint = Union[model]  # noqa: UP007 - the members are in a tuple
        return hint


def is_same_type(mine: Any, other: Any) -> bool:
    """Tell whether a declared type is the *other*, or not declared.

    A class that was defined again, as in a notebook, is the same.
    """
    if mine is None or mine == other:
        return True
    origin, inner, others = get_origin(mine), get_args(mine), get_args(other)
    if origin is not None:
        return (
            is_same_type(origin, get_origin(other))
            and len(inner) == len(others)
            and all(map(is_same_type, inner, others))
        )
    is_class = isinstance(mine, type) and isinstance(other, type)
    return is_class and _name(mine) == _name(other)


def _name(cls: Any) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


T = TypeVar("T")
C = TypeVar("C")


_OF_TYPE: Final = frozenset(
    {
        *("missing", "wrong type", "unregistered class", "newer version"),
        *("unreadable", "unloadable"),
    }
)


class Schema:
    """The models and types of a set of databases.

    Attributes:
        models: The model classes that were given, as a list.
        types: What was registered with the codec, as it was given.
        resolver: Looks up what references refer to; None if there is no `Storify`.

    Args:
        models: Model classes to register.
        types: Enums, named tuples, dataclasses and other classes, or
            `CustomType` objects, to register with the codec.
        log: Where unknown or ill-fitting records are reported.

    Raises:
        ModelError: A class is no model, or has a field that cannot be stored.
        DuplicateKeynameError: Two classes claim one name in the file.
        TypeError: Something in *types* is no class.
    """

    def __init__(
        self,
        models: Iterable[type[Any]],
        types: Iterable[type[Any] | CustomType[Any]],
        log: LoggerLike,
    ) -> None:
        self.log = log
        self.resolver: Resolver | None = None
        self.models: list[type[Any]] = _several(models, "models")
        #: Told of each reference that is loaded.
        self._watchers: tuple[Callable[[Ref[Any]], object], ...] = ()
        self._watching = threading.Lock()
        self.registry: Registry = Registry(
            warn=log.warning,
            register_type=self._register,
            supply={Ref: {"_resolver": self._resolver_of}},
            refuse={Ref: self._why_foreign},
            hooked=self._is_hooked,
        )
        self.codec: Codec = Codec(
            unstructure=self.registry.unstructure,
            wraps=self.registry.wraps,
            lowers=self.registry.lowers,
            structure=self.registry.structure,
            keynames=self.registry.keynames,
            learn=self.registry.learn,
            count_misfits=self.registry.count_misfits,
            judge=self.registry.judge_plain,
        )
        self.types: list[type[Any] | CustomType[Any]] = []
        for type_ in _several(types, "types"):
            self._register_given(type_)
        self.registry.register(*self.models)
        for type_ in self.types:  # when all are known that have hooks
            self._follow(type_)

    def _register_given(self, type_: type[Any] | CustomType[Any]) -> None:
        if not isinstance(cast("object", type_), (type, CustomType)):
            msg = (
                f"cannot register {type_!r}: types are classes, or CustomType "
                f"objects that say how to store one"
            )
            raise TypeError(msg)
        self.codec.register(type_, may_replace=True)
        self.registry.forget_checks()
        self.types.append(type_)

    def _follow(self, type_: type[Any] | CustomType[Any]) -> None:
        if not isinstance(type_, type):
            return
        try:
            self.registry.follow(type_)
        except DuplicateKeynameError as error:  # it may be that no value holds one
            self.log.warning(f"not all that {type_.__qualname__} names: {error}")

    def _register(self, type_: type[Any]) -> None:
        self.codec.register(type_, may_replace=True)  # which is made after the registry

    def _is_hooked(self, cls: type) -> bool:
        return self.codec.is_hooked(cls)

    def register_type(
        self,
        type_: type[T],
        encode: Callable[[T], Any] | None,
        decode: Callable[[Any], T] | None,
        key: str | None,
    ) -> None:
        """Register a class with the codec, with hooks of its own or without."""
        if encode is None and decode is None and key is None:
            self._register_given(type_)
            self._follow(type_)
        elif encode is None or decode is None:
            msg = (
                f"cannot register {type_.__qualname__}: encode and decode go "
                f"together; give both, or neither for an enum, a named tuple or "
                f"a dataclass"
            )
            raise TypeError(msg)
        else:
            self._register_given(CustomType(type_, encode, decode, key or ""))

    def register_hint(self, hint: object) -> None:
        """Register every model and type that the value type *hint* names.

        Raises:
            ModelError: A class that it names cannot be stored, or it is no type.
            DuplicateKeynameError: Two classes claim one name in the file.
        """
        try:
            self.registry.register_hint(hint)
        except DuplicateKeynameError:
            raise
        except ModelError as error:
            if not isinstance(hint, type) or issubclass(hint, Model):
                raise
            # A base whose subclasses are stored, or a class that is registered later.
            self.log.debug(f"not registered by itself: {error}")

    # -- references ------------------------------------------------------------

    def _resolver_of(self, ref: Ref[Any]) -> Resolver | None:
        """Tell where a reference that is being loaded is looked up."""
        for note in self._watchers:
            note(ref)
        return self.resolver

    def _why_foreign(self, state: Mapping[str, Any]) -> str:
        """Say why a reference in that state is not stored here; "" if it is.

        Only a name and a key are stored, which mean another record elsewhere.
        """
        resolver, mine = state.get("_resolver"), self.resolver
        if resolver is None or mine is None or resolver is mine:
            return ""
        there, here = resolver.place(), mine.place()
        if there == here or there is None or here is None:
            return ""
        return (
            f"a reference into database {state.get('db')!r} of the Storify in "
            f"{there[0]!r}, stored in that in {here[0]!r}, would lead elsewhere; make "
            f"it by ref() of a database of the latter"
        )

    @contextmanager
    def watch_refs(self, note: Callable[[Ref[Any]], object]) -> Generator[None]:
        """Have *note* called with each reference that any thread loads meanwhile."""
        with self._watching:
            self._watchers = (*self._watchers, note)
        try:
            yield
        finally:
            with self._watching:
                self._watchers = tuple(w for w in self._watchers if w is not note)

    # -- checking --------------------------------------------------------------

    def misfits(
        self,
        value: object,
        hint: object,
        path: str,
        leads: Leads,
    ) -> Iterator[Misfit]:
        """List what is wrong inside a decoded *value* that stands at *path*.

        Args:
            value: The value.
            hint: Its annotation.
            path: Where it stands.
            leads: Knows where references lead.
        """
        kept = self.codec.kept
        for misfit in self.registry.misfits(value, hint, kept=kept, leads=leads):
            yield misfit._replace(path=path + misfit.path.removeprefix("$"))

    def judge(self, value: object, hint: object) -> Misfit | None:
        """Return the first place where a loaded *value* is not of its type.

        What its class does not know, and where references lead, is no matter of its
        type; nor is what stands where anything may.
        """
        for misfit in self.registry.misfits(value, hint, kept=self.codec.kept):
            if misfit.kind in _OF_TYPE and misfit.expected != "Any":
                return misfit
        return None

    def count_odd(self) -> tuple[int, int]:
        """Return two numbers that grow by 1 each if nothing odd was decoded since."""
        return self.registry.count_odd(), self.codec.count_kept()

    def check(self, value: object, hint: object, path: str) -> None:
        """Raise `CheckError` for the first place where *value* misfits *hint*.

        Names that its class does not know are kept, so they are no reason.
        """
        for misfit in self.registry.misfits(value, hint):
            if misfit.kind == "unknown":
                continue
            if self._has_new_classes(value):
                self.check(value, hint, path)
                return
            where = path + misfit.path.removeprefix("$")
            msg = (
                f"cannot store {where}: expected {misfit.expected}, "
                f"found {misfit.found}; the database is strict"
            )
            raise CheckError(msg, where)

    def check_record(self, key: object, value: object, use: Use) -> None:
        """Raise `CheckError` if a key or its value misfits what was declared."""
        path = f"${key_step(key)}"
        if use.key is not None:
            self.check(key, use.key, path)
        self.check(value, type(value) if use.hint is None else use.hint, path)

    def _has_new_classes(self, value: object) -> bool:
        """Register what is in *value*; tell whether a class was defined again."""
        before = self.registry.count_newer()
        with self.registry.quietly(), suppress(Exception):  # a flush says what it is
            self.codec.encode(value)
        return self.registry.count_newer() != before


def _several(classes: Iterable[C], argument: str) -> list[C]:
    """List classes; one class in the place of a list is refused.

    An enum would even be iterable.
    """
    if isinstance(classes, type):
        msg = f"{argument}={classes.__qualname__} is one class: pass a list of classes"
        raise TypeError(msg)
    return list(classes)


class Judge:
    """Judges the values of one database.

    Attributes:
        cls: The class of most of its values; they need no further look unless they
            are doubtful. None if there is no such class.

    Args:
        schema: Knows the classes.
        hint: The type of the values.
    """

    def __init__(self, schema: Schema, hint: Any) -> None:
        self._schema = schema
        self._hint = hint
        self._refresh()

    def _refresh(self) -> None:
        registry = self._schema.registry
        self._newer = registry.count_newer()
        self._is_known = True
        self._fits: Check | None = None
        try:
            self._outer = registry.outer_classes(self._hint)
            self._fits = registry.fit_check(self._hint)
        except ModelError:  # a base whose subclasses are stored, registered or not
            self._outer = (self._hint,) if isinstance(self._hint, type) else None
            self._is_known = False
        self.cls: type | None = self._outer[0] if self._outer else None

    @property
    def quick_look(self) -> Check | None:
        """A test that a loaded value surely fits; None if its class is the test."""
        return None if self._fits is None else self.fits

    def fits(self, value: Any) -> bool:
        """Tell of a loaded value whether it surely is of the type, seen quickly."""
        if self._newer != self._schema.registry.count_newer():
            self._refresh()
        return self._fits is None or self._fits(value)

    def misfit(self, value: Any, *, is_doubtful: bool) -> Misfit | None:
        """Return the first place where *value* is not of the type; None if it is."""
        if self._newer != self._schema.registry.count_newer():
            self._refresh()  # a class was defined again
        is_one = self._outer is None or isinstance(value, self._outer)
        if is_one and not (is_doubtful and self._is_known):
            return None
        found = self._schema.judge(value, self._hint) if self._is_known else None
        if is_one or found:
            return found
        expected = getattr(self._hint, "__qualname__", str(self._hint))
        return Misfit("$", "wrong type", expected, type(value).__name__)


# --- where references lead: from the name of a database and a key to a record ---------

_IN_MEMORY: Final = "memory://"


class Folder(Protocol):
    """The part of a `Storify` that references need."""

    root: str


F = TypeVar("F", bound=Folder)

Find = Callable[[F, str], "Source | None"]
"""Returns a database of a folder, opened if it is not; None if there is none."""

Peek = Callable[[F, str], "AbstractContextManager[Source | None]"]
"""Returns a database of a folder to look at; None if there is none."""


class StorifyResolver:
    """The `Resolver` of the references that the databases of one `Storify` hold.

    Args:
        folder: The `Storify`.
        find: How it finds a database.
        peek: How it looks into one.
    """

    __slots__ = ("_find", "_folder", "_peek")

    def __init__(self, folder: F, find: Find[F], peek: Peek[F]) -> None:
        self._folder: weakref.ref[Any] = weakref.ref(folder)
        self._find: Find[Any] = find
        self._peek: Peek[Any] = peek

    def _here(self, db: str) -> Any:
        folder = self._folder()
        if folder is None:
            msg = (
                f"cannot follow a reference into database {db!r}: its Storify is gone; "
                f"keep the Storify as long as references are followed"
            )
            raise DanglingRefError(msg)
        return folder

    def look_up(self, db: str, key: Any) -> Any:
        """Return the live record; see `Resolver`."""
        source = self._find(self._here(db), db)
        if source is None or not holds(_keys_in(source.root()), key):
            raise LookupError(db)
        value = source.read(key)
        if type(value) is Unloaded:  # of a database that has no type
            raise source.load_error(key, value)
        return value

    def place(self) -> tuple[str, int] | None:
        """Tell where the databases are, to compare; None if the `Storify` is gone.

        The folder, with links followed; and in memory, whose it is.
        """
        folder = self._folder()
        if folder is None:
            return None
        if folder.root.startswith(_IN_MEMORY):  # one without a name is shared by none
            return folder.root, id(folder) if folder.root == _IN_MEMORY else 0
        return os.path.realpath(folder.root), 0

    def records(self, db: str) -> "LookedAt | None":
        """Return the records of a database to look at; see `Resolver`."""
        try:
            with self._peek(self._here(db), db) as source:
                if source is None:
                    return None
                source.session.root.fill()  # it is closed again
                return LookedAt(source.root())
        except DatabaseLoadError:
            return None


class LookedAt:
    """The `Records` of one database.

    They stay when a database that was opened for this is closed again.

    Args:
        root: Its root.
    """

    __slots__ = ("_root",)

    def __init__(self, root: Any) -> None:
        self._root = root

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a record; what cannot be hashed is no key."""
        return holds(_keys_in(self._root), key)

    def peek(self, key: Any) -> Any:
        """Return a record; see `Records`."""
        root = self._root
        is_list = isinstance(root, list)
        return cast("Any", root)[key] if is_list else root.look(key)


def _keys_in(root: Any) -> Container[Any]:
    return range(len(cast("Any", root))) if isinstance(root, list) else root


def holds(keys: Container[Any] | None, key: object) -> bool:
    """Tell whether *key* is among *keys*; what cannot be hashed is not."""
    try:
        return keys is not None and key in keys
    except TypeError:
        return False
