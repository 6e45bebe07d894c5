"""Kernel models: smooth functions of a row's nearness to some training rows.

They suit data that neither lines nor steps describe.

Radial basis functions around `landmarks` of the training rows (Williams and Seeger, "Using the Nyström method to speed
up kernel machines", 2001) before ridge or logistic regression. The fit is folded into one weight per landmark, so an
answer needs two products of small matrices. Bundles name the classes of this module, so they must stay here.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

Matrix = NDArray[np.float64]

LANDMARKS = 500
"""Number of landmarks. More gained nothing on the data sets of `benchmarks.train.models`, and the fit grows with their
square."""

LEAST_SHARE = 1e-7
"""Directions with an eigenvalue below this share of the largest are dropped: their weights would be rounding errors."""


class _Kernel(BaseEstimator):  # type: ignore[misc]
    """The base for both tasks: rows (n, d), standardised and without missing values, to a sum over landmarks.

    `reach`: how fast nearness falls, exp(-reach * squared distance / total variance of the columns); `penalty`: how
    strongly large weights are punished.
    """

    def _learn(self, rows: Matrix) -> Matrix:
        """Choose the landmarks; returns the linear model's rows (n, rank), and keeps the matrix that folds its weights."""
        count = max(1, min(LANDMARKS, len(rows) // 2))
        places = check_random_state(self.random_state).choice(len(rows), count, replace=False)
        self.landmarks_, self.gamma_ = rows[np.sort(places)], self.reach / (float(rows.var(axis=0).sum()) or 1.0)
        values, vectors = eigh(self._nearness(self.landmarks_))
        kept = values > LEAST_SHARE * values[-1]
        self._fold = vectors[:, kept] / np.sqrt(values[kept])
        return np.asarray(self._nearness(rows) @ self._fold)

    def _keep(self, linear: Any) -> Self:
        """Store the fitted linear model: `weights_` (landmarks, k) and `intercept_` (k,)."""
        self.weights_ = self._fold @ np.atleast_2d(linear.coef_).T
        self.intercept_ = np.atleast_1d(linear.intercept_)
        del self._fold
        return self

    def _nearness(self, rows: Matrix) -> Matrix:
        """(n, d) to (n, landmarks): 1 for the landmark itself, towards 0 far from it."""
        here, there = (rows**2).sum(axis=1)[:, None], (self.landmarks_**2).sum(axis=1)
        distance = here + there - 2.0 * (rows @ self.landmarks_.T)
        return np.asarray(np.exp(-self.gamma_ * np.maximum(distance, 0.0)))

    def _sums(self, X: ArrayLike) -> Matrix:
        """(n, d) to (n, k)."""
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(self._nearness(rows) @ self.weights_ + self.intercept_)


class KernelRegressor(RegressorMixin, _Kernel):  # type: ignore[misc]
    """Ridge regression on radial basis functions; far from all landmarks it answers roughly the mean."""

    def __init__(self, reach: float = 0.25, penalty: float = 0.03, random_state: Any = None) -> None:
        self.reach, self.penalty, self.random_state = reach, penalty, random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit (n, d) to targets (n,)."""
        rows, targets = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        return self._keep(Ridge(alpha=self.penalty).fit(self._learn(rows), targets))

    def predict(self, X: ArrayLike) -> Matrix:
        """(n, d) to values (n,)."""
        return self._sums(X)[:, 0]


class KernelClassifier(ClassifierMixin, _Kernel):  # type: ignore[misc]
    """Logistic regression on radial basis functions."""

    def __init__(
        self, reach: float = 0.25, penalty: float = 0.01, class_weight: Any = None, random_state: Any = None
    ) -> None:
        self.reach, self.penalty, self.class_weight, self.random_state = reach, penalty, class_weight, random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit (n, d) to class codes (n,)."""
        rows, codes = validate_data(self, X, y, dtype=np.float64)
        linear = LogisticRegression(C=1 / self.penalty, max_iter=1000, class_weight=self.class_weight)
        self._keep(linear.fit(self._learn(rows), codes))
        self.classes_ = linear.classes_
        return self

    def predict_proba(self, X: ArrayLike) -> Matrix:
        """(n, d) to (n, classes); rows sum to 1."""
        sums = self._sums(X)
        if sums.shape[1] == 1:
            sums = np.hstack([np.zeros_like(sums), sums])
        raised = np.exp(sums - sums.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """(n, d) to the codes of the likeliest classes, (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])
