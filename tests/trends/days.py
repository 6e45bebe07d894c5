"""Figures over time for tests: some hours of a busy service, written by the store's own function."""

import math
import random
import time

from retraind.daemon.core.home import Home
from retraind.daemon.core.trends import figures, sketch
from retraind.daemon.core.trends.figures import CONFIDENCE, DRIFT, LATENCY, Figures, Sum
from retraind.daemon.storage.trends.store import Change, Mark, TrendStore
from retraind.web.trends.asked import iso


def minute(at: float, classes: list[str], rng: random.Random, *, fails: bool = False) -> Figures:
    """A minute of classification with as many classes; with `fails`, some requests failed."""
    count = round(200 + 150 * math.sin(at / 5000) + rng.random() * 40)
    failed = 3 if fails else 0
    sums = {f"{Sum.CLASS}{name}": count // (index + 1) // 2 for index, name in enumerate(classes)}
    sums |= {
        Sum.WATCHED: 60_000,
        Sum.SERVED: 60_000,
        f"{Sum.REQUESTS}200": count + 30,
        f"{Sum.REQUESTS}503": failed,
        f"{Sum.PREDICTING}200": count,
        f"{Sum.PREDICTING}503": failed,
        Sum.DURATION: count * 700,
        Sum.CONFIDENCE: sum(sums.values()) * 930_000,
        Sum.ROWS_ACCEPTED: 12,
        Sum.ROWS_REFUSED: 1,
        f"{Sum.DROPS}accepted": 1,
    }
    slow = {"0.01": count // 20} if fails else {"0.003": count // 30}
    latency = {"0.0005": count // 2, "0.0007": count // 3, "0.001": count // 8, **slow}
    gauges = {f"{DRIFT}feature {index}": figures.gauge(rng.random() * 0.2, at) for index in range(12)}
    gauges |= {
        "workers": figures.gauge(2, at),
        "rows": figures.gauge(10_000 + at % 10_000, at),
        "backlog_files": figures.gauge(round(rng.random() * 3), at),
        "live_score": figures.gauge(0.93 + rng.random() / 50, at),
        "exam_error": figures.gauge(0.05 + rng.random() / 20, at),
        "exam_usual": figures.gauge(0.06, at),
        **{f"memory.{role}": figures.gauge(size * 1e6 * (1 + rng.random() / 50), at) for role, size in SIZES.items()},
    }
    histograms = {LATENCY: latency, CONFIDENCE: {"19": count, "12": count // 8}}
    return {"sums": sums, "histograms": histograms, "gauges": gauges, "values": None}


SIZES = {"daemon": 140, "workers": 210, "trainer": 330}


def regression(at: float, rng: random.Random) -> Figures:
    """A minute whose predictions are numbers."""
    values = [rng.gauss(250_000, 40_000) for _ in range(40)]
    made = minute(at, [], rng)
    made["sums"].pop(Sum.CONFIDENCE)
    made["sums"][Sum.VALUES] = len(values)
    return {**made, "histograms": {LATENCY: made["histograms"][LATENCY]}, "values": sketch.of(values)}


def write(home: Home, minutes: int, classes: list[str] | None, *, gap: range = range(0), ago: int = 0) -> None:
    """The newest `minutes` up to `ago` minutes before now, without those of the `gap`; None as classes: a regression."""
    rng, store = random.Random(1), TrendStore(home.trends)
    now = time.time() - ago * 60
    changes = []
    for number in range(minutes):
        at = now - (minutes - 1 - number) * 60
        if number not in gap:
            fails = number % 50 == 7
            changes.append(
                Change(at, regression(at, rng) if classes is None else minute(at, classes, rng, fails=fails))
            )
    marks = [
        Mark(iso(now - minutes * 40), "serving", "Version 2 is served: it is better by 0.02.", 2),
        Mark(iso(now - minutes * 30), "deployed", "retraind 0.2.0 started; before it ran 0.1.0."),
        Mark(iso(now - minutes * 20), "rejected", "A drop was rejected.", None, "ab" * 32),
    ]
    for start in range(0, len(changes), 500):
        store.add(changes[start : start + 500], {}, marks if start == 0 else [], now)
    store.close()
