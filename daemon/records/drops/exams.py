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


class DropScore(TypedDict):
    """The number of a drop's rows that a version predicted, and its error on them."""

    n: int
    error: float


class Prequential(DropScore):
    """The error on the newest drops together, and how many drops were ever suspicious."""

    suspicious: int


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
