"""The live score of a version: its answers compared with their late labels.

Shared with `web`. Like every score it has `n` rows. Classification has `accuracy`, its Wilson 95 % `interval` (low,
high), `recall` and `support` by class. Regression has `rmse`, `mae` and `r2` (None if all truths are equal, or one is
too large to be squared). With costs, `cost` is their mean, `cost_saved` the saved share of the best constant answer's
cost, and `cost_error` the standard error of that share. Only the newest labels count, so that the score always takes
the same time.
"""

import math
from pathlib import Path
from typing import TypedDict

from retraind.daemon.records.dialect import ARRIVAL
from retraind.daemon.records.late_labels import Outcome
from retraind.daemon.records.query import first, typed
from retraind.daemon.schema import counted_costs
from retraind.daemon.schema.schema import Task
from retraind.daemon.schema.scores import HOLDOUTS, Score, Scores, Table

LABELS = 10_000
"""Number of a version's newest labels in its score."""

Z = 1.959964
"""Two-sided 95 % of the normal distribution."""

NEWEST = f"SELECT truth, prediction FROM labels WHERE version = ? ORDER BY batch DESC, {ARRIVAL} DESC LIMIT ?"

PAIRS = f"SELECT truth, prediction, COUNT(*) AS n FROM ({NEWEST}) AS newest GROUP BY truth, prediction"

ERRORS = f"""
WITH newest AS (SELECT CAST(truth AS REAL) AS truth, CAST(prediction AS REAL) AS told FROM ({NEWEST}) AS labelled),
     middle AS (SELECT AVG(truth) AS mean FROM newest)
SELECT COUNT(*) AS n, AVG((told - truth) * (told - truth)) AS square, AVG(ABS(told - truth)) AS absolute,
       AVG((truth - mean) * (truth - mean)) AS spread, MAX(truth) > MIN(truth) AS varied
FROM newest, middle"""


class _Counted(Outcome):
    n: int


class _Errors(TypedDict):
    n: int
    square: float | None
    absolute: float | None
    spread: float | None
    varied: int


def of(journal: Path, version: int, scores: Scores) -> Score | None:
    """The live score of a version with these scores; None before its first label."""
    return score(journal, version, task_of(scores), costs_of(scores))


def score(journal: Path, version: int, task: Task, table: Table | None = None) -> Score | None:
    """The live score with these costs of answers."""
    if task == "regression":
        errors = first(_Errors, journal, ERRORS, version, LABELS)
        return _regression(errors) if errors and errors["n"] else None
    pairs = typed(_Counted, journal, PAIRS, version, LABELS)
    return _classification(pairs, table) if pairs else None


def task_of(scores: Scores) -> Task:
    """The task of a judged version, derived from the figures in its `scores`."""
    held_out = scores.get("challenger") or {}
    return "regression" if any("r2" in (held_out.get(name) or {}) for name in HOLDOUTS) else "classification"


def costs_of(scores: Scores) -> Table | None:
    """The costs by which a judged version decides and was judged; None without costs."""
    rolling = (scores.get("challenger") or {}).get("rolling")
    return rolling.get("costs") if rolling else None


def _classification(pairs: list[_Counted], table: Table | None) -> Score:
    """The score from the counts of each pair of truth and answer."""
    support: dict[str, int] = {}
    right: dict[str, int] = {}
    for pair in pairs:
        support[pair["truth"]] = support.get(pair["truth"], 0) + pair["n"]
        if pair["truth"] == pair["prediction"]:
            right[pair["truth"]] = pair["n"]
    n, hits = sum(support.values()), sum(right.values())
    recall = {name: right.get(name, 0) / seen for name, seen in support.items()}
    score: Score = {"n": n, "accuracy": hits / n, "interval": wilson(hits, n), "recall": recall, "support": support}
    if table:
        counts = {(pair["truth"], pair["prediction"]): pair["n"] for pair in pairs}
        score["cost"], share = counted_costs.saved(counts, table)
        if share is not None:
            score["cost_saved"], score["cost_error"] = share
    return score


def _regression(sums: _Errors) -> Score:
    # SQLite returns null for NaN.
    square, spread = (math.inf if moment is None else moment for moment in (sums["square"], sums["spread"]))
    measured = math.isfinite(square)
    r2 = 1 - square / spread if measured and sums["varied"] and 0 < spread < math.inf else None
    return {"n": sums["n"], "r2": r2, "rmse": math.sqrt(square) if measured else None, "mae": sums["absolute"]}


def wilson(hits: int, n: int, z: float = Z) -> tuple[float, float]:
    """The interval of a share, from `hits` among `n` > 0 (Wilson, 1927), of 95 % by default; `z` in standard errors."""
    share, weight = hits / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    reach = z * math.sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    return max(0.0, middle - reach), min(1.0, middle + reach)
