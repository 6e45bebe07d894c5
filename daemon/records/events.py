"""The history for people: events, and changes of the served version."""

from pathlib import Path

from daemon.core.journal_rows import EventRow, SwapRow
from daemon.records.query import newest, typed


class Events:
    """Events by their numbers."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def after(self, after: int = 0, limit: int = 200) -> list[EventRow]:
        """Events with an id larger than `after`, oldest first."""
        return typed(EventRow, self._journal, "SELECT * FROM events WHERE id > ? ORDER BY id LIMIT ?", after, limit)

    def newest(self, limit: int = 100) -> list[EventRow]:
        """The newest events, newest first."""
        return newest(EventRow, self._journal, "events", limit)


class Swaps:
    """Changes of the served version."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def newest(self, limit: int = 100) -> list[SwapRow]:
        """Changes of the served version, newest first."""
        return newest(SwapRow, self._journal, "swaps", limit)
