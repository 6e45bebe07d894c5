"""Blends: the weighted mean of several models' answers, which beats each model if their errors differ.

Caruana et al., "Ensemble selection from libraries of models", 2004. `retraind.daemon.training.selection.blending` decides on
members and weights. Bundles name the classes of this module, so they must stay here.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from retraind.daemon import model

Matrix = NDArray[np.float64]


class Blend(BaseEstimator):  # type: ignore[misc]
    """The base for both tasks: unfitted `members` and their `weights`, which need not sum to 1."""

    def __init__(self, members: Sequence[Any] = (), weights: Sequence[float] = ()) -> None:
        self.members, self.weights = members, weights

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit each member to rows (n, d) and targets (n,)."""
        rows, targets = np.asarray(X, dtype=np.float64), np.asarray(y)
        self.n_features_in_ = rows.shape[1]
        self.members_ = [model.fit(member, rows, targets) for member in self.members]
        return self

    @property
    def shares(self) -> list[float]:
        """The share of each member in the answer; they sum to 1."""
        whole = sum(self.weights)
        return [weight / whole for weight in self.weights]

    def _mean(self, answers: Sequence[Any]) -> Matrix:
        return np.asarray(sum(share * np.asarray(each) for share, each in zip(self.shares, answers, strict=True)))


class BlendRegressor(RegressorMixin, Blend):  # type: ignore[misc]
    """The mean of values."""

    def predict(self, X: ArrayLike) -> Matrix:
        """(n, d) to values (n,)."""
        return self._mean([member.predict(X) for member in self.members_])


class BlendClassifier(ClassifierMixin, Blend):  # type: ignore[misc]
    """The mean of probabilities."""

    @property
    def classes_(self) -> NDArray[np.int64]:
        """The class codes that the members have seen; all were fitted to the same rows."""
        return np.asarray(self.members_[0].classes_)

    def predict_proba(self, X: ArrayLike) -> Matrix:
        """(n, d) to (n, classes); rows sum to 1."""
        return self._mean([member.predict_proba(X) for member in self.members_])

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """(n, d) to the codes of the likeliest classes, (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])
