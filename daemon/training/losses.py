"""Losses: the loss of each answer by the judging metric, and the certainty of a difference of two models.

Pure functions. A loss is (n,) numbers, lower is better. Its mean is 1 minus the metric, or the metric itself if lower
is better. So two models are compared row by row on the same rows, whatever metric judges them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, ndtr

from retraind.daemon.schema.costs import Costs, named
from retraind.daemon.schema.scores import Loss, Metric

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Truth = NDArray[Any]

LEAST_PROBABILITY = 1e-15

TAIL_ROWS, TAIL_SHARE = 0.01, 0.5
"""Tails are heavy if this share of the rows makes up that share of the variance of the differences."""


@dataclass(frozen=True)
class Difference:
    """How much worse the first of two models is on n rows.

    `loss` is the mean difference of the losses, negative if it is better; `p` is the probability that two equal models
    differ at least as much in that direction. `robust`: the tails were heavy, so absolute errors were compared.
    """

    n: int
    loss: float
    p: float
    robust: bool = False
    error: float = 0.0
    """The standard error of `loss`."""

    def facts(self) -> Loss:
        """Its entry in a manifest's scores."""
        return {"n": self.n, "loss": self.loss, "p": self.p, "error": self.error, "robust": self.robust}


def within_error(losses: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one loss exceeds the other by at most one standard error of their mean difference on the same folds.

    Never on a single fold.
    """
    n = min(len(losses), len(other))
    if n < 2:
        return False
    apart = np.subtract(losses[:n], other[:n])
    return bool(apart.mean() <= apart.std(ddof=1) / math.sqrt(n) + 1e-9)


def of(answers: Matrix, truth: Truth, metric: Metric, costs: Costs | None = None) -> Vector:
    """The losses (n,) of answers, (n, classes) probabilities or (n, 1) values, against the truth (n,) by a metric.

    `costs` decide which class is the answer; by the metric `cost` the loss is a share of the best constant answer's
    cost.
    """
    if len(truth) == 0:
        return np.zeros(0)
    if metric in ("r2", "rmse", "mae"):
        return _of_values(answers[:, 0], truth, metric)
    codes = truth.astype(np.int64)
    if metric == "log_loss":
        kept = np.clip(answers, LEAST_PROBABILITY, None)
        return np.asarray(-np.log(kept[np.arange(len(codes)), codes] / kept.sum(axis=1)))
    if metric == "roc_auc":
        return _ranked(answers, codes)
    predicted = named(answers, costs)
    if metric == "cost" and costs is not None:
        return np.asarray(costs.paid(codes, predicted) / costs.always(np.bincount(codes)))
    wrong = (predicted != codes).astype(np.float64)
    if metric == "balanced_accuracy":
        counts = np.bincount(codes)
        return np.asarray(wrong * len(codes) / (counts[codes] * (counts > 0).sum()))
    return np.asarray(wrong)


def _of_values(values: Vector, truth: Truth, metric: Metric) -> Vector:
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = np.abs(values - truth)
        if metric == "mae":
            return np.asarray(wrong / _scale(np.abs(truth - np.median(truth))))
        return np.asarray(wrong**2 / _scale((truth - truth.mean()) ** 2))


def _scale(spread: Vector) -> float:
    """The unit of errors: the mean spread of the truth; 1 if all true values are equal."""
    mean = float(spread.mean())
    return mean if mean > 0 and math.isfinite(mean) else 1.0


def _ranked(proba: Matrix, codes: Truth) -> Vector:
    """Losses with the mean 1 minus the area under the curve, by placements (DeLong et al., 1988); mean of classes."""
    classes = range(1, 2) if proba.shape[1] == 2 else range(proba.shape[1])
    placements = [_placed(proba[:, code], codes == code) for code in classes if 0 < (codes == code).sum() < len(codes)]
    return np.asarray(np.mean(placements, axis=0)) if placements else np.full(len(codes), 0.5)


def _placed(said: Vector, positive: NDArray[np.bool_]) -> Vector:
    losses = np.empty(len(said))
    for side, sign in ((positive, 1.0), (~positive, -1.0)):
        own, other = sign * said[side], np.sort(sign * said[~side])
        below = (np.searchsorted(other, own, "left") + np.searchsorted(other, own, "right")) / 2
        losses[side] = (1 - below / len(other)) * len(said) / side.sum()
    # Both sides have the same mean. It is subtracted once, so that the sum of the variances is DeLong's.
    return np.asarray(losses - losses[positive].sum() / len(said))


def compare(new: Vector, old: Vector) -> Difference:
    """How much worse `new` is than `old`, losses (n,) of the same rows."""
    with np.errstate(over="ignore", invalid="ignore"):
        worse = new - old
    if len(worse) == 0:
        return Difference(0, 0.0, 1.0)
    if not np.isfinite(worse).all():
        return Difference(
            len(worse), math.inf if np.isfinite(old).all() else 0.0, 0.0 if np.isfinite(old).all() else 1.0
        )
    if set(np.unique(worse)) <= {-1.0, 0.0, 1.0}:
        return Difference(
            len(worse), float(worse.mean()), _exact(int((worse > 0).sum()), int((worse < 0).sum())), error=_error(worse)
        )
    return Difference(len(worse), float(worse.mean()), _chance(worse), error=_error(worse))


def by_row(new: Matrix, old: Matrix, truth: Truth, metric: Metric, costs: Costs | None = None) -> Vector:
    """How much worse the answers `new` are than `old` for each row (n,); by absolute errors if tails are heavy."""
    if metric in ("r2", "rmse") and _heavy(new[:, 0], old[:, 0], truth):
        metric = "mae"
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(of(new, truth, metric, costs) - of(old, truth, metric, costs))


def compare_values(new: Vector, old: Vector, truth: Truth, metric: Metric) -> Difference:
    """As `compare`, for two regressions from their values (n,); by absolute errors if tails are heavy, as with `mae`."""
    difference = compare(*(of(values.reshape(-1, 1), truth, metric) for values in (new, old)))
    if metric == "mae" or not _heavy(new, old, truth):
        return difference
    robust = compare(*(of(values.reshape(-1, 1), truth, "mae") for values in (new, old)))
    return Difference(robust.n, robust.loss, robust.p, robust=True, error=robust.error)


def _heavy(new: Vector, old: Vector, truth: Truth) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        worse = np.sort(np.square((new - truth) ** 2 - (old - truth) ** 2))
        whole = worse.sum()
    top = max(1, round(TAIL_ROWS * len(worse)))
    return bool(len(worse) > 1 and (not math.isfinite(whole) or worse[-top:].sum() > TAIL_SHARE * whole > 0))


def _exact(lost: int, won: int) -> float:
    """One-sided McNemar (1947): the probability of at least `lost` heads in lost + won tosses of a fair coin."""
    return float(bdtrc(lost - 1, lost + won, 0.5)) if lost else 1.0


def _error(worse: Vector) -> float:
    return float(worse.std(ddof=1)) / math.sqrt(len(worse)) if len(worse) > 1 else 0.0


def _chance(worse: Vector) -> float:
    error, mean = _error(worse), float(worse.mean())
    if len(worse) == 1:
        return 1.0
    return float(ndtr(-mean / error)) if error > 0 else float(mean <= 0)
