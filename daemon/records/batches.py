"""Batches: every change of the dataset, and the revision that holds it."""

from pathlib import Path

from daemon.core.states import BatchKind
from daemon.records.query import Row, ask, newest

REVISIONS = "SELECT seq, kind, rows, state, revision, dvc_md5, committed_at AS at FROM batches ORDER BY seq"


def all_of(journal: Path) -> list[Row]:
    """Every batch, oldest first: seq, kind, rows, state, revision, dvc_md5, at."""
    return ask(journal, REVISIONS)


def lists(journal: Path) -> set[str]:
    """DVC's md5 of the list of segments of every revision."""
    return {row["dvc_md5"] for row in ask(journal, "SELECT DISTINCT dvc_md5 FROM batches WHERE dvc_md5 IS NOT NULL")}


def total_rows(journal: Path) -> int:
    """The rows of the dataset."""
    rows = ask(journal, "SELECT total_rows AS n FROM batches ORDER BY seq DESC LIMIT 1")
    return int(rows[0]["n"]) if rows else 0


class Batches:
    """Batches of the dataset."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def newest(self, limit: int = 100) -> list[Row]:
        """Batches, newest first."""
        return newest(self._journal, "batches", limit, key="seq")

    def at(self, revision: str) -> Row | None:
        """The last batch that brought rows to a data revision, or took some away; or None."""
        last = "SELECT MAX(seq) FROM batches WHERE revision = ?"
        query = f"SELECT * FROM batches WHERE kind != ? AND seq <= ({last}) ORDER BY seq DESC LIMIT 1"
        rows = ask(self._journal, query, BatchKind.MERGE, revision)
        return rows[0] if rows else None
