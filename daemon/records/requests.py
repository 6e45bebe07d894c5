"""Requests to the loop, and the purges among what it did."""

from pathlib import Path

from daemon.core.states import EventKind, RequestState
from daemon.records.query import Row, ask


def answered(journal: Path, request: str) -> bool:
    """Whether the loop has answered a request."""
    return bool(ask(journal, "SELECT 1 FROM requests WHERE id = ? AND state != ?", request, RequestState.QUEUED))


def last_purge(journal: Path) -> int | None:
    """The number of the event that tells the newest purge; None: there is none (old events are trimmed)."""
    rows = ask(journal, "SELECT MAX(id) AS id FROM events WHERE kind = ?", EventKind.PURGED)
    return rows[0]["id"] if rows else None


class Requests:
    """Requests to the loop."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def get(self, request: str) -> Row | None:
        """One request to the loop as the journal took it over, or None."""
        rows = ask(self._journal, "SELECT * FROM requests WHERE id = ?", request)
        return rows[0] if rows else None
