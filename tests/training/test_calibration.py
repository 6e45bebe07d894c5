"""retraind.daemon.training.selection.calibration: probabilities are corrected where that pays, and only there."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.tree import DecisionTreeClassifier

from retraind.daemon.model import Calibrated, calibrate
from retraind.daemon.training.selection import calibration
from retraind.daemon.training.selection.calibration import Kept


def spoken(slope: float, count: int = 2000, classes: int = 3) -> Kept:
    """Probabilities that would be right if raised to the power of `slope`, and what came true."""
    random = np.random.default_rng(0)
    honest = random.dirichlet(np.ones(classes), count)
    codes = (honest.cumsum(axis=1) < random.random((count, 1))).sum(axis=1)
    stated = honest ** (1 / slope)
    return Kept(stated / stated.sum(axis=1, keepdims=True), codes, np.arange(count))


@pytest.mark.parametrize("slope", [0.4, 2.5])
@pytest.mark.parametrize("classes", [2, 3, 12])
def test_overconfidence_and_modesty_are_corrected(slope: float, classes: int) -> None:
    """What was taken to a power is found again."""
    correction = calibration.find(*spoken(slope, 4000, classes), seed=1)
    assert correction is not None
    assert correction.slope == pytest.approx(slope, rel=0.15)
    assert correction.after < correction.before


def test_honest_probabilities_stay() -> None:
    """Nothing is gained, so nothing is changed; neither is on a few rows."""
    assert calibration.find(*spoken(1.0), seed=1) is None
    stated, codes, units = spoken(0.4)
    assert calibration.find(stated[:40], codes[:40], units[:40], seed=1) is None


def test_copies_are_no_more_evidence() -> None:
    """Forty rows stay forty, and too few, however often each is there."""
    few = Kept(*(np.repeat(part[:40], 50, axis=0) for part in spoken(0.4)))
    assert calibration.find(*few, seed=1) is None
    alone = few._replace(units=np.arange(len(few.units)))
    assert calibration.find(*alone, seed=1) is not None


def test_calibrated_estimator_can_be_cloned_and_fitted_again() -> None:
    """The slope is one of its parameters; its answers are those of the classifier, corrected, with the same labels."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 2))
    codes = (rows[:, 0] + random.normal(size=200) > 0).astype(np.int64)
    tree = DecisionTreeClassifier(max_depth=3).fit(rows, codes)
    cloned = clone(Calibrated(tree, 0.5)).fit(rows, codes)
    assert_allclose(cloned.predict_proba(rows), calibrate(tree.predict_proba(rows), 0.5))
    assert_allclose(cloned.predict_proba(rows).sum(axis=1), 1)
    assert (cloned.predict(rows) == tree.predict(rows)).all()
