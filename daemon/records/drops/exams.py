"""Exams of drops, as the journal has them: see `retraind.daemon.ingest.exam_scores`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from retraind.daemon.records.query import listed, number, parts, typed

EXAMS = (
    'SELECT exams."drop", version, n, error, usual, mix, shifts, suspicious, reason, at FROM exams '
    'WHERE exams."drop" IN ({}) ORDER BY id'
)

SERIES = 20
"""Number of newest exams in the prequential score."""

LEAST_ROWS = 20
"""Rows below which an error says little: smaller drops have no exam of their own."""

LOOKED_BACK = 20_000
"""Number of newest exams among which those of a time are looked for."""

OF_TIME = """
SELECT name, n, error, usual, at FROM exams
WHERE id > (SELECT COALESCE(MAX(id), 0) FROM exams) - ? AND n >= ? AND at >= ? AND at < ?"""


class DropScore(TypedDict):
    """The number of a drop's rows that a version predicted, and its error on them."""

    n: int
    error: float


class Prequential(DropScore):
    """The error on the newest drops together, and how many drops were ever suspicious."""

    suspicious: int


class TimedExam(DropScore):
    """An exam of enough rows; its name is empty for small drops together and for a forgotten drop."""

    name: str
    usual: float
    at: str


class Exam(DropScore):
    """The served version's result on a drop before any training on it: see `retraind.daemon.ingest.exam_scores`."""

    version: int
    usual: float
    mix: float
    shifts: dict[str, float]
    """Features whose values have shifted from the training rows, and how far."""
    suspicious: bool
    reason: str
    at: str


class _StoredExam(DropScore):
    drop: str
    version: int
    usual: float
    mix: float
    shifts: str
    suspicious: int
    reason: str
    at: str


def exams(journal: Path, drops: Sequence[str]) -> dict[str, Exam]:
    """The exams of these drops (sha256), if they had one."""
    rows: list[_StoredExam] = []
    for some in parts([drop for drop in drops if drop]):
        rows += typed(_StoredExam, journal, EXAMS.format(listed(some)), *some)
    return {row["drop"]: _exam(row) for row in rows}


def of_time(journal: Path, since: str, until: str) -> list[TimedExam]:
    """The exams of LEAST_ROWS rows or more from `since` to before `until` (UTC), among the newest ones."""
    return typed(TimedExam, journal, OF_TIME, LOOKED_BACK, LEAST_ROWS, since, until)


def _exam(row: _StoredExam) -> Exam:
    return {
        "version": row["version"],
        "n": row["n"],
        "error": row["error"],
        "usual": row["usual"],
        "mix": row["mix"],
        "shifts": json.loads(row["shifts"]),
        "suspicious": bool(row["suspicious"]),
        "reason": row["reason"],
        "at": row["at"],
    }


def prequential(journal: Path) -> Prequential | None:
    """The mean error of the newest exams, weighted by their `n` rows, and how many drops were ever suspicious; None without one."""
    recent = typed(DropScore, journal, "SELECT n, error FROM exams ORDER BY id DESC LIMIT ?", SERIES)
    if not recent:
        return None
    total = sum(row["n"] for row in recent)
    suspicious = number(journal, "SELECT COUNT(*) FROM exams WHERE suspicious = 1") or 0
    error = sum(row["n"] * row["error"] for row in recent) / total
    return {"n": total, "error": error, "suspicious": suspicious}
