"""Typed Python objects in a dict that is on disk: exact, safe, crash-proof.

>>> from storify import Model, Storify
>>> class User(Model):
...     name: str
...     age: int = 0
>>> sf = Storify("memory://")
>>> users = sf.get_db("users", model=User)
>>> users["u1"] = User("Ann", 30)
>>> users["u1"].age += 1
>>> users.flush()  # durable when it returns
>>> users["u1"]
User(name='Ann', age=31)

The public names are those of ``__all__`` and of the modules `storify.model`,
`storify.database`, `storify.database.backups`, `storify.logger` and
`storify.exceptions`; everything else may change.
"""

from storify._manager import Storify
from storify.codec import CustomType
from storify.database import Backups, Database, Diff, Salvage
from storify.engine import Keep, Problem
from storify.exceptions import (
    CheckError,
    ConflictError,
    CorruptionError,
    DatabaseClosedError,
    DatabaseLoadError,
    DatabaseLockedError,
    DatabaseNameError,
    DatabaseOpenError,
    DatabaseReadOnlyError,
    DuplicateKeynameError,
    MigrationError,
    ModelError,
    ModelLoadError,
    NewerVersionError,
    StorifyError,
    TransactionError,
    UnstorableError,
)
from storify.logger import Logger
from storify.models import Model, Unloaded, asdict, extras, field, migration

__all__ = [
    "Backups",
    "CheckError",
    "ConflictError",
    "CorruptionError",
    "CustomType",
    "Database",
    "DatabaseClosedError",
    "DatabaseLoadError",
    "DatabaseLockedError",
    "DatabaseNameError",
    "DatabaseOpenError",
    "DatabaseReadOnlyError",
    "Diff",
    "DuplicateKeynameError",
    "Keep",
    "Logger",
    "MigrationError",
    "Model",
    "ModelError",
    "ModelLoadError",
    "NewerVersionError",
    "Problem",
    "Salvage",
    "Storify",
    "StorifyError",
    "TransactionError",
    "Unloaded",
    "UnstorableError",
    "asdict",
    "extras",
    "field",
    "migration",
]

__version__ = "0.1.0"
