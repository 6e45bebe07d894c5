"""The object store of a leader that may be deposed: before each removal it asks whether it still leads.

A removal can't be undone, and the next leader may need the object. Puts need no question: names are those of the
content. A process that is stopped between question and removal may still remove one object too late; segments of
different epochs never have equal bytes, and `StoreUpkeep` puts lost objects again.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from daemon.core.errors import JournalTaken
from daemon.objects.store import Entry, ObjectStore
from daemon.storage.server.leader_rows import LeaderRows
from daemon.storage.server.node_session import NodeSession


class FencedStore:
    """An `ObjectStore` that removes nothing unless the epoch is the newest; then `delete` raises JournalTaken."""

    def __init__(self, store: ObjectStore, url: str, epoch: int) -> None:
        """`url` is the journal's server."""
        self._store, self._url, self._epoch = store, url, epoch

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

    def has(self, name: str) -> bool:
        """Whether there is an object with this name."""
        return self._store.has(name)

    def listing(self, prefix: str = "") -> Iterator[Entry]:
        """The objects with names that begin with `prefix`."""
        return self._store.listing(prefix)

    def delete(self, names: Iterable[str]) -> int:
        """Remove objects, one after the other; raises JournalTaken, Unavailable."""
        doomed = list(names)
        if not doomed:
            return 0
        session = NodeSession(self._url, f"retraind removal {os.getpid()}")
        try:
            rows = LeaderRows(session)
            return sum(self._delete(name, rows) for name in doomed)
        finally:
            session.close()

    def _delete(self, name: str, rows: LeaderRows) -> int:
        if not rows.leads(self._epoch):
            raise JournalTaken("Another machine leads, so nothing is removed from the store.")
        return self._store.delete([name])

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
