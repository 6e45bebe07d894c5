"""The models: our own estimators in addition to scikit-learn's, and the answers of a fitted estimator.

Rows come in as float64 (n, d): NaN is a missing number, integer, boolean or date; a category is its code, -1 if
unknown. Targets are class codes, int64 (n,), or numbers, float64 (n,). Bundles name the classes of this module, so they
must stay here.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.validation import check_is_fitted, validate_data

Matrix = NDArray[np.float64]
Codes = NDArray[np.int64]
Targets = NDArray[Any]
"""Class codes, int64 (n,), or numbers, float64 (n,)."""


Chosen = slice | NDArray[Any]
"""Which rows: a slice, or their indices."""

ALL = slice(None)

QR_ROWS = 8192

ROUNDING = 10 * float(np.finfo(np.float64).eps)
"""Numbers that differ by at most this share of their size count as equal: the difference is a rounding error."""

SINGLE = (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
"""Estimators that train on rows in single precision."""


class Design(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The design matrix of a linear model: mean-imputed and standardised numbers, one-hot encoded categories.

    `categories` has one entry per column: 0 for a number of any kind, otherwise the category's number of codes.
    """

    def __init__(self, categories: Sequence[int] = ()) -> None:
        self.categories = categories

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit mean and standard deviation of the numbers; empty or constant columns become zero."""
        return self.fit_rows(validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan"))

    def fit_rows(self, rows: Matrix, chosen: Chosen = ALL) -> Self:
        """As `fit` on rows[chosen], without copying them."""
        self.n_features_in_ = rows.shape[1]
        scales = [_standard(rows[chosen, index]) for index in self._numbers()]
        self.mean_ = np.array([mean for mean, _ in scales])
        self.scale_ = np.array([scale for _, scale in scales])
        return self

    def transform(self, X: ArrayLike) -> Matrix:
        """(n, d) to (n, numbers + sum of categories): the numbers first, then one column per category code."""
        check_is_fitted(self, "scale_")
        return self.transform_rows(validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False))

    def transform_rows(self, rows: Matrix, chosen: Chosen = ALL) -> Matrix:
        """As `transform` of rows[chosen], without copying them: expressions over all of them would double the memory."""
        numbers, sizes = self._numbers(), self._sizes(rows.shape[1])
        made = np.empty((len(rows[chosen, 0]), len(numbers) + sum(sizes)))
        for place, index in enumerate(numbers):
            values, mean = rows[chosen, index], self.mean_[place]
            np.divide(np.where(np.isnan(values), mean, values) - mean, self.scale_[place], out=made[:, place])
        place = len(numbers)
        for index, size in enumerate(sizes):
            values = rows[chosen, index] if size else rows[:0, index]
            for code in range(size):
                np.equal(values, code, out=made[:, place], casting="unsafe")
                place += 1
        return made

    def _sizes(self, width: int) -> list[int]:
        return list(self.categories) or [0] * width

    def _numbers(self) -> list[int]:
        return [i for i, n in enumerate(self._sizes(self.n_features_in_)) if not n]


def _standard(values: Matrix) -> tuple[float, float]:
    """Centre and scale of the known values of one column, (n,): their mean and standard deviation."""
    present = values[~np.isnan(values)]
    low, high = (float(present.min()), float(present.max())) if len(present) else (0.0, 0.0)
    if high - low <= ROUNDING * max(-low, high):
        # The computed mean of many 0.1s is not exactly 0.1. Divided by that difference, any other value would be huge.
        return low, max(1.0, abs(low))
    return float(present.mean()), float(present.std()) or 1.0  # squares of very small differences underflow to zero


def solve(rows: Matrix, targets: Matrix) -> tuple[Matrix, Matrix]:
    """Least squares of (n, d) and (n, k): coefficients (k, d), of least norm if there are many, and intercepts (k,).

    It uses QR, a few rows at a time (Demmel et al., "Communication-optimal parallel and sequential QR and LU
    factorizations", 2012). This is as exact as on all rows at once, which would take several times their memory.
    """
    width, centre, middle = rows.shape[1], rows.mean(axis=0), targets.mean(axis=0)
    upper = np.empty((0, width + targets.shape[1]))
    for start in range(0, len(rows), QR_ROWS):
        part = slice(start, start + QR_ROWS)
        both = np.column_stack([rows[part] - centre, targets[part] - middle])
        upper = np.asarray(np.linalg.qr(np.vstack([upper, both]), mode="r"))
    tolerance = np.finfo(np.float64).eps * max(rows.shape)
    solution = np.linalg.lstsq(upper[:, :width], upper[:, width:], rcond=tolerance)[0].T
    return solution, middle - solution @ centre


class LeastSquares(LinearRegression):  # type: ignore[misc]
    """scikit-learn's linear regression, fitted with less memory; see `solve`."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit (n, d) to targets (n,)."""
        rows, targets = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        coefficients, intercepts = solve(rows, np.asarray(targets, dtype=np.float64).reshape(-1, 1))
        self.coef_, self.intercept_ = coefficients[0], intercepts[0]
        return self


LEAST = 1e-6
"""Lower bound to which scores are clipped before they are normalised."""


class LeastSquaresClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Linear regression as a classifier: least squares on one-hot targets; scores are clipped and normalised."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit one regression per class; `y` holds class codes."""
        self.classes_, index = np.unique(np.asarray(y), return_inverse=True)
        self.coef_, self.intercept_ = solve(np.asarray(X, dtype=np.float64), np.eye(len(self.classes_))[index])
        return self

    def predict_proba(self, X: ArrayLike) -> Matrix:
        """(n, d) to (n, classes); rows sum to 1."""
        scores = np.clip(np.asarray(X) @ self.coef_.T + self.intercept_, LEAST, 1.0)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))

    def predict(self, X: ArrayLike) -> Codes:
        """(n, d) to the codes of the likeliest classes, (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class _Native:
    """Histogram gradient boosting that splits the codes of `categorical_features` (positions of columns) into sets.

    scikit-learn itself moves these columns to the front, encodes them again, and treats -1 as a category. Here columns
    and codes stay unchanged, and a code below 0, or one not seen in `fit`, is missing.
    """

    categorical_features: Sequence[int]

    def _preprocess_X(self, X: ArrayLike, *, reset: bool) -> Any:  # noqa: N802 - scikit-learn's name
        rows = np.array(validate_data(self, X, dtype=np.float64, ensure_all_finite=False, reset=reset))
        bins: list[Matrix | None] = [None] * rows.shape[1]
        for place in self.categorical_features:
            values = rows[:, place]
            values[values < 0] = np.nan
            bins[place] = np.unique(values[~np.isnan(values)])
        if not reset:
            return rows
        self._preprocessor = None
        self.is_categorical_ = self._is_categorical_remapped = np.array([one is not None for one in bins])
        return rows, bins


class NativeBoostingClassifier(_Native, HistGradientBoostingClassifier):  # type: ignore[misc]
    """scikit-learn's, with categories as in _Native."""


class NativeBoostingRegressor(_Native, HistGradientBoostingRegressor):  # type: ignore[misc]
    """scikit-learn's, with categories as in _Native."""


class Calibrated(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose probabilities are raised to a power, p not below FLOOR, and normalised: temperature scaling.

    `slope` is a parameter, determined by `retraind.daemon.training.selection.calibration`; `fit` only fits the classifier. No
    label changes.
    """

    def __init__(self, estimator: Any = None, slope: float = 1.0) -> None:
        self.estimator, self.slope = estimator, slope

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the classifier again; the slope stays."""
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
"""Lower bound of a probability before correction: a forest of a hundred trees may answer 0 for a merely rare class."""


def calibrate(proba: Matrix, slope: float) -> Matrix:
    """Corrected probabilities (n, classes), see Calibrated."""
    raised = np.maximum(proba, FLOOR) ** slope
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def fit(estimator: Any, rows: Matrix, targets: Targets, chosen: Chosen = ALL) -> Any:
    """A fitted clone, as by estimator.fit(rows[chosen], targets[chosen]), without copying these rows if possible."""
    fresh = clone(estimator)
    if isinstance(fresh, Pipeline) and isinstance(fresh[0], Design):
        fresh[1:].fit(fresh[0].fit_rows(rows, chosen).transform_rows(rows, chosen), targets[chosen])
        return fresh
    if isinstance(fresh, SINGLE):
        return fresh.fit(_single(rows, chosen), targets[chosen])
    return fresh.fit(rows[chosen], targets[chosen])


def _single(rows: Matrix, chosen: Chosen) -> NDArray[np.float32]:
    """rows[chosen] in single precision, to which trees convert them anyway."""
    made = np.empty((len(rows[chosen, 0]), rows.shape[1]), dtype=np.float32)
    for index in range(rows.shape[1]):
        made[:, index] = rows[chosen, index]
    return made


def with_early_stopped_size(estimator: Any, fitted: Any) -> Any:
    """A clone of `estimator` with the tree count that early stopping found for `fitted`.

    No rows are left to judge another count.
    """
    fresh = clone(estimator)
    for step, done in zip(steps(fresh), steps(fitted), strict=True):
        if hasattr(done, "do_early_stopping_"):
            # `auto` stops early from 10,001 rows on; the judged model may have fewer while all rows together
            # have more.
            step.set_params(early_stopping=False, max_iter=int(done.n_iter_))
        elif getattr(done, "n_iter_no_change", None) and hasattr(done, "n_estimators_"):
            step.set_params(n_iter_no_change=None, n_estimators=int(done.n_estimators_))
    return fresh


def steps(estimator: Any) -> Iterator[Any]:
    """All estimators in one: the steps of a pipeline, and of each member of a blend."""
    if isinstance(estimator, Calibrated):
        yield from steps(estimator.estimator)
    elif isinstance(estimator, Pipeline):
        yield from (step for _, step in estimator.steps)
    elif hasattr(estimator, "members"):
        for member in getattr(estimator, "members_", estimator.members):
            yield from steps(member)
    else:
        yield estimator


class Target(Protocol):
    """The part of a schema that answers depend on."""

    @property
    def task(self) -> str:
        """`classification` or `regression`."""

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes."""


def answers(estimator: Any, rows: Matrix, schema: Target) -> Matrix:
    """The answers of a fitted estimator: (n, classes) probabilities, zero for an unseen class, or (n, 1) values."""
    if schema.task == "regression":
        return np.asarray(estimator.predict(rows), dtype=np.float64).reshape(-1, 1)
    proba = np.zeros((len(rows), len(schema.classes)))
    proba[:, estimator.classes_] = estimator.predict_proba(rows)
    return proba
