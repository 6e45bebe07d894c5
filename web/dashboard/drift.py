"""Drift: the newest check of the served version, or why there is none."""

from retraind.daemon.core.drift_report import DriftCheck
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import DriftState
from retraind.daemon.records.records import Records
from retraind.web.dashboard import tiles

SHOWN = 10
"""Features that the page shows; `GET /drift` has all of them."""

STATES: dict[str, tiles.State] = {DriftState.OK: "ok", DriftState.DRIFT: "watch", DriftState.WAITING: "unknown"}
"""State of a check to the page's state with its colour and shape; drift alone is never ACT."""


class ShownDrift(DriftCheck):
    """A check for the page, without its `hidden` features."""

    hidden: int
    look: tiles.State
    shape: str
    word: str


def newest(records: Records, version: int | None, settings: Settings) -> DriftCheck:
    """The newest check of the served version, from `retraind.daemon.drift.report`, and `at`.

    Without a check, a report that says why.
    """
    report = records.versions.drift(version) if version is not None else None
    if report is not None:
        return report
    seconds = settings.drift.check_seconds
    if version is None:
        why = "No model is served yet."
    elif seconds == 0:
        why = "Drift is not checked: drift.check_seconds = 0."
    else:
        why = f"Version {version} has not been compared with its predictions yet; drift.check_seconds = {seconds:g}."
    return {
        "at": None,
        "version": version,
        "state": DriftState.WAITING,
        "alarm": 0,
        "reason": why,
        "n": 0,
        "reference": 0,
        "window": settings.drift.window_rows,
        "min_rows": settings.drift.min_rows,
        "tested": 0,
        "drifted": 0,
        "features": [],
        "prediction": None,
        "error": None,
    }


def shown(report: DriftCheck) -> ShownDrift:
    """The page's part of a report: the features that drifted and the most important of the others, by importance."""
    ranked = sorted(report["features"], key=lambda feature: not feature["drifted"])[:SHOWN]
    features = sorted(ranked, key=lambda feature: -feature["importance"])
    look = STATES[report["state"]]
    shape, word = tiles.STATES[look]
    word = "WAITING" if report["state"] == DriftState.WAITING else word
    hidden = len(report["features"]) - len(features)
    return {**report, "features": features, "hidden": hidden, "look": look, "shape": shape, "word": word}
