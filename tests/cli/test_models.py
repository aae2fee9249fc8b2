"""``--models``: the classes of a module or a file, and what stands in the way."""

import sys

import pytest

from storify import Model
from storify.cli._shared import Failure, load_classes


@pytest.fixture
def write(here):
    """Writes a module into the current folder."""

    def write(name, text):
        path = here / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def names(classes):
    """The names of classes, sorted."""
    return sorted(each.__name__ for each in classes)


def test_classes_of_a_module_and_those_it_imports_are_found(write):
    """Models, enums, named tuples and dataclasses; nothing of storify or the like."""
    write("base.py", "from storify import Model\n\nclass Base(Model):\n    x: int\n")
    write(
        "classes.py",
        "from collections import OrderedDict\n"
        "from dataclasses import dataclass\n"
        "from enum import Enum, Flag\n"
        "from typing import Any, NamedTuple\n\n"
        "from base import Base\n"
        "from storify import Diff, Model, Ref\n\n"
        "class Color(Enum):\n    RED = 1\n\n"
        "class Pair(NamedTuple):\n    left: int\n\n"
        "@dataclass\nclass Point:\n    x: int\n\n"
        "class Plain:\n    pass\n\n"
        "class Mine(Base):\n    y: int\n\n"
        "point = Point(1)\n",
    )

    found = load_classes(["classes"])

    assert names(found.models) == ["Base", "Mine"]
    assert names(found.types) == ["Color", "Pair", "Point"]
    assert found.names["Plain"].__name__ == "Plain"


def test_a_module_in_a_package_is_imported_from_the_current_folder(write):
    """As ``python -m`` would."""
    write("store/__init__.py", "")
    write(
        "store/kinds.py", "from storify import Model\n\nclass A(Model):\n    x: int\n"
    )

    assert names(load_classes(["store.kinds"]).models) == ["A"]


def test_several_modules_are_put_together(write):
    """Each class once."""
    write("one.py", "from storify import Model\n\nclass A(Model):\n    x: int\n")
    write("two.py", "from one import A\n\nclass B(A):\n    y: int\n")

    assert names(load_classes(["one", "two"]).models) == ["A", "B"]


def test_a_file_is_imported_by_its_path_with_what_stands_beside_it(write):
    """As a script would be; twice gives the same classes."""
    write("deep/beside.py", "VALUE = 1\n")
    write(
        "deep/schema.py",
        "from beside import VALUE\nfrom storify import Model\n\n"
        "class A(Model):\n    x: int = VALUE\n    next: 'A | None' = None\n",
    )

    (first,) = load_classes(["deep/schema.py"]).models
    (second,) = load_classes(["deep/schema.py"]).models

    assert first is second
    assert first(3).x == 3
    assert issubclass(first, Model)


def test_a_file_with_the_name_of_another_module_is_imported_beside_it(write):
    """That module stays what it is."""
    import json  # noqa: PLC0415 - to look at it before and after

    path = write(
        "json.py", "from storify import Model\n\nclass A(Model):\n    x: 'A | None'\n"
    )

    (found,) = load_classes([str(path)]).models

    assert found.__name__ == "A"
    assert sys.modules["json"] is json
    del sys.modules[found.__module__]


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("absent", None, "ModuleNotFoundError: No module named 'absent'"),
        ("absent.py", None, "FileNotFoundError"),
        ("wrong", "x = (\n", "SyntaxError"),
        ("wrong.py", "import nothing_of_the_kind\n", "nothing_of_the_kind"),
        ("wrong", "\n1 / 0\n", "ZeroDivisionError: division by zero"),
        ("wrong", "import sys\nsys.exit(3)\n", "SystemExit: 3"),
        (
            "wrong",
            "from storify import Model\n\nclass A(Model, nonsense=1):\n    x: int\n",
            "ModelError",
        ),
        ("", None, "ValueError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_failure_with_its_cause(
    write, name, text, cause
):
    """The module's own error is told, and where it was raised."""
    if text is not None:
        write("wrong.py", text)

    with pytest.raises(Failure) as caught:
        load_classes([name])

    assert str(caught.value).startswith(f"cannot import the models {name!r}: ")
    assert cause in str(caught.value)
    assert "wrong" not in sys.modules


def test_the_place_of_an_error_in_the_module_is_told(write):
    """File and line, in the place of a traceback."""
    path = write("wrong.py", "\n\n1 / 0\n")

    with pytest.raises(Failure) as caught:
        load_classes(["wrong"])

    assert f"({path}, line 3)" in str(caught.value)


def test_a_command_ends_with_2_if_the_models_cannot_be_imported(run, fill):
    """One line on the standard error."""
    fill(u1=7)

    result = run("check", "data", "--models", "nope")

    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "No module named 'nope'" in result.stderr


def test_a_command_ends_with_2_if_two_classes_have_one_name(run, fill):
    """The database could not tell them apart."""
    fill(u1=7)

    result = run("check", "data", "-m", "shop", "-m", "former")

    assert result.exit_code == 2
    assert "'__User__' is claimed by both" in result.stderr
