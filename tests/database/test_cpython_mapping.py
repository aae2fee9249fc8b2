"""CPython's own tests of mappings, run against a database and its data.

They are in its `test` package, which some distributions leave out. What a database does
on purpose in another way is named here, with the reason; the rest passes.
"""

import unittest
from itertools import count

import pytest

from storify import Storify

mapping_tests = pytest.importorskip("test.mapping_tests")

_IDENTITY = "two databases are equal only if they are the same object"
_NO_CLASS = "a database is made by its folder, so there is no class method to make one"

#: What differs, and why.
OF_A_DATABASE = {
    "test_clear": _IDENTITY,
    "test_constructor": _IDENTITY,
    "test_copy": _IDENTITY,
    "test_eq": _IDENTITY,
    "test_getitem": _IDENTITY,
    "test_update": _IDENTITY,
    "test_fromkeys": _NO_CLASS,
    "test_repr": "it tells name, size and place, never values",
    "test_repr_deep": "as test_repr: it does not look inside",
}
OF_DATA = {
    "test_copy": "a copy is a plain dict: it is of no database",
    "test_fromkeys": _NO_CLASS,
}


class OfDatabase(mapping_tests.TestHashMappingProtocol):
    """The tests, of a database."""

    def setUp(self):
        """Make a folder in memory."""
        self.sf = Storify("memory://", save_interval=None)
        self.numbers = count()

    def tearDown(self):
        """What the tests put into it cannot be stored, as a rule."""
        self.sf.close(discard=True)

    def type2test(self, *args, **named):
        """Make a database with what a dict takes."""
        db = self.sf.get_db(f"d{next(self.numbers)}")
        db.update(*args, **named)
        return db

    def _empty_mapping(self):
        return self.type2test()

    def _full_mapping(self, data):
        return self.type2test(data)


class OfData(OfDatabase):
    """The tests, of the dict inside of a database."""

    def type2test(self, *args, **named):
        """Give the data of a database with what a dict takes."""
        return super().type2test(*args, **named).data


# Else pytest collects them by themselves, with what differs.
OfDatabase.__test__ = OfData.__test__ = False

NAMES = unittest.TestLoader().getTestCaseNames(mapping_tests.TestHashMappingProtocol)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("case", "differs"), [(OfDatabase, OF_A_DATABASE), (OfData, OF_DATA)]
)
def test_it_is_a_mapping_to_cpython(case, differs, name):
    """But for what is named; and what is named differs indeed."""
    result = unittest.TestResult()

    case(name).run(result)

    assert result.testsRun == 1
    assert result.wasSuccessful() == (name not in differs), result.failures
