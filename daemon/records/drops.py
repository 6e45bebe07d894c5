"""What became of each drop: the journal's record of it, and of the batch that took it.

Shared with `web`: `GET /drops` and `retraind drops` tell the same facts. A row has the columns of the journal's table
`drops`, and `revision` and `committed_at` of its batch (None before the commit, and for a rejected drop). For a duplicate,
`batch` is the one that holds the rows.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daemon.core.home import Home
from daemon.core.states import DropState, Hold
from daemon.records import lineage
from daemon.records.dialect import UNSORTED
from daemon.records.query import LAST, Row, ask, listed, parts

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
"""Exams that the newest score is made of."""


def exams(journal: Path, drops: Sequence[str]) -> dict[str, Row]:
    """What the version that served made of drops (sha256) before they were trained on: see `daemon.ingest.drop_scores`."""
    exams: list[Row] = []
    for some in parts([drop for drop in drops if drop]):
        exams += ask(journal, EXAMS.format(listed(some)), *some)
    return {
        row.pop("drop"): {**row, "shifts": json.loads(row["shifts"]), "suspicious": bool(row["suspicious"])}
        for row in exams
    }


def prequential(journal: Path) -> Row | None:
    """The mean error of the newest exams, weighted by their `n` rows, and how many drops were ever suspicious; None without one."""
    recent = ask(journal, "SELECT n, error FROM exams ORDER BY id DESC LIMIT ?", SERIES)
    if not recent:
        return None
    total = sum(row["n"] for row in recent)
    (odd,) = ask(journal, "SELECT COUNT(*) AS suspicious FROM exams WHERE suspicious = 1")
    return {"n": total, "error": sum(row["n"] * row["error"] for row in recent) / total, **odd}


def newest(journal: Path, limit: int, before: int | None = None) -> list[Row]:
    """Drops newest first; `before` is the id of the last one already seen."""
    return ask(
        journal, f"{DROPS} WHERE drops.id < ? ORDER BY drops.id DESC LIMIT ?", LAST if before is None else before, limit
    )


def find(journal: Path, key: str | int) -> Row | None:
    """The drop with this full sha256, id or name; of several the accepted one, then the forgotten one, then the newest."""
    for column in ("sha256", "id", "name"):
        query = f"{DROPS} WHERE drops.{column} = ? ORDER BY {RANK}, drops.id DESC LIMIT 1"
        if exams := ask(journal, query, str(key)):
            return exams[0]
    return None


def taken(journal: Path, key: str) -> list[Row]:
    """The drops that this full sha256, id or name may mean, newest first: those whose rows the dataset holds or has forgotten.

    A duplicate means the drop that brought its bytes.
    """
    meant = "SELECT sha256 FROM drops WHERE sha256 = ?1 OR id = ?1 OR name = ?1"
    # So SQLite looks for sha256; with the state's index it would read nearly all drops.
    rows = f"drops.sha256 IN ({meant}) AND {UNSORTED}drops.state IN ('{DropState.ACCEPTED}', '{DropState.FORGOTTEN}')"
    return ask(journal, f"{DROPS} WHERE {rows} ORDER BY drops.id DESC", key)


def was_taken(journal: Path, sha256: str) -> bool:
    """Whether the dataset holds or held the rows of the drop with these bytes."""
    query = "SELECT 1 FROM drops WHERE sha256 = ? AND state IN (?, ?)"
    return bool(ask(journal, query, sha256, DropState.ACCEPTED, DropState.FORGOTTEN))


def held(journal: Path, limit: int) -> list[Row]:
    """The drops that wait for a person, longest first, and why: see `daemon.ingest.held_drops`."""
    return ask(journal, f"{HELD} ORDER BY held_at, sha256 LIMIT ?", limit)


def held_total(journal: Path) -> int:
    """How many wait."""
    counted = ask(journal, "SELECT COUNT(*) AS n FROM held WHERE state = ?", Hold.WAITING)
    return int(counted[0]["n"]) if counted else 0


def held_names(journal: Path) -> set[str]:
    """What their files are called."""
    return {row["name"] for row in ask(journal, "SELECT name FROM held WHERE state = ?", Hold.WAITING)}


def held_like(journal: Path, key: str) -> list[Row]:
    """The one of them with this full sha256, or else those of this name: a file may be called like another's sha256."""
    return ask(journal, f"{HELD} AND sha256 = ?", key) or ask(journal, f"{HELD} AND name = ? ORDER BY held_at", key)


def as_drop(row: Row) -> dict[str, Any]:
    """A held drop with the columns of one that was decided, for a table of both: nothing of it was taken."""
    counts = dict.fromkeys(("rows_accepted", "rows_refused", "rows_duplicate", "rows_relabelled"), 0)
    unknown = dict.fromkeys(("id", "line", "column", "batch", "bad_file", "revision", "committed_at", "decided_by"))
    return {**row, **counts, **unknown, "settled_at": row["held_at"], "decided_at": row["held_at"]}


class Drops:
    """Drops with what became of them."""

    def __init__(self, home: Home) -> None:
        self._home, self._journal = home, home.journal

    def newest(self, limit: int = 100, before: int | None = None) -> list[Row]:
        """Drops with what became of them, newest first; `before` is the id of the last one already seen."""
        return self._examined(newest(self._journal, limit, before))

    def find(self, key: str | int) -> Row | None:
        """The drop with this full sha256, id or name; of several the accepted one, then the newest."""
        drop = find(self._journal, key)
        return self._examined([drop])[0] if drop else None

    def taught(self, drop: Row) -> Row:
        """How many versions a drop has taught, and the newest of them."""
        return lineage.taught(self._home, drop)

    def until(self, batch: int, limit: int = 100) -> list[Row]:
        """The drops whose rows a revision up to this batch holds, newest first."""
        return ask(self._journal, lineage.DROPS, batch, 2**62, limit)

    def prequential(self) -> Row | None:
        """How wrong versions were on drops before they were trained on; see `daemon.records.drops`."""
        return prequential(self._journal)

    def _examined(self, drops: list[Row]) -> list[Row]:
        of_drop = exams(self._journal, [drop["sha256"] for drop in drops])
        return [{**drop, "exam": of_drop.get(drop["sha256"])} for drop in drops]


class HeldDrops:
    """Drops that wait for a person."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def oldest(self, limit: int) -> list[Row]:
        """Drops that wait for a person, longest first."""
        return held(self._journal, limit)

    def like(self, key: str) -> list[Row]:
        """Those of them with this full sha256 or name."""
        return held_like(self._journal, key)

    def total(self) -> int:
        """How many wait."""
        return held_total(self._journal)

    def names(self) -> set[str]:
        """What their files are called."""
        return held_names(self._journal)
