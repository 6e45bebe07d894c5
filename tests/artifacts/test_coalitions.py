"""retraind.daemon.artifacts.explaining.coalitions: values that are known in closed form, and what all of them must hold."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from retraind.daemon.artifacts.explaining import coalitions

Matrix = NDArray[np.float64]
RANDOM = np.random.default_rng(1)


def background(sample: Matrix) -> Matrix:
    rows: Matrix = sample[np.linspace(0, len(sample) - 1, min(len(sample), coalitions.BACKGROUND_ROWS)).astype(int)]
    return rows


def test_linear_model_has_its_closed_form() -> None:
    """Weight times distance from the mean, for each answer."""
    sample, row, weights = RANDOM.normal(size=(500, 6)), RANDOM.normal(size=6), RANDOM.normal(size=(6, 3))
    explained = coalitions.explain(lambda rows: rows @ weights, row, sample, [[place] for place in range(6)])
    expected = (row - background(sample).mean(axis=0))[:, np.newaxis] * weights
    np.testing.assert_allclose(explained.values, expected, atol=1e-12)
    assert (explained.method, explained.errors) == ("exact", None)


def test_exact_values_are_the_mean_over_all_orders() -> None:
    """By the definition, for a model with interactions, and a feature with two places."""

    def answers(rows: Matrix) -> Matrix:
        return np.column_stack([rows[:, 0] * rows[:, 1] + np.sin(rows[:, 2] * rows[:, 3])])

    sample, row, groups = RANDOM.normal(size=(7, 4)), RANDOM.normal(size=4), [[0, 3], [1], [2]]
    explained = coalitions.explain(answers, row, sample, groups)
    expected = np.zeros(3)
    for order in itertools.permutations(range(3)):
        rows = sample.copy()
        for feature in order:
            before = answers(rows).mean()
            rows[:, groups[feature]] = row[groups[feature]]
            expected[feature] += (answers(rows).mean() - before) / math.factorial(3)
    np.testing.assert_allclose(explained.values[:, 0], expected, atol=1e-12)


def test_values_add_up() -> None:
    sample, row = RANDOM.normal(size=(300, 9)), RANDOM.normal(size=9)
    explained = coalitions.explain(
        lambda rows: np.tanh(rows).cumsum(axis=1)[:, 5:], row, sample, [[n] for n in range(9)]
    )
    np.testing.assert_allclose(explained.values.sum(axis=0), explained.answer - explained.base, atol=1e-9)


@pytest.mark.parametrize("count", [13, 60])
def test_many_features_are_sampled_with_their_errors(count: int) -> None:
    """Within five standard errors of the closed form, the same at each call, and without a feature that does nothing."""
    sample, row, weights = RANDOM.normal(size=(400, count)), RANDOM.normal(size=count), RANDOM.normal(size=(count, 1))
    weights[3] = 0.0
    groups = [[place] for place in range(count)]
    explained = coalitions.explain(lambda rows: rows @ weights, row, sample, groups)
    again = coalitions.explain(lambda rows: rows @ weights, row, sample, groups)
    assert explained.method == "sampled"
    assert explained.errors is not None
    expected = (row - background(sample).mean(axis=0))[:, np.newaxis] * weights
    assert (np.abs(explained.values - expected) <= 5 * explained.errors + 1e-12).all()
    np.testing.assert_array_equal(explained.values, again.values)
    assert explained.values[3, 0] == pytest.approx(0.0, abs=1e-12)
