"""A database does what a dict, or a list, does where that has a method."""

import copy
from collections.abc import MutableSequence

import pytest

from storify import CheckError, Database, DuplicateKeyError, Model, Storify


class User(Model):
    """A model."""

    name: str


@pytest.fixture
def sf(anywhere):
    """A folder in memory."""
    with Storify(anywhere, save_interval=None, models=[User]) as sf:
        yield sf
        for db in sf.databases:
            db.close(discard=True)


def dict_db(sf, content):
    """Give a saved database with a content, as it is when it was opened anew."""
    with sf.get_db("d") as db:
        db.update(content)
    return sf.get_db("d")


def list_db(sf, *items):
    """Give a saved list database, as it is when it was opened anew."""
    with sf.get_db("l", root=list(items)):
        pass
    return sf.get_db("l", root=[])


# -- a dict ----------------------------------------------------------------------------

CONTENT = {"a": 1, "b": [2], "c": 3}

READS = {
    "or": lambda d: d | {"b": 0, "x": 1},
    "ror": lambda d: {"b": 0, "x": 1} | d,
    "or itself": lambda d: d | d,
    "copy": lambda d: d.copy(),
    "shallow": lambda d: d.copy()["b"] is d["b"],
    "reversed": lambda d: list(reversed(d)),
    "reversed items": lambda d: list(reversed(d.items())),
    "reversed values": lambda d: list(reversed(d.values())),
    "get": lambda d: (d.get("a"), d.get("x"), d.get("x", 5)),
    "views": lambda d: (d.keys() & {"a", "x"}, ("b", [2]) in d.items()),
    "list": list,
    "dict": dict,
}


@pytest.mark.parametrize("name", READS)
def test_it_gives_what_a_dict_gives(sf, name):
    """Of a class that is a plain dict's or list's."""
    read = READS[name]
    found, expected = read(dict_db(sf, CONTENT)), read(copy.deepcopy(CONTENT))

    assert found == expected
    assert type(found) is type(expected)


WRITES = {
    "popitem": lambda d: (d.popitem(), d.popitem()),
    "setdefault": lambda d: (d.setdefault("a", 5), d.setdefault("x", 5)),
    "setdefault none": lambda d: d.setdefault("x"),
    "update": lambda d: d.update({"a": 2}, x=1),
    "update pairs": lambda d: d.update([("a", 2), ("z", 1)]),
    "update nothing": lambda d: d.update(),
    "clear": lambda d: d.clear(),
    "pop": lambda d: (d.pop("a"), d.pop("x", 7)),
    "ior": lambda d: d.__ior__({"a": 5, "y": 1}) is d,
    "ior pairs": lambda d: d.__ior__([("a", 5)]) is d,
}


@pytest.mark.parametrize("name", WRITES)
def test_it_changes_as_a_dict_does(sf, name):
    """And gives what a dict gives; it is saved."""
    db, expected = dict_db(sf, CONTENT), copy.deepcopy(CONTENT)

    assert WRITES[name](db) == WRITES[name](expected)

    assert list(db.items()) == list(expected.items())
    db.close()
    assert list(sf["d"].items()) == list(expected.items())


def test_an_empty_one_has_no_last_item(sf):
    """As a dict says."""
    with pytest.raises(KeyError):
        sf["d"].popitem()


def test_equality_is_identity(sf):
    """And says so."""
    db = dict_db(sf, CONTENT)

    assert db != dict(db)
    assert db == db  # noqa: PLR0124 - that is what is asked
    assert db.data == CONTENT
    assert "same object" in (Database.__doc__ or "")


def test_an_update_is_all_or_nothing_under_strict(sf):
    """So is one that breaks a unique index."""
    db = sf.get_db("s", model=User, strict=True)
    with pytest.raises(CheckError):
        db.update(a=User("ann"), b=5)
    assert not db

    plain = sf.get_db("u", model=User)
    names = plain.index(lambda user: user.name, unique=True)
    plain["a"] = User("ann")
    with pytest.raises(DuplicateKeyError):
        plain.update(b=User("bo"), c=User("ann"))
    assert list(plain) == ["a"]
    with pytest.raises(DuplicateKeyError):
        plain.setdefault("c", User("ann"))
    with pytest.raises(CheckError):
        db.setdefault("a", 5)
    assert len(names) == 1


# -- keys ------------------------------------------------------------------------------


class Point(Model):
    """A key that can only be compared with its like."""

    def __init__(self, x=0, y=0):
        self.x, self.y = x, y

    def __eq__(self, other):
        return (self.x, self.y) == (other.x, other.y)

    def __hash__(self):
        return hash((self.x, self.y))


@pytest.mark.parametrize("where", ["db", "data"])
def test_a_key_may_know_its_like_alone(where):
    """A dict never compares it with another type."""
    with Storify("memory://", save_interval=None, models=[Point]) as sf:
        db = sf["d"]
        root = db if where == "db" else db.data
        root[Point(1, 2)] = 1
        root["a"] = root[5] = 0
        for value in (2, 3):
            root[Point(1, 2)] = value
            db.flush()
        assert Point(1, 2) in root
        db.close()

        db = sf["d"]
        root = db if where == "db" else db.data
        root[Point(1, 2)] = 4
        root.setdefault(Point(1, 2), 5)
        root.update({Point(1, 2): 6, Point(3, 4): 7})
        with db.transaction():
            root[Point(1, 2)] = 8
        assert root.pop(Point(3, 4)) == 7
        assert root[Point(1, 2)] == 8
        del root[Point(1, 2)]
        root[Point(1, 2)] = 9
        assert db.dirty() == {Point(1, 2), Point(3, 4)}
        db.close()

        assert dict(sf["d"]) == {"a": 0, 5: 0, Point(1, 2): 9}


def test_a_narrow_key_that_another_program_changes_is_merged():
    """Key by key, as all others."""
    name = "memory://narrow"
    one, two = (Storify(name, save_interval=None, models=[Point]) for _ in range(2))
    db, other = one["d"], two["d"]
    db.update({Point(1, 2): 1, Point(3, 4): 2, "a": 3})
    db.flush()
    other.reload()
    other[Point(1, 2)] = 5
    del other[Point(3, 4)]
    other.flush()

    db["a"] = 4
    db.flush()

    assert dict(db) == {Point(1, 2): 5, "a": 4}
    one.close()
    two.close()


# -- a list ----------------------------------------------------------------------------

ITEMS = [3, [1], 3, 2]

LIST_READS = {
    "iterate": list,
    "reversed": lambda x: list(reversed(x)),
    "index": lambda x: (x.index(3), x.index(3, 1), x.index(2, 0, 4)),
    "count": lambda x: (x.count(3), x.count("x")),
    "copy": lambda x: x.copy(),
    "shallow": lambda x: x.copy()[1] is x[1],
    "slice": lambda x: x[1:3],
    "last": lambda x: x[-1],
    "add": lambda x: x + [7],  # noqa: RUF005 - that is what is asked
    "radd": lambda x: [7] + x,  # noqa: RUF005 - as above
    "mul": lambda x: (x * 2, 2 * x),
    "in": lambda x: ([1] in x, 9 in x),
    "len": len,
}


@pytest.mark.parametrize("name", LIST_READS)
def test_it_gives_what_a_list_gives(sf, name):
    """Of a class that is a plain list's."""
    read = LIST_READS[name]
    found, expected = read(list_db(sf, *ITEMS)), read(copy.deepcopy(ITEMS))

    assert found == expected
    assert type(found) is type(expected)


LIST_WRITES = {
    "clear": lambda x: x.clear(),
    "extend": lambda x: x.extend(range(2)),
    "insert": lambda x: x.insert(1, "new"),
    "insert behind": lambda x: x.insert(-1, "new"),
    "reverse": lambda x: x.reverse(),
    "sort": lambda x: x.sort(key=str, reverse=True),
    "append": lambda x: x.append(4),
    "remove": lambda x: x.remove(3),
    "pop": lambda x: (x.pop(), x.pop(0), x.pop(-1)),
    "iadd": lambda x: x.__iadd__("ab") is x,
    "imul": lambda x: x.__imul__(2) is x,
    "set": lambda x: x.__setitem__(0, 5),
    "set a slice": lambda x: x.__setitem__(slice(1, 3), iter("abc")),
    "delete a slice": lambda x: x.__delitem__(slice(0, 2)),
}


@pytest.mark.parametrize("name", LIST_WRITES)
def test_it_changes_as_a_list_does(sf, name):
    """And it is saved."""
    db, expected = list_db(sf, *ITEMS), copy.deepcopy(ITEMS)

    assert LIST_WRITES[name](db) == LIST_WRITES[name](expected)

    assert list(db) == expected
    db.close()
    assert list(sf["l"]) == expected


def test_it_is_a_sequence(sf):
    """To isinstance, and to a pattern; it is a Database all the same."""
    db = list_db(sf, *ITEMS)

    assert isinstance(db, MutableSequence)
    assert isinstance(db, Database)
    match db:
        case [first, *_, last]:
            assert (first, last) == (3, 2)
        case _:
            pytest.fail("no sequence")


@pytest.mark.parametrize("content", [[0, 1, 2, 3, 4], ["a"], [2, 7, 8, 9], []], ids=len)
def test_clear_takes_no_value_for_an_index(sf, content):
    """It empties the list."""
    db = list_db(sf, *content)

    db.clear()

    assert db.data == []


NOT_OF_A_LIST = [
    lambda x: x.popitem(),
    lambda x: x.keys(),
    lambda x: x.items(),
    lambda x: x.values(),
    lambda x: x.get(0),
    lambda x: x.get(99),
    lambda x: x.setdefault(0, 1),
    lambda x: x.update({0: 1}),
    lambda x: x.update(),
    lambda x: x | {},
    lambda x: {} | x,
    lambda x: x.__ior__({0: 1}),
    lambda x: x.pop(9, None),
    dict,
]


def test_a_list_has_no_method_that_a_list_has_not(sf):
    """It is refused, and nothing is changed."""
    db = list_db(sf, 2, 7, 8, 9)

    for call in NOT_OF_A_LIST:
        with pytest.raises(TypeError):
            call(db)

    assert db.data == [2, 7, 8, 9]


NOT_OF_A_DICT = [
    lambda x: x.extend([1]),
    lambda x: x.insert(0, 1),
    lambda x: x.sort(),
    lambda x: x.reverse(),
    lambda x: x.count(1),
    lambda x: x.index(1),
    lambda x: x + [1],  # noqa: RUF005 - that is what is asked
    lambda x: x * 2,
    lambda x: x.__iadd__([1]),
]


def test_a_dict_has_no_method_of_a_list(sf):
    """It is refused, and nothing is changed."""
    db = dict_db(sf, CONTENT)

    for call in NOT_OF_A_DICT:
        with pytest.raises(TypeError):
            call(db)

    assert db.data == CONTENT


def test_items_are_checked_under_strict(sf):
    """All of them, before the list is touched."""
    db = sf.get_db("s", root=[User("ann")], model=User, strict=True)
    for change in (
        lambda: db.extend([User("bo"), 5]),
        lambda: db.insert(0, 5),
        lambda: db.__setitem__(slice(0, 1), [User("bo"), 5]),
        lambda: db.__iadd__([5]),
        lambda: db.append(5),
        lambda: db.__setitem__(0, 5),
    ):
        with pytest.raises(CheckError):
            change()

    assert db.data == [User("ann")]


def test_a_flush_from_a_key_function_saves_all_items(sf):
    """The list is whole while it is sorted."""
    db = list_db(sf, 3, 1, 2)
    seen = []

    def key(item):
        seen.append(len(db))
        return item

    db.sort(key=key)

    assert seen == [3, 3, 3]
    assert list(db) == [1, 2, 3]
