"""The outcome of each drop: the journal's record of it and of its batch.

Shared with `web`, so that `GET /drops` and `retraind drops` show the same facts.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import DropRow
from retraind.daemon.core.states import DropState, Hold
from retraind.daemon.records import lineage
from retraind.daemon.records.dialect import UNSORTED
from retraind.daemon.records.lineage_chain import TrainedVersions, TrainingDrop
from retraind.daemon.records.query import LAST, ask, first, listed, number, parts, texts, typed

DROPS = (
    "SELECT drops.*, batches.revision, batches.committed_at FROM drops LEFT JOIN batches ON batches.seq = drops.batch"
)

HELD = f"SELECT sha256, name, state, bytes, rows_read, rows_known, version, reason, seen_at, held_at FROM held WHERE state = '{Hold.WAITING}'"

RANK = f"drops.state = '{DropState.ACCEPTED}' DESC, drops.state = '{DropState.FORGOTTEN}' DESC"


EXAMS = (
    'SELECT exams."drop", version, n, error, usual, mix, shifts, suspicious, reason, at FROM exams '
    'WHERE exams."drop" IN ({}) ORDER BY id'
)

SERIES = 20
"""Number of newest exams in the prequential score."""


LONGEST_ID = 18
"""Maximum number of digits of an id, for every database."""


class DropFacts(DropRow):
    """A drop, and the revision of its batch (None before the commit, and for a rejected drop).

    For a duplicate, `batch` is the batch that holds the rows.
    """

    revision: str | None
    committed_at: str | None


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


class ExaminedDrop(DropFacts):
    """A drop with its exam; None if it had none."""

    exam: Exam | None


class HeldDrop(TypedDict):
    """A drop that waits for a person, and why."""

    sha256: str
    name: str
    state: Hold
    bytes: int
    rows_read: int
    rows_known: int
    version: int
    reason: str
    seen_at: str | None
    held_at: str


class HeldAsDrop(HeldDrop):
    """A held drop with the columns of a decided drop."""

    id: None
    line: None
    column: None
    batch: None
    bad_file: None
    revision: None
    committed_at: None
    decided_by: None
    origin: None
    rows_accepted: int
    rows_refused: int
    rows_duplicate: int
    rows_relabelled: int
    settled_at: str
    decided_at: str


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


def newest(journal: Path, limit: int, before: int | None = None) -> list[DropFacts]:
    """Drops, newest first; `before` is the id of the last drop already seen."""
    query = f"{DROPS} WHERE drops.id < ? ORDER BY drops.id DESC LIMIT ?"
    return typed(DropFacts, journal, query, LAST if before is None else before, limit)


def find(journal: Path, key: str | int) -> DropFacts | None:
    """The drop with this full sha256, id or name.

    Of several, the accepted one comes first, then the forgotten one, then the newest.
    """
    for column, value in (("sha256", str(key)), ("id", _id(key)), ("name", str(key))):
        query = f"{DROPS} WHERE drops.{column} = ? ORDER BY {RANK}, drops.id DESC LIMIT 1"
        if drop := first(DropFacts, journal, query, value):
            return drop
    return None


def _id(key: str | int) -> int | None:
    """The key as an id, if it is a number; only SQLite compares a column of numbers with a text."""
    text = str(key)
    return int(text) if text.isdecimal() and len(text) <= LONGEST_ID else None


def taken(journal: Path, key: str) -> list[DropFacts]:
    """The drops with this full sha256, id or name, newest first, whose rows the dataset holds or has forgotten.

    A duplicate stands for the drop that added its bytes.
    """
    meant = "SELECT sha256 FROM drops WHERE sha256 = ?1 OR id = ?2 OR name = ?1"
    # So SQLite looks for sha256; with the state's index it would read nearly all drops.
    rows = f"drops.sha256 IN ({meant}) AND {UNSORTED}drops.state IN ('{DropState.ACCEPTED}', '{DropState.FORGOTTEN}')"
    return typed(DropFacts, journal, f"{DROPS} WHERE {rows} ORDER BY drops.id DESC", key, _id(key))


def was_taken(journal: Path, sha256: str) -> bool:
    """Whether the dataset holds or held the rows of the drop with these bytes."""
    query = "SELECT 1 FROM drops WHERE sha256 = ? AND state IN (?, ?)"
    return bool(ask(journal, query, sha256, DropState.ACCEPTED, DropState.FORGOTTEN))


def held(journal: Path, limit: int) -> list[HeldDrop]:
    """The drops that wait for a person, longest first, and why: see `retraind.daemon.ingest.held_drops`."""
    return typed(HeldDrop, journal, f"{HELD} ORDER BY held_at, sha256 LIMIT ?", limit)


def held_total(journal: Path) -> int:
    """The number of waiting drops."""
    return number(journal, "SELECT COUNT(*) FROM held WHERE state = ?", Hold.WAITING) or 0


def held_names(journal: Path) -> set[str]:
    """The names of their files."""
    return set(texts(journal, "SELECT name FROM held WHERE state = ?", Hold.WAITING))


def held_like(journal: Path, key: str) -> list[HeldDrop]:
    """The held drop with this full sha256, otherwise those with this name.

    A file's name may equal another file's sha256.
    """
    by_sha256 = typed(HeldDrop, journal, f"{HELD} AND sha256 = ?", key)
    return by_sha256 or typed(HeldDrop, journal, f"{HELD} AND name = ? ORDER BY held_at", key)


def as_drop(row: HeldDrop) -> HeldAsDrop:
    """A held drop with the columns of a decided drop, for a table of both; none of its rows was accepted."""
    return {
        **row,
        "rows_accepted": 0,
        "rows_refused": 0,
        "rows_duplicate": 0,
        "rows_relabelled": 0,
        "id": None,
        "line": None,
        "column": None,
        "batch": None,
        "bad_file": None,
        "revision": None,
        "committed_at": None,
        "decided_by": None,
        "origin": None,
        "settled_at": row["held_at"],
        "decided_at": row["held_at"],
    }


class Drops:
    """Drops with their outcomes."""

    def __init__(self, home: Home) -> None:
        self._home, self._journal = home, home.journal

    def newest(self, limit: int = 100, before: int | None = None) -> list[ExaminedDrop]:
        """Drops with their outcomes, newest first; `before` is the id of the last drop already seen."""
        return self._examined(newest(self._journal, limit, before))

    def find(self, key: str | int) -> ExaminedDrop | None:
        """The drop with this full sha256, id or name; of several, the accepted one, otherwise the newest."""
        drop = find(self._journal, key)
        return self._examined([drop])[0] if drop else None

    def taken(self, key: str) -> list[DropFacts]:
        """The drops with this full sha256, id or name whose rows the dataset holds or has forgotten, newest first."""
        return taken(self._journal, key)

    def versions_trained_on(self, drop: DropRow) -> TrainedVersions:
        """The number of versions trained on a drop, and the newest of them."""
        return lineage.versions_trained_on(self._home, drop)

    def until(self, batch: int, limit: int = 100) -> list[TrainingDrop]:
        """The drops whose rows a revision up to this batch holds, newest first."""
        return lineage.training_drops(self._journal, lineage.DROPS, batch, 2**62, limit)

    def prequential(self) -> Prequential | None:
        """The error of versions on drops before any training on them; see `retraind.daemon.records.drops`."""
        return prequential(self._journal)

    def _examined(self, drops: list[DropFacts]) -> list[ExaminedDrop]:
        of_drop = exams(self._journal, [drop["sha256"] for drop in drops])
        return [{**drop, "exam": of_drop.get(drop["sha256"])} for drop in drops]


class HeldDrops:
    """Drops that wait for a person."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def oldest(self, limit: int) -> list[HeldDrop]:
        """Drops that wait for a person, longest first."""
        return held(self._journal, limit)

    def like(self, key: str) -> list[HeldDrop]:
        """Those of them with this full sha256 or name."""
        return held_like(self._journal, key)

    def total(self) -> int:
        """The number of waiting drops."""
        return held_total(self._journal)

    def names(self) -> set[str]:
        """The names of their files."""
        return held_names(self._journal)
