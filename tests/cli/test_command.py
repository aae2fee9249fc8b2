"""The command as a whole: how it starts, what it offers, how it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

import storify
from storify.cli import main


def python(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run Python in a process of its own."""
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=60,
    )


def test_the_version_is_that_of_the_package(run):
    """It is shown alone, and nothing else is done."""
    result = run("--version")

    assert result.exit_code == 0
    assert result.stdout == f"storify {storify.__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["migrate"],
        *(["schema", each] for each in ("show", "lock", "check")),
        *(["import", each] for each in ("shelve", "sqlitedict", "tinydb", "storify")),
    ],
    ids=" ".join,
)
def test_each_command_explains_itself_by_an_example(run, command):
    """The example begins as one would type it."""
    result = run(*command, "--help")

    assert result.exit_code == 0
    assert f"Example: storify {' '.join(command)}" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    "arguments", [[], ["check"], ["check", "data", "--modles", "x"], ["nonsense"]]
)
def test_a_command_that_is_no_command_ends_with_2(run, arguments):
    """What could be meant is told on the standard error."""
    result = run(*arguments)

    assert result.exit_code == 2
    assert "Usage" in result.output


def test_it_is_a_module_too(here, fill):
    """``python -m storify`` finds modules in the current folder, and exits by code."""
    fill(u1="seven")

    found = python("-m", "storify", "check", "data", "--models", "shop", cwd=here)
    clean = python("-m", "storify", "schema", "lock", "--models", "shop", cwd=here)

    assert found.returncode == 1, found.stderr
    assert "users $['u1'].years: wrong type: expected int, found str" in found.stdout
    assert clean.returncode == 0, clean.stderr


def test_a_failure_is_told_without_a_traceback(here):
    """In a process of its own, as a user sees it."""
    failed = python("-m", "storify", "check", "nowhere", cwd=here)

    assert failed.returncode == 2
    assert failed.stdout == ""
    assert failed.stderr == "storify: there is no file or folder 'nowhere'\n"


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_libraries_one_line_tells_what_to_install(
    monkeypatch, capsys, missing
):
    """They are an extra: storify itself does not need them."""
    for name in list(sys.modules):
        if name.startswith("storify.cli."):
            monkeypatch.delitem(sys.modules, name)
        if name == missing or name.startswith(f"{missing}."):
            monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        f"storify: {missing} is missing; install 'storify[cli]'\n"
    )


def test_what_else_cannot_be_imported_is_no_missing_extra(monkeypatch):
    """A broken installation is not explained away."""
    for name in list(sys.modules):
        if name.startswith("storify.cli."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "storify.importers", None)

    with pytest.raises(ModuleNotFoundError, match=r"storify\.importers"):
        main()


def test_main_runs_the_command_line_of_the_process(monkeypatch, capsys):
    """It is the entry point of the script."""
    monkeypatch.setattr(sys, "argv", ["storify", "--version"])

    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("storify ")


def test_storify_itself_imports_no_command_line():
    """A program that stores does not pay for the terminal."""
    done = python(
        "-c",
        "import sys, storify; sys.exit(bool({'typer', 'rich', 'storify.cli'}"
        " & set(sys.modules)))",
    )

    assert done.returncode == 0
