"""train.compare_rows: candidates are compared on a sample of the training rows, and the winner is fitted on all."""

from typing import Any

import numpy as np
import pytest
import workshop
from workshop import PRICES, Workshop, leaves, prices

from retraind.daemon.core.home import Home
from retraind.daemon.training.data import split
from retraind.daemon.training.selection import sample

leafy = pytest.fixture(workshop.leafy)
taught = pytest.fixture(scope="module")(workshop.taught)

UNITS = split.numbered(np.random.default_rng(0).integers(0, 2**63, 10_000))[0].astype(np.uint64) * np.uint64(2**40)


def drawn(units: Any, classes: Any, count: int, seed: int = 42) -> sample.Sample:
    chosen = sample.draw(units, classes, count, seed)
    assert chosen is not None
    assert (np.diff(chosen.places) > 0).all()
    return chosen


def test_each_class_keeps_its_share_and_rare_ones_their_rows() -> None:
    """A class with a row in five hundred has enough for each fold, and one with fewer rows than that has all."""
    classes = np.where(np.arange(10_000) % 4 == 0, 1, 0)
    classes[::500], classes[1:50:7] = 2, 3
    chosen = drawn(UNITS, classes, 1_000)
    counts, whole = np.bincount(classes[chosen.places]), np.bincount(classes)
    assert counts[2:].tolist() == [20, 7]
    assert np.abs(counts[:2] - whole[:2] / 10).max() <= 1
    assert chosen.of == 10_000


def test_same_rows_give_the_same_sample() -> None:
    """Wherever they lie; another seed gives another sample, and a larger one holds the smaller."""
    chosen, turned = drawn(UNITS, None, 500), drawn(UNITS[::-1], None, 500)
    assert set(UNITS[chosen.places]) == set(UNITS[::-1][turned.places])
    assert len(chosen.places) == 500
    assert set(chosen.places) <= set(drawn(UNITS, None, 900).places)
    assert set(drawn(UNITS, None, 500, seed=1).places) != set(chosen.places)


def test_rows_of_a_unit_stay_together() -> None:
    """As in the folds."""
    units = np.repeat(UNITS[:1000], 10)
    chosen = drawn(units, None, 500)
    assert len(chosen.places) == 500
    assert np.unique(units[chosen.places], return_counts=True)[1].tolist() == [10] * 50


@pytest.mark.parametrize("count", [0, 10_000, 20_000])
def test_no_sample_of_all_rows(count: int) -> None:
    assert sample.draw(UNITS, None, count, 42) is None


def test_winner_of_a_sample_is_fitted_and_judged_on_all_rows(mlflow_home: Home) -> None:
    """It is the model that it would be alone, its score is that of the whole holdout, and the records say how many rows were compared."""
    works = Workshop(mlflow_home, PRICES)
    works.add(prices(600))
    manifest = works.train("ridge", "tree", compare_rows=100, tune_seconds=0.0)
    alone = works.train("ridge")
    assert manifest.candidate == "ridge"
    assert manifest.scores["compared_rows"] == 100
    assert "compared_rows" not in alone.scores
    assert manifest.trained_rows == alone.trained_rows == 600
    assert manifest.scores["challenger"] == alone.scores["challenger"]
    assert {name: manifest.files[name] for name in ("model.onnx", "twin-model.onnx")} == {
        name: alone.files[name] for name in ("model.onnx", "twin-model.onnx")
    }
    sentences = [said["note"] for said in works.said if "note" in said]
    assert (
        f"Candidates are compared on 100 of {manifest.scores['taught']['n']} training rows (train.compare_rows)."
        in sentences
    )


def test_candidate_that_all_rows_would_take_too_long_is_left_out(leafy: Workshop) -> None:
    """No budget has seen a fit on all rows, and a training that is killed leaves nothing."""
    leafy.add(leaves("ash elm", 1000, seed=1))
    chosen: dict[str, Any] = {"compare_rows": 60, "timeout_seconds": 9, "budget_seconds": 8, "folds": 2}
    manifest = leafy.train("crashing:PerRow", "tree", grids={"crashing:PerRow": {"max_depth": [8]}}, **chosen)
    assert manifest.candidate == "tree", "the same tree, with the same scores"
    reason = manifest.scores["left_out"]["crashing:PerRow(max_depth=8)"]
    assert "rows its fit would take about" in reason
    assert "train.timeout_seconds" in reason
