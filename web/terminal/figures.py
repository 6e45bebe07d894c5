"""Figures of the last minute, from the counters of two moments. Pure."""

from collections import deque
from typing import NamedTuple

from retraind.daemon.core.trends.latency import quantile
from retraind.web.terminal.sources import Moment

WINDOW = 60.0
"""Seconds that the figures cover."""


class Recent(NamedTuple):
    """Figures of the last `seconds`; None if they are not known, such as a latency without a request."""

    seconds: float
    rate: float | None
    """Answered requests per second."""
    failures: int
    """Answers with a 5xx status."""
    p50: float | None
    """Seconds."""
    p99: float | None


class Past:
    """The moments of the last minute."""

    def __init__(self) -> None:
        self._moments: deque[Moment] = deque()

    def add(self, moment: Moment) -> Recent:
        """Remember a moment; returns the figures since the oldest one that is not older than WINDOW."""
        self._moments.append(moment)
        while self._moments[-1].clock - self._moments[0].clock > WINDOW:
            self._moments.popleft()
        return between(self._moments[0], moment)


def between(before: Moment, now: Moment) -> Recent:
    """The figures between two moments; a home that was replaced meanwhile, whose counters fell, has none."""
    seconds = now.clock - before.clock
    old, new = before.document["service"], now.document["service"]
    answered = (new["request_count"] or 0) - (old["request_count"] or 0)
    if seconds <= 0 or answered < 0:
        return Recent(0.0, None, 0, None, None)
    durations = [b - a for a, b in zip(before.buckets, now.buckets, strict=False)]
    failures = max(0, new["failures"] - old["failures"])
    return Recent(seconds, answered / seconds, failures, quantile(durations, 0.5), quantile(durations, 0.99))
