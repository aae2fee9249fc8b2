"""Plain trees to bytes and back: what is read is equal and of the same type.

A database file is one plain MessagePack map (or array), without header or
trailer; any reader in any language opens it::

    root    := map { key: value, ... }  |  array [ value, ... ]
    value   := nil | bool | int | float | str | bin      as MessagePack has them
             | array [ value, ... ]                      a list
             | map { value: value, ... }                 a dict
             | map { keyname: map { field: value } }     a record (model)
             | ext(code, payload)                        a scalar that it lacks
             | array [ ext(code, ""), ... ]              a container that it lacks

    code    type                    payload, or what follows the marker
    -1      datetime in UTC         MessagePack timestamp
     1  2   datetime naive, aware   10-byte state (+ zone)
     3  4   date, time              4 bytes; 6-byte state (+ zone)
     5      timedelta               days i32, seconds u32, microseconds u32
     6      int beyond 64 bits      two's complement
     7  8   Decimal, UUID           text; 16 bytes
     9      tuple                   items
    10 11   set, frozenset          items, sorted
    12      complex                 two f64
    13      Fraction                "n/d"
    14      bytearray               the bytes
    15      enum, flag              key NUL "." name, or key NUL "=" value
    16      namedtuple              key, map of fields
    17      deque                   maxlen or nil, items
    18 20   OrderedDict, Counter    map
    19      defaultdict             factory name or nil, map
    21 22   path, ip address        tag, text
    23 24   range, slice            start, stop, step
    25      other registered class  key, value
    26      escaped dict            key, value
    27      str, lone surrogates    UTF-8 with surrogates passed through
    28      Ellipsis                "."

``docs/format.md`` gives each payload with an example. Three rules keep it safe:
a payload never holds MessagePack (nested unpacking overflows the C stack), a name
in a file is only looked up among registered classes, and what cannot be built
here stays as it is and is written back as the same bytes.

A plain dict of one key that is, or looks like, the keyname of a record is
*escaped* (code 26) where its value is a dict, so that it stays a plain dict also
after a program that lacks the class has saved it again.

This package is the only one that imports msgpack.
"""

from ._builtin import DecodeError, is_late_scalar
from ._codec import Codec
from ._frames import MAX_DEPTH
from ._reader import KeptKey, Unbuilt, unbuilt
from ._types import CustomType

__all__ = [
    "MAX_DEPTH",
    "Codec",
    "CustomType",
    "DecodeError",
    "KeptKey",
    "Unbuilt",
    "is_late_scalar",
    "unbuilt",
]
