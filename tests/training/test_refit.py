"""daemon.training.refit: what is served has learnt from all rows, what is compared has not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor
from test_run import PRICES, Workshop, prices

from daemon import model
from daemon.artifacts import bundle
from daemon.core.errors import BundleRefused
from daemon.core.home import Home
from daemon.core.settings import Train
from daemon.model import Calibrated, Design
from daemon.schema.schema import Column, Schema
from daemon.training import refit
from daemon.training.data.revision import Data
from daemon.training.export import export

NUMBER = Schema(task="regression", target="y", columns=[Column(name="x", kind="number")])


def rows_of(workshop: Workshop) -> Data:
    """The newest revision as its training saw it."""
    settings = Train()
    return Data.read(workshop.home.segments, workshop.segments, workshop.schema, workshop.first_rows, settings.holdout)


def error(asked: bundle.Model, data: Data) -> float:
    """The mean absolute error on the held-out rows."""
    matrix, targets = data.judging
    return float(np.abs(asked.answers(matrix)[:, 0] - targets).mean())


def test_served_model_has_seen_the_holdout_and_its_twin_is_compared(mlflow_home: Home) -> None:
    """Scores are those of the twin, also where a challenger is compared with the champion: that would be unbeatable on rows it knows."""
    workshop = Workshop(mlflow_home, PRICES)
    workshop.add(prices(120))
    first = workshop.train("tree")
    version, sha256 = workshop.champion
    folder, data = workshop.home.bundle(version), rows_of(workshop)
    served, twin = bundle.load(folder, sha256), bundle.load_judged(folder, sha256)
    score = first.scores["challenger"]["rolling"]
    assert error(twin, data) == pytest.approx(score["mae"], rel=1e-9)
    assert error(served, data) < score["mae"] / 3
    assert first.twin is not None
    assert (first.trained_rows, first.twin.trained_rows) == (120, 120 - score["n"])
    second = workshop.train("tree", seed=1, refit=False)
    assert second.scores["champion"]["rolling"]["mae"] == pytest.approx(score["mae"], rel=1e-9)
    assert "fair" not in second.scores, "the twin was trained on none of the held-out rows"
    assert (second.twin, second.refit_problem, second.trained_rows) == (None, "", first.twin.trained_rows)
    last = bundle.load_judged(workshop.home.bundle(2), workshop.champion[1])
    assert error(last, data) == pytest.approx(second.scores["challenger"]["rolling"]["mae"], rel=1e-9)
    (folder / f"{bundle.TWIN}{bundle.ONNX}").write_bytes(b"another")
    with pytest.raises(BundleRefused, match="not the file that was recorded"):
        bundle.load(folder, sha256)


def test_no_time_left_serves_the_model_that_was_judged(mlflow_home: Home) -> None:
    workshop = Workshop(mlflow_home, PRICES)
    workshop.add(prices(60))
    manifest = workshop.train("linear", timeout_seconds=0.001)
    assert manifest.twin is None
    assert manifest.trained_rows == manifest.scores["taught"]["n"] < 60
    assert "train.timeout_seconds" in manifest.scored
    assert manifest.scored in [one.get("note") for one in workshop.said]


class Failing(BaseEstimator):  # type: ignore[misc]
    """Never gets its rows fitted: with an error, or (None) without an end."""

    def __init__(self, error: type[Exception] | None = None) -> None:
        self.error = error

    def fit(self, _rows: Any, _targets: Any) -> None:
        """Fail."""
        if self.error is not None:
            raise self.error("no room")
        while True:
            pass


@pytest.mark.parametrize(
    ("error", "said"), [(MemoryError, "MemoryError: no room"), (None, "longer than half")], ids=["memory", "time"]
)
def test_failing_leaves_the_bundle_of_the_judged_model(
    tmp_path: Path, error: type[Exception] | None, said: str
) -> None:
    matrix = np.linspace(0, 9, 40).reshape(-1, 1)
    targets = matrix[:, 0] * 2
    fitted = DecisionTreeRegressor().fit(matrix[:30], targets[:30])
    facts = export.write(fitted, matrix, NUMBER, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    whole = SimpleNamespace(
        schema=NUMBER,
        matrix=matrix,
        targets=targets,
        aside=[],
        taught=(matrix[:30], targets[:30]),
        whole=(matrix, targets),
    )
    judged = refit.Judged(Failing(error), fitted, None, facts, tmp_path, 0.0)
    made = refit.serve(judged, cast("Data", whole), None, 0.2)
    assert made.fitted is fitted
    assert said in made.facts["refit_problem"]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert made.facts["files"].keys() == before.keys()


def test_number_of_trees_is_the_one_that_early_stopping_found() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 2))
    values, codes = rows[:, 0] + random.normal(size=200), (rows[:, 0] > 0).astype(np.int64)
    boosting = HistGradientBoostingRegressor(early_stopping=True, max_iter=200, random_state=0)
    found = boosting.fit(rows, values)
    again = model.settled(boosting, found)
    assert (again.early_stopping, again.max_iter) == (False, found.n_iter_)
    assert again.max_iter < 200
    gradient = GradientBoostingClassifier(n_iter_no_change=2, random_state=0)
    fitted = Calibrated(gradient, 1.5).fit(rows, codes)
    again = model.settled(gradient, fitted)
    assert (again.n_iter_no_change, again.n_estimators) == (None, fitted.estimator.n_estimators_)
    linear = make_pipeline(Design([0, 0]), Ridge(alpha=3.0))
    assert model.settled(linear, linear.fit(rows, values))[1].alpha == 3.0
