"""Whatever a program does with a dict gives the same with the live one.

Each operation runs on a plain dict and on a `Data` whose values were never looked
at, were looked at, are settled after a flush, or were set and not saved yet.
"""

import copy
import json
import operator
import pickle
import pprint
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict
from collections.abc import ItemsView, Mapping, MutableMapping, ValuesView
from dataclasses import dataclass, replace
from functools import reduce
from itertools import islice
from types import CellType, MappingProxyType

import msgpack
import pytest

from durable_dict import CODEC, Durable, adopt, opened
from storify.codec import Codec
from storify.database.live.data import Data

CONTENT = {"a": 1, "b": [1, 2], "c": {"x": [3], "y": None}, "d": "text", "e": 2.5}


def undecoded(content):
    """Nothing was looked at."""
    return opened(content)[1]


def decoded(content):
    """Every value was handed out."""
    data = undecoded(content)
    list(data.values())
    return data


def settled(content):
    """Every value was handed out, let go and saved."""
    durable, data = opened(content)
    list(data.values())
    durable.flush(data)
    assert data.is_clean()
    return data


def fresh(content):
    """Every value was set and not saved yet."""
    return Data(CODEC, copy.deepcopy(content))


def mixed(content):
    """Some of each kind."""
    durable, data = opened(content)
    for key in list(data)[::2]:
        data[key]
    durable.flush(data)
    for key in list(data)[:1]:
        data[key]
    for key in list(data)[3:4]:
        data[key] = copy.deepcopy(content[key])
    return data


STATES = [undecoded, decoded, settled, fresh, mixed]


def keywords(**kwargs):
    """Give what was passed by name."""
    return kwargs


def first_and_rest(first, *rest):
    """Give what was passed by position."""
    return first, rest


def match_key(d):
    """Match a key, a nested one and the rest."""
    match d:
        case {"a": int(a), "c": {"x": [x]}, **rest}:
            return a, x, rest
    return None


def match_missing(d):
    """Match a key that is not there."""
    match d:
        case {"zzz": _}:
            return True
        case {"b": [one, *_]}:
            return one
    return None


@dataclass
class Holder:
    """Has a dict as a field."""

    content: object
    n: int = 0


class Sub(dict):
    """A plain subclass."""


class OwnUpdate(dict):
    """A subclass that goes by keys."""

    def __init__(self, other):
        super().__init__({key: other[key] for key in other})


READING = {
    "getitem": lambda d: [d[key] for key in "abcde"],
    "getitem missing": lambda d: d["zzz"],
    "getitem unhashable": lambda d: d[[]],
    "get": lambda d: [d.get("b"), d.get("zzz"), d.get("zzz", 5), d.get("a", 5)],
    "get too much": lambda d: d.get("a", 1, 2),
    "operator.getitem": lambda d: operator.getitem(d, "c"),
    "itemgetter": operator.itemgetter("a", "c"),
    "len": len,
    "bool": bool,
    "in": lambda d: ["a" in d, "zzz" in d],
    "not in": lambda d: "a" not in d,
    "iter": lambda d: list(iter(d)),
    "reversed": lambda d: list(reversed(d)),
    "keys": lambda d: list(d.keys()),
    "keys reversed": lambda d: list(reversed(d.keys())),
    "keys and": lambda d: d.keys() & {"a", "zzz"},
    "keys mapping": lambda d: dict(d.keys().mapping),
    "values": lambda d: list(d.values()),
    "values reversed": lambda d: list(reversed(d.values())),
    "values in": lambda d: [[1, 2] in d.values(), 99 in d.values()],
    "values len": lambda d: len(d.values()),
    "values repr": lambda d: repr(d.values()),
    "values mapping": lambda d: dict(d.values().mapping),
    "items": lambda d: list(d.items()),
    "items reversed": lambda d: list(reversed(d.items())),
    "items in": lambda d: [
        each in d.items()
        for each in [("a", 1), ("a", 2), ("zzz", 1), ("b", [1, 2]), "ab", ("a",), 5]
    ],
    "items len": lambda d: len(d.items()),
    "items repr": lambda d: repr(d.items()),
    "items mapping": lambda d: dict(d.items().mapping),
    "items ==": lambda d: d.items() == CONTENT.items(),
    "items == reflected": lambda d: CONTENT.items() == d.items(),
    "items &": lambda d: d.items() & [("a", 1), ("d", 1)],
    "items -": lambda d: {k: d[k] for k in "ad"}.items() - [("a", 1)],
    "items isdisjoint": lambda d: d.items().isdisjoint([("a", 1)]),
    "repr": repr,
    "str": str,
    "format": lambda d: f"{d} {d!r:>3}",
    "percent": lambda d: "%(a)s %(b)s" % d,  # noqa: UP031 - this way, too
    "str.format": lambda d: "{0[c][x]} {0[a]}".format(d),  # noqa: UP032, PLW0108 - idem
    "format_map": "{a} {b} {c[x]}".format_map,
    "str.format **": lambda d: "{a} {b}".format(**d),
    "==": lambda d: [d == CONTENT, d == {**CONTENT, "a": 2}, d == {}, d == 5],
    "== reflected": lambda d: [CONTENT == d, {**CONTENT, "a": 2} == d, [] == d],  # noqa: SIM300 - asked
    "== itself": lambda d: (d == d, d != d),  # noqa: PLR0124 - that is asked
    "== subclass": lambda d: [d == Sub(CONTENT), d == OrderedDict(CONTENT)],
    "!=": lambda d: [d != CONTENT, d != {}, d != CONTENT, d != 5],
    "== copy": lambda d: d == d.copy() == dict(d) == {**d},
    "<": lambda d: d < d,  # noqa: PLR0124 - idem
    "hash": hash,
    "isinstance": lambda d: [
        isinstance(d, dict),
        isinstance(d, Mapping),
        isinstance(d, MutableMapping),
        isinstance(d.items(), ItemsView),
        isinstance(d.values(), ValuesView),
        issubclass(type(d), dict),
        callable(d),
    ],
    "|": lambda d: [d | {"a": 5, "z": 1}, type(d | {})],
    "| reflected": lambda d: [{"a": 5, "z": 1} | d, type({} | d)],
    "| itself": lambda d: d | d,
    "| subclass": lambda d: [type(Sub() | d), type(d | Sub()), Sub(z=1) | d],
    "| OrderedDict": lambda d: [type(OrderedDict() | d), OrderedDict(z=1) | d],
    "| no dict": lambda d: d | [("a", 1)],
    "| no dict reflected": lambda d: [("a", 1)] | d,
    "copy": lambda d: [d.copy(), type(d.copy())],
    "copy.copy": lambda d: [copy.copy(d), type(copy.copy(d))],
    "copy is shallow": lambda d: d.copy()["b"] is d["b"] is copy.copy(d)["b"],
    "deepcopy": lambda d: [copy.deepcopy(d), type(copy.deepcopy(d))],
    "deepcopy is deep": lambda d: copy.deepcopy(d)["b"] is d["b"],
    "deepcopy twice": lambda d: reduce(operator.is_, copy.deepcopy([d, d])),
    "pickle": lambda d: [
        pickle.loads(pickle.dumps(d, protocol))  # noqa: S301 - our own bytes
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ],
    "pickle type": lambda d: type(pickle.loads(pickle.dumps(d))),  # noqa: S301 - idem
    "dict(d)": lambda d: [dict(d), type(dict(d))],
    "dict(d, **)": lambda d: dict(d, z=1),
    "dict(items)": lambda d: dict(d.items()),
    "{**d}": lambda d: {"z": 0, **d, "a": 7},
    "f(**d)": lambda d: keywords(**d),
    "f(**d, more)": lambda d: keywords(z=1, **d),
    "f(**d) twice": lambda d: keywords(a=1, **d),
    "plain.update": lambda d: (p := {"z": 0}, p.update(d), p)[2],
    "plain.update **": lambda d: (p := {"z": 0}, p.update(**d), p)[2],
    "plain |=": lambda d: reduce(operator.ior, [d], {"z": 0}),
    "subclass(d)": lambda d: [Sub(d), OwnUpdate(d)],
    "OrderedDict(d)": OrderedDict,
    "defaultdict(d)": lambda d: defaultdict(list, d),
    "Counter(d)": Counter,
    "UserDict(d)": lambda d: UserDict(d).data,
    "ChainMap": lambda d: [dict(ChainMap({}, d)), ChainMap(d)["b"], ChainMap({}, d)],
    "MappingProxyType": lambda d: [
        dict(MappingProxyType(d)),
        MappingProxyType(d)["b"],
        MappingProxyType(d) == CONTENT,
        MappingProxyType(d) | {"z": 1},
        list(MappingProxyType(d).items()),
    ],
    "fromkeys": lambda d: [d.fromkeys("ab", 1), type(d.fromkeys("a"))],
    "list": list,
    "tuple": tuple,
    "set": set,
    "sorted": sorted,
    "sorted items": lambda d: sorted(d.items(), key=lambda pair: pair[0], reverse=True),
    "sorted by value": lambda d: sorted(d, key=lambda key: str(d[key])),
    "zip": lambda d: [*zip(d, d.values(), d.items(), strict=True)],
    "map": lambda d: [*map(str, d.values())],
    "map get": lambda d: [*map(d.get, d)],
    "filter": lambda d: [*filter(lambda v: isinstance(v, list), d.values())],
    "enumerate": lambda d: [*enumerate(d.values())],
    "any": lambda d: any(v == "text" for v in d.values()),
    "all": lambda d: [all(d.values()), all(d)],
    "sum": lambda d: sum(v for v in d.values() if isinstance(v, (int, float))),
    "max": lambda d: max(d.values(), key=lambda v: len(str(v))),
    "max key": lambda d: max(d, key=lambda k: len(str(d[k]))),
    "min items": lambda d: min(d.items(), key=lambda pair: str(pair[1])),
    "reduce": lambda d: reduce(lambda a, b: f"{a}{b}", d.values(), ""),
    "list comprehension": lambda d: [(k, v) for k, v in d.items()],
    "dict comprehension": lambda d: {k: [v] for k, v in d.items()},
    "generator": lambda d: list(v for v in d.values()),  # noqa: C400 - asked
    "unpacking keys": lambda d: [*d],
    "unpacking values": lambda d: [*d.values()],
    "first of": lambda d: next(iter(d.values())),
    "islice": lambda d: list(islice(d.items(), 1, 3)),
    "starred": lambda d: first_and_rest(*d.values()),
    "match": match_key,
    "match missing": match_missing,
    "json.dumps": json.dumps,
    "json.dumps indent": lambda d: json.dumps(d, indent=2, sort_keys=True),
    "json.JSONEncoder": lambda d: "".join(json.JSONEncoder().iterencode(d)),
    "json.dumps inside": lambda d: json.dumps([{"d": d}]),
    "msgpack.packb": msgpack.packb,
    "msgpack.Packer": lambda d: msgpack.Packer(autoreset=True).pack({"d": d}),
    "codec": CODEC.encode_items,
    "pprint": lambda d: pprint.pformat(d, width=200),
    "dataclasses.replace": lambda d: replace(Holder(d), n=1).content,
    "vars of a dataclass": lambda d: vars(Holder(d))["content"]["b"],
    "exec locals": lambda d: eval("a + e", {}, d),  # noqa: S307 - our own text
    "type()": lambda d: type("T", (), dict(d)).b,
    "dir": lambda d: set(dir({})) - set(dir(d)),
    "getattr": lambda d: getattr(d, "zzz", 5),
    "setattr": lambda d: setattr(d, "zzz", 5),
    "walrus and": lambda d: (v := d.get("b")) and v[0],
    "nested": lambda d: d["c"]["x"][0],
    "sizeof": lambda d: d.__sizeof__() > 0,
    "len hint": lambda d: operator.length_hint(d.items()),
}


def iterate_and_set(d):
    """Set values while iterating: no size changes."""
    seen = []
    for key, value in d.items():
        d[key] = [value]
        seen.append((key, d[key]))
    return seen


def iterate_and_set_ahead(d):
    """A value that is set ahead of the iteration is seen, as in a dict."""
    seen = []
    for key, value in d.items():
        seen.append((key, value))
        d["e"] = "later"
    for value in d.values():
        seen.append(value)
        d["d"] = "much later"
    return seen


def iterate_and_add(step):
    """Change the size while iterating."""

    def run(d):
        for number, _ in enumerate(step(d)):
            d[f"new{number}"] = 1

    return run


def iterate_and_delete(d):
    """Delete what is iterated over."""
    for pair in d.items():
        del d[pair[0]]


def delete_at_the_end(d):
    """Even in the last step a dict notices."""
    for _, key in zip(d.values(), list(d), strict=False):
        if key == "e":
            del d["a"]


def swap_while_iterating(d):
    """The size is the same again at the next step."""
    seen = []
    for key in d:
        seen.append(d[key])
        if key == "a":
            d["b"] = 0
    return seen


def mutate_copy(d):
    """The copy is another dict, of the same values."""
    c = d.copy()
    c["a"] = 100
    c["b"].append(3)
    del c["d"]
    return c


def mutate_deepcopy(d):
    """Nothing of it is shared."""
    c = copy.deepcopy(d)
    c["b"].append(3)
    c["c"]["x"].clear()
    return c


def update_by(*args, **kwargs):
    """Update and give what it gave."""
    return lambda d: d.update(*args, **kwargs)


def ior(other):
    """Update in place by the operator."""

    def run(d):
        before = d
        d |= other
        return d is before

    return run


WRITING = {
    "setitem": lambda d: d.__setitem__("a", [1]),
    "setitem new": lambda d: operator.setitem(d, "z", {"n": 1}),
    "setitem unhashable": lambda d: operator.setitem(d, [], 1),
    "augmented": lambda d: exec("d['a'] += 1; d['b'] += [9]", {"d": d}),  # noqa: S102
    "nested": lambda d: d["c"]["x"].append(7),
    "delitem": lambda d: operator.delitem(d, "b"),
    "delitem missing": lambda d: operator.delitem(d, "zzz"),
    "del and set": lambda d: (operator.delitem(d, "a"), operator.setitem(d, "a", 1)),
    "pop": lambda d: d.pop("b"),
    "pop default": lambda d: [d.pop("zzz", 7), d.pop("a", 7), d.pop("zzz", None)],
    "pop missing": lambda d: d.pop("zzz"),
    "pop too much": lambda d: d.pop("a", 1, 2),
    "pop nothing": lambda d: d.pop(),
    "popitem": lambda d: [d.popitem(), d.popitem()],
    "popitem all": lambda d: [d.popitem() for _ in range(6)],
    "clear": lambda d: d.clear(),
    "clear and set": lambda d: (d.clear(), d.update(b=1, a=2)),
    "setdefault": lambda d: [d.setdefault("b", 0), d.setdefault("z", []), d["z"]],
    "setdefault append": lambda d: d.setdefault("new", []).append(1),
    "setdefault None": lambda d: d.setdefault("z"),
    "update dict": update_by({"a": 5, "z": 6}),
    "update pairs": update_by([("a", 5), ("z", 6)]),
    "update keywords": update_by(a=5, z=6),
    "update both": update_by({"a": 5}, z=6),
    "update nothing": update_by(),
    "update itself": lambda d: d.update(d),
    "update generator": lambda d: d.update((k, 1) for k in "xyz"),
    "update too much": update_by({}, {}),
    "update no mapping": update_by(5),
    "update live": lambda d: d.update(opened({"a": [7], "q": 8})[1]),
    "|= dict": ior({"a": 5, "z": 6}),
    "|= pairs": ior([("a", 5)]),
    "|= live": ior(opened({"a": [7], "q": 8})[1]),
    "|= no pairs": ior(5),
    "iterate and set": iterate_and_set,
    "iterate and set ahead": iterate_and_set_ahead,
    "iterate items and add": iterate_and_add(lambda d: d.items()),
    "iterate values and add": iterate_and_add(lambda d: d.values()),
    "iterate keys and add": iterate_and_add(lambda d: d),
    "iterate reversed and add": iterate_and_add(lambda d: reversed(d.items())),
    "iterate and delete": iterate_and_delete,
    "delete at the end": delete_at_the_end,
    "swap while iterating": swap_while_iterating,
    "mutate a copy": mutate_copy,
    "mutate a deepcopy": mutate_deepcopy,
    "move to the end": lambda d: operator.setitem(d, "a", d.pop("a")),
    "rename a key": lambda d: operator.setitem(d, "renamed", d.pop("b")),
    "swap values": lambda d: exec("d['a'], d['b'] = d['b'], d['a']", {"d": d}),  # noqa: S102
    "sort in place": lambda d: [
        operator.setitem(d, key, d.pop(key)) for key in sorted(d, reverse=True)
    ],
    "comprehension into": lambda d: [d.setdefault(k, []) for k in "azy"],
}


def outcome(operation, target):
    """Give what an operation gives, or how it fails."""
    try:
        return operation(target)
    except Exception as error:  # noqa: BLE001 - any error is compared
        return type(error), str(error) if type(error) is KeyError else None


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", READING)
def test_reading_gives_what_a_dict_gives(name, state):
    """The same result, and the data are as they were."""
    data, plain = state(CONTENT), copy.deepcopy(CONTENT)

    got = outcome(READING[name], data)

    assert got == outcome(READING[name], plain)
    assert CellType not in map(type, got if isinstance(got, list) else [got])
    assert list(data.items()) == list(CONTENT.items())


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", WRITING)
def test_writing_does_what_a_dict_does(name, state):
    """The same result and content, in the same order; and it is saved."""
    data, plain = state(CONTENT), copy.deepcopy(CONTENT)
    durable = Durable(dict(CONTENT) if state is not fresh else {})

    got = outcome(WRITING[name], data)

    assert got == outcome(WRITING[name], plain)
    assert list(data.items()) == list(plain.items())
    durable.flush(data)
    assert list(durable.content.items()) == list(plain.items())


@pytest.mark.parametrize("state", STATES)
def test_large_roots_are_iterated_over_in_order(state):
    """Across the batches in which they are decoded."""
    content = {f"k{n}": [n] for n in range(5000)}
    data = state(content)

    assert list(data.items()) == list(content.items())
    assert list(reversed(data.items())) == list(reversed(content.items()))
    assert list(state(content).values()) == list(content.values())
    assert dict(state(content)) == content == state(content).copy()


def test_the_first_value_decodes_few():
    """To take one of a large root does not cost all."""
    _, data = opened({f"k{n}": [n] for n in range(5000)})

    next(iter(data.values()))

    assert data.touched_count() < 50


def test_an_iteration_goes_on_where_values_were_settled_or_replaced():
    """A flush and another writer come in between."""
    content = {f"k{n}": [n] for n in range(100)}
    durable, data = opened(content)
    seen = []

    for key, value in data.items():
        seen.append((key, value[0]))
        del value
        if key in ("k5", "k50"):
            durable.flush(data)
            adopt(data, "k60", CODEC.encode([60]))
            adopt(data, "k3", CODEC.encode([3]))

    assert seen == [(key, value[0]) for key, value in content.items()]


def test_a_loop_that_breaks_off_leaves_nothing():
    """The values that were decoded ahead are live like others."""
    durable, data = opened({f"k{n}": [n] for n in range(100)})

    for value in data.values():
        value.append(0)
        break

    assert len(durable.flush(data)) == 1


def test_update_is_all_or_nothing():
    """Pairs that break off half way leave no half."""
    _, data = opened({"a": 1})

    def pairs():
        yield "b", 2
        raise LookupError

    with pytest.raises(LookupError):
        data.update(pairs())

    assert data == {"a": 1}


def test_a_root_that_holds_itself_is_shown():
    """It cannot be saved, but seen."""
    _, data = opened({"a": 1})
    data["self"] = data

    assert repr(data) == "{'a': 1, 'self': {...}}"
    again = copy.deepcopy(data)
    assert again["self"] is again


def test_explicit_calls_of_dict_see_placeholders():
    """So does a subclass of dict on the left of ``==``: the known limits."""
    _, data = opened({"a": 1})

    assert type(dict.get(data, "a")) is CellType
    assert Sub(a=1) != data == Sub(a=1)


@pytest.mark.parametrize(
    "module", ["orjson", "msgspec.json", "msgspec.msgpack", "ormsgpack"]
)
@pytest.mark.parametrize("state", [undecoded, settled, mixed])
def test_what_reads_the_storage_itself_raises(module, state):
    """Never a text with placeholders in it; a copy can be written."""
    library = pytest.importorskip(module)
    write = getattr(library, "dumps", None) or getattr(library, "encode", None)
    write = write or library.packb
    data = state(CONTENT)

    with pytest.raises(TypeError):
        write(data)
    with pytest.raises(TypeError):
        write({"inside": [data]})

    assert write(data.copy()) == write(CONTENT)


def test_hooks_that_change_the_data_while_it_iterates():
    """A record whose decoding sets another key of the root."""
    held = []

    def structure(tree):
        if "__x__" in tree and held:
            held[0]["k1"] = "set"
        return tree

    content = {f"k{n}": {"__x__": {"n": n}} for n in range(4)}
    data = Data.opened(Codec(structure=structure), Codec.split(msgpack.packb(content)))
    held.append(data)

    assert list(data.values())[1] == "set"
