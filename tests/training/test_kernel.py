"""retraind.daemon.kernel: smooth functions are fitted better than by lines or steps, and answers stay sound where there were no rows."""

import numpy as np
import pytest
from sklearn.base import clone
from test_model import MIXED, PRICES, mixed, priced

from retraind.daemon import model
from retraind.daemon.core.settings import Train
from retraind.daemon.kernel import KernelClassifier, KernelRegressor
from retraind.daemon.model import Codes, Matrix
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.selection import candidates
from retraind.daemon.training.selection.candidates import KERNEL_ROWS

SMOOTH = Schema(task="regression", target="t", columns=[Column(name=name, kind="number") for name in "abc"])


def waves(count: int, seed: int) -> tuple[Matrix, Matrix]:
    """A smooth function of three numbers, with a little noise."""
    random = np.random.default_rng(seed)
    rows = random.uniform(-2, 2, (count, 3))
    return rows, np.sin(rows[:, 0]) * rows[:, 1] + rows[:, 2] ** 2 + random.normal(0, 0.05, count)


def rings(count: int, seed: int) -> tuple[Matrix, Codes]:
    """Two classes, one around the other."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, 2, count)
    angle, distance = random.uniform(0, 2 * np.pi, count), 1 + codes + random.normal(0, 0.2, count)
    return np.column_stack([distance * np.cos(angle), distance * np.sin(angle)]), codes


def test_smooth_function_is_learnt_better_than_by_lines_and_steps() -> None:
    """From 400 rows, on rows that it has not seen."""
    rows, values = waves(400, 0)
    fresh, truth = waves(400, 1)
    scores = {}
    for name in ("kernel", "ridge", "boosting", "forest"):
        fitted = candidates.build(name, SMOOTH, 0).fit(rows, values)
        scores[name] = 1 - ((fitted.predict(fresh) - truth) ** 2).mean() / truth.var()
    assert scores["kernel"] == max(scores.values())
    assert scores["kernel"] > 0.95


def test_class_within_another_is_learnt() -> None:
    """No line parts them. The answers are probabilities, and the label is the likelier class."""
    rows, codes = rings(300, 0)
    fresh, truth = rings(300, 1)
    fitted = KernelClassifier(random_state=0).fit(rows, codes)
    shares = fitted.predict_proba(fresh)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (fitted.predict(fresh) == shares.argmax(axis=1)).all()
    assert (fitted.predict(fresh) == truth).mean() > 0.95


def test_far_from_all_rows_the_answer_is_a_usual_one() -> None:
    """A linear model would extrapolate without limit. Here no training row is near, so only the intercept is left, within the range of the targets."""
    rows, values = waves(300, 0)
    fitted = KernelRegressor(random_state=0).fit(rows, values)
    assert values.min() <= fitted.predict([[1e9, -1e9, 1e9]])[0] <= values.max()


@pytest.mark.parametrize("estimator", [KernelRegressor(random_state=3), KernelClassifier(random_state=3)], ids=repr)
def test_same_rows_and_seed_give_the_same_model(estimator: KernelRegressor | KernelClassifier) -> None:
    """To the bit, as reproduction needs; another seed takes other landmarks."""
    rows, codes = rings(120, 0)
    first, again = (clone(estimator).fit(rows, codes) for _ in range(2))
    assert first.weights_.tobytes() == again.weights_.tobytes()
    other = clone(estimator).set_params(random_state=4).fit(rows, codes)
    assert (other.landmarks_ != first.landmarks_).any()


@pytest.mark.parametrize("columns", [np.zeros((60, 2)), np.repeat([[0.0, 1.0]], 60, axis=0)], ids=["nought", "equal"])
def test_rows_that_are_all_equal_are_learnt_from(columns: Matrix) -> None:
    """Nothing is near or far: the answer is the mean."""
    values = np.arange(60.0)
    assert KernelRegressor(random_state=0).fit(columns, values).predict(columns[:1])[0] == pytest.approx(29.5, abs=0.1)


def test_it_competes_where_its_rows_suit_it() -> None:
    """Too few tell it from nothing, too many take its fit too long; who names it gets it."""
    usual, named = Train(), Train(candidates=["kernel"])
    for settings, rows, competes in [
        (usual, KERNEL_ROWS.start - 1, False),
        (usual, KERNEL_ROWS.start, True),
        (usual, KERNEL_ROWS.stop, False),
        (named, 10, True),
    ]:
        kept = candidates.worthwhile(candidates.plan(MIXED, settings), rows, settings)
        assert ("kernel" in {one.name for one in kept}) == competes


def test_gaps_and_unlisted_categories_are_answered() -> None:
    """Behind the design every row has a number in each place."""
    for schema, (rows, targets) in ((MIXED, mixed(300)), (PRICES, priced(300))):
        fitted = candidates.build("kernel", schema, 0).fit(rows, targets)
        empty = np.full((1, rows.shape[1]), np.nan)
        assert np.isfinite(model.answers(fitted, empty, schema)).all()
