"""A stand-in for the models: just enough to write and read records."""

from typing import Any

__all__ = ["Record", "Registry", "Unloaded"]


class Record:
    """An object with a keyname and fields."""

    def __init__(self, keyname: str, **fields: Any) -> None:
        self.keyname = keyname
        self.fields = fields

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.keyname)


class Unloaded(dict[str, Any]):
    """The wrapper of a record whose class is unknown."""


class Registry:
    """Knows some keynames, learns others."""

    def __init__(self, *keynames: str) -> None:
        self.registered = set(keynames)
        self.keynames = set(keynames)
        self.seen: list[object] = []

    def unstructure(self, value: object) -> dict[str, Any] | None:
        """Give the wrapper of a record."""
        if isinstance(value, Record):
            return {value.keyname: value.fields}
        return dict(value) if isinstance(value, Unloaded) else None

    def structure(self, tree: dict[Any, Any]) -> object:
        """Give the record of a wrapper."""
        self.seen.append(tree)
        if len(tree) != 1:
            return tree
        ((key, fields),) = tree.items()
        if type(key) is not str or not isinstance(fields, dict):
            return tree
        if key in self.registered:
            return Record(key, **fields)
        if key.startswith("__") or key in self.keynames:
            return Unloaded(tree)
        return tree

    def hooks(self) -> dict[str, Any]:
        """Give the arguments of a Codec."""
        return {
            "unstructure": self.unstructure,
            "structure": self.structure,
            "keynames": self.keynames,
            "learn": self.keynames.add,
        }
