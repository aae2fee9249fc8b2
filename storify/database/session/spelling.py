"""Keys that the file spells in other bytes than we do.

A foreign program may have written a key in more bytes than needed: an integer in
eight for one, the length of a text in two. In memory all keys are in our spelling;
for the engine, which knows only bytes, one in the file must be spelled as there, or
it would be another key and there twice.
"""

from collections.abc import Iterable, Mapping

from storify.codec import Codec
from storify.database.session.entries import LIST
from storify.database.session.keys import decode_keys
from storify.engine import Change

__all__ = ["Spelling"]


class Spelling:
    """How one file spells the keys that it spells in other bytes than we do.

    Args:
        codec: Values to bytes and back.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        #: Our bytes to those in the file.
        self._spelled: dict[bytes, bytes] = {}

    def note_all(self, entries: Iterable[bytes]) -> None:
        """Look how the file spells all its keys."""
        own = self._own(dict.fromkeys(entries))
        self._spelled = {mine: key for key, mine in own.items() if key != mine}

    def committed(self, changes: list[Change]) -> None:
        """Forget the keys that *changes* deleted: they are ours from now on."""
        if self._spelled:
            for key, value in changes:
                if value is None:
                    self._spelled.pop(key, None)

    # -- ours to theirs --------------------------------------------------------

    def for_file(self, changes: list[Change]) -> list[Change]:
        """Return changes with the keys that are in the file spelled as there."""
        if not self._spelled:
            return changes
        given: list[Change] = []
        deleted: set[bytes] = set()
        for key, value in changes:
            spelled = key if key in deleted else self._spelled.get(key, key)
            given.append((spelled, value))
            if value is None:
                deleted.add(key)
        return given

    def own_key(self, key: bytes) -> bytes:
        """Return our bytes of a key of `for_file`."""
        for own, spelled in self._spelled.items():
            if spelled == key:
                return own
        return key

    # -- theirs to ours --------------------------------------------------------

    def spell(self, changes: list[Change]) -> list[Change]:
        """Return changes by another writer with keys spelled as we do."""
        own = self._own(dict(changes))
        for key, value in changes:
            self._spelled.pop(own[key], None)
            if value is not None and own[key] != key:
                self._spelled[own[key]] = key
        return [(own[key], value) for key, value in changes]

    def spell_entries(self, entries: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return a root by another writer with keys spelled as we do."""
        own = self._own(entries)
        return {own[key]: value for key, value in entries.items()}

    def _own(self, keys: Mapping[bytes, object]) -> dict[bytes, bytes]:
        decoded = decode_keys(self._codec, keys)
        blobs = [self._codec.encode_key(key) for key in decoded]
        return {**dict(zip(keys, blobs, strict=True)), LIST: LIST}
