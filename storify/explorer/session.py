"""`Session`: what every face can do with a place of databases, without a screen."""

import copy
import difflib
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from storify._manager import Storify
from storify.codec import Codec
from storify.database import Salvage
from storify.database.maintenance.check import check
from storify.engine import (
    Commit,
    Engine,
    Problem,
    Snapshot,
    WholeSnapshot,
    difference,
    each_entry,
)
from storify.exceptions import (
    CheckError,
    DatabaseLoadError,
    DatabaseNameError,
    StorifyError,
)
from storify.explorer import pictures
from storify.explorer.drafts import Draft, commit_drafts, parse_value
from storify.explorer.filters import parse_filter
from storify.explorer.reading import (
    Page,
    Reading,
    Row,
    alarm,
    key_digest,
    key_token,
    literal_of,
)
from storify.explorer.states import (
    NOW,
    Comparison,
    Moment,
    State,
    compare,
    parse_state,
    states_of,
)
from storify.explorer.values import (
    MISSING,
    Undecodable,
    at_path,
    fields_of,
    kind_of,
    literal,
    parse_path,
    parts_of,
    replaced,
)
from storify.logger import LoggerLike
from storify.models import Misfit, Ref, Unloaded
from storify.models.options import class_of, is_model
from storify.tables.lines import Classes, Pairs

__all__ = [
    "About",
    "ByClass",
    "Health",
    "NotThereError",
    "Notes",
    "ReadOnlyError",
    "Session",
    "Stats",
]

#: So many states are kept open; each large one holds two files.
_OPEN: Final = 8
_SUFFIX: Final = ".mpack"
_NEAR: Final = 1000
#: How many older states are kept is the owner's to say: none goes by what is saved here.
_ALL: Final = 1 << 31
#: So many records are encoded field by field to tell which fields are large.
_SAMPLE: Final = 10_000


class NotThereError(StorifyError, LookupError):
    """There is no such place, database or key; the text says what is near."""


class ReadOnlyError(StorifyError, PermissionError):
    """The session was opened to look, not to write."""


class Notes:
    """A logger that keeps what the owner of the data should know."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def debug(self, msg: str) -> None:
        """Say nothing."""

    def info(self, msg: str) -> None:
        """Say nothing."""

    def warning(self, msg: str) -> None:
        """Keep a warning."""
        self.said.append(msg)

    def error(self, msg: str) -> None:
        """Keep what failed."""
        self.said.append(msg)

    def traceback(self, msg: str) -> None:
        """Keep what failed, in one line."""
        self.said.append(msg)


class About(NamedTuple):
    """Facts about a database that need no look at its records.

    Attributes:
        name: Its name.
        records: How many it has; None if it cannot be opened.
        size_bytes: What its file and journal take; None where there are no files.
        written: When they were written last.
        older: How many older states are kept.
        health: ``ok``, or what is wrong.
    """

    name: str
    records: int | None
    size_bytes: int | None
    written: datetime | None
    older: int
    health: str


class ByClass(NamedTuple):
    """The records of one class.

    Attributes:
        name: The class.
        records: How many there are.
        size_bytes: What they take, as stored.
        fields: What each field takes, of the records that were looked into, the largest
            first.
    """

    name: str
    records: int
    size_bytes: int
    fields: Mapping[str, int]


class Health(NamedTuple):
    """The damage and the misfits of a database.

    Attributes:
        broken: Why it cannot be opened; an empty text if it can.
        problems: Damaged files.
        misfits: Where records do not fit their classes.
        looked_at: How many records were looked at, if time was up before all.
    """

    broken: str
    problems: list[Problem]
    misfits: list[Misfit]
    looked_at: int | None


class Stats(NamedTuple):
    """The sizes of a database.

    Attributes:
        about: What is told of it at a glance.
        classes: By class, the largest first.
        sampled: How many records were looked into for their fields.
        growth: Records and bytes of the states, oldest first.
        looked_at: How many records there was time to look at.
    """

    about: About
    classes: list[ByClass]
    sampled: int
    growth: list[tuple[State, int, int]]
    looked_at: int

    def _repr_html_(self) -> str:
        """The sizes and the growth as pictures, where a notebook shows them."""
        return pictures.sizes_table(self) + pictures.growth(self)


class Session:
    """A place of databases, opened to look at it.

    It never writes unless *write* is true, and never keeps a writer waiting. What is
    shown is what is durable.

    Args:
        where: A folder, one database file, a URL, or a `Storify` of this program.
        models: Model classes that records come back as; without them records show as
            what they are stored as.
        types: Enums, named tuples and other classes.
        write: Whether drafts may be saved, and states restored.
        log: Told what the owner should know; kept in `notes` unless given.

    Raises:
        NotThereError: There is no such place; none is made.
    """

    def __init__(
        self,
        where: str | os.PathLike[str] | Storify,
        *,
        models: Iterable[type[Any]] = (),
        types: Iterable[type[Any]] = (),
        write: bool = False,
        log: LoggerLike | None = None,
    ) -> None:
        self.notes: Notes = Notes()
        self.write: bool = write
        self._only: Path | None = None
        self._engines: dict[str, Engine] = {}
        self._open: OrderedDict[tuple[str, str], Reading] = OrderedDict()
        self._drafts: dict[tuple[str, bytes | int], Draft] = {}
        self._names: list[str] | None = None
        if isinstance(where, Storify):
            self._sf: Storify = where
            self.where: str = where._catalog.location
            return
        text = os.fspath(where)
        self.where = text
        if "://" not in text:
            text = self._folder_of(Path(text))
        self._sf = Storify(
            text,
            save_interval=None,
            background=False,
            handle_signals=False,
            keep=_ALL,
            log=self.notes if log is None else log,
            models=models,
            types=types,
        )
        if "://" in text:
            # As the catalog tells it: without the password.
            self.where = self._sf._catalog.location

    def _folder_of(self, path: Path) -> str:
        if path.is_dir():
            return str(path)
        if not path.exists():
            beside = path.parent.iterdir() if path.parent.is_dir() else ()
            near = _near(path.name, (each.name for each in beside))
            msg = f"there is no file or folder {str(path)!r}{near}"
            raise NotThereError(msg)
        self._only = path
        return str(path.parent)

    def close(self) -> None:
        """Let go of all files. Drafts are dropped."""
        self._drafts.clear()
        while self._open:
            self._open.popitem()[1].close()
        self._engines.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def codec(self) -> Codec:
        """The codec that knows the classes, for bytes."""
        return self._sf._schema.codec

    def class_named(self, name: str) -> type[Any]:
        """Return the registered class of a name or keyname.

        Raises:
            NotThereError: There is none.
        """
        registry = self._sf._schema.registry
        classes = {cls.__name__: cls for cls in self._sf.models}
        found = classes.get(name) or registry.class_named(name)
        if found is None:
            msg = f"there is no class {name!r} among the models{_near(name, classes)}"
            raise NotThereError(msg)
        return found

    # -- databases -------------------------------------------------------------

    def names(self) -> list[str]:
        """The names of all databases, sorted."""
        if self._only is not None:
            return [self._only.name.removesuffix(_SUFFIX)]
        catalog = self._sf._catalog
        return sorted({*catalog.names(), *catalog.nameless()})

    @property
    def only(self) -> str | None:
        """The name of the database, where the place is one file."""
        return None if self._only is None else self.names()[0]

    def engine(self, name: str, *, write: bool = False) -> Engine:
        """The engine of a database that exists.

        Raises:
            NotThereError: There is none of this name.
        """
        if not write and name in self._engines:
            return self._engines[name]
        made = self._engine(name, readonly=not write)
        if not write:
            self._engines[name] = made
        return made

    def _engine(self, name: str, *, readonly: bool) -> Engine:
        sf = self._sf
        codec, saving = sf._schema.codec, sf._saving
        if self._only is not None:
            self._require(name == self.only, name)
            return saving.file(self._only, codec, sf.log, readonly=readonly)
        with suppress(DatabaseNameError):  # as releases before could make them
            if sf._is_saved(name):
                return sf._catalog.engine(name, readonly=readonly)
        nameless = sf._catalog.nameless()
        self._require(name in nameless, name)
        return saving.file(nameless[name], codec, sf.log, readonly=readonly)

    def _require(self, is_there: bool, name: str) -> None:
        if not is_there:
            names = self.names()
            listed = f"; there is {', '.join(names[:8])}" if names else "; it is empty"
            hint = _near(name, names) or listed
            msg = f"there is no database {name!r} in {self.where!r}{hint}"
            raise NotThereError(msg)

    def about(self, name: str) -> About:
        """Tell of a database what is known at a glance."""
        engine = self.engine(name)
        size, written = _files_of(engine)
        older = engine.backups()
        unsaved = sum(each.kind == "unsaved" for each in older)
        records: int | None = None
        try:
            reading = self._reading(name, NOW)
            records = len(reading)
            recovered = getattr(reading.snapshot, "recovered_from", None)
            health = "ok" if recovered is None else f"recovered from {recovered}"
        except (DatabaseLoadError, NotThereError) as error:
            health = f"damaged: {error}"
        except OSError as error:
            health = f"unreadable: {error}"
        if unsaved:
            health = (
                f"{unsaved} unsaved"
                if health == "ok"
                else f"{health}; {unsaved} unsaved"
            )
        kept = len(older) - unsaved
        return About(name, records, size, written, kept, health)

    def databases(
        self,
        names: Sequence[str] | None = None,
        told: Callable[[int, int], object] | None = None,
    ) -> list[About]:
        """Tell of some databases, of all unless they are named."""
        listed = self.names() if names is None else names
        found: list[About] = []
        for name in listed:
            with suppress(NotThereError):  # it was removed meanwhile
                found.append(self.about(name))
            if told is not None:
                told(len(found), len(listed))
        return found

    # -- states and records ------------------------------------------------------

    def states(self, name: str) -> list[State]:
        """List the states of a database, newest first; unsaved ones stand last."""
        return states_of(self.engine(name))

    def state_id(self, name: str, text: str) -> str:
        """Find out which state somebody means: an id, a time, ``yesterday``.

        Raises:
            NotThereError: There is none.
        """
        which = parse_state(text)
        if isinstance(which, datetime):
            states = [each for each in self.states(name) if each.kind != "unsaved"]
            _, written = _files_of(self.engine(name))
            if written is not None and written <= which:
                return NOW
            for each in states:
                if each.time is not None and each.time <= which:
                    return each.id
            oldest = states[-1].time
            since = (
                f"; the oldest is of {oldest:%Y-%m-%d %H:%M:%S %Z}" if oldest else ""
            )
            msg = f"no state of database {name!r} as old as {text!r} is kept{since}"
            raise NotThereError(msg)
        ids = [each.id for each in self.states(name)]
        if which in ids:
            return which
        begun = [each for each in ids if each.startswith(which)]
        if len(begun) == 1:
            return begun[0]
        if begun:
            msg = f"{len(begun)} states of database {name!r} begin with {text!r}"
            raise NotThereError(msg)
        msg = (
            f"database {name!r} has no state {text!r}; 'storify log' lists them, a "
            f"time or 'yesterday' finds the one of then"
        )
        raise NotThereError(msg)

    def around(self, name: str, text: str) -> tuple[State | None, State, State | None]:
        """Return the state before the one that somebody means, that one, the one after.

        One that is put aside stands on no line, and nothing is before or after it.
        """
        states = self.states(name)
        which = self.state_id(name, text)
        at = next(n for n, each in enumerate(states) if each.id == which)
        line = [each for each in states if each.kind != "unsaved"]
        if at >= len(line):
            return None, states[at], None
        older = line[at + 1] if at + 1 < len(line) else None
        return older, line[at], line[at - 1] if at else None

    def _reading(self, name: str, state: str) -> Reading:
        """Return a state that is open; the present one as it is now."""
        key = name, state
        found = self._open.get(key)
        engine = self.engine(name)
        if found is not None and (
            state != NOW or engine.changes_since(found.snapshot.version) is None
        ):
            self._open.move_to_end(key)
            return found
        if found is not None:
            del self._open[key]
            found.close()
        made = self._open[key] = self._opened(name, state)
        while len(self._open) > _OPEN:
            self._open.popitem(last=False)[1].close()
        return made

    def _opened(self, name: str, state: str) -> Reading:
        """Open a state, to be closed by who calls."""
        engine = self.engine(name)
        snapshot = engine.open() if state == NOW else self._older(engine, name, state)
        if snapshot is None:
            self._engines.pop(name, None)
            msg = f"there is no database {name!r} in {self.where!r}; it was removed"
            raise NotThereError(msg)
        return Reading(name, snapshot, self.codec)

    @staticmethod
    def _older(engine: Engine, name: str, state: str) -> Snapshot:
        try:
            return engine.state(state)
        except FileNotFoundError as error:
            msg = f"database {name!r} has no state {state!r} any more"
            raise NotThereError(msg) from error

    def reading(self, name: str, state: str = NOW) -> Reading:
        """Open a state of a database; *state* as `state_id` finds it."""
        return self._reading(name, NOW if state == NOW else self.state_id(name, state))

    def page(
        self,
        name: str,
        *,
        offset: int = 0,
        limit: int = 20,
        where: str = "",
        sort: str = "",
        reverse: bool = False,
        state: str = NOW,
        seconds: float | None = None,
        start: int = 0,
        told: Callable[[int, int], object] | None = None,
    ) -> tuple[Page, list[str]]:
        """Return a page of records, and the fields of the filter that no record has.

        Args:
            name: The database.
            offset: How many records come before it.
            limit: How many it has at most.
            where: A filter, as of `parse_filter`.
            sort: A field to sort by.
            reverse: Whether the greatest comes first.
            state: Which state.
            seconds: When a search gives up; `Page.cut` tells that it did.
            start: Where a search that gave up goes on.
            told: Told of the progress of a search.

        Raises:
            FilterError: The filter cannot be read.
        """
        reading = self.reading(name, state)
        test = parse_filter(where)
        if sort:
            parse_path(sort)
            page = reading.sorted_page(
                sort,
                offset,
                limit,
                test=test,
                reverse=reverse,
                seconds=seconds,
                told=told,
            )
        elif where.strip():
            page = reading.find(
                test, offset, limit, start=start, seconds=seconds, told=told
            )
        else:
            return reading.page(offset, limit), []
        return page, test.unmet()

    def find_key(self, name: str, text: str, state: str = NOW) -> bytes | int:
        """Find the key that somebody wrote: a literal, a text, or as `key_token`.

        Raises:
            NotThereError: There is none; the error says what is near.
        """
        reading = self.reading(name, state)
        for blob in self._spellings(reading, text):
            if reading.get(blob) is not None:
                return blob
        keys: list[str] = []
        is_digest = text.startswith("#")
        for blob, _ in reading.pairs():
            key = reading.key(blob)
            if literal(key) == text or str(key) == text:
                return blob
            if is_digest and isinstance(blob, bytes) and key_digest(blob) == text:
                return blob
            if len(keys) < _NEAR and isinstance(key, str):
                keys.append(key)
        hint = _near(text, keys) or f"; 'storify show' lists its {len(reading)} records"
        msg = f"database {name!r} has no key {text!r}{hint}"
        raise NotThereError(msg)

    def _spellings(self, reading: Reading, text: str) -> Iterator[bytes | int]:
        """Iterate over the bytes of the keys that a text may mean."""
        if reading.is_list:
            with suppress(ValueError):
                index = int(text)
                yield index + len(reading) if index < 0 else index
            return
        key = literal_of(text)
        if key is not MISSING:
            with suppress(StorifyError, TypeError):
                yield self.codec.encode_key(key)
        yield self.codec.encode_key(text)
        if text.startswith("0x"):
            with suppress(ValueError):
                yield bytes.fromhex(text[2:])

    def row(self, name: str, key: str, state: str = NOW) -> Row:
        """Return one record.

        Raises:
            NotThereError: There is no such key.
        """
        reading = self.reading(name, state)
        blob = self.find_key(name, key, state)
        return reading.row(blob, reading.get(blob) or b"\xc0")

    def follow(self, ref: Ref[Any]) -> tuple[str, str] | None:
        """Return the database and key token that a reference leads to, if it does."""
        try:
            reading = self.reading(ref.db)
            blob: bytes | int = ref.key
            if not reading.is_list:
                blob = self.codec.encode_key(ref.key)
        except (StorifyError, OSError):
            return None
        if reading.get(blob) is None:
            return None
        return ref.db, key_token(Row(ref.key, None, 0, blob))

    def classes(self) -> Classes:
        """The facts that classes add to records, for formats of `storify.tables`."""
        return Classes(self._sf._schema.registry, self.codec)

    @contextmanager
    def pairs(
        self, name: str, *, where: str = "", state: str = NOW
    ) -> Generator[tuple[Pairs, int]]:
        """Open a state for a look at all of it, whoever writes meanwhile.

        It gives what begins to iterate over the keys and records that pass a filter, as
        often as it is asked, and how many records there are.

        Raises:
            FilterError: The filter cannot be read.
        """
        test = parse_filter(where)
        which = NOW if state == NOW else self.state_id(name, state)
        reading = self._opened(name, which)

        def begin() -> Iterator[tuple[Any, Any]]:
            return (
                (row.key, row.value)
                for row in reading.rows()
                if test(row.key, row.value)
            )

        with closing(reading):
            yield begin, len(reading)

    # -- time ------------------------------------------------------------------

    def diff(self, name: str, old: str, new: str = NOW, most: int = 1000) -> Comparison:
        """Compare two states of a database."""
        before, after = self.reading(name, old), self.reading(name, new)
        return compare(before, after, self.codec, most)

    def history(self, name: str, key: str) -> list[Moment]:
        """Return what a key held, newest first: one for each state that changed it.

        A state that cannot be read is passed over and told in `notes`.
        """
        blob = self._key_in_any(name, key)
        found: list[Moment] = []
        last: object = None
        for state in reversed([s for s in self.states(name) if s.kind != "unsaved"]):
            try:
                stored = self._reading(name, state.id).get(blob)
            except (StorifyError, OSError) as error:
                self.notes.warning(f"state {state.id} cannot be read: {error}")
                continue
            if stored == last:
                continue
            last = stored
            value = MISSING if stored is None else self._decode(stored)
            found.append(Moment(state, value))
        return found[::-1]

    def _decode(self, stored: bytes) -> Any:
        try:
            return self.codec.decode(stored)
        except ValueError as error:
            return Undecodable(str(error), len(stored))

    def _key_in_any(self, name: str, key: str) -> bytes | int:
        """Find a key in the newest state that has it."""
        first: NotThereError | None = None
        for state in self.states(name):
            if state.kind == "unsaved":
                continue
            try:
                return self.find_key(name, key, state.id)
            except NotThereError as error:
                first = first or error
            except (DatabaseLoadError, OSError):
                continue
        raise first or NotThereError(f"database {name!r} has no key {key!r}")

    def restore(
        self, name: str, state: str, keys: Iterable[str] = (), *, dry_run: bool = False
    ) -> Comparison:
        """Make an older state the present one, or some keys of it.

        Returns:
            What changes by it.

        Raises:
            ReadOnlyError: The session was opened to look.
            NotThereError: There is no such state; a key is in neither.
        """
        which = self.state_id(name, state)
        reading = self._reading(name, which)
        wanted = _of_dict(self._key_in_either(name, key, which) for key in keys)
        engine = self.engine(name, write=True) if not dry_run else self.engine(name)
        if not dry_run:
            self._may_write("restore")
        now = self.reading(name)
        states: list[Snapshot] = [now.snapshot, reading.snapshot]
        if wanted:
            states = [
                WholeSnapshot(each.version, dict(_some(each, wanted)))
                for each in states
            ]
        before, after = (Reading(name, each, self.codec) for each in states)
        found = compare(before, after, self.codec, most=1000)
        if dry_run or not (found.added or found.removed or found.changed):
            return found
        with engine.locked():
            present = engine.open()
            then = _some(reading.snapshot, wanted)
            changes = difference(_some(present, wanted), then)
            commit = Commit(None, changes)
            if present is not None:
                commit = commit._replace(base=present.version, stored=present.get)
            engine.commit(commit)
            engine.sync()
        return found

    def _key_in_either(self, name: str, key: str, state: str) -> bytes | int:
        try:
            return self.find_key(name, key, state)
        except NotThereError:
            return self.find_key(name, key)

    # -- health ----------------------------------------------------------------

    def misfits(
        self, name: str, *, seconds: float | None = None
    ) -> tuple[list[Misfit], int | None]:
        """List where the records of a database do not fit their classes.

        Args:
            name: The database.
            seconds: When to give up; None: never.

        Returns:
            The misfits, and how many records were looked at if time was up before all.
        """
        is_over = alarm(seconds)
        looked_at: int | None = None

        def told(done: int, total: int) -> bool:
            nonlocal looked_at
            looked_at = done if done < total else None
            return not is_over()

        with self._sf._read(name, self._engine(name, readonly=True)) as source:
            return check(source, told), looked_at

    def health(self, name: str, *, seconds: float | None = None) -> Health:
        """Look for damage and misfits, also in what cannot be opened.

        Args:
            name: The database.
            seconds: When to give up the search for misfits; None: never.
        """
        problems = self.verify(name)
        try:
            found, looked_at = self.misfits(name, seconds=seconds)
        except (DatabaseLoadError, OSError) as error:
            return Health(str(error), problems, [], None)
        return Health("", problems, found, looked_at)

    def key_at(self, name: str, path: str) -> str | None:
        """Return the token of the record that a place is in; None if it cannot be told."""
        try:
            (step, *_) = parse_path(path.removesuffix(" (key)"))
            return key_token(self.row(name, step[1:-1]))
        except (ValueError, StorifyError):
            return None

    def verify(self, name: str) -> list[Problem]:
        """Read everything that is kept of a database and give what is wrong."""
        return list(self.engine(name).verify())

    def salvage(self, name: str) -> Salvage:
        """Save what is intact of a damaged database; see `Storify.salvage`."""
        self._may_write("salvage")
        self._require(name in self.names(), name)
        self._forget(name)
        return self._sf.salvage(name)

    def compact(self, name: str) -> tuple[int | None, int | None]:
        """Leave one whole file; give its size in bytes before and after."""
        self._may_write("compact")
        engine = self.engine(name, write=True)
        before, _ = _files_of(engine)
        with engine.locked():
            snapshot = engine.open()
            if snapshot is not None:
                engine.commit(Commit(snapshot.version, [], compact=True))
        engine.close()
        return before, _files_of(engine)[0]

    def _forget(self, name: str) -> None:
        self._engines.pop(name, None)
        for key in [key for key in self._open if key[0] == name]:
            self._open.pop(key).close()

    def stats(
        self,
        name: str,
        *,
        growth: bool = True,
        seconds: float | None = None,
        told: Callable[[int, int], object] | None = None,
    ) -> Stats:
        """Tell what a database holds and which classes and fields are large.

        Args:
            name: The database.
            growth: Whether each older state is opened to count its records.
            seconds: When to give up, for the records and for the states; None: never.
            told: Told of the progress.
        """
        count: Counter[str] = Counter()
        size: Counter[str] = Counter()
        fields: dict[str, Counter[str]] = {}
        sampled = looked_at = 0
        is_over = alarm(seconds)
        for row in self.reading(name).rows(told):
            kind = kind_of(row.value)
            looked_at += 1
            count[kind] += 1
            size[kind] += row.size_bytes
            found = fields_of(row.value)
            if found is not None and sampled < _SAMPLE:
                sampled += 1
                sizes = fields.setdefault(kind, Counter())
                for field, value in found.fields.items():
                    with suppress(StorifyError, RuntimeError):
                        sizes[str(field)] += len(self.codec.encode(value, "$.f"))
            if is_over():
                break
        classes = [
            ByClass(
                kind, count[kind], each, dict(fields.get(kind, Counter()).most_common())
            )
            for kind, each in size.most_common()
        ]
        line = self._growth(name, seconds) if growth else []
        return Stats(self.about(name), classes, sampled, line, looked_at)

    def _growth(self, name: str, seconds: float | None) -> list[tuple[State, int, int]]:
        found: list[tuple[State, int, int]] = []
        is_over = alarm(seconds)
        for state in self.states(name):
            if state.kind == "unsaved" or is_over():
                continue
            try:
                reading = self._reading(name, state.id)
                taken = sum(len(stored) for _, stored in reading.pairs())
            except (StorifyError, OSError):
                continue
            found.append((state, len(reading), taken))
        return found[::-1]

    # -- editing ---------------------------------------------------------------

    def _may_write(self, what: str) -> None:
        if not self.write:
            msg = f"cannot {what}: this session only looks; open it with write=True, or --write"
            raise ReadOnlyError(msg)

    def stage(
        self, name: str, key: str, text: str, path: str = "", *, cls: Any = None
    ) -> Draft:
        """Stage that a record, or a place in it, gets another value.

        Args:
            name: The database.
            key: The key, as `find_key` takes it; one that is not there is made.
            text: The value, in JSON or as a plain text.
            path: The place in the record; all of it unless given.
            cls: The class of a new record.

        Raises:
            CheckError: The value does not fit the class.
            ModelLoadError: It cannot be read as what the class says.
            PathError: The path leads to nothing.
        """
        reading = self.reading(name)
        try:
            blob = self.find_key(name, key)
        except NotThereError:
            if path:
                raise
            blob = self._new_key(reading, key)

        def change(base: Any) -> Any:
            value = self._value(base, text, path, cls)
            return replaced(copy.deepcopy(base), path, value)

        return self._staged(name, blob, change)

    def stage_delete(self, name: str, key: str) -> Draft:
        """Stage that a record goes."""
        return self._staged(name, self.find_key(name, key), lambda _base: MISSING)

    def stage_from(self, name: str, key: str, path: str, state: str) -> Draft:
        """Stage that a place in a record becomes what it was in a state.

        Raises:
            CheckError: What it was does not fit the class any more.
            NotThereError: There is no such state, or the key is not in both.
            PathError: The path leads to nothing.
        """
        then = at_path(self.row(name, key, state).value, path)
        blob = self.find_key(name, key)
        return self._staged(
            name, blob, lambda base: replaced(copy.deepcopy(base), path, then)
        )

    def _staged(
        self, name: str, blob: bytes | int, change: Callable[[Any], Any]
    ) -> Draft:
        """Stage a change of what a record is, or of what a draft makes of it."""
        reading = self.reading(name)
        stored = reading.get(blob)
        before = MISSING if stored is None else reading.decode(stored)
        draft = self._drafts.get((name, blob))
        after = change(before if draft is None else draft.after)
        if after is not MISSING:
            self._refuse_misfits(before, after, literal(reading.key(blob)))
        return self._keep(name, blob, stored, before, after)

    def _new_key(self, reading: Reading, key: str) -> bytes | int:
        if reading.is_list:
            if key != str(len(reading)):
                msg = f"a list takes a new item at its end, under {len(reading)}"
                raise NotThereError(msg)
            return len(reading)
        value: Any = key
        if reading.snapshot.kind == "int" or key[:1] in {"'", '"'}:
            value = literal_of(key)
        elif not reading.snapshot.kind:
            first = next(iter(reading.pairs()), None)
            if first is not None and not isinstance(reading.key(first[0]), str):
                value = literal_of(key)
        return self.codec.encode_key(key if value is MISSING else value)

    def _value(self, base: Any, text: str, path: str, cls: Any) -> Any:
        registry = self._sf._schema.registry
        if not path:
            if cls is None and is_model(base):
                cls = class_of(base)
            if cls is None and isinstance(base, Unloaded):
                fields = parse_value(text, Any, registry)
                if class_of(fields) is dict:
                    return Unloaded(dict.fromkeys(base, fields))
            hint: Any = Any if cls is None else cls
            if cls is None and base is not MISSING:
                hint = _hint_of(base)
            return parse_value(text, hint, registry)
        return parse_value(text, self._hint_at(base, path), registry)

    def _hint_at(self, base: Any, path: str) -> Any:
        """Return what should stand at a path: by its class, or as what stands there."""
        *way, last = parse_path(path)
        holder = at_path(base, "".join(way))
        if is_model(holder) and last.startswith("."):
            hint = _annotation(class_of(holder), last[1:])
            if hint is not MISSING:
                return hint
            fields = fields_of(holder)
            if fields is not None and last[1:] not in fields.fields:
                near = _near(last[1:], map(str, fields.fields))
                msg = f"a {fields.name} has no field {last[1:]!r}{near}"
                raise CheckError(msg, f"${path}")
        with suppress(ValueError):
            return _hint_of(at_path(base, path))
        return Any

    def _refuse_misfits(self, before: Any, after: Any, step: str) -> None:
        registry, kept = self._sf._schema.registry, self.codec.kept
        known: set[tuple[str, str]] = (
            set()
            if before is MISSING
            else {(m.path, m.kind) for m in registry.misfits(before, Any, kept=kept)}
        )
        for misfit in registry.misfits(after, Any, kept=kept):
            if (misfit.path, misfit.kind) not in known:
                where = f"$[{step}]{misfit.path[1:]}"
                msg = f"cannot save {where}: expected {misfit.expected}, found {misfit.found}"
                raise CheckError(msg, where)

    def _keep(
        self,
        name: str,
        blob: bytes | int,
        stored: bytes | None,
        before: Any,
        after: Any,
    ) -> Draft:
        encoded = None if after is MISSING else self.codec.encode(after, "$[…]")
        key = blob if isinstance(blob, int) else self.reading(name).key(blob)
        draft = Draft(name, key, before, after, blob, stored, encoded)
        self._drafts[name, blob] = draft
        return draft

    def drafts(self, name: str | None = None) -> list[Draft]:
        """List what is staged."""
        return [d for d in self._drafts.values() if name is None or d.name == name]

    def drop(self, draft: Draft) -> None:
        """Forget one draft."""
        self._drafts.pop((draft.name, draft.blob), None)

    def apply(self) -> int:
        """Save all drafts, those of each database in one transaction; give how many.

        Raises:
            ReadOnlyError: The session was opened to look.
            ConflictError: A record was changed since; its database was not written,
                and its drafts stay.
        """
        self._may_write("save drafts")
        done = 0
        for name in dict.fromkeys(draft.name for draft in self._drafts.values()):
            mine = self.drafts(name)
            engine = self.engine(name, write=True)
            done += commit_drafts(mine, engine, self.codec)
            for draft in mine:
                self.drop(draft)
        return done


def _of_dict(keys: Iterable[bytes | int]) -> list[bytes]:
    """Return keys that are to be restored by themselves."""
    found: list[bytes] = []
    for key in dict.fromkeys(keys):
        if not isinstance(key, bytes):
            msg = "cannot restore items of a list by themselves; restore the state"
            raise NotThereError(msg)
        found.append(key)
    return found


def _some(
    snapshot: Snapshot | None, keys: list[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the entries of some keys; over all if none are given."""
    if snapshot is None or not keys:
        return each_entry(snapshot)
    found = ((key, snapshot.get(key)) for key in keys)
    return ((key, value) for key, value in found if value is not None)


def _near(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(islice(names, _NEAR)), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _files_of(engine: Engine) -> tuple[int | None, datetime | None]:
    """Return the size of a database's file and journal, and when they were written."""
    size, newest = 0, 0.0
    found = False
    for path in (engine.location, engine.location + ".journal"):
        try:
            there = Path(path).stat()
        except (OSError, ValueError):
            continue
        found = True
        size += there.st_size
        newest = max(newest, there.st_mtime)
    return (size, datetime.fromtimestamp(newest, UTC)) if found else (None, None)


def _annotation(cls: type, field: str) -> Any:
    """Return the resolved annotation of a field; MISSING if there is none."""
    from storify.models.hints import annotations  # noqa: PLC0415 -- who edits needs it

    find = annotations(cls, lambda _cls, _name: None).get(field)
    try:
        return MISSING if find is None else find()
    except StorifyError:
        return MISSING


def _hint_of(value: Any) -> Any:
    """Return the type that a value of another one should be, as the one that is there."""
    kind = class_of(value)
    if value is None or kind in {dict, list, tuple} or fields_of(value) is not None:
        return Any
    if next(parts_of(value), None) is not None or isinstance(value, Undecodable):
        return Any
    return kind
