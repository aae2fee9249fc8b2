"""Folders that somebody made to break whoever looks at them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from storify import Storify

MEGABYTE = 1_000_000

#: What is a command to a browser, a terminal, a reader, or a template.
TEXTS = {
    "html": "<script>alert(1)</script>",
    "attribute": '"><img src=x onerror=alert(1)>',
    "bidi": "\u202eevil\u2066",
    "control": "\x00\x1b[31m\x1b]0;title\x07\x9b2J",
    "surrogate": "\ud800",
    "template": "{{ 7 * 7 }}{% raw %}",
    "markup": "[red]red[/red][@click=app.quit]x[/]",
    "formula": "=HYPERLINK(1)",
}


def fill(folder: Path) -> list[str]:
    """Make one database of each kind; give their names."""
    deep: object = "bottom"
    for _ in range(498):
        deep = [deep]
    broad: object = "leaf " * 100
    for _ in range(3):
        broad = [broad] * 40
    with Storify(folder, save_interval=None) as sf:
        for name, text in TEXTS.items():
            sf[name][text] = {text: text, "list": [text], "n": 1}
            sf[name]["other"] = text
        sf["deep"]["a"] = {"x": deep}  # with the database 500 levels, the most it takes
        sf["deep"]["b"] = deep
        long = "x" * MEGABYTE
        sf["long"][long] = {long: long}
        sf["long"].update({f"k{n}": {"text": long} for n in range(30)})
        sf["wide"]["a"] = {f"f{n}": n for n in range(100_000)}
        sf["broad"]["a"] = broad
        sf["classes"].update({f"k{n}": {f"__C{n}__": {"a": 1}} for n in range(3000)})
        return list(sf)


def many(folder: Path, count: int) -> None:
    """Make so many databases: links to a few files, as more are refused."""
    with Storify(folder, save_interval=None) as sf:
        sf["d0"]["a"] = 1
    source = folder / "d0.mpack"
    for number in range(1, count):
        if number % 50_000 == 0:
            source = Path(shutil.copy(source, folder / f"d{number}.mpack"))
        else:
            os.link(source, folder / f"d{number}.mpack")


def is_tame(text: str, allowed: Callable[[str], bool] = "\n".__eq__) -> bool:
    """Tell whether a text is all visible characters."""
    return all(each.isprintable() or allowed(each) for each in text)
