"""Catalogs on the PostgreSQL server of the tests, each in a schema of its own.

Where no server can be had, the test that asks for one is skipped.
"""

from typing import Any

import pytest

from storify import Storify
from storify._fixtures import _storify_of
from storify.testing import _connection

__all__ = ["another", "catalog", "fresh_schema", "require", "url"]

fresh_schema = _connection.fresh_schema


def require() -> None:
    """Skip the test where no server can be had."""
    reason = _connection.why_no_server()
    if reason is not None:
        pytest.skip(reason)


def url() -> str:
    """The URL of the server."""
    require()
    return _connection.shared_url()


def catalog(
    schema: str | None = None, *, url: str | None = None, **options: Any
) -> Any:
    """A catalog, in a new schema unless one is given."""
    require()
    place = url or _connection.shared_url()
    from storify.engine.postgres.catalog import PostgresCatalog  # noqa: PLC0415 - it may not be there

    made = PostgresCatalog(
        place, schema=schema or _connection.fresh_schema(), **options
    )
    made.create()
    return made


def another(db: Any) -> Storify:
    """A Storify over the same databases as that of *db*, as of another program."""
    sf = _storify_of(db)
    return Storify(sf._root, save_interval=None, models=sf.models, **sf._saving.options)
