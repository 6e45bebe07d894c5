"""Read-only questions to the journal and the prediction history; rows come back as plain dicts."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.core.home import Home
from daemon.core.states import BatchKind, DropState, RunState, VersionState
from daemon.records import challenger, late_labels, lineage, live_score
from daemon.records import drops as fates
from daemon.records.dialect import ARRIVAL, BY_ID
from daemon.records.query import LAST, ask

Row = dict[str, Any]

STATES: dict[str, tuple[str, ...]] = {
    "drops": tuple(state.value for state in DropState),
    "runs": tuple(state.value for state in RunState),
    "versions": tuple(state.value for state in VersionState),
}
"""Every state a journal table can hold, so that counters exist at zero before anything has happened."""

TOTALS = (
    "SELECT state, COUNT(*) AS n, COALESCE(SUM(rows_accepted), 0) AS accepted, COALESCE(SUM(rows_refused), 0) AS refused, "
    "COALESCE(SUM(rows_read), 0) AS read, MAX(id) AS last FROM drops GROUP BY state"
)
"""Answered by the index `drops_totals` alone."""

NEW_TOTALS = TOTALS.replace("GROUP BY", f"{BY_ID} WHERE id > ? GROUP BY")


@dataclass(frozen=True)
class _Counted:
    """Drops by state, and rows, of all drops up to the id `last` of the journal file `inode`."""

    inode: int | None = None
    last: int = 0
    drops: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES["drops"], 0))
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("accepted", "refused", "rejected"), 0))


class Records:
    """What a home remembers; a file that does not exist yet reads as empty. Raises sqlite3.Error on a damaged one."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._journal = home.journal
        self._history = home.history
        self._counted = _Counted()

    def versions(self, limit: int = 100, before: int | None = None) -> list[Row]:
        """Judged versions, newest first, `scores` parsed; `before` is the number of the last one already seen."""
        return [_scored(row) for row in self._newest("versions", limit, before, key="version")]

    def version(self, version: int) -> Row | None:
        """One judged version, or None."""
        found = self._ask("SELECT * FROM versions WHERE version = ?", version)
        return _scored(found[0]) if found else None

    def aliases(self) -> dict[str, int | None]:
        """The versions that `challenger` (held, and newer than what is served) and `previous` stand for."""
        swap = next(iter(self.swaps(1)), {"previous": None})
        return {"challenger": challenger.waiting(self._journal), "previous": swap["previous"]}

    def agreements(self, champion: int | None, versions: Iterable[int]) -> dict[int, Row]:
        """How far those of `versions` that were held agreed with this champion; see `daemon.records.lineage`."""
        try:
            return {one["version"]: one for one in lineage.agreements(self._home, versions, champion or 0)}
        except sqlite3.Error:
            return {}  # a damaged history begins anew, and metrics and versions must not wait for that

    def lineage(self, version: int, limit: int = lineage.SHOWN, before: int | None = None) -> Row | None:
        """Where a judged version came from and where it went (see `daemon.records.lineage`), or None."""
        return lineage.of(self._home, version, limit, before)

    def live(self, version: int) -> Row | None:
        """The live score of a judged version (see `daemon.records.live_score`); None before its first label."""
        judged = self.version(version)
        return live_score.of(self._journal, version, judged["scores"]) if judged else None

    def live_scores(self, judged: Sequence[Row]) -> dict[int, Row]:
        """The live score of each of these rows of `versions` that has one."""
        labelled = late_labels.labelled(self._journal, [row["version"] for row in judged])
        known = {row["version"]: row["scores"] for row in judged if row["version"] in labelled}
        found = {version: live_score.of(self._journal, version, scores) for version, scores in known.items()}
        return {version: score for version, score in found.items() if score}

    def drift(self, version: int) -> Row | None:
        """The newest check for drift (see `daemon.drift.report`) and its time, if it is one of this version."""
        found = self._ask("SELECT * FROM drifts ORDER BY id DESC LIMIT 1")
        if not found or found[0]["version"] != version or found[0]["detail"] is None:
            return None
        return {"at": found[0]["at"], **json.loads(found[0]["detail"])}

    def labels(self) -> int:
        """How many predictions have been labelled."""
        # A label is never removed, and counting millions of them would take a while.
        found = self._ask(f"SELECT MAX({ARRIVAL}) AS n FROM labels")
        return (found[0]["n"] or 0) if found else 0

    def drops(self, limit: int = 100, before: int | None = None) -> list[Row]:
        """Drops with what became of them, newest first; `before` is the id of the last one already seen."""
        return self._examined(fates.newest(self._journal, limit, before))

    def drop(self, key: str | int) -> Row | None:
        """The drop with this full sha256, id or name; of several the accepted one, then the newest."""
        found = fates.find(self._journal, key)
        return self._examined([found])[0] if found else None

    def held_drops(self, limit: int) -> list[Row]:
        """Drops that wait for a person, longest first."""
        return fates.held(self._journal, limit)

    def held_like(self, key: str) -> list[Row]:
        """Those of them with this full sha256 or name."""
        return fates.held_like(self._journal, key)

    def held_total(self) -> int:
        """How many wait."""
        return fates.held_total(self._journal)

    def held_names(self) -> set[str]:
        """What their files are called."""
        return fates.held_names(self._journal)

    def prequential(self) -> Row | None:
        """How wrong versions were on drops before they were trained on; see `daemon.records.drops`."""
        return fates.prequential(self._journal)

    def _examined(self, drops: list[Row]) -> list[Row]:
        exams = fates.exams(self._journal, [drop["sha256"] for drop in drops])
        return [{**drop, "exam": exams.get(drop["sha256"])} for drop in drops]

    def taught(self, drop: Row) -> Row:
        """How many versions a drop has taught, and the newest of them."""
        return lineage.taught(self._home, drop)

    def drops_until(self, batch: int, limit: int = 100) -> list[Row]:
        """The drops whose rows a revision up to this batch holds, newest first."""
        return self._ask(lineage.DROPS, batch, 2**62, limit)

    def events(self, after: int = 0, limit: int = 200) -> list[Row]:
        """Events with an id larger than `after`, oldest first."""
        return self._ask("SELECT * FROM events WHERE id > ? ORDER BY id LIMIT ?", after, limit)

    def recent_events(self, limit: int = 100) -> list[Row]:
        """The newest events, newest first."""
        return self._newest("events", limit)

    def swaps(self, limit: int = 100) -> list[Row]:
        """Changes of the served version, newest first."""
        return self._newest("swaps", limit)

    def runs(self, limit: int = 100) -> list[Row]:
        """Trainings, newest first."""
        return self._newest("runs", limit)

    def run_of(self, version: int) -> Row | None:
        """The training that made a version, or None."""
        found = self._ask("SELECT * FROM runs WHERE version = ? ORDER BY id DESC LIMIT 1", version)
        return found[0] if found else None

    def batches(self, limit: int = 100) -> list[Row]:
        """Batches, newest first."""
        return self._newest("batches", limit, key="seq")

    def batch_at(self, revision: str) -> Row | None:
        """The last batch that brought rows to a data revision, or took some away; or None."""
        last = "SELECT MAX(seq) FROM batches WHERE revision = ?"
        query = f"SELECT * FROM batches WHERE kind != ? AND seq <= ({last}) ORDER BY seq DESC LIMIT 1"
        found = self._ask(query, BatchKind.MERGE, revision)
        return found[0] if found else None

    def request(self, request: str) -> Row | None:
        """One request to the loop as the journal took it over, or None."""
        found = self._ask("SELECT * FROM requests WHERE id = ?", request)
        return found[0] if found else None

    def counts(self) -> dict[str, dict[str, int]]:
        """Totals since the journal began: `drops`, `runs`, `versions` by state, and `rows`.

        `rows` has `accepted`, `refused` (single bad rows) and `rejected` (all rows of rejected drops). A drop that was
        forgotten counts as accepted as well: totals never fall.
        """
        counts = {table: dict.fromkeys(states, 0) for table, states in STATES.items()}
        for table in ("runs", "versions"):
            for row in self._ask(f"SELECT state, COUNT(*) AS n FROM {table} GROUP BY state"):
                counts[table][row["state"]] = row["n"]
        counted = self._count_drops()
        counts |= {"drops": dict(counted.drops), "rows": dict(counted.rows)}
        for row in self._ask("SELECT COUNT(*) AS n FROM drops WHERE state = ?", DropState.FORGOTTEN):
            counts["drops"][DropState.FORGOTTEN.value] = row["n"]
        return counts

    def _count_drops(self) -> _Counted:
        """Totals of the drops. But for those forgotten they never change, so that only those since the last time are read."""
        counted, inode = self._counted, _inode(self._journal)
        if counted.inode != inode:
            counted = _Counted(inode)
        drops, rows, last = dict(counted.drops), dict(counted.rows), counted.last
        for row in self._ask(NEW_TOTALS, last) if last else self._ask(TOTALS):
            state = DropState.ACCEPTED.value if row["state"] == DropState.FORGOTTEN else row["state"]
            drops[state] += row["n"]
            rows["accepted"] += int(row["accepted"])
            rows["refused"] += int(row["refused"]) if state == DropState.ACCEPTED else 0
            rows["rejected"] += int(row["read"]) if row["state"] == DropState.REJECTED else 0
            last = max(last, row["last"])
        # One assignment of a value that nobody changes: two threads may count the same rows, but none is counted twice.
        self._counted = _Counted(inode, last, drops, rows)
        return self._counted

    def history(self, limit: int = 100, before: str | None = None, version: int | None = None) -> list[Row]:
        """Predictions newest first; `before` is the prediction_id of the last one seen (an unknown one gives nothing)."""
        query, values = "SELECT * FROM predictions WHERE 1 = 1", []
        if before is not None:
            query += " AND seq < (SELECT seq FROM predictions WHERE prediction_id = ?)"
            values.append(before)
        if version is not None:
            query += " AND model_version = ?"
            values.append(str(version))
        rows = ask(self._history, f"{query} ORDER BY seq DESC LIMIT ?", *values, limit)
        return [{**row, "features": json.loads(row["features"])} for row in rows]

    def confidences(self, version: int, limit: int) -> list[float]:
        """Confidences (0-1) of the newest predictions of one version, newest first."""
        query = "SELECT confidence FROM predictions WHERE model_version = ? ORDER BY seq DESC LIMIT ?"
        return [row["confidence"] for row in ask(self._history, query, version, limit)]

    def _newest(self, table: str, limit: int, before: int | None = None, key: str = "id") -> list[Row]:
        query = f"SELECT * FROM {table} WHERE {key} < ? ORDER BY {key} DESC LIMIT ?"
        return self._ask(query, LAST if before is None else before, limit)

    def _ask(self, query: str, *values: str | int | None) -> list[Row]:
        return ask(self._journal, query, *values)


def _scored(row: Row) -> Row:
    return {**row, "scores": json.loads(row["scores"])}


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
