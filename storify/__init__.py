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
`storify.database`, `storify.database.backups`, `storify.importers`,
`storify.logger` and `storify.exceptions`; everything else may change.
"""

from typing import TYPE_CHECKING

# What is arranged now, whatever is used later: how a process forks and how it ends. What
# is told of a fork first is ready first in the child: threads, then the locks and files,
# then the databases; and signals are let in last. Handlers of signals can be set in the
# main thread only, while a database may be opened in any.
from storify import _autosave

# isort: split
from storify.engine.file import lock as _lock

# isort: split
from storify.database.session import shutdown as _shutdown

# isort: split
from storify._python import late as _late
from storify.exceptions import (
    CheckError,
    ConflictError,
    CorruptionError,
    DanglingRefError,
    DatabaseClosedError,
    DatabaseLoadError,
    DatabaseLockedError,
    DatabaseNameError,
    DatabaseOpenError,
    DatabaseReadOnlyError,
    DuplicateKeyError,
    DuplicateKeynameError,
    MigrationError,
    MisdatedError,
    ModelError,
    ModelLoadError,
    NetworkFilesystemError,
    NewerVersionError,
    QueryError,
    StaleStateError,
    StorifyError,
    TransactionError,
    UnstorableError,
)

if TYPE_CHECKING:
    from storify._manager import Storify
    from storify.codec import CustomType
    from storify.database import (
        Backups,
        Database,
        Diff,
        Index,
        ListDatabase,
        Query,
        Salvage,
    )
    from storify.engine import Keep, Problem
    from storify.logger import Logger
    from storify.models import (
        Misfit,
        Model,
        Ref,
        Unloaded,
        asdict,
        extras,
        field,
        migration,
    )
    from storify.models.json_schema import json_schema
    from storify.models.jsonable import from_json, to_json

__all__ = [
    "Backups",
    "CheckError",
    "ConflictError",
    "CorruptionError",
    "CustomType",
    "DanglingRefError",
    "Database",
    "DatabaseClosedError",
    "DatabaseLoadError",
    "DatabaseLockedError",
    "DatabaseNameError",
    "DatabaseOpenError",
    "DatabaseReadOnlyError",
    "Diff",
    "DuplicateKeyError",
    "DuplicateKeynameError",
    "Index",
    "Keep",
    "ListDatabase",
    "Logger",
    "MigrationError",
    "MisdatedError",
    "Misfit",
    "Model",
    "ModelError",
    "ModelLoadError",
    "NetworkFilesystemError",
    "NewerVersionError",
    "Problem",
    "Query",
    "QueryError",
    "Ref",
    "Salvage",
    "StaleStateError",
    "Storify",
    "StorifyError",
    "TransactionError",
    "Unloaded",
    "UnstorableError",
    "asdict",
    "extras",
    "field",
    "from_json",
    "json_schema",
    "migration",
    "to_json",
]

__version__ = "0.1.0"

_ARRANGED = _autosave, _lock, _shutdown

if not TYPE_CHECKING:
    __getattr__, __dir__ = _late(
        __name__,
        {
            "Backups": "storify.database.backups",
            "CustomType": "storify.codec",
            "Database": "storify.database._database",
            "Diff": "storify.database.backups",
            "Index": "storify.database.query.index",
            "Keep": "storify.engine.moment",
            "ListDatabase": "storify.database._database",
            "Logger": "storify.logger",
            "Problem": "storify.engine.protocol",
            "Query": "storify.database.query.query",
            "Salvage": "storify.database.maintenance.salvage",
            "Storify": "storify._manager",
            "codec": "storify.codec",
            "from_json": "storify.models.jsonable",
            "json_schema": "storify.models.json_schema",
            "logger": "storify.logger",
            "models": "storify.models",
            "to_json": "storify.models.jsonable",
        },
        rest="storify.models",
    )
