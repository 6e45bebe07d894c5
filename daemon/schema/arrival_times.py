"""Arrivals: the time and source of rows, and the rows of a time span.

Pure functions. A time is when a drop was accepted, by the daemon's clock, in milliseconds since 1970.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.schema.scores import Scores

Times = NDArray[np.int64]
Mask = NDArray[np.bool_]

MS_OF_DAY = 86_400_000

SOURCES = ("file", "http", "label")
"""The sources of rows, with their names in segments."""

BEGAN = 1_735_689_600_000
"""2025-01-01 (ms since 1970): no row can be older."""


class Era(NamedTuple):
    """A time span (ms since 1970, both ends included); the held-out rows accepted in it are the reference."""

    since: int
    until: int

    @classmethod
    def of(cls, scores: Scores) -> Self | None:
        """The era of a version, from the scores of its manifest; None: the first revision is its reference."""
        span = scores.get("world")
        return cls(span["since"], span["until"]) if span else None


@dataclass(frozen=True)
class Window:
    """The window of a training: at most this many of the newest rows, from at most this many days; 0 means no limit.

    `now` (ms since 1970) is when the training began, so no row can be newer, whatever a clock said.
    """

    rows: int = 0
    days: float = 0.0
    now: float = math.inf


class Arrivals(NamedTuple):
    """For rows (n,): the time of acceptance (ms), the drop (its hash), and the source (an index of SOURCES, -1: unknown)."""

    times: Times
    drops: NDArray[np.uint64]
    sources: NDArray[np.int8]


def during(times: Times, era: Era) -> Mask:
    """A mask (n,) of the rows of the era."""
    return np.asarray((times >= era.since) & (times <= era.until))


def within(times: Times, listed: Mask, window: Window) -> Mask:
    """A mask of the listed rows that are in the window."""
    recent = listed.copy()
    if window.days and listed.any():
        recent &= times > times[listed].max() - window.days * MS_OF_DAY
    if window.rows:
        candidates = np.flatnonzero(recent)
        newest = candidates[np.argsort(times[candidates], kind="stable")][-window.rows :]
        recent = np.zeros_like(recent)
        recent[newest] = True
    return recent


def parted(times: Times, listed: Mask, recent: Mask) -> Mask:
    """A mask of the listed rows outside the window whose drop also has rows inside it. A drop belongs to one era."""
    if not recent.any():
        return recent
    return np.asarray(listed & ~recent & (times == times[recent].min()))


def plausible(times: Times, now: float) -> Times:
    """The times, with impossible ones replaced by the last possible time before them.

    Times in the future, or from before this program existed, come from a wrong clock.
    """
    right = (times <= now) & (times >= BEGAN)
    if right.all() or not right.any():
        return times
    before = np.maximum.accumulate(np.where(right, np.arange(len(times)), np.argmax(right)))
    return times[before]
