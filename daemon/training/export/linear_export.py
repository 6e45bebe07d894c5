"""The export of linear models as data: scaling, weights and link of a fitted pipeline, for `retraind.daemon.artifacts.linear_model`."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from retraind.daemon.artifacts.linear_model import Calibration, CategoryWeights, Form, Link
from retraind.daemon.model import FLOOR, LEAST, Calibrated, Design, LeastSquaresClassifier

Matrix = NDArray[np.float64]

MOST_WEIGHTS = 512
"""With more weights per row, Python is not faster than ONNX Runtime, which then answers alone."""

VALUES = (LinearRegression, Ridge, ElasticNet)


class _Scaling(NamedTuple):
    """The number columns with their offsets and scales, and the categories' positions and sizes."""

    numbers: list[int]
    means: list[float]
    scales: list[float]
    fills: bool
    categories: list[tuple[int, int]]


def form_of(estimator: Any, width: int) -> Form | None:
    """A fitted estimator of rows (n, width) as data.

    None if it is not a linear model of a known form, or has too many weights.
    """
    calibration = None
    if isinstance(estimator, Calibrated):
        calibration, estimator = Calibration(slope=estimator.slope, floor=FLOOR), estimator.estimator
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    scaling, link = _scaling(steps[:-1], width), _link(steps[-1])
    if scaling is None or link is None:
        return None
    weights, intercepts = _weights(steps[-1])
    if len(intercepts) * (len(scaling.numbers) + len(scaling.categories)) > MOST_WEIGHTS:
        return None
    count = len(scaling.numbers)
    return Form(
        width=width,
        numbers=scaling.numbers,
        means=scaling.means,
        scales=scaling.scales,
        fills=scaling.fills,
        weights=weights[:, :count].tolist(),
        intercepts=intercepts.tolist(),
        categories=_categories(scaling, weights[:, count:]),
        link=link,
        least=LEAST if link == "clipped" else 0.0,
        calibration=calibration,
    )


def _link(estimator: Any) -> Link | None:
    if isinstance(estimator, LeastSquaresClassifier):
        return "clipped"
    if isinstance(estimator, LogisticRegression):
        return "softmax" if len(estimator.classes_) > 2 else "logistic"
    return "identity" if isinstance(estimator, VALUES) else None


def _weights(estimator: Any) -> tuple[Matrix, Matrix]:
    """Weights (scores, columns of the design) and intercepts (scores,)."""
    weights = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64))
    intercepts = np.ravel(np.asarray(estimator.intercept_, dtype=np.float64))
    return weights, np.broadcast_to(intercepts, len(weights))


def _scaling(steps: list[Any], width: int) -> _Scaling | None:
    """The scaling before the estimator; None if another step precedes it."""
    everything = list(range(width))
    if not steps:
        return _Scaling(everything, [0.0] * width, [1.0] * width, False, [])
    (step, *more) = steps
    if not more and isinstance(step, StandardScaler):
        means = step.mean_.tolist() if step.with_mean else [0.0] * width
        scales = step.scale_.tolist() if step.with_std else [1.0] * width
        return _Scaling(everything, means, scales, False, [])
    if not more and isinstance(step, Design):
        sizes = list(step.categories) or [0] * width
        categories = [(place, size) for place, size in enumerate(sizes) if size]
        numbers = [place for place, size in enumerate(sizes) if not size]
        return _Scaling(numbers, step.mean_.tolist(), step.scale_.tolist(), True, categories)
    return None


def _categories(scaling: _Scaling, weights: Matrix) -> list[CategoryWeights]:
    made, start = [], 0
    for place, size in scaling.categories:
        made.append(CategoryWeights(place=place, weights=weights[:, start : start + size].T.tolist()))
        start += size
    return made
