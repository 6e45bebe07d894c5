"""retraind.daemon.training.evaluation.holdouts: how sure it is that the better of two models is not just lucky."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from retraind.daemon.training.evaluation.holdouts import GROUPS, mcnemar, rmse_difference


def right(*counts: tuple[bool, int]) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """So many answers that are right or wrong, one after the other."""
    return np.repeat([one for one, _ in counts], [n for _, n in counts])


def test_mcnemar_counts_only_the_rows_on_which_they_differ() -> None:
    """Rows that both have right say nothing, however many they are; the figure is the textbook's."""
    champion = right((True, 100), (True, 9), (False, 1))
    challenger = right((True, 100), (False, 9), (True, 1))
    p_value = mcnemar(challenger, champion)
    assert (p_value["n"], p_value["only_champion"], p_value["only_challenger"]) == (110, 9, 1)
    assert p_value["p"] == pytest.approx(2 * binom.cdf(1, 10, 0.5))
    assert mcnemar(champion, challenger)["p"] == p_value["p"]


@pytest.mark.parametrize("n", [0, 50])
def test_models_that_answer_alike_do_not_differ(n: int) -> None:
    """No row, or none on which they differ: chance alone explains everything."""
    same = np.zeros(n, dtype=bool)
    assert mcnemar(same, same) == {"n": n, "only_champion": 0, "only_challenger": 0, "p": 1.0}


@given(st.integers(0, 30), st.integers(0, 30))
def test_p_is_a_probability(lost: int, won: int) -> None:
    """Whatever the counts; and the more uneven, the smaller."""
    challenger, champion = right((False, lost), (True, won)), right((True, lost), (False, won))
    p = mcnemar(challenger, champion)["p"]
    assert 0 < p <= 1
    assert mcnemar(np.append(challenger, won >= lost), np.append(champion, won < lost))["p"] <= p + 1e-12 or lost == won


@pytest.mark.parametrize("n", [40, GROUPS * 3 + 7])
def test_interval_of_a_difference_tells_better_from_equal(n: int) -> None:
    """Errors of twice the size are told apart from errors of the same size, with few rows and with grouped ones."""
    random = np.random.default_rng(1)
    small, other, large = random.normal(size=n), random.normal(size=n), 3 * random.normal(size=n)
    worse: Any = rmse_difference(large, small)
    assert 0 < worse["low"] < worse["difference"] < worse["high"]
    assert worse["difference"] == pytest.approx(np.sqrt(np.mean(large**2)) - np.sqrt(np.mean(small**2)))
    equal: Any = rmse_difference(other, small)
    assert equal["low"] < 0 < equal["high"]
    assert rmse_difference(other, small) == equal, "the same rows give the same interval"


def test_errors_too_large_to_be_squared_have_no_interval() -> None:
    """None, since a manifest is JSON, and knows neither nan nor infinity."""
    errors = np.ones(50)
    assert set(rmse_difference(np.append(errors, 1e200), np.append(errors, 1e200)).values()) == {51, None}


def test_grouped_rows_give_the_interval_of_single_ones() -> None:
    """Many rows are drawn in groups, which is quicker and no less wide than the theory says."""
    n = GROUPS * 20
    random = np.random.default_rng(2)
    new, old = random.normal(size=n), random.normal(size=n)
    difference: Any = rmse_difference(new, old)
    deviation = np.sqrt(np.var(new**2) / (4 * n) + np.var(old**2) / (4 * n))  # of the difference, by the delta method
    assert difference["high"] - difference["low"] == pytest.approx(2 * 1.96 * deviation, rel=0.15)


def test_no_rows_give_no_interval() -> None:
    """Nothing was measured, and nothing is said."""
    empty = np.zeros(0)
    assert rmse_difference(empty, empty) == {"n": 0, "difference": None, "low": None, "high": None}
