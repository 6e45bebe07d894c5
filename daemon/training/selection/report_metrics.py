"""Metrics only for reports: textbook figures (fixed split, 10-fold), which choose or judge nothing."""

from typing import Any

from sklearn.base import clone
from sklearn.model_selection import train_test_split

from retraind.daemon.core.settings import Train
from retraind.daemon.model import Matrix, Targets
from retraind.daemon.schema.schema import Schema, Task
from retraind.daemon.training.selection.candidates import Candidate
from retraind.daemon.training.selection.cross_validation import Scored, Trial

TEST_SHARE = 0.2
"""Share of the rows that textbooks test on."""


def cross_validate(
    candidate: Candidate | Scored, schema: Schema, rows: Matrix, targets: Targets, folds: int, seed: int
) -> Scored:
    """The mean figures of one candidate over so many folds; `rows` (n, d), `targets` (n,)."""
    competitor = Candidate(candidate.name, candidate.estimator)
    return Trial(schema, rows, targets, Train(folds=folds, seed=seed)).of(competitor)


def split42(estimator: Any, rows: Matrix, targets: Targets, task: Task) -> float:
    """Accuracy or R² on the textbook split: test_size=0.2, random_state=42, stratified if there are classes."""
    classes = targets if task == "classification" else None
    train, test, train_targets, test_targets = train_test_split(
        rows, targets, test_size=TEST_SHARE, random_state=42, stratify=classes
    )
    return float(clone(estimator).fit(train, train_targets).score(test, test_targets))
