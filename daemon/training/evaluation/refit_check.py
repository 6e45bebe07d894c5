"""Refit check: whether the model fitted on all rows is worse than the judged model on the same rows.

The refit was trained on all these rows, so this can't prove it better. But a wrong target or feature in one held-out
row, whose effect no gate has seen, does show: the model bends towards it and away from the others.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from retraind.daemon import model
from retraind.daemon.schema.costs import Costs
from retraind.daemon.schema.scores import Metric
from retraind.daemon.training import losses
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.losses import Matrix, Truth, Vector

ENOUGH = 50
"""Number of reference holdout rows from which on only these, older than every later drop, are compared instead of all
held-out rows."""

MOST_ROWS = 8192
"""Maximum number of compared training rows; of more, this many evenly spaced ones are compared."""

MOST_HELD_ROWS = 200_000
"""Maximum number of compared held-out rows if they are read piece by piece."""

MOST_LOSS = 4.0
"""Maximum loss of a row, for regression an error of two standard deviations. One huge loss would hide all others."""

SURE = 0.05


@dataclass(frozen=True)
class Check:
    """The terms of the check: the metric that judges versions, the allowed loss, and costs of classes."""

    metric: Metric
    tolerance: float
    costs: Costs | None = None


def objection(refit: Any, twin: Any, data: Data, check: Check) -> str:
    """A sentence if `refit` is worse than the judged model `twin`, on held-out rows or `twin`'s training rows.

    Otherwise empty.
    """
    (held, held_truth), (rows, truth) = _held_out(data), _thinned(*data.training)
    new, old = (_of(estimator, held, held_truth, data, check) for estimator in (refit, twin))
    objected = _worse(new, old, check.tolerance, "held-out")
    if objected:
        return objected
    now, before = (_of(estimator, rows, truth, data, check) for estimator in (refit, twin))
    # With more rows, a model fits each of them less closely, by at most half of this if it is not worse on others.
    gap = min(1.0, max(0.0, float(old.mean() - before.mean()))) if len(old) else 0.0
    return _worse(now, before, check.tolerance + gap * _share(data), "training")


def _share(data: Data) -> float:
    return float((data.held & data.recent).sum() / max(1, data.counts[1]))


def _held_out(data: Data) -> tuple[Matrix, Truth]:
    rows, targets = data.judging
    reference = data.reference[data.held]
    enough = reference.sum() >= ENOUGH
    if data.in_pieces:
        places = np.flatnonzero(reference) if enough else np.arange(len(targets))
        places = places[:: -(-len(places) // MOST_HELD_ROWS) or 1]
        return rows[places], targets[places]
    return (rows[reference], targets[reference]) if enough else (rows, targets)


def _thinned(rows: Matrix, targets: Truth) -> tuple[Matrix, Truth]:
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(np.int64))
    return rows[chosen], targets[chosen]


def _of(estimator: Any, rows: Matrix, truth: Truth, data: Data, check: Check) -> Vector:
    """The loss of each answer (n,), bounded if a single row could cost any amount."""
    if len(rows) == 0:
        return np.zeros(0)
    answers = model.answers(estimator, rows, data.schema)
    if data.schema.task == "regression":
        return bounded(answers[:, 0], truth, data.training[1], check.metric)
    loss = losses.of(answers, truth, check.metric, check.costs)
    return np.minimum(loss, MOST_LOSS) if check.metric == "log_loss" else loss


def bounded(values: Vector, truth: Vector, usual: Vector, metric: Metric) -> Vector:
    """Losses (n,) as shares of the spread of the `usual` targets.

    They are squared unless the metric is `mae`, and at most MOST_LOSS each. The usual targets are those of the judged
    model's training, including tails, because the gate has seen their effect on it.
    """
    power = 1 if metric == "mae" else 2
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(np.mean(np.abs(usual - np.median(usual)) ** power)) or 1.0
        return np.asarray(np.minimum(np.abs(values - truth) ** power / spread, MOST_LOSS))


def _worse(new: Vector, old: Vector, allowed: float, which: str) -> str:
    worse = losses.compare(new, old)
    if worse.n == 0 or worse.loss <= max(allowed, 1 / worse.n) + 1e-12 or worse.p >= SURE:
        return ""
    return f"it is {worse.loss:.3f} worse than the judged one on the {which} rows (n = {worse.n:,}, {allowed:.3f} is allowed)"
