"""What was counted up to a moment, and the figures of the time since an earlier one.

The counters of HTTP workers only rise: a worker continues those of its predecessor. So the sum over all files is the
same whichever process has them, and the difference of two sums is what happened in between. A stored position names the
sum up to which the stored figures reach.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypedDict

from retraind.daemon.core.trends.figures import LATENCY, Figures, Sum, empty

NEAR_SECONDS = 90.0
"""A longer time between two positions means that no daemon watched."""


class Position(TypedDict):
    """The sum of the counters at a moment. Times in seconds; `steady` is CLOCK_MONOTONIC of the boot `boot`."""

    sums: dict[str, int]
    latency: dict[str, int]
    wall: float
    steady: float
    boot: str
    pids: list[int]
    """The workers that ran."""


class Count(NamedTuple):
    """The counters now, and until when the workers in the files have published theirs, by pid (CLOCK_MONOTONIC)."""

    position: Position
    beats: Mapping[int, float]


class Since(NamedTuple):
    """Figures, the time (seconds since 1970) to which they belong, and the names of counters that have fallen."""

    at: float
    figures: Figures
    fallen: list[str]


def since(before: Position, count: Count) -> Since:
    """The figures from a stored position to the counters now."""
    now = count.position
    figures = empty()
    if _is_new(before, now):
        before = {**before, "sums": {}, "latency": {}}
    figures["sums"], fallen = _risen(before["sums"], now["sums"])
    latency, fallen_too = _risen(before["latency"], now["latency"])
    if latency:
        figures["histograms"][LATENCY] = latency
    at, watched, served = _place(before, count)
    figures["sums"] |= {Sum.WATCHED: round(watched * 1000), Sum.SERVED: round(served * 1000)}
    return Since(at, figures, fallen + fallen_too)


def _is_new(before: Position, now: Position) -> bool:
    """Whether other workers count from zero, as in a home that was restored from a backup."""
    others = bool(now["pids"]) and not set(now["pids"]) & set(before["pids"])
    return others and all(now["sums"].get(name, 0) < number for name, number in before["sums"].items() if number)


def _place(before: Position, count: Count) -> tuple[float, float, float]:
    """The time of the figures, the seconds that they cover, and the seconds of these in which a worker ran.

    After a time without a daemon, figures belong to the last moment at which workers of before it still published.
    """
    now = count.position
    passed = now["steady"] - before["steady"] if now["boot"] == before["boot"] else -1.0
    if passed < 0:
        return before["wall"], 0.0, 0.0
    ended = max((count.beats.get(pid, 0.0) for pid in before["pids"]), default=0.0)
    lived = min(passed, max(0.0, ended - before["steady"]))
    if passed <= NEAR_SECONDS:
        survived = set(before["pids"]) & set(now["pids"])
        return now["wall"] - passed / 2, passed, passed if survived else lived
    return (now["wall"] - (passed - lived) if lived > NEAR_SECONDS else before["wall"]), lived, lived


def _risen(before: Mapping[str, int], now: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
    """What has risen, by how much; and what has fallen, because a file was removed: its counts are unknown."""
    differences = {name: number - before.get(name, 0) for name, number in now.items()}
    fallen = [name for name, number in before.items() if now.get(name, 0) < number]
    return {name: number for name, number in differences.items() if number > 0}, fallen
