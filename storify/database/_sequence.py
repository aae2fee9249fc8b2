"""What a `Database` is as a list, when its root is one.

What is checked or computed is so before the list is touched, and then it is changed by
one call of C: a flush of another thread, or a handler of a signal, sees it before or
after. (``list.sort`` empties the list while it calls the key function.)
"""

from collections.abc import Callable, Iterable
from typing import Any, Generic, Self

from storify._typing import TypeVar
from storify.database._root import Root

__all__ = ["RootSequence"]

V = TypeVar("V", default=Any)
K = TypeVar("K", default=str)


class RootSequence(Root[V, K], Generic[V, K]):
    """The methods of a list over a live root; `TypeError` if that is a dict."""

    def append(self, value: V) -> None:
        """Append *value* to a list root."""
        root = self._list("append to")
        self._admit_item(len(root), value)
        root.append(value)

    def extend(self, values: Iterable[V]) -> None:
        """Append *values* to a list root, all or none."""
        root = self._list("extend")
        items = list(values)
        for at, value in enumerate(items, len(root)):
            self._admit_item(at, value)
        root.extend(items)

    def insert(self, index: int, value: V) -> None:
        """Put *value* before the item at *index* of a list root."""
        root = self._list("insert an item into")
        self._admit_item(index, value)
        root.insert(index, value)

    def remove(self, value: V) -> None:
        """Remove the first item equal to *value* from a list root.

        Raises:
            ValueError: There is no such item.
        """
        self._list("remove an item from").remove(value)

    def sort(
        self, *, key: Callable[[V], Any] | None = None, reverse: bool = False
    ) -> None:
        """Sort a list root, as ``list.sort`` does."""
        root = self._list("sort")
        root[:] = sorted(root, key=key, reverse=reverse)

    def reverse(self) -> None:
        """Reverse the order of a list root."""
        self._list("reverse").reverse()

    def count(self, value: object) -> int:
        """Count the items of a list root that equal *value*."""
        return self._list_to_read("count items of").count(value)

    def __add__(self, other: list[V]) -> list[V]:
        """Return a plain list of the items and those of *other*."""
        return self._list_to_read("add to") + other

    def __radd__(self, other: list[V]) -> list[V]:
        """Return a plain list of the items of *other* and these."""
        return other + self._list_to_read("add")

    def __iadd__(self, values: Iterable[V]) -> Self:
        """Append *values*, as `extend` does."""
        self.extend(values)
        return self

    def __mul__(self, count: int) -> list[V]:
        """Return a plain list of the items, *count* times."""
        return self._list_to_read("repeat") * count

    __rmul__ = __mul__

    def __imul__(self, count: int) -> Self:
        """Repeat the items *count* times."""
        root = self._list("repeat")
        root *= count
        return self

    def _list(self, what: str) -> list[Any]:
        return self._as_list(self._writable(), what)

    def _list_to_read(self, what: str) -> list[Any]:
        return self._as_list(self._root(), what)

    def _as_list(self, root: dict[Any, Any] | list[Any], what: str) -> list[Any]:
        if isinstance(root, list):
            return root
        msg = (
            f"cannot {what} database {self.name!r}: its root is a dict; "
            f"a list root is made by get_db(name, root=[])"
        )
        raise TypeError(msg)
