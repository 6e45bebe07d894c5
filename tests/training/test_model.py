"""retraind.daemon.model: our own estimators, and what a fitted one answers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from retraind.daemon import model
from retraind.daemon.model import Codes, Design, LeastSquaresClassifier, Matrix
from retraind.daemon.schema.column import BOUND, UNKNOWN, Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.selection import candidates

MIXED = Schema(
    target="left",
    classes=["no", "yes", "maybe"],
    columns=[
        Column(name="age", kind="number", missing=True),
        Column(name="plan", kind="category", missing=True, categories=["basic", "plus", "pro"]),
        Column(name="fee", kind="number"),
    ],
)
PRICES = Schema(
    task="regression",
    target="price",
    columns=[
        *MIXED.columns,
        Column(name="rooms", kind="integer", missing=True),
        Column(name="garden", kind="boolean", missing=True),
        Column(name="built", kind="date", missing=True),
    ],
)


def mixed(count: int = 200, seed: int = 0) -> tuple[Matrix, Codes]:
    """Rows with gaps and unlisted categories whose class follows from fee and plan."""
    random = np.random.default_rng(seed)
    age = np.where(random.random(count) < 0.1, np.nan, random.normal(40, 10, count))
    plan = random.choice([UNKNOWN, 0.0, 1.0, 2.0], count)
    fee = random.normal(0, 1, count)
    return np.column_stack([age, plan, fee]), np.where(plan == 2, 2, (fee > 0).astype(int)).astype(np.int64)


def priced(count: int = 200, seed: int = 0) -> tuple[Matrix, Matrix]:
    """Rows of PRICES with gaps in every column, and a large price with a small spread that follows from them."""
    matrix, _ = mixed(count, seed)
    random = np.random.default_rng(seed + 100)
    more = [random.integers(1, 9, count), random.integers(0, 2, count), random.uniform(7000, 20000, count)]
    gaps = [np.where(random.random(count) < 0.1, np.nan, column) for column in more]
    rooms, garden, built = (np.nan_to_num(column) for column in gaps)
    price = 1e6 + 3 * rooms + 2 * garden + built / 5000 + 4 * (matrix[:, 1] == 2) + random.normal(0, 0.5, count)
    return np.column_stack([matrix, *gaps]), price


FEW = {"forest": {"n_estimators": 10}, "extra_trees": {"n_estimators": 10}, "boosting": {"max_iter": 15}}


def few_trees(name: str, schema: Schema, seed: int = 42) -> Any:
    """A candidate as `candidates.build` makes it, of few trees: for tests in which their number makes no difference."""
    return candidates.build(name, schema, seed).set_params(**FEW.get(name, {}))


def test_design_imputes_scales_and_spreads_categories() -> None:
    """A gap becomes the mean, numbers have mean 0 and deviation 1, each category its own column, an unknown one none."""
    matrix = np.array([[1.0, 0, 5], [3.0, 2, 5], [np.nan, UNKNOWN, 5]])
    got = Design([0, 3, 0]).fit(matrix).transform(matrix)
    assert_allclose(got, [[-1, 0, 1, 0, 0], [1, 0, 0, 0, 1], [0, 0, 0, 0, 0]])


def test_design_of_an_empty_column_is_zero() -> None:
    """A column without a single value teaches nothing and breaks nothing."""
    matrix = np.array([[np.nan, 1.0], [np.nan, 2.0]])
    assert_allclose(Design().fit(matrix).transform(matrix), [[0, -1], [0, 1]])


@given(st.floats(-BOUND, BOUND), st.integers(1, 400), st.integers(0, 20))
def test_design_of_a_constant_column_is_zero(constant: float, count: int, gaps: int) -> None:
    """Exactly, whatever the constant, also where it is missing here and there; and another value comes no farther away."""
    column = np.append(np.full(count, constant), np.full(gaps, np.nan)).reshape(-1, 1)
    fitted = Design().fit(column)
    assert_array_equal(fitted.transform(column), 0)
    assert abs(fitted.transform([[constant + 1]]).item()) <= 1


@given(st.lists(st.floats(-BOUND, BOUND), min_size=1))
@example([0.0, 1e-200])
def test_design_of_any_numbers_is_finite(numbers: list[float]) -> None:
    """However large, small or alike they are."""
    column = np.array(numbers).reshape(-1, 1)
    assert np.isfinite(Design().fit(column).transform(column)).all()


@settings(max_examples=20, deadline=None)
@given(st.floats(-1e6, 1e6).filter(bool), st.booleans())
@pytest.mark.parametrize("name", ["least_squares", "logistic", "linear", "ridge"])
def test_column_that_was_constant_tells_nothing(name: str, constant: float, rounded: bool) -> None:
    """An answer stays what it was when the first row comes that has another value there; rounding errors are no value."""
    random = np.random.default_rng(0)
    rows = np.column_stack([random.normal(size=150), np.full(150, constant)])
    rows[::2, 1] = np.nextafter(constant, np.inf) if rounded else constant
    columns = [Column(name=name, kind="number") for name in "ab"]
    schema = Schema(target="y", classes=["no", "yes"], columns=columns)
    targets = (rows[:, 0] > 0).astype(np.int64)
    if name in ("linear", "ridge"):
        schema, targets = Schema(task="regression", target="y", columns=columns), 3 * rows[:, 0]
    fitted = model.fit(candidates.build(name, schema, 42), rows, targets)
    asked = np.column_stack([rows[:, 0], rows[:, 1] + 1])
    assert_allclose(model.answers(fitted, asked, schema), model.answers(fitted, rows, schema), atol=1e-9)


def test_least_squares_gives_probabilities() -> None:
    """Scores are clipped and normalised, so that rows sum to one, and classes keep their codes."""
    matrix, codes = np.array([[0.0], [1.0], [5.0]]), np.array([0, 0, 3])
    fitted = LeastSquaresClassifier().fit(matrix, codes)
    proba = fitted.predict_proba(np.array([[-100.0], [0.5], [100.0]]))
    assert_allclose(proba.sum(axis=1), 1)
    assert (proba > 0).all()
    assert fitted.predict(np.array([[0.0], [100.0]])).tolist() == [0, 3]


def test_class_without_rows_has_probability_zero() -> None:
    """A model that has never seen a class says so, and the other columns stay in place."""
    matrix, codes = mixed()
    seen = codes != 1
    fitted = candidates.build("tree", MIXED, 42).fit(matrix[seen], codes[seen])
    proba = model.answers(fitted, matrix, MIXED)
    assert_array_equal(proba[:, 1], 0)
    assert_allclose(proba.sum(axis=1), 1)


def test_answers_of_a_regression_are_one_column() -> None:
    """Values come in the shape that probabilities have, so that everything after can be one path."""
    matrix, prices = priced()
    fitted = candidates.build("ridge", PRICES, 42).fit(matrix, prices)
    got = model.answers(fitted, matrix, PRICES)
    assert got.shape == (200, 1)
    assert_allclose(got[:, 0], fitted.predict(matrix))
