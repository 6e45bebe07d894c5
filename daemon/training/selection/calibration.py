"""Calibration: corrects probabilities so that they agree with frequencies, without another fit of the model.

Temperature scaling (Guo et al., "On calibration of modern neural networks", 2017): Platt's method with one parameter,
which changes no label. The parameter is determined from cross-validation's answers, for rows that a candidate was not
trained on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.model_selection import KFold

from retraind.daemon.model import Matrix, Targets, calibrate
from retraind.daemon.schema.scores import CalibrationScore
from retraind.daemon.training.data import split
from retraind.daemon.training.metrics import measure

LEAST_ROWS = 50
"""With fewer rows than this the correction would be noise."""

GAIN = 0.01
"""Minimum relative fall of the log loss."""

STEEPEST = 10.0
"""Limit of the slope; the other limit is its inverse."""


class Kept(NamedTuple):
    """Answers (n, classes) for rows that a candidate was not trained on, their targets (n,), and their units (n,)."""

    answers: Matrix
    targets: Targets
    units: NDArray[Any]


@dataclass(frozen=True)
class Correction:
    """The slope as in `retraind.daemon.model.Calibrated`, and the cross-validated log loss without and with it."""

    slope: float
    before: float
    after: float

    def facts(self) -> CalibrationScore:
        """Its entry in a manifest's scores."""
        return {"slope": self.slope, "before": self.before, "after": self.after}


def find(proba: Matrix, codes: Targets, units: NDArray[Any], seed: int, *, forward: bool = False) -> Correction | None:
    """The correction of probabilities (n, classes), if it lowers their log loss, cross-validated by `units` (n,).

    `forward`: the rows are in order of time, and the correction is tested on newer rows than those it was determined
    from.
    """
    different, which = split.numbered(units)
    if len(different) < LEAST_ROWS:
        return None
    corrected, tried = np.empty_like(proba), np.zeros(len(codes), dtype=bool)
    for some in np.array_split(np.arange(len(different)), 5)[1:] if forward else _folds(different, seed):
        test = np.isin(which, some)
        learn = which < some[0] if forward else ~test
        corrected[test] = calibrate(proba[test], _slope(proba[learn], codes[learn]))
        tried |= test
    of = codes[tried]
    before, after = (measure("log_loss", given[tried], of, "classification") for given in (proba, corrected))
    return Correction(_slope(proba, codes), before, after) if after < before * (1 - GAIN) else None


def _folds(different: NDArray[Any], seed: int) -> Iterator[NDArray[np.int64]]:
    for _, test in KFold(5, shuffle=True, random_state=seed).split(different):
        yield test


def _slope(proba: Matrix, codes: Targets) -> float:
    rows = np.arange(len(codes))

    def loss(power: float) -> float:
        return float(-np.log(calibrate(proba, STEEPEST**power)[rows, codes]).mean())

    return float(STEEPEST ** minimize_scalar(loss, bounds=(-1, 1), method="bounded").x)
