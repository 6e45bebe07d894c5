"""Batches: every change of the dataset, and the revision that holds it."""

from pathlib import Path

from daemon.records.query import Row, ask

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
