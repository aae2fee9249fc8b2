"""Moving data from other stores into a database, each in one step.

Examples:
    >>> from storify import Storify
    >>> from storify.importers import copy_items
    >>> db = Storify("memory://").get_db("users")
    >>> copy_items({"u1": {"name": "Ann"}}, db)
    1
    >>> dict(db.items())
    {'u1': {'name': 'Ann'}}

All functions here are public. What they share:

- A database gets all records or none, in one transaction that is durable when the
  function returns. After an error it holds what it held; one that did not exist is
  there then, empty.
- The source is opened to be read, and its files are not changed. (SQLite may leave
  empty ``-wal`` and ``-shm`` files beside one of its own.)
- A key that is there already is an error, unless ``overwrite=True``.
- A value that could not be read back equal is an `UnstorableError` with its path.
- ``convert(key, value)`` gives what is stored instead of a value: an object of a
  model for a dict, say.
- ``progress(done, total)`` is called now and then while records are read.

Pickles run code when they are loaded. Nothing here loads one by itself: where a
store holds pickles, you pass ``decode=pickle.loads`` for a file that you trust.
"""

from storify.importers._copy import Convert, Source, copy_items
from storify.importers._folder import import_storify
from storify.importers._stores import import_shelve, import_sqlitedict, import_tinydb

__all__ = [
    "Convert",
    "Source",
    "copy_items",
    "import_shelve",
    "import_sqlitedict",
    "import_storify",
    "import_tinydb",
]
