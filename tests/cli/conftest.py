"""A folder with a program in it, and what runs commands there."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from storify import Storify
from storify.cli._app import app

SHOP = """
from enum import Enum

from storify import Model, field, migration


class Kind(Enum):
    GUEST = 1
    OWNER = 2


class User(Model, version=1):
    name: str
    years: int = field(was="age", default=0)
    kind: Kind = Kind.GUEST

    @migration(0)
    @staticmethod
    def _shout(fields):
        fields["name"] = fields["name"].upper()
"""

#: The class of the former program.
OLD = """
from storify import Model


class User(Model):
    name: str
    age: object = 0
"""

Run = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder; what is imported in the test is forgotten after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    known = set(sys.modules)
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "former.py").write_text(OLD)
    yield tmp_path
    for name in sys.modules.keys() - known:
        path = getattr(sys.modules[name], "__file__", None) or ""
        if path.startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def run(here: Path) -> Run:
    """Runs a command in this process."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, list(map(str, arguments)))

    return run


@pytest.fixture
def fill(here: Path) -> Callable[..., None]:
    """Saves records of the former program in a folder."""

    def fill(folder: str = "data", name: str = "users", **users: object) -> None:
        namespace: dict = {"__name__": "former"}
        exec(OLD, namespace)  # noqa: S102 - the program above
        user = namespace["User"]
        with Storify(here / folder, save_interval=None, models=[user]) as sf:
            db = sf.get_db(name)
            db.update({key: user("ann", age) for key, age in users.items()})

    return fill


def files(folder: Path) -> dict[Path, bytes]:
    """Everything in a folder."""
    return {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
