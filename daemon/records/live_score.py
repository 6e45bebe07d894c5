"""The live score of a version: its answers against the late labels that have come for them.

Shared with `web`. Like every score it is a dict with `n` rows: of classification `accuracy`, its Wilson 95 %
`interval` (low, high), `recall` and `support` by class; of regression `rmse`, `mae` and `r2` (None where all truths are equal, or
one is too large to be squared). With costs `cost` is their mean, `cost_saved` what share of the best constant answer's cost is
saved, and `cost_error` the standard error of that.
Only the newest labels count, so that asking costs the same for ever.
"""

import math
from pathlib import Path
from typing import Any

from daemon.records.dialect import ARRIVAL
from daemon.records.query import Row, ask
from daemon.schema import costs
from daemon.schema.costs import Table
from daemon.schema.schema import Task

LABELS = 10_000
"""The newest labels of a version make its score."""

Z = 1.959964
"""Two-sided 95 % of the normal distribution."""

NEWEST = f"SELECT truth, prediction FROM labels WHERE version = ? ORDER BY batch DESC, {ARRIVAL} DESC LIMIT ?"

PAIRS = f"SELECT truth, prediction, COUNT(*) AS n FROM ({NEWEST}) GROUP BY truth, prediction"

ERRORS = f"""
WITH newest AS (SELECT CAST(truth AS REAL) AS truth, CAST(prediction AS REAL) AS told FROM ({NEWEST})),
     middle AS (SELECT AVG(truth) AS mean FROM newest)
SELECT COUNT(*) AS n, AVG((told - truth) * (told - truth)) AS square, AVG(ABS(told - truth)) AS absolute,
       AVG((truth - mean) * (truth - mean)) AS spread, MAX(truth) > MIN(truth) AS varied
FROM newest, middle"""


def of(journal: Path, version: int, scores: dict[str, Any]) -> dict[str, Any] | None:
    """The live score of a version with these scores; None before its first label."""
    return score(journal, version, task_of(scores), costs_of(scores))


def score(journal: Path, version: int, task: Task, table: Table | None = None) -> dict[str, Any] | None:
    """The same with these costs of answers."""
    if task == "regression":
        rows = ask(journal, ERRORS, version, LABELS)
        return _regression(rows[0]) if rows and rows[0]["n"] else None
    pairs = ask(journal, PAIRS, version, LABELS)
    return _classification(pairs) | _priced(pairs, table) if pairs else None


def task_of(scores: dict[str, Any]) -> Task:
    """The task of a judged version, told by the figures in its `scores`."""
    held_out = scores.get("challenger", {}).values()
    return (
        "regression" if any(isinstance(figures, dict) and "r2" in figures for figures in held_out) else "classification"
    )


def costs_of(scores: dict[str, Any]) -> Table | None:
    """By what costs a judged version decides and was judged; None: by none."""
    table: Table | None = ((scores.get("challenger") or {}).get("rolling") or {}).get("costs")
    return table


def _priced(pairs: list[Row], table: Table | None) -> dict[str, Any]:
    if not table:
        return {}
    mean, share = costs.saved({(pair["truth"], pair["prediction"]): pair["n"] for pair in pairs}, table)
    return {"cost": mean} | ({} if share is None else {"cost_saved": share[0], "cost_error": share[1]})


def _classification(pairs: list[Row]) -> dict[str, Any]:
    support: dict[str, int] = {}
    right: dict[str, int] = {}
    for pair in pairs:
        support[pair["truth"]] = support.get(pair["truth"], 0) + pair["n"]
        if pair["truth"] == pair["prediction"]:
            right[pair["truth"]] = pair["n"]
    n, hits = sum(support.values()), sum(right.values())
    recall = {name: right.get(name, 0) / seen for name, seen in support.items()}
    return {"n": n, "accuracy": hits / n, "interval": wilson(hits, n), "recall": recall, "support": support}


def _regression(sums: Row) -> dict[str, Any]:
    # SQLite says null where Python says nan.
    square, spread = (math.inf if sums[name] is None else sums[name] for name in ("square", "spread"))
    measured = math.isfinite(square)
    r2 = 1 - square / spread if measured and sums["varied"] and 0 < spread < math.inf else None
    return {"n": sums["n"], "r2": r2, "rmse": math.sqrt(square) if measured else None, "mae": sums["absolute"]}


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `hits` among `n` > 0 were seen (Wilson, 1927)."""
    share, weight = hits / n, Z * Z / n
    middle = (share + weight / 2) / (1 + weight)
    reach = Z * math.sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    return max(0.0, middle - reach), min(1.0, middle + reach)
