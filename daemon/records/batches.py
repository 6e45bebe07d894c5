"""Batches: every change of the dataset, and the revision that holds it."""

from pathlib import Path
from typing import TypedDict

from retraind.daemon.core.journal_rows import BatchRow
from retraind.daemon.core.states import BatchKind, BatchState
from retraind.daemon.records.query import first, newest, number, texts, typed

REVISIONS = "SELECT seq, kind, rows, state, revision, dvc_md5, committed_at AS at FROM batches ORDER BY seq"


class RevisionRow(TypedDict):
    """A batch, and the revision that holds it; `at` is the time of the commit. All None for an uncommitted batch."""

    seq: int
    kind: BatchKind
    rows: int
    state: BatchState
    revision: str | None
    dvc_md5: str | None
    at: str | None


def all_of(journal: Path) -> list[RevisionRow]:
    """Every batch, oldest first."""
    return typed(RevisionRow, journal, REVISIONS)


def lists(journal: Path) -> set[str]:
    """DVC's md5 of the list of segments of every revision."""
    return set(texts(journal, "SELECT DISTINCT dvc_md5 FROM batches WHERE dvc_md5 IS NOT NULL"))


def total_rows(journal: Path) -> int:
    """The rows of the dataset."""
    return number(journal, "SELECT total_rows FROM batches ORDER BY seq DESC LIMIT 1") or 0


class Batches:
    """Batches of the dataset."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def newest(self, limit: int = 100) -> list[BatchRow]:
        """Batches, newest first."""
        return newest(BatchRow, self._journal, "batches", limit, key="seq")

    def at(self, revision: str) -> BatchRow | None:
        """The last batch that added rows to a data revision or removed some; or None."""
        last = "SELECT MAX(seq) FROM batches WHERE revision = ?"
        query = f"SELECT * FROM batches WHERE kind != ? AND seq <= ({last}) ORDER BY seq DESC LIMIT 1"
        return first(BatchRow, self._journal, query, BatchKind.MERGE, revision)
