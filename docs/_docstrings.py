"""Docstrings as the site shows them: a code block is led by a colon, not by two.

In them ``text::`` and a line ``::`` lead a code block, as readers of the source
know it. Markdown takes the indented block as it is and would show the colons.
"""

import re
from typing import Any

from griffe import Extension, Object

_LEAD = re.compile(r"(?P<text>^|[^\s:])::$", re.MULTILINE)


class Docstrings(Extension):
    """Rewrites each docstring when it is read."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Turn ``text::`` into ``text:`` and drop a ``::`` that stands alone."""
        if obj.docstring is not None:
            obj.docstring.value = _LEAD.sub(_shown, obj.docstring.value)


def _shown(lead: re.Match[str]) -> str:
    text = lead["text"]
    return f"{text}:" if text else ""
