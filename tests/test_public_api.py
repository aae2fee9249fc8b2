"""The public face: what is exported, what an error is, what importing costs."""

import pickle
import subprocess
import sys
from typing import Any, TypeVar, get_args

import pytest

import storify
from storify import exceptions

V = TypeVar("V")
ERRORS = [getattr(exceptions, name) for name in exceptions.__all__]


def test_all_holds_what_is_there_and_nothing_twice():
    """Every name in ``__all__`` can be imported, and they are sorted."""
    assert storify.__all__ == sorted(storify.__all__)
    assert [name for name in storify.__all__ if not hasattr(storify, name)] == []


def test_all_holds_every_public_name():
    """A public name that is not a submodule is in ``__all__``."""
    public = {
        name
        for name in dir(storify)
        if not name.startswith("_")
        and type(getattr(storify, name)) is not type(sys)
        and name != "TYPE_CHECKING"
    }

    assert public == set(storify.__all__)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_is_a_storify_error(error):
    """And says in its docstring what it means."""
    assert issubclass(error, exceptions.StorifyError)
    assert error.__doc__


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (exceptions.DatabaseClosedError, ValueError),
        (exceptions.DatabaseNameError, ValueError),
        (exceptions.DatabaseLockedError, TimeoutError),
        (exceptions.DatabaseReadOnlyError, PermissionError),
        (exceptions.DatabaseOpenError, RuntimeError),
        (exceptions.StaleStateError, RuntimeError),
        (exceptions.NetworkFilesystemError, OSError),
        (exceptions.UnstorableError, TypeError),
        (exceptions.CheckError, TypeError),
        (exceptions.ModelError, TypeError),
        (exceptions.ModelLoadError, ValueError),
        (exceptions.CorruptionError, exceptions.DatabaseLoadError),
        (exceptions.NewerVersionError, exceptions.ModelLoadError),
        (exceptions.DuplicateKeynameError, exceptions.ModelError),
    ],
)
def test_an_error_is_caught_as_the_builtin_too(error, builtin):
    """Who does not know storify catches what they would expect."""
    assert issubclass(error, builtin)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.UnstorableError("cannot", "$['a']"),
        exceptions.ModelLoadError("cannot", "$.a"),
        exceptions.CheckError("cannot", "$.a"),
        exceptions.ConflictError("cannot", ["a", 1]),
        exceptions.CorruptionError("cannot", ["main: cut"]),
        exceptions.DatabaseLoadError("cannot"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickling(error):
    """Facts and message come through another process."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(again) is type(error)
    assert str(again) == str(error) == "cannot"
    assert vars(again) == vars(error)


def test_importing_hypothesis_does_not_import_storify():
    """A tool that is used everywhere must stay light."""
    code = "import hypothesis, sys; sys.exit('storify' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code


@pytest.mark.parametrize(
    ("cls", "given", "whole"),
    [
        (storify.Database, int, (int, str)),
        (storify.Database, (int, bytes), (int, bytes)),
        (storify.ListDatabase, int, (int,)),
        (storify.Query, int, (int, str)),
        (storify.Index, int, (int, Any, str)),
    ],
)
def test_a_generic_class_takes_its_defaults_at_run_time(cls, given, whole):
    """As in an annotation of a function, which Python evaluates."""
    assert get_args(cls[given]) == whole


def test_a_generic_class_refuses_too_many_parameters():
    """As those of typing do."""
    with pytest.raises(TypeError, match="Too many"):
        _ = storify.Database[int, str, bytes]


def test_a_subclass_of_a_generic_class_may_be_generic_itself():
    """Its parameters are its own."""

    class Named(storify.Database[V]):
        pass

    assert get_args(Named[int]) == (int,)
    assert Named.__mro__[1] is storify.Database
