"""Write the inputs that every run begins with: ``python -m faults.fuzz.seeds``.

Small, each with a reason in its name. What a fuzzer finds is added by hand, under
a name that says what it was.
"""

import datetime as dt
import struct
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from faults.database import FORMAT, journal, journaling, make_engine, state, step
from faults.fuzz.targets import BASE, folder
from storify.engine.file.log import head_frame

CORPUS = Path(__file__).parent / "corpus"

LOAD = {
    "empty": b"",
    "empty-map": b"\x80",
    "empty-list": b"\x90",
    "one-pair": b"\x81\xa1a\x01",
    "a-number": b"\x05",
    "nil": b"\xc0",
    "never-used-byte": b"\xc1",
    "cut-header-16": b"\xde\x00",
    "cut-header-32": b"\xdf\x00\x00",
    "map-of-4-billion": b"\xdf\xff\xff\xff\xff",
    "list-of-4-billion": b"\xdd\xff\xff\xff\xff",
    "text-of-4-billion": b"\x81\xa1a\xdb\xff\xff\xff\xff",
    "ext-that-overflows": b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",
    "deep-lists": b"\x81\xa1a" + b"\x91" * 600 + b"\x90",
    "deep-maps": b"\x81\xa1a" * 600 + b"\x80",
    "bombs-in-bombs": b"\x81\xa1a" + b"\xdd\x00\x00\x40\x00" * 60,
    "twice-one-key": b"\x82\xa1a\x01\xa1a\x02",
    "keys-equal-in-python": b"\x82\x01\x01\xc3\x02",
    "key-nan": b"\x82\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\x01\xa1a\x02",
    "key-is-a-list": b"\x81\x91\x01\x01",
    "key-is-an-empty-list": b"\x81\x90\x01\x01",  # found: salvage read past its end
    "key-is-a-map": b"\x81\x80\x01",
    "more-after-the-end": b"\x81\xa1a\x01\x00",
    "bad-utf-8": b"\x81\xa1\xff\xa1\xfe",
    "lone-timestamp": b"\xd6\xff\x00\x00\x00\x01",
    "odd-timestamp": b"\x81\xa1a\xc7\x0c\xff" + b"\xff" * 12,
    "unknown-ext": b"\x81\xa1a\xd4\x63\x01",
    "container-without-items": b"\x81\xa1a\x91\xc7\x00\x09",
    "wrapper": b"\x81\xa1a\x81\xa8__User__\x81\xa4name\xa3Ann",
    "escaped": FORMAT.encode({"a": {"__User__": {"name": "Ann"}}}),
    "scalars": FORMAT.encode(
        {
            "date": dt.date(2026, 11, 23),
            "time": dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
            "delta": dt.timedelta(1, 2, 3),
            "large": 1 << 100,
            "decimal": Decimal("1.50"),
            "uuid": UUID(int=7),
            "complex": 1j,
        }
    ),
    "containers": FORMAT.encode({"a": (1, 2), "b": {1, 2}, "c": {(1, 2): {"x": []}}}),
    "state": state(1)[:200],
}


def op(kind: int, key: bytes, value: bytes) -> bytes:
    """An op of a frame, right or wrong."""
    return struct.pack(">BII", kind, len(key), len(value)) + key + value


def sealed(*bodies: bytes, flags: int = 6) -> bytes:
    """The input of frames of these bodies."""
    return b"".join(bytes([len(body), flags]) + body for body in bodies)


SEALED = {
    "empty": b"",
    "nothing-changed": sealed(b""),
    "one-key": sealed(op(0, b"\xa1a", b"\x01")),
    "two-frames": sealed(op(0, b"\xa1a", b"\x01"), op(1, b"\xa1a", b"")),
    "a-number-left-out": sealed(op(0, b"\xa1a", b"\x01"), b"", flags=7),
    "hole-before-unsynced": sealed(op(0, b"\xa1a", b"\x01"), b"", flags=1),
    "no-msgpack": sealed(op(0, b"?", b"\xc1")),
    "list-root": sealed(op(0, b"", b"\x92\x01\x02")),
    "list-root-and-keys": sealed(op(0, b"", b"\x90"), op(0, b"\xa1a", b"\x01")),
    "op-of-no-kind": sealed(op(9, b"\xa1a", b"\x01")),
    "op-cut-short": sealed(op(0, b"\xa1a", b"\x01")[:-1]),
    "op-of-4-billion": sealed(struct.pack(">BII", 0, 0xFFFFFFFF, 0xFFFFFFFF)),
    "delta-cut-short": sealed(op(2, b"\xa1a", b"\0" * 5)),
    "delta-of-nothing": sealed(op(2, b"\xa1a", b"\0" * 20)),
    "delta-of-another": sealed(
        op(2, FORMAT.encode("generation"), struct.pack(">QQI", 1, 1, 0))
    ),
    "delta-of-2-to-64": sealed(
        op(2, b"\xa1a", struct.pack(">QQI", 2**64 - 1, 2**64 - 1, 0) + b"\xff" * 16)
    ),
}


def journals() -> dict[str, bytes]:
    """Journals that an engine has written, and parts of them."""
    with folder() as path, journaling():
        engine = make_engine(path)
        version = engine.commit(step(None, None, 1))
        for generation in (2, 3, 4):
            version = engine.commit(step(version, generation - 1, generation))
        raw = journal(path).read_bytes()
    starts = [at for at in range(len(raw)) if raw[at : at + 2] == b"\x93\xce"]
    head = head_frame(BASE)
    return {
        "empty": b"",
        "zeros": bytes(64),
        "head-alone": head,
        "head-cut": head[:-1],
        "head-of-another-file": head_frame("00" * 32),
        "whole": raw,
        "torn": raw[:-40],
        "without-its-head": raw[starts[1] :],
        "without-its-first": head + raw[starts[2] :],
        "without-its-second": raw[: starts[2]] + raw[starts[3] :],
        "zeros-in-the-middle": raw[: starts[2]] + bytes(50) + raw[starts[2] + 50 :],
        "twice": raw + raw,
        "turned-around": head + raw[starts[3] :] + raw[starts[1] : starts[3]],
        "frame-of-4-billion": head + b"\x93\xce" + bytes(4) + b"\xcf" + bytes(7)
        + b"\x01\xc6\xff\xff\xff\xff",
        "many-beginnings": head + b"\x93\xce\x00\x00\x00\x00\xcf" * 30,
    }  # fmt: skip


def write() -> None:
    """Write all of them."""
    for target, seeds in (
        ("load", LOAD),
        ("journal", journals()),
        ("sealed", SEALED),
    ):
        where = CORPUS / target
        where.mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (where / name).write_bytes(data)


if __name__ == "__main__":
    write()
