"""What a scenario opens in its folder: known while it runs, unusable afterwards."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast
from weakref import ref

from storify._autosave import Saves, autosaver
from storify._manager import Storify
from storify.codec import Codec
from storify.database.session import shutdown
from storify.database.session.session import Session
from storify.engine import Engine
from storify.exceptions import DatabaseClosedError
from storify.models import Registry
from storify.testing._crash.faults import replaced

__all__ = ["Opened", "is_within"]

T = TypeVar("T")


class _Ended:
    """Stands where the engine of an ended run was.

    Args:
        kind: What the point of the run is called.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> NoReturn:
        msg = (
            f"cannot use a database of a run that has ended at its {self._kind} "
            f"({name}); open what it left with reopen()"
        )
        raise DatabaseClosedError(msg)


class Opened:
    """What is opened in a folder while a scenario runs.

    Attributes:
        home: The folder of the first `Storify`, seen from that of the run.

    Args:
        folder: The folder of the run.
        kind: What the point of the run is called.
    """

    def __init__(self, folder: Path, kind: str = "crash point") -> None:
        self._folder = folder
        self._kind = kind
        self._sessions: list[ref[Session]] = []
        self._storifys: list[ref[Storify]] = []
        self._codecs: list[Codec] = []
        self.home: str | None = None

    @contextmanager
    def watched(self) -> Generator[None]:
        """Hear of each database that is opened."""
        with ExitStack() as stack:
            for owner, name, stand_in in (
                (Storify, "__init__", self._made(Storify.__init__)),
                (autosaver, "watch", self._watch(autosaver.watch)),
                (shutdown, "remember", self._remember(shutdown.remember)),
            ):
                stack.enter_context(replaced(owner, name, stand_in))
            yield

    def storifys(self) -> Iterator[Storify]:
        """Return each `Storify` that is alive."""
        return _living(self._storifys)

    def sessions(self) -> Iterator[Session]:
        """Return the session of each database that is alive."""
        return _living(self._sessions)

    def models(self) -> list[type[Any]]:
        """Return the model classes that the databases know, each once."""
        found: dict[type[Any], None] = {}
        for codec in self._codecs:
            registry: Registry = cast("Any", codec._unstructure).__self__
            found.update(dict.fromkeys(registry._by_class))
        return list(found)

    def end(self) -> None:
        """Let nothing write any more: no finalizer, no exit, no object kept."""
        ended = cast("Engine", _Ended(self._kind))
        for session in self.sessions():
            shutdown.forget(session)
            session.engine = session.syncing._engine = ended
        for sf in self.storifys():
            sf._catalog = cast("Any", ended)

    def _holds(self, path: str) -> bool:
        return is_within(self._folder, os.path.abspath(path))

    def _made(self, real: Callable[..., None]) -> Callable[..., None]:
        def init(sf: Storify, *args: Any, **options: Any) -> None:
            real(sf, *args, **options)
            if not self._holds(sf.root):
                return
            self._storifys.append(ref(sf))
            if self.home is None:
                self.home = os.path.relpath(sf.root, self._folder)

        return init

    def _watch(self, real: Callable[[Saves], None]) -> Callable[[Saves], None]:
        """Keep the autosave away: its thread would make each run another one."""

        def watch(target: Saves) -> None:
            if not isinstance(target, Storify) or not self._holds(target.root):
                real(target)

        return watch

    def _remember(self, real: Callable[[Session], None]) -> Callable[[Session], None]:
        def remember(session: Session) -> None:
            real(session)
            if self._holds(session.engine.location):
                self._sessions.append(ref(session))
                self._codecs.append(session.codec)

        return remember


def is_within(folder: Path, path: str) -> bool:
    """Whether a path leads to a folder, or into it."""
    return f"{path}{os.sep}".startswith(f"{folder}{os.sep}")


def _living(refs: Sequence[ref[T]]) -> Iterator[T]:
    for each in refs:
        found = each()
        if found is not None:  # an empty Storify is false
            yield found
