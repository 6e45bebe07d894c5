"""Metrics: the scores of answers against the truth.

Answers are float64: (n, classes) probabilities for classification, (n, 1) values for regression. The truth is (n,):
class codes, int64, or numbers, float64. `retraind.daemon.schema.scores` lists the keys.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score

from retraind.daemon.schema.costs import Costs, named
from retraind.daemon.schema.schema import Schema, Task
from retraind.daemon.schema.scores import Metric, NamedMetric, Score

Matrix = NDArray[np.float64]
Truth = NDArray[Any]


class _Errors(NamedTuple):
    n: int
    r2: float | None
    rmse: float
    mae: float


def score(answers: Matrix, truth: Truth, schema: Schema, metric: NamedMetric = "", costs: Costs | None = None) -> Score:
    """All figures of a task; `n` is the number of rows; without rows the others are zero, empty or None.

    A figure of a regression is also None if the squares of its errors overflow. With a `metric` other than the task's
    usual figure, it is named and added. With `costs` the cheapest classes are chosen, and `cost` is the mean cost of a
    row.
    """
    figures = _figures(answers, truth, schema, costs)
    if metric and metric not in figures:
        figures[metric] = measure(metric, answers, truth, schema.task, costs) if len(truth) else None
    if metric:
        figures["metric"] = metric
    return figures


def _figures(answers: Matrix, truth: Truth, schema: Schema, costs: Costs | None) -> Score:
    if schema.task == "regression":
        return _finite(_regression(answers[:, 0], truth))
    figures = _classification(named(answers, costs), answers, truth, schema) if len(truth) else _unmeasured()
    if costs is not None:
        figures["cost"] = measure("cost", answers, truth, schema.task, costs) if len(truth) else None
        figures["costs"] = costs.table
    return figures


METRICS: dict[Task, tuple[Metric, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "log_loss", "roc_auc"),
    "regression": ("r2", "rmse", "mae"),
}
"""Metrics that may choose among candidates, for each task."""


def measure(metric: Metric, answers: Matrix, truth: Truth, task: Task, costs: Costs | None = None) -> float:
    """One metric of METRICS, or `cost`; if it is undefined for these rows (R² of equal values, one class), 0 or 0.5."""
    if task == "regression":
        return _error(metric, _regression(answers[:, 0], truth))
    if metric == "log_loss":
        return _log_loss(truth, answers)
    if metric == "roc_auc":
        return _roc_auc(answers, truth)
    predicted = named(answers, costs)
    if metric == "cost" and costs is not None:
        return float(costs.paid(truth, predicted).mean())
    return float(
        balanced_accuracy_score(truth, predicted) if metric == "balanced_accuracy" else np.mean(predicted == truth)
    )


def dummy_answers(training: Truth, n: int, schema: Schema) -> Matrix:
    """A dummy's answers for n rows: the class shares of the training rows, or the mean of their targets."""
    if schema.task == "regression":
        return np.full((n, 1), float(np.mean(training)))
    shares = np.bincount(training, minlength=len(schema.classes)) / len(training)
    return np.tile(shares, (n, 1))


def _roc_auc(proba: Matrix, codes: Truth) -> float:
    """The area under the curve: of the second of two classes, otherwise the mean over classes against the rest.

    Only classes that some rows have and some have not count.
    """
    one_or_all = range(1, 2) if proba.shape[1] == 2 else range(proba.shape[1])
    mixed = [code for code in one_or_all if 0 < (codes == code).sum() < len(codes)]
    areas = [roc_auc_score(codes == code, proba[:, code]) for code in mixed]
    return float(np.mean(areas)) if areas else 0.5


def pair(answers: Matrix, truth: Truth, task: Task, costs: Costs | None = None) -> tuple[float, float]:
    """The two figures that compare candidates: accuracy and log loss, or R² (0 if undefined) and RMSE."""
    if task == "regression":
        figures = _regression(answers[:, 0], truth)
        return figures.r2 or 0.0, figures.rmse
    return float((named(answers, costs) == truth).mean()), _log_loss(truth, answers)


def _error(metric: Metric, errors: _Errors) -> float:
    """One metric of a regression; an undefined R² is 0."""
    return {"r2": errors.r2 or 0.0, "rmse": errors.rmse, "mae": errors.mae}[metric]


def _finite(errors: _Errors) -> Score:
    """The score of a regression; a figure is None if not finite."""
    r2, rmse, mae = (amount if amount is not None and math.isfinite(amount) else None for amount in errors[1:])
    return {"n": errors.n, "r2": r2, "rmse": rmse, "mae": mae}


def _regression(values: Matrix, truth: Truth) -> _Errors:
    if len(truth) == 0:
        return _Errors(0, None, 0.0, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = values - truth
        # R² compares with always answering the mean; one row, or equal values, have no variance to explain.
        spread = float(((truth - truth.mean()) ** 2).sum()) if np.ptp(truth) > 0 else 0.0
        r2 = 1 - float((wrong**2).sum()) / spread if 0 < spread < math.inf else None
        return _Errors(len(truth), r2, float(np.sqrt((wrong**2).mean())), float(np.abs(wrong).mean()))


def _classification(predicted: Truth, proba: Matrix, codes: Truth, schema: Schema) -> Score:
    table = confusion_matrix(codes, predicted, labels=range(len(schema.classes)))
    support = table.sum(axis=1)
    recall = np.where(support > 0, table.diagonal() / np.maximum(support, 1), np.nan)
    seen = [name for name, n in zip(schema.classes, support, strict=True) if n]
    return {
        "n": len(codes),
        "accuracy": float((predicted == codes).mean()),
        "log_loss": _log_loss(codes, proba),
        "balanced_accuracy": float(np.nanmean(recall)) if seen else 0.0,
        "recall": {name: float(recall[schema.class_codes[name]]) for name in seen},
        "support": {name: int(n) for name, n in zip(schema.classes, support, strict=True)},
        "confusion": table.tolist(),
    }


def _unmeasured() -> Score:
    zero: Score = {"n": 0, "accuracy": 0.0, "log_loss": 0.0, "balanced_accuracy": 0.0}
    return {**zero, "recall": {}, "support": {}, "confusion": []}


def _log_loss(codes: Truth, proba: Matrix) -> float:
    """The log loss of scikit-learn, without the millisecond of its argument checks.

    Raises ValueError for NaN or infinity.
    """
    clipped = np.clip(proba, 1e-15, None)
    sums = clipped.sum(axis=1)
    if not np.isfinite(sums).all():
        raise ValueError("The answers contain NaN or infinity.")
    shares = clipped[np.arange(len(codes)), codes] / sums
    least = np.finfo(np.float64).eps
    return float(-np.log(np.clip(shares, least, 1 - least)).mean())
