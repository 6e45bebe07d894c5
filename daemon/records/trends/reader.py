"""Figures over time, as `logs/trends.db` has them; a missing file reads as empty."""

from pathlib import Path
from typing import TypedDict

import orjson

from retraind.daemon.core.trends.figures import Figures
from retraind.daemon.core.trends.spans import Span
from retraind.daemon.records.query import ask, typed


class MarkRow(TypedDict):
    """Something that happened: a promotion, a rollback, another release, a rejected drop."""

    id: int
    at: str
    kind: str
    message: str
    version: int | None
    drop: str | None


def figures(trends: Path, span: Span, begin: int, end: int) -> list[tuple[int, Figures]]:
    """The stored spans that begin from `begin` to before `end` (seconds since 1970), oldest first."""
    query = "SELECT begin, figures FROM figures WHERE span = ? AND begin >= ? AND begin < ? ORDER BY begin"
    return [(row["begin"], orjson.loads(row["figures"])) for row in ask(trends, query, int(span), begin, end)]


def newest(trends: Path, now: float) -> int | None:
    """The begin of the newest minute up to now, because the clock may once have been wrong; None without any."""
    query = "SELECT MAX(begin) AS begin FROM figures WHERE span = ? AND begin <= ?"
    rows = ask(trends, query, int(Span.MINUTE), int(now))
    return rows[0]["begin"] if rows else None


def marks(trends: Path, begin: str, end: str, limit: int) -> list[MarkRow]:
    """The newest marks of a time (UTC, ISO 8601), newest first."""
    query = "SELECT * FROM marks WHERE at >= ? AND at < ? ORDER BY at DESC, id DESC LIMIT ?"
    return typed(MarkRow, trends, query, begin, end, limit)


def counts(trends: Path) -> dict[int, int]:
    """Number of stored spans of each length (seconds); raises sqlite3.Error."""
    rows = ask(trends, "SELECT span, COUNT(*) AS n FROM figures GROUP BY span")
    return {row["span"]: row["n"] for row in rows}
