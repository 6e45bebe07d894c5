"""Trainings, each with its end."""

from pathlib import Path

from retraind.daemon.core.journal_rows import RunRow
from retraind.daemon.records.query import first, newest


class Runs:
    """Trainings."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def newest(self, limit: int = 100) -> list[RunRow]:
        """Trainings, newest first."""
        return newest(RunRow, self._journal, "runs", limit)

    def of_version(self, version: int) -> RunRow | None:
        """The training that made a version, or None."""
        query = "SELECT * FROM runs WHERE version = ? ORDER BY id DESC LIMIT 1"
        return first(RunRow, self._journal, query, version)
