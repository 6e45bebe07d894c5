"""The report of a check for drift: every feature with its test, the answers, the error, and the conclusion.

Pure functions. The journal stores the report (`retraind.daemon.core.drift_report.DriftReport`), and `GET /drift` returns it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.artifacts.manifest import Manifest
from retraind.daemon.artifacts.reference_sample import Reference
from retraind.daemon.core.drift_report import (
    ClassShares,
    DriftedAnswers,
    DriftedFeature,
    DriftReport,
    DriftTest,
    LabelledError,
    Quartiles,
)
from retraind.daemon.core.settings import Drift
from retraind.daemon.core.states import DriftState
from retraind.daemon.drift import two_sample, words
from retraind.daemon.drift.adwin import Detector
from retraind.daemon.drift.two_sample import Comparison
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

NAMED = 3
"""Maximum number of features that a sentence names; the others are counted."""

DATE = "dates always move on, so only missing ones are compared."


@dataclass(frozen=True)
class RecentPredictions:
    """The newest predictions of a version: their inputs, (n, d) in schema order, and their answers (n,)."""

    rows: Matrix
    answers: Vector


def report(
    version: int,
    manifest: Manifest,
    reference: Reference | None,
    seen: RecentPredictions,
    detector: Detector,
    settings: Drift,
) -> DriftReport:
    """The report on one version; its state is `waiting`, without an alarm, if there is too little to compare."""
    result: DriftReport = {
        "version": version,
        "n": len(seen.rows),
        "reference": len(reference.rows) if reference else 0,
        "window": settings.window_rows,
        "min_rows": settings.min_rows,
        "error": _error(detector),
        "features": [],
        "tested": 0,
        "drifted": 0,
        "prediction": None,
        "state": DriftState.OK,
        "alarm": 0,
        "reason": "",
    }
    lack = _too_little(result, reference, settings)
    if reference is not None and lack is None:
        schema = manifest.data_schema
        features = _features(schema, reference.rows, seen.rows, _importance(manifest), settings)
        tested = [feature for feature in features if feature["test"] or feature["missing"]]
        result["features"] = features
        result["tested"], result["drifted"] = len(tested), sum(feature["drifted"] for feature in tested)
        result["prediction"] = _prediction(schema, reference, seen, settings)
    result["state"], result["alarm"], result["reason"] = _conclude(result, lack, settings)
    return result


def _too_little(common: DriftReport, reference: Reference | None, settings: Drift) -> str | None:
    """The reason why nothing can be compared yet, as a sentence; None if it can."""
    version = common["version"]
    if reference is None:
        return f"Version {version} was trained before drift was known and has no reference; the next version has one."
    if common["reference"] < settings.min_rows:
        return (
            f"Version {version} was trained on {common['reference']} rows; drift.min_rows requires {settings.min_rows}."
        )
    if common["n"] < settings.min_rows:
        return f"Version {version} has made {common['n']} of the {settings.min_rows} predictions that drift.min_rows requires."
    return None


# Features


def _importance(manifest: Manifest) -> dict[str, float]:
    """The importance of each feature as a share, adding up to 1; all are equal if it was not measured."""
    measured = manifest.scores.get("importance") or {}
    falls = {name: max(0.0, measured.get(name) or 0.0) for name in manifest.data_schema.features}
    total = sum(falls.values())
    return {name: fall / total if total > 0 else 1 / len(falls) for name, fall in falls.items()}


def _features(
    schema: Schema, reference: Matrix, now: Matrix, importance: Mapping[str, float], settings: Drift
) -> list[DriftedFeature]:
    """All features, the most important first."""
    pairs = [(reference[:, index], now[:, index]) for index in range(len(schema.columns))]
    looks = [_compare(column, *pair, settings) for column, pair in zip(schema.columns, pairs, strict=True)]
    adjusted = iter(two_sample.adjust([one for look in looks for one in look if one]))
    limit = min(settings.important, max(importance.values()))  # the most important feature always counts
    entries: list[DriftedFeature] = []
    for column, pair, look in zip(schema.columns, pairs, looks, strict=True):
        values, missing = (next(adjusted) if one else None for one in look)
        share = importance[column.name]
        important = share >= limit - 1e-12
        entries.append(_entry(column, pair, values, missing, settings, (share, important)))
    return sorted(entries, key=lambda entry: -entry["importance"])


def _compare(
    column: Column, reference: Vector, now: Vector, settings: Drift
) -> tuple[Comparison | None, Comparison | None]:
    """The comparisons of the values and of the missing cells; None if there is nothing to compare."""
    if column.kind == "category":
        return two_sample.compare(reference, now, named=True), None
    gone, absent = np.isnan(reference), np.isnan(now)
    missing = None
    if gone.any() or absent.any():
        missing = two_sample.compare(gone.astype(np.float64), absent.astype(np.float64), named=True)
    values = reference[~gone], now[~absent]
    if column.kind == "date" or min(map(len, values)) < settings.min_rows:
        return None, missing
    return two_sample.compare(*values, named=column.kind == "boolean"), missing


def _entry(
    column: Column,
    pair: tuple[Vector, Vector],
    values: Comparison | None,
    missing: Comparison | None,
    settings: Drift,
    importance: tuple[float, bool],
) -> DriftedFeature:
    """One feature; `importance` is its share, and whether drift of it counts."""
    shares = [float(np.isnan(one).mean()) for one in pair]
    moved, lost = (one is not None and one.drifted(settings) for one in (values, missing))
    sentence = words.samples(column, pair) if values else DATE if column.kind == "date" else _few(pair, settings)
    if lost:
        sentence = f"missing {shares[1]:.1%}, before {shares[0]:.1%}; {sentence}"
    return {
        "name": column.name,
        "kind": column.kind,
        **_figures(values, settings),
        "missing": {"reference": shares[0], "now": shares[1], "p": missing.p, "drifted": lost} if missing else None,
        "drifted": moved or lost,
        "sentence": sentence,
        "importance": importance[0],
        "important": importance[1],
    }


def _figures(comparison: Comparison | None, settings: Drift) -> DriftTest:
    """`value` decides the test: a p-value that drifts at or below `threshold`, or a distance at or above it."""
    if comparison is None:
        return {"test": None, "value": None, "threshold": None, "p": None, "size": None}
    by_p = comparison.distance is None
    return {
        "test": comparison.test,
        "value": comparison.p if by_p else comparison.distance,
        "threshold": settings.p_value if by_p else settings.distance,
        "p": comparison.p,
        "size": comparison.size,
    }


# Answers and errors


def _prediction(
    schema: Schema, reference: Reference, seen: RecentPredictions, settings: Drift
) -> DriftedAnswers | None:
    """The mix of answers: the share of each class, or the quartiles of numbers."""
    if len(reference.answers) < settings.min_rows:
        return None
    comparison = two_sample.compare(reference.answers, seen.answers, named=bool(schema.classes))
    column = Column(name=schema.target, kind="category" if schema.classes else "number", categories=schema.classes)
    shares: list[ClassShares] = [
        {"name": name, "reference": words.share(reference.answers, code), "now": words.share(seen.answers, code)}
        for code, name in enumerate(schema.classes)
    ]
    quartiles: Quartiles | None = None
    if not schema.classes:
        quartiles = {"reference": words.quartiles(reference.answers), "now": words.quartiles(seen.answers)}
    return {
        **_figures(comparison, settings),
        "drifted": comparison.drifted(settings),
        "classes": shares,
        "quartiles": quartiles,
        "sentence": words.samples(column, (reference.answers, seen.answers)),
    }


def _error(detector: Detector) -> LabelledError | None:
    """The error on late labels: share of wrong classes, or mean absolute error; None before the first label."""
    if detector.error is None:
        return None
    change = detector.change
    before, at = (change.before, change.at) if change else (None, None)
    return {"n": detector.n, "now": detector.error, "before": before, "at": at, "rose": bool(change and change.rose)}


# Words


def _conclude(result: DriftReport, lack: str | None, settings: Drift) -> tuple[DriftState, int, str]:
    """State, alarm and the sentence that explains them."""
    drifted = [feature for feature in result["features"] if feature["drifted"]]
    important = [feature for feature in drifted if feature["important"]]
    error = result["error"]
    reasons = []
    if important:
        reasons.append(f"In the last {result['n']:,} predictions {_list(important)} from the training data.")
        reasons.append(f"{important[0]['name'][:60]} ({important[0]['importance']:.0%} of the importance):")
        reasons.append(important[0]["sentence"])
    elif result["tested"] and len(drifted) >= settings.share * result["tested"]:
        difference = f"{len(drifted)} of {result['tested']} features differ from the training data."
        reasons.append(f"In the last {result['n']:,} predictions {difference}")
    if error and error["rose"]:
        change = (
            f"from {words.figure(error['before'] or 0.0)} to {words.figure(error['now'])} after {error['at']:,} labels"
        )
        reasons.append(f"The error on late labels changed {change}.")
    if reasons:
        return DriftState.DRIFT, 1, " ".join(reasons)
    if lack:
        return DriftState.WAITING, 0, lack
    return DriftState.OK, 0, _calm(result, drifted)


def _calm(result: DriftReport, drifted: Sequence[DriftedFeature]) -> str:
    among = f"In the last {result['n']:,} predictions"
    if not drifted:
        return f"{among} no feature differs from the training data."
    them = "it" if len(drifted) == 1 else "them"
    return f"{among} {_list(drifted)} from the training data, but the model hardly uses {them}."


def _list(features: Sequence[DriftedFeature]) -> str:
    names = [one["name"][:60] for one in features[:NAMED]]
    if len(features) > NAMED:
        names.append(f"{len(features) - NAMED} more")
    if len(names) == 1:
        return f"{names[0]} differs"
    return f"{', '.join(names[:-1])} and {names[-1]} differ"


def _few(pair: tuple[Vector, Vector], settings: Drift) -> str:
    least = min(int((~np.isnan(one)).sum()) for one in pair)
    return f"only {least} values; drift.min_rows requires {settings.min_rows}."
