"""Fixtures of the tests of databases."""

import pytest

from storify import Storify


@pytest.fixture
def pair(request):
    """Two databases over one state, as two programs have them.

    They know the class User of the test's module.
    """
    name = f"memory://{request.module.__name__}"
    one, two = (
        Storify(name, save_interval=None, models=[request.module.User])
        for _ in range(2)
    )
    db = one.get_db("d")
    db.update(a=[1], b={"x": 1}, c=3)
    db.flush()
    yield db, two.get_db("d")
    for storify in (one, two):
        for each in storify.databases:
            each.close(discard=True)
