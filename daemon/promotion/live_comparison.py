"""Live comparisons: a version's deciding metric on late labels, and whether two versions surely differ.

Pure functions. Rows have `truth` and `prediction`: names of classes, or numbers.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.records import live_score
from retraind.daemon.records.late_labels import Outcome
from retraind.daemon.schema import counted_costs, score_names
from retraind.daemon.schema.scores import Score, Table

RESAMPLES = 1000
"""Bootstrap resamples of the interval of R²."""

INTERVAL, SUREST = 97.5, 99.87
"""Percentiles: the upper end of a 95 % interval, and of three standard errors, for an R² without a paired one."""

Figure = Literal["accuracy", "balanced_accuracy", "cost", "r2"]
"""The figures that late labels can measure. Higher is better for all, so costs enter as the share saved
(`retraind.daemon.schema.costs`)."""


@dataclass(frozen=True)
class Measured:
    """The figure of n labels, and the upper end of its 95 % interval: Wilson, or percentile bootstrap for R²."""

    value: float
    upper: float
    n: int
    error: float = 0.0
    """The standard error; only for classes."""


def title(figure: Figure) -> str:
    """Its name for people."""
    return "share of the cost saved" if figure == "cost" else score_names.TITLES[figure]


def scored(
    score: Score | None, figure: Figure, rows: Sequence[Outcome], table: Table | None
) -> tuple[float, float] | None:
    """The figure in a score, and its standard error; balanced accuracy is over the classes in the rows."""
    usual = score_names.value(score)
    if score is None or usual is None:
        return None
    if figure == "cost":
        return _saved(score, table)
    if figure != "balanced_accuracy":
        return usual, math.sqrt(max(usual * (1 - usual), 0.0) / score["n"])
    seen = {row["truth"] for row in rows} & score["recall"].keys()
    shares = [(score["recall"][name], score["support"][name]) for name in seen]
    return _mean(shares) if shares else None


def _saved(score: Score, table: Table | None) -> tuple[float, float] | None:
    """The share of the cost saved, in a live score or in one on held-out rows."""
    if "cost_saved" in score:
        return score["cost_saved"], score["cost_error"]
    if "confusion" not in score:
        return None
    names = list(score["support"])
    pairs = {(names[i], names[j]): n for i, row in enumerate(score["confusion"]) for j, n in enumerate(row)}
    return counted_costs.saved(pairs, table or {})[1]


def _mean(shares: list[tuple[float, int]]) -> tuple[float, float]:
    """The mean of shares with their numbers of rows, and its standard error."""
    variance = sum(share * (1 - share) / n for share, n in shares)
    return sum(share for share, _ in shares) / len(shares), math.sqrt(variance) / len(shares)


def measure(
    rows: Sequence[Outcome], figure: Figure, percentile: float = INTERVAL, table: Table | None = None
) -> Measured | None:
    """The live figure of rows; None without rows, or if R² is undefined or not a number.

    `percentile` of the resamples is the upper end for R²; `table` are the costs for `cost`.
    """
    if not rows:
        return None
    if figure == "cost":
        _, share = counted_costs.saved(Counter((row["truth"], row["prediction"]) for row in rows), table or {})
        return None if share is None else Measured(share[0], share[0] + live_score.Z * share[1], len(rows), share[1])
    if figure == "accuracy":
        return _shares(rows, [sum(row["truth"] == row["prediction"] for row in rows)], [len(rows)])
    if figure == "balanced_accuracy":
        support = Counter(row["truth"] for row in rows)
        right = Counter(row["truth"] for row in rows if row["truth"] == row["prediction"])
        return _shares(rows, [right[name] for name in support], list(support.values()))
    truth, predicted = (np.array([float(row[name]) for row in rows]) for name in ("truth", "prediction"))
    if truth.min() == truth.max():
        return None
    drawn = np.random.default_rng(0).integers(len(rows), size=(RESAMPLES, len(rows)))
    value, resampled = float(_r2(truth[None], predicted[None])[0]), _r2(truth[drawn], predicted[drawn])
    if not math.isfinite(value):
        return None
    return Measured(value, float(np.percentile(resampled[np.isfinite(resampled)], percentile)), len(rows))


def _shares(rows: Sequence[Outcome], hits: list[int], of: list[int]) -> Measured:
    """The mean of shares; its interval is combined from theirs (MOVER: Zou and Donner, 2008)."""
    shares = [(hit / n, n) for hit, n in zip(hits, of, strict=True)]
    value, error = _mean(shares)
    reach = [live_score.wilson(hit, n)[1] - hit / n for hit, n in zip(hits, of, strict=True)]
    return Measured(value, value + math.hypot(*reach) / len(reach), len(rows), error)


def _r2(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """R² of each row of (resamples, n); -inf if all its truths are equal, NaN if squares overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        spread = truth.var(axis=1)
        wrong = ((predicted - truth) ** 2).mean(axis=1)
        return np.where(spread > 0, 1 - wrong / np.where(spread > 0, spread, 1.0), -np.inf)


def standard_errors(
    now: Sequence[Outcome], before: Sequence[Outcome], figure: Figure, table: Table | None = None
) -> float:
    """The number of standard errors by which the answers `now` are worse than `before` on the same rows; 0 if unknown."""
    with np.errstate(over="ignore", invalid="ignore"):
        worse = _losses(now, figure, table) - _losses(before, figure, table)
        mean, error = float(worse.mean()), float(worse.std()) / math.sqrt(len(worse))
    if not math.isfinite(mean):
        return 0.0
    return mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0


def _losses(rows: Sequence[Outcome], figure: Figure, table: Table | None) -> NDArray[np.float64]:
    """The loss of each row: 0 or 1 (right or wrong), for balanced accuracy weighted so that classes count equally.

    Its cost; or the squared error.
    """
    if figure == "cost":
        return np.array([counted_costs.price(row["truth"], row["prediction"], table or {}) for row in rows])
    if figure != "r2":
        wrong = np.array([float(row["truth"] != row["prediction"]) for row in rows])
        if figure == "accuracy":
            return wrong
        support = Counter(row["truth"] for row in rows)
        return np.asarray(wrong * [len(rows) / len(support) / support[row["truth"]] for row in rows])
    truth, predicted = (np.array([float(row[name]) for row in rows]) for name in ("truth", "prediction"))
    return np.asarray((truth - predicted) ** 2)
