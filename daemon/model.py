"""The models: candidate estimators, how they are fitted, compared and scored.

Level 2, the only module that knows scikit-learn. Rows come in as float64 (n, d): NaN is a missing number, a category is
its code and -1 an unknown one. Targets are class codes, int64 (n,).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted, validate_data

from daemon.schema import Schema

Matrix = NDArray[np.float64]
Codes = NDArray[np.int64]

CANDIDATES = ("logistic", "forest", "tree", "least_squares", "boosting")


class Design(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Rows to the design matrix of a linear model: impute the mean, one-hot categories, standardise numbers.

    `categories` has one entry a column: 0 for a number, else how many codes the category has.
    """

    def __init__(self, categories: Sequence[int] = ()) -> None:
        self.categories = categories

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn mean and standard deviation of the numbers; columns that are empty or constant become zero."""
        rows = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        numbers = rows[:, self._numbers()]
        known = ~np.isnan(numbers)
        count = np.maximum(known.sum(axis=0), 1)
        self.mean_ = np.where(known, numbers, 0.0).sum(axis=0) / count
        deviation = np.where(known, numbers - self.mean_, 0.0)
        spread = np.sqrt((deviation**2).sum(axis=0) / count)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        return self

    def transform(self, X: ArrayLike) -> Matrix:
        """(n, d) to (n, numbers + sum of categories): the numbers first, then one column per category code."""
        check_is_fitted(self, "scale_")
        rows = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        numbers = rows[:, self._numbers()]
        scaled = (np.where(np.isnan(numbers), self.mean_, numbers) - self.mean_) / self.scale_
        hot = [rows[:, [i]] == np.arange(n) for i, n in enumerate(self._sizes(rows.shape[1])) if n]
        return np.hstack([scaled, *(block.astype(np.float64) for block in hot)])

    def _sizes(self, width: int) -> list[int]:
        return list(self.categories) or [0] * width

    def _numbers(self) -> list[int]:
        return [i for i, n in enumerate(self._sizes(self.n_features_in_)) if not n]


class LeastSquaresClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Linear regression as a classifier: least squares on one-hot targets; scores are clipped and normalised."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit one regression per class; `y` holds class codes."""
        self.classes_, index = np.unique(np.asarray(y), return_inverse=True)
        regression = LinearRegression().fit(X, np.eye(len(self.classes_))[index])
        self.coef_, self.intercept_ = regression.coef_, regression.intercept_
        return self

    def predict_proba(self, X: ArrayLike) -> Matrix:
        """(n, d) to (n, classes); rows sum to 1."""
        scores = np.clip(np.asarray(X) @ self.coef_.T + self.intercept_, 1e-6, 1.0)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))

    def predict(self, X: ArrayLike) -> Codes:
        """(n, d) to the codes of the likeliest classes, (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


@dataclass(frozen=True)
class Scored:
    """One candidate after cross-validation; seconds are wall time of all its fits."""

    name: str
    estimator: Any
    cv_accuracy: float
    cv_log_loss: float
    fit_seconds: float


def build(name: str, schema: Schema, seed: int) -> Any:
    """An unfitted candidate by its name; raises KeyError for an unknown one."""
    sizes = [len(column.categories) for column in schema.columns]

    def linear(estimator: Any) -> Any:
        return make_pipeline(Design(sizes), estimator)

    makers: dict[str, Callable[[], Any]] = {
        # C=10: after standardising, the default penalty underfits small, well separated data (Iris: 0.953 to 0.967).
        "logistic": lambda: linear(LogisticRegression(C=10.0, max_iter=1000)),
        "forest": lambda: RandomForestClassifier(n_estimators=100, random_state=seed),
        "tree": lambda: DecisionTreeClassifier(max_depth=8, random_state=seed),
        "least_squares": lambda: linear(LeastSquaresClassifier()),
        "boosting": lambda: HistGradientBoostingClassifier(early_stopping=False, random_state=seed),
    }
    return makers[name]()


def cross_validate(name: str, estimator: Any, rows: Matrix, codes: Codes, folds: int, seed: int) -> Scored:
    """Mean accuracy and log loss over stratified folds; a class rarer than `folds` lowers their number (at least 2)."""
    started = time.perf_counter()
    folds = max(2, min(folds, int(np.bincount(codes)[np.unique(codes)].min())))
    accuracy, loss = [], []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, codes):
        fitted = clone(estimator).fit(rows[train], codes[train])
        proba = spread(fitted, rows[test], int(codes.max()) + 1)
        accuracy.append(float((proba.argmax(axis=1) == codes[test]).mean()))
        loss.append(_log_loss(codes[test], proba))
    seconds = time.perf_counter() - started
    return Scored(name, estimator, float(np.mean(accuracy)), float(np.mean(loss)), seconds)


def best(scored: Sequence[Scored]) -> Scored:
    """The candidate with the highest accuracy; among equals (to 1e-9) the one with the lowest log loss."""
    return min(scored, key=lambda one: (-round(one.cv_accuracy, 9), one.cv_log_loss))


def split42(estimator: Any, rows: Matrix, codes: Codes) -> float:
    """Accuracy on the textbook split: test_size=0.2, random_state=42, stratified."""
    train, test, seen, wanted = train_test_split(rows, codes, test_size=0.2, random_state=42, stratify=codes)
    return float(clone(estimator).fit(train, seen).score(test, wanted))


def spread(estimator: Any, rows: Matrix, classes: int) -> Matrix:
    """Probabilities (n, classes) with a zero column for classes the estimator has never seen."""
    proba = np.zeros((len(rows), classes))
    proba[:, estimator.classes_] = estimator.predict_proba(rows)
    return proba


def score(proba: Matrix, codes: Codes, schema: Schema) -> dict[str, Any]:
    """Figures of (n, classes) probabilities against the truth; see docs/architecture.md for the keys."""
    predicted = proba.argmax(axis=1)
    table = confusion_matrix(codes, predicted, labels=range(len(schema.classes)))
    support = table.sum(axis=1)
    recall = np.where(support > 0, table.diagonal() / np.maximum(support, 1), np.nan)
    seen = [name for name, n in zip(schema.classes, support, strict=True) if n]
    return {
        "n": len(codes),
        "accuracy": float((predicted == codes).mean()),
        "log_loss": _log_loss(codes, proba),
        "balanced_accuracy": float(balanced_accuracy_score(codes, predicted)) if seen else 0.0,
        "recall": {name: float(recall[schema.class_codes[name]]) for name in seen},
        "support": {name: int(n) for name, n in zip(schema.classes, support, strict=True)},
        "confusion": table.tolist(),
    }


def _log_loss(codes: Codes, proba: Matrix) -> float:
    clipped = np.clip(proba, 1e-15, None)
    return float(log_loss(codes, clipped / clipped.sum(axis=1, keepdims=True), labels=range(proba.shape[1])))
