"""Details of an evaluation for people: curves, calibration, residuals, and answers row by row. None of it decides."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.artifacts import judged_rows
from retraind.daemon.artifacts.evaluation import (
    Calibration,
    ClassCurves,
    ClassDetails,
    ConfidenceBin,
    Evaluation,
    Point,
    ResidualBin,
    Residuals,
)
from retraind.daemon.artifacts.judged_rows import JudgedRows
from retraind.daemon.model import Matrix, Targets
from retraind.daemon.schema.arrival_times import Era
from retraind.daemon.schema.costs import Costs, named
from retraind.daemon.schema.hash_mixing import Prints, splitmix, together
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.scores import Scores
from retraind.daemon.training.data import split
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.evaluation import holdouts

MOST_ROWS = 20_000
"""Maximum number of rows: more would not change a picture, and a version waits for this."""

MOST_CURVES = 20
"""Maximum number of classes with curves, the most frequent ones."""

MOST_POINTS = 100
BINS = 10
COLUMNS = 20
"""Number of columns of the histogram of residuals."""

LEAST_IN_BIN = 5
"""Minimum number of rows in a bin: of fewer, the mean says little, and a bin would show single rows."""

Vector = NDArray[np.float64]


def of(answers: Matrix, data: Data, scores: Scores, costs: Costs | None) -> tuple[Evaluation, JudgedRows]:
    """The details for the rows of the rolling holdout that have the smallest keys.

    `answers`: those of the judged model for all held-out rows, (m, classes) or (m, 1).
    """
    world = scores.get("world")
    if world:
        data = data.moved(Era(world["since"], world["until"]))
    part = holdouts.judging_parts(data)["rolling"]
    units, truth = data.copies[data.held][part], data.judging[1][part]
    keys = splitmix(together(units, _target_prints(truth, data.schema)))
    order = np.argsort(keys, kind="stable")[:MOST_ROWS]
    places = np.flatnonzero(part)[order]
    rows, truth, answers = data.judging[0][places], truth[order], answers[places]
    evaluation: Evaluation = {"n": len(order), "total": int(part.sum())}
    if len(rows) and data.schema.task == "regression":
        evaluation["residuals"] = _residuals(answers[:, 0], truth)
    elif len(rows):
        evaluation = {**evaluation, **_classes(answers, truth, data.schema, costs)}
    return evaluation, _judged(keys[order], rows, truth, answers, data.schema, costs)


def _target_prints(truth: Targets, schema: Schema) -> Prints:
    """Hashes of targets (n,): of the class's name, because later schemas may number classes otherwise."""
    if schema.task == "regression":
        return split.as_prints(truth)
    names = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) for name in schema.classes]
    return np.array(names, dtype=np.uint64)[truth]


def _judged(
    keys: Prints, rows: Matrix, truth: Targets, answers: Matrix, schema: Schema, costs: Costs | None
) -> JudgedRows:
    most, width = judged_rows.MOST, len(schema.features)
    answers = answers[:most]
    predicted = answers[:, 0] if schema.task == "regression" else named(answers, costs).astype(np.float64)
    sure = np.full(len(predicted), np.nan) if schema.task == "regression" else _confidence(answers, predicted)
    shown = max(1, min(judged_rows.MOST_ROWS, judged_rows.MOST_CELLS // max(1, width)))
    features = rows[:shown, :width].astype(np.float32)
    return JudgedRows(keys[:most], truth[:most].astype(np.float64), predicted, sure, features)


def _confidence(answers: Matrix, codes: Vector) -> Vector:
    return np.asarray(answers[np.arange(len(answers)), codes.astype(np.int64)], dtype=np.float64)


def _classes(answers: Matrix, truth: Targets, schema: Schema, costs: Costs | None) -> ClassDetails:
    codes = named(answers, costs)
    support = np.bincount(truth, minlength=len(schema.classes))
    # Of two classes, the rarer one is usually the one that people look for; the other's ROC curve is the same.
    possible = [int(np.argmin(support))] if len(schema.classes) == 2 else list(range(len(schema.classes)))
    shown = [code for code in possible if 0 < support[code] < len(truth)]
    chosen = sorted(sorted(shown, key=lambda code: -support[code])[:MOST_CURVES])
    curves = [_curves(answers[:, code], truth == code, schema.classes[code]) for code in chosen]
    sure = _confidence(answers, codes.astype(np.float64))
    return {"classes": len(shown), "curves": curves, "calibration": calibration(sure, codes == truth)}


def calibration(confidence: Vector, right: NDArray[np.bool_]) -> Calibration:
    """Confidence (n,) of answers against whether they are right, (n,), in bins of equal size."""
    bins: list[ConfidenceBin] = [
        {"n": len(rows), "confidence": float(confidence[rows].mean()), "right": float(right[rows].mean())}
        for rows in _bins(confidence)
    ]
    distance = sum(each["n"] * abs(each["confidence"] - each["right"]) for each in bins)
    return {"ece": distance / len(right), "bins": bins}


def _bins(values: Vector) -> list[NDArray[np.int64]]:
    """Positions of values (n,) in bins of nearly equal size, the smallest values first."""
    count = max(1, min(BINS, len(values) // LEAST_IN_BIN))
    return np.array_split(np.argsort(values, kind="stable"), count)


def _curves(scores: Vector, positive: NDArray[np.bool_], name: str) -> ClassCurves:
    """The curves of one class: probabilities (n,), and whether a row is of the class, (n,)."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # the last row of each probability
    hits = np.cumsum(positive[order])[last]
    rows, count = last + 1.0, float(positive.sum())
    recall, false_positives = hits / count, (rows - hits) / (len(order) - count)
    precision = hits / rows
    return {
        "name": name,
        "n": int(count),
        "roc": _thinned(np.append(0.0, false_positives), np.append(0.0, recall)),
        "roc_auc": float(np.trapezoid(np.append(0.0, recall), np.append(0.0, false_positives))),
        "precision_recall": _thinned(recall, precision),
        "average_precision": float((np.diff(np.append(0.0, recall)) * precision).sum()),
    }


def _thinned(x: Vector, y: Vector) -> list[Point]:
    """At most MOST_POINTS points of a line, at about equal distances along it, with both ends."""
    if len(x) > MOST_POINTS:
        way = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
        places = np.searchsorted(way, np.linspace(0.0, way[-1], MOST_POINTS - 1))
        kept = np.unique(np.append(places, len(x) - 1))
        x, y = x[kept], y[kept]
    return [(round(float(a), 4), round(float(b), 4)) for a, b in zip(x, y, strict=True)]


def _residuals(values: Vector, truth: Vector) -> Residuals:
    with np.errstate(over="ignore", invalid="ignore"):
        off = values - truth
        low, high = np.quantile(off, [0.005, 0.995])
        edges = np.linspace(low, high, COLUMNS + 1) if high > low else np.array([low - 0.5, low + 0.5])
        counts, _ = np.histogram(np.clip(off, edges[0], edges[-1]), edges)
    bins = [_residual_bin(values[rows], truth[rows], off[rows]) for rows in _bins(values)]
    return {"edges": edges.tolist(), "counts": counts.tolist(), "bins": bins}


def _residual_bin(values: Vector, truth: Vector, off: Vector) -> ResidualBin:
    low, middle, high = np.quantile(off, [0.1, 0.5, 0.9]).tolist()
    return {
        "n": len(values),
        "answer": float(values.mean()),
        "truth": float(truth.mean()),
        "low": low,
        "middle": middle,
        "high": high,
    }
