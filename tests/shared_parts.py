"""Values that hold parts of each other, as nothing forbids in memory."""

from collections import deque
from typing import Any

from hypothesis import strategies as st

from storify import Model

__all__ = ["Bag", "containers", "put", "sharing"]


class Bag(Model):
    """A model that holds anything."""

    held: Any


@st.composite
def sharing(draw):
    """Draw values of the keys a, b and c, which share parts or are one object."""
    parts = [1]
    for _ in range(draw(st.integers(1, 6))):
        held = draw(st.lists(st.sampled_from(parts), max_size=3))
        made = draw(st.sampled_from([list, tuple, deque, dict, Bag]))
        parts.append(made(zip("xyz", held, strict=False) if made is dict else held))
    values = draw(st.lists(st.sampled_from(parts[1:]), min_size=3, max_size=3))
    return dict(zip("abc", values, strict=True))


def containers(content):
    """List what can be changed in values, each object once."""
    found, rest = {}, list(content.values())
    while rest:
        part = rest.pop()
        if isinstance(part, Bag):
            rest.append(part.held)
        elif isinstance(part, dict):
            rest += part.values()
        elif isinstance(part, (list, tuple, deque)):
            rest += part
        if isinstance(part, (list, deque, dict, Bag)):
            found[id(part)] = part
    return list(found.values())


def put(container, part):
    """Let something be the first part of a container."""
    if isinstance(container, Bag):
        container.held = part
    elif isinstance(container, dict):
        container["x"] = part
    elif container:
        container[0] = part
    else:
        container.append(part)
