"""Requests to the loop, and its purges."""

from pathlib import Path

from retraind.daemon.core.journal_rows import RequestRow
from retraind.daemon.core.states import EventKind, RequestState
from retraind.daemon.records.query import ask, first, number, typed


def answered(journal: Path, request: str) -> bool:
    """Whether the loop has answered a request."""
    return bool(ask(journal, "SELECT 1 FROM requests WHERE id = ? AND state != ?", request, RequestState.QUEUED))


def last_purge(journal: Path) -> int | None:
    """The number of the event of the newest purge; None if there is none (old events are removed)."""
    return number(journal, "SELECT MAX(id) FROM events WHERE kind = ?", EventKind.PURGED)


class Requests:
    """Requests to the loop."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def queued(self, limit: int) -> list[RequestRow]:
        """Requests that the loop has recorded and not answered, oldest first."""
        query = "SELECT * FROM requests WHERE state = ? ORDER BY at LIMIT ?"
        return typed(RequestRow, self._journal, query, RequestState.QUEUED, limit)

    def get(self, request: str) -> RequestRow | None:
        """One request to the loop as the journal recorded it, or None."""
        return first(RequestRow, self._journal, "SELECT * FROM requests WHERE id = ?", request)
