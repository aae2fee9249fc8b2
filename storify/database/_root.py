"""What a `Database` is whatever its root is, a dict or a list; and what it knows of it.

What it knows of its records beyond a dict or list are modules of their own, loaded when
they are used: a lazy pipeline over the records (`query`), the comparison of what is
stored with the types (`check`), and its rewriting in the present form (`migrate`). The
look-up by a computed value (`index`) is a dict's alone.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, cast, get_origin, overload

from storify._typing import Defaults, TypeVar
from storify.database._schema import is_several
from storify.database._source import Source
from storify.database.query.scan import Scan, path_of
from storify.models import Misfit, Ref

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
    _source: Source

    def __len__(self) -> int:
        """Count the keys; for a list root its items."""
        return len(self._source.root())

    def __contains__(self, key: object) -> bool:
        """Whether *key* is there; for a list root, whether the item is."""
        return key in self._source.root()

    def clear(self) -> None:
        """Remove all keys, or all items of a list root."""
        self._source.writable().clear()

    def raw(self, key: K) -> Any:
        """Return what lies under *key*, of whatever type it is.

        A record that could not be loaded is the `Unloaded` dict that it was read as.
        What is repaired in place, or set, is read by ``db[key]`` again.

        Raises:
            KeyError: There is no such key.
        """
        return cast("Any", self._source.root())[key]

    # -- searching -------------------------------------------------------------

    def where(self, /, *tests: Callable[[V], object]) -> "Query[V, K]":
        """Return the records that pass all *tests*, as a lazy `Query`.

        Nothing runs before the query is iterated over or asked; each time it runs
        anew over the records of then. Without tests it gives all records.

        A test sees records that nobody else has: it must not keep or change them.
        What the query gives are the live records.
        """
        from storify.database.query.query import Query  # noqa: PLC0415 -- few programs need it

        return Query[V, K](self._source).where(*tests)

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

        query: Query[Any, K] = Query[V, K](self._source).of(model)
        for each in model if is_several(model) else (model,):
            if isinstance(get_origin(each) or each, type):
                self._source.schema.register_hint(each)
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
            scan = Scan(self._source, self._source.root())
            for _, _, record in scan.see([key], strict=False):
                if not isinstance(record, model):
                    msg = (
                        f"cannot make a Ref[{model.__qualname__}] to {path_of(key)} of "
                        f"database {self.name!r}: there is a "
                        f"{type(record).__qualname__}"
                    )
                    raise TypeError(msg)
        home = self._source.schema.home
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

        self._source.root()
        return check(self._source, progress)

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
            self._source.root()
        else:
            self._source.writable()
        return migrate(self._source, progress, dry_run=dry_run)
