"""Objects <-> bytes: storify's codec beside its peers, one record in one run.

The record is that of ``records.py``. The base is raw ``msgpack`` on the plain form:
no classes, no checks, an enum as its value. storify's own rows are the codec as a
database calls it, typed through a schema and, for data without models, plain. Peers
that are not installed are left out and named.

What a row gives differs: storify's typed bytes say which class each record is, its
datetimes and enums come back as their own, and the types are checked on the way in.
"""

import importlib
import logging
import sys
from collections.abc import Callable
from typing import Any

import msgpack
from report import Report, arguments
from timing import compared, measure

from records import User, plain, users
from storify.database._schema import Schema

COUNT = 5_000
QUICK_COUNT = 1_000
BASE = "msgpack, plain"
ADDRESS = {"street": str, "city": str, "zip_code": str}

Action = Callable[[], object]
Peer = tuple[Action, Action]
"""Encode all records, each by itself; decode all of them."""


def fields_of(address: Any) -> dict[str, Any]:
    """Give the annotations of the record with another nested class."""
    return {**User.__annotations__, "address": address}


def each(function: Callable[[Any], Any], items: list[Any]) -> Action:
    """Call *function* for every item, in a loop that costs next to nothing."""
    return lambda: list(map(function, items))


def msgpack_peer(records: list[User]) -> Peer:
    """The library that storify uses, with nothing around it."""
    trees = list(map(plain, records))

    def pack(tree: Any) -> bytes:
        packed: bytes = msgpack.packb(tree, datetime=True)
        return packed

    def unpack(data: bytes) -> object:
        return msgpack.unpackb(data, timestamp=3)

    return each(pack, trees), each(unpack, list(map(pack, trees)))


def storify_peer(records: list[Any]) -> Peer:
    """Records one by one, as a lookup or a merge needs them."""
    codec = Schema([User], [], logging.getLogger("benchmark")).codec
    blobs = list(map(codec.encode, records))
    return each(codec.encode, records), each(codec.decode, blobs)


def storify_batch(records: list[Any]) -> Peer:
    """All at once, as a flush and an open do."""
    codec = Schema([User], [], logging.getLogger("benchmark")).codec
    root = dict(enumerate(records))
    payload = codec.join(codec.encode_items(root))
    return lambda: codec.encode_items(root), lambda: codec.decode_root(payload)


def msgspec_peer(records: list[User]) -> Peer:
    """Structs, natively in C."""
    msgspec: Any = importlib.import_module("msgspec")
    address = msgspec.defstruct("Address", list(ADDRESS.items()))
    user = msgspec.defstruct("User", list(fields_of(address).items()))
    objects = [msgspec.convert({**plain(each)}, user) for each in records]
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(user).decode
    return each(encode, objects), each(decode, list(map(encode, objects)))


def pydantic_peer(records: list[User]) -> Peer:
    """BaseModels, dumped and validated around msgpack."""
    pydantic: Any = importlib.import_module("pydantic")
    address = pydantic.create_model(
        "Address", **{name: (type_, ...) for name, type_ in ADDRESS.items()}
    )
    user = pydantic.create_model(
        "User", **{name: (type_, ...) for name, type_ in fields_of(address).items()}
    )
    objects = [user.model_validate(plain(each)) for each in records]

    def encode(obj: Any) -> bytes:
        tree = obj.model_dump()
        tree["role"] = tree["role"].value
        packed: bytes = msgpack.packb(tree, datetime=True)
        return packed

    def decode(data: bytes) -> object:
        return user.model_validate(msgpack.unpackb(data, timestamp=3))

    return each(encode, objects), each(decode, list(map(encode, objects)))


def cattrs_peer(records: list[User]) -> Peer:
    """The stock converter for msgpack; attrs classes of the same fields."""
    attrs: Any = importlib.import_module("attrs")
    preconf: Any = importlib.import_module("cattrs.preconf.msgpack")
    address = attrs.make_class(
        "Address", {n: attrs.field(type=t) for n, t in ADDRESS.items()}
    )
    user = attrs.make_class(
        "User", {n: attrs.field(type=t) for n, t in fields_of(address).items()}
    )
    converter = preconf.make_converter()

    def encode(obj: Any) -> bytes:
        packed: bytes = converter.dumps(obj)
        return packed

    def decode(data: bytes) -> object:
        return converter.loads(data, user)

    trees = [{**plain(each), "role": each.role} for each in records]
    objects = [user(**{**t, "address": address(**t["address"])}) for t in trees]
    return each(encode, objects), each(decode, list(map(encode, objects)))


def main() -> None:
    """Measure both ways, every peer against raw msgpack."""
    chosen = arguments(__doc__)
    count = QUICK_COUNT if chosen.quick else COUNT
    records = users(count)
    trees = list(map(plain, records))
    peers: dict[str, Callable[[], Peer]] = {
        BASE: lambda: msgpack_peer(records),
        "storify, plain": lambda: storify_peer(trees),
        "storify, plain, all at once": lambda: storify_batch(trees),
        "storify, typed": lambda: storify_peer(records),
        "storify, typed, all at once": lambda: storify_batch(records),
        "msgspec, Struct": lambda: msgspec_peer(records),
        "pydantic + msgpack": lambda: pydantic_peer(records),
        "cattrs preconf": lambda: cattrs_peer(records),
    }
    ways: tuple[dict[str, Action], dict[str, Action]] = {}, {}
    for name, make in peers.items():
        try:
            made = make()
        except ImportError:
            print(f"{name}: not installed, left out", file=sys.stderr)
            continue
        for way, action in zip(ways, made, strict=True):
            way[name] = action
    Report(
        [
            compared(f"{title} one record", measure(way), base=BASE, count=count)
            for title, way in zip(("Encode", "Decode"), ways, strict=True)
        ]
    ).publish(chosen.json)


if __name__ == "__main__":
    main()
