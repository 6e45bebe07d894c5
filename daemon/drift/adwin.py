"""Detects changes in the error on late labels while a version is served.

The only module that uses river. ADWIN (Bifet and Gavaldà, "Learning from time-changing data with adaptive windowing",
2007) keeps the newest errors while they share a mean, and drops older errors with another mean.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

LONGEST = 5.0
"""The cap on regression errors, as a multiple of the usual error: ADWIN needs values between 0 and 1."""

RECENT = 1000
"""Maximum number of labels whose mean is the present error."""


@dataclass(frozen=True)
class Change:
    """The error has changed."""

    before: float
    now: float
    at: int
    """The number of labels when it was first noticed."""
    rose: bool
    """True if it is higher than before."""


class Detector:
    """Follows the errors of one version: 0 or 1 for classes, absolute errors for numbers; `usual` is a typical error."""

    def __init__(self, usual: float | None = None) -> None:
        self._adwin, self._cut = _window(), False
        self._unit = LONGEST * usual if usual else 1.0
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._before: float | None = None
        self._at = 0
        self.n = 0
        """The number of errors added."""

    @property
    def error(self) -> float | None:
        """The mean of the newest errors since the last change; None before the first."""
        if not self.n:
            return None
        count = min(len(self._recent), max(1, int(self._adwin.get_width())))
        return sum(islice(reversed(self._recent), count)) / count

    @property
    def change(self) -> Change | None:
        """The change that still lasts; None once the error is back at its old level."""
        if self._before is None or self.error is None:
            return None
        rose = self._mean() > self._before
        return Change(self._before * self._unit, self.error, self._at, rose)

    def add(self, errors: Iterable[float]) -> None:
        """Add the next errors, in the order of their labels."""
        for error in errors:
            before = self._mean()
            if self._cut:
                self._adwin = _window()
            self._cut = self._adwin.update(min(error / self._unit, 1.0))
            self._recent.append(error)
            self.n += 1
            if self._cut:
                self._note(before)

    def _note(self, before: float) -> None:
        """Record a detected change. ADWIN may need several cuts for one change; the mean before the first cut counts."""
        now = self._mean()
        if self._before is None and now > before:
            self._before, self._at = before, self.n
        elif self._before is not None and now <= self._before:
            self._before = None

    def _mean(self) -> float:
        """The mean of the errors in the window."""
        width = self._adwin.get_width()
        return float(self._adwin.get_total() / width) if width else 0.0


def _window() -> Any:
    """A new ADWIN with the settings of `river.drift.ADWIN`, which also starts over after each change.

    Only river's compiled part is imported: the package `river.drift` brings scikit-learn and pandas, 3 s and 100 MB.
    """
    from river._river_rust import drift

    return drift.AdaptiveWindowing(delta=0.002, clock=32, max_buckets=5, min_window_length=5, grace_period=10)
