"""Programs that were written for a folder run on a server, with only the URL exchanged."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit, urlunsplit

import pytest

import pg_servers as servers
from storify.testing import connection_points

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "examples" / "inventory"


@contextmanager
def fresh_url():
    """The URL of an empty database of the server."""
    url = servers.url()
    import psycopg  # noqa: PLC0415 - it may not be there

    name = f"program_{token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        connection.execute(f"drop database {name} (force)")


def program_of(page, blocks):
    """The code of a page that is one program."""
    text = (ROOT / page).read_text()
    found = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return "\n".join(found[:blocks])


@pytest.mark.parametrize(
    ("page", "blocks", "folder"),
    [("README.md", 2, "data"), ("docs/tutorial.md", None, "library")],
)
def test_the_pages_run_on_a_server(page, blocks, folder, tmp_path):
    """The typed example, and the tutorial from its beginning to its end."""
    program = program_of(page, blocks)
    assert f'Storify("{folder}"' in program

    with fresh_url() as url:
        program = program.replace(f'Storify("{folder}"', f'Storify("{url}"')
        done = subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert not (tmp_path / folder).exists()


def test_the_program_of_the_guide_runs_on_a_server(tmp_path):
    """It says there what it says in a folder, but for where it has saved."""
    said = []
    with fresh_url() as url:
        for place in (str(tmp_path / "data"), url):
            done = subprocess.run(  # noqa: S603 - our own
                [sys.executable, str(ROOT / "examples" / "todo.py"), place],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            said.append(
                [each for each in done.stdout.splitlines() if "saved to" not in each]
            )

    assert said[0] == said[1]
    assert any("✓ (t1)" in line for line in said[1])
    assert [each.name for each in tmp_path.iterdir()] == ["data"]


@pytest.fixture
def project(tmp_path):
    """The inventory, where its own tests are."""
    leftovers = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")
    return Path(shutil.copytree(PROJECT, tmp_path / "inventory", ignore=leftovers))


def test_the_inventory_passes_its_tests_on_a_server(project):
    """Those of its warehouse, whose Storify is another."""
    servers.require()
    (project / "tests" / "conftest.py").write_text(
        "import pytest\n\n\n@pytest.fixture\ndef sf(pg_sf):\n    return pg_sf\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/test_warehouse.py"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout


def test_an_order_is_shipped_as_a_whole_at_each_question(project, monkeypatch):
    """Its scenario for disk calls, cut off from a server."""
    servers.require()
    monkeypatch.syspath_prepend(str(project))
    monkeypatch.syspath_prepend(str(project / "tests"))
    crashes = importlib.import_module("test_crashes")
    states = {
        (): {*crashes.BEFORE, crashes.RESERVED},
        ("reserved",): {crashes.RESERVED, crashes.SHIPPED},
        ("reserved", "shipped"): {crashes.SHIPPED},
    }

    for severed in connection_points(crashes.ship, most=15):
        with severed.reopen() as sf:
            assert crashes.found(sf) in states[tuple(severed.done)], severed
            assert sf.check() == []
