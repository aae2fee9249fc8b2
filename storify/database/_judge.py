"""What a typed database gives is of its type, or it is an error.

A value that was loaded is judged when it is read. The code that builds objects tells
when it left a value as it was because nothing made it fit, and the keys of what was
decoded then are doubtful: what lies there is walked through, until it was put right.
So are those of values that a quick look into them finds odd, where the type says more
than a class does, as ``list[int]``. Of all others a look at the class is enough.
"""

from typing import TYPE_CHECKING, Any

from storify.exceptions import ModelError
from storify.models import Check, Misfit

if TYPE_CHECKING:
    from storify.database._schema import Schema

__all__ = ["Judge"]


class Judge:
    """Judges the values of one database.

    Attributes:
        cls: The class of most of its values; they need no further look unless they
            are doubtful. None if there is no such class.

    Args:
        schema: Knows the classes.
        hint: The type of the values.
    """

    def __init__(self, schema: "Schema", hint: Any) -> None:
        self._schema = schema
        self._hint = hint
        self._refresh()

    def _refresh(self) -> None:
        registry = self._schema.registry
        self._newer = registry.count_newer()
        self._is_known = True
        self._fits: Check | None = None
        try:
            self._outer = registry.outer_classes(self._hint)
            self._fits = registry.fit_check(self._hint)
        except ModelError:  # a base whose subclasses are stored, registered or not
            self._outer = (self._hint,) if isinstance(self._hint, type) else None
            self._is_known = False
        self.cls = self._outer[0] if self._outer else None

    @property
    def quick_look(self) -> Check | None:
        """What tells of a loaded value that it surely fits; None if its class does."""
        return None if self._fits is None else self.fits

    def fits(self, value: Any) -> bool:
        """Tell of a loaded value whether it surely is of the type, seen quickly."""
        if self._newer != self._schema.registry.count_newer():
            self._refresh()
        return self._fits is None or self._fits(value)

    def misfit(self, value: Any, *, is_doubtful: bool) -> Misfit | None:
        """Return the first place where *value* is not of the type; None if it is."""
        if self._newer != self._schema.registry.count_newer():
            self._refresh()  # a class was defined again
        is_one = self._outer is None or isinstance(value, self._outer)
        if is_one and not (is_doubtful and self._is_known):
            return None
        found = self._schema.judge(value, self._hint) if self._is_known else None
        if is_one or found:
            return found
        expected = getattr(self._hint, "__qualname__", str(self._hint))
        return Misfit("$", "wrong type", expected, type(value).__name__)
