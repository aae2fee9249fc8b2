"""Servers in processes of their own, and visitors who note what was acknowledged."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

#: Longer than anything takes; what takes longer fails the test.
PATIENCE_S = 60.0
#: How long a visitor waits who found nobody.
_PAUSE_S = 0.02

_PORT = re.compile(r"on http://(?:127\.0\.0\.1|localhost):(\d+)")


class Server(NamedTuple):
    """A way to start a server.

    Attributes:
        command: The module and its arguments; ``{fd}`` is a listening socket.
        reload: How it is told to reload: a signal, or "file" for a change of the file.
        inherits: Whether its workers get the open database by a fork.
    """

    command: str
    reload: signal.Signals | str | None = None
    inherits: bool = False


class Running:
    """A server that runs in a folder, with an application that counts.

    Args:
        server: What is started.
        folder: Where; the application is there.
        opens: When our application opens its database.
    """

    def __init__(self, server: Server, folder: Path, opens: str = "at import") -> None:
        self._server = server
        self._folder = folder
        self._lines: list[str] = []
        self._listens = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
            command = server.command.format(fd=listener.fileno()).split()
            binds_itself = "{fd}" not in server.command
            self.process = subprocess.Popen(  # noqa: S603 - servers of our choice
                [sys.executable, "-m", *command],
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    "OPENS": opens,
                    # gunicorn puts a socket there
                    "HOME": str(folder),
                    "XDG_RUNTIME_DIR": str(folder),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                pass_fds=() if binds_itself else (listener.fileno(),),
                start_new_session=True,  # a terminal of its own, for Ctrl-C
            )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._timer = threading.Timer(PATIENCE_S, self.kill)
        self._timer.start()
        if binds_itself:
            assert self._listens.wait(PATIENCE_S), self.output

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)
            if (found := _PORT.search(line)) and "{fd}" not in self._server.command:
                self._port = int(found[1])
                self._listens.set()

    @property
    def output(self) -> str:
        """What the server and its workers said until now."""
        return "".join(self._lines)

    def visit(self) -> tuple[str, int]:
        """Make a request; give what was counted.

        Raises:
            OSError, http.client.HTTPException: It was not acknowledged.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(answer.status)
        parts = body.split()
        if len(parts) != 2:  # the worker was cut off in the middle of its answer
            raise http.client.HTTPException(body)
        return parts[0], int(parts[1])

    def reload(self) -> None:
        """Tell the server to start its workers anew."""
        if isinstance(self._server.reload, signal.Signals):
            self.process.send_signal(self._server.reload)
            return
        # Another size as well: the clock of a file system is coarse.
        with (self._folder / "app.py").open("a", encoding="utf-8") as file:
            file.write("# changed\n")

    def signal_all(self, number: signal.Signals) -> None:
        """Signal every process, as a terminal and a service manager do."""
        os.killpg(self.process.pid, number)

    def end(self) -> int:
        """Wait for the end of all its processes; give the exit code of the first."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)  # at the end of the last that holds the pipe
        assert not self._reader.is_alive(), self.output
        self._timer.cancel()
        return code

    def kill(self) -> None:
        """End whatever still runs."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """See to it that nothing runs on, whatever happened to the test."""
        self._timer.cancel()
        self.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Visitors:
    """Some who visit all the time, and note what they were told.

    Args:
        server: Whom they visit.
        number: How many they are.

    Attributes:
        visits: How often they were told something.
    """

    def __init__(self, server: Running, number: int = 3) -> None:
        self._server = server
        self._leave = threading.Event()
        self._news = threading.Condition()
        self._noted: dict[str, int] = {}
        self.visits = 0
        self._threads = [threading.Thread(target=self._visit) for _ in range(number)]

    def _visit(self) -> None:
        while not self._leave.is_set():
            try:
                key, number = self._server.visit()
            except (OSError, http.client.HTTPException):
                self._leave.wait(_PAUSE_S)
                continue
            with self._news:
                self.visits += 1
                self._noted[key] = max(number, self._noted.get(key, 0))
                self._news.notify_all()

    def wait_for(self, visits: int) -> None:
        """Wait until so many visits more were made."""
        assert self._come(visits, frozenset(), PATIENCE_S), self._server.output

    def wait_for_others(self, visits: int, ask: Callable[[], object]) -> None:
        """Ask for other workers, and wait until so many more were made by others.

        What watches a file may have begun too late, and is asked once more.
        """
        known = frozenset(self.noted)
        for _ in range(6):
            ask()
            if self._come(visits, known, PATIENCE_S / 6):
                return
        raise AssertionError(self._server.output)

    def _come(self, visits: int, known: frozenset[str], patience_s: float) -> bool:
        with self._news:
            until = self.visits + visits
            return self._news.wait_for(
                lambda: self.visits >= until and not known >= self._noted.keys(),
                patience_s,
            )

    @property
    def noted(self) -> dict[str, int]:
        """The last number that each process acknowledged."""
        with self._news:
            return dict(self._noted)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join()
