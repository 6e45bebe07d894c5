"""A store behind another: it passes every question on, and a subclass changes what it must.

Both the owner's check (`ownership.py`) and the leader's (`daemon/leadership/fenced_store.py`) stand in front of a store.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from retraind.daemon.objects.store import Entry, ObjectStore


class WrappedStore:
    """An `ObjectStore`, which has the contracts of the methods, that passes them on to another."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @property
    def place(self) -> str:
        """The location of the store, for people."""
        return self._store.place

    def put(self, name: str, source: Path | bytes) -> None:
        """Store an object."""
        self._store.put(name, source)

    def get(self, name: str, target: Path, sha256: str, *, mode: int = 0o600) -> None:
        """Fetch an object."""
        self._store.get(name, target, sha256, mode=mode)

    def check(self) -> None:
        """Raise StoreUnavailable if objects must not be put or deleted here now."""
        self._store.check()

    def read(self, name: str) -> bytes:
        """The bytes of a small object."""
        return self._store.read(name)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Some bytes of an object."""
        return self._store.read_range(name, start, length)

    def has(self, name: str) -> bool:
        """Whether there is an object with this name."""
        return self._store.has(name)

    def listing(self, prefix: str = "") -> Iterator[Entry]:
        """The objects with names that begin with `prefix`."""
        return self._store.listing(prefix)

    def delete(self, names: Iterable[str]) -> int:
        """Remove objects; returns their number."""
        return self._store.delete(names)

    def abort_uploads(self, prefix: str, before: datetime, spared: Collection[str]) -> int:
        """Remove the parts of unfinished puts, whoever leads: such a put is repeated."""
        return self._store.abort_uploads(prefix, before, spared)

    def versioned(self) -> bool:
        """Whether the bucket keeps earlier versions of deleted objects."""
        return self._store.versioned()

    def refuses_overwriting(self, name: str) -> bool:
        """Whether a conditional put of an existing object fails."""
        return self._store.refuses_overwriting(name)

    def close(self) -> None:
        """Close the connections."""
        self._store.close()
