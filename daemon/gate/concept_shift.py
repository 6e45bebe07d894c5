"""Concept shift: tests for a change of the world, after which older held-out rows no longer judge a challenger.

Pure functions. No rule can distinguish a changed world from drops that are all false, but one drop, one day or one
source must not decide alone. So the challenger must be surely better than the champion on the rows held out since some
day. This must hold on several days, whichever of them is left out, and no drop may surely contradict it.
docs/judging.md has the rule and its reasons.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.core.settings import Promote
from retraind.daemon.schema.score_names import BOUND

Vector = NDArray[np.float64]
Codes = NDArray[np.int64]

DAY = 20 * 3_600_000
"""A row accepted this long (ms) after the first of a day begins a new one: 24 hours less the delays of a nightly job."""

MOST_DAYS = 100
"""Number of newest days that are considered; more days would cost more than they add."""

LEAST_ROWS, ENOUGH_ROWS = 50, 1_000
"""Bounds on the required number of new rows, which otherwise equals the reference's: a thousand show a difference of
0.02."""

HALF = 0.5
"""Fraction of a day by which `promote.follow_days` may be missed, because real days are not equally large."""

LEAST_OF_DROP = 20
"""Held-out rows that a drop needs to count by itself; smaller drops of a day and a source are pooled."""

FEW = 2
"""A class is forgotten if the champion has at least this many of its rows right, and the challenger none."""

SURE = 0.01
"""One-sided, for each of the tests."""

Z = NormalDist().inv_cdf(1 - SURE)


@dataclass(frozen=True)
class Evidence:
    """Held-out rows (n,) after the reference, oldest first; neither challenger nor champion was trained on them.

    `gain` is the champion's loss minus the challenger's, `times` their acceptance (ms), `drops` and `sources` their
    origin (a number each). `classes` (n,) are class codes; `recalled` (n,) is 1 if only the challenger has the row
    right and -1 if only the champion has; `right` (n,) is 1 if the champion has it right. All three are 0 for
    regression.
    """

    gain: Vector
    times: Codes
    drops: NDArray[np.uint64]
    sources: Codes
    classes: Codes
    recalled: Vector
    right: Vector
    reference: int
    """The number of held-out rows of the reference."""

    def take(self, which: Codes) -> Self:
        """Some of the rows, in that order."""
        origin = self.times[which], self.drops[which], self.sources[which]
        classes = self.classes[which], self.recalled[which], self.right[which]
        return type(self)(self.gain[which], *origin, *classes, self.reference)


class Change(NamedTuple):
    """The time (ms) since which the challenger is better on all rows.

    `until` is the newest row, `gain` the mean over `n` rows.
    """

    since: int
    until: int
    days: int
    drops: int
    n: int
    gain: float


def changed(evidence: Evidence, settings: Promote) -> Change | None:
    """The change of the world; None if there is none for sure."""
    if not settings.follow_days or not len(evidence.gain) or not np.isfinite(evidence.gain).all():
        return None
    rows = _Rows(evidence)
    for first in rows.start_days():
        days = int(rows.day[-1]) - first + 1
        if rows.show_change(first, settings):
            since = rows.of.take(np.flatnonzero(rows.day >= first))
            span, drops = (int(since.times[0]), int(since.times[-1])), len(np.unique(since.drops))
            return Change(*span, days, drops, len(since.gain), float(since.gain.mean()))
    return None


class _Rows:
    """The evidence of the newest days in order of time; `day` (n,) is the number of each row's day."""

    def __init__(self, evidence: Evidence) -> None:
        order = np.argsort(evidence.times, kind="stable")
        day = _days(evidence.times[order])
        newest = day > day[-1] - MOST_DAYS
        self.day, self.of = day[newest], evidence.take(order[newest])

    def start_days(self) -> Iterator[int]:
        """Possible first days of the change.

        These are the day with the largest total gain from it on, and all later days, as far as they follow the last
        denial.
        """
        days = np.unique(self.day)
        gained = np.bincount(self.day - days[0], self.of.gain)[days - days[0]][::-1].cumsum()[::-1]
        denied = self._last_denial()
        least = max(int(days[gained.argmax()]), -1 if denied is None else denied + 1)
        yield from (int(day) for day in days if day >= least)

    def _last_denial(self) -> int | None:
        """The last day with a drop, or pooled small drops of a source, on which the challenger is surely worse."""
        _, drop, sizes = np.unique(self.of.drops, return_inverse=True, return_counts=True)
        small = sizes[drop] < LEAST_OF_DROP
        source = self.of.sources - self.of.sources.min()
        pooled = len(sizes) + self.day * (int(source.max()) + 1) + source
        groups = np.where(small, pooled, drop)
        _, first, group = np.unique(groups, return_index=True, return_inverse=True)
        n, mean, error = _summed(self.of.gain, group)
        worse = (n >= LEAST_OF_DROP) & (mean < 0) & (mean <= -Z * error)
        return int(self.day[first[worse]].max()) if worse.any() else None

    def show_change(self, first: int, settings: Promote) -> bool:
        """True if the rows since that day show a change, whichever of their days is left out."""
        part = self.day >= first
        of_day = np.bincount(self.day[part] - first).astype(np.float64)
        least = max(LEAST_ROWS, min(self.of.reference, ENOUGH_ROWS))
        if _weighty(of_day) < settings.follow_days - HALF or (of_day.sum() - of_day).min() < least:
            return False
        _, mean, error = _without_each(self.of.gain[part], self.day[part] - first)
        if (mean - Z * error < settings.tolerance).any():
            return False
        codes = np.unique(self.of.classes)
        return not any(self._lose_recall(part & (self.of.classes == code), first, settings) for code in codes)

    def _lose_recall(self, part: NDArray[np.bool_], first: int, settings: Promote) -> bool:
        """True if the recall of these rows' class falls too far for a verdict, with all days or with any one left out."""
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
    """The effective number of days: two large days and a small day count little more than two."""
    return float(of_day.sum() ** 2 / (of_day**2).sum())


def _days(times: Codes) -> Codes:
    """The day number of each row, from sorted times: a day begins with the first row at least DAY after the last one began."""
    moments, which = np.unique(times, return_inverse=True)
    day, begun = np.zeros(len(moments), dtype=np.int64), moments[0]
    for index, moment in enumerate(moments[1:].tolist(), 1):
        later = moment - begun >= DAY
        day[index], begun = day[index - 1] + later, moment if later else begun
    return np.asarray(day[which])


def _summed(values: Vector, group: Codes) -> tuple[Vector, Vector, Vector]:
    """For each group: the number of values, their mean and its standard error."""
    n, total, squares = (np.bincount(group, weights) for weights in (np.ones(len(values)), values, values**2))
    return _moments(n, total, squares)


def _without_each(values: Vector, group: Codes) -> tuple[Vector, Vector, Vector]:
    """For each group: the same for all values outside it; a single group leaves none."""
    n, total, squares = (np.bincount(group, weights) for weights in (np.ones(len(values)), values, values**2))
    return _moments(n.sum() - n, total.sum() - total, squares.sum() - squares)


def _moments(n: Any, total: Any, squares: Any) -> tuple[Vector, Vector, Vector]:
    some = np.maximum(n, 1)
    mean = total / some
    variance = np.maximum(squares / some - mean**2, 0.0) * n / np.maximum(n - 1, 1)
    return n, mean, np.sqrt(variance / some)
