"""What a store must do to be measured, and how it is announced."""

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Peer", "Spec"]


class Peer(Protocol):
    """One store, used as its documentation shows, with typed records.

    A peer is made in a process of its own, and opened once or more. Its records
    have the attributes of ``contents.contents``, each of its own type.
    """

    def make(self, number: int) -> Any:
        """Give record *number* as a user of this store has it in memory."""
        ...

    def open(self, folder: Path) -> None:
        """Open the store in *folder*, an existing one or a new one."""
        ...

    def load(self, records: Iterable[tuple[str, Any]]) -> None:
        """Put *records* into the new store, committed when this returns."""
        ...

    def get(self, key: str) -> Any:
        """Give the typed record under *key*."""
        ...

    def read_all(self) -> dict[str, Any]:
        """Give all records, typed."""
        ...

    def change(self, keys: Sequence[str]) -> None:
        """Add one to the age of each record, committed at once when this returns."""
        ...

    def close(self) -> None:
        """Close the store; it may be opened again."""
        ...


@dataclass(frozen=True)
class Spec:
    """One row of the tables: a store in one configuration.

    Attributes:
        name: The row's label, unique.
        module: The module in this package that defines its class.
        factory: The class's name.
        typed: How the user comes by typed records.
        documented: What is known of its syncing, where it cannot be measured.
        statement: What is run to measure its import.
        distributions: The packages whose versions are reported.
        options: The configuration: keywords for the class.
        variant_of: The row whose records it gets a copy of. A variant differs in
            how it commits, so that only its commits are measured.
        legacy: Whether it needs the folder of the old package on its path.
    """

    name: str
    module: str
    factory: str
    typed: str
    documented: str
    statement: str = ""
    distributions: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    variant_of: str | None = None
    legacy: bool = False

    def make(self) -> Peer:
        """Import the store and give the peer.

        Raises:
            ImportError: The store is not installed.
        """
        module = importlib.import_module(f"peers.{self.module}")
        peer: Peer = getattr(module, self.factory)(**self.options)
        return peer
