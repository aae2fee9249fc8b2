"""What a program may be in the middle of when a disk fails or it is killed.

A state of a folder is the generation by the name of a database. Acts may be
repeated: one that is over has nothing left to do.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgpack

from faults.generations import NAME, SHAPES, Shape, flip_byte, open_db
from storify import Storify

State = dict[str, int]


@dataclass(frozen=True)
class Scenario:
    """One thing done to a folder.

    Attributes:
        shape: Of its database.
        prepare: Makes the database, on a good disk, in a process of its own.
        act: What may be cut off.
        before: States that may be found if it was.
        after: The state that must be found if it was not.
        damaged: The last state is lost, unless it is known from elsewhere, so
            any of the states may be found.
    """

    shape: str
    prepare: Callable[[Path, Shape], object]
    act: Callable[[Storify, Shape], object]
    before: list[State]
    after: State
    damaged: bool = False

    @property
    def form(self) -> Shape:
        """The shape itself."""
        return SHAPES[self.shape]


def grow(generations: int, *, closed: bool = True) -> Callable[[Path, Shape], None]:
    """Commit so many generations; not closed, a journal may be left."""

    def prepare(folder: Path, form: Shape) -> None:
        sf, db = open_db(folder)
        for generation in range(1, generations + 1):
            form.move(db, generation)
            db.flush()
        if closed:
            sf.close()

    return prepare


def damage(harm: Callable[[Path], object]) -> Callable[[Path, Shape], None]:
    """Corruption the file of generation 6."""

    def prepare(folder: Path, form: Shape) -> None:
        grow(6)(folder, form)
        harm(folder / f"{NAME}.mpack")

    return prepare


def edited(folder: Path, form: Shape) -> None:
    """Let another program lead the file of generation 3 to 5, with 4 in the journal."""
    grow(3)(folder, form)
    _, db = open_db(folder)
    form.move(db, 4)
    db.flush()
    path = folder / f"{NAME}.mpack"
    data, new = msgpack.unpackb(path.read_bytes()), form.state(5)
    data.update({key: new[key] for key in ("k00005", "counter")})
    path.write_bytes(msgpack.packb(data))


def alone(folder: Path, form: Shape) -> None:
    """Leave generation 3 in a single file that nothing can replace."""
    grow(3)(folder, form)
    shutil.rmtree(folder / ".backups")


def nothing(folder: Path, form: Shape) -> None:
    """There is not even a folder."""


def commit(generation: int, *, close: bool = False) -> Callable[[Storify, Shape], None]:
    """Open and commit."""

    def act(sf: Storify, form: Shape) -> None:
        db = sf.get_db(NAME)
        if db.get("counter") != generation:
            form.move(db, generation)
        db.flush()
        if close:
            sf.close()

    return act


def fold(sf: Storify, form: Shape) -> None:
    """Open, fold the journal, and close."""
    db = sf.get_db(NAME)
    db.flush(compact=True)
    db.close()


def destroy(sf: Storify, form: Shape) -> None:
    """Destroy an open database."""
    if NAME in sf:
        sf.get_db(NAME).destroy()


def remove(sf: Storify, form: Shape) -> None:
    """Remove a database that is not open."""
    if NAME in sf:
        sf.remove_db(NAME)


def rename(sf: Storify, form: Shape) -> None:
    """Rename a database."""
    if NAME in sf:
        sf.rename_db(NAME, "people")


def back_up(sf: Storify, form: Shape) -> None:
    """Make a backup of what is saved."""
    sf.get_db(NAME).backups.backup()


def restore(sf: Storify, form: Shape) -> None:
    """Go back to generation 2."""
    db = sf.get_db(NAME)
    paths = map(db.backups.get_path_of_backup, db.backups.list)
    # Where no copy could be made of a state, it is told by changes alone.
    for path in [path for path in paths if not path.endswith(".journal")]:
        if db.unpack(path).get("counter") == 2:
            db.load(path)
            break
    db.flush()


def open_only(sf: Storify, form: Shape) -> None:
    """Open, which repairs what is damaged."""
    sf.get_db(NAME)


def overwrite(sf: Storify, form: Shape) -> None:
    """Write the only copy in place, as storify never does."""
    path = Path(sf.root, f"{NAME}.mpack")
    path.write_bytes(path.read_bytes())


def users(*generations: int) -> list[State]:
    """States with the one database."""
    return [{NAME: generation} for generation in generations]


SCENARIOS = {
    "first save": Scenario("tiny", nothing, commit(1), [{}], {NAME: 1}),
    "second save": Scenario("tiny", grow(1), commit(2), users(1), {NAME: 2}),
    "seventh save": Scenario("tiny", grow(6), commit(7), users(6), {NAME: 7}),
    "first append": Scenario("medium", grow(2), commit(3), users(2), {NAME: 3}),
    "append": Scenario("medium", grow(3, closed=False), commit(4), users(3), {NAME: 4}),
    "fold": Scenario("medium", grow(4, closed=False), fold, users(4), {NAME: 4}),
    "save and close": Scenario(
        "medium", grow(4, closed=False), commit(5, close=True), users(4), {NAME: 5}
    ),
    "growth": Scenario("swinging", grow(2), commit(3), users(2), {NAME: 3}),
    "shrinkage": Scenario(
        "swinging", grow(3, closed=False), commit(4), users(3), {NAME: 4}
    ),
    "destroy": Scenario("tiny", grow(3), destroy, users(3), {}),
    "destroy large": Scenario("medium", grow(3, closed=False), destroy, users(3), {}),
    "remove": Scenario("medium", grow(3, closed=False), remove, users(3), {}),
    "rename": Scenario("tiny", grow(3), rename, users(3), {"people": 3}),
    "rename large": Scenario(
        "medium", grow(3, closed=False), rename, users(3), {"people": 3}
    ),
    "backup": Scenario("tiny", grow(3), back_up, users(3), {NAME: 3}),
    "restore": Scenario("tiny", grow(3), restore, users(3), {NAME: 2}),
    "recovery": Scenario(
        "tiny", damage(flip_byte), open_only, users(6, 4), {NAME: 5}, damaged=True
    ),
    # Of what both changed, the counter, it has the last word.
    "edit": Scenario("medium", edited, open_only, users(5), {NAME: 5}),
    "loss": Scenario(
        "tiny", damage(Path.unlink), open_only, users(6, 4), {NAME: 5}, damaged=True
    ),
}

#: A writer that a test must catch.
CONTROL = "overwriting"
SCENARIOS[CONTROL] = Scenario("tiny", alone, overwrite, users(3), {NAME: 3})
