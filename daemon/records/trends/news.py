"""What the journal has recorded after a position, for the figures over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from retraind.daemon.core.journal_rows import DriftRow, EventRow, VersionRow
from retraind.daemon.core.states import DropState, EventKind
from retraind.daemon.records.query import listed, number, parts, typed

ROWS = 2000
"""Maximum number of rows of one query."""

MARKED = (
    EventKind.ROLLED_BACK,
    EventKind.SERVING,
    EventKind.REJECTED,
    EventKind.SCHEMA,
    EventKind.LEADING,
    EventKind.SUSPICIOUS,
    EventKind.FORGOTTEN,
    EventKind.DRIFT,
    EventKind.STARTED,
)
"""Kinds of events that are marks in the charts."""


class _Named(TypedDict):
    sha256: str
    name: str


class DecidedDrop(TypedDict):
    """A drop with its outcome; rows are null if none was read."""

    id: int
    state: DropState
    rows_accepted: int | None
    rows_refused: int | None
    rows_read: int | None
    decided_at: str


class ExamError(TypedDict):
    """The error of an exam of `n` rows, and the usual one."""

    id: int
    n: int
    error: float
    usual: float
    at: str


def drops(journal: Path, after: int) -> list[DecidedDrop]:
    """Decided drops with a larger id, oldest first."""
    query = "SELECT id, state, rows_accepted, rows_refused, rows_read, decided_at FROM drops WHERE id > ? ORDER BY id LIMIT ?"
    return typed(DecidedDrop, journal, query, after, ROWS)


def exams(journal: Path, after: int) -> list[ExamError]:
    """Exams with a larger id, oldest first."""
    return typed(
        ExamError, journal, "SELECT id, n, error, usual, at FROM exams WHERE id > ? ORDER BY id LIMIT ?", after, ROWS
    )


def versions(journal: Path, after: int) -> list[VersionRow]:
    """Judged versions with a larger number, lowest first."""
    query = "SELECT * FROM versions WHERE version > ? ORDER BY version LIMIT ?"
    return typed(VersionRow, journal, query, after, ROWS // 20)


def drifts(journal: Path, after: int) -> list[DriftRow]:
    """Checks for drift with a larger id, oldest first."""
    return typed(DriftRow, journal, "SELECT * FROM drifts WHERE id > ? ORDER BY id LIMIT ?", after, ROWS // 20)


def marked(journal: Path, after: int) -> list[EventRow]:
    """Events of the marked kinds with a larger id, oldest first."""
    query = f"SELECT * FROM events WHERE id > ? AND kind IN ({listed(MARKED)}) ORDER BY id LIMIT ?"
    return typed(EventRow, journal, query, after, *MARKED, ROWS)


def names(journal: Path, sha256s: Sequence[str]) -> dict[str, str]:
    """The names of these drops, by sha256."""
    rows: list[_Named] = []
    for some in parts(sha256s):
        rows += typed(_Named, journal, f"SELECT sha256, name FROM drops WHERE sha256 IN ({listed(some)})", *some)
    return {row["sha256"]: row["name"] for row in rows}


def last_event(journal: Path) -> int:
    """The largest id of an event; 0 without any."""
    return number(journal, "SELECT MAX(id) FROM events") or 0
