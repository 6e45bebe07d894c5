"""The folds of cross-validation: which rows each trains on and which it tests on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold

from retraind.daemon.core.settings import Train
from retraind.daemon.model import Targets
from retraind.daemon.schema.hash_mixing import Prints
from retraind.daemon.schema.schema import Task
from retraind.daemon.tabular.row_times import Moments
from retraind.daemon.training.data import split

Split = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The numbers of the rows to train on, and of those to test on."""


@dataclass(frozen=True)
class Folds:
    """Folds from 0 to `count` - 1."""

    count: int
    _number: NDArray[np.int8]
    """The fold that tests on each row (n,); a byte a row, because the row numbers of all folds would take a tenth of the rows' memory."""
    _ahead: tuple[Split, ...] = ()
    """The folds that go forward in time, which test on some rows only."""

    def rows(self, fold: int) -> Split:
        """The rows of one fold, in ascending order."""
        if self._ahead:
            return self._ahead[fold]
        test = self._number == fold
        return np.flatnonzero(~test), np.flatnonzero(test)


def make(task: Task, targets: Targets, settings: Train, units: Prints | None, times: Moments | None) -> Folds:
    """Shuffled folds, stratified for classes, or forward in time; equal for equal arguments.

    There are fewer folds (at least 2) if a class is rarer, or if a fold would hold a single row.
    """
    most, none = settings.folds, np.zeros(0, dtype=np.int8)
    if times is not None:
        codes = targets if task == "classification" else None
        # Without folds, all training rows have the same time.
        if ahead := split.forward(times, units, most, codes):
            return Folds(len(ahead), none, tuple(ahead))
    first = which = np.arange(len(targets))
    if units is not None:
        first, which = split.numbered(units)
    if task == "regression":
        count = max(2, min(most, len(first) // 2))
        return Folds(count, _numbered(KFold(count, shuffle=True, random_state=settings.seed).split(first), which))
    classes = targets[first]
    count = max(2, min(most, int(np.bincount(classes)[np.unique(classes)].min())))
    stratified = StratifiedKFold(count, shuffle=True, random_state=settings.seed)
    return Folds(count, _numbered(stratified.split(np.empty((len(first), 0)), classes), which))


def _numbered(splits: Iterable[tuple[Any, Any]], which: NDArray[np.int64]) -> NDArray[np.int8]:
    """The fold of each row (n,), from splits of units; `which` (n,) has each row's unit."""
    number = np.zeros(int(which.max(initial=-1)) + 1, dtype=np.int8)
    for fold, (_, test) in enumerate(splits):
        number[test] = fold
    return number[which]
