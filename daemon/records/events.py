"""The history that people read: events, and changes of the served version."""

from pathlib import Path

from daemon.records.query import Row, ask, newest


class Events:
    """Events by their numbers."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def after(self, after: int = 0, limit: int = 200) -> list[Row]:
        """Events with an id larger than `after`, oldest first."""
        return ask(self._journal, "SELECT * FROM events WHERE id > ? ORDER BY id LIMIT ?", after, limit)

    def newest(self, limit: int = 100) -> list[Row]:
        """The newest events, newest first."""
        return newest(self._journal, "events", limit)


class Swaps:
    """Changes of the served version."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def newest(self, limit: int = 100) -> list[Row]:
        """Changes of the served version, newest first."""
        return newest(self._journal, "swaps", limit)
