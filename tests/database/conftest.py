"""Fixtures of the tests of databases."""

import pytest

import pg_servers as servers
from storify import Storify


@pytest.fixture(params=["memory", "postgres"])
def pair(request):
    """Two databases over one state, as two programs have them.

    They know the class User of the test's module.
    """
    if request.param == "postgres":
        name, options = servers.url(), {"schema": servers.fresh_schema()}
    else:
        name, options = f"memory://{request.module.__name__}", {}
    one, two = (
        Storify(name, save_interval=None, models=[request.module.User], **options)
        for _ in range(2)
    )
    db = one.get_db("d")
    db.update(a=[1], b={"x": 1}, c=3)
    db.flush()
    yield db, two.get_db("d")
    for storify in (one, two):
        for each in storify.databases:
            each.close(discard=True)
        storify.close()
