"""Four versions of a small shop's schema: each reads what came before, loses nothing.

The versions stand in ``versions/``. What each of them wrote lies in ``files/`` as well,
written once by ``files/write.py``, so that the bytes of the past stay as they were.
"""

import datetime as dt
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from evolution.versions import v1, v2, v3, v4
from evolution.versions.v4 import Address, Line, Order, Person, Setting, Tier
from stand_ins import Log
from storify import Database, Ref, Storify
from storify.exceptions import ModelLoadError, NewerVersionError

VERSIONS = {1: v1, 2: v2, 3: v3, 4: v4}
FILES = Path(__file__).parent / "files"

YORK = Address("Elm Street 1", "York")
BATH = Address("Oak Lane 2", "Bath")

#: What the newest program is to read of what each version wrote.
NEWEST: dict[int, dict[str, Any]] = {
    1: {
        "limit": Setting(value=10),
        "ann": Person("Ann", "Lee", YORK, dt.date(2001, 2, 3), Tier.GOLD),
        "bob": Person("Bob", "", BATH, dt.date(2004, 5, 6), Tier.PLAIN),
        "o1": Order(
            "ann",
            [Line("Tea", Decimal("2.50")), Line("Cup", Decimal(4))],
            note="fragile",
        ),
        "o2": Order("bob", []),
    },
    2: {
        "limit": Setting(unit="days", value=20),
        "ann": Person("Ann", "Lee", YORK, dt.date(2010, 5, 6), Tier.GOLD, "ann@lee.uk"),
        "bob": Person("Bob", "", BATH, dt.date(2010, 5, 6), Tier.PLAIN),
        "o1": Order(
            "ann",
            [Line("Tea", Decimal("2.75")), Line("Jam", Decimal("3.10"), 2)],
            note="ring twice",
        ),
        "o2": Order("bob", []),
    },
    3: {
        "limit": Setting(["ann"], "days", 30),
        "ann": Person("Ann", "Lee", YORK, dt.date(2015, 7, 8), Tier.GOLD, "ann@lee.uk"),
        "bob": Person("Bob", "", BATH, dt.date(2015, 7, 8), Tier.PLAIN),
        "o1": Order(
            "ann", [Line("Tea", Decimal("3.00"), 4)], paid=True, note="ring twice"
        ),
        "o2": Order("bob", []),
    },
    4: v4.records(),
}

older_and_newer = pytest.mark.parametrize(
    ("older", "newer"), [(a, b) for b in VERSIONS for a in VERSIONS if a < b]
)
each_version = pytest.mark.parametrize("version", VERSIONS)


@contextmanager
def shop(folder: Path, version: int) -> Iterator[Database[Any]]:
    """Open the shop with a program of one version."""
    models = VERSIONS[version].MODELS
    with Storify(folder, save_interval=None, log=Log(), models=models) as sf:
        yield sf.get_db("shop")


def write(folder: Path, version: int) -> None:
    """Write the shop with a program of one version."""
    with shop(folder, version) as db:
        db.update(VERSIONS[version].records())


def copy_of_the_past(folder: Path, version: int) -> None:
    """Put the file there that a program of one version wrote at its time."""
    folder.mkdir()
    shutil.copy(FILES / f"v{version}" / "shop.mpack", folder)


def read(folder: Path) -> dict[str, Any]:
    """Read all with the newest program."""
    with shop(folder, 4) as db:
        return dict(db)


@each_version
@pytest.mark.parametrize("make", [write, copy_of_the_past])
def test_the_newest_program_reads_what_each_version_wrote(root, version, make):
    """With the right values, whether it was written now or years ago."""
    make(root, version)

    found = read(root)

    assert found == NEWEST[version]


@each_version
@pytest.mark.parametrize("make", [write, copy_of_the_past])
def test_check_finds_nothing_in_what_each_version_wrote(root, version, make):
    """What follows its class is no misfit."""
    make(root, version)

    with shop(root, 4) as db:
        assert db.check() == []


@each_version
def test_a_migrated_shop_holds_the_same_as_before(root, version):
    """All is rewritten in the newest form, and check still finds nothing."""
    copy_of_the_past(root, version)

    with shop(root, 4) as db:
        rewritten = db.migrate()
        again = db.migrate()

        assert db.check() == []

    assert bool(rewritten) == (version < 4)
    assert again == 0
    assert read(root) == NEWEST[version]


@pytest.mark.parametrize("path", [(1, 2, 3, 4), (1, 3, 4), (2, 4), (2, 3, 4)])
def test_a_shop_may_be_taken_from_version_to_version(root, path):
    """Each program changes every record; all arrives as if it had come at once."""
    write(root, path[0])

    for version in path[1:]:
        with shop(root, version) as db:
            db.migrate()

    assert read(root) == NEWEST[path[0]]


@older_and_newer
def test_an_older_program_loses_nothing_of_a_newer_shop(root, older, newer):
    """It looks at every record, changes one that it understands, and adds one."""
    write(root, newer)
    setting = VERSIONS[older].Setting

    with shop(root, older) as db:
        values = list(db.values())
        db["limit"].value = 99
        db["mine"] = setting(7)

    expected = {**NEWEST[newer], "mine": Setting(value=7)}
    expected["limit"] = NEWEST[newer]["limit"].evolve(value=99)
    assert len(values) == len(NEWEST[newer])
    assert read(root) == expected


@older_and_newer
def test_an_older_program_may_rewrite_all_it_can_of_a_newer_shop(root, older, newer):
    """Also what it would rather have in its own form."""
    write(root, newer)

    with shop(root, older) as db:
        db.migrate()

    assert read(root) == NEWEST[newer]


@each_version
def test_programs_of_all_versions_may_take_turns(root, version):
    """Back and forth, each changing the record that all understand."""
    write(root, version)

    for number, user in enumerate([1, 4, 2, 3, 1, 2, 4, 1, 3]):
        with shop(root, user) as db:
            list(db.values())
            db["limit"].value = number
            last = number

    expected = NEWEST[version]["limit"].evolve(value=last)
    assert read(root) == {**NEWEST[version], "limit": expected}


def test_a_newer_version_is_an_error_in_a_typed_older_program(root):
    """The record is raw: nothing about it is guessed, and its bytes stay."""
    write(root, 4)
    raw = (root / "shop.mpack").read_bytes()
    person = raw[raw.index(b"__Person__") : raw.index(b"__Purchase__")]

    with Storify(root, save_interval=None, log=Log(), models=v3.MODELS) as sf:
        db = sf.get_db("shop", model=(v3.Person, v3.Setting))
        with pytest.raises(NewerVersionError, match="has version 2"):
            db["ann"]
        with pytest.raises(ModelLoadError, match="__Purchase__"):
            db["o1"]
        assert db.data["ann"].error.path == "$"
        db["limit"].value = 5

    raw = (root / "shop.mpack").read_bytes()
    assert raw[raw.index(b"__Person__") : raw.index(b"__Purchase__")] == person
    assert read(root)["limit"] == v4.records()["limit"].evolve(value=5)


@each_version
def test_a_record_may_be_parted_into_two(root, version):
    """A nested address becomes a record, and a reference stands in its place."""
    write(root, version)

    with shop(root, 4) as db:
        v4.part_homes(db)

    with shop(root, 4) as db:
        ann, bob = db["ann"], db["bob"]
        assert db.check() == []
        assert ann.home == Ref("shop", "home of ann")
        assert ann.home() is db["home of ann"]
        assert bob.home() == NEWEST[version]["bob"].home
        assert ann.evolve(home=ann.home()) == NEWEST[version]["ann"]


@pytest.mark.parametrize("older", [1, 2, 3])
def test_an_older_program_keeps_parted_records_and_references(root, older):
    """It knows no references at all, or not in that place."""
    write(root, 4)
    with shop(root, 4) as db:
        v4.part_homes(db)

    with shop(root, older) as db:
        list(db.values())
        db["limit"].value = 3
        db.migrate()

    with shop(root, 4) as db:
        assert db["ann"].home() == v4.records()["ann"].home
        assert db["limit"].value == 3
        assert db.check() == []
