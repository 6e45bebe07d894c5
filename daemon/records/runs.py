"""Trainings, each with its end."""

from pathlib import Path

from daemon.records.query import Row, ask, newest


class Runs:
    """Trainings."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def newest(self, limit: int = 100) -> list[Row]:
        """Trainings, newest first."""
        return newest(self._journal, "runs", limit)

    def of_version(self, version: int) -> Row | None:
        """The training that made a version, or None."""
        rows = ask(self._journal, "SELECT * FROM runs WHERE version = ? ORDER BY id DESC LIMIT 1", version)
        return rows[0] if rows else None
