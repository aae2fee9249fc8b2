"""Single cases of classes that changed, each as hard as we could think of."""

import pytest

from evolution.programs import class_of, run
from storify import Model, field
from storify.exceptions import ModelError, NewerVersionError
from storify.models import Unloaded, extras, migration


def put(*values):
    """Give a program that stores *values*."""
    return lambda db: db.update({str(i): value for i, value in enumerate(values)})


def change(**fields):
    """Give a program that changes fields of the first record."""

    def program(db):
        for name, value in fields.items():
            setattr(db["0"], name, value)

    return program


def first(db):
    """Give the first record."""
    return db["0"]


# --- older programs -----------------------------------------------------------------


def test_a_nested_record_of_an_unknown_class_is_not_taken_for_fields(root):
    """It has a plain keyname, and a program that is older does not know it."""
    old_leaf = class_of("Leaf", {"n": int}, body={"n": 0}, keyname="leaf")
    old = class_of("Tree", {"leaf": old_leaf, "leaves": list[old_leaf], "x": int})
    leaf = class_of("Leaf", {"n": int}, body={"n": 0}, keyname="blade", was="leaf")
    new = class_of("Tree", {"leaf": leaf, "leaves": list[leaf], "x": int})
    run(root, [new], put(new(leaf(1), [leaf(2)], 3)))

    seen = run(root, [old], first)
    run(root, [old], change(x=4))

    assert seen.leaf == {"blade": {"n": 1}}
    assert seen.leaves == [{"blade": {"n": 2}}]
    assert run(root, [new], first) == new(leaf(1), [leaf(2)], 4)


def test_a_nested_record_of_an_unknown_class_is_not_migrated(root):
    """It looks like fields without a version, so like the oldest of all."""

    def reset(fields):
        fields["n"] = 0

    body = {"_step": migration(0)(reset)}
    old_leaf = class_of("Leaf", {"n": int}, keyname="leaf", version=1, body=body)
    old = class_of("Tree", {"leaf": old_leaf, "x": int})
    leaf = class_of(
        "Leaf", {"n": int}, keyname="blade", was="leaf", version=1, body=body
    )
    new = class_of("Tree", {"leaf": leaf, "x": int})
    run(root, [new], put(new(leaf(1), 3)))

    run(root, [old], change(x=4))

    assert run(root, [new], first) == new(leaf(1), 4)


def test_a_nested_record_of_an_unknown_class_is_not_given_to_handwritten_code(root):
    """A hand-written class would take any names as attributes."""

    class Blade(Model):
        n: int = 0

    class Leaf(Model):
        def __init__(self):
            self.n = 0

    old = class_of("Tree", {"leaf": Leaf, "x": int})
    blade = class_of("Leaf", {"n": int}, keyname="blade")
    new = class_of("Tree", {"leaf": blade, "x": int})
    run(root, [new], put(new(blade(1), 3)))

    run(root, [old], change(x=4))

    assert run(root, [new], first) == new(blade(1), 4)


def test_a_nested_dict_of_several_names_is_still_taken_for_fields(root):
    """Only one that could be a record itself is left alone."""
    leaf = class_of("Leaf", {"n": int}, body={"n": 0})
    tree = class_of("Tree", {"leaf": leaf})
    untyped = class_of("Tree", {"leaf": dict})
    run(root, [untyped], put(untyped({"a": {}, "b": {}}), untyped({})))

    one, none = run(root, [tree], lambda db: [t.leaf for t in db.values()])

    assert one == none == leaf(0)
    assert dict(extras(one)) == {"a": {}, "b": {}}


def test_upgrade_is_not_asked_about_a_newer_record(root):
    """What it would make of a record that is kept raw is no older form of it."""
    old_address = class_of("Address", {"street": str})
    upgrade = field(upgrade=old_address)
    several = field(upgrade=lambda one: [old_address(repr(one))])
    by_name = field(upgrade=lambda items: {"all": old_address(repr(items))})
    old = class_of(
        "User",
        {
            "home": old_address,
            "others": list[old_address],
            "named": dict[str, old_address],
            "name": str,
        },
        body={"home": upgrade, "others": several, "named": by_name},
    )
    address = class_of("Address", {"street": str, "no": int}, version=1)
    new = class_of(
        "User",
        {
            "home": address,
            "others": list[address],
            "named": dict[str, address],
            "name": str,
        },
    )
    elm, oak, ash = address("Elm", 1), address("Oak", 2), address("Ash", 3)
    ann = new(elm, [oak], {"work": ash}, "Ann")
    run(root, [new], put(ann))

    run(root, [old], change(name="Bea"))

    assert run(root, [new], first) == ann.evolve(name="Bea")
    assert run(root, [old], lambda db: type(db["0"].home)) is Unloaded


def test_an_older_program_keeps_what_it_does_not_know_in_order(root):
    """Names that were added are saved again after its own, as they stood."""
    old = class_of("User", {"name": str})
    new = class_of("User", {"z": int, "name": str, "a": int, "m": list[int]})
    run(root, [new], put(new(1, "Ann", 2, [3])))

    run(root, [old], change(name="Bea"))

    assert run(root, [old], lambda db: [*extras(db["0"])]) == ["z", "a", "m"]
    assert run(root, [new], first) == new(1, "Bea", 2, [3])


def test_a_strict_older_program_stores_what_it_does_not_know(root):
    """An unknown name is no value of a wrong type."""
    old = class_of("User", {"name": str})
    new = class_of("User", {"name": str, "age": int})
    run(root, [new], put(new("Ann", 2)))

    def program(db):
        db["0"].name = "Bea"
        db["0"] = db["0"].evolve()

    run(root, [old], program, strict=True)

    assert run(root, [new], first) == new("Bea", 2)


def test_a_record_without_the_old_name_is_kept_raw_by_an_older_program(root):
    """The field was renamed, and the older class requires it by its old name."""
    old = class_of("User", {"name": str})
    new = class_of("User", {"full": str}, body={"full": field(was="name")})
    run(root, [new], put(new("Ann")))
    before = (root / "data.mpack").read_bytes()

    loaded = run(root, [old], first)
    run(root, [old], lambda db: db.update({"1": old("Bea")}))

    assert type(loaded) is Unloaded
    assert before[1:] in (root / "data.mpack").read_bytes()
    assert run(root, [new], lambda db: [*db.values()]) == [new("Ann"), new("Bea")]


def test_the_new_name_wins_over_one_that_an_older_program_left(root):
    """An older program had a default for the old name, and saved that beside it."""
    old = class_of("User", {"name": str, "x": int}, body={"name": "", "x": 0})
    new = class_of(
        "User", {"full": str, "x": int}, body={"full": field(was="name"), "x": 0}
    )
    run(root, [new], put(new("Ann")))

    run(root, [old], change(x=1))

    loaded = run(root, [new], first)
    assert loaded == new("Ann", 1)
    assert dict(extras(loaded)) == {"name": ""}


def test_a_class_that_forbids_unknown_names_takes_its_own_former_ones(root):
    """Or an older program would make records unreadable by saving them."""
    old = class_of("User", {"name": str, "x": int}, body={"name": "", "x": 0})
    new = class_of(
        "User",
        {"full": str, "x": int},
        body={"full": field(was="name"), "x": 0},
        extra="forbid",
    )
    run(root, [new], put(new("Ann")))

    run(root, [old], change(x=1))
    run(root, [new], change(x=2))

    assert run(root, [new], first) == new("Ann", 2)


def test_a_newer_nested_record_stays_raw_in_an_object(root):
    """The object around it can be changed and saved."""
    old_part = class_of("Part", {"n": int})
    old = class_of("Whole", {"part": old_part, "x": int})
    part = class_of("Part", {"n": str}, version=2)
    new = class_of("Whole", {"part": part, "x": int})
    run(root, [new], put(new(part("one"), 1)))

    seen = run(root, [old], first)
    run(root, [old], change(x=2))

    assert isinstance(seen.part.error, NewerVersionError)
    assert run(root, [new], first) == new(part("one"), 2)


# --- names --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_a_field_is_read_by_each_of_its_three_former_names(root, name):
    """``was`` lists them, the newest first."""
    writer = class_of("User", {name: int})
    new = class_of("User", {"d": int}, body={"d": field(was=["c", "b", "a"])})

    run(root, [writer], put(writer(5)))

    assert run(root, [new], first) == new(5)


@pytest.mark.parametrize("keyname", ["__A__", "b", "__C__"])
def test_a_class_is_read_by_each_of_its_former_keynames(root, keyname):
    """Whether they start with underscores or not, nested ones too."""
    writer = class_of("User", {"n": int}, keyname=keyname)
    outer = class_of("Outer", {"user": writer})
    new = class_of("User", {"n": int}, was=["__C__", "b", "__A__"])
    new_outer = class_of("Outer", {"user": new})

    run(root, [outer], put(writer(5), outer(writer(6))))

    assert run(root, [new_outer], lambda db: [*db.values()]) == [
        new(5),
        new_outer(new(6)),
    ]


def test_a_former_name_is_free_again_after_a_migration(root):
    """``name`` became ``full``; another field has the name now."""

    def step(fields):
        fields["full"] = fields.pop("name")

    old = class_of("User", {"name": str})
    new = class_of(
        "User",
        {"full": str, "name": str},
        body={"name": "nobody", "_step": migration(0)(step)},
        version=1,
    )
    run(root, [old], put(old("Ann Lee")))
    run(root, [new], lambda db: db.update({"1": new("Bea Ray", "bea")}))

    assert run(root, [new], lambda db: [*db.values()]) == [
        new("Ann Lee", "nobody"),
        new("Bea Ray", "bea"),
    ]


def test_a_former_name_that_is_another_fields_name_is_refused():
    """Without a version nothing tells whose value it is."""
    with pytest.raises(ModelError, match="share the name 'name' on disk"):
        class_of(
            "User",
            {"full": str, "name": str},
            body={"full": field(was="name"), "name": ""},
        )


def test_two_classes_may_swap_their_names(root):
    """Their keynames are what counts, and each keeps its own."""
    red = class_of("Red", {"r": int})
    blue = class_of("Blue", {"b": int})
    now_blue = class_of("Blue", {"r": int}, keyname="__Red__")
    now_red = class_of("Red", {"b": int}, keyname="__Blue__")

    run(root, [red, blue], put(red(1), blue(2)))

    assert run(root, [now_red, now_blue], lambda db: [*db.values()]) == [
        now_blue(1),
        now_red(2),
    ]


def test_two_classes_cannot_swap_their_keynames(root):
    """A record that has one could be of either."""
    blue = class_of("Blue", {"r": int}, was="__Red__")
    red = class_of("Red", {"b": int}, was="__Blue__")

    with pytest.raises(ModelError, match="claimed by both"):
        run(root, [red, blue], first)


# --- upgrade= and migrations ----------------------------------------------------------


def test_a_value_is_as_it_was_after_an_upgrade_that_failed_half_way(root):
    """The function changed the list that it was given, and then raised."""

    def upgrade(words):
        words.append("spoiled")
        return int(words[0])

    old = class_of("Note", {"words": list[str], "x": int})
    new = class_of(
        "Note", {"words": int, "x": int}, body={"words": field(upgrade=upgrade)}
    )
    run(root, [old], put(old(["one"], 1), old(["2"], 1)))

    run(root, [new], change(x=2))

    assert run(root, [new], lambda db: [(n.words, n.x) for n in db.values()]) == [
        (["one"], 2),
        (2, 1),
    ]


def test_what_an_older_program_retyped_is_not_upgraded_twice(root):
    """An older program sees the new type, cannot use it, and keeps it."""

    def upgrade(text):
        return [int(part) for part in text.split()]

    old = class_of("Note", {"numbers": str, "x": int})
    new = class_of(
        "Note",
        {"numbers": list[int], "x": int},
        body={"numbers": field(upgrade=upgrade)},
    )
    run(root, [new], put(new([1, 2], 1)))

    run(root, [old], change(x=2))

    assert run(root, [new], first) == new([1, 2], 2)


def test_a_migration_sees_what_is_dropped_afterwards(root):
    """The name is retired, and its value lives on in another."""

    def step(fields):
        fields["born"] = 2000 - fields["age"]

    old = class_of("User", {"age": int})
    new = class_of(
        "User",
        {"born": int},
        body={"_step": migration(0)(step)},
        version=1,
        dropped=["age"],
    )
    run(root, [old], put(old(30)))

    loaded = run(root, [new], first)

    assert loaded == new(1970)
    assert not extras(loaded)


def test_a_migration_may_remove_what_is_dropped_too(root):
    """Both say that it goes."""

    def step(fields):
        del fields["age"]

    old = class_of("User", {"age": int, "name": str})
    new = class_of(
        "User",
        {"name": str},
        body={"_step": migration(0)(step)},
        version=1,
        dropped=["age"],
    )
    run(root, [old], put(old(30, "Ann")))

    assert run(root, [new], first) == new("Ann")


def test_a_migration_may_give_nested_records_as_dicts_of_its_own_time(root):
    """With keyname or without: they follow their class as those from the file do."""

    def nest(fields):
        fields["home"] = {"street": fields.pop("street")}
        fields["past"] = [{"__Place__": {"street": "Oak"}}]

    def rename(fields):
        fields["road"] = fields.pop("street")

    old = class_of("User", {"street": str})
    address = class_of(
        "Address",
        {"road": str},
        body={"_step": migration(0)(rename)},
        version=1,
        was="__Place__",
    )
    new = class_of(
        "User",
        {"home": address, "past": list[address]},
        body={"_step": migration(0)(nest)},
        version=1,
    )
    run(root, [old], put(old("Elm")))

    assert run(root, [new], first) == new(address("Elm"), [address("Oak")])


def test_a_migration_may_give_records_of_handwritten_classes_with_their_keyname(root):
    """Without it, one dict in another may be a record, and nobody takes it apart."""

    class Spot(Model, was="__Place__"):
        def __init__(self, street=None):
            self.street = street

    def nest(fields):
        street = fields.pop("street")
        fields["home"] = {"__Place__": {"street": street}}
        fields["past"] = {"street": street}

    old = class_of("User", {"street": dict})
    new = class_of(
        "User",
        {"home": Spot, "past": Spot | None},
        body={"_step": migration(0)(nest)},
        version=1,
    )
    run(root, [old], put(old({"name": "Elm"})))

    loaded = run(root, [new], first)

    assert loaded.home.street == {"name": "Elm"}
    assert loaded.past == {"street": {"name": "Elm"}}


# --- inheritance ----------------------------------------------------------------------


def rename_n(fields):
    """Rename a field."""
    fields["number"] = fields.pop("n")


def rename_t(fields):
    """Rename another field."""
    fields["text"] = fields.pop("t")


def test_a_subclass_goes_on_from_the_versions_of_its_base(root):
    """It inherits the base's steps, and adds one of its own."""
    old_base = class_of("Base", {"n": int})
    old = class_of("Sub", {"t": str}, old_base)
    base = class_of(
        "Base", {"number": int}, body={"_step": migration(0)(rename_n)}, version=1
    )
    sub = class_of(
        "Sub", {"text": str}, base, body={"_next": migration(1)(rename_t)}, version=2
    )
    run(root, [old, old_base], put(old(1, "a"), old_base(2)))
    run(root, [base, sub], lambda db: db.update({"2": sub(3, "b")}))

    assert run(root, [base, sub], lambda db: [*db.values()]) == [
        sub(1, "a"),
        base(2),
        sub(3, "b"),
    ]


def test_two_steps_of_a_class_and_its_base_are_refused():
    """One would be left out, and records of the subclass would miss a change."""
    base = class_of(
        "Base", {"number": int}, body={"_base": migration(0)(rename_n)}, version=1
    )

    with pytest.raises(ModelError, match="two migrations from version 0: _base and"):
        class_of("Sub", {"text": str}, base, body={"_sub": migration(0)(rename_t)})


def test_a_subclass_may_replace_a_step_by_its_name(root):
    """As it may any attribute; it then does the base's part as well."""

    def both(fields):
        rename_n(fields)
        rename_t(fields)

    base = class_of(
        "Base", {"number": int}, body={"_step": migration(0)(rename_n)}, version=1
    )
    sub = class_of("Sub", {"text": str}, base, body={"_step": migration(0)(both)})
    old = class_of("Sub", {"n": int, "t": str})
    run(root, [old], put(old(1, "a")))

    assert run(root, [sub], first) == sub(1, "a")


def test_a_subclass_may_have_a_field_again_that_its_base_dropped(root):
    """Also one with a method of its own that loads it."""

    class Base(Model, dropped=["n"]):
        t: str = ""

    class Sub(Base):
        n: int = 0

        def _from_dict(self, data):
            return super()._from_dict(data)

    run(root, [Sub, Base], put(Sub("a", 5)))

    assert run(root, [Sub, Base], first) == Sub("a", 5)
