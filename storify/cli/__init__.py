"""The command ``storify``: check, schema, migrate, import.

It needs typer, which is not installed with storify unless ``storify[cli]`` is.

- ``_app``: the command line; what looks after databases, or shows them elsewhere
- ``_look``, ``_time``: what is there, and what was
- ``_exchange``, ``_schema``: ``export`` and ``import``; the classes as data
- ``_shared``: what is told, how a command ends, the classes and databases it names
"""

import sys

__all__ = ["main"]

_OPTIONAL = {"typer", "click", "rich"}


def main() -> None:
    """Run the command line of this process.

    Raises:
        SystemExit: Always: 0, 1 if something was found, 2 if it could not be done.
    """
    try:
        from storify.cli._app import app  # noqa: PLC0415 - it may not be installed
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _OPTIONAL:
            raise
        sys.stderr.write(f"storify: {missing} is missing; install 'storify[cli]'\n")
        raise SystemExit(2) from None
    app(prog_name="storify")
