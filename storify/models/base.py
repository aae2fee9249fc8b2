"""`Model`: the base of all classes whose objects can be stored; `Ref`, which leads to one.

Two kinds, told apart when the class is made:

* **declared**: annotated fields; ``attrs`` is applied to the class in place.
* **dynamic**: hand-written (its own ``__init__``, or no annotated fields). attrs
  never touches it: ``==`` and ``hash`` stay those of the class, and its public
  attributes are what is stored.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Never,
    NoReturn,
    Protocol,
    Self,
    TypeVar,
    cast,
    dataclass_transform,
    overload,
)

import attrs

from storify.exceptions import DanglingRefError, ModelError, ModelLoadError

from .fields import convert, field, prepare
from .hints import key_step
from .options import (
    ClassOptions,
    check_body,
    check_names,
    class_options,
    definitions,
    read_options,
    refuse_decorator,
    settle_annotations,
)
from .state import (
    assign,
    bare,
    computed_names,
    public,
    state_of,
    undeclared,
)

if TYPE_CHECKING:
    from .plan import Hooks


#: Those that `Model` has attrs at work on.
_being_made: Final[set[type]] = set()


@dataclass_transform(field_specifiers=(field, attrs.field))
class Model:
    """Base of all storable classes.

    Declare fields with annotations, or write ``__init__`` by hand; both kinds
    are stored as ``{keyname: {field: value}}``::

        class User(Model):
            name: str
            age: int = 0
            tags: list[str] = []  # copied per object
            _session: str = ""  # not stored, not compared, not shown

    Options of the class line: ``frozen kw_only eq order repr init`` as in attrs;
    ``keyname=`` the tag in the file (default ``__ClassName__``), ``was=`` earlier
    tags, ``version=`` the schema version with `migration` steps, ``extra=`` what
    to do with unknown names ("keep" or "forbid"), ``dropped=`` retired names.
    A subclass inherits ``version``, ``extra`` and ``dropped``, not the others.
    """

    __storify__: ClassVar[ClassOptions]

    def __init_subclass__(
        cls,
        *,
        frozen: bool = False,
        kw_only: bool = False,
        eq: bool | None = None,
        order: bool = False,
        repr: bool | None = None,  # noqa: A002 -- attrs' own name for it
        init: bool | None = None,
        keyname: str | None = None,
        was: str | Sequence[str] = (),
        version: int | None = None,
        extra: Literal["keep", "forbid"] | None = None,
        dropped: str | Iterable[str] = (),
        **kwargs: Never,  # so that type checkers refuse a typo
    ) -> None:
        try:
            super().__init_subclass__(**kwargs)
        except TypeError as err:
            if not kwargs:
                raise
            msg = f"class {cls.__qualname__}: unknown option {', '.join(kwargs)}"
            raise ModelError(msg) from err
        kw_only_names = settle_annotations(cls)
        cls.__storify__ = read_options(
            cls, keyname=keyname, was=was, version=version, extra=extra, dropped=dropped
        )
        definitions.count += 1
        if sys.modules.get("hypothesis") is not None:
            # a module of its own: Hypothesis loads it too, and without storify
            from _storify_hypothesis import register  # noqa: PLC0415 -- tests only

            register(cls)
        if not cls.__storify__.declared:
            return
        check_body(cls)
        own = {name: vars(cls).get(name) for name in ("__replace__", "__eq__")}
        _being_made.add(cls)
        try:
            attrs.define(
                cls,
                # slots make a new class: its registration and super() would break
                slots=False,
                # without it one field() makes attrs overlook the plain annotations
                auto_attribs=True,
                frozen=frozen,
                kw_only=kw_only,
                # None leaves a user's own __eq__, __repr__ and __init__ alone
                eq=eq,
                order=order,
                repr=cast(
                    "bool", repr
                ),  # attrs takes None too, its stubs do not say so
                init=cast("bool", init),
                field_transformer=partial(prepare, kw_only=kw_only_names),
            )
        finally:
            _being_made.discard(cls)
        if "__replace__" in vars(cls) and own["__replace__"] is None:
            del cls.__replace__  # attrs' own forgets what is kept beside the fields
        made = cls.__storify__._replace(attributes=vars(cls)["__attrs_attrs__"])
        cls.__storify__ = made
        if not made.attributes and own["__eq__"] is None and "__eq__" in vars(cls):
            # attrs' own would find any two objects equal
            cast("Any", cls).__eq__ = _have_same_state
            cast("Any", cls).__hash__ = _hash_of_class
        check_names(cls, made)

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        """Refuse a class that attrs is at work on once more.

        Raises:
            ModelError: It is decorated.
        """
        if cls not in _being_made and class_options(cls).declared:
            refuse_decorator(cls)

    @classmethod
    def _keyname(cls) -> str:
        """Return the tag of this class in files; override it to choose another."""
        return class_options(cls).keyname

    def _to_dict(self) -> dict[str, Any]:
        """Return the stored fields as ``{name on disk: live value}``.

        Of a declared class this is its cattrs hook. An override decides what is
        stored.
        """
        if class_options(type(self)).declared:
            return _own_hooks(type(self)).to_dict(self)
        return public(self)

    def _from_dict(self, data: dict[str, Any]) -> Self:
        """Fill this object from the fields that `_to_dict` gave.

        An override may be an instance method or a classmethod, and may return
        the object or (an instance method) None.

        Raises:
            ModelLoadError: A required field of a declared model is missing.
        """
        if class_options(type(self)).declared:
            made = _own_hooks(type(self)).from_dict(data)
            vars(self).clear()
            vars(self).update(state_of(made))
        else:
            assign(self, data)
        return self

    @classmethod
    def _deserialize(cls, data: dict[str, Any]) -> Self:
        """Make an object from stored fields; a load calls it if it is overridden."""
        return cast("Self", _own_hooks(cls).revive(data))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Tell pydantic, and FastAPI by it, how a model is read and written."""
        from .json_schema import core_schema_of  # noqa: PLC0415 -- pydantic asks

        return core_schema_of(cls, source)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
        """Tell pydantic the JSON Schema, for the documentation of an interface."""
        from .json_schema import inlined  # noqa: PLC0415 -- pydantic asks

        return inlined(cls)

    def evolve(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; what is not named stays as it is.

        The copy is shallow. Converters run for the changed fields, validators for
        all; then ``__attrs_post_init__``. Unknown stored names come along.

        Type checkers know the result, not the changes. From Python 3.13 on they know
        those of ``user.__replace__(age=3)``, and mypy those of
        ``copy.replace(user, age=3)``; both do the same as this.

        Raises:
            TypeError: A name that is no parameter of ``__init__``.
        """
        cls = type(self)
        copy, state = bare(cls)
        computed = computed_names(cls)
        state.update({k: v for k, v in state_of(self).items() if k not in computed})
        options = class_options(cls)
        if not options.declared:
            state.update(changes)
            return cast("Self", copy)
        fields = {a.alias: a for a in options.attributes if a.init}
        for name, value in changes.items():
            attribute = fields.get(name)
            if attribute is None:
                msg = f"{cls.__qualname__}.evolve() got an unknown field {name!r}"
                raise TypeError(msg)
            state[attribute.name] = convert(attribute, copy, value)
        attrs.validate(copy)
        post_init: Callable[[], object] | None
        post_init = getattr(copy, "__attrs_post_init__", None)
        if post_init is not None:
            post_init()
        return cast("Self", copy)

    __replace__ = evolve


class _NoPostInit:
    """Stands as ``__post_init__`` in `Model`, which has none.

    ``@dataclasses.dataclass`` asks for it while it makes a class. On a model it would
    replace what `Model` made, the ``__init__`` first of all: so it is noticed here.
    """

    def __get__(self, instance: object, owner: type) -> NoReturn:
        """Return nothing.

        Raises:
            AttributeError: As of any class without one.
            ModelError: A declared model is made a dataclass.
        """
        asking = sys._getframe(1).f_globals.get("__name__")  # noqa: SLF001 -- there is no other way to know
        if asking == "dataclasses" and class_options(owner).declared:
            refuse_decorator(owner)
        name = "__post_init__"
        raise AttributeError(name)


Model.__storify__ = ClassOptions(keyname="__Model__")
# not in its body: type checkers would take it for a method of each model
type.__setattr__(Model, "__post_init__", _NoPostInit())


def _have_same_state(self: Model, other: Model) -> Any:
    """Compare objects of a class without fields by what was set on them.

    Those of a hand-written class that is derived from it are told by identity.
    """
    if type(self) is not type(other) or not class_options(type(self)).declared:
        return NotImplemented
    return undeclared(self) == undeclared(other)


def _hash_of_class(self: Model) -> int:
    """Return one hash to all objects of a class without fields: they may change."""
    is_declared = class_options(type(self)).declared
    return hash(type(self)) if is_declared else object.__hash__(self)


def _own_hooks(cls: type[Model]) -> "Hooks":
    """Return the hooks of *cls* from a registry of its own, made at the first use."""
    # cattrs is imported only when a first model is planned
    from .registry import own_hooks  # noqa: PLC0415 -- as said above

    return own_hooks(cls)


# --- `Ref`: a typed reference to a record of the same or another database -------------

T_co = TypeVar("T_co", covariant=True)
D = TypeVar("D")


class Records(Protocol):
    """The records of one database, to look at: nobody gets them."""

    def __contains__(self, key: object, /) -> bool:
        """Tell whether there is a record of that key."""
        ...

    def peek(self, key: Any) -> Any:
        """Return a record that is there, decoded once more if it is not in memory.

        Raises:
            LookupError: There is none any more, or it cannot be decoded.
        """
        ...


class Resolver(Protocol):
    """The place where references are looked up: the databases of one `Storify`."""

    def look_up(self, db: str, key: Any) -> Any:
        """Return the live record; opens its database if need be, never makes one.

        Raises:
            DanglingRefError: The databases are gone themselves.
            LookupError: There is no such database or key.
            ModelLoadError: The record does not fit its class.
        """
        ...

    def place(self) -> tuple[str, int] | None:
        """Tell where the databases are, to compare; None if they are gone."""
        ...

    def records(self, db: str) -> Records | None:
        """Return the records of a database to look at, None if it cannot be opened.

        Raises:
            DanglingRefError: The databases are gone themselves.
        """
        ...


class Expected:
    """The record that the annotation of a loaded reference promises.

    Args:
        place: Where the annotation stands.
        judge: Says what a record should be, and what it is; None if it is that.
    """

    __slots__ = ("_judge", "_place")

    def __init__(
        self, place: str, judge: Callable[[Any], tuple[str, str] | None]
    ) -> None:
        self._place = place
        self._judge = judge

    def demand(self, db: str, key: Any, record: Any) -> None:
        """Raise unless the record is what it should be.

        Raises:
            ModelLoadError: It is not.
        """
        found = self._judge(record)
        if found is None:
            return
        path = f"${key_step(key)}"
        msg = (
            f"cannot follow the reference in {self._place} to {path} of database "
            f"{db!r}: expected {found[0]}, found {found[1]}"
        )
        raise ModelLoadError(msg, path)


class Ref(Model, Generic[T_co], frozen=True, keyname="__storify_ref__"):
    """A reference to a record, stored as the name of its database and its key.

    ::

        class Order(Model):
            customer: Ref[User]

        orders["o1"] = Order(users.ref("u1"))
        orders["o1"].customer().name

    A record that is put into another one by value is a part of it: two records that
    share one object come back with a copy each. Where both are to see one record,
    and its changes, they hold a reference to it.

    Get one by ``db.ref(key)``, or from a record that was loaded: these know the
    `Storify` that they are looked up in, and do not keep it alive. One that was made
    by hand, as ``Ref("users", "u1")``, or unpickled, can be stored but not followed;
    it can be once its record was loaded by a `Storify`. A database that was opened
    by its path alone has no others to look in.

    What ``T`` says of the record is checked when a reference is followed that was
    loaded where an annotation says it, as of a field; `db.check` tells where it is not
    so. One that was made just now does not know it, and gives what is there, if that is
    of the type of its own database.

    Two references to one record are equal, and have one hash. A record that is
    deleted, or a database that is renamed, leaves its references dangling.

    Attributes:
        db: The name of the database.
        key: The key of the record, of any hashable storable type; an index of a list
            database.
    """

    db: str
    key: Any
    _resolver: Resolver | None = field(default=None, init=False)
    _expected: Expected | None = field(default=None, init=False)

    @classmethod
    def _to(cls, db: str, key: Any, resolver: Resolver | None) -> Self:
        """Make a reference that is looked up in *home*."""
        made = cls(db, key)
        state_of(made)["_resolver"] = resolver
        return made

    def __call__(self) -> T_co:
        """Return the live record.

        Raises:
            DanglingRefError: There is none, or nobody knows where to look.
            ModelLoadError: The record does not fit its class, or is not what the
                annotation says that the reference was loaded at.
        """
        try:
            return self._look_up()
        except DanglingRefError:
            raise
        except LookupError as err:
            msg = (
                f"cannot follow the reference to key {self.key!r} of database "
                f"{self.db!r}: there is no such record; use get() where it may be gone"
            )
            raise DanglingRefError(msg) from err

    @overload
    def get(self) -> T_co | None: ...
    @overload
    def get(self, default: D) -> T_co | D: ...
    def get(self, default: Any = None) -> Any:
        """Return the live record, *default* if there is none.

        Raises:
            DanglingRefError: Nobody knows where to look.
            ModelLoadError: The record does not fit its class, or is not what the
                annotation says that the reference was loaded at.
        """
        try:
            return self._look_up()
        except DanglingRefError:
            raise
        except LookupError:
            return default

    def _look_up(self) -> T_co:
        if self._resolver is None:
            msg = (
                f"cannot follow the reference to key {self.key!r} of database "
                f"{self.db!r}: it was made by hand, or loaded without a Storify; get "
                f"it from db.ref(key)"
            )
            raise DanglingRefError(msg)
        record = self._resolver.look_up(self.db, self.key)
        if self._expected is not None:
            self._expected.demand(self.db, self.key, record)
        return cast("T_co", record)

    def __copy__(self) -> Self:
        """Return the reference itself: it never changes."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the reference itself: it never changes."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled; where to look is known in this process alone."""
        return {**state_of(self), "_resolver": None, "_expected": None}
