"""Arrivals: when rows came and whence, and which of them are of a span of time.

Pure functions. Times are those at which a drop was accepted, by the daemon's clock, in milliseconds since 1970.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from daemon.schema.scores import Scores

Times = NDArray[np.int64]
Mask = NDArray[np.bool_]

MS_OF_DAY = 86_400_000

SOURCES = ("file", "http", "label")
"""Where rows come from, as segments have it."""

BEGAN = 1_735_689_600_000
"""2025-01-01 (ms since 1970): retraind is younger."""


class Era(NamedTuple):
    """What was accepted between two moments (ms since 1970), both included: its held-out rows are the reference."""

    since: int
    until: int

    @classmethod
    def of(cls, scores: Scores) -> Self | None:
        """That of a version, from the scores of its manifest; None: the first revision is its reference."""
        span = scores.get("world")
        return cls(span["since"], span["until"]) if span else None


@dataclass(frozen=True)
class Window:
    """Only so many of the newest rows, accepted within so many days before the newest one; 0 is all.

    `now` (ms since 1970) is when the training began: no row was accepted later, whatever a clock said.
    """

    rows: int = 0
    days: float = 0.0
    now: float = math.inf


class Arrivals(NamedTuple):
    """When rows (n,) were accepted (ms), in which drop (its print), and whence (an index of SOURCES, -1: unknown)."""

    times: Times
    drops: NDArray[np.uint64]
    sources: Times


def during(times: Times, era: Era) -> Mask:
    """Which rows (n,) are of the era."""
    return np.asarray((times >= era.since) & (times <= era.until))


def within(times: Times, listed: Mask, window: Window) -> Mask:
    """Which of the listed rows are in the window."""
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
    """Which of the listed rows the window leaves out of a drop of which it takes others: what came at one moment is of one era."""
    if not recent.any():
        return recent
    return np.asarray(listed & ~recent & (times == times[recent].min()))


def plausible(times: Times, now: float) -> Times:
    """The times with those that can't be right replaced by the one of the row before that can.

    Nothing was accepted after now, nor before there was this program: the clock was wrong when it was written.
    """
    right = (times <= now) & (times >= BEGAN)
    if not right.any():
        return times
    before = np.maximum.accumulate(np.where(right, np.arange(len(times)), np.argmax(right)))
    return times[before]
