"""A `Database` with any root, as a list, and as a dict, of live objects.

What it knows of its records beyond a dict or list are modules of their own, loaded when
they are used: a lazy pipeline over the records (`query`), the comparison of what is
stored with the types (`check`), and its rewriting in the present form (`migrate`). The
look-up by a computed value (`index`) is a dict's alone.

Of a list, what is checked or computed is so before it is touched, and then it is
changed by one call of C: a flush of another thread, or a handler of a signal, sees it
before or after. (``list.sort`` empties the list while it calls the key function.)
"""

from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, cast, get_origin, overload

from storify._python import Defaults, TypeVar
from storify.database._schema import is_several
from storify.database._source import Scan, Source, path_of
from storify.database.live.data import Stored
from storify.database.live.slots import MISSING
from storify.models import Misfit, Ref
from storify.threads import without_collector

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem
    from typing_extensions import TypeIs

    from storify.database.maintenance.check import Progress
    from storify.database.query.query import Query


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
        resolver = self._source.schema.resolver
        return Ref[Any]._to(self.name, key, resolver)  # noqa: SLF001 - one stack

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


class RootSequence(Root[V, K], Generic[V, K]):
    """The methods of a list over a live root; `TypeError` if that is a dict."""

    def append(self, value: V) -> None:
        """Append *value* to a list root."""
        root = self._source.sequence("append to", writable=True)
        self._source.admit_item(len(root), value)
        root.append(value)

    def extend(self, values: Iterable[V]) -> None:
        """Append *values* to a list root, all or none."""
        root = self._source.sequence("extend", writable=True)
        items = list(values)
        for at, value in enumerate(items, len(root)):
            self._source.admit_item(at, value)
        root.extend(items)

    def insert(self, index: int, value: V) -> None:
        """Put *value* before the item at *index* of a list root."""
        root = self._source.sequence("insert an item into", writable=True)
        self._source.admit_item(index, value)
        root.insert(index, value)

    def remove(self, value: V) -> None:
        """Remove the first item equal to *value* from a list root.

        Raises:
            ValueError: There is no such item.
        """
        self._source.sequence("remove an item from", writable=True).remove(value)

    def sort(
        self, *, key: Callable[[V], Any] | None = None, reverse: bool = False
    ) -> None:
        """Sort a list root, as ``list.sort`` does."""
        root = self._source.sequence("sort", writable=True)
        root[:] = sorted(root, key=key, reverse=reverse)

    def reverse(self) -> None:
        """Reverse the order of a list root."""
        self._source.sequence("reverse", writable=True).reverse()

    def count(self, value: object) -> int:
        """Count the items of a list root that equal *value*."""
        return self._source.sequence("count items of").count(value)

    def __add__(self, other: list[V]) -> list[V]:
        """Return a plain list of the items and those of *other*."""
        return self._source.sequence("add to") + other

    def __radd__(self, other: list[V]) -> list[V]:
        """Return a plain list of the items of *other* and these."""
        return other + self._source.sequence("add")

    def __iadd__(self, values: Iterable[V]) -> Self:
        """Append *values*, as `extend` does."""
        self.extend(values)
        return self

    def __mul__(self, count: int) -> list[V]:
        """Return a plain list of the items, *count* times."""
        return self._source.sequence("repeat") * count

    __rmul__ = __mul__

    def __imul__(self, count: int) -> Self:
        """Repeat the items *count* times."""
        root = self._source.sequence("repeat", writable=True)
        root *= count
        return self


#: Reads what lies in a dict, decoded or not.
_read: Callable[[Any, Any], Any] = dict[Any, Any].__getitem__


class _Items(ItemsView[K, V]):
    """The items of a database, without a look-up for each."""

    def __init__(self, mapping: "RootMapping[V, K]", source: Source) -> None:
        super().__init__(mapping)
        self._source = source

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._source.pairs()

    def __reversed__(self) -> Iterator[tuple[K, V]]:
        return self._source.pairs(backwards=True)


class _Values(ValuesView[V]):
    """The values of a database, without a look-up for each."""

    def __init__(self, mapping: "RootMapping[V, Any]", source: Source) -> None:
        super().__init__(mapping)
        self._source = source

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._source.pairs())

    def __reversed__(self) -> Iterator[V]:
        return (value for _, value in self._source.pairs(backwards=True))


class RootMapping(RootSequence[V, K], MutableMapping[K, V], Generic[V, K]):
    """A mapping over a live root."""

    def __getitem__(self, key: K) -> V:
        """Return the live value under *key* (for a list root, at an index).

        Raises:
            KeyError: There is no such key.
            ModelLoadError: In a typed database, what lies there is not of the type;
                `raw` gives it all the same.
        """
        # One call for a live value: this is the way of every read.
        source = self._source
        session = source.session
        root: Any = source.root() if session.blocks or source.defunct else session.data
        try:
            value = _read(root, key)
            if type(value) is Stored:
                value = root[key]
            doubtful: Any = root.doubtful
        except TypeError:  # a list, or a key that cannot be hashed
            value = root[key]
            doubtful = True
        judge = source.judge
        if judge is not None and (value.__class__ is not judge.cls or doubtful):
            source.check_type(key, value, root)
        return value  # type: ignore[no-any-return] # what was stored as V

    def keys(self) -> KeysView[K]:
        """Return a view of the keys, as a dict does."""
        self._source.mapping("keys")
        return super().keys()

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: V) -> V: ...
    @overload
    def get(self, key: K, default: T) -> V | T: ...
    def get(self, key: Any, default: Any = None) -> Any:
        """Return the live value under *key*, or *default* if there is none.

        Raises:
            ModelLoadError: As reading it does.
        """
        self._source.mapping("get")
        try:
            return self[key]
        except KeyError:
            return default

    def values(self) -> ValuesView[V]:
        """Return a view of the live values, as a dict does.

        Iterating over it raises `ModelLoadError` at a record that does not fit
        its class, in a typed database.
        """
        self._source.mapping("values")
        return _Values(self, self._source)

    def items(self) -> ItemsView[K, V]:
        """Return a view of the keys and live values, as a dict does.

        Iterating over it raises as iterating over `values` does.
        """
        self._source.mapping("items")
        return _Items(self, self._source)

    def __setitem__(self, key: K, value: V) -> None:
        """Put the live *value* under *key*; it is saved by the next flush.

        Raises:
            CheckError: The database is strict and the value misfits its type.
            DuplicateKeyError: Another record has its value in a unique index.
            DatabaseReadOnlyError: The database was opened read-only.
        """
        root: Any = self._source.writable()
        if type(root) is list and isinstance(key, slice):
            items: list[Any] = list(cast("Iterable[Any]", value))
            for at, item in enumerate(items, key.indices(len(self))[0]):
                self._source.admit_item(at, item)
            root[key] = items
            return
        self._source.admit(key, value)
        cast("Any", root)[key] = value

    def __delitem__(self, key: K) -> None:
        """Remove *key* and its value; KeyError if there is none."""
        del cast("Any", self._source.writable())[key]

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys in order; for a list root over its items.

        Raises:
            ModelLoadError: In a typed database, an item is not of the type.
        """
        root: Any = self._source.root()
        if self._source.judge is not None and isinstance(root, list):
            return self._source.checked_items(root)
        return iter(cast("dict[K, V]", root))

    def __reversed__(self) -> Iterator[K]:
        """Iterate over the keys, or the items of a list root, from the last on."""
        return reversed(cast("dict[K, V]", self._source.root()))

    @overload
    def pop(self, key: K = ..., /) -> V: ...
    @overload
    def pop(self, key: K, /, default: V) -> V: ...
    @overload
    def pop(self, key: K, /, default: T) -> V | T: ...
    def pop(self, key: Any = MISSING, /, default: Any = MISSING) -> Any:
        """Remove *key* and give its value, or *default* if there is none.

        For a list root *key* is an index, the last one if left out.

        Raises:
            KeyError, IndexError: There is no such item and no default.
            TypeError: The root is a dict and no key was given.
        """
        root = self._source.writable()
        if isinstance(root, list):
            if default is not MISSING:
                msg = (
                    f"pop from database {self.name!r} takes no default: its root is a "
                    f"list"
                )
                raise TypeError(msg)
            at: Any = -1 if key is MISSING else key
            if self._source.judge is not None and root:
                self[at]  # raises for what is not of the type, which stays
            return root.pop(at)
        if key is MISSING:
            msg = f"pop from database {self.name!r} needs a key: its root is a dict"
            raise TypeError(msg)
        if self._source.judge is not None and key in root:
            self[key]  # raises for what is not of the type, which stays
        return root.pop(key) if default is MISSING else root.pop(key, default)

    def popitem(self) -> tuple[K, V]:
        """Remove the last key; give it and its live value.

        Raises:
            KeyError: There is none.
            ModelLoadError: As reading it does.
        """
        root = self._source.mapping("popitem", writable=True)
        if self._source.judge is not None and root:
            self[next(reversed(root))]  # as in pop
        return root.popitem()

    @overload
    def setdefault(
        self: "RootMapping[T | None, K]", key: K, default: None = None, /
    ) -> T | None: ...
    @overload
    def setdefault(self, key: K, default: V, /) -> V: ...
    def setdefault(self, key: Any, default: Any = None, /) -> Any:
        """Return the live value under *key*; if there is none, put *default* there.

        Raises:
            As setting it does.
            ModelLoadError: As reading it does.
        """
        root = self._source.mapping("setdefault", writable=True)
        if key not in root:
            self._source.admit(key, default)
        value = root.setdefault(key, default)
        if self._source.judge is not None:
            self._source.check_type(key, value, root)
        return value

    @overload
    def update(self, other: "SupportsKeysAndGetItem[K, V]", /, **named: V) -> None: ...
    @overload
    def update(self, other: Iterable[tuple[K, V]], /, **named: V) -> None: ...
    @overload
    def update(self, /, **named: V) -> None: ...
    def update(self, /, *other: Any, **named: Any) -> None:
        """Set many keys at once, from what ``dict.update`` takes; all or none.

        Raises:
            As setting one of them does: none was set.
        """
        root = self._source.mapping("update", writable=True)
        entries = dict[Any, Any](*other, **named)
        if self._source.is_guarded():
            for key, value in entries.items():
                self._source.admit(key, value)
        # Something is made for each, which lives as long as the entry.
        without_collector(partial(root.update, entries))

    def copy(self) -> dict[K, V]:
        """Return a plain dict, or list, of the live values: a shallow copy.

        Raises:
            ModelLoadError: As reading one of them does.
        """
        root: Any = self._source.root()
        if self._source.judge is not None and isinstance(root, dict):
            return dict(self._source.pairs())
        return root.copy()  # type: ignore[no-any-return] # a list is no dict

    def __or__(self, other: "Mapping[K, V]") -> dict[K, V]:
        """Return a plain dict of the live values and those of *other*."""
        joined: dict[K, V] = _joined(self, other)
        return joined

    def __ror__(self, other: "Mapping[K, V]") -> dict[K, V]:
        """Return a plain dict of the values of *other* and the live ones."""
        joined: dict[K, V] = _joined(other, self)
        return joined

    def __ior__(
        self, other: "SupportsKeysAndGetItem[K, V] | Iterable[tuple[K, V]]"
    ) -> Self:
        """Set many keys, as `update` does."""
        self.update(other)
        return self


def _joined(left: Any, right: Any) -> Any:
    plain: list[Any] = []
    for each in (left, right):
        if isinstance(each, RootMapping):
            plain.append(each.copy())
        elif isinstance(each, dict):
            plain.append(each)
        else:
            return NotImplemented
    return {**plain[0], **plain[1]}
