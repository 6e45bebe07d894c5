"""retraind.daemon.artifacts.linear_model: one row by Python's numbers, many by arrays, and both to the last bit alike."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from retraind.daemon.artifacts import linear_model
from retraind.daemon.artifacts.linear_model import Calibration, Form, LinearModel

NAN = float("nan")
LINKS = {"identity": 1, "logistic": 1, "softmax": 3, "clipped": 3}


def form(link: Any = "softmax", **changes: Any) -> Form:
    """Two numbers and two categories, in another order than the columns."""
    random, scores = np.random.default_rng(1), LINKS[link]
    parts: dict[str, Any] = {
        "width": 4,
        "numbers": [1, 3],
        "means": [40.0, -1e6],
        "scales": [12.5, 0.003],
        "fills": True,
        "weights": random.normal(size=(scores, 2)).tolist(),
        "intercepts": random.normal(size=scores).tolist(),
        "categories": [
            {"place": 0, "weights": random.normal(size=(3, scores)).tolist()},
            {"place": 2, "weights": random.normal(size=(1, scores)).tolist()},
        ],
        "link": link,
        "least": 1e-6,
    }
    return Form.model_validate(parts | changes)


def rows(count: int = 500) -> linear_model.Matrix:
    """Rows with gaps, codes that no category has, and values that make some answers extreme."""
    random = np.random.default_rng(2)
    made = np.column_stack(
        [
            random.integers(-1, 5, count),
            random.normal(40, 200, count),
            random.choice([-1.0, 0.0, 1.0, 0.5, NAN], count),
            -1e6 + random.normal(0, 0.01, count),
        ]
    )
    made[random.random(count) < 0.1, 1] = NAN
    made[:3, 1] = 1e9, -1e9, 1e100
    return made


@pytest.mark.parametrize("calibration", [None, Calibration(slope=0.37, floor=1e-4)], ids=["plain", "calibrated"])
@pytest.mark.parametrize("link", LINKS)
def test_row_has_one_answer_alone_and_among_others(link: str, calibration: Calibration | None) -> None:
    model = LinearModel(form(link, calibration=None if link == "identity" else calibration))
    many = model.answers(rows())
    assert [model.row(row) for row in rows().tolist()] == many.tolist()
    assert np.isfinite(many).all()
    assert (model.answers(rows()[7:8]) == many[7:8]).all()
    if link != "identity":
        np.testing.assert_allclose(many.sum(axis=1), 1.0)


def test_scores_are_what_the_form_says() -> None:
    """Standardised numbers times weights, and the weights of the category; a gap counts as the mean, another code as none."""
    model = LinearModel(
        form(
            "identity",
            weights=[[2.0, 3.0]],
            intercepts=[10.0],
            categories=[{"place": 0, "weights": [[100.0], [200.0]]}],
        )
    )
    assert model.row([1.0, 52.5, 0.0, -1e6]) == [10 + 2 + 200]
    assert model.row([2.0, NAN, 0.0, NAN]) == [10.0]
    assert model.row([-1, 65, 0, -1_000_000]) == [14.0], "whole numbers, as JSON has them"


def test_gap_without_a_mean_has_no_finite_answer() -> None:
    """As scikit-learn refuses it: only what imputes knows what to take instead."""
    model = LinearModel(form("softmax", fills=False))
    gap = [0.0, NAN, 0.0, 1.0]
    assert np.isnan(model.row(gap)).all()
    assert np.isnan(model.answers(np.array([gap, gap]))).all()


def test_form_is_read_as_it_was_written() -> None:
    """To the last bit."""
    written = form(calibration=Calibration(slope=1 / 3, floor=1e-4))
    again = linear_model.read(written.model_dump_json().encode())
    assert (again.answers(rows()) == LinearModel(written).answers(rows())).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": [[1.0, 2.0]] * 2},
        {"weights": [[1.0]] * 3},
        {"means": [0.0]},
        {"scales": [1.0, 0.0]},
        {"numbers": [1, 4]},
        {"intercepts": [], "weights": []},
        {"intercepts": [0.0, 0.0, NAN]},
        {"categories": [{"place": 0, "weights": [[1.0]]}]},
        {"calibration": {"slope": 0.0, "floor": 1e-4}},
        {"more": 1},
    ],
    ids="-".join,
)
def test_impossible_form_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        form(**changes)
