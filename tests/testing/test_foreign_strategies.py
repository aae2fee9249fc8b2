"""What attrs and cattrs test themselves with comes back, or is refused."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from faults.sampling import SOAK
from storify import Model, Storify
from storify.exceptions import CheckError, ModelError, UnstorableError
from storify.models import Misfit
from storify.testing import assert_roundtrip, difference
from testing.foreign import Drawn, fetch, objects

pytestmark = pytest.mark.skipif(
    not SOAK, reason="fetches the sources of attrs and cattrs: STORIFY_DEPTH=soak"
)

REFUSALS = (CheckError, ModelError, UnstorableError)
KINDS = [
    *("typed", "typed frozen", "typed nested", "typed dataclasses"),
    *("untyped", "untyped nested", "attrs", "attrs nested"),
    *("sequences", "deques", "sets", "dicts"),
    *("typed dicts", "generic typed dicts", "enums"),
]
#: Of each kind as it is, and of each in models: three thousand.
EXAMPLES = 100
#: Lists for deques and frozen sets for sets: as cattrs takes them, and no type checker.
MISFITS = {"deques", "sets"}


@pytest.fixture(scope="module")
def strategies(tmp_path_factory):
    """The strategies of the installed versions' own test suites."""
    folder = tmp_path_factory.mktemp("foreign")
    try:
        fetch(folder)
    except OSError as err:
        pytest.skip(f"needs the sources of attrs and cattrs: {err}")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.delenv("CI", raising=False)  # with it, cattrs changes all settings
        yield objects()


@pytest.mark.parametrize("where", ["", " in models"], ids=["as it is", "in models"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_come_back_or_are_refused(strategies, kind, where, record_property):
    """File, kit and check agree on each object; what a load alters is told before.

    With ``--junitxml`` the numbers are in the report.
    """
    counts = Counter()

    @settings(
        max_examples=EXAMPLES,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategies[kind + where])
    def run(drawn):
        counts[what_becomes_of(drawn)] += 1

    run()

    record_property("objects", dict(counts))
    told = [outcome for outcome in counts if "told" in outcome]
    assert counts.total() >= EXAMPLES
    assert counts["came back"]
    assert bool(told) == (kind in MISFITS), told


def what_becomes_of(drawn: Drawn) -> str:
    """Store an object in a file; tell what became of it, which all must agree on."""
    with tempfile.TemporaryDirectory() as folder:
        told, refused = stored(Path(folder, "lenient"), drawn, strict=False)
        _, strictly = stored(Path(folder, "strict"), drawn, strict=True)
        against = against_it(drawn)
        if refused:
            assert strictly
            assert f"it cannot be stored: {refused.partition(':')[0]}" in against
            return f"refused, {refused}"
        found, still = loaded(Path(folder, "lenient"), drawn)
    altered = difference(drawn.value, found)
    if altered is None:
        assert against == ""
        assert found == drawn.value or repr(found) == repr(drawn.value)
        assert still == told
    else:
        assert told, f"altered and not told: {altered}"
        assert str(altered) in against
    assert bool(strictly) == bool(told)
    how = "altered" if altered else "came back"
    if told:
        how += f", told: expected {told[0].expected}, found {told[0].found}"
    return how


def opened(folder: Path, drawn: Drawn) -> Storify:
    """A folder of databases that know the classes of an object."""
    models = [type(drawn.value)] if isinstance(drawn.value, Model) else []
    return Storify(folder, models=models, types=drawn.types, keep=0)


def stored(folder: Path, drawn: Drawn, *, strict: bool) -> tuple[list[Misfit], str]:
    """Write an object to a file; give what `check` tells and why it was refused."""
    told: list[Misfit] = []
    try:
        with opened(folder, drawn) as sf:
            db = sf.get_db("objects", model=type(drawn.value), strict=strict)
            try:
                db["it"] = drawn.value
                told = db.check()
                db.flush()
            finally:
                db.close(discard=True)  # what is refused would be so again
    except REFUSALS as err:
        return told, f"{type(err).__name__}: {err}"
    return told, ""


def loaded(folder: Path, drawn: Drawn) -> tuple[object, list[Misfit]]:
    """Read the object from the file; give it and what `check` tells then."""
    with opened(folder, drawn) as sf, sf.get_db("objects") as db:
        return db["it"], db.check()


def against_it(drawn: Drawn) -> str:
    """Give what `assert_roundtrip` has against an object."""
    try:
        assert_roundtrip(drawn.value, types=drawn.types)
    except AssertionError as err:
        return str(err)
    return ""
