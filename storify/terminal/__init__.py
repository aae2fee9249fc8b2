"""``storify explore``: data in the terminal, by keyboard, with Textual.

It needs textual, which comes with ``storify[explore]``.
"""

from storify.terminal.app import Explorer

__all__ = ["Explorer"]
