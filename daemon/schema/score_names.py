"""The names of scores: the deciding metric of each task, and its names and numbers for people.

Shared with `web`. Scores are those of `retraind.daemon.schema.scores`.
"""

from datetime import UTC, datetime
from typing import Literal

from retraind.daemon.schema.schema import Task
from retraind.daemon.schema.scores import Agreement, Metric, Score, Scored

DECIDES: dict[Task, Metric] = {"classification": "accuracy", "regression": "r2"}
"""The score by which a version is chosen and judged; higher is better, 1 is perfect."""

SETTLES: dict[Task, Metric] = {"classification": "log_loss", "regression": "rmse"}
"""The metric that decides among candidates with equal scores; lower is better."""

TITLES: dict[Metric, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC AUC",
    "r2": "R²",
    "log_loss": "log loss",
    "rmse": "RMSE",
    "mae": "MAE",
    "cost": "mean cost",
}


def day(ms: float) -> str:
    """The day (UTC) of a moment in ms since 1970: `3 March 2026`."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment.day} {moment:%B %Y}"


def counted(n: int, noun: str) -> str:
    """A count with its noun: `1 row`, `2,000 rows`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


BOUND = 1.645
"""Standard errors of a one-sided 95 % bound."""

LOWER: frozenset[Metric] = frozenset({"log_loss", "rmse", "mae", "cost"})
"""Metrics of which lower values are better."""

UNITS: frozenset[Metric] = frozenset({"rmse", "mae", "cost"})
"""Metrics with a unit: the target's, or that of `train.costs`."""


def deciding(score: Score) -> Literal["accuracy", "r2"]:
    """The usual figure of this score's task: `accuracy` or `r2`."""
    return "r2" if "r2" in score else "accuracy"


def metric(score: Score) -> Metric:
    """The metric by which the gate judges this score: `train.metric`, or the usual one."""
    return score.get("metric") or deciding(score)


def judged(score: Score | None) -> float | None:
    """The value by which the gate judges; None if nothing was measured."""
    if not score or not score.get("n"):
        return None
    return score.get(metric(score))


def gain(score: Score, now: float, before: float) -> float:
    """The improvement from `before` to `now`, two values of the gate's metric; negative if worse."""
    return before - now if metric(score) in LOWER else now - before


def with_name(score: Score, amount: float | None) -> str:
    """A value of the metric by which the gate judges, with its name: `accuracy 0.9436`."""
    return f"{TITLES[metric(score)]} {amount_of(score, amount)}"


def amount_of(score: Score, amount: float | None) -> str:
    """The value without the name."""
    if amount is None:
        return "unknown"
    return plain(amount) if metric(score) in UNITS else f"{amount:.4f}"


def floored(score: Score, *, named: bool) -> tuple[Metric, float | None]:
    """The metric of `promote.floor` (0-1, higher is better), and its value.

    It is the gate's metric if `train.metric` names it (`named`), so that `auto` does not change the meaning of a floor,
    and if higher values are better.
    """
    if not named or metric(score) in LOWER:
        return deciding(score), value(score)
    return metric(score), judged(score)


def short(score: Score, amount: float) -> str:
    """A value of the gate's metric with three digits: `0.944`."""
    return plain(amount, 3) if metric(score) in UNITS else f"{amount:.3f}"


def widest(scored: Scored | None) -> Score | None:
    """The score on the rolling holdout, which has more rows, otherwise that on the reference holdout."""
    scores = (scored.get("rolling"), scored.get("reference")) if scored else ()
    return next((score for score in scores if score and score["n"]), None)


def value(score: Score | None) -> float | None:
    """The deciding value; None if nothing was measured (no rows, or too few for R²)."""
    if not score or not score.get("n"):
        return None
    return score.get(deciding(score))


def plain(amount: float | None, digits: int = 4, sign: bool = False) -> str:
    """An amount in the target's unit, rounded to that many digits.

    It is never written as 1.2e+04, because prices are read in full. A dash for None: an error too large to be measured.
    """
    if amount is None:
        return "–"
    plus = "+" if sign else ""
    rounded = float(f"{amount:.{digits}g}")
    whole = 10 ** (digits - 1) <= abs(rounded) < 1e15
    return f"{rounded:{plus},.0f}" if whole else f"{amount:{plus}.{digits}g}"


def agreement(counts: Agreement) -> str:
    """The agreement of a held version with the champion (see `retraind.daemon.records.lineage.agreements`), for people."""
    n = f"{counts['n']:,} answers"
    if not counts["n"]:
        return f"no answer yet, {counts['failed']:,} rows failed"
    if counts["agreed"] is None:
        sentence = f"off by {plain(counts['difference'])} on average of {n}, at most {plain(counts['largest'])}"
    else:
        share = counts["agreed"] / counts["n"]
        # Rounding must not hide the last disagreement.
        shown = f"{share:.2%}" if share == 1 or share < 0.99995 else "99.99%"
        sentence = f"same label for {shown} of {n}"
    return f"{sentence}; {counts['failed']:,} failed" if counts["failed"] else sentence
