"""msgpack without its C extension reads and writes the same, however deep."""

import os
import subprocess
import sys

import pytest

from storify import Model, Storify

#: Writes each depth that it is given, or says why not, and reads what is there.
PROGRAM = """
import sys
import msgpack
from storify import Model, Storify

assert msgpack.Packer.__module__ == "msgpack.fallback"

class Node(Model):
    below: object = None

def models(depth):
    value = Node()
    for _ in range(depth - 1):
        value = Node(value)
    return value

def lists(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value

def height(value):
    count = 0
    while value != []:
        value = value.below if isinstance(value, Node) else value[0]
        count += 1
        if value is None:
            return count
    return count + 1

with Storify(sys.argv[1], None, models=[Node]) as sf:
    for name in list(sf):
        print(name, height(sf[name]["k"]))
    for make, depth in (
        (models, 249), (models, 250), (models, 5000),
        (lists, 499), (lists, 500), (lists, 5000),
    ):
        db = sf[f"new {make.__name__} {depth}"]
        db["k"] = make(depth)
        db["l"] = 1
        try:
            db.flush()
            db.load()
            print(db.name, height(db["k"]))
            assert db.check() == []
        except Exception as error:
            print(db.name, type(error).__name__, str(error)[:70], str(error)[-60:])
            db.close(discard=True)
"""


class Node(Model):
    """A record in a record."""

    below: object = None


def test_what_nests_deep_is_read_and_written_as_by_the_extension(tmp_path):
    """Its own reader and writer call themselves, Python's limit is reached before."""
    record, items = Node(), []
    for _ in range(248):
        record = Node(record)
    for _ in range(498):
        items = [items]
    with Storify(tmp_path, None, models=[Node]) as sf:
        sf["models"]["k"], sf["lists"]["k"] = record, items

    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={**os.environ, "MSGPACK_PUREPYTHON": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    said = done.stdout.splitlines()
    refused = "more than 500 containers in one another; nest less"
    assert said[:2] == ["lists 499", "models 249"]
    for line, (name, result) in zip(
        said[2:],
        [
            ("new models 249", "249"), ("new models 250", None),
            ("new models 5000", None), ("new lists 499", "499"),
            ("new lists 500", None), ("new lists 5000", None),
        ],
        strict=True,
    ):  # fmt: skip
        if result is not None:
            assert line == f"{name} {result}"
        else:
            assert line.startswith(f"{name} UnstorableError cannot flush database")
            assert "cannot store $['k']" in line
            assert line.endswith(refused)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x91" * 501 + b"\xc0", "nest more than 500"),
        (b"\x91" * 1_000_000, "nest more than 500"),
        (b"\x91" * 500 + b"\xc0\xc0", "more after the end"),
        (b"\x91" * 500 + b"\xc1", "no MessagePack"),
        (b"\x91" * 500, "end too early"),
    ],
)
def test_what_is_wrong_in_deep_data_is_told_without_the_extension(payload, reason):
    """As with it."""
    program = (
        "import sys\n"
        "from storify.codec import Codec, DecodeError\n"
        "try:\n"
        "    Codec().decode(sys.stdin.buffer.read())\n"
        "except DecodeError as error:\n"
        "    print(error)\n"
    )
    for python_only in ("", "1"):
        done = subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-c", program],
            env={**os.environ, "MSGPACK_PUREPYTHON": python_only},
            input=payload,
            capture_output=True,
            timeout=60,
            check=True,
        )

        assert reason in done.stdout.decode()
