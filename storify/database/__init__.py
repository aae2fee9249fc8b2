"""Databases: the persistent dict that the user holds, over codec, models, engine.

- `Database`: what the user holds (``_database``); as a dict (``_mapping``), as a list
  (``_sequence``), as either (``_root``)
- `Backups`: what can be restored (``backups``)
- ``_records``: what it knows of its records (``_query``, ``_check``, ``_migrate``);
  ``_index``: a look-up of a dict's
- ``_session``: live data, the durable state they came from, flush
- ``_roots``: what a dict root and a list root have to save; ``_data`` is the dict
- ``_spelling``, ``_same_value``: what foreign programs write in other bytes than we
- ``_merge``, ``_refresh``: what another writer committed, brought into live objects
- ``_transaction``: several changes that are saved together or not at all
- ``_shutdown``, ``_signals``: the last flush, when nobody holds a database any more
  or the program ends
- ``_salvage``: what can be saved of a damaged one
- ``_schema``: the models and types that a database knows
- ``_saving``: what was chosen about saving, and the engines for that
"""

from storify.database._database import BaseDatabase, Database, ListDatabase
from storify.database._index import Index
from storify.database._query import Query
from storify.database._salvage import Salvage
from storify.database.backups import Backups, Diff

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
