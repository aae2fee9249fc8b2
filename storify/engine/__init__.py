"""Bytes to durable state and back: the only package that touches the disk.

`protocol` says what an engine promises; `file` and `memory` keep it. Above this
package nobody opens a data file, and here nobody knows what the bytes mean.
"""

from storify.engine.file.catalog import FileCatalog, open_catalog
from storify.engine.file.engine import FileEngine
from storify.engine.memory import MemoryCatalog, MemoryEngine
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
    Loaded,
    News,
    Problem,
    Salvaged,
    Snapshot,
    StaleVersionError,
    Sync,
    Version,
    apply,
    difference,
    version_of,
)
from storify.engine.retention import Keep

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
    "Loaded",
    "MemoryCatalog",
    "MemoryEngine",
    "News",
    "Problem",
    "Salvaged",
    "Snapshot",
    "StaleVersionError",
    "Sync",
    "Version",
    "apply",
    "check_name",
    "difference",
    "open_catalog",
    "version_of",
]
