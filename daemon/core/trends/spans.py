"""The spans of time of trends: minutes, hours and days of UTC, how many of each are kept, and steps of charts."""

from enum import IntEnum


class Span(IntEnum):
    """A stored span, by its length in seconds. UTC has no summer time, so each day is as long as any other."""

    MINUTE = 60
    HOUR = 3600
    DAY = 86_400


KEPT = {Span.MINUTE: 2880, Span.HOUR: 1440, Span.DAY: 1827}
"""Number of spans that are kept: minutes of two days, hours of sixty days, days of five years."""

STEPS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400}
"""Steps of answers, in seconds; each is a whole number of a stored span."""

RANGES = {
    "1h": (3600, "1m"),
    "6h": (21_600, "5m"),
    "24h": (86_400, "15m"),
    "7d": (604_800, "1h"),
    "30d": (2_592_000, "6h"),
    "1y": (31_536_000, "1d"),
}
"""Ranges of the page: length in seconds and step."""


def begin(at: float, length: int) -> int:
    """The begin of the span of this length (seconds) that holds a time; both times in seconds since 1970."""
    return int(at // length) * length


def source(step: int) -> Span:
    """The longest stored span that fits into a step of this length (seconds)."""
    return max(span for span in Span if step % span == 0)
