"""Objects of declared classes, made of drawn values.

By the constructor of the class, so that what it refuses is never drawn. Where a
converter does not take what its field holds, the values are set as a load sets them.
"""

from typing import Any, Final, cast

import attrs
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from storify.models import Model
from storify.models.fields import convert, default_of
from storify.models.options import class_options
from storify.models.state import bare, blank, state_of

from ._nesting import deeper, is_endless
from ._running import refusals

__all__ = ["Part", "declared_objects", "is_computed"]

Strategy = st.SearchStrategy[Any]

#: Of a byte that is this or more, the field keeps its default: one time in 8. What is
#: drawn shrinks to 0, so a failing example tells the values.
_LEFT_OUT: Final = 224


class Part:
    """A field that is drawn.

    Args:
        attribute: The field.
        strategy: What it is drawn from.
        is_given: Whether the user gave the strategy.
        is_wanted: Whether it is always drawn, though it has a default.
    """

    def __init__(
        self,
        attribute: "attrs.Attribute[Any]",
        strategy: Strategy,
        *,
        is_given: bool = False,
        is_wanted: bool = False,
    ) -> None:
        self.attribute = attribute
        self.strategy = strategy
        self.is_given = is_given
        self.is_wanted = is_wanted

    def __repr__(self) -> str:
        # Hypothesis shows what it drew from
        return f"{self.attribute.name}={self.strategy!r}"

    @property
    def may_be_left_out(self) -> bool:
        """Whether the default is one possible value."""
        has_default = self.attribute.default is not attrs.NOTHING
        return has_default and not self.is_given and not self.is_wanted


def is_computed(cls: type, attribute: "attrs.Attribute[Any]") -> bool:
    """Tell whether the class finds a field's value itself, from others."""
    if attribute.init:
        return False
    default: Any = attribute.default
    takes_self = getattr(default, "takes_self", False)
    return takes_self or hasattr(cls, "__attrs_post_init__")


@st.composite
def declared_objects(draw: st.DrawFn, cls: type[Model], parts: list[Part]) -> Model:
    """Return objects of *cls* with these fields drawn."""
    values: dict[str, Any] = {}
    if is_endless():
        refusals.last = f"{refusals.field} has no end: it holds another one each time"
        reject()
    left_out = _drawn_left_out(draw, parts)
    with deeper():
        for part in parts:
            refusals.field = f"{cls.__qualname__}.{part.attribute.name}"
            try:
                value = draw(part.strategy)
            except InvalidArgument as err:
                msg = f"{cls.__qualname__}.{part.attribute.name}: {err}"
                raise InvalidArgument(msg) from err
            if part.attribute.name not in left_out:
                values[part.attribute.name] = value
    given = {part.attribute.name for part in parts if part.is_given}
    return _make(cls, values, given)


def _drawn_left_out(draw: st.DrawFn, parts: list[Part]) -> set[str]:
    """Draw which fields keep their defaults, in one go: there may be hundreds.

    Their values are drawn all the same, so that nothing else moves when that shrinks.
    """
    names = [part.attribute.name for part in parts if part.may_be_left_out]
    if not names:
        return set()
    chosen = draw(st.binary(min_size=len(names), max_size=len(names)))
    drawn = zip(names, chosen, strict=True)
    return {name for name, byte in drawn if byte >= _LEFT_OUT}


def _make(cls: type[Model], values: dict[str, Any], given: set[str]) -> Model:
    """Make an object of drawn values; one that its class refuses is none."""
    attributes = {a.name: a for a in class_options(cls).attributes}
    refused = {
        name
        for name, value in values.items()
        if name not in given and not _is_converted(attributes[name], value)
    }
    try:
        return _as_loaded(cls, values, refused) if refused else _called(cls, values)
    except Exception as err:
        if _ran_post_init(cls, err) and not isinstance(err, ValueError):
            raise
        _note_refusal(cls, values, err)
        reject()


def _note_refusal(cls: type[Model], values: dict[str, Any], err: Exception) -> None:
    """Find out which field refuses an object of *cls* with these values."""
    where = cls.__qualname__
    obj, _ = bare(cls)
    state_of(obj).update(values)
    for attribute in class_options(cls).attributes:
        name = attribute.name
        try:
            if name not in values and attribute.default is not attrs.NOTHING:
                state_of(obj)[name] = default_of(attribute, obj)
            if attribute.validator is not None and name in state_of(obj):
                attribute.validator(obj, attribute, state_of(obj)[name])
        except Exception as found:  # noqa: BLE001 -- it is what is told
            err, where = found, f"{cls.__qualname__}.{name}"
            break
    refusals.note(where, err)


def _called(cls: type[Model], values: dict[str, Any]) -> Model:
    attributes = {a.name: a for a in class_options(cls).attributes}
    after = {n: x for n, x in values.items() if not attributes[n].init}
    obj = cls(
        **{str(attributes[n].alias): x for n, x in values.items() if n not in after}
    )
    if after:
        state_of(obj).update(after)
        attrs.validate(cast("Any", obj))
    return obj


def _as_loaded(cls: type[Model], values: dict[str, Any], refused: set[str]) -> Model:
    """Make an object that holds what some of its converters do not take."""
    obj: Model = blank(cls)
    attributes = {a.name: a for a in class_options(cls).attributes}
    for name, value in values.items():
        kept = name in refused or not attributes[name].init
        held = value if kept else convert(attributes[name], obj, value)
        state_of(obj)[name] = held
    attrs.validate(cast("Any", obj))
    post_init = getattr(obj, "__attrs_post_init__", None)
    if post_init is not None:
        post_init()
    return obj


def _is_converted(attribute: "attrs.Attribute[Any]", value: Any) -> bool:
    """Tell whether the converter of a field takes what the field holds."""
    converter: Any = cast("Any", attribute).converter
    if converter is None or getattr(converter, "takes_self", False):
        return True
    try:
        convert(attribute, None, value)
    except (TypeError, AttributeError):
        return False
    except Exception:  # noqa: BLE001 -- it takes such values, but not this one
        reject()
    return True


def _ran_post_init(cls: type[Model], err: Exception) -> bool:
    code = getattr(getattr(cls, "__attrs_post_init__", None), "__code__", None)
    place = err.__traceback__
    while place is not None:
        if place.tb_frame.f_code is code:
            return True
        place = place.tb_next
    return False
