"""``serve`` and ``explore``: data in a browser, and in the terminal."""

import socket
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any

import typer

from storify.cli._place import Where, looking
from storify.cli._shared import Failure, Models

__all__ = ["explore", "serve"]

_LOCAL = {"127.0.0.1", "localhost", "::1"}


def _face(module: str, extra: str) -> Any:
    """Import a face, which may not be installed.

    Raises:
        Failure: Its libraries are missing.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "storify":
            raise
        msg = f"{missing} is missing; install 'storify[{extra}]'"
        raise Failure(msg) from error


def serve(
    where: Where,
    *,
    models: Models = None,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="The address; another than this machine's needs --token."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")
    ] = 8180,
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="STORIFY_TOKEN", help="A token that lasts."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Let drafts be saved and states restored.")
    ] = False,
) -> None:
    """Show the databases in a browser; it prints the address to open.

    Only this machine is served and only who has the token. Nothing is changed without
    --write.

    Example: storify serve data --models shop.models
    """
    with looking(where, models, write=write) as session:
        if host not in _LOCAL and (token is None or len(token) < 16):  # noqa: PLR2004 - guessed otherwise
            msg = f"cannot serve {host}: give --token, 16 characters or more, for others to know"
            raise Failure(msg)
        web = _face("storify.web", "serve")
        uvicorn = _face("uvicorn", "serve")
        keys = _face("storify.web.safety", "serve").Keys(token)
        app = web.application(session, keys, (host,))
        config = uvicorn.Config(app, log_level="warning", server_header=False)
        # Ctrl-C is how it is ended.
        with _listening(host, port) as listening, suppress(KeyboardInterrupt):
            shown = f"[{host}]" if ":" in host else host
            port = listening.getsockname()[1]
            typer.echo(f"http://{shown}:{port}/?token={keys.token}")
            uvicorn.Server(config).run([listening])


def _listening(host: str, port: int) -> socket.socket:
    """Listen at an address, so that who reads it can ask at once.

    Raises:
        Failure: It is taken, or is none of this machine.
    """
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        msg = f"cannot serve {host} at port {port}: {error.strerror}; give another --port, or 0"
        raise Failure(msg) from error


def explore(
    where: Where,
    *,
    models: Models = None,
    write: Annotated[
        bool, typer.Option("--write", help="Let drafts be saved and states restored.")
    ] = False,
) -> None:
    """Show the databases in the terminal, by keyboard.

    Example: storify explore data --models shop.models
    """
    with looking(where, models, write=write) as session:
        terminal = _face("storify.terminal", "explore")
        terminal.Explorer(session).run()
