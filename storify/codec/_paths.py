"""Paths of values inside a root, as error messages show them: ``$['a'][0].age``."""

from typing import Final

__all__ = ["Path", "key_step", "render", "short"]

Path = tuple["Path | str", str]
"""A parent (or the path of the whole value) and the step from there."""

_KEY_CHARS: Final = 60
_SHOWN_CHARS: Final = 200


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


def short(path: str) -> str:
    """Cut the middle out of a path that nobody would read to its end."""
    if len(path) <= _SHOWN_CHARS:
        return path
    return f"{path[: _SHOWN_CHARS // 2]} ... {path[-_SHOWN_CHARS // 2 :]}"
