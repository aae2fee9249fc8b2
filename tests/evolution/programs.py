"""Programs of several ages that use one folder in turn."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stand_ins import Log
from storify import Model, Storify

__all__ = ["class_of", "run"]


def class_of(
    name: str,
    fields: dict[str, Any],
    *bases: type[Model],
    body: dict[str, Any] | None = None,
    **options: Any,
) -> type[Any]:
    """Make one version of a class; *body* has defaults, fields and migrations."""
    full = {"__annotations__": fields, "__module__": __name__, **(body or {})}
    return type(name, bases or (Model,), full, **options)


def run(
    folder: Path,
    models: Sequence[type[Model]],
    program: Callable[[Any], Any],
    **settings: Any,
) -> Any:
    """Run one program on the database ``data``, from opening to closing."""
    with Storify(
        folder, save_interval=None, log=Log(), models=models, **settings
    ) as sf:
        return program(sf.get_db("data"))
