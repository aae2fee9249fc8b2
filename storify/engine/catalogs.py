"""The engine that a root means: a folder, memory, a server, or one of others.

Others add theirs by an entry point of the group ``storify.engines``, whose name is the
scheme of its URLs::

    [project.entry-points."storify.engines"]
    couch = "couch_storify:open_catalog"

It is called with the URL, and by name with what it wants of ``root_format``, ``log``,
``keep``, ``sync``, ``journal`` and further options of the user's, and gives a `Catalog`.
"""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from storify.engine.file.catalog import FileCatalog
from storify.engine.file.paths import require_local
from storify.engine.moment import Keep
from storify.engine.protocol import Catalog, Clock, Format, Sync, utc_now
from storify.logger import LoggerLike

GROUP: Final = "storify.engines"
"""The group of entry points of engines of others."""

#: As in `storify.engine.postgres.address`, which few programs need.
_SERVERS: Final = frozenset({"postgres", "postgresql", "postgresql+psycopg"})


def open_catalog(
    root: str | os.PathLike[str],
    log: LoggerLike,
    *,
    root_format: Format,
    keep: Keep | int | None = None,
    sync: Sync = "commit",
    journal: bool = True,
    allow_network_filesystem: bool = False,
    clock: Clock = utc_now,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Catalog:
    """The catalog of a folder, of memory for ``"memory://"``, or of a server.

    ``"memory://"`` gives a new empty catalog each time, ``"memory://x"`` the
    same one as long as somebody in this process has it.

    Args:
        root: The folder or URL.
        log: Told of recoveries.
        root_format: How a root parts into entries.
        keep: Which older states are kept.
        sync: Whether each commit is durable when it returns.
        journal: Whether changes may be kept apart from the main file.
        allow_network_filesystem: Whether a folder may be on one.
        clock: Gives the times of backups; an engine of others has its own.
        options: What else the engine is told, as the schema on a server.

    Raises:
        ModuleNotFoundError: The driver of a server is not installed.
        TypeError: There is no such option.
        ValueError: A URL of a kind that no engine knows.
        NetworkFilesystemError: The folder is on one, and that is not allowed.
    """
    text = os.fspath(root)
    scheme, separator, rest = text.partition("://")
    if separator and scheme in _SERVERS:
        from storify.engine.postgres.catalog import PostgresCatalog  # noqa: PLC0415 -- few programs need it

        return PostgresCatalog(
            text, root_format=root_format, keep=keep, clock=clock, **options
        )
    if separator and scheme != "memory":
        return _of_others(
            text,
            scheme,
            {
                "root_format": root_format,
                "log": log,
                "keep": keep,
                "sync": sync,
                "journal": journal,
                **options,
            },
        )
    if options:
        msg = f"only a server knows the options {', '.join(options)}: {text!r} is none"
        raise TypeError(msg)
    if not separator:
        if not allow_network_filesystem:
            require_local(text)
        return FileCatalog(
            text,
            root_format=root_format,
            log=log,
            keep=keep,
            sync=sync,
            journal=journal,
            clock=clock,
        )
    from storify.engine.memory import MemoryCatalog  # noqa: PLC0415 -- few programs need it

    if rest:
        return MemoryCatalog.named(rest, root_format=root_format, keep=keep)
    return MemoryCatalog(root_format=root_format, keep=keep, clock=clock)


def _of_others(url: str, scheme: str, options: dict[str, Any]) -> Catalog:
    from importlib.metadata import entry_points  # noqa: PLC0415 -- few programs need it

    found = list(entry_points(group=GROUP, name=scheme))
    if not found:
        msg = (
            f"no engine for {scheme!r} URLs; use a folder, 'memory://' or "
            f"'postgresql://…', or install a package with an entry point "
            f"{scheme!r} in the group {GROUP!r}"
        )
        raise ValueError(msg)
    return cast("Catalog", found[0].load()(url, **options))
