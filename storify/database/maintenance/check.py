"""Comparing what is stored with the types, without changing it.

The records are decoded once more, in batches, and nobody gets them. To walk through
each would take many times as long as to decode it (``benchmarks/check.py``), and the
code that builds objects looks at each value anyway. So it is asked instead: a batch
of which no record took a slow path, and whose values are of the declared type, is
proven to be clean. Objects of other classes than models are built without a look at
their fields, so the codec tells of each, and it is judged by itself. Of a batch that
is not clean the few records around what is odd are walked through, to find out what
is wrong where.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from storify.database._source import path_of
from storify.database.live.data import Data, Stored
from storify.database.live.slots import MISSING, storage
from storify.database.session.keys import LIST
from storify.database.session.root import Refused
from storify.exceptions import DanglingRefError, UnstorableError
from storify.models import Lead, Misfit, Records, Ref, Unloaded

if TYPE_CHECKING:
    from storify.database._source import Source

__all__ = ["Progress", "check"]

Progress = Callable[[int, int], object]
"""Told how many records are done, and how many there are; False ends the work."""

#: Records that are decoded by one call, and judged together.
_BATCH: Final = 1024
#: So many are walked through if they are not clean; of more, it is found out which.
_FEW: Final = 32

#: Keys that are what they seem.
_PLAIN: Final = frozenset({str, int, float, bool, bytes, type(None)})

_Entry = tuple[Any, bytes]


def check(
    source: "Source",
    progress: Progress | None = None,
    *,
    hint: Any = None,
    walk_all: bool = False,
) -> list[Misfit]:
    """List the misfits of a database, as it would be stored now.

    Args:
        source: The database.
        progress: Told after each batch; if it returns False, the others are left out.
        hint: The type of the values, if the database has none of its own.
        walk_all: Walk through each record, also through those of clean batches. It
            finds the same.

    Raises:
        ModelError: No value of *hint* can be stored.
    """
    checker = _Checker(source, hint, walk_all=walk_all)
    total = len(source.root())
    done = 0
    for count in checker.run():
        done += count
        if progress is not None and progress(done, max(done, total)) is False:
            break
    return [misfit._replace(database=source.name) for misfit in checker.found]


class _Checker:
    """Checks one database.

    Attributes:
        found: The misfits so far.
    """

    def __init__(self, source: "Source", hint: Any, *, walk_all: bool) -> None:
        self.found: list[Misfit] = []
        use = source.use
        self._session = source.session
        self._root: Any = self._session.data
        self._schema = source.schema
        self._schema.register_hint(hint)
        own: Any = hint if use.hint is None else use.hint
        # not None, which as an annotation admits nothing but None
        self._value: Any = Any if own is None else own
        # the indexes of a list are its own
        has_keys = use.key is not None and not isinstance(self._root, list)
        self._key: Any = use.key if has_keys else Any
        registry = self._schema.registry
        self._fits = None if walk_all else registry.quick_check(self._value)
        self._fits_key = registry.quick_check(self._key)
        self._fits_fields = registry.plain_check()
        self._objects: list[object] = []
        self._refs: list[Ref[Any]] = []
        self._records: dict[str, Records | None] = {}

    def run(self) -> Iterator[int]:
        """Check all batches; give how many records each has."""
        # What would be warned of is what is listed.
        quietly = self._schema.registry.quietly()
        watched = self._schema.codec.watch(self._objects.append)
        with self._schema.watch_refs(self._refs.append), watched, quietly:
            if isinstance(self._root, list):
                yield from self._check_list()
                return
            entries = self._entries()
            while batch := list(islice(entries, _BATCH)):
                self._check_batch(batch)
                yield len(batch)

    def _check_list(self) -> Iterator[int]:
        with self._session.lock:
            self._session.finish_cut_off()
            pending, refused = self._session.begin_look()
            payload = self._session.root.entries(pending.changes)[LIST]
            pending.drop()
        self._tell_of(refused)
        before = self._schema.count_odd()
        items = self._schema.codec.decode_root(payload)
        indexes = (at for at in range(len(items) + len(refused)) if at not in refused)
        pairs: list[tuple[Any, Any]] = list(zip(indexes, items, strict=True))
        if not self._is_clean(pairs, odd=self._is_odd(before)):
            self._walk_all(pairs)
        yield len(pairs)

    def _entries(self) -> Iterator[_Entry]:
        """Return the keys and bytes of what a flush now would leave."""
        session = self._session
        with session.lock:
            session.finish_cut_off()
            pending, refused = session.begin_look()
            # Of two keys that are one for Python the set one, which comes later.
            changed: dict[Any, tuple[Any, bytes | None]] = {
                (key := pending.keys[key_bytes]): (key, blob)
                for key_bytes, blob in pending.contents.items()
            }
            pending.drop()
        changed.update((key, (key, None)) for key in refused)
        self._tell_of(refused)
        live: Data = cast("Data", session.data)
        for pair in live.stored_items():
            key, blob = changed.pop(pair[0], pair)
            if blob is not None:
                yield key, blob
        # What is new; another thread may have flushed a deletion meanwhile.
        yield from ((key, blob) for key, blob in changed.values() if blob is not None)

    def _tell_of(self, refused: Refused) -> None:
        for key, error in refused.items():
            path = error.path if isinstance(error, UnstorableError) else path_of(key)
            reason = str(error).removeprefix(f"cannot store {path}: ")
            what = "what can be stored"
            self.found.append(Misfit(path, "unstorable", what, reason))

    def _check_batch(self, batch: list[_Entry]) -> None:
        codec = self._schema.codec
        self._refs.clear()  # to look behind a reference brings others
        self._objects.clear()
        before = self._schema.count_odd()
        try:
            values = codec.decode_all([blob for _, blob in batch])
        except ValueError:
            self._check_parts(batch, self._check_each)
            return
        pairs = [(key, value) for (key, _), value in zip(batch, values, strict=True)]
        if self._is_clean(pairs, odd=self._is_odd(before)):
            return
        if self._fits is None:  # each part would be walked through all the same
            self._walk_all(pairs)
        else:
            self._check_parts(batch, lambda _: self._walk_all(pairs))

    def _check_parts(
        self, batch: list[_Entry], check_few: Callable[[list[_Entry]], None]
    ) -> None:
        """Check a batch that is not clean in parts; a small one by *check_few*."""
        if len(batch) <= _FEW:
            check_few(batch)
            return
        for start in range(0, len(batch), _FEW):
            self._check_batch(batch[start : start + _FEW])

    def _check_each(self, batch: list[_Entry]) -> None:
        """Check records of which at least one cannot be decoded."""
        for key, blob in batch:
            try:
                pairs = [(key, self._schema.codec.decode(blob))]
            except ValueError as error:
                found = type(error).__name__
                self.found += self._misfits_of_key(key)
                path = path_of(key)
                self.found.append(Misfit(path, "unreadable", "a value", found))
            else:
                self._walk_all(pairs)

    def _is_odd(self, before: tuple[int, int]) -> bool:
        return self._schema.count_odd() != (before[0] + 1, before[1] + 1)

    def _is_clean(self, pairs: Iterable[tuple[Any, Any]], *, odd: bool) -> bool:
        """Tell whether there is surely no misfit in what was decoded just now."""
        right = self._have_good_parts()
        fits = self._fits
        if odd or not right or fits is None:
            return False
        try:
            return all(fits(value) and self._is_good_key(key) for key, value in pairs)
        except RecursionError:
            return False  # a walk goes deeper

    def _have_good_parts(self) -> bool:
        """Judge the references and objects in what was decoded just now."""
        objects, refs = self._objects.copy(), self._refs.copy()
        right = all(map(self._fits_fields, objects))
        fits_behind = self._schema.registry.check_behind_refs()
        records = map(self._lead, refs)
        return right and all(
            record is Lead.UNKNOWN
            or (record is not Lead.NOWHERE and fits_behind(record))
            for record in records
        )

    def _is_good_key(self, key: Any) -> bool:
        # any other key was decoded long ago, so nothing was counted
        if type(key) in _PLAIN and self._fits_key is not None:
            return self._fits_key(key)
        return next(self._misfits_of_key(key), None) is None

    def _walk_all(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        misfits = self._schema.misfits
        for key, value in pairs:
            path = path_of(key)
            self.found += self._misfits_of_key(key)
            found = list(misfits(value, self._value, path, self._lead))
            self.found += found
            places = {misfit.path for misfit in found}
            self.found += (m for m in self._altered(key) if m.path not in places)

    def _altered(self, key: Any) -> Iterator[Misfit]:
        """List where a load would make another value of what is in memory."""
        live = self._in_memory(key)
        if live is MISSING:
            return
        misfits = self._schema.misfits
        for misfit in misfits(live, self._value, path_of(key), self._lead):
            if misfit.kind == "wrong type":
                yield misfit

    def _in_memory(self, key: Any) -> Any:
        """Return the object under *key* that exists, MISSING if there are only bytes."""
        root = self._root
        if isinstance(root, list):
            items = cast("Any", root)
            return items[key] if key < len(items) else MISSING
        try:
            slot: Any = storage.get(root, key, MISSING)
        except TypeError:  # a key that cannot be hashed
            return MISSING
        if type(slot) is not Stored:
            return slot
        content: Any = slot.cell_contents
        return cast("Any", content)[1] if isinstance(content, tuple) else MISSING

    def _misfits_of_key(self, key: Any) -> Iterator[Misfit]:
        path = f"{path_of(key)} (key)"
        return self._schema.misfits(key, self._key, path, self._lead)

    def _lead(self, ref: Ref[Any]) -> Any:
        """Return the record behind a reference; see `Leads`."""
        resolver, name = self._schema.resolver, ref.db
        if resolver is None or type(name) is not str:
            return Lead.UNKNOWN  # nobody knows the other databases, or it is no ref
        try:
            if name not in self._records:
                self._records[name] = resolver.records(name)
        except DanglingRefError:
            return Lead.UNKNOWN
        records = self._records[name]
        if records is None or ref.key not in records:
            return Lead.NOWHERE
        try:
            record = records.peek(ref.key)
        except LookupError:
            return Lead.UNKNOWN
        # what does not load is a misfit where it stands
        is_loaded = type(record) is not Unloaded
        is_known = is_loaded and self._schema.codec.kept(record) is None
        return record if is_known else Lead.UNKNOWN
