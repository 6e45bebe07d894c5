"""The models: estimators of our own beside those of scikit-learn, and what a fitted one answers.

Level 2. Rows come in as float64 (n, d): NaN is a missing number, integer, boolean or date, a category is its code and -1
an unknown one. Targets are class codes, int64 (n,), or numbers, float64 (n,). A bundle names the classes of this module,
so they keep their place.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LinearRegression
from sklearn.utils.validation import check_is_fitted, validate_data

from daemon.schema import Schema

Matrix = NDArray[np.float64]
Codes = NDArray[np.int64]
Targets = NDArray[Any]
"""Class codes, int64 (n,), or numbers, float64 (n,)."""


class Design(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Rows to the design matrix of a linear model: impute the mean, one-hot categories, standardise numbers.

    `categories` has one entry a column: 0 for a number of any kind, else how many codes the category has.
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


def answers(estimator: Any, rows: Matrix, schema: Schema) -> Matrix:
    """What a fitted estimator answers: (n, classes) probabilities, zero for a class it has never seen, or (n, 1) values."""
    if schema.task == "regression":
        return np.asarray(estimator.predict(rows), dtype=np.float64).reshape(-1, 1)
    proba = np.zeros((len(rows), len(schema.classes)))
    proba[:, estimator.classes_] = estimator.predict_proba(rows)
    return proba
