"""The object store of a leader that may be deposed: before each removal it asks whether it still leads.

A removal can't be undone, and the next leader may need the object. Puts need no question: names are those of the
content. A process that is stopped between question and removal may still remove one object too late; segments of
different epochs never have equal bytes, and `StoreUpkeep` puts lost objects again.
"""

import os
from collections.abc import Iterable

from retraind.daemon.core.errors import JournalTaken
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.objects.wrapped_store import WrappedStore
from retraind.daemon.storage.server.leader_rows import LeaderRows
from retraind.daemon.storage.server.node_session import NodeSession


class FencedStore(WrappedStore):
    """An `ObjectStore` that removes nothing unless the epoch is the newest; then `delete` raises JournalTaken."""

    def __init__(self, store: ObjectStore, url: str, epoch: int) -> None:
        """`url` is the journal's server."""
        super().__init__(store)
        self._url, self._epoch = url, epoch

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
