"""retraind.daemon.training.refit: the served model was trained on all rows, the compared one was not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor
from workshop import PRICES, Workshop, prices

from retraind.daemon import model
from retraind.daemon.artifacts import bundle
from retraind.daemon.core.errors import NotServable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Train
from retraind.daemon.model import Calibrated, Design
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training import refit
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.evaluation import refit_check
from retraind.daemon.training.evaluation.refit_check import Check
from retraind.daemon.training.export import export
from retraind.daemon.training.selection import candidates

NUMBER = Schema(task="regression", target="y", columns=[Column(name="x", kind="number")])


def rows_of(workshop: Workshop) -> Data:
    """The newest revision as its training saw it."""
    settings = Train()
    return Data.read(workshop.home.segments, workshop.segments, workshop.schema, workshop.first_rows, settings.holdout)


def parted(matrix: Any, targets: Any, trains: int, schema: Schema = NUMBER, **changes: Any) -> Data:
    """Rows of which so many train and the others judge, all of them in the window."""
    held = np.arange(len(matrix)) >= trains
    facts = {
        "schema": schema,
        "matrix": matrix,
        "targets": targets,
        "time": "",
        "held": held,
        "reference": held,
        "recent": np.ones(len(matrix), dtype=bool),
        "training": (matrix[:trains], targets[:trains]),
        "judging": (matrix[trains:], targets[trains:]),
        "whole": (matrix, targets),
        "counts": (trains, len(matrix)),
        "in_pieces": False,
        "fit": lambda estimator, examples, *, whole: model.fit(estimator, *examples),
    }
    return cast("Data", SimpleNamespace(**facts | changes))


def five(rows: int, seed: int, *, slip: bool) -> Data:
    """Five numbers and a target, a fifth held out; with a slip one held-out target is a million times too large."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, 5))
    targets = matrix[:, 0] * 2 + matrix[:, 1] ** 2 + 20 + random.normal(size=rows) * random.choice([0.3, 1, 3])
    targets[-1] *= 1e6 if slip else 1
    schema = Schema(task="regression", target="y", columns=[Column(name=f"x{i}", kind="number") for i in range(5)])
    return parted(matrix, targets, rows * 4 // 5, schema)


def objected(name: str, data: Data) -> str:
    """What is held against the candidate fitted on all rows."""
    estimator = candidates.build(name, data.schema, 0)
    twin = model.fit(estimator, *data.training)
    served = model.fit(model.with_early_stopped_size(estimator, twin), *data.whole)
    return refit_check.objection(served, twin, data, Check("r2" if not data.schema.classes else "accuracy", 0.02))


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
    run = workshop.registry.client.get_run(first.run).data
    assert run.params["twin_rows"] == str(first.twin.trained_rows)
    assert run.tags["retraind.scored"] == first.scored
    workshop.champion = version, sha256
    (folder / f"{bundle.TWIN}{bundle.ONNX}").write_bytes(b"another")
    third = workshop.train("linear", refit=False)
    assert third.scores["champion"]["rolling"]["mae"] == pytest.approx(error(served, data), rel=1e-9)
    assert "not the file that was recorded" in third.scores["twin_problem"]


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
    judged = refit.Judged(Failing(error), fitted, None, facts, tmp_path, 0.0)
    made = refit.serve(judged, parted(matrix, targets, 30), None, 0.2, None)
    assert made.fitted is fitted
    assert said in made.facts["refit_problem"]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert made.facts["files"].keys() == before.keys()


@pytest.mark.parametrize("name", ["linear", "ridge", "boosting"])
@pytest.mark.parametrize("rows", [60, 400])
def test_slip_in_a_held_out_target_is_not_served(name: str, rows: int) -> None:
    """Its own gigantic loss falls when it is fitted, and hides in the mean what becomes of all other rows."""
    assert "worse than the judged one" in objected(name, five(rows, 0, slip=True))


def test_harm_shows_on_training_rows_where_the_reference_left_the_window() -> None:
    data = five(400, 0, slip=True)
    away = replaced(data, judging=(data.judging[0][:0], data.judging[1][:0]), reference=np.zeros(400, dtype=bool))
    assert "training rows" in objected("linear", away)


@pytest.mark.parametrize("name", ["linear", "tree", "logistic", "boosting"])
def test_clean_rows_are_served_refitted(name: str) -> None:
    """At most one in twenty may be refused; none of these is."""
    flowers, codes = load_iris(return_X_y=True)
    columns = [Column(name=f"x{i}", kind="number") for i in range(4)]
    for seed in range(3 if name == "boosting" else 20):
        order = np.random.default_rng(seed).permutation(150)
        schema = Schema(target="y", classes=["a", "b", "c"], columns=columns)
        data = five(200, seed, slip=False) if name != "logistic" else parted(flowers[order], codes[order], 120, schema)
        assert objected(name, data) == ""


def replaced(data: Data, **changes: Any) -> Data:
    """The same rows with other facts."""
    return cast("Data", SimpleNamespace(**vars(data) | changes))


def exported(folder: Path, data: Data, estimator: Any = None, **facts: Any) -> refit.Judged:
    """The twin of an estimator, exported."""
    estimator = estimator or Ridge()
    fitted = model.fit(estimator, *data.training)
    return refit.Judged(
        estimator, fitted, None, export.write(fitted, data.matrix, data.schema, folder), folder, **facts
    )


def test_slip_serves_the_twin_with_the_reason(tmp_path: Path) -> None:
    judged = exported(tmp_path, five(200, 0, slip=True), seconds=0.0)
    files = sorted(path.name for path in tmp_path.iterdir())
    made = refit.serve(judged, five(200, 0, slip=True), None, 60, Check("r2", 0.02))
    assert made.fitted is judged.fitted
    assert "A held-out row may be wrong" in made.facts["refit_problem"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    assert refit.serve(judged, five(200, 0, slip=False), None, 60, Check("r2", 0.02)).fitted is not judged.fitted


def test_nothing_is_fitted_twice_without_rows_that_judge_in_the_window_nor_by_time(tmp_path: Path) -> None:
    """With times, the newest drop is in no twin as a whole, and the champion's twin would be no measure of what it serves."""
    data = five(200, 0, slip=False)
    judged = exported(tmp_path, data, seconds=0.0)
    for changes in ({"recent": ~data.held}, {"time": "when"}):
        made = refit.serve(judged, replaced(data, **changes), None, 60, None)
        assert (made.fitted is judged.fitted, made.facts["refit_problem"]) == (True, "")


def test_fit_that_no_alarm_could_stop_is_not_begun(tmp_path: Path) -> None:
    """A support vector machine is one call of C: 1,800 rows in a second may be 9,000 in half a minute."""
    data = five(200, 0, slip=False)
    whole = replaced(data, training=(data.matrix[:40], data.targets[:40]), counts=(40, 200))
    made = refit.serve(exported(tmp_path, whole, seconds=1.0), whole, None, 40, None)
    assert "train.timeout_seconds" in made.facts["refit_problem"]


def test_foreign_candidate_that_cannot_be_written_serves_its_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = five(200, 0, slip=False)
    judged = exported(tmp_path, data, seconds=0.0, foreign=True)

    def strange(fitted: Any) -> list[str]:
        if fitted is not judged.fitted:
            raise NotServable("skops can't write it")
        return ["their.Type"]

    monkeypatch.setattr(export, "untrusted_types", strange)
    made = refit.serve(judged, data, None, 60, None)
    assert (made.fitted is judged.fitted, made.strange) == (True, ["their.Type"])
    assert "skops" in made.facts["refit_problem"]


def test_early_stopping_by_itself_stays_off_where_the_twin_had_too_few_rows_for_it() -> None:
    """From 10,001 rows on scikit-learn stops early: the refit would be another estimator."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(10_001, 1))
    boosting = HistGradientBoostingRegressor(max_iter=3, max_leaf_nodes=3)
    again = model.with_early_stopped_size(boosting, boosting.fit(rows[:1000], rows[:1000, 0]))
    assert not model.fit(again, rows, rows[:, 0]).do_early_stopping_
    assert again.max_iter == 3


def test_number_of_trees_is_the_one_that_early_stopping_found() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 2))
    values, codes = rows[:, 0] + random.normal(size=200), (rows[:, 0] > 0).astype(np.int64)
    boosting = HistGradientBoostingRegressor(early_stopping=True, max_iter=200, random_state=0)
    refitted = boosting.fit(rows, values)
    again = model.with_early_stopped_size(boosting, refitted)
    assert (again.early_stopping, again.max_iter) == (False, refitted.n_iter_)
    assert again.max_iter < 200
    gradient = GradientBoostingClassifier(n_iter_no_change=2, random_state=0)
    fitted = Calibrated(gradient, 1.5).fit(rows, codes)
    again = model.with_early_stopped_size(gradient, fitted)
    assert (again.n_iter_no_change, again.n_estimators) == (None, fitted.estimator.n_estimators_)
    linear = make_pipeline(Design([0, 0]), Ridge(alpha=3.0))
    assert model.with_early_stopped_size(linear, linear.fit(rows, values))[1].alpha == 3.0
