"""The models: estimators of our own beside those of scikit-learn, and what a fitted one answers.

Level 2. Rows come in as float64 (n, d): NaN is a missing number, integer, boolean or date, a category is its code and -1
an unknown one. Targets are class codes, int64 (n,), or numbers, float64 (n,). A bundle names the classes of this module,
so they keep their place.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
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
        found = [_moments(rows[:, index]) for index in self._numbers()]
        self.mean_ = np.array([mean for mean, _ in found])
        spread = np.array([deviation for _, deviation in found])
        self.scale_ = np.where(spread > 0, spread, 1.0)
        return self

    def transform(self, X: ArrayLike) -> Matrix:
        """(n, d) to (n, numbers + sum of categories): the numbers first, then one column per category code."""
        check_is_fitted(self, "scale_")
        rows = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        numbers, sizes = self._numbers(), self._sizes(rows.shape[1])
        # Column by column into one array: expressions over all of it would need several times its memory.
        made = np.empty((len(rows), len(numbers) + sum(sizes)))
        for place, index in enumerate(numbers):
            values, mean = rows[:, index], self.mean_[place]
            np.divide(np.where(np.isnan(values), mean, values) - mean, self.scale_[place], out=made[:, place])
        place = len(numbers)
        for index, size in enumerate(sizes):
            for code in range(size):
                np.equal(rows[:, index], code, out=made[:, place], casting="unsafe")
                place += 1
        return made

    def _sizes(self, width: int) -> list[int]:
        return list(self.categories) or [0] * width

    def _numbers(self) -> list[int]:
        return [i for i, n in enumerate(self._sizes(self.n_features_in_)) if not n]


def _moments(values: Matrix) -> tuple[float, float]:
    """Mean and standard deviation of the known values of one column, (n,); 0 without any."""
    known = values[~np.isnan(values)]
    return (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)


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


class Calibrated(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose probabilities are raised to a power, p not below FLOOR, and normalised: temperature scaling.

    `slope` is a parameter, found by `daemon.calibration`; `fit` fits the classifier only. No label changes.
    """

    def __init__(self, estimator: Any = None, slope: float = 1.0) -> None:
        self.estimator, self.slope = estimator, slope

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the classifier anew; the slope stays."""
        self.estimator = clone(self.estimator).fit(X, y)
        return self

    @property
    def classes_(self) -> Codes:
        """The class codes that the classifier has seen."""
        return np.asarray(self.estimator.classes_)

    def predict_proba(self, X: ArrayLike) -> Matrix:
        """(n, d) to (n, classes); rows sum to 1."""
        return calibrate(np.asarray(self.estimator.predict_proba(X)), self.slope)

    def predict(self, X: ArrayLike) -> Codes:
        """(n, d) to the codes of the likeliest classes, (n,)."""
        return np.asarray(self.estimator.predict(X))


FLOOR = 1e-4
"""The smallest probability that is corrected: a forest of a hundred trees may say 0 of what is merely rare."""


def calibrate(proba: Matrix, slope: float) -> Matrix:
    """Corrected probabilities (n, classes), see Calibrated."""
    raised = np.maximum(proba, FLOOR) ** slope
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def answers(estimator: Any, rows: Matrix, schema: Schema) -> Matrix:
    """What a fitted estimator answers: (n, classes) probabilities, zero for a class it has never seen, or (n, 1) values."""
    if schema.task == "regression":
        return np.asarray(estimator.predict(rows), dtype=np.float64).reshape(-1, 1)
    proba = np.zeros((len(rows), len(schema.classes)))
    proba[:, estimator.classes_] = estimator.predict_proba(rows)
    return proba
