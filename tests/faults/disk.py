"""The scenarios that a disk which fails at one chosen call is used on.

That disk is the kit's: `storify.testing._disk`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.database import (
    FORMAT,
    commit,
    entries_of,
    flip,
    grow,
    journal,
    journaling,
    keep_times,
    main,
    state,
    whole_of,
)
from storify.engine import Commit, FileEngine, StaleVersionError


@dataclass(frozen=True)
class Scenario:
    """One thing done to a database.

    Attributes:
        prepare: Makes the database, on a good disk.
        act: What may be cut off.
        before: Generations that may be found if it was.
        after: The generation that must be found if it was not.
        warns: Whether the database was damaged before, so that warnings are due.
        journaled: Whether the file is large enough to have a journal.
        opened: What the engine does on a good disk before.
        older: What a second fault, in reading a backup, may lead back to.
    """

    name: str
    prepare: Callable[[Path], object]
    act: Callable[[FileEngine], object]
    before: frozenset[int | None]
    after: int | None
    warns: bool = False
    journaled: bool = False
    opened: Callable[[FileEngine], object] = lambda _: None
    older: frozenset[int] = frozenset()

    def __str__(self) -> str:
        return self.name

    def large(self) -> AbstractContextManager[None]:
        """Let the file be as large as the scenario says."""
        return journaling(self.journaled)


def _grown(generations: int) -> Callable[[Path], object]:
    return lambda folder: grow(folder, generations)


def _rot(generations: int) -> Callable[[Path], object]:
    def prepare(folder: Path) -> None:
        grow(folder, generations)
        flip(main(folder))

    return prepare


def _lose(folder: Path) -> None:
    grow(folder, 3)
    main(folder).unlink()


def _foreign(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    main(folder).write_bytes(state(3))


def _torn(folder: Path) -> None:
    """A crash in the middle of the last frame, which is in no mirror."""
    grow(folder, 3)
    path = journal(folder)
    keep_times(path, path.read_bytes() + path.read_bytes()[-50:-9])


def _holed(folder: Path) -> None:
    """Rot in the first of two frames; the mirror has it."""
    grow(folder, 3)
    flip(journal(folder), 120)


def _edited(folder: Path) -> None:
    """Another program has changed all that the commits 2 and 3 changed."""
    grow(folder, 3)
    main(folder).write_bytes(state(12))


def _put_back(folder: Path) -> None:
    """A backup was copied over the file of generation 7, with 8 in the journal."""
    grow(folder, 8)
    (old, *_) = sorted(folder.rglob("*.mpack"))
    main(folder).write_bytes(old.read_bytes())


def _edited_alone(folder: Path) -> None:
    """The same, and there is no backup to merge with."""
    _edited(folder)
    for path in (folder / ".backups").rglob("*.mpack"):
        path.unlink()


def _interval_left(folder: Path) -> None:
    """Another program has folded nothing, and synced nothing."""
    grow(folder, 3, sync="interval")


def _restore(engine: FileEngine) -> None:
    oldest = engine.backups()[-1]
    loaded = engine.load()
    assert loaded is not None
    entries = FORMAT.split(whole_of(engine.state(oldest.id)))
    gone = [(key, None) for key in entries_of(loaded) if key not in entries]
    engine.commit(Commit(loaded.version, [*gone, *entries.items()]))


def _commits(generation: int, **options: bool) -> Callable[[FileEngine], object]:
    return lambda engine: commit(engine, generation, **options)


def _commit_as_sessions(engine: FileEngine) -> None:
    """If the edit was served and not saved, saving it makes the version another."""
    try:
        commit(engine, 13)
    except StaleVersionError:
        commit(engine, 13)


def _fold(engine: FileEngine) -> None:
    loaded = engine.load()
    assert loaded is not None
    assert engine.is_worth_folding()
    engine.commit(Commit(loaded.version, (), compact=True))


def _commit_and_sync(engine: FileEngine) -> None:
    commit(engine, 4)
    engine.sync()


def _scenario(
    name: str,
    prepare: Callable[[Path], object],
    act: Callable[[FileEngine], object],
    before: int | None,
    after: int | None,
    **more: Any,
) -> Scenario:
    return Scenario(name, prepare, act, frozenset({before}), after, **more)


DAMAGE = {"warns": True, "older": frozenset({2, 1})}
LARGE = {"journaled": True}

SCENARIOS = [
    _scenario("first", lambda _: None, _commits(1), None, 1),
    _scenario("second", _grown(1), _commits(2), 1, 2),
    _scenario("seventh", _grown(6), _commits(7), 6, 7),
    _scenario("first frame", _grown(1), _commits(2), 1, 2, **LARGE),
    _scenario("third frame", _grown(3), _commits(4), 3, 4, **LARGE),
    _scenario("folded by size", _grown(6), _commits(7), 6, 7, **LARGE),
    _scenario("first frame after", _grown(7), _commits(8), 7, 8, **LARGE),
    _scenario("folded when told", _grown(3), _commits(4, compact=True), 3, 4, **LARGE),
    _scenario("folded when idle", _grown(3), _fold, 4, 4, opened=_commits(4), **LARGE),
    _scenario("synced later", _interval_left, _commit_and_sync, 3, 4, **LARGE),
    _scenario("destroy", _grown(3), FileEngine.destroy, 3, None),
    _scenario("destroy a journal", _grown(3), FileEngine.destroy, 3, None, **LARGE),
    _scenario("erase", _grown(3), lambda e: e.destroy(backups=True), 3, None),
    _scenario(
        "erase a journal",
        _grown(3),
        lambda e: e.destroy(backups=True),
        3,
        None,
        **LARGE,
    ),
    _scenario("purge", _grown(3), FileEngine.purge, 3, 3),
    _scenario("purge a journal", _grown(9), FileEngine.purge, 9, 9, **LARGE),
    _scenario("backup", _grown(3), FileEngine.backup, 3, 3),
    _scenario("backup of a journal", _grown(3), FileEngine.backup, 3, 3, **LARGE),
    _scenario("restore", _grown(3), _restore, 3, 1),
    _scenario("restore to a journal", _grown(3), _restore, 3, 1, **LARGE),
    _scenario("adopt", _foreign, FileEngine.load, 3, 3),
    _scenario("recovery", _rot(3), FileEngine.load, 3, 3, **DAMAGE),
    _scenario(
        "recovery of a journal", _rot(3), FileEngine.load, 3, 3, **DAMAGE, **LARGE
    ),
    _scenario(
        "recovery of a fold",
        _rot(9),
        FileEngine.load,
        9,
        9,
        warns=True,
        older=frozenset(range(1, 9)),
        **LARGE,
    ),
    _scenario("loss", _lose, FileEngine.load, 3, 3, **DAMAGE),
    _scenario("torn journal", _torn, FileEngine.load, 3, 3, warns=True, **LARGE),
    _scenario("holed journal", _holed, FileEngine.load, 3, 3, **DAMAGE, **LARGE),
    _scenario(
        "commit on a holed journal",
        _grown(3),
        _commits(4),
        3,
        4,
        opened=lambda e: flip(
            main(Path(e.location).parent).with_suffix(".mpack.journal"), 120
        ),
        **DAMAGE,
        **LARGE,
    ),
    _scenario("edit", _edited, FileEngine.load, 12, 12, warns=True, **LARGE),
    _scenario(
        "commit on an edit", _edited, _commit_as_sessions, 12, 13, warns=True, **LARGE
    ),
    _scenario(
        "destroy an edit",
        _edited,
        FileEngine.destroy,
        12,
        None,
        warns=True,
        **LARGE,
    ),
    _scenario("file put back", _put_back, FileEngine.load, 1, 1, warns=True, **LARGE),
    _scenario(
        "edit without a base",
        _edited_alone,
        FileEngine.load,
        12,
        12,
        warns=True,
        **LARGE,
    ),
    _scenario("set aside", _rot(3), FileEngine.set_aside, 3, None, **DAMAGE),
    _scenario(
        "set a journal aside", _rot(3), FileEngine.set_aside, 3, None, **DAMAGE, **LARGE
    ),
]
