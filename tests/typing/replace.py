"""The changes of a copy, typed: from Python 3.13 on both checkers know them.

They make a ``__replace__`` for each model, with the parameters of its ``__init__``.
At run time it is `Model.evolve`; mypy sees ``copy.replace`` the same way.
`tests/test_type_tests.py` checks this file as of 3.13.
"""

import sys
from typing import assert_type

from storify import Model


class User(Model, frozen=True):
    name: str
    age: int = 0


class Admin(User, frozen=True):
    level: int = 1


assert_type(Admin("Ann").evolve(level=2), Admin)

if sys.version_info >= (3, 13):
    import copy

    assert_type(Admin("Ann").__replace__(age=3, level=2), Admin)
    assert_type(copy.replace(Admin("Ann"), age=3), Admin)
    User("Ann").__replace__(age="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    User("Ann").__replace__(nmae="Bea")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    User("Ann").__replace__(level=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
