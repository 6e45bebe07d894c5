"""retraind.daemon.training.importance: what shuffling a feature costs a model."""

from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier

from retraind.daemon.model import answers
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training import importance

COLUMNS = [Column(name=name, kind="number") for name in ("tells", "noise")]


@pytest.mark.parametrize("count", [200, importance.MOST_ROWS + 500])
def test_only_what_the_target_depends_on_is_important(count: int) -> None:
    """A model that reads one column of two loses all without it, and nothing without the other; twice the same."""
    rows = np.random.default_rng(0).normal(size=(count, 2))
    classes = (rows[:, 0] > 0).astype(np.int64)
    schema = Schema(target="y", classes=["a", "b"], columns=COLUMNS)
    fitted = DecisionTreeClassifier(max_depth=1).fit(rows, classes)
    shares = importance.of(partial(answers, fitted, schema=schema), rows, classes, schema, 1)
    assert shares["tells"] == pytest.approx(0.5, abs=0.1)
    assert shares["noise"] == 0
    assert importance.of(partial(answers, fitted, schema=schema), rows, classes, schema, 1) == shares


def test_fall_of_a_regression_is_in_r2() -> None:
    """Without the column that explains everything R² falls from 1 to about -1."""
    rows = np.random.default_rng(0).normal(size=(400, 2))
    schema = Schema(task="regression", target="y", columns=COLUMNS)
    fitted = LinearRegression().fit(rows, 3 * rows[:, 0])
    shares = importance.of(partial(answers, fitted, schema=schema), rows, 3 * rows[:, 0], schema, 1)
    assert shares["tells"] == pytest.approx(2, abs=0.3)
    assert shares["noise"] == pytest.approx(0, abs=1e-9)


def test_nothing_is_reported_without_rows() -> None:
    """One held-out row can't be shuffled."""
    schema = Schema(task="regression", target="y", columns=COLUMNS)
    assert importance.of(lambda rows: rows, np.zeros((1, 2)), np.zeros(1), schema, 1) == {}
