"""Bytes to durable state and back: the only package that touches the disk.

`protocol` says what an engine promises; `file`, `memory` and `postgres` keep it. Above
this package nobody opens a data file, and here nobody knows what the bytes mean.
"""

from typing import TYPE_CHECKING

from storify._python import late as _late

if TYPE_CHECKING:
    from storify.engine.catalogs import open_catalog
    from storify.engine.file.catalog import FileCatalog
    from storify.engine.file.engine import FileEngine
    from storify.engine.memory import MemoryCatalog, MemoryEngine
    from storify.engine.moment import Keep
    from storify.engine.names import check_name
    from storify.engine.protocol import (
        BackupInfo,
        Catalog,
        Change,
        Changes,
        Clock,
        Commit,
        Engine,
        Format,
        Newer,
        Problem,
        Salvaged,
        Snapshot,
        StaleVersionError,
        Sync,
        Version,
        WholeSnapshot,
        apply,
        difference,
        each_entry,
        entries_of,
        version_of,
    )

__all__ = [
    "BackupInfo",
    "Catalog",
    "Change",
    "Changes",
    "Clock",
    "Commit",
    "Engine",
    "FileCatalog",
    "FileEngine",
    "Format",
    "Keep",
    "MemoryCatalog",
    "MemoryEngine",
    "Newer",
    "Problem",
    "Salvaged",
    "Snapshot",
    "StaleVersionError",
    "Sync",
    "Version",
    "WholeSnapshot",
    "apply",
    "check_name",
    "difference",
    "each_entry",
    "entries_of",
    "open_catalog",
    "version_of",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _late(
        __name__,
        {
            "FileCatalog": "storify.engine.file.catalog",
            "FileEngine": "storify.engine.file.engine",
            "Keep": "storify.engine.moment",
            "MemoryCatalog": "storify.engine.memory",
            "MemoryEngine": "storify.engine.memory",
            "check_name": "storify.engine.names",
            "open_catalog": "storify.engine.catalogs",
        },
        rest="storify.engine.protocol",
    )
