"""What a `Database` is whatever its root is, a dict or a list; and what it knows of it.

Only a typed database looks at what it gives: a record that does not fit its class is an
error when it is read, never silently a dict.

What it knows of its records beyond a dict or list are modules of their own, loaded when
they are used: a lazy pipeline over the records (`query`), the comparison of what is
stored with the types (`check`), and its rewriting in the present form (`migrate`). The
look-up by a computed value (`index`) is a dict's alone.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, cast, get_origin, overload

from storify._typing import Defaults, TypeVar
from storify.database._schema import Judge, Schema, Use, is_several
from storify.database.query.scan import Scan, path_of
from storify.database.session.session import Session
from storify.exceptions import ModelLoadError
from storify.models import Misfit, Ref, Unloaded

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from storify.database.maintenance.check import Progress
    from storify.database.query.query import Query

__all__ = ["Root"]


V = TypeVar("V", default=Any)
K = TypeVar("K", default=str)
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


class Root(Defaults, Generic[V, K]):
    """A live root.

    Attributes:
        name: The name of the database, for messages.
    """

    name: str
    defunct: bool
    _session: Session
    _schema: Schema
    _use: Use
    #: Knows the declared type of the values; None if there is none.
    _judge: Judge | None

    @abstractmethod
    def _root(self) -> dict[Any, Any] | list[Any]:
        """Return the live root; raises if the database is closed."""

    @abstractmethod
    def _writable(self) -> dict[Any, Any] | list[Any]:
        """Return the live root; raises if it must not be changed."""

    def __len__(self) -> int:
        """Count the keys; for a list root its items."""
        return len(self._root())

    def __contains__(self, key: object) -> bool:
        """Whether *key* is there; for a list root, whether the item is."""
        return key in self._root()

    def clear(self) -> None:
        """Remove all keys, or all items of a list root."""
        self._writable().clear()

    def raw(self, key: K) -> Any:
        """Return what lies under *key*, of whatever type it is.

        A record that could not be loaded is the `Unloaded` dict that it was read as.
        What is repaired in place, or set, is read by ``db[key]`` again.

        Raises:
            KeyError: There is no such key.
        """
        return cast("Any", self._root())[key]

    # -- searching -------------------------------------------------------------

    def where(self, /, *tests: Callable[[V], object]) -> "Query[V, K]":
        """Return the records that pass all *tests*, as a lazy `Query`.

        Nothing runs before the query is iterated over or asked; each time it runs
        anew over the records of then. Without tests it gives all records.

        A test sees records that nobody else has: it must not keep or change them.
        What the query gives are the live records.
        """
        from storify.database.query.query import Query  # noqa: PLC0415 -- few programs need it

        return Query(self).where(*tests)

    # A `TypeIs` overload of `where` would make mypy hide what is wrong in a lambda.
    @overload
    def of(self, model: type[T], /) -> "Query[T, K]": ...
    @overload
    def of(self, model: "Callable[[V], TypeIs[T]]", /) -> "Query[T, K]": ...
    @overload
    def of(self, model: tuple[type[A], type[B]], /) -> "Query[A | B, K]": ...
    @overload
    def of(
        self, model: tuple[type[A], type[B], type[C]], /
    ) -> "Query[A | B | C, K]": ...
    @overload
    def of(
        self, model: tuple[type[A], type[B], type[C], type[D]], /
    ) -> "Query[A | B | C | D, K]": ...
    def of(self, model: Any, /) -> "Query[Any, K]":
        """Return the records that are objects of *model*, as a lazy `Query`.

        A typed view of a database of several types. *model* is a class, which is
        registered, or a tuple of two to four; or a test as of `where` that tells the type of what passes, by
        ``-> TypeIs[Admin]``.

        Raises:
            ModelError: *model* cannot be stored.
            TypeError: *model* is neither a class, a tuple of them, nor a function.
        """
        from storify.database.query.query import Query  # noqa: PLC0415 -- few programs need it

        query: Query[Any, K] = Query(self).of(model)
        for each in model if is_several(model) else (model,):
            if isinstance(get_origin(each) or each, type):
                self._schema.register_hint(each)
        return query

    @overload
    def ref(self, key: K) -> Ref[V]: ...
    @overload
    def ref(self, key: K, model: type[T]) -> Ref[T]: ...
    def ref(self, key: K, model: type[Any] = object) -> Ref[Any]:
        """Return a reference to the record under *key*, to be stored anywhere.

        It is stored as the name of this database and the key. The record need not
        be there yet.

        Args:
            key: The key.
            model: What the record is, in a database of several types.

        Raises:
            TypeError: There is a record, and it is no *model*.
        """
        if model is not object:
            scan = Scan(self, self._root())
            for _, _, record in scan.see([key], strict=False):
                if not isinstance(record, model):
                    msg = (
                        f"cannot make a Ref[{model.__qualname__}] to {path_of(key)} of "
                        f"database {self.name!r}: there is a "
                        f"{type(record).__qualname__}"
                    )
                    raise TypeError(msg)
        home = self._schema.home
        return Ref[Any]._to(self.name, key, home)  # noqa: SLF001 - one stack

    # -- checking --------------------------------------------------------------

    def check(self, progress: "Progress | None" = None) -> list[Misfit]:
        """List where the records do not fit their types; nothing is changed.

        Records are judged as they would be read after a flush now: by the class of
        their keyname and, in a typed database, by its *model* and *key*. Of what is in
        memory it is also told what a load would alter, as a tuple in a field for a
        list. What is stored and follows its class by `was`, ``upgrade``, a migration or a default is none.
        References are followed within one `Storify`; a database that was opened by
        itself cannot judge them.

        What a flush would refuse is listed, too, as ``"unstorable"``.

        Args:
            progress: Called now and then with the number of records that were
                checked and the number of all.
        """
        from storify.database.maintenance.check import check  # noqa: PLC0415 -- few programs need it

        self._root()
        return check(self, progress)

    def migrate(
        self, progress: "Progress | None" = None, *, dry_run: bool = False
    ) -> int:
        """Rewrite the records that are stored in an older form; give how many.

        Each record is stored as it would be if it were changed now: at the present
        version of its class, with the present names. What does not fit its class
        stays as it is. All is one commit, durable when it returns, and the state
        before it joins the backups. Unsaved changes are flushed first. A list root
        is one record.

        Args:
            progress: As of `check`.
            dry_run: Only count; nothing is flushed or written.

        Raises:
            The errors of `flush`: nothing was rewritten.
        """
        from storify.database.maintenance.migrate import migrate  # noqa: PLC0415 -- few programs need it

        if dry_run:
            self._root()
        else:
            self._writable()
        return migrate(self, progress, dry_run=dry_run)

    # -- what fits --------------------------------------------------------------

    def _check_type(self, key: Any, value: Any, root: Any) -> None:
        """Raise unless *value* is of the declared type.

        Raises:
            ModelLoadError: It is not, with the first place.
        """
        if type(value) is Unloaded:
            raise self._load_error(key, value)
        if self._judge is None:
            return
        if key.__class__ is slice and isinstance(root, list):
            places = range(*key.indices(len(cast("Any", root))))
            for at, item in zip(places, value, strict=True):
                self._check_type(at, item, root)
            return
        keys: Any = getattr(root, "doubtful", ())  # a list has none
        if root.__class__ is list:
            is_doubtful = self._schema.registry.has_met_misfits
            is_doubtful = is_doubtful or not self._judge.fits(value)
        else:
            is_doubtful = bool(keys) and key in keys
        misfit = self._judge.misfit(value, is_doubtful=is_doubtful)
        if misfit is not None:
            path = path_of(key) + misfit.path.removeprefix("$")
            msg = (
                f"cannot load {path} of database {self.name!r}: expected "
                f"{misfit.expected}, found {misfit.found}; it is kept as it is and can "
                f"be read by db.raw({key!r})"
            )
            raise ModelLoadError(msg, path)
        if is_doubtful and keys:
            keys.discard(key)

    def _load_error(self, key: object, value: object) -> ModelLoadError:
        record = cast("Unloaded", value)
        cause = record.error
        path = path_of(key) + (cause.path.removeprefix("$") if cause else "")
        reason = cause or (
            f"the class of {next(iter(record), None)!r} is not registered, "
            f"pass it in models=[...]"
        )
        msg = (
            f"cannot load {path} of database {self.name!r}: {reason}; the record is "
            f"kept as it is and can be read by db.raw({key!r})"
        )
        error = (type(cause) if cause else ModelLoadError)(msg, path)
        error.__cause__ = cause
        return error

    def _checked_items(self, root: Any) -> Iterator[Any]:
        for at, value in enumerate(root):
            self._check_type(at, value, root)
            yield value

    def _is_guarded(self) -> bool:
        """Whether `_admit` may refuse anything."""
        return self._use.strict or bool(self._session.guards.held)

    def _admit(self, key: object, value: object) -> None:
        """Raise if *value* must not be put under *key*."""
        if self._use.strict:
            self._check(key, value)
        if self._session.guards.held:
            self._session.guards.admit(key, value)

    def _check(self, key: object, value: object) -> None:
        path = path_of(key)
        if self._use.key is not None:
            self._schema.check(key, self._use.key, path)
        hint = type(value) if self._use.hint is None else self._use.hint
        self._schema.check(value, hint, path)

    def _admit_item(self, at: int, value: object) -> None:
        """Raise if *value* must not be put at an index."""
        if self._use.strict:
            self._check(at, value)
