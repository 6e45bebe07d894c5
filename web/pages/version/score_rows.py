"""The scores of a version for people: each with its interval, the number of rows, and which rows they are."""

from collections.abc import Iterator
from typing import TypedDict

from retraind.daemon.schema import score_caveats, score_names
from retraind.daemon.schema.score_names import TITLES
from retraind.daemon.schema.scores import HOLDOUTS, Holdout, Metric, Pair, Score, Scores
from retraind.web.dashboard.quality import wilson

ROWS: dict[Holdout, str] = {"rolling": "all held-out rows", "reference": "held-out rows of the reference"}

SHOWN: dict[str, tuple[Metric, ...]] = {
    "accuracy": ("accuracy", "balanced_accuracy", "log_loss", "roc_auc", "cost"),
    "r2": ("r2", "rmse", "mae"),
}
"""The figures of each task."""


class Figure(TypedDict):
    """One figure of a score; without bounds its interval is unknown."""

    title: str
    text: str
    low: str
    high: str
    judges: bool
    """Whether the gate judges by it."""


class ScoreRow(TypedDict):
    """One model on some rows."""

    model: str
    rows: str
    n: int
    figures: list[Figure]


def rows(version: int, scores: Scores, live: Score | None) -> list[ScoreRow]:
    """The version on each holdout, the models that it was compared with on the same rows, and its late labels."""
    measured = list(_measured(version, scores))
    if live and live.get("n"):
        measured.append((f"v{version}", "late labels: true values of its own predictions", live))
    metrics = _metrics([score for _, _, score in measured])
    return [
        {"model": model, "rows": rows, "n": score["n"], "figures": [_figure(metric, score) for metric in metrics]}
        for model, rows, score in measured
    ]


def own(version: int, scores: Scores, live: Score | None) -> list[ScoreRow]:
    """The version alone, on each holdout and on its late labels."""
    return [row for row in rows(version, scores, live) if row["model"] == f"v{version}"]


def _measured(version: int, scores: Scores) -> Iterator[tuple[str, str, Score]]:
    champion, before = scores.get("champion"), scores.get("champion_version")
    for holdout in HOLDOUTS[::-1]:
        if score := (scores.get("challenger") or {}).get(holdout):
            yield f"v{version}", ROWS[holdout], score
    fair = scores.get("fair")
    for holdout in HOLDOUTS[::-1]:
        if fair and (score := fair.get(holdout)):
            yield f"v{version}", f"{ROWS[holdout]} that did not train v{before} either", score
    for holdout in HOLDOUTS[::-1]:
        if champion and (score := champion.get(holdout)):
            which = f"{ROWS[holdout]} that did not train v{before} either" if fair else ROWS[holdout]
            yield f"v{before}, which served then", which, score
    if dummy := score_caveats.rolling_dummy(scores):
        yield f"always answering {score_caveats.dummy_answer(dummy)}", ROWS["rolling"], dummy


def _metrics(scores: list[Score]) -> list[Metric]:
    """The figures that any of the scores has."""
    if not scores:
        return []
    shown = SHOWN[score_names.deciding(scores[0])]
    return [metric for metric in shown if any(score.get(metric) is not None for score in scores)]


def _figure(metric: Metric, score: Score) -> Figure:
    value = score.get(metric) if score["n"] else None
    low, high = _bounds(metric, score, value)
    judges = score_names.metric(score) == metric
    return {"title": TITLES[metric], "text": text(metric, value), "low": low, "high": high, "judges": judges}


def _bounds(metric: Metric, score: Score, value: float | None) -> tuple[str, str]:
    if metric != "accuracy" or value is None:
        return "", ""
    low, high = score.get("interval") or wilson(value, score["n"])
    return text(metric, low), text(metric, high)


def text(metric: Metric, value: float | None) -> str:
    """A value with a sensible number of digits; a dash for None."""
    if value is None:
        return "–"
    return score_names.plain(value) if metric in score_names.UNITS else f"{value:.3f}"


def evidence(scores: Scores, version: int) -> str:
    """A sentence on the paired test against the version that served then; empty without one."""
    pair = ((scores.get("paired") or {}).get("holdout") or {}).get("rolling")
    before = scores.get("champion_version")
    if not pair or not pair["n"]:
        return ""
    start = f"On the same {score_names.counted(pair['n'], 'row')}"
    return f"{start}, {_wins(pair, version, before)}."


def _wins(pair: Pair, version: int, before: int | None) -> str:
    if "only_challenger" in pair:
        return (
            f"only v{version} is right on {pair['only_challenger']:,} and only v{before} on {pair['only_champion']:,} "
            f"(McNemar, p = {pair['p']:.2g})"
        )
    difference = score_names.plain(pair.get("difference"), 3, sign=True)
    low, high = (score_names.plain(pair.get(end), 3, sign=True) for end in ("low", "high"))  # type: ignore[arg-type]
    return f"the RMSE of v{version} differs from that of v{before} by {difference} (95 % interval {low} to {high})"
