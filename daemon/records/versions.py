"""Versions as they were judged."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from daemon.core.home import Home
from daemon.records import challenger, late_labels, lineage, live_score
from daemon.records.query import Row, ask, newest


def judged(journal: Path, version: int) -> Row | None:
    """One version with its verdict, or None; its `scores` are JSON."""
    rows = ask(journal, "SELECT * FROM versions WHERE version = ?", version)
    return rows[0] if rows else None


def count(journal: Path) -> int:
    """How many versions have a verdict."""
    return int(ask(journal, "SELECT COUNT(*) AS n FROM versions")[0]["n"])


class Versions:
    """Judged versions: their verdicts, live scores and lineage."""

    def __init__(self, home: Home) -> None:
        self._home, self._journal = home, home.journal

    def newest(self, limit: int = 100, before: int | None = None) -> list[Row]:
        """Judged versions, newest first, `scores` parsed; `before` is the number of the last one already seen."""
        return [_scored(row) for row in newest(self._journal, "versions", limit, before, key="version")]

    def get(self, version: int) -> Row | None:
        """One judged version, or None."""
        rows = ask(self._journal, "SELECT * FROM versions WHERE version = ?", version)
        return _scored(rows[0]) if rows else None

    def aliases(self) -> dict[str, int | None]:
        """The versions that `challenger` (held, and newer than what is served) and `previous` stand for."""
        swap = next(iter(newest(self._journal, "swaps", 1)), {"previous": None})
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
        judged = self.get(version)
        return live_score.of(self._journal, version, judged["scores"]) if judged else None

    def live_scores(self, judged: Sequence[Row]) -> dict[int, Row]:
        """The live score of each of these rows of `versions` that has one."""
        labelled = late_labels.labelled(self._journal, [row["version"] for row in judged])
        scores_by_version = {row["version"]: row["scores"] for row in judged if row["version"] in labelled}
        live = {version: live_score.of(self._journal, version, scores) for version, scores in scores_by_version.items()}
        return {version: score for version, score in live.items() if score}

    def drift(self, version: int) -> Row | None:
        """The newest check for drift (see `daemon.drift.report`) and its time, if it is one of this version."""
        rows = ask(self._journal, "SELECT * FROM drifts ORDER BY id DESC LIMIT 1")
        if not rows or rows[0]["version"] != version or rows[0]["detail"] is None:
            return None
        return {"at": rows[0]["at"], **json.loads(rows[0]["detail"])}


def _scored(row: Row) -> Row:
    return {**row, "scores": json.loads(row["scores"])}
