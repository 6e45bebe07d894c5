"""The world: whether it has changed, so that the rows which judged so far judge a challenger no more.

Pure functions. No rule can tell a changed world from drops that all lie, but one drop, one day and one source can be denied the
say. So the challenger must be surely better than the champion on the rows held out of all that came since some day: on
several days, whichever of these is left out, and no drop may surely say otherwise. docs/judging.md has the rule and its reasons.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from daemon.core.settings import Promote
from daemon.schema.score_names import BOUND

Vector = NDArray[np.float64]
Codes = NDArray[np.int64]

DAY = 20 * 3_600_000
"""What is accepted so long (ms) after the first of a day is of another one: a day less than a nightly job's delays."""

MOST_DAYS = 100
"""Days, the newest, that are looked at: more would cost more than they could say."""

LEAST_ROWS, ENOUGH_ROWS = 50, 1_000
"""The new rows are as many as those of the reference, within these: of a thousand a difference of 0.02 is more than its error."""

HALF = 0.5
"""So much less than `promote.follow_days` is allowed, because honest days are not equally large."""

LEAST_OF_DROP = 20
"""A drop with fewer held-out rows says too little by itself; those of a day and a source are taken together."""

FEW = 2
"""A class of which the champion has so many rows right, and the challenger none, is forgotten."""

SURE = 0.01
"""One-sided, for each of the tests."""

Z = NormalDist().inv_cdf(1 - SURE)


@dataclass(frozen=True)
class Evidence:
    """Held-out rows (n,) that came after the reference, oldest first, on none of which challenger or champion was trained.

    `gain` is the champion's loss less the challenger's, `times` when they were accepted (ms), `drops` and `sources` (a number
    for each) where they are from. `classes` (n,) and `recalled` (n,), 1 where only the challenger has the row right and -1 where
    only the champion has, `right` (n,) whether the champion has it right; all are 0 where the targets are values.
    """

    gain: Vector
    times: Codes
    drops: NDArray[np.uint64]
    sources: Codes
    classes: Codes
    recalled: Vector
    right: Vector
    reference: int
    """How many held-out rows the reference has."""

    def take(self, which: Codes) -> Self:
        """Some of the rows, in that order."""
        arrived = self.times[which], self.drops[which], self.sources[which]
        said = self.classes[which], self.recalled[which], self.right[which]
        return type(self)(self.gain[which], *arrived, *said, self.reference)


class Change(NamedTuple):
    """Since when (ms) the challenger is better on everything; `until` is the newest row, `gain` the mean over `n` rows."""

    since: int
    until: int
    days: int
    drops: int
    n: int
    gain: float


def changed(evidence: Evidence, settings: Promote) -> Change | None:
    """Whether the world has changed for good; None: that is not sure."""
    if not settings.follow_days or not len(evidence.gain) or not np.isfinite(evidence.gain).all():
        return None
    rows = _Rows(evidence)
    for first in rows.beginnings():
        days = int(rows.day[-1]) - first + 1
        if rows.hold(first, settings):
            since = rows.of.take(np.flatnonzero(rows.day >= first))
            span, drops = (int(since.times[0]), int(since.times[-1])), len(np.unique(since.drops))
            return Change(*span, days, drops, len(since.gain), float(since.gain.mean()))
    return None


class _Rows:
    """The evidence in order of time, on the newest days; `day` (n,) is the number of each row's."""

    def __init__(self, evidence: Evidence) -> None:
        order = np.argsort(evidence.times, kind="stable")
        day = _days(evidence.times[order])
        newest = day > day[-1] - MOST_DAYS
        self.day, self.of = day[newest], evidence.take(order[newest])

    def beginnings(self) -> Iterator[int]:
        """Days since which it may have changed: that from which on most is gained, and later ones, but after the last denial."""
        days = np.unique(self.day)
        gained = np.bincount(self.day - days[0], self.of.gain)[days - days[0]][::-1].cumsum()[::-1]
        denied = self._denied()
        least = max(int(days[gained.argmax()]), -1 if denied is None else denied + 1)
        yield from (int(day) for day in days if day >= least)

    def _denied(self) -> int | None:
        """The last day of which a drop, or the small ones of a source together, surely say that the challenger is worse."""
        _, drop, sizes = np.unique(self.of.drops, return_inverse=True, return_counts=True)
        small = sizes[drop] < LEAST_OF_DROP
        source = self.of.sources - self.of.sources.min()
        pooled = len(sizes) + self.day * (int(source.max()) + 1) + source
        whose = np.where(small, pooled, drop)
        _, first, group = np.unique(whose, return_index=True, return_inverse=True)
        n, mean, error = _summed(self.of.gain, group)
        worse = (n >= LEAST_OF_DROP) & (mean < 0) & (mean <= -Z * error)
        return int(self.day[first[worse]].max()) if worse.any() else None

    def hold(self, first: int, settings: Promote) -> bool:
        """Whether the rows since that day say that it has changed, whichever of their days is left out."""
        part = self.day >= first
        of_day = np.bincount(self.day[part] - first).astype(np.float64)
        least = max(LEAST_ROWS, min(self.of.reference, ENOUGH_ROWS))
        if _weighty(of_day) < settings.follow_days - HALF or (of_day.sum() - of_day).min() < least:
            return False
        _, mean, error = _without_each(self.of.gain[part], self.day[part] - first)
        if (mean - Z * error < settings.tolerance).any():
            return False
        codes = np.unique(self.of.classes)
        return not any(self._forgets(part & (self.of.classes == code), first, settings) for code in codes)

    def _forgets(self, part: NDArray[np.bool_], first: int, settings: Promote) -> bool:
        """Whether the recall of the class of these rows falls too far, as in a verdict, with one of the days left out or none."""
        if not part.any():
            return False
        day = self.day[part] - first
        for n, mean, error in (_without_each(self.of.recalled[part], day), _summed(self.of.recalled[part], 0 * day)):
            fall = -mean
            beyond = fall > np.maximum(settings.recall_tolerance, 1 / np.maximum(n, 1)) + 1e-12
            if (beyond & (fall - BOUND * error > settings.recall_tolerance / 2)).any():
                return True
        before = self.of.right[part].sum()
        return bool(before >= FEW and before + self.of.recalled[part].sum() == 0)


def _weighty(of_day: Vector) -> float:
    """How many days with equally many rows would part these as finely: two large ones and a small one are little more than two."""
    return float(of_day.sum() ** 2 / (of_day**2).sum())


def _days(times: Codes) -> Codes:
    """The number of each row's day, from sorted times: one begins with the first row so long after the one before began."""
    moments, which = np.unique(times, return_inverse=True)
    day, begun = np.zeros(len(moments), dtype=np.int64), moments[0]
    for index, moment in enumerate(moments[1:].tolist(), 1):
        later = moment - begun >= DAY
        day[index], begun = day[index - 1] + later, moment if later else begun
    return np.asarray(day[which])


def _summed(values: Vector, group: Codes) -> tuple[Vector, Vector, Vector]:
    """Of each group the number of values, their mean and its standard error."""
    n, total, squares = (np.bincount(group, weights) for weights in (np.ones(len(values)), values, values**2))
    return _moments(n, total, squares)


def _without_each(values: Vector, group: Codes) -> tuple[Vector, Vector, Vector]:
    """The same of all values but those of one group, for each group; nothing is left of a single one."""
    n, total, squares = (np.bincount(group, weights) for weights in (np.ones(len(values)), values, values**2))
    return _moments(n.sum() - n, total.sum() - total, squares.sum() - squares)


def _moments(n: Any, total: Any, squares: Any) -> tuple[Vector, Vector, Vector]:
    some = np.maximum(n, 1)
    mean = total / some
    variance = np.maximum(squares / some - mean**2, 0.0) * n / np.maximum(n - 1, 1)
    return n, mean, np.sqrt(variance / some)
