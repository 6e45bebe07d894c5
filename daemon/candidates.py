"""The candidates: estimators that compete for each task, and how they are compared.

Level 3. Comparing is cross-validation on the rows that teach; the held-out rows are for judging the winner only.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from daemon.errors import TrainingFailed
from daemon.figures import DECIDES, SETTLES
from daemon.model import Design, LeastSquaresClassifier, Matrix, Targets, answers
from daemon.schema import Schema, Task
from daemon.scores import pair

NAMES: dict[Task, tuple[str, ...]] = {
    "classification": ("logistic", "forest", "tree", "least_squares", "boosting"),
    "regression": ("linear", "ridge", "forest", "tree", "boosting"),
}
Split = tuple[Any, Any]


@dataclass(frozen=True)
class Scored:
    """One candidate after cross-validation: means over the folds, seconds of wall time for all its fits."""

    name: str
    estimator: Any
    task: Task
    score: float
    """Accuracy or R²."""
    loss: float
    """Log loss or RMSE."""
    fit_seconds: float

    def figures(self) -> dict[str, Any]:
        """The entry of this candidate among the scores of a manifest, under the names of its task."""
        cv = {f"cv_{DECIDES[self.task]}": self.score, f"cv_{SETTLES[self.task]}": self.loss}
        return {"name": self.name, **cv, "fit_seconds": self.fit_seconds}


def of(task: Task, wanted: Sequence[str]) -> list[str]:
    """The candidates of `wanted` that can do the task, in that order; raises TrainingFailed if none can."""
    found = [name for name in wanted if name in NAMES[task]]
    if not found:
        raise TrainingFailed(
            f"No candidate of train.candidates can do {task}.", hint=f"Name some of {', '.join(NAMES[task])}."
        )
    return found


def build(name: str, schema: Schema, seed: int) -> Any:
    """An unfitted candidate of the schema's task by its name; raises KeyError for an unknown one."""
    sizes = [len(column.categories) for column in schema.columns]

    def linear(estimator: Any) -> Any:
        return make_pipeline(Design(sizes), estimator)

    classifiers: dict[str, Callable[[], Any]] = {
        # C=10: after standardising, the default penalty underfits small, well separated data (Iris: 0.953 to 0.967).
        "logistic": lambda: linear(LogisticRegression(C=10.0, max_iter=1000)),
        "forest": lambda: RandomForestClassifier(n_estimators=100, random_state=seed),
        "tree": lambda: DecisionTreeClassifier(max_depth=8, random_state=seed),
        "least_squares": lambda: linear(LeastSquaresClassifier()),
        "boosting": lambda: HistGradientBoostingClassifier(early_stopping=False, random_state=seed),
    }
    regressors: dict[str, Callable[[], Any]] = {
        "linear": lambda: linear(LinearRegression()),
        "ridge": lambda: linear(Ridge(alpha=1.0)),
        "forest": lambda: RandomForestRegressor(n_estimators=100, random_state=seed),
        "tree": lambda: DecisionTreeRegressor(max_depth=8, random_state=seed),
        "boosting": lambda: HistGradientBoostingRegressor(early_stopping=False, random_state=seed),
    }
    return (regressors if schema.task == "regression" else classifiers)[name]()


def cross_validate(name: str, schema: Schema, rows: Matrix, targets: Targets, folds: int, seed: int) -> Scored:
    """The mean figures of one candidate over shuffled folds (stratified for classes); raises KeyError."""
    started = time.perf_counter()
    estimator = build(name, schema, seed)
    found = []
    for train, test in _folds(schema.task, rows, targets, folds, seed):
        fitted = clone(estimator).fit(rows[train], targets[train])
        found.append(pair(answers(fitted, rows[test], schema), targets[test], schema.task))
    score, loss = (float(np.mean(figures)) for figures in zip(*found, strict=True))
    return Scored(name, estimator, schema.task, score, loss, time.perf_counter() - started)


def _folds(task: Task, rows: Matrix, targets: Targets, folds: int, seed: int) -> Iterator[Split]:
    """Pairs of row indices. Fewer folds (at least 2) where a class is rarer, or where one would hold a single row."""
    if task == "regression":
        plain = KFold(max(2, min(folds, len(rows) // 2)), shuffle=True, random_state=seed)
        return iter(plain.split(rows))
    rarest = int(np.bincount(targets)[np.unique(targets)].min())
    stratified = StratifiedKFold(max(2, min(folds, rarest)), shuffle=True, random_state=seed)
    return iter(stratified.split(rows, targets))


def best(scored: Sequence[Scored]) -> Scored:
    """The candidate with the highest accuracy or R²; among equals (to 1e-9) the one with the lowest log loss or RMSE."""
    return min(scored, key=lambda one: (-round(one.score, 9), one.loss))


def split42(estimator: Any, rows: Matrix, targets: Targets, task: Task) -> float:
    """Accuracy or R² on the textbook split: test_size=0.2, random_state=42, stratified if there are classes."""
    classes = targets if task == "classification" else None
    train, test, seen, wanted = train_test_split(rows, targets, test_size=0.2, random_state=42, stratify=classes)
    return float(clone(estimator).fit(train, seen).score(test, wanted))
