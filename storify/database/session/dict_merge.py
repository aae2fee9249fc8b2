"""What another writer committed, brought into a live dict, key by key."""

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any

from storify.codec import Codec
from storify.database.live.canonical import same_value
from storify.database.live.data import Data
from storify.database.live.refresh import Refresher
from storify.database.live.slots import MISSING
from storify.database.session.changes import OvertakenError, Pending, Side, Take
from storify.database.session.keys import contents, decode_keys
from storify.engine import Change

__all__ = ["DictMerge", "arrange"]


class DictMerge:
    """One merge of two sets of changes on one durable state.

    Args:
        live: The dict.
        codec: Values to bytes and back.
        theirs: What another writer committed, with keys spelled as we do.
        pending: What is changed here.
    """

    def __init__(
        self, live: Data, codec: Codec, theirs: list[Change], pending: Pending
    ) -> None:
        self._live = live
        self._codec = codec
        self._theirs = theirs
        self._pending = pending
        self._found = contents(theirs)
        self._keys = self._keys_found()
        self._twins = self._twins_found()

    def _keys_found(self) -> dict[bytes, Any]:
        """Return the keys for their bytes, my own objects where there are some."""
        live, found = self._live, self._found
        # What is not found by equality may hold a NaN, and be found by its bytes.
        decoded = (
            key if key in live else live.own_key(key)
            for key in decode_keys(self._codec, found)
        )
        return {**dict(zip(found, decoded, strict=True)), **self._pending.keys}

    def _twins_found(self) -> dict[bytes, Any]:
        """Return my keys that equal another one of theirs, as 1 and True do.

        One dict cannot have both, so they are a conflict, whatever they hold.
        """
        pending, keys = self._pending, self._keys
        new = {
            pending.keys[key]: key
            for key, value in pending.contents.items()
            if value is not None
        }
        return {
            key: pending.keys[new[keys[key]]]
            for key, value in self._found.items()
            if value is not None and new.get(keys[key], key) != key
        }

    def conflicts(self) -> list[Any]:
        """Return the keys that both sides changed, to different values."""
        mine, keys = self._pending.contents, self._keys
        both = [
            keys[key_bytes]
            for key_bytes, value in self._found.items()
            if self._live.durable(keys[key_bytes]) != value
            and key_bytes in mine
            and not same_value(self._codec, value, mine[key_bytes])
        ]
        return [*dict.fromkeys([*both, *self._twins.values()])]

    def prepare(self, side: Side | None) -> Take:
        """Decode what is to be brought into objects that are in use.

        Args:
            side: Whose value a key has that was changed on both sides.

        Returns:
            What takes the values that were committed.
        """
        live, mine, keys = self._live, self._pending.contents, self._keys
        news = {
            key_bytes: value
            for key_bytes, value in self._found.items()
            if key_bytes in self._twins or live.durable(keys[key_bytes]) != value
        }
        dropped = {
            key_bytes
            for key_bytes, value in news.items()
            if side == "theirs"
            and key_bytes in mine
            and not same_value(self._codec, value, mine[key_bytes])
        }
        contents = {
            key_bytes: MISSING
            if value is None
            else live.content_of(keys[key_bytes], value)
            for key_bytes, value in news.items()
            if (key_bytes in dropped or key_bytes not in mine)
            and (value is None or live.is_live(live.own_key(keys[key_bytes])))
        }
        return partial(self._take, side, news, dropped, contents)

    def _take(
        self,
        side: Side | None,
        news: Mapping[bytes, bytes | None],
        dropped: Collection[bytes],
        contents: Mapping[bytes, Any],
        *,
        careful: bool,
    ) -> list[Any] | None:
        live = self._live
        if careful and live.was_handed_out(self._keys[each] for each in contents):
            raise OvertakenError
        placed = self._placed()
        self._take_values(side, news, dropped, contents)
        reverted = [self._keys[key_bytes] for key_bytes in news if key_bytes in dropped]
        last = self._last(reverted)
        if any(key in self._pending.deleted and key in live for key in reverted):
            return last
        if any(placed.values()):
            live.fill()
            behind = [*map(live.own_key, placed), *last]
            known = set(behind)
            first = [key for key in live if key not in known]
            theirs_last = [key for key in behind if key in live and key not in last]
            live.reorder([*first, *theirs_last, *last])
        elif placed:
            live.move_last(last)
        return None

    def _take_values(
        self,
        side: Side | None,
        news: Mapping[bytes, bytes | None],
        dropped: Collection[bytes],
        contents: Mapping[bytes, Any],
    ) -> None:
        live, mine, keys = self._live, self._pending.contents, self._keys
        refresher = live.refresher(
            {keys[each] for each in news if each in dropped or each not in mine}
        )
        for key_bytes, value in news.items():
            key, content = keys[key_bytes], contents.get(key_bytes, MISSING)
            if key_bytes in self._twins:
                twin = self._twins[key_bytes]
                self._take_twin(key, value, twin, side, content, refresher)
            elif key_bytes not in mine:
                live.adopt(key, value, content, refresher)
            else:
                live.rebase(key, value)
                if key_bytes in dropped:
                    live.revert(key, content, refresher)

    def _take_twin(
        self,
        key: Any,
        value: bytes | None,
        mine: Any,
        side: Side | None,
        content: Any,
        refresher: Refresher,
    ) -> None:
        """Decide between a key of mine and another one that equals it."""
        kept = self._live.pop(mine, None)  # it is gone if it gave way to a delete
        self._live.adopt(key, value, content, refresher)
        if side == "mine":
            del self._live[key]
            self._live[mine] = kept

    def _placed(self) -> dict[Any, bool]:
        """Return the keys that stand last in the file now, in order.

        The value says whether a key stands elsewhere in the live dict.
        """
        live = self._live
        placed: dict[Any, bool] = {}
        deleted: set[Any] = set()
        for key_bytes, value in self._theirs:
            key = self._keys[key_bytes]
            if value is None:
                deleted.add(key)
                placed.pop(key, None)
            elif key in deleted or live.durable(key) is None:
                placed.setdefault(key, live.own_key(key) in live)
        return placed

    def _last(self, reverted: list[Any]) -> list[Any]:
        """Return the keys that my next commit will put last, in order."""
        live, pending = self._live, self._pending
        last = [
            pending.keys[key_bytes]
            for key_bytes, value in pending.changes
            if value is not None
            and (key := pending.keys[key_bytes]) in live
            and (live.durable(key) is None or key in pending.deleted)
            and key not in reverted
        ]
        # What they deleted and I keep was moved behind what is new here (`rebase`).
        among = set(last)
        again = {
            key: None
            for key_bytes, value in self._found.items()
            if value is None
            and (key := self._keys[key_bytes]) in among
            and key not in pending.deleted
        }
        return [*(key for key in last if key not in again), *again]


def arrange(
    live: Data, codec: Codec, entries: Iterable[bytes], last: list[Any]
) -> None:
    """Bring the keys into the order of the durable state, but some of them last."""
    live.fill()
    keys = map(live.own_key, decode_keys(codec, entries))
    live.reorder([*(key for key in keys if key not in last), *last])
