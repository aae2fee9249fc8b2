"""The strategies of attrs' and cattrs' own test suites, from their source distributions.

pip fetches the sources of the installed versions from whatever registry it is set up
for; nothing of them is copied into this repository.
"""

import enum
import importlib
import itertools
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import new_class
from typing import Any, NamedTuple, get_args

import attrs
from hypothesis import strategies as st

from storify import Model
from storify.testing._same import facts

PACKAGES = ("attrs", "cattrs")
_numbers = itertools.count()


class Drawn(NamedTuple):
    """A generated object and the classes that a database must know for it."""

    value: Any
    types: list[type[Any]]


def fetch(folder: Path) -> None:
    """Put the test suites into packages ``attrs_tests`` and ``cattrs_tests``.

    Raises:
        OSError: pip cannot fetch them, with what it said last.
    """
    wanted = [f"{name}=={metadata.version(name)}" for name in PACKAGES]
    done = subprocess.run(  # noqa: S603 -- pip of this interpreter
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--no-binary", ",".join(PACKAGES), "--dest", str(folder), *wanted),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line]
        message = (said or ["pip failed"])[-1]
        raise OSError(message)
    for name, requirement in zip(PACKAGES, wanted, strict=True):
        stem = requirement.replace("==", "-")
        with tarfile.open(folder / f"{stem}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
        (folder / stem / "tests").rename(folder / f"{name}_tests")


def objects() -> dict[str, st.SearchStrategy[Drawn]]:
    """Give the strategies for objects by name; what `fetch` made can be imported."""
    typed = importlib.import_module("cattrs_tests.typed")
    untyped = importlib.import_module("cattrs_tests.untyped")
    dicts = importlib.import_module("cattrs_tests.typeddicts")
    plain = importlib.import_module("attrs_tests.strategies")
    calls = {
        "typed": typed.simple_typed_classes(),
        "typed frozen": typed.simple_typed_classes(frozen=True),
        "typed nested": typed.nested_typed_classes(),
        "typed dataclasses": typed.simple_typed_dataclasses(),
        "untyped": untyped.simple_classes(),
        "untyped nested": untyped.nested_classes(),
    }
    values = {
        "sequences": untyped.seqs_of_primitives,
        "deques": untyped.deque_seqs_of_primitives,
        "sets": untyped.sets_of_primitives,
        "dicts": untyped.dicts_of_primitives,
        "typed dicts": dicts.simple_typeddicts().map(_turned),
        "generic typed dicts": dicts.generic_typeddicts().map(_turned),
        "enums": untyped.enums_of_primitives().flatmap(
            lambda cls: st.tuples(st.sampled_from(list(cls)), st.just(cls))
        ),
    }
    classes = {"attrs": plain.simple_classes(), "attrs nested": plain.nested_classes}
    made = {name: each.map(_called) for name, each in calls.items()}
    made |= {name: each.map(lambda cls: cls()) for name, each in classes.items()}
    return {
        **{name: each.map(_drawn) for name, each in made.items()},
        **{f"{name} in models": each.map(_as_model) for name, each in made.items()},
        **{name: each.map(_in_attrs) for name, each in values.items()},
        **{f"{name} in models": each.map(_in_model) for name, each in values.items()},
    }


def _called(drawn: tuple[type[Any], tuple[Any, ...], dict[str, Any]]) -> Any:
    cls, args, kwargs = drawn
    return cls(*args, **kwargs)


def _turned(drawn: tuple[Any, Any]) -> tuple[Any, Any]:
    return drawn[1], drawn[0]


def _in_attrs(drawn: tuple[Any, Any]) -> Drawn:
    value, hint = drawn
    cls = attrs.make_class("Holder", {"held": attrs.field(type=hint)})
    return _drawn(cls(value))


def _in_model(drawn: tuple[Any, Any]) -> Drawn:
    value, hint = drawn
    return _model_of({"held": (hint, value)})


def _as_model(value: Any) -> Drawn:
    fields = _fields(type(value))
    return _model_of(
        {name.lstrip("_"): (hint, getattr(value, name)) for name, hint in fields}
    )


def _model_of(fields: dict[str, tuple[Any, Any]]) -> Drawn:
    hints = {name: hint for name, (hint, _) in fields.items()}
    values = {name: value for name, (_, value) in fields.items()}
    types = _classes([*hints.values()], [*values.values()])

    def fill(body: dict[str, Any]) -> None:
        body |= {"__annotations__": hints, "__module__": __name__}

    cls = new_class(f"HypModel{next(_numbers)}", (Model,), None, fill)
    return Drawn(cls(**values), types)


def _drawn(value: Any) -> Drawn:
    return Drawn(value, _classes([type(value)], [value]))


def _classes(hints: Iterable[Any], values: Iterable[Any]) -> list[type[Any]]:
    """Give all classes to register, each under a name that no other one has."""
    found: dict[type[Any], None] = {}
    todo = [*hints, *(type(fact.value) for each in values for fact in facts(each))]
    while todo:
        hint = todo.pop()
        todo += get_args(hint)
        if hasattr(hint, "__supertype__"):  # a NewType
            todo.append(hint.__supertype__)
        if not _is_own(hint) or hint in found:
            continue
        found[hint] = None
        hint.__qualname__ = hint.__name__ = f"{hint.__name__}{next(_numbers)}"
        if not issubclass(hint, enum.Enum):
            todo += [each for _, each in _fields(hint)]
    return list(found)


def _is_own(hint: Any) -> bool:
    if not isinstance(hint, type):
        return False
    is_enum = issubclass(hint, enum.Enum) and hint is not enum.Enum
    return is_enum or hasattr(hint, "__dataclass_fields__") or attrs.has(hint)


def _fields(cls: Any) -> list[tuple[str, Any]]:
    """Give the names and the types of the fields, `Any` without one."""
    if attrs.has(cls):
        return [(a.name, Any if a.type is None else a.type) for a in attrs.fields(cls)]
    return [(name, f.type) for name, f in cls.__dataclass_fields__.items()]
