"""Totals since the journal began, and the newest drop, training and exam."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

from retraind.daemon.core.states import DropState, RunState, VersionState
from retraind.daemon.records.dialect import ARRIVAL, BY_ID
from retraind.daemon.records.query import Row, ask, first, number, texts

STATES: dict[str, tuple[str, ...]] = {
    "drops": tuple(state.value for state in DropState),
    "runs": tuple(state.value for state in RunState),
    "versions": tuple(state.value for state in VersionState),
}
"""Every state in the journal's tables, so that counters exist at zero from the start."""

DROPS = (
    "SELECT 'drops' AS kind, state, COUNT(*) AS n, COALESCE(SUM(rows_accepted), 0) AS accepted, "
    "COALESCE(SUM(rows_refused), 0) AS refused, COALESCE(SUM(rows_read), 0) AS read, MAX(id) AS last FROM drops "
)

REST = " UNION ALL ".join(
    f"SELECT '{kind}', state, COUNT(*), 0, 0, 0, 0 FROM {table} {condition} GROUP BY state"
    for kind, table, condition in (
        ("runs", "runs", ""),
        ("versions", "versions", ""),
        ("forgotten", "drops", f"WHERE state = '{DropState.FORGOTTEN.value}'"),
    )
)

TOTALS = f"{DROPS} GROUP BY state"
"""A query that the index `drops_totals` answers alone."""

ALL = f"{TOTALS} UNION ALL {REST}"
"""All counts in one query, because each costs a connection to the file, or a round trip to the server."""

NEW = f"{DROPS} {BY_ID} WHERE id > ? GROUP BY state UNION ALL {REST}"
"""The same, with only the drops after an id."""


TIMES: tuple[Literal["drop", "training", "success"], ...] = ("drop", "training", "success")
"""The keys of `Latest` with a time."""


class ExamErrors(TypedDict):
    """The error on a drop, and the usual one that it was compared with."""

    error: float
    usual: float


class Latest(TypedDict):
    """Times in UTC, ISO 8601; None before the first."""

    drop: str | None
    """When the newest drop was decided."""
    training: str | None
    """When the newest ended training ended."""
    success: str | None
    """When the newest training that registered a version ended."""
    exam: ExamErrors | None
    """The newest exam."""


@dataclass(frozen=True)
class _Counted:
    """Drops by state, and rows, of all drops up to the id `last` of the journal file `inode`."""

    inode: int | None = None
    last: int = 0
    drops: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES["drops"], 0))
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("accepted", "refused", "rejected"), 0))

    def more(self, counts: Sequence[Row]) -> "_Counted":
        """With counts of later drops by state. Except for forgetting, drops never change."""
        drops, rows, last = dict(self.drops), dict(self.rows), self.last
        for row in counts:
            state = DropState.ACCEPTED.value if row["state"] == DropState.FORGOTTEN else row["state"]
            drops[state] += row["n"]
            rows["accepted"] += int(row["accepted"])
            rows["refused"] += int(row["refused"]) if state == DropState.ACCEPTED else 0
            rows["rejected"] += int(row["read"]) if row["state"] == DropState.REJECTED else 0
            last = max(last, row["last"])
        return _Counted(self.inode, last, drops, rows)


class Totals:
    """Counts of the journal's entries; the counts of drops are cached, and only new drops are read."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._counted = _Counted()

    def counts(self) -> dict[str, dict[str, int]]:
        """Totals since the journal began: `drops`, `runs`, `versions` by state, and `rows`.

        `rows` has `accepted`, `refused` (single bad rows) and `rejected` (all rows of rejected drops). A forgotten drop
        still counts as accepted, because totals never fall.
        """
        counts = {table: dict.fromkeys(states, 0) for table, states in STATES.items()}
        counted, inode = self._counted, _inode(self._journal)
        if counted.inode != inode:
            counted = _Counted(inode)
        rows = ask(self._journal, NEW, counted.last) if counted.last else ask(self._journal, ALL)
        # A single assignment of an immutable value: two threads may read the same rows, but none is counted twice.
        self._counted = counted = counted.more([row for row in rows if row["kind"] == "drops"])
        for row in rows:
            if row["kind"] in counts and row["kind"] != "drops":
                counts[row["kind"]][row["state"]] = row["n"]
        forgotten = sum(row["n"] for row in rows if row["kind"] == "forgotten")
        counts |= {"drops": counted.drops | {DropState.FORGOTTEN.value: forgotten}, "rows": dict(counted.rows)}
        return counts

    def labels(self) -> int:
        """The number of labelled predictions."""
        # A label is never removed, and counting millions of them would take a while.
        return number(self._journal, f"SELECT MAX({ARRIVAL}) FROM labels") or 0

    def latest(self) -> Latest:
        """The newest of each, for alerts on what has not happened for long."""
        ended = "SELECT ended_at FROM runs WHERE ended_at IS NOT NULL"
        newest = "ORDER BY id DESC LIMIT 1"
        drops = texts(self._journal, f"SELECT decided_at FROM drops {newest}")
        runs = texts(self._journal, f"{ended} {newest}")
        trained = texts(self._journal, f"{ended} AND state = ? {newest}", RunState.TRAINED)
        return {
            "drop": drops[0] if drops else None,
            "training": runs[0] if runs else None,
            "success": trained[0] if trained else None,
            "exam": first(ExamErrors, self._journal, f"SELECT error, usual FROM exams {newest}"),
        }


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
