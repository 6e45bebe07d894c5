"""Figures of a span of time, and their merge: that of sixty minutes is the hour's.

Counts are whole numbers, so merging is exact in any order. Quantiles are never merged: they are computed from merged
histograms. What is measured now and then (rows, memory, a score) is a gauge, which keeps the mean, the extremes and the last value.
"""

from collections.abc import Iterable, Mapping
from typing import TypedDict

from retraind.daemon.core.trends import sketch
from retraind.daemon.core.trends.sketch import Sketch


class Gauge(TypedDict):
    """What was measured of a quantity in a span of time."""

    n: int
    sum: float
    least: float
    most: float
    last: float
    at: float
    """When `last` was measured, in seconds since 1970."""


class Figures(TypedDict):
    """All figures of a span; a name without an entry was not counted or measured. `Sum` has the names of counts."""

    sums: dict[str, int]
    histograms: dict[str, dict[str, int]]
    """Counts by the upper bound of a bucket."""
    gauges: dict[str, Gauge]
    values: Sketch | None
    """The answers of a regression."""


class Sum:
    """Names of counts; those that end in a point are followed by a name of the user's or a status code."""

    WATCHED = "watched_ms"
    """Milliseconds over which the counters of HTTP workers were watched."""
    SERVED = "served_ms"
    """Milliseconds of these in which a worker ran."""
    REQUESTS = "requests."
    """All requests by status code."""
    PREDICTING = "predicting."
    """Of these, those for predictions."""
    CHECKED = "checked."
    """Of these, those for health; 503 is their answer, not a failure."""
    EARLY = "before_first_model"
    """Prediction requests that got 503 because no version was promoted yet, which is no failure."""
    DURATION = "duration_us"
    LOST = "lost"
    """Predictions that were answered but not logged."""
    CLASS = "class."
    """Logged predictions by class."""
    VALUES = "values"
    """Logged predictions of a number."""
    CONFIDENCE = "confidence_ppm"
    """The sum of confidences in millionths."""
    DROPS = "drops."
    """Drops by their outcome."""
    ROWS_ACCEPTED = "rows_accepted"
    ROWS_REFUSED = "rows_refused"


LATENCY, CONFIDENCE = "latency", "confidence"
"""Names of the histograms: by upper bounds in seconds (`inf` for the rest), and by twentieths."""

TWENTIETHS = 20

DRIFT = "drift."
"""Gauges of the drift of features begin with this."""

OTHERS = "(other)"
"""Name of all classes or features that have none of their own."""


def empty() -> Figures:
    """No figures."""
    return {"sums": {}, "histograms": {}, "gauges": {}, "values": None}


def gauge(value: float, at: float) -> Gauge:
    """One measurement at a time in seconds since 1970."""
    return {"n": 1, "sum": value, "least": value, "most": value, "last": value, "at": at}


def merge(one: Figures, other: Figures) -> Figures:
    """The figures of both spans together."""
    names = one["histograms"].keys() | other["histograms"].keys()
    none: dict[str, int] = {}
    return {
        "sums": added(one["sums"], other["sums"]),
        "histograms": {
            name: added(one["histograms"].get(name, none), other["histograms"].get(name, none)) for name in names
        },
        "gauges": {
            name: _both(one["gauges"].get(name), other["gauges"].get(name))
            for name in one["gauges"].keys() | other["gauges"].keys()
        },
        "values": sketch.merge(one["values"], other["values"]),
    }


def total(parts: Iterable[Figures]) -> Figures:
    """The figures of many spans together, as `merge` of one after the other, without a copy for each."""
    every = empty()
    sums, histograms, gauges = every["sums"], every["histograms"], every["gauges"]
    for part in parts:
        _add(sums, part["sums"])
        for name, counts in part["histograms"].items():
            _add(histograms.setdefault(name, {}), counts)
        for name, measured in part["gauges"].items():
            _measure(gauges, name, measured)
        every["values"] = sketch.merge(every["values"], part["values"])
    return every


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for name, number in more.items():
        counts[name] = counts.get(name, 0) + number


def _measure(gauges: dict[str, Gauge], name: str, measured: Gauge) -> None:
    known = gauges.get(name)
    if known is None:
        gauges[name] = {**measured}
        return
    known["n"] += measured["n"]
    known["sum"] += measured["sum"]
    known["least"] = min(known["least"], measured["least"])
    known["most"] = max(known["most"], measured["most"])
    if (measured["at"], measured["last"]) > (known["at"], known["last"]):
        known["last"], known["at"] = measured["last"], measured["at"]


def added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """The counts of both by name."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _both(one: Gauge | None, other: Gauge | None) -> Gauge:
    if one is None or other is None:
        single = one or other
        assert single is not None
        return single
    newer = max(one, other, key=lambda each: (each["at"], each["last"]))
    return {
        "n": one["n"] + other["n"],
        "sum": one["sum"] + other["sum"],
        "least": min(one["least"], other["least"]),
        "most": max(one["most"], other["most"]),
        "last": newer["last"],
        "at": newer["at"],
    }
