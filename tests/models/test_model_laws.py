"""Laws that hold for any model class and any object of it."""

import copy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_strategies import Leaf, Other, Plain, SubLeaf, made_classes
from storify.models import Model, Registry, Unloaded, asdict, extras
from storify.testing import models


def lower(registry: Registry, value: Any) -> Any:
    """Give *value* as decoded data hold it: models as wrapped dicts."""
    tree = registry.unstructure(value)
    if tree is not None:
        ((keyname, fields),) = tree.items()
        return {keyname: {k: lower(registry, v) for k, v in fields.items()}}
    if isinstance(value, dict):
        return {k: lower(registry, v) for k, v in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(lower(registry, v) for v in value)
    if hasattr(value, "maxlen"):
        return type(value)((lower(registry, v) for v in value), value.maxlen)
    return value


def lift(registry: Registry, tree: Any) -> Any:
    """Decode inner-first, as the codec does."""
    if type(tree) is dict:
        return registry.structure({k: lift(registry, v) for k, v in tree.items()})
    if type(tree) in {list, tuple}:
        return type(tree)(lift(registry, v) for v in tree)
    if hasattr(tree, "maxlen"):
        return type(tree)((lift(registry, v) for v in tree), tree.maxlen)
    return tree


# each example makes classes, which takes milliseconds
many_classes = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def registry_for(made):
    """Make a registry that must not warn."""
    warnings = []
    return Registry(
        [made.cls, Leaf, SubLeaf, Other, Plain], warn=warnings.append
    ), warnings


@many_classes
@given(st.data())
def test_a_round_trip_gives_an_equal_object(data):
    """structure(unstructure(x)) == x, of the same class, stored the same again."""
    made = data.draw(made_classes())
    obj = data.draw(models(made.cls))
    registry, warnings = registry_for(made)
    tree = lower(registry, obj)

    loaded = lift(registry, tree)

    assert type(loaded) is made.cls
    assert loaded == obj
    assert repr(lower(registry, loaded)) == repr(tree)
    assert list(registry.misfits(loaded, made.cls)) == []
    assert warnings == []


@many_classes
@given(st.data())
def test_unknown_names_survive(data):
    """Whatever else is in a record comes back at the next save, in order."""
    made = data.draw(made_classes())
    obj = data.draw(models(made.cls))
    more = data.draw(st.dictionaries(st.text(min_size=1), st.integers(), max_size=4))
    registry, _ = registry_for(made)
    ((keyname, fields),) = lower(registry, obj).items()
    unknown = {f"unknown {k}": v for k, v in more.items()}

    loaded = lift(registry, {keyname: {**unknown, **fields}})

    assert loaded == obj
    assert list(extras(loaded).items()) == list(unknown.items())
    assert lower(registry, loaded) == {keyname: {**fields, **unknown}}


@many_classes
@given(st.data())
def test_no_record_raises_or_is_lost(data):
    """Any fields at all give an object or an Unloaded that saves the same."""
    made = data.draw(made_classes())
    names = list(made.parameters) + [a.name for a in made.cls.__attrs_attrs__]
    values = st.none() | st.integers() | st.text() | st.lists(st.integers())
    fields = data.draw(st.dictionaries(st.sampled_from(names) | st.text(), values))
    registry = Registry([made.cls], warn=lambda _: None)
    tree = {made.cls._keyname(): copy.deepcopy(fields)}

    loaded = registry.structure(tree)
    ((_, again),) = registry.unstructure(loaded).items()

    if isinstance(loaded, Unloaded):
        assert again == fields
    else:
        for name, value in fields.items():
            # conversions keep the items; all else is kept as it is
            assert again[name] == value or list(again[name]) == value


@many_classes
@given(st.data())
def test_copies_are_equal(data):
    """copy, deepcopy, evolve without changes, and asdict twice."""
    made = data.draw(made_classes())
    obj = data.draw(models(made.cls))

    for twin in (copy.copy(obj), copy.deepcopy(obj), obj.evolve()):
        assert twin == obj
        assert asdict(twin).keys() == asdict(obj).keys()
    assert isinstance(obj, Model)
