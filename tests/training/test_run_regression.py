"""Trainings of regressions, from segments to a version, with figures that are those of scikit-learn."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_friedman1, make_regression
from sklearn.model_selection import train_test_split
from workshop import PRICES, Workshop, prices

from retraind.daemon.artifacts import bundle
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Train
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.selection import candidates


def test_regression_from_segments_to_a_version(mlflow_home: Home) -> None:
    """Every kind of column teaches; figures, picture and dataset are in MLflow, and the bundle answers as it was judged."""
    workshop = Workshop(mlflow_home, PRICES)
    workshop.add(prices(80))
    workshop.add(prices(70, seed=1))
    manifest = workshop.train("linear", "tree", "logistic", report_rows=1000)
    assert (manifest.candidate, manifest.backend, manifest.rows) == ("linear", "onnx", 150)
    challenger = manifest.scores["challenger"]
    assert challenger["rolling"]["r2"] > 0.95
    assert 0 < challenger["reference"]["n"] < challenger["rolling"]["n"]
    assert [one["name"] for one in manifest.scores["candidates"]] == ["linear", "tree"]
    assert workshop.said[-1]["done"] == 1
    importance = manifest.scores["importance"]
    assert list(importance) == PRICES.features
    assert max(importance, key=importance.__getitem__) == "size"
    assert (manifest.settings["report_rows"], manifest.settings["folds"], manifest.first_rows) == (1000, 5, 80)
    client = workshop.registry.client
    run = client.get_run(manifest.run)
    assert {"cv_r2", "cv10_r2", "split42_r2", "rolling_r2", "reference_r2"} <= run.data.metrics.keys()
    assert (run.data.tags["retraind.backend"], run.data.metrics["backend_difference"]) == ("onnx", manifest.difference)
    (version,) = client.search_model_versions(f"run_id='{manifest.run}'")
    assert version.tags["retraind.backend"] == "onnx"
    assert float(version.tags["retraind.backend_difference"]) <= bundle.PARITY
    assert {file.path for file in client.list_artifacts(manifest.run)} >= {
        "predicted_actual.png",
        "residuals.png",
        "importance.png",
    }
    nested = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{manifest.run}'")
    for nested_run in nested:
        assert [file.path for file in client.list_artifacts(nested_run.info.run_id)] == ["predicted_actual.png"]
        assert nested_run.inputs is not None
        assert nested_run.inputs.dataset_inputs[0].dataset.digest == "b" * 32
        assert {"holdout_r2", "holdout_rmse", "holdout_mae", "cv_rmse"} <= nested_run.data.metrics.keys()
    assert workshop.train("tree").scores["champion"]["rolling"] == pytest.approx(challenger["rolling"])


def test_target_from_before_absurd_ones_were_refused_is_left_out(
    mlflow_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of 1e200 in an old segment made every training fail, or, held out, left every version without a figure."""
    workshop = Workshop(mlflow_home, PRICES)
    cells = prices(80)
    cells["price"][:40:4] = ["1e200"] * 10
    monkeypatch.setattr("retraind.daemon.tabular.checks.cells.BOUND", np.inf)
    workshop.add(cells)
    manifest = workshop.train("linear")
    assert manifest.twin is not None
    judging = manifest.scores["challenger"]["rolling"]["n"]
    assert (manifest.rows, manifest.trained_rows, manifest.twin.trained_rows) == (70, 70, 70 - judging)
    assert manifest.scores["challenger"]["rolling"]["r2"] > 0.9


def test_textbook_figures_are_those_of_the_rows_in_their_order(mlflow_home: Home) -> None:
    """Whoever splits the file with random_state=42 gets the same figure."""
    workshop = Workshop(mlflow_home, PRICES)
    cells = prices(120)
    workshop.add(cells)
    manifest = workshop.train("tree", report_rows=1000)
    matrix = np.column_stack([np.asarray(cells["size"], dtype=float), np.asarray(cells["garden"]) == "true"])
    data = Data.read(workshop.home.segments, workshop.segments, PRICES, 120, 0.2)
    rows, targets = data.as_accepted
    assert (rows[:, [0, 2]] == matrix).all()
    assert (targets == np.asarray(cells["price"], dtype=float)).all()
    (candidate,) = candidates.plan(PRICES, Train(candidates=["tree"]))
    train_rows, test_rows, seen, truth = train_test_split(rows, targets, test_size=0.2, random_state=42)
    logged = workshop.registry.client.get_run(manifest.run).data.metrics
    assert logged["split42_r2"] == candidate.estimator.fit(train_rows, seen).score(test_rows, truth)


@pytest.mark.parametrize("make", [make_friedman1, make_regression])
def test_made_regression_is_trained_and_served(mlflow_home: Home, make: Any) -> None:
    """The data sets of scikit-learn's own examples: most of the variance is explained, and ONNX serves it."""
    matrix, targets = make(n_samples=600, n_features=8, noise=0.5, random_state=0)
    columns = [Column(name=f"x{index}", kind="number") for index in range(8)]
    workshop = Workshop(mlflow_home, Schema(task="regression", target="y", columns=columns))
    texts = {f"x{index}": [repr(float(value)) for value in matrix[:, index]] for index in range(8)}
    workshop.add(texts | {"y": [repr(float(value)) for value in targets]})
    manifest = workshop.train("linear" if make is make_regression else "boosting")
    assert manifest.backend == "onnx"
    assert manifest.scores["challenger"]["rolling"]["r2"] > 0.85
