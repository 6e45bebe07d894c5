"""Figures from the journal's drops, exams and drift checks, and marks from its events, each counted once by its id."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, cast

from retraind.daemon.core.drift_report import DriftReport
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import EventRow, VersionRow
from retraind.daemon.core.states import DropState, EventKind, Level, of_type
from retraind.daemon.core.trends.figures import DRIFT, Figures, Sum, empty, gauge
from retraind.daemon.records.drops.exams import LEAST_ROWS
from retraind.daemon.records.trends import news
from retraind.daemon.records.versions import Versions
from retraind.daemon.schema import score_names
from retraind.daemon.schema.scores import Scores
from retraind.daemon.storage.trends.store import Change, Mark

MOST_REJECTED = 3
"""Rejected drops at once that have a mark each; more have one together."""


TEXTS: dict[str, str] = {
    EventKind.REJECTED: "A drop was rejected.",
    EventKind.SUSPICIOUS: "A drop is suspicious.",
}
"""Texts of marks instead of those of the events."""


class News(NamedTuple):
    """What the journal adds, and the ids up to which it was read."""

    changes: list[Change]
    marks: list[Mark]
    positions: dict[str, int]


def since(journal: Path, positions: Mapping[str, int]) -> News:
    """Figures and marks after these ids; raises sqlite3.Error."""
    changes = []
    after = {table: positions.get(table, 0) for table in ("drops", "exams", "versions", "drifts", "events")}
    for drop in news.drops(journal, after["drops"]):
        changes.append(Change(seconds(drop["decided_at"]), _of_drop(drop)))
        after["drops"] = drop["id"]
    for exam in news.exams(journal, after["exams"]):
        if exam["n"] >= LEAST_ROWS:  # one wrong answer on one row would be the worst drop of all
            at = seconds(exam["at"])
            gauges = {"exam_error": gauge(exam["error"], at), "exam_usual": gauge(exam["usual"], at)}
            changes.append(Change(at, {**empty(), "gauges": gauges}))
        after["exams"] = exam["id"]
    for version in news.versions(journal, after["versions"]):
        changes.append(Change(seconds(version["judged_at"]), _of_version(version)))
        after["versions"] = version["version"]
    for check in news.drifts(journal, after["drifts"]):
        if check["detail"] is not None:
            report = of_type(DriftReport, json.loads(check["detail"]))
            changes.append(Change(seconds(check["at"]), _of_drift(report, seconds(check["at"]))))
        after["drifts"] = check["id"]
    events = news.marked(journal, after["events"])
    after["events"] = max((event["id"] for event in events), default=after["events"])
    return News(changes, marks(events), after)


def marks(events: Sequence[EventRow]) -> list[Mark]:
    """The marks of these events; many rejected drops have one mark together.

    Events on rejected and suspicious drops quote cells or labels, which a purge removes from the journal, so they are
    not copied. A start is a mark if the daemon before it did not end in order.
    """
    events = [event for event in events if event["kind"] != EventKind.STARTED or event["level"] != Level.INFO]
    rejected = [event for event in events if event["kind"] == EventKind.REJECTED]
    made = [
        Mark(event["at"], event["kind"], TEXTS.get(event["kind"], event["message"]), event["version"], event["drop"])
        for event in events
        if event["kind"] != EventKind.REJECTED
    ]
    if len(rejected) > MOST_REJECTED:
        text = f"{len(rejected)} drops were rejected within seconds; this is the last."
        return [*made, Mark(rejected[-1]["at"], EventKind.REJECTED, text, None, rejected[-1]["drop"])]
    return made + [
        Mark(event["at"], event["kind"], TEXTS[EventKind.REJECTED], None, event["drop"]) for event in rejected
    ]


def _of_drop(drop: news.DecidedDrop) -> Figures:
    """The figures of one drop. A forgotten one was accepted."""
    state = DropState.ACCEPTED if drop["state"] == DropState.FORGOTTEN else drop["state"]
    bad = drop["rows_read"] if state == DropState.REJECTED else drop["rows_refused"]
    sums = Counter(
        {f"{Sum.DROPS}{state}": 1, Sum.ROWS_ACCEPTED: drop["rows_accepted"] or 0, Sum.ROWS_REFUSED: bad or 0}
    )
    return {**empty(), "sums": dict(sums)}


def _of_version(version: VersionRow) -> Figures:
    """The score of a judged version on held-out rows, and that of the served version on the same rows."""
    at, scores = seconds(version["judged_at"]), cast(Scores, json.loads(version["scores"]))
    of_role = {"held_out.new": scores.get("challenger"), "held_out.served": scores.get("champion")}
    values = {name: score_names.value(score_names.widest(role)) for name, role in of_role.items()}
    return {**empty(), "gauges": {name: gauge(value, at) for name, value in values.items() if value is not None}}


def _of_drift(report: DriftReport, at: float) -> Figures:
    """The distance of each feature, the most important first, so that these get names of their own."""
    sizes = {DRIFT + feature["name"]: feature["size"] for feature in report["features"]}
    gauges = {name: gauge(size, at) for name, size in sizes.items() if size is not None}
    if report["tested"]:
        gauges["drifted_share"] = gauge(report["drifted"] / report["tested"], at)
    return {**empty(), "gauges": gauges}


class LiveScore:
    """The live score of the served version, computed again only if there are new labels."""

    def __init__(self, home: Home) -> None:
        self._versions, self._home = Versions(home), home
        self._known: tuple[tuple[int, int], float | None] | None = None

    def value(self, version: int, labels: int) -> float | None:
        """Accuracy or R²; None without a label. `labels` is their number so far. Raises sqlite3.Error."""
        key = version, labels
        if self._known is None or self._known[0] != key:
            self._known = key, score_names.value(self._versions.live(version))
        return self._known[1]


def seconds(at: str) -> float:
    """Seconds since 1970 of a time of the journal."""
    return datetime.fromisoformat(at).astimezone(UTC).timestamp()
