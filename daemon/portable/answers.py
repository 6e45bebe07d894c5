"""The last step of a classification's pipeline: the estimator, whose answers get the names of the classes."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone

Matrix = NDArray[np.float64]


class NamedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of codes 0, 1, …, as one of the `names` of its classes.

    `costs` (classes, classes): the cost of answering the column's class if the row's is true; None: the likeliest class
    is answered. Expected costs that differ by less than the share `tie` are equal, and the first class is answered.
    """

    def __init__(
        self,
        estimator: Any = None,
        names: Sequence[str] = (),
        costs: Sequence[Sequence[float]] | None = None,
        tie: float = 0.0,
    ) -> None:
        self.estimator, self.names, self.costs, self.tie = estimator, names, costs, tie

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the estimator again, to rows (n, d) and names of classes (n,)."""
        codes = {name: code for code, name in enumerate(self.names)}
        self.estimator = clone(self.estimator).fit(X, np.array([codes[name] for name in np.asarray(y).tolist()]))
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> NDArray[Any]:
        """The names of the classes, in the order of the probabilities."""
        return np.array(self.names, dtype=object)

    def predict_proba(self, X: ArrayLike) -> Matrix:
        """(n, d) to (n, classes); 0 for a class that the estimator has not seen."""
        shares = np.zeros((len(np.asarray(X)), len(self.names)))
        shares[:, self.estimator.classes_] = self.estimator.predict_proba(X)
        return shares

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n, d) to the names of the answered classes, (n,)."""
        shares = self.predict_proba(X)
        if self.costs is None:
            return np.asarray(self.classes_[shares.argmax(axis=1)])
        expected = shares @ np.array(self.costs)
        cheap = expected <= expected.min(axis=1, keepdims=True) * (1 + self.tie)
        return np.asarray(self.classes_[cheap.argmax(axis=1)])
