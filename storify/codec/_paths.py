"""Paths of values inside a root, as error messages show them: ``$['a'][0].age``."""

from typing import Final

__all__ = ["Path", "key_step", "render"]

Path = tuple["Path | str", str]
"""A parent (or the path of the whole value) and the step from there."""

_KEY_CHARS: Final = 60


def key_step(key: object) -> str:
    """Show a dict key; a key tells where a value is, so it is not kept secret."""
    try:
        text = repr(key)
    except Exception:  # noqa: BLE001 - a repr may fail, as that of a huge int does
        text = f"<{type(key).__qualname__}>"
    if len(text) > _KEY_CHARS:
        text = text[: _KEY_CHARS - 3] + "..."
    return f"[{text}]"


def render(path: Path | str) -> str:
    """Write a path out, root first."""
    steps: list[str] = []
    while not isinstance(path, str):
        path, step = path
        steps.append(step)
    steps.append(path)
    return "".join(reversed(steps))
