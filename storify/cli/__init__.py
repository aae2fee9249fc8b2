"""The command ``storify``: check, schema, migrate, import.

It needs typer, which is not installed with storify unless ``storify[cli]`` is.

- ``_app``: the command line; ``check``, ``_schema``, ``migrate``, ``_import``: its
  commands
- ``_models``: the classes that ``--models`` names
- ``_databases``: the files and folders that are named
- ``_terminal``: what is told, and how a command ends
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
