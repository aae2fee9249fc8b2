"""The command line, and its commands that look after databases or show them elsewhere.

``check`` and ``migrate`` compare and rewrite records, ``verify``, ``salvage`` and
``compact`` look after files, ``copy`` and ``postgres`` after places; ``serve`` and
``explore`` show data in a browser and in the terminal.
"""

import json
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

import typer

from storify import Misfit, __version__
from storify.cli._exchange import FORMATS, export, import_format, importing
from storify.cli._look import find, get, ls, show, stats
from storify.cli._schema import schema
from storify.cli._shared import (
    FAILED,
    FOUND,
    AsJson,
    DryRun,
    Failure,
    Models,
    Named,
    Paths,
    Rest,
    Schema,
    Where,
    all_named,
    complain,
    counted,
    failures,
    find_databases,
    load_classes,
    looking,
    named,
    open_place,
    parse_values,
    print_json,
    progress,
)
from storify.cli._time import diff, history, log, remove_keys, restore, write_key
from storify.exceptions import StorifyError
from storify.explorer import literal, salvage_text, size_text


class _Found(NamedTuple):
    """The findings: how many records were looked at, the misfits, and failures."""

    records: int
    misfits: list[tuple[str, Misfit]]
    failed: int


def check(
    paths: Paths,
    *,
    models: Models = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--values",
            metavar="NAME=TYPE",
            help="The type of the values of a database, as users=User.",
        ),
    ] = None,
    schema: Schema = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but what fails.")
    ] = False,
) -> None:
    """Compare what is stored with the types. Nothing is changed.

    Each record is judged by the class of its keyname, with --values also by what its
    database is to hold. A misfit is told by its place and its type; no value is shown.

    Exit codes: 0 all fits, 1 something does not, 2 it could not be checked.

    Example: storify check data --models shop.models --values users=User
    """
    with failures():
        classes = load_classes(models or ())
        hints = parse_values(values or (), classes.names)
        named = find_databases(
            paths, classes, values=hints, schema=schema, readonly=True
        )
        found = _check_all(named)
    if as_json:
        typer.echo(json.dumps(_document(found), indent=2, ensure_ascii=False))
    elif not quiet:
        _tell(found, len(named))
    if found.failed:
        raise typer.Exit(FAILED)
    if found.misfits:
        raise typer.Exit(FOUND)


def _check_all(named: Iterable[Named]) -> _Found:
    records = failed = 0
    misfits: list[tuple[str, Misfit]] = []
    for each in named:
        try:
            with closing(each.open()) as db, progress(each.label) as tell:
                misfits += [(each.label, misfit) for misfit in db.check(tell)]
                records += len(db)
        except (StorifyError, OSError) as error:
            # The others are checked all the same.
            complain(error)
            failed += 1
    return _Found(records, misfits, failed)


def _document(found: _Found) -> Mapping[str, Any]:
    return {
        "checked": found.records,
        "misfits": [
            {
                "database": label,
                "path": misfit.path,
                "kind": misfit.kind,
                "expected": misfit.expected,
                "found": misfit.found,
            }
            for label, misfit in found.misfits
        ],
    }


#: So many misfits that are alike are listed; all are in the document of ``--json``.
_LISTED: Final = 5
_STEP: Final = re.compile(r"\[[^\[\]]*\]")


def _like(label: str, misfit: Misfit) -> tuple[str, ...]:
    """Return what misfits have in common that differ by their records alone."""
    place = _STEP.sub("[]", misfit.path)
    return label, place, misfit.kind, misfit.expected, misfit.found


def _tell(found: _Found, databases: int) -> None:
    alike: dict[tuple[str, ...], list[Misfit]] = {}
    for label, misfit in found.misfits:
        alike.setdefault(_like(label, misfit), []).append(
            misfit._replace(database=label)
        )
    for misfits in alike.values():
        for misfit in misfits[:_LISTED]:
            typer.echo(misfit)
        if len(misfits) > _LISTED:
            first = misfits[0]
            typer.echo(
                f"{first.database}: {len(misfits) - _LISTED:,} more as the last one: "
                f"{first.kind}: expected {first.expected}, found {first.found}"
            )
    typer.echo(
        f"{counted(found.records, 'record')} in "
        f"{counted(databases - found.failed, 'database')} checked, "
        f"{counted(len(found.misfits), 'misfit')}"
    )


# --- ``storify migrate``: what is stored, rewritten in the present form ---------------


def migrate(
    paths: Paths,
    *,
    models: Models = None,
    schema: Schema = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count; write nothing.")
    ] = False,
) -> None:
    """Rewrite records of older versions in the form of the present classes.

    One database after the other is rewritten, each as a whole or not at all, so what
    was interrupted is finished by running it again. The state before stays in the
    backups. Records that do not fit their classes stay as they are, and are counted.

    Exit codes: 0 done, 2 a database could not be rewritten.

    Example: storify migrate data --models shop.models --dry-run
    """
    with failures():
        classes = load_classes(models or ())
        if not classes.models:
            msg = "no model classes: give --models, the module that defines them"
            raise Failure(msg)
        named = find_databases(paths, classes, schema=schema, readonly=dry_run)
        done = [_migrate(each, dry_run=dry_run) for each in named]
    if not all(done):
        raise typer.Exit(FAILED)


def _migrate(named: Named, *, dry_run: bool) -> bool:
    """Rewrite one database, tell how many records, and give whether it could be."""
    try:
        with closing(named.open()) as db, progress(named.label) as tell:
            count = db.migrate(tell, dry_run=dry_run)
            before = db.backups.latest
    except (StorifyError, OSError) as error:
        # The others are rewritten all the same.
        complain(error)
        return False
    if dry_run:
        typer.echo(f"{named.label}: {counted(count, 'record')} would be rewritten")
    elif count:
        typer.echo(
            f"{named.label}: {counted(count, 'record')} rewritten; "
            f"the state before is backup {before}"
        )
    else:
        typer.echo(f"{named.label}: nothing to rewrite")
    return True


# --- ``verify``, ``salvage``, ``compact``: the files themselves -----------------------


def verify(where: Where, rest: Rest = None, *, as_json: AsJson = False) -> None:
    """Compare all that is kept with its checksums: WHERE [DB …]. Nothing is changed.

    Exit codes: 0 all is whole, 1 something is not, 2 it could not be read.

    Example: storify verify data
    """
    document: list[dict[str, Any]] = []
    failed = False
    with looking(where) as session:
        for name in all_named(session, rest):
            try:
                problems = session.verify(name)
            except (StorifyError, OSError) as error:
                complain(error)
                failed = True
                continue
            document += [{"database": name, **each._asdict()} for each in problems]
            if not as_json:
                for each in problems:
                    typer.echo(f"{name}: {each.place}: {each.what}")
                typer.echo(f"{name}: {counted(len(problems), 'problem')}")
    if as_json:
        print_json(document)
    if failed:
        raise typer.Exit(FAILED)
    if document:
        raise typer.Exit(FOUND)


def salvage(
    where: Where, rest: Rest = None, *, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Save what is intact of a damaged database: WHERE [DB].

    For one that cannot be opened. The damaged file stays beside the backups.

    Exit codes: 0 nothing is lost, 1 records are, 2 it could not be done.

    Example: storify salvage data users
    """
    with looking(where, write=not dry_run) as session:
        (name,) = named(session, rest)
        if dry_run:
            typer.echo(f"{name}: {session.about(name).health}")
            return
        found = session.salvage(name)
        if as_json:
            print_json(
                {
                    "recovered": found.recovered,
                    "lost": [literal(key) for key in found.lost],
                    "unnamed": found.unnamed,
                    "older": [literal(key) for key in found.older],
                    "notes": list(found.notes),
                }
            )
        else:
            for key in found.lost:
                typer.echo(f"lost: {literal(key)}")
            typer.echo(f"{name}: {salvage_text(found)}")
    if found.lost_count:
        raise typer.Exit(FOUND)


def compact(where: Where, rest: Rest = None, *, as_json: AsJson = False) -> None:
    """Leave one whole file, without a journal: WHERE [DB …].

    Example: storify compact data users
    """
    document: list[dict[str, Any]] = []
    with looking(where, write=True) as session:
        for name in all_named(session, rest):
            before, after = session.compact(name)
            document.append({"database": name, "before": before, "after": after})
            if not as_json:
                typer.echo(f"{name}: {size_text(before)} → {size_text(after)}")
    if as_json:
        print_json(document)


# --- ``storify copy``: between folders and servers, and the tables on a server --------

Place: TypeAlias = Annotated[
    str, typer.Argument(metavar="PLACE", help="A folder, or the URL of a server.")
]


def copy(source: Place, target: Place, *, schema: Schema = None) -> None:
    """Copy all databases with their order and backups, and compare them at the end.

    The source is not changed. What was interrupted is finished by running it again.

    Exit codes: 0 all is copied, 2 it is not.

    Example: storify copy data postgresql://user@host/db
    """
    with failures():
        if "://" not in source and not Path(source).is_dir():
            msg = f"there is no folder {source!r}"
            raise Failure(msg)
        one, other = (open_place(each, schema) for each in (source, target))
        with one, other, progress("copying") as tell:
            counts = one.copy_to(other, tell)
    for name, count in counts.items():
        typer.echo(f"{name}: {counted(count, 'record')}")
    typer.echo(f"{counted(len(counts), 'database')} copied and compared")


postgres: typer.Typer = typer.Typer(
    no_args_is_help=True, help="The tables on a PostgreSQL server."
)


@postgres.callback()
def _postgres() -> None:
    """Look after the tables on a PostgreSQL server."""


@postgres.command()
def init(
    url: Annotated[str | None, typer.Argument(metavar="URL")] = None,
    *,
    schema: Schema = None,
    print_sql: Annotated[
        bool, typer.Option("--print-sql", help="Print the statements; run nothing.")
    ] = False,
) -> None:
    """Make the tables, for programs whose role may not: ``create_schema=False``.

    Exit codes: 0 they are there, 2 they could not be made.
    """
    with failures():
        if print_sql:
            from storify.engine.postgres.tables import SCHEMA, Tables  # noqa: PLC0415 - it needs the driver

            typer.echo(Tables(schema or SCHEMA).make)
            return
        if url is None:
            msg = "give the URL of the server, or --print-sql"
            raise Failure(msg)
        open_place(url, schema).close()


# --- ``serve`` and ``explore``: data in a browser, and in the terminal ----------------

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


# --- the command line -----------------------------------------------------------------

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,  # what stands in brackets in a help text is no markup
    pretty_exceptions_enable=False,  # which show the values of variables
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"storify {__version__}")
        raise typer.Exit


@app.callback()
def _storify(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Look into the data of storify, find and compare them, move and look after them."""


for _look in (ls, show, get, find, log, diff, history, stats):
    app.command()(_look)
app.command("set")(write_key)
app.command("rm")(remove_keys)
for _care in (serve, explore, restore, export, verify, salvage, compact):
    app.command()(_care)
app.command()(check)
app.command()(migrate)
app.command()(copy)
app.add_typer(postgres, name="postgres")
app.add_typer(schema, name="schema")
for _format in (*FORMATS, "sqlite"):
    importing.command(_format)(import_format(_format))
app.add_typer(importing, name="import")
