"""URLs of servers as people paste them, and as they may be shown: without passwords."""

from collections.abc import Hashable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from storify.engine.postgres.driver import psycopg_of

__all__ = ["SCHEMES", "Address"]

SCHEMES: Final = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
"""The schemes of URLs that are taken."""

#: What is never shown.
_SECRET: Final = frozenset(
    {"password", "sslpassword", "passfile", "oauth_client_secret", "sslkey"}
)
#: What stands in a URL elsewhere than behind its ``?``.
_PLACED: Final = frozenset({"user", "host", "port", "dbname"})
#: What libpq is told unless the URL says otherwise. A list of hosts without a limit
#: of time hangs at the first that does not answer, and a server that was the primary
#: once takes connections still. One that is cut off says nothing at all: then a
#: connection that is there would wait for it for hours.
_DEFAULTS: Final = {
    "connect_timeout": "10",
    "tcp_user_timeout": "10000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "target_session_attrs": "read-write",
    "application_name": "storify",
}


class Address:
    """The address of a server, as libpq understands it.

    Attributes:
        options: What libpq is told, the password included.
        shown: The URL without secrets.

    Args:
        url: As it was given.

    Raises:
        ValueError: libpq does not understand it.
    """

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        if scheme not in SCHEMES:
            msg = f"no URL of a PostgreSQL server begins with {scheme!r}"
            raise ValueError(msg)
        psycopg = psycopg_of()
        try:
            given = psycopg.conninfo.conninfo_to_dict(f"postgresql://{rest}")
        except (psycopg.Error, ValueError):
            # What libpq says of it quotes the password.
            msg = (
                "cannot read the URL of the server: libpq does not understand it; "
                "write special characters of a user or password as %-codes "
                "(urllib.parse.quote), as postgresql://user:p%40ss@host/db"
            )
            raise ValueError(msg) from None
        found = {key: str(value) for key, value in given.items() if value is not None}
        self.options: dict[str, str] = {**_DEFAULTS, **found}
        self.shown: str = _shown(found)

    def identity(self) -> Hashable:
        """Equal for addresses of one database of one server, as far as can be seen."""
        return tuple(self.options.get(key, "") for key in sorted(_PLACED))


def _shown(options: Mapping[str, Any]) -> str:
    user = options.get("user", "")
    hosts, ports = options.get("host", ""), options.get("port", "")
    name = quote(options.get("dbname", ""), safe="")
    place = f"{quote(user, safe='')}@" if user else ""
    rest = {
        key: value
        for key, value in options.items()
        if key not in _SECRET and key not in _PLACED
    }
    if hosts.startswith(("/", "@")):  # a socket of this machine
        rest = {"host": hosts, **({"port": ports} if ports else {}), **rest}
    else:
        place += _places(hosts, ports)
    query = f"?{urlencode(rest, safe='/')}" if rest else ""
    return f"postgresql://{place}/{name}{query}"


def _places(hosts: str, ports: str) -> str:
    """Write hosts with their ports; one port counts for all of them."""
    names, numbers = hosts.split(","), ports.split(",")
    if len(numbers) == 1:
        numbers *= len(names)
    return ",".join(
        f"{name}:{number}" if number else name
        for name, number in zip(names, numbers, strict=False)
    )
