"""`assert_upgrades`: what an older class stored loads as the new one, and back."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from storify.models import Model, Unloaded
from storify.models.options import class_options

from ._bench import Bench, Classes
from ._models import all_of
from ._running import Failed, for_each, is_fresh
from ._same import facts, first_difference, looks

__all__ = ["assert_upgrades"]

A = TypeVar("A", bound=Model)
B = TypeVar("B", bound=Model)


def assert_upgrades(
    old: type[A],
    new: type[B],
    *,
    check: Callable[[A, B], object] | None = None,
    examples: int = 200,
    models: Iterable[type[Any]] = (),
    types: Classes = (),
) -> None:
    """Assert that records of an older class survive the change to a newer one.

    Each loads as the new class and fits its annotations, and what is saved then
    stays the same. And where an old program, which still runs somewhere, reads what
    the new one wrote and saves it again, nothing that the new class needs is lost.

    ::

        class UserV1(Model, keyname="__User__"):  # as it was
            name: str

        def test_user():
            assert_upgrades(UserV1, User)

    Args:
        old: The class as it was, with the keyname that it had.
        new: The class as it is.
        check: Called with each old object and what it became; it raises, or gives
            False, if that is wrong.
        examples: How many objects are stored.
        models: Further classes of the new program. Those in annotations of *new*
            are registered by themselves.
        types: Enums, dataclasses and the like of both programs.

    Raises:
        AssertionError: With the least example that was found.
        ValueError: *new* does not read the keyname of *old*.
    """
    __tracebackhide__ = True
    if is_fresh():
        return
    name = old._keyname()
    if name not in {new._keyname(), *class_options(new).was}:
        msg = (
            f"{new.__qualname__} does not read {name!r}, which {old.__qualname__} "
            f"writes; give {old.__qualname__} the keyname that it had, or "
            f"{new.__qualname__} was={name!r}"
        )
        raise ValueError(msg)
    types = list(types)
    with Bench([old], types) as before, Bench([new, *models], types) as after:
        programs = _Programs(before, after, new, cast("Any", check))
        call = f"assert_upgrades({old.__qualname__}, {new.__qualname__})"
        for_each(all_of(old), programs.upgrade, examples=examples, call=call)
        for_each(all_of(new), programs.downgrade, examples=examples, call=call)


class _Programs:
    """The old program and the new one, with one database."""

    def __init__(
        self,
        old: Bench,
        new: Bench,
        cls: type[Model],
        check: Callable[[Any, Any], object] | None,
    ) -> None:
        self._old = old.codec
        self._new = new.codec
        self._misfits = new.misfits
        self._cls = cls
        self._check = check

    def upgrade(self, value: Model) -> None:
        """Take an object of the old class to the new one."""
        loaded = self._load(value)
        saved = self._saved(loaded)
        again = self._new.decode(saved)
        self._expect(loaded, again, "saved by the new class it came back different")
        if self._new.encode(again) != saved:
            msg = "each save of the new class writes other bytes"
            raise Failed(msg, ("loaded", looks(loaded)))
        self._ask(value, loaded)

    def downgrade(self, value: Model) -> None:
        """Let an old program save what the new one wrote."""
        saved = self._saved(value)
        loaded = self._new.decode(saved)
        back = self._new.decode(self._old.encode(self._old.decode(saved)))
        self._expect(loaded, back, "an old program that saves it again loses something")

    def _saved(self, value: Model) -> bytes:
        try:
            return self._new.encode(value)
        except Exception as err:
            problem = f"the new class cannot store it: {type(err).__name__}: {err}"
            raise Failed(problem) from err

    def _load(self, value: Model) -> Model:
        try:
            stored = self._old.encode(value)
        except Exception as err:
            problem = f"the old class cannot store it: {type(err).__name__}: {err}"
            raise Failed(problem) from err
        loaded = self._new.decode(stored)
        name = self._cls.__qualname__
        if not isinstance(loaded, self._cls):
            reason = loaded.error if isinstance(loaded, Unloaded) else looks(loaded)
            msg = f"it does not load as {name}"
            raise Failed(msg, ("reason", reason))
        for misfit in self._misfits(loaded, self._cls):
            if misfit.kind == "unknown":
                continue  # of a field that was removed: kept until it is dropped
            where = f"{misfit.path}: expected {misfit.expected}, found {misfit.found}"
            msg = f"it does not fit the annotations of {name}"
            raise Failed(msg, ("where", where), ("loaded", looks(loaded)))
        return loaded

    def _expect(self, one: object, other: object, problem: str) -> None:
        # an old program may add what the new class does not know
        found = first_difference(facts(one, unknown=False), facts(other, unknown=False))
        if found is not None:
            details = ("loaded", looks(one)), ("came back", looks(other))
            raise Failed(problem, ("where", found), *details)

    def _ask(self, old: Model, new: Model) -> None:
        if self._check is None:
            return
        try:
            verdict = self._check(old, new)
        except AssertionError as err:
            problem = f"check says no: {err}"
            raise Failed(problem, ("loaded", looks(new))) from err
        if verdict is False:
            msg = "check says no"
            raise Failed(msg, ("loaded", looks(new)))
