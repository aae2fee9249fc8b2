"""What the records of the benchmarks hold, whichever class holds it.

A record is what people store: a user of eleven fields, one of them a nested
address, with a date, an enum, a list and a dict. Each is made from its number
alone, so that a process can make one of them, or a million, and all agree.
"""

from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

__all__ = ["Role", "contents", "key_of", "number_of"]


class Role(Enum):
    """A small enum."""

    READER = "reader"
    EDITOR = "editor"


START = datetime(2020, 1, 1, tzinfo=UTC)
PREFIX = "user"


def key_of(number: int) -> str:
    """Give the key under which record *number* stands."""
    return f"{PREFIX}{number}"


def number_of(key: str) -> int:
    """Give the number of the record that stands under *key*."""
    return int(key.removeprefix(PREFIX))


def contents(number: int) -> dict[str, Any]:
    """Give the fields of record *number*; the address as a dict of its own."""
    # Multiplying by a large odd number scatters the bits; a seeded generator for
    # each record would cost more than the record.
    bits = (number + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    return {
        "name": f"User {number}",
        "email": f"user{number}@example.com",
        "age": 18 + (bits >> 8) % 72,
        "score": (bits >> 11) / (1 << 53),
        "active": number % 3 > 0,
        "joined": START + timedelta(seconds=(bits >> 20) % 10**8),
        "role": Role.EDITOR if bits >> 40 & 1 else Role.READER,
        "tags": [f"tag{(bits >> shift) % 50}" for shift in (3, 24, 48)],
        "counts": {"logins": (bits >> 16) % 1000, "posts": (bits >> 32) % 100},
        "address": {
            "street": f"{number} Main Street",
            "city": "Springfield",
            "zip_code": f"{number:05}",
        },
        "nickname": None if number % 2 else f"nick{number}",
    }
