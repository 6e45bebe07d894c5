"""Judged versions."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from retraind.daemon.core.drift_report import DriftCheck, DriftReport
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import DriftRow, SwapRow, VersionFacts, VersionRow
from retraind.daemon.core.states import of_type
from retraind.daemon.records import challenger, late_labels, lineage, live_score
from retraind.daemon.records.lineage_chain import Chain, DropsBetween
from retraind.daemon.records.query import first, newest, number
from retraind.daemon.schema.scores import Agreement, Score, Scores

MOST = 1_000_000
"""No home has more versions."""


class JudgedVersion(VersionFacts):
    """A version with its verdict."""

    scores: Scores


def judged(journal: Path, version: int) -> VersionRow | None:
    """One version with its verdict, or None; its `scores` are JSON."""
    return first(VersionRow, journal, "SELECT * FROM versions WHERE version = ?", version)


def count(journal: Path) -> int:
    """The number of versions with a verdict."""
    return number(journal, "SELECT COUNT(*) FROM versions") or 0


class Versions:
    """Judged versions: their verdicts, live scores and lineage."""

    def __init__(self, home: Home) -> None:
        self._home, self._journal = home, home.journal

    def newest(self, limit: int = 100, before: int | None = None) -> list[JudgedVersion]:
        """Judged versions, newest first, `scores` parsed; `before` is the number of the last one already seen."""
        return [_scored(row) for row in newest(VersionRow, self._journal, "versions", limit, before, "version")]

    def get(self, version: int) -> JudgedVersion | None:
        """One judged version, or None."""
        row = judged(self._journal, version)
        return _scored(row) if row else None

    def aliases(self) -> dict[str, int | None]:
        """The versions behind `challenger` (held, and newer than the served one) and `previous`."""
        last = newest(SwapRow, self._journal, "swaps", 1)
        return {"challenger": challenger.waiting(self._journal), "previous": last[0]["previous"] if last else None}

    def agreements(self, champion: int | None, versions: Iterable[int]) -> dict[int, Agreement]:
        """The agreement of the held ones among `versions` with this champion; see `retraind.daemon.records.lineage`."""
        try:
            return {one["version"]: one for one in lineage.agreements(self._home, versions, champion or 0)}
        except sqlite3.Error:
            return {}  # a damaged history is replaced, and metrics and versions must not wait for that

    def lineage(self, version: int, limit: int = lineage.SHOWN, before: int | None = None) -> Chain | None:
        """The lineage of a judged version (see `retraind.daemon.records.lineage`), or None."""
        return lineage.of(self._home, version, limit, before)

    def drops_between(self, version: int, other: int, limit: int) -> DropsBetween:
        """The drops that one version was trained on and another was not (see `retraind.daemon.records.lineage`)."""
        return lineage.drops_between(self._home, version, other, limit)

    def live(self, version: int) -> Score | None:
        """The live score of a judged version (see `retraind.daemon.records.live_score`); None before its first label."""
        judged = self.get(version)
        return live_score.of(self._journal, version, judged["scores"]) if judged else None

    def live_scores(self, judged: Sequence[JudgedVersion]) -> dict[int, Score]:
        """The live score of each of these rows of `versions` that has one."""
        labelled = late_labels.labelled(self._journal, [row["version"] for row in judged])
        scores_by_version = {row["version"]: row["scores"] for row in judged if row["version"] in labelled}
        live = {version: live_score.of(self._journal, version, scores) for version, scores in scores_by_version.items()}
        return {version: score for version, score in live.items() if score}

    def drift(self, version: int) -> DriftCheck | None:
        """The newest drift check (see `retraind.daemon.drift.report`) and its time, if it checked this version."""
        row = first(DriftRow, self._journal, "SELECT * FROM drifts ORDER BY id DESC LIMIT 1")
        if row is None or row["version"] != version or row["detail"] is None:
            return None
        report = of_type(DriftReport, json.loads(row["detail"]))
        return {"at": row["at"], **report}


def _scored(row: VersionRow) -> JudgedVersion:
    scores: Scores = json.loads(row["scores"])
    return {**row, "scores": scores}
