"""Connection points: a scenario of yours, cut off from its server at each question.

They are found from one run without faults. What a client sends at once is one question;
at each the connection is cut before the server has it, or after it has done it, before
the answer is back; and it is cut for good, so that the server is away from then on.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from inspect import signature
from itertools import product
from secrets import token_hex
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit, urlunsplit

from storify._manager import Storify
from storify.database.session import shutdown
from storify.engine.postgres import link
from storify.threads import finish_all

from ._postgres import shared_url
from ._proxy import Cut, Proxy

__all__ = ["ConnectionPoints", "Severed", "connection_points"]

Kind = Literal["question", "answer", "gone"]
"""What is lost.

``question``: the server never has it. ``answer``: it has done it, and nobody learns of
it. ``gone``: as ``question``, and the server is away for the rest of the run.
"""

_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

Scenario = Callable[..., object]

#: How long a run waits for a server that is away.
_AWAY_S: Final = 0.05
_WORK_S: Final = 10.0


@dataclass(frozen=True)
class Point:
    """One connection point; ``str()`` of it says where and how.

    Attributes:
        number: The number of the question, from 1.
        questions: How many the scenario asks.
        kind: What is lost.
    """

    number: int
    questions: int
    kind: Kind

    def __str__(self) -> str:
        return f"{self.kind} {self.number} of {self.questions}"


@dataclass
class Severed:
    """What a run has left on the server.

    Attributes:
        point: Where the connection was cut.
        url: Of the server, for `Storify`; nothing is cut any more.
        done: What the scenario has told to be done, copied.
        error: What the scenario raised; None if it came to its end.
    """

    point: Point
    url: str
    done: list[Any] = field(default_factory=list[Any])
    error: Exception | None = None

    def reopen(self, **options: Any) -> Storify:
        """Open what is there, as a new program would."""
        given: dict[str, Any] = {"save_interval": None, **options}
        return Storify(self.url, **given)


def connection_points(
    scenario: Scenario,
    url: str | None = None,
    *,
    kinds: Sequence[Kind] = _KINDS,
    most: int | None = None,
) -> "ConnectionPoints":
    """Cut *scenario* off from its server at each question, and see what is there then.

    ::

        def scenario(root, done):
            with Storify(root) as sf:
                users = sf.get_db("users", model=User)
                users["u1"] = User("Ann")
                users.flush()
                done("u1")

        def test_what_was_acknowledged_is_there():
            for severed in connection_points(scenario):
                with severed.reopen() as sf:
                    users = sf.get_db("users", model=User)
                    assert set(severed.done) <= set(users)

    The scenario is run once without a fault, to count its questions, then anew for each,
    on an empty database of the server. After a ``question`` or an ``answer`` that is
    lost, storify goes on with another connection, and so does the scenario: all is done,
    and once. When the server is ``gone`` the scenario ends with an error, and what it
    has not flushed is dropped.

    Args:
        scenario: ``scenario(root)`` opens its databases at that URL and does something.
            With a second parameter it is called as ``scenario(root, done)``: what it
            gives to ``done`` is in `Severed.done`, copied.
        url: Of a server on a socket of this machine, whose role may make databases;
            that of the fixture ``pg_sf`` unless given.
        kinds: What is lost.
        most: So many points at most, spread over all.

    Returns:
        The points: ``len()`` counts them, a loop runs them and gives what each has left.

    Raises:
        RuntimeError: There is no server.
        Exception: What the scenario raises without any fault.
    """
    return ConnectionPoints(scenario, url or shared_url(), kinds, most)


class ConnectionPoints:
    """The connection points of one scenario; made by `connection_points`.

    Attributes:
        questions: How many the scenario asks.
        points: Where it is cut off, in order.
    """

    def __init__(
        self, scenario: Scenario, url: str, kinds: Sequence[Kind], most: int | None
    ) -> None:
        self._scenario = scenario
        self._url = url
        with self._place() as (proxy, _):
            proxy.count()
            done: list[Any] = []
            self._run(proxy, done)
            self.questions: int = proxy.questions
        planned = [
            Point(number, self.questions, kind)
            for number, kind in product(range(1, self.questions + 1), kinds)
        ]
        step = 1 if most is None else max(1, -(-len(planned) // most))
        self.points: tuple[Point, ...] = tuple(planned[::step])

    def __len__(self) -> int:
        """Count the points."""
        return len(self.points)

    def __iter__(self) -> Iterator[Severed]:
        """Cut the scenario off at each point; give what that left."""
        for point in self.points:
            with self._place() as (proxy, url):
                severed = Severed(point, url)
                cut: Cut = "answer" if point.kind == "answer" else "question"
                proxy.cut(point.number, cut, for_good=point.kind == "gone")
                with _impatient(point.kind == "gone"):
                    try:
                        self._run(proxy, severed.done)
                    except Exception as error:  # noqa: BLE001 - it is what is looked at
                        severed.error = error
                    finish_all(_WORK_S)
                yield severed

    def _run(self, proxy: Proxy, done: list[Any]) -> None:
        def tell(what: object) -> None:
            done.append(deepcopy(what))

        before = set(shutdown.open_sessions())
        given = [proxy.url, tell]
        try:
            self._scenario(*given[: len(signature(self._scenario).parameters)])
        finally:
            # Nobody saves what it has left open: the program has ended here.
            for session in set(shutdown.open_sessions()) - before:
                shutdown.forget(session)

    @contextmanager
    def _place(self) -> Generator[tuple[Proxy, str]]:
        """Make an empty database on the server, and a way to it."""
        import psycopg  # noqa: PLC0415 - it is there with the extra alone
        from psycopg import sql  # noqa: PLC0415 - as above

        name = f"storify_{token_hex(6)}"
        parts = urlsplit(self._url)
        url = urlunsplit(parts._replace(path=f"/{name}"))
        make, drop = sql.SQL("create database {}"), sql.SQL("drop database {} (force)")
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(make.format(sql.Identifier(name)))
            proxy = Proxy(url)
            try:
                yield proxy, url
            finally:
                proxy.close()
                connection.execute(drop.format(sql.Identifier(name)))


@contextmanager
def _impatient(wanted: bool) -> Generator[None]:
    """Let no call wait long for a server that is away."""
    before = link.RETRY_S
    if wanted:
        link.RETRY_S = _AWAY_S
    try:
        yield
    finally:
        link.RETRY_S = before
