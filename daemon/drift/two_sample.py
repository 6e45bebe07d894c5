"""Two-sample tests: the difference of two samples of a column, by Evidently's default rule with a guard against chance.

Pure functions. Evidently (docs, "Data drift", default tests): up to 1,000 reference rows a two-sample test, above them
a distance: numbers by Kolmogorov-Smirnov or Wasserstein's distance in standard deviations, classes by chi-square (two
of them: Z) or Jensen-Shannon's distance; a number with at most five values counts as a class. Small samples of one
distribution also differ, so a distance counts only if the test finds a difference.

It uses `scipy.special`: `scipy.stats` would cost the daemon 50 MB and seconds, and its tests sort the same samples
again and again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.core.settings import Drift

Vector = NDArray[np.float64]
Table = NDArray[np.int64]

SMALL = 1000
"""Reference rows up to which a test decides alone."""

FEW = 5
"""Values of a number in the reference up to which it is compared like a category."""

EXPECTED = 5
"""The least expected count of a cell for chi-square (Cochran, "Some methods for strengthening the common chi-square tests", 1954)."""

FARTHEST = 1e6
"""The value of a distance that overflows, because values are near the largest double."""


@dataclass(frozen=True)
class Comparison:
    """The difference of two samples."""

    test: str
    p: float
    """The p-value of the test; after `adjust` by Benjamini-Hochberg."""
    distance: float | None
    """None if the test decides alone."""
    size: float
    """0-1: the largest difference of the cumulative shares; for classes, the share of rows that moved to another class.
    """

    def drifted(self, settings: Drift) -> bool:
        """True if the difference is significant and, with enough rows to measure that, large enough to matter."""
        return self.p <= settings.p_value and (self.distance is None or self.distance >= settings.distance)


def compare(reference: Vector, now: Vector, *, named: bool) -> Comparison:
    """Compare two samples (n,), (m,) without NaN, neither of them empty; with `named`, the values are codes of classes."""
    if named or len(np.unique(reference)) <= FEW:
        return _classes(reference, now)
    return _numbers(reference, now)


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with p-values adjusted for their number (Benjamini and Hochberg, 1995)."""
    order = np.argsort([one.p for one in comparisons], kind="stable")[::-1]  # the largest first
    least, adjusted = 1.0, list(comparisons)
    for rank, index in zip(range(len(comparisons), 0, -1), order, strict=True):
        least = min(least, comparisons[index].p * len(comparisons) / rank)
        adjusted[index] = replace(comparisons[index], p=least)
    return adjusted


def _numbers(reference: Vector, now: Vector) -> Comparison:
    from scipy.special import kolmogorov

    reference, now = np.sort(reference), np.sort(now)
    values = np.sort(np.concatenate([reference, now]), kind="stable")
    before = np.searchsorted(reference, values, side="right") / len(reference)
    gaps = np.abs(before - np.searchsorted(now, values, side="right") / len(now))
    size, root = float(gaps.max()), np.sqrt(len(reference) * len(now) / (len(reference) + len(now)))
    p = float(kolmogorov((root + 0.12 + 0.11 / root) * size))  # Stephens, 1970
    if len(reference) <= SMALL:
        return Comparison("KS", p, None, size)
    return Comparison("Wasserstein", p, _wasserstein(reference, values, gaps), size)


def _wasserstein(reference: Vector, values: Vector, gaps: Vector) -> float:
    """The first Wasserstein distance in standard deviations: the area between the cumulative shares, `gaps` at `values`."""
    with np.errstate(all="ignore"):
        distance = float((gaps[:-1] * np.diff(values)).sum() / reference.std())
    return min(distance, FARTHEST) if np.isfinite(distance) else FARTHEST


def _classes(reference: Vector, now: Vector) -> Comparison:
    values, codes = np.unique(np.concatenate([reference, now]), return_inverse=True)
    halves = (codes[: len(reference)], codes[len(reference) :])
    table = np.vstack([np.bincount(half, minlength=len(values)) for half in halves])
    before, after = table / table.sum(axis=1, keepdims=True)
    size = float(np.abs(before - after).sum() / 2)
    if len(reference) > SMALL:
        return Comparison("Jensen-Shannon", _p(table), _jensen_shannon(before, after), size)
    return Comparison("Z" if len(values) <= 2 else "chi-square", _p(table), None, size)


def _jensen_shannon(before: Vector, after: Vector) -> float:
    """The distance of two distributions (k,), 0 to 0.83."""
    from scipy.special import rel_entr

    middle = (before + after) / 2
    return float(np.sqrt((rel_entr(before, middle) + rel_entr(after, middle)).sum() / 2))


def _p(table: Table) -> float:
    """The p-value that two rows of counts (2, k) have one distribution: chi-square, or Fisher's for small counts."""
    from scipy.special import chdtrc

    if table.shape[1] < 2:
        return 1.0
    table = _pooled(table)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if table.shape[1] == 2 and expected.min() < EXPECTED:
        return _fisher(table)
    # Without Yates' correction; for two classes it then equals the square of Z for two proportions.
    return float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))


def _fisher(table: Table) -> float:
    """Fisher's exact test of counts (2, 2): the probability of tables with the same sums that are at most as likely."""
    from scipy.special import gammaln

    (first, second), (column, _) = table.sum(axis=1), table.sum(axis=0)
    counts = np.arange(max(0, column - second), min(first, column) + 1)
    free = (counts, first - counts, column - counts, second - column + counts)
    logs = -sum(gammaln(one + 1.0) for one in free)
    chances = np.exp(logs - logs.max())
    seen = chances[table[0, 0] - counts[0]]
    return float(min(1.0, chances[chances <= seen * (1 + 1e-7)].sum() / chances.sum()))


def _pooled(table: Table) -> Table:
    """The counts with rare classes merged into one, so that chi-square is valid; at least two classes stay."""
    totals = table.sum(axis=0)
    order = np.argsort(totals, kind="stable")
    expected = totals[order] * table.sum(axis=1).min() / table.sum()
    rare = int((expected < EXPECTED).sum())
    if rare == 0:
        return table
    enough = int(np.searchsorted(expected.cumsum(), EXPECTED)) + 1
    count = min(max(rare, enough), table.shape[1] - 1)
    return np.column_stack([table[:, order[:count]].sum(axis=1), table[:, order[count:]]])
