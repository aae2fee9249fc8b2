"""Fixtures of the tests with a disk that fails."""

from collections.abc import Iterator

import pytest

from faults.database import without_syncs


@pytest.fixture
def _no_real_syncs() -> Iterator[None]:
    """The disk is not waited for: what is lost in a power cut is simulated."""
    with without_syncs():
        yield
