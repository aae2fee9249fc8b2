"""What a start loads: what ends a process at once, and the rest when it is used."""

import subprocess
import sys
from pathlib import Path

import pytest

import storify
import storify.database
import storify.engine
from storify import Storify

#: What must be there from the first import on: how a process forks and ends.
ENDS = {
    "storify._autosave",
    "storify.database.session.shutdown",
    "storify.engine.file.lock",
    "storify.exceptions",
    "storify.threads",
}

#: What a plain import leaves alone, each with all that is in it.
UNUSED = {
    *("attr", "attrs", "cattrs", "msgpack", "typing_extensions"),
    *("asyncio", "concurrent", "dataclasses", "decimal", "fractions", "hashlib"),
    *("inspect", "ipaddress", "json", "logging", "pathlib", "shutil", "tempfile"),
    *("urllib", "uuid", "zoneinfo"),
    *("storify._manager", "storify.codec", "storify.models", "storify.logger"),
    *("storify.database._database", "storify.database.backups"),
    *("storify.database.live", "storify.database.maintenance"),
    *("storify.database.query", "storify.engine.file.engine", "storify.engine.memory"),
    *("storify.importers", "storify.cli", "storify.testing"),
}

#: What saves data at the end: it is there before there is a database to be saved.
SAVES = {
    *("storify.codec._writer", "storify.codec._writer", "storify.codec._builtin"),
    *("storify.database.session.session", "storify.database.session.saving"),
    *("storify.database.session.merge", "storify.database.session.transaction"),
    *("storify.engine.file.engine", "storify.engine.file.append"),
    *("storify.engine.file.checkpoint", "storify.engine.file.recovery"),
    *("storify.models.plan", "storify.models.lower", "storify.logger"),
}


def loaded(statement: str) -> set[str]:
    """Name the modules that a new interpreter has after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(  # noqa: S603 - our own code
        # without what is installed beside the package, which imports what it likes
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(done.stdout.split())


def within(modules: set[str], packages: set[str]) -> set[str]:
    """Those of the modules that are one of the packages or in one."""
    return {
        name
        for name in modules
        if any(f"{name}.".startswith(f"{package}.") for package in packages)
    }


def test_a_plain_import_loads_what_ends_a_process_and_nothing_else():
    """Of our own, and of what the standard library has that takes long."""
    before, after = loaded("pass"), loaded("import storify")

    assert after >= ENDS
    assert within(after - before, UNUSED) == set()


def test_who_can_open_a_database_has_loaded_what_saves_it():
    """A file of the package may not be there any more when a program ends."""
    assert loaded("from storify import Storify") >= SAVES


def test_a_program_with_models_never_loads_what_it_does_not_use(tmp_path):
    """It opens, changes, saves and reads records: that takes no import of its own."""
    program = f"""
from storify import Model, Storify
import sys
from pathlib import Path
class User(Model):
    name: str
    age: int = 0
before = set(sys.modules)
for _ in range(2):
    sf = Storify({str(tmp_path)!r})
    db = sf.get_db("users", model=User)
    db.setdefault("ann", User("Ann")).age += 1
    sf.close()
assert set(sys.modules) == before, set(sys.modules) - before
"""

    unused = {
        *("cattrs", "storify.models.cattrs_hooks", "storify.models.jsonable"),
        *("storify.codec._salvage", "storify.database.query"),
    }
    assert within(loaded(program), unused) == set()


def test_what_few_values_need_is_loaded_by_the_program_that_has_them(tmp_path):
    """Classes of the standard library that can be stored, and the log."""
    program = f"""
from storify import Model, Storify
class User(Model):
    name: str
with Storify({str(tmp_path)!r}) as sf:
    sf.get_db("users", model=User)["ann"] = User("Ann")
"""
    few = {
        *("dataclasses", "decimal", "fractions", "ipaddress", "logging", "numbers"),
        *("pathlib", "string", "textwrap", "traceback", "urllib", "uuid"),
    }

    assert within(loaded(program) - loaded("pass"), few) == set()


@pytest.mark.parametrize("begin", ["enable", "disable"])
def test_the_garbage_collector_is_afterwards_as_it_was(begin):
    """It rests while many modules are loaded."""
    code = f"""
import gc
gc.{begin}()
from storify import Model, Storify
print(gc.isenabled())
"""

    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert done.stdout == f"{begin == 'enable'}\n"


@pytest.mark.parametrize(
    "package", [storify, storify.database, storify.engine], ids=lambda p: p.__name__
)
def test_each_name_that_is_loaded_late_is_found_in_its_place(package):
    """As it would be by a plain import; what is not there is no attribute."""
    for name in package.__all__:
        assert getattr(package, name) is vars(package)[name]
        assert name in dir(package)
    with pytest.raises(AttributeError, match="no attribute 'nowhere'"):
        _ = package.nowhere


#: Opens a database, and from then on nothing more can be imported.
CUT_OFF = """
import sys
from pathlib import Path
from storify import Model, Storify
class User(Model):
    name: str
    tags: list[str] = []
class Refuse:
    def find_spec(self, name, path=None, target=None):
        raise ImportError(f"{name} is not there any more")
sf = Storify(sys.argv[1])
db = sf.get_db("users", model=User)
sys.meta_path.insert(0, Refuse())
db["ann"] = User("Ann", ["a"])
"""


def run_cut_off(folder: Path, rest: str) -> str:
    """Run it to its end; return what it said."""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", CUT_OFF + rest, str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stderr


def test_a_program_that_can_import_nothing_any_more_is_saved_at_its_end(tmp_path):
    """The first object of a class, too, which nothing was planned for."""
    said = run_cut_off(tmp_path, "")

    assert said == ""
    assert Storify(tmp_path)["users"].raw("ann") == {
        "__User__": {"name": "Ann", "tags": ["a"]}
    }


def test_what_cannot_be_saved_is_put_aside_without_an_import(tmp_path):
    """And said: the rest of the state is kept beside the database."""
    said = run_cut_off(tmp_path, "db['bob'] = User('Bob', [object()])\n")

    assert "not there any more" not in said
    assert "$['bob'].tags[0]" in said
    assert list((tmp_path / ".backups" / "users").glob("*.unsaved.mpack"))
