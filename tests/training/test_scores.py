"""retraind.daemon.training.metrics: figures by hand."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, mean_absolute_error, r2_score, root_mean_squared_error
from test_model import MIXED, PRICES

from retraind.daemon.schema import score_names
from retraind.daemon.training import metrics


def test_score_by_hand() -> None:
    """Every figure of four rows, one class of which is not among them."""
    proba = np.array([[0.8, 0.2, 0.0], [0.4, 0.6, 0.0], [0.5, 0.5, 0.0], [0.1, 0.9, 0.0]])
    got = metrics.score(proba, np.array([0, 0, 0, 1]), MIXED)
    assert (got["n"], got["accuracy"]) == (4, 0.75)
    assert got["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert got["log_loss"] == pytest.approx(-np.log([0.8, 0.4, 0.5, 0.9]).mean())
    assert got["recall"] == {"no": pytest.approx(2 / 3), "yes": 1.0}
    assert got["support"] == {"no": 3, "yes": 1, "maybe": 0}
    assert got["confusion"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_certain_and_wrong_is_finite() -> None:
    """A probability of zero for the true class costs much, not infinitely much."""
    got = metrics.score(np.array([[1.0, 0.0, 0.0]]), np.array([1]), MIXED)
    assert 30 < got["log_loss"] < 40


@pytest.mark.parametrize("classes", [2, 5])
def test_log_loss_is_that_of_scikit_learn(classes: int) -> None:
    """Also where answers are certain, do not add up to one, or lack the class."""
    source = np.random.default_rng(classes)
    proba, codes = source.dirichlet(np.full(classes, 0.3), 200), source.integers(0, classes, 200)
    proba[:40] = np.eye(classes)[source.integers(0, classes, 40)]
    proba[40:60] *= 1.5
    clipped = np.clip(proba, 1e-15, None)
    expected = log_loss(codes, clipped / clipped.sum(axis=1, keepdims=True), labels=range(classes))
    assert metrics.pair(proba, codes, "classification")[1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_answers_that_are_no_numbers_have_no_log_loss(strange: float) -> None:
    """A candidate that gives them is left out."""
    with pytest.raises(ValueError, match="NaN or infinity"):
        metrics.pair(np.array([[strange, 0.5], [0.5, 0.5]]), np.array([1, 0]), "classification")


def test_score_of_values() -> None:
    """The figures of a regression are those of scikit-learn."""
    truth, values = np.array([1.0, 2.0, 4.0, 8.0]), np.array([1.5, 2.0, 3.0, 9.0])
    got = metrics.score(values.reshape(-1, 1), truth, PRICES)
    assert got == {
        "n": 4,
        "r2": pytest.approx(r2_score(truth, values)),
        "rmse": pytest.approx(root_mean_squared_error(truth, values)),
        "mae": pytest.approx(mean_absolute_error(truth, values)),
    }
    assert score_names.value(got) == got["r2"]


@pytest.mark.parametrize("truth", [[], [5.0], [5.0, 5.0, 5.0]])
def test_r2_of_too_little_is_unknown(truth: list[float]) -> None:
    """One row, or equal ones, leave nothing to explain: no figure rather than a wrong one."""
    got = metrics.score(np.full((len(truth), 1), 4.0), np.array(truth), PRICES)
    assert (got["n"], got["r2"], got["mae"]) == (len(truth), None, 1.0 if truth else 0.0)
    assert score_names.value(got) is None
    assert metrics.pair(np.full((3, 1), 4.0), np.full(3, 5.0), "regression") == (0.0, 1.0)


@pytest.mark.parametrize(("truth", "value"), [(1e200, 1.0), (1.0, 1e200), (1e200, 1e200)])
def test_figure_that_is_no_number_is_none(truth: float, value: float) -> None:
    """A manifest is JSON, and knows neither nan nor infinity; a candidate with such figures is left out."""
    got = metrics.score(np.array([[1.0], [2.0], [value]]), np.array([1.0, 3.0, truth]), PRICES)
    assert (got["n"], got["r2"], score_names.value(got)) == (3, None, None)
    assert (got["rmse"] is None) == (truth != value)
    assert score_names.plain(got["rmse"]) == ("–" if truth != value else "0.5774")


def test_no_rows_are_no_score() -> None:
    """Without held-out rows every figure is empty, with the same keys."""
    got = metrics.score(np.zeros((0, 3)), np.zeros(0, dtype=np.int64), MIXED)
    assert got.keys() == metrics.score(np.eye(3), np.arange(3), MIXED).keys()
    assert score_names.value(got) is None
