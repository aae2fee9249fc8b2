"""The databases that a command names: files, or folders of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import typer

from storify import Database, Storify
from storify.cli._models import Classes
from storify.cli._terminal import Failure, Stderr

__all__ = ["Models", "Named", "Paths", "find_databases", "open_folder"]

Paths: TypeAlias = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH", help="Folders of databases, or single .mpack files."
    ),
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
    paths: Iterable[Path],
    classes: Classes,
    *,
    values: Mapping[str, Any] | None = None,
    readonly: bool,
) -> list[Named]:
    """Find the databases of several paths.

    Args:
        paths: Files and folders.
        classes: What records come back as.
        values: The types of the values, by the names of databases.
        readonly: Whether they are never written.

    Raises:
        Failure: A path is neither a folder nor a file; *values* are for a database
            that there is not.
    """
    listed = list(paths)
    hints = values or {}
    found: list[Named] = []
    names: set[str] = set()
    for path in listed:
        for name, open_it in _in_path(path, classes, readonly=readonly):
            names.add(name)
            folder = path if path.is_dir() else path.parent
            label = name if len(listed) == 1 else str(folder / name)
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
        sf = open_folder(path, classes)
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
    sf = open_folder(path.parent, classes)
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


def open_folder(path: Path, classes: Classes) -> Storify:
    """Open a folder of databases, or make it; nothing is saved by itself."""
    return Storify(
        path,
        save_interval=None,
        log=Stderr(),
        models=classes.models,
        types=classes.types,
    )
