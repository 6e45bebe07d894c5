"""The charts of figures over time: which lines each has, and the numbers of these as texts."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from retraind.daemon.core.trends.series import Series

MOST_LINES = 8
"""Number of classes or features in a chart: those with the largest figures. The others are in the CSV."""

Table = Mapping[str, Sequence[float | None]]
"""Numbers by `group.name`, one for each step."""


class Column(TypedDict):
    """A line of a chart: what it shows, and its numbers as texts, empty where there is none."""

    label: str
    shown: list[str]
    raw: list[str]


class Chart(TypedDict):
    """A chart, drawn from its table."""

    key: str
    title: str
    unit: str
    bars: bool
    floats: bool
    """Whether its scale may begin elsewhere than at zero."""
    sentence: str
    columns: list[Column]
    more: int
    """Number of lines that are left out."""


class Kind(NamedTuple):
    """What a chart shows: group, series with their labels, and the prefix of series of users."""

    key: str
    title: str
    unit: str
    group: Series
    names: dict[str, str]
    prefix: str = ""
    bars: bool = False
    floats: bool = False


CHARTS = (
    Kind("requests", "Prediction requests", "per minute", Series.REQUESTS, {"per_minute": "requests"}),
    Kind(
        "errors",
        "Errors",
        "per step",
        Series.REQUESTS,
        {"errors": "predictions that failed", "other_errors": "other requests that failed", "lost": "not logged"},
        bars=True,
    ),
    Kind("latency", "Latency", "ms", Series.LATENCY, {"p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99"}),
    Kind("predictions", "Predictions", "per step", Series.PREDICTIONS, {}, "class."),
    Kind("values", "Predicted values", "", Series.VALUES, {"p10": "p10", "p50": "median", "p90": "p90"}, floats=True),
    Kind("confidence", "Confidence", "0 to 1", Series.CONFIDENCE, {"mean": "mean", "p10": "p10"}, floats=True),
    Kind("live", "Live score", "accuracy or R²", Series.LIVE, {"score": "served version"}, floats=True),
    Kind(
        "held_out",
        "Held-out score by version",
        "accuracy or R²",
        Series.HELD_OUT,
        {"new": "new version", "served": "served one, same rows"},
        floats=True,
    ),
    Kind("exam", "Exams of drops", "error", Series.EXAM, {"error": "worst drop", "usual": "usual error"}),
    Kind("drift", "Drift by feature", "share of values that moved", Series.DRIFT, {}, "feature."),
    Kind("rows", "Rows of drops", "per step", Series.ROWS, {"accepted": "accepted", "refused": "refused"}, bars=True),
    Kind("backlog", "Backlog", "files in the inbox", Series.BACKLOG, {"files": "files"}),
    Kind(
        "memory",
        "Memory",
        "MB",
        Series.MEMORY,
        {"daemon": "daemon", "workers": "HTTP workers", "trainer": "trainer"},
    ),
)

SCALES = {"memory": 1e-6}
"""Factors of the numbers that are shown."""


def drawn(kind: Kind, table: Table, sentence: str) -> Chart:
    """The chart with the lines that have any figure."""
    names = _names(kind, table)
    lines = {name: label for name, label in names.items() if any(value is not None for value in table[name])}
    shown = dict(list(lines.items())[:MOST_LINES])
    return {
        "key": kind.key,
        "title": kind.title,
        "unit": kind.unit,
        "bars": kind.bars,
        "floats": kind.floats,
        "sentence": sentence,
        "columns": [_column(label, table[name], SCALES.get(kind.key, 1.0)) for name, label in shown.items()],
        "more": len(lines) - len(shown),
    }


def _names(kind: Kind, table: Table) -> dict[str, str]:
    """The names of the series of a chart, with their labels; those of users with the largest figures first."""
    fixed = {f"{kind.group}.{name}": label for name, label in kind.names.items()}
    prefix = f"{kind.group}.{kind.prefix}"
    own = [name for name in table if kind.prefix and name.startswith(prefix)]
    if kind.prefix and not own:
        own = [name for name in (f"{kind.group}.count",) if name in table]
        return fixed | dict.fromkeys(own, "predictions")
    own.sort(key=lambda name: -max((value for value in table[name] if value is not None), default=0.0))
    return {name: label for name, label in fixed.items() if name in table} | {
        name: name.removeprefix(prefix) for name in own
    }


def _column(label: str, values: Sequence[float | None], scale: float) -> Column:
    scaled = [None if value is None else value * scale for value in values]
    raw = ["" if value is None else f"{value:.6g}" for value in scaled]
    return {"label": label, "shown": [number(value) for value in scaled], "raw": raw}


def number(value: float | None) -> str:
    """A number with three digits that count, for people; empty for None."""
    if value is None:
        return ""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"
