"""The classes that ``--models`` names: of a module, or of a Python file."""

import dataclasses
import enum
import importlib
import os
import sys
import traceback
import typing
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from storify.cli._terminal import Failure
from storify.models import Model

__all__ = ["Classes", "load_classes", "parse_values"]


class Classes(NamedTuple):
    """What the modules define or import.

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
        [cls for cls in found if _is_model(cls)],
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


def _is_model(cls: type) -> bool:
    return issubclass(cls, Model) and not _is_ours(cls)


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
