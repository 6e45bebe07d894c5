"""Read-only questions to the journal and the prediction history.

Plain `sqlite3` in `mode=ro`, one short connection per question: a reader that lives for a moment can't hold back the
daemon's checkpoint, and one that may not write can't take part in it. Rows come back as plain dicts.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from daemon.home import Home

Row = dict[str, Any]

STATES = {
    "drops": ("accepted", "rejected", "duplicate"),
    "runs": ("started", "trained", "failed", "abandoned"),
    "versions": ("promoted", "refused", "held", "unservable"),
}
"""Every state a journal table can hold, so that counters exist at zero before anything has happened."""

BUSY_SECONDS = 2.0
"""A WAL reader hardly ever waits; only the very first moments of a new database make it."""


class Records:
    """What a home remembers; a file that does not exist yet reads as empty. Raises sqlite3.Error on a damaged one."""

    def __init__(self, home: Home) -> None:
        self._journal = home.journal
        self._history = home.history

    def versions(self, limit: int = -1) -> list[Row]:
        """Judged versions, newest first, `scores` parsed; all of them by default."""
        return [_scored(row) for row in self._ask("SELECT * FROM versions ORDER BY version DESC LIMIT ?", limit)]

    def version(self, version: int) -> Row | None:
        """One judged version, or None."""
        found = self._ask("SELECT * FROM versions WHERE version = ?", version)
        return _scored(found[0]) if found else None

    def drops(self, limit: int = 100, before: int | None = None) -> list[Row]:
        """Drops newest first; `before` is the row id of the last one already seen."""
        return self._newest("drops", limit, before)

    def drop(self, key: str | int) -> Row | None:
        """The drop with this full sha256, row id or name; of several the accepted one, then the newest."""
        for column in ("sha256", "id", "name"):
            query = f"SELECT * FROM drops WHERE {column} = ? ORDER BY state = 'accepted' DESC, id DESC LIMIT 1"
            if found := self._ask(query, str(key)):
                return found[0]
        return None

    def drops_in(self, batch: int, limit: int = 100) -> list[Row]:
        """The accepted drops of one batch, oldest first."""
        query = "SELECT * FROM drops WHERE batch = ? AND state = 'accepted' ORDER BY id LIMIT ?"
        return self._ask(query, batch, limit)

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
        """The last batch that a data revision holds, or None."""
        found = self._ask("SELECT * FROM batches WHERE revision = ? ORDER BY seq DESC LIMIT 1", revision)
        return found[0] if found else None

    def request(self, request: str) -> Row | None:
        """One request to the loop as the journal took it over, or None."""
        found = self._ask("SELECT * FROM requests WHERE id = ?", request)
        return found[0] if found else None

    def counts(self) -> dict[str, dict[str, int]]:
        """Totals since the journal began: `drops`, `runs`, `versions` by state, and `rows`.

        `rows` has `accepted`, `refused` (single bad rows) and `rejected` (all rows of rejected drops).
        """
        counts = {table: dict.fromkeys(states, 0) for table, states in STATES.items()}
        for table in STATES:
            for row in self._ask(f"SELECT state, COUNT(*) AS n FROM {table} GROUP BY state"):
                counts[table][row["state"]] = row["n"]
        rows = self._ask(
            "SELECT TOTAL(rows_accepted) AS accepted, TOTAL(rows_refused) FILTER (WHERE state = 'accepted') AS refused, "
            "TOTAL(rows_read) FILTER (WHERE state = 'rejected') AS rejected FROM drops"
        )
        totals = rows[0] if rows else {"accepted": 0, "refused": 0, "rejected": 0}
        counts["rows"] = {name: int(total) for name, total in totals.items()}
        return counts

    def history(self, limit: int = 100, before: str | None = None, version: int | None = None) -> list[Row]:
        """Predictions newest first; `before` is the prediction_id of the last one seen (an unknown one gives nothing)."""
        query, values = "SELECT * FROM predictions WHERE 1", []
        if before is not None:
            query += " AND seq < (SELECT seq FROM predictions WHERE prediction_id = ?)"
            values.append(before)
        if version is not None:
            query += " AND model_version = ?"
            values.append(str(version))
        rows = _ask(self._history, f"{query} ORDER BY seq DESC LIMIT ?", *values, limit)
        return [{**row, "features": json.loads(row["features"])} for row in rows]

    def confidences(self, version: int, limit: int) -> list[float]:
        """Confidences (0-1) of the newest predictions of one version, newest first."""
        query = "SELECT confidence FROM predictions WHERE model_version = ? ORDER BY seq DESC LIMIT ?"
        return [row["confidence"] for row in _ask(self._history, query, version, limit)]

    def _newest(self, table: str, limit: int, before: int | None = None, key: str = "id") -> list[Row]:
        # SQLite compares an integer with NULL as unknown, hence the explicit test.
        query = f"SELECT * FROM {table} WHERE ?1 IS NULL OR {key} < ?1 ORDER BY {key} DESC LIMIT ?2"
        return self._ask(query, before, limit)

    def _ask(self, query: str, *values: str | int | None) -> list[Row]:
        return _ask(self._journal, query, *values)


def _ask(path: Path, query: str, *values: str | int | None) -> list[Row]:
    if not path.exists():
        return []
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]
    except sqlite3.OperationalError as error:
        # The daemon has created the file and not yet its tables, or has just removed it.
        if str(error).startswith(("no such table", "unable to open")):
            return []
        raise


def _scored(row: Row) -> Row:
    return {**row, "scores": json.loads(row["scores"])}
