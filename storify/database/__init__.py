"""Databases: the persistent dict that the user holds, over codec, models, engine.

- the face: `Database` (``_database``), as a dict, a list, or either (``_root``), its
  past (``backups``), the types that it knows and where its references lead
  (``_schema``); and what is open under a name, as all of these and the folders below
  see it (``_source``)
- ``live``: the objects that are in memory, and what is durable of each
- ``session``: what changed, merged with what others did, and saved
- ``query``: pipelines over the records, and indexes
- ``maintenance``: check, migrate, salvage
"""

from typing import TYPE_CHECKING

from storify._python import late as _late

if TYPE_CHECKING:
    from storify.database._database import BaseDatabase, Database, ListDatabase
    from storify.database.backups import Backups, Diff
    from storify.database.maintenance.salvage import Salvage
    from storify.database.query.index import Index
    from storify.database.query.query import Query

__all__ = [
    "Backups",
    "BaseDatabase",
    "Database",
    "Diff",
    "Index",
    "ListDatabase",
    "Query",
    "Salvage",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _late(
        __name__,
        {
            "Backups": "storify.database.backups",
            "Diff": "storify.database.backups",
            "Index": "storify.database.query.index",
            "Query": "storify.database.query.query",
            "Salvage": "storify.database.maintenance.salvage",
            "backups": "storify.database.backups",
        },
        rest="storify.database._database",
    )
