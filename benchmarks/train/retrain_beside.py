"""Predictions beside a training: their latency while nothing else happens, and while the trainer computes all the time."""

import random
import time

from benchmarks.figures import figure, percentile, ratio
from benchmarks.harness import Service, running
from benchmarks.load import Load, Outcome
from benchmarks.rows import header, lines

TIMES = 3
"""What the project promises: p99 is at most so many times that of an idle service."""

ROWS = 300_000
"""Rows to learn from: more than a million cells, so that `train.jobs` counts, and a training lasts longer than the load."""

SETTINGS = {"retrain__schedule": "", "retrain__drift": False, "retrain__threshold_rows": ROWS // 2}


def measure(rate: int, seconds: float, jobs: int) -> tuple[Outcome, Outcome]:
    """A load on an idle service, and one that begins when a large training compares its candidates."""
    with running(**SETTINGS, train__jobs=jobs) as service:
        _load(service, rate, 2)  # to warm up
        idle = _load(service, rate, seconds)
        path = service.home.root.parent / "large.csv"
        path.write_text(header() + lines(random.Random(1), ROWS))
        path.rename(service.home.inbox / path.name)
        service.wait_for("the training", lambda: len(service.events("training")) > 1 or None)
        ended = len(service.events("trained"))
        busy = _load(service, rate, seconds)
        if len(service.events("trained")) > ended:
            raise RuntimeError(f"The training ended within {seconds:g} s: the load was not beside it all the time.")
        return idle, busy


def _load(service: Service, rate: int, seconds: float) -> Outcome:
    load = Load(service.port, rate)
    load.start()
    time.sleep(seconds)
    return load.stop()


def table(idle: Outcome, busy: Outcome) -> list[list[str]]:
    """Rows: latencies of both loads, what failed, and the ratio of the 99th percentiles."""
    before = percentile([answer.seconds for answer in idle.answers], 0.99)
    return [_row("idle", idle, before, ""), _row("beside a training", busy, before, f"<= {TIMES}x")]


def _row(name: str, outcome: Outcome, before: float, target: str) -> list[str]:
    seconds = [answer.seconds for answer in outcome.answers]
    shown = [figure(percentile(seconds, share) * 1000, 2) for share in (0.5, 0.99, 1.0)]
    failed = sum(outcome.failed.values()) + outcome.unclear
    return [name, *shown, str(failed), ratio(percentile(seconds, 0.99), before), target]
