"""Parts that the commands share: their end, the classes, databases and places named.

Results go to the standard output; all else to the standard error, so that a result
can be read by a program.
"""

import dataclasses
import enum
import importlib
import os
import sys
import tempfile
import traceback
import typing
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeRemainingColumn as TimeColumn

from storify import Database, Storify
from storify.exceptions import StorifyError
from storify.explorer import Session
from storify.models import Model
from storify.tables.lines import dumps

#: The exit codes of a command that found something, and of one that failed.
FOUND: Final = 1
FAILED: Final = 2

#: A bar for fewer records would be gone before it is seen.
_LARGE: Final = 20_000


class Failure(Exception):  # noqa: N818 - it ends the command, with its message
    """An error that ends a command; the text says why and what to do."""


def complain(message: object) -> None:
    """Tell what is wrong, on the standard error."""
    typer.echo(f"storify: {message}", err=True)


def counted(count: int, noun: str) -> str:
    """Return ``1 record`` or ``2 records``."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


class Stderr:
    """A logger for `Storify` that tells warnings and errors, and no more."""

    def debug(self, msg: str) -> None:
        """Say nothing."""

    info = debug

    def warning(self, msg: str) -> None:
        """Tell what the owner of the data should know."""
        complain(msg)

    # What is raised is told besides.
    error = traceback = warning


@contextmanager
def failures() -> Generator[None]:
    """End the command with a message instead of a traceback.

    Raises:
        typer.Exit: With the code 2, in the place of what is expected to go wrong.
    """
    try:
        yield
    except (
        Failure,
        StorifyError,
        OSError,
        ValueError,
        ModuleNotFoundError,  # of an extra that is not installed
    ) as error:
        complain(error)
        raise typer.Exit(FAILED) from error


@contextmanager
def progress(what: str) -> Generator[Callable[[int, int], object] | None]:
    """Show a bar on the standard error while records are worked through.

    It gives what is to be told how many are done, and None where nobody looks.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, visible=False)

        def tell(done: int, total: int) -> None:
            visible = total >= _LARGE
            bar.update(task, completed=done, total=total, visible=visible)

        yield tell


# --- the classes that ``--models`` names: of a module, or of a Python file ------------


class Classes(NamedTuple):
    """The classes that the modules define or import.

    Attributes:
        models: Subclasses of `Model`.
        types: Enums, named tuples and dataclasses.
        names: Everything in the modules, by name.
    """

    models: list[type[Model]]
    types: list[type[Any]]
    names: dict[str, Any]


def load_classes(modules: Iterable[str]) -> Classes:
    """Import modules, with the current folder first on the path, as ``python -m``.

    Raises:
        Failure: One of them cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    names: dict[str, Any] = {}
    found: dict[type[Any], None] = {}
    for each in modules:
        space = vars(_import(each))
        names |= space
        found |= {cls: None for cls in space.values() if isinstance(cls, type)}
    return Classes(
        [cls for cls in found if issubclass(cls, Model) and not _is_ours(cls)],
        [cls for cls in found if _is_value_type(cls)],
        names,
    )


def _import(name: str) -> ModuleType:
    try:
        if name.endswith(".py"):
            return _import_file(Path(name).resolve())
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # the module's own code ran
        cause = f"{type(error).__name__}: {error}"
        where = traceback.extract_tb(error.__traceback__)[-1]
        if "importlib" not in where.filename and where.filename != __file__:
            cause += f" ({where.filename}, line {where.lineno})"
        msg = (
            f"cannot import the models {name!r}: {cause}; "
            f"give a module as in an import, or the path of a .py file"
        )
        raise Failure(msg) from error


def _import_file(path: Path) -> ModuleType:
    name = path.stem
    known = sys.modules.get(name)
    if known is not None:
        if getattr(known, "__file__", None) == str(path):
            return known
        name = f"models of {path}"  # another module has the name
    if not path.is_file():
        raise FileNotFoundError(2, os.strerror(2), str(path))
    spec = spec_from_file_location(name, path)
    assert spec is not None  # noqa: S101 - of a .py file there always is
    assert spec.loader is not None  # noqa: S101 - as above
    module = module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # as for a script
    sys.modules[name] = module  # where its classes look up their annotations
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def _is_value_type(cls: type[Any]) -> bool:
    if issubclass(cls, Model) or _is_ours(cls):
        return False
    if issubclass(cls, enum.Enum):
        return bool(cls.__members__)  # not the bases, that everybody imports
    is_named_tuple = tuple in cls.__mro__ and hasattr(cls, "_fields")
    return is_named_tuple or dataclasses.is_dataclass(cls)


def parse_values(values: Iterable[str], names: dict[str, Any]) -> dict[str, Any]:
    """Read ``users=User``: the types of the values, by the names of databases.

    Raises:
        Failure: It is nothing of the kind, or names what no module defines.
    """
    return dict(_parse_value(each, names) for each in values)


def _parse_value(value: str, names: dict[str, Any]) -> tuple[str, Any]:
    name, _, text = value.partition("=")
    if not name or not text:
        msg = f"cannot read --values {value!r}: write it as users=User"
        raise Failure(msg)
    shell = type("Values", (), {"__annotations__": {"values": text}})
    try:
        hint = typing.get_type_hints(shell, names)["values"]
    except Exception as error:
        msg = (
            f"cannot read --values {value!r}: {error}; "
            f"give a type that one of the --models defines or imports"
        )
        raise Failure(msg) from error
    return name, hint


# --- the databases that a command names: files, or folders of them --------------------

Paths: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH",
        help="Folders of databases, single .mpack files, or URLs of servers.",
    ),
]
Schema: TypeAlias = Annotated[
    str | None,
    typer.Option("--schema", help="The schema on the server; storify if not given."),
]
Models: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--models",
        "-m",
        metavar="MODULE",
        help="A module with the model classes, or a .py file; may be repeated.",
    ),
]


class Named(NamedTuple):
    """A database that was found, and is not opened yet.

    Attributes:
        label: How it is told from the others: by its folder, too, if there are
            several.
        open: Opens it, to be closed by who calls.
    """

    label: str
    open: Callable[[], Database[Any, Any]]


def find_databases(
    paths: Iterable[str],
    classes: Classes,
    *,
    values: Mapping[str, Any] | None = None,
    schema: str | None = None,
    readonly: bool,
) -> list[Named]:
    """Find the databases of several paths.

    Args:
        paths: Folders, files, and URLs of servers.
        classes: What is registered.
        values: The types of their values, by the names of the databases.
        schema: Where the tables are on a server.
        readonly: Whether they are opened for reading.

    Raises:
        Failure: A path is neither a folder nor a file; *values* are for a database
            that there is not.
    """
    listed = list(paths)
    hints = values or {}
    found: list[Named] = []
    names: set[str] = set()
    opened: Iterable[tuple[str, Callable[..., Database[Any, Any]]]]
    for text in listed:
        if "://" in text:
            sf = open_place(text, schema, classes)
            within = f"{sf.root}#"
            opened = ((n, partial(_get_db, sf, n, readonly=readonly)) for n in sf)
        else:
            path = Path(text)
            within = f"{path if path.is_dir() else path.parent}{os.sep}"
            opened = _in_path(path, classes, readonly=readonly)
        for name, open_it in opened:
            names.add(name)
            label = name if len(listed) == 1 else f"{within}{name}"
            found.append(Named(label, partial(open_it, model=hints.get(name))))
    unused = sorted(hints.keys() - names)
    if unused:
        msg = f"there is no database {unused[0]!r}, for which --values gives a type"
        raise Failure(msg)
    return found


def _in_path(
    path: Path, classes: Classes, *, readonly: bool
) -> Iterator[tuple[str, Callable[..., Database[Any, Any]]]]:
    """Return the names of the databases at *path*, and what opens each."""
    if path.is_dir():
        sf = open_place(path, classes=classes)
        for name in sf._names():  # noqa: SLF001 - what has no name is found below
            yield name, partial(_get_db, sf, name, readonly=readonly)
        # Also those of older releases, whose names are not portable.
        for file in sorted(path.glob("*.mpack")):
            if file.is_file() and file.stem not in sf:
                yield file.stem, partial(_open_file, file, classes, readonly=readonly)
        return
    if not path.is_file():
        msg = f"there is no file or folder {str(path)!r}"
        raise Failure(msg)
    # By its folder, where what its references refer to stands beside it.
    sf = open_place(path.parent, classes=classes)
    if path.suffix == ".mpack" and path.stem in sf:
        yield path.stem, partial(_get_db, sf, path.stem, readonly=readonly)
    else:
        yield path.stem, partial(_open_file, path, classes, readonly=readonly)


def _get_db(
    sf: Storify, name: str, *, model: Any, readonly: bool
) -> Database[Any, Any]:
    db: Database[Any, Any] = sf.get_db(name, model=model, readonly=readonly)
    return db


def _open_file(
    path: Path, classes: Classes, *, model: object, readonly: bool
) -> Database[Any, Any]:
    return Database(
        path=path,
        log=Stderr(),
        models=classes.models,
        types=classes.types,
        model=model,
        readonly=readonly,
    )


def open_place(
    root: Path | str, schema: str | None = None, classes: Classes | None = None
) -> Storify:
    """Open a folder, or the URL of a server; nothing is saved by itself."""
    return Storify(
        root,
        save_interval=None,
        log=Stderr(),
        models=classes.models if classes else (),
        types=classes.types if classes else (),
        schema=schema if "://" in str(root) else None,
    )


# --- the place that a command looks at, and what its arguments name in it -------------


def _complete_where(incomplete: str) -> list[str]:
    """Offer folders, and files of databases."""
    folder, _, begun = incomplete.rpartition("/")
    try:
        there = sorted(Path(folder or ("/" if "/" in incomplete else ".")).iterdir())
        return [
            str(each) + "/" * each.is_dir()
            for each in there
            if each.name.startswith(begun)
            and (each.suffix == ".mpack" or (each.is_dir() and each.name[0] != "."))
        ]
    except OSError:
        return []


def _complete_rest(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer databases, then keys, as far as they can be read."""
    where = ctx.params.get("where")
    given = [str(each) for each in ctx.params.get("rest") or ()]
    try:
        with Session(str(where)) as session:
            if session.only is not None:
                given.insert(0, session.only)
            if not given:
                return [n for n in session.names() if n.startswith(incomplete)]
            if len(given) == 1:
                page, _ = session.page(given[0], limit=500)
                keys = [str(row.key) for row in page.rows]
                return [key for key in keys if key.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a completion never fails
        return []
    return []


Where: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="WHERE",
        help="A folder of databases, one .mpack file, or a URL.",
        autocompletion=_complete_where,
    ),
]
Rest: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="[DB] …", autocompletion=_complete_rest),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON document.")
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Only tell what would change.")
]
Yes: TypeAlias = Annotated[
    bool, typer.Option("--yes", "-y", help="Write without asking.")
]


@contextmanager
def looking(
    where: str, models: list[str] | None = None, *, write: bool = False
) -> Generator[Session]:
    """Open a place; what goes wrong ends the command with a message."""
    with failures():
        classes = load_classes(models or ())
        with Session(
            where,
            models=classes.models,
            types=classes.types,
            write=write,
            log=Stderr(),
        ) as session:
            yield session


def named(
    session: Session,
    rest: list[str] | None,
    *names: str,
    optional: int = 0,
) -> list[str]:
    """Part what follows WHERE: the database, unless the place is one, and *names*.

    Args:
        session: The place.
        rest: What was given.
        names: What is wanted behind the database, in capitals, for the error.
        optional: How many of the last may be left out; they are empty texts then.

    Raises:
        Failure: There is too little or too much.
    """
    given = list(rest or ())
    wanted = list(names)
    if session.only is not None:
        given.insert(0, session.only)
    else:
        wanted.insert(0, "DB")
    least = 1 + len(names) - optional
    if len(given) < least or len(given) > 1 + len(names):
        listed = ", ".join(session.names()[:8])
        shape = " ".join(
            f"[{name}]" if len(wanted) - index <= optional else name
            for index, name in enumerate(wanted)
        )
        there = f"; databases here: {listed}" if session.only is None and listed else ""
        msg = f"write WHERE {shape}{there}"
        raise Failure(msg)
    return given + [""] * (1 + len(names) - len(given))


def all_named(session: Session, rest: list[str] | None) -> list[str]:
    """Return the databases that a command is for: those named, or all."""
    return [session.only] if session.only else list(rest or session.names())


def asked(question: str, *, yes: bool) -> None:
    """Ask before something is written; where nobody can answer, it is refused.

    Raises:
        Failure: The answer is no.
    """
    if yes:
        return
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        msg = "nothing was written; add --yes to write without a question"
        raise Failure(msg)


@contextmanager
def new_file(path: Path) -> Generator[Path]:
    """Make a file that takes the place of *path* when all is in it."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    made = Path(name)
    try:
        yield made
        if path.exists():
            made.chmod(path.stat().st_mode)
        else:
            umask = os.umask(0)
            os.umask(umask)
            made.chmod(0o666 & ~umask)
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def print_json(document: Any) -> None:
    typer.echo(dumps(document, indent=2))


def print_lines(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)
