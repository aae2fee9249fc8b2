"""A way to a PostgreSQL server that can be cut, at each question and each answer.

What a client sends at once, to wait for an answer then, is one question. The way is cut
before the server has it, or after it has done what was asked for, before the answer is
back: then the client cannot tell whether it was done.
"""

import select
import shutil
import socket
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

__all__ = ["Cut", "Proxy"]

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
        """Cut all connections there are."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair)

    def close(self) -> None:
        """End the way."""
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
