"""One value as a tree, bounded in all directions: what pages and notebooks draw."""

from html import escape
from itertools import islice
from typing import Any, Final, NamedTuple

from storify.explorer.values import (
    Part,
    count_parts,
    kind_of,
    one_line,
    parts_of,
    printable,
)
from storify.models import Ref
from storify.models.options import class_of

__all__ = ["Node", "drawn", "node_of"]

#: How many characters a tree has, how many parts of one value, and how deep it is.
_CHARACTERS: Final = 1 << 20
_PARTS: Final = 200
_DEEP: Final = 30
#: So deep it is open when it is shown.
_OPEN: Final = 2


class Node(NamedTuple):
    """A value in a tree.

    Attributes:
        step: How it is reached from the one around it, as in a path.
        kind: The name of its class.
        text: The value in one line.
        parts: How many parts it has; None if it has none.
        inner: Those that are shown.
        left: How many are not.
        deep: How many values are around it.
        ref: The value, if it is a reference.
    """

    step: str
    kind: str
    text: str
    parts: int | None
    inner: "list[Node]"
    left: int
    deep: int
    ref: Ref[Any] | None

    @property
    def is_open(self) -> bool:
        """Whether its parts are seen at once."""
        return self.deep < _OPEN


def node_of(value: Any, step: str = "$") -> Node:
    """Return a value as a tree."""
    return _node(Part(step, value), [_CHARACTERS], 0)


def _node(part: Part, room: list[int], deep: int) -> Node:
    value = part.value
    ref: Ref[Any] | None = value if class_of(value) is Ref else None
    count = None if ref is not None else count_parts(value)
    text = one_line(value, 10_000 if count is None else 200)
    room[0] -= len(text) + 100
    inner: list[Node] = []
    if count and deep < _DEEP:
        for each in islice(parts_of(value), _PARTS):
            if room[0] < 0:
                break
            inner.append(_node(each, room, deep + 1))
    left = (count or 0) - len(inner)
    step = printable(part.step[:200])
    return Node(step, kind_of(value)[:80], text, count, inner, left, deep, ref)


def drawn(node: Node) -> str:
    """Draw a tree in HTML, to be opened and closed without a script."""
    step = f"<code>{escape(node.step)}</code>"
    kind = escape(printable(node.kind))
    if not node.inner:
        return f"{step} {escape(node.text)} <small>{kind}</small>"
    items = [f"<li>{drawn(each)}</li>" for each in node.inner]
    if node.left:
        items.append(f"<li>… and {node.left:,} more</li>")
    return (
        f"<details{' open' if node.is_open else ''}><summary>{step} {kind}, "
        f"{node.parts:,} part{'' if node.parts == 1 else 's'}</summary>"
        f"<ul>{''.join(items)}</ul></details>"
    )
