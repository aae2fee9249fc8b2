"""Databases: the persistent dict that the user holds, over codec, models, engine.

- `Database`: what the user holds (``_database``); as a dict (``_mapping``)
- `Backups`: what can be restored (``backups``)
- ``_session``: live data, the durable state they came from, flush
- ``_merge``, ``_refresh``: what another writer committed, brought into live objects
- ``_farewell``: the last flush, when nobody holds a database any more
- ``_schema``: the models and types that a database knows
"""

from storify.database._database import Database
from storify.database.backups import Backups

__all__ = ["Backups", "Database"]
