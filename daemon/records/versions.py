"""Versions as they were judged."""

from pathlib import Path

from daemon.records.query import Row, ask


def judged(journal: Path, version: int) -> Row | None:
    """One version with its verdict, or None; its `scores` are JSON."""
    rows = ask(journal, "SELECT * FROM versions WHERE version = ?", version)
    return rows[0] if rows else None


def count(journal: Path) -> int:
    """How many versions have a verdict."""
    return int(ask(journal, "SELECT COUNT(*) AS n FROM versions")[0]["n"])
