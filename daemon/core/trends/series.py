"""The series of charts: numbers for people from the figures of a span; None where nothing was counted or measured.

A gap is not zero: without a watching daemon, or without a running worker, a span has no requests and no errors either.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from retraind.daemon.core.trends import latency, sketch
from retraind.daemon.core.trends.figures import CONFIDENCE, DRIFT, LATENCY, TWENTIETHS, Figures, Gauge, Sum

Values = dict[str, float | None]


class Series(StrEnum):
    """Groups of series."""

    REQUESTS = "requests"
    LATENCY = "latency"
    PREDICTIONS = "predictions"
    CONFIDENCE = "confidence"
    VALUES = "values"
    LIVE = "live"
    HELD_OUT = "held_out"
    EXAM = "exam"
    DRIFT = "drift"
    ROWS = "rows"
    BACKLOG = "backlog"
    MEMORY = "memory"
    WORKERS = "workers"


def values(figures: Figures, group: Series) -> Values:
    """The numbers of one group by name."""
    return _GROUPS[group](figures)


def watched(figures: Figures) -> float:
    """Seconds over which the HTTP workers were watched."""
    return figures["sums"].get(Sum.WATCHED, 0) / 1000


def served(figures: Figures) -> bool:
    """Whether it is known how many requests came: a worker ran and was watched, or requests were counted."""
    return figures["sums"].get(Sum.SERVED, 0) > 0 or any(by_name(figures, Sum.REQUESTS).values())


def by_name(figures: Figures, prefix: str) -> dict[str, int]:
    """The counts whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): count for name, count in figures["sums"].items() if name.startswith(prefix)}


def failed(figures: Figures) -> dict[str, int]:
    """Prediction requests that failed, by status code; before the first model 503 is no failure."""
    codes = {code: number for code, number in by_name(figures, Sum.PREDICTING).items() if int(code) >= 400}
    if early := figures["sums"].get(Sum.EARLY, 0):
        codes["503"] = max(0, codes.get("503", 0) - early)
    return {code: number for code, number in codes.items() if number}


def _requests(figures: Figures) -> Values:
    names = ("count", "per_minute", "errors", "before_first_model", "other", "other_errors", "lost")
    if not served(figures):
        return dict.fromkeys(names, None)
    every, predicting, checked = (by_name(figures, prefix) for prefix in (Sum.REQUESTS, Sum.PREDICTING, Sum.CHECKED))
    other = {code: count - predicting.get(code, 0) - checked.get(code, 0) for code, count in every.items()}
    count, seconds = sum(predicting.values()), watched(figures)
    per_minute = count / seconds * 60 if seconds else None
    errors = failed(figures)
    return {
        "count": count,
        "per_minute": per_minute,
        "errors": sum(errors.values()),
        "before_first_model": figures["sums"].get(Sum.EARLY, 0),
        "other": max(0, sum(other.values())),
        "other_errors": max(0, sum(number for code, number in other.items() if int(code) >= 400)),
        "lost": figures["sums"].get(Sum.LOST, 0),
        **{f"status_{code}": number for code, number in sorted(errors.items())},
    }


def _latency(figures: Figures) -> Values:
    named = figures["histograms"].get(LATENCY, {})
    counts, n = latency.counts(named), sum(named.values())
    quantiles = {f"p{share}_ms": latency.quantile(counts, share / 100) for share in (50, 95, 99)}
    numbers: Values = {name: None if value is None else round(value * 1000, 3) for name, value in quantiles.items()}
    return numbers | {"mean_ms": figures["sums"].get(Sum.DURATION, 0) / n / 1000 if n else None}


def _predictions(figures: Figures) -> Values:
    classes, numbers = by_name(figures, Sum.CLASS), figures["sums"].get(Sum.VALUES, 0)
    count = sum(classes.values()) + numbers
    if not count and not served(figures):
        return {"count": None}
    return {"count": count, **{f"class.{name}": number for name, number in classes.items()}}


def _confidence(figures: Figures) -> Values:
    shares = figures["histograms"].get(CONFIDENCE, {})
    n = sum(shares.values())
    if not n:
        return dict.fromkeys(("mean", "p10", "p50"), None)
    counts = [shares.get(str(part), 0) for part in range(TWENTIETHS)]
    mean = figures["sums"].get(Sum.CONFIDENCE, 0) / 1e6 / n
    return {"mean": mean, "p10": _share(counts, 0.1), "p50": _share(counts, 0.5)}


def _share(counts: list[int], share: float) -> float:
    """A quantile of equal parts from 0 to 1."""
    rank, seen = share * sum(counts), 0
    for part, count in enumerate(counts):
        if count and seen + count >= rank:
            return (part + (rank - seen) / count) / len(counts)
        seen += count
    return 1.0


def _values(figures: Figures) -> Values:
    every = figures["values"]
    names = ("p10", "p50", "p90", "mean", "least", "most")
    if every is None:
        return dict.fromkeys(names, None)
    quantiles = [sketch.quantile(every, share) for share in (0.1, 0.5, 0.9)]
    return dict(zip(names, [*quantiles, every["sum"] / every["n"], every["least"], every["most"]], strict=True))


def _mean(gauge: Gauge) -> float:
    return gauge["sum"] / gauge["n"]


def _last(gauge: Gauge) -> float:
    return gauge["last"]


def _most(gauge: Gauge) -> float:
    return gauge["most"]


def _least(gauge: Gauge) -> float:
    return gauge["least"]


def _gauges(names: Mapping[str, tuple[str, Callable[[Gauge], float]]]) -> Callable[[Figures], Values]:
    """Series by name, each from a gauge and what of it is shown."""

    def group(figures: Figures) -> Values:
        gauges = figures["gauges"]
        return {name: read(gauges[gauge]) if gauge in gauges else None for name, (gauge, read) in names.items()}

    return group


def _drift(figures: Figures) -> Values:
    gauges = figures["gauges"]
    features = {
        f"feature.{name.removeprefix(DRIFT)}": _most(gauge) for name, gauge in gauges.items() if name.startswith(DRIFT)
    }
    share = gauges.get("drifted_share")
    return {"drifted_share": None if share is None else _most(share), **features}


def _rows(figures: Figures) -> Values:
    sums, gauges = figures["sums"], figures["gauges"]
    drops = by_name(figures, Sum.DROPS)
    # Without a measurement and without a drop it is unknown whether rows came.
    watched_drops = bool(drops) or "rows" in gauges
    none = 0 if watched_drops else None
    return {
        "dataset": _last(gauges["rows"]) if "rows" in gauges else None,
        "pending": _last(gauges["rows_pending"]) if "rows_pending" in gauges else None,
        "accepted": sums.get(Sum.ROWS_ACCEPTED, none),
        "refused": sums.get(Sum.ROWS_REFUSED, none),
        "drops_accepted": drops.get("accepted", none),
        "drops_rejected": drops.get("rejected", none),
    }


_GROUPS: dict[Series, Callable[[Figures], Values]] = {
    Series.REQUESTS: _requests,
    Series.LATENCY: _latency,
    Series.PREDICTIONS: _predictions,
    Series.CONFIDENCE: _confidence,
    Series.VALUES: _values,
    Series.LIVE: _gauges({"score": ("live_score", _last)}),
    Series.HELD_OUT: _gauges({"new": ("held_out.new", _last), "served": ("held_out.served", _last)}),
    # The mean of a span would hide one bad drop among good ones.
    Series.EXAM: _gauges({"error": ("exam_error", _most), "usual": ("exam_usual", _mean)}),
    Series.DRIFT: _drift,
    Series.ROWS: _rows,
    Series.BACKLOG: _gauges(
        {"files": ("backlog_files", _most), "bytes": ("backlog_bytes", _most), "free_bytes": ("free_bytes", _least)}
    ),
    Series.MEMORY: _gauges({role: (f"memory.{role}", _most) for role in ("daemon", "workers", "trainer")}),
    Series.WORKERS: _gauges({"least": ("workers", _least)}),
}


def columns(points: Iterable[Figures | None], groups: Iterable[Series]) -> dict[str, list[float | None]]:
    """The series of many spans by `group.name`, in the order of the groups; None for spans without figures."""
    every = list(points)
    table: dict[str, list[float | None]] = {}
    for group in groups:
        rows = [values(figures, group) if figures is not None else {} for figures in every]
        names = dict.fromkeys(name for row in rows for name in row)
        _complete(rows, names, every)
        table |= {f"{group}.{name}": [row.get(name) for row in rows] for name in sorted(names, key=_order)}
    return table


def _complete(rows: list[Values], names: Iterable[str], points: list[Figures | None]) -> None:
    """A class or an error that did not occur in a span with requests occurred zero times."""
    for row, figures in zip(rows, points, strict=True):
        if figures is not None and row.get("count") is not None:
            for name in names:
                if name.startswith(("class.", "status_")):
                    row.setdefault(name, 0)


def _order(name: str) -> tuple[bool, str]:
    """The fixed names first, in their own order, then those of users, by the alphabet."""
    return ("." in name or name.startswith("status_"), name if "." in name or name.startswith("status_") else "")
